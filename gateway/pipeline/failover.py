"""Who is tried next? A pure decision over the plan and what has failed so far; ``attempts.py`` carries it out.

After a failure, each as far as the limits allow:

1. the next endpoint of the same model, in the plan's order;
2. an endpoint of this model once more, when its failure was a passing one. When no other model waits, this is for a model whose
   other endpoints refused for reasons of their own, or that has no others; then as often as attempts are left;
3. the next model of the caller's list.

The failure's row in ``failures.yaml`` decides who of the same model is left: everybody (``failover``), those with a larger context
than the one that refused (``larger_context``), or nobody.

The limits: attempts count towards ``max_attempts`` unless they cost nothing, see ``costs_nothing``. Where the limit is reached, a
model of the caller's list that has not had an attempt that counts is still owed one; and so is a provider that ``provider.order``
names, while fewer than ``max_attempts`` providers have had one. ``SENT_MAX`` bounds everything.

It must not know: clocks, what is left of the retry budget, the breaker. Whoever asks tells it when a step was not possible.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.health.retry_budget import RetryAfter
from gateway.routing.candidate import Candidate
from gateway.routing.plan import Plan
from providers.errors import ProviderError

SENT_MAX = 16
"""Calls to vendors for one request, however cheap each is."""
SAME_ENDPOINT_WAIT_S = 2.0
"""An endpoint is tried again unless it asks for a longer pause than this."""
AT_ONCE_S = 1.0
"""A refusal that comes within this time has cost the caller no time."""
UNSENT = ("unsupported", "media_")
"""Prefixes of the failure kinds that happen before anything is sent: the request cannot be expressed for this vendor."""


def costs_nothing(error: ProviderError, elapsed_s: float) -> bool:
    """Whether an attempt does not count: nothing was sent, or the vendor refused (4xx) at once and bills nothing."""
    if unsent(error):
        return True
    refused = error.status is not None and error.status < 500
    return refused and not error.failure.may_bill and elapsed_s <= AT_ONCE_S


def unsent(error: ProviderError) -> bool:
    """Whether the attempt failed before the vendor was called."""
    return error.failure.kind.startswith(UNSENT)


class Step(NamedTuple):
    """One attempt to make."""

    candidate: Candidate
    enters: bool = False
    """The first attempt at its model: to this model it is a request, not a retry."""
    retry: RetryAfter | None = None
    """What the attempt retries, so that it needs the retry budget. None: this endpoint has not been called, and those of this model
    that were have refused at no cost."""
    again: bool = False
    """The endpoint has failed already and is tried once more, after a pause."""
    pause_s: float | None = None
    """The pause that the vendor asked for, if it did; only with ``again``."""


class Failover(msgspec.Struct, eq=False):
    """The decisions of one request: ``next`` until an attempt succeeds, and ``failed`` after each that did not."""

    plan: Plan
    max_attempts: int
    left: list[Candidate] = []
    """Not tried yet."""
    model: str | None = None
    """The model that is being tried; its endpoints are meant by the next three."""
    passing: dict[str, Step] = {}
    """Endpoint id → how to try it once more: its last failure may be over by then."""
    in_trouble: set[str] = set()
    """Ids of the endpoints that failed, other than by refusing for good and at no cost."""
    retried: int = 0
    """Attempts at an endpoint that had failed already."""
    sent: int = 0
    """Calls to vendors."""
    spent: int = 0
    """Attempts that count."""
    entered: set[str] = set()
    """Models that have had their first step."""
    served: dict[str, frozenset[str]] = {}
    """Model → providers that have had an attempt that counts."""

    def __post_init__(self) -> None:
        self.left = list(self.plan.candidates)

    def next(self) -> Step | None:
        """The next attempt; None when nobody is left or the limits are reached."""
        if self.spent < self.max_attempts and self.sent < SENT_MAX:
            found = self.left[0] if self.left else None
        else:
            found = next((each for each in self.left if self._may(each)), None)
        if found is None:
            return self._once_more(last=True)
        model = found.endpoint.model
        if model != self.model and self.model is not None and not self.plan.pooled:
            if (again := self._once_more(last=False)) is not None:
                return again
            self.passing, self.in_trouble, self.retried = {}, set(), 0
        self.model = model
        self.left.remove(found)
        enters = model not in self.entered
        self.entered.add(model)
        return Step(found, enters, retry="failure" if model in self.served else None)

    def failed(self, candidate: Candidate, error: ProviderError, elapsed_s: float) -> None:
        """The attempt at ``candidate`` has failed with ``error``, ``elapsed_s`` seconds after it began."""
        endpoint, failure = candidate.endpoint, error.failure
        if not unsent(error):
            self.sent += 1
        if not (free := costs_nothing(error, elapsed_s)):
            self.spent += 1
            self.in_trouble.add(endpoint.id)
            self.served[endpoint.model] = self.served.get(endpoint.model, frozenset()) | {endpoint.provider.slug}
        if not failure.failover:
            self.give_up(endpoint.model, above=endpoint.context_length if failure.larger_context else None)
        self.passing.pop(endpoint.id, None)
        pause_s = error.retry_after_s
        if failure.failover and failure.retry_same and (pause_s is None or pause_s <= SAME_ENDPOINT_WAIT_S):
            self.in_trouble.add(endpoint.id)
            self.passing[endpoint.id] = Step(
                candidate, retry="refusal" if free else "failure", again=True, pause_s=pause_s
            )

    def give_up(self, model: str, *, above: int | None = None) -> None:
        """No further attempt at this model, but at endpoints with a context ``above`` so many tokens."""

        def stays(candidate: Candidate) -> bool:
            endpoint = candidate.endpoint
            return endpoint.model != model or (above is not None and endpoint.context_length > above)

        self.left = [each for each in self.left if stays(each)]
        self.passing = {id: step for id, step in self.passing.items() if stays(step.candidate)}

    def alternative(self, trying: Candidate) -> bool:
        """Whether another endpoint could be tried if the attempt at ``trying`` failed in a way that counts."""
        if self.spent + 1 < self.max_attempts:
            return bool(self.left)
        return any(self._may(each, trying) for each in self.left)

    def _may(self, candidate: Candidate, trying: Candidate | None = None) -> bool:
        """Whether the limits allow an attempt; with ``trying`` as if the attempt at it had counted."""
        if self.sent >= SENT_MAX:
            return False
        spent = self.spent + (trying is not None)
        return spent < self.max_attempts or self._owed(candidate, trying)

    def _owed(self, candidate: Candidate, trying: Candidate | None) -> bool:
        endpoint = candidate.endpoint
        served = self.served.get(endpoint.model, frozenset())
        if trying is not None and trying.endpoint.model == endpoint.model:
            served = served | {trying.endpoint.provider.slug}
        if not served:
            return True
        named = endpoint.id in self.plan.named
        return named and endpoint.provider.slug not in served and len(served) < self.max_attempts

    def _once_more(self, *, last: bool) -> Step | None:
        """The first endpoint of the present model whose failure may have passed."""
        most = self.max_attempts - 1 if last else min(1, self.max_attempts - 1)
        limited = self.retried >= most or self.spent >= self.max_attempts or self.sent >= SENT_MAX
        if limited or self.plan.panic or not self.passing or (last and len(self.in_trouble) > 1):
            return None
        self.retried += 1
        return next(iter(self.passing.values()))
