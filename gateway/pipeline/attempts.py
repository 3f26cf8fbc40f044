"""The failover loop of one request: open, wait for the first content, classify the failure, observe, next candidate.

Nothing has reached the client while this runs, so every failure here is invisible as long as another candidate can answer. Who is
tried next is decided in ``failover.py``, by the failure's row in ``failures.yaml``; how long an attempt may take in ``clocks.py``.
It must not know: callers, credit, the formats of API surfaces.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import GatewayError, NoHealthyEndpoint, TooManyRequests, Unavailable, UpstreamFailed
from gateway.health.view import Observation
from gateway.pipeline.clocks import Work, attempt_clocks
from gateway.pipeline.failover import Failover, Step, unsent
from gateway.pipeline.upstream_request import (
    adapted,
    check_rights,
    in_own_network,
    missing_tools,
    opened_urls,
    target,
    without_native_tools,
    without_tools,
)
from gateway.routing import affinity
from gateway.routing.plan import Candidate, Plan
from gateway.services import Services
from providers import registry
from providers.base import Dialect, Stream
from providers.errors import AttributedTo, Failure, ProviderError, failed
from providers.redaction import redact, words
from providers.retry_after import TOO_MANY
from providers.transport.client import CancelledUnsent
from providers.types import Call, Clocks, Completion, Event, Json, NativeRequest, Target, Usage

SAME_ENDPOINT_JITTER_S = (0.05, 0.5)
"""The pause before an endpoint is tried again, unless its vendor asks for another."""
MASKED_FROM = 500


class Attempt(msgspec.Struct, eq=False):
    """One attempt at one candidate. ``kind`` is ``ok`` or the failure's."""

    candidate: Candidate
    started: float
    kind: str = "pending"
    status: int | None = None
    latency_ms: int = 0
    may_bill: bool = False
    retry_after_s: float | None = None
    usage: Usage | None = None
    """What the vendor of a failed attempt has counted, where it says so."""
    unsent: bool = False
    """It was cancelled before the vendor was asked, so the vendor bills nothing."""
    words: str = ""
    """What the vendor or its network said, without secrets; empty where a failure is the caller's own."""


class Attempts(msgspec.Struct, eq=False):
    """The attempts of one request; afterwards the opened answer: ``completion``, or ``stream`` with ``first`` already read."""

    services: Services
    plan: Plan
    body: Json
    work: Work
    deadline: float
    """``time.perf_counter()`` at which the time of the whole request is up."""
    native: NativeRequest | None = None
    """The request in the format of its surface: an endpoint that takes the same format gets it unchanged."""
    request_id: str = ""
    options: Mapping[str, Mapping[str, Any]] = {}
    """``provider.options``: provider slug → fields that only this provider gets."""
    tenant: str = ""
    """Whose names are looked up: the caller's organisation."""
    has_media: bool = False
    """The request holds more than texts."""
    passthrough: bool = False
    """The answer is in the caller's own format."""
    made: list[Attempt] = []
    left_out: tuple[str, ...] = ()
    """Types of the caller's tools that the last vendor was not offered, because no candidate runs them."""
    candidate: Candidate | None = None
    """The candidate that is being tried or that answered; None when none of them answers."""
    alternative: bool = False
    """Another endpoint could be tried if the present attempt failed."""
    completion: Completion | None = None
    stream: Stream | None = None
    first: list[Event] = []
    first_content: float | None = None
    """``time.perf_counter()`` of the first content."""
    waited_s: float = 0.0
    """Time spent waiting for upstreams; the rest of a request's time is the gateway's overhead."""
    authorized: Target | None = None
    """Where the last attempt went, with the token that was fetched for it: no error may show it."""
    billed_whole: bool = False
    """A vendor is being asked, and bills its whole answer although the client disconnects: the attempt had better go on."""
    abandoned: bool = False
    """The client has disconnected, and the attempt under way goes on without it. There is no further one."""

    async def open(self) -> None:
        """Try candidates until one answers.

        Raises UpstreamFailed with the failure of the last model that was tried when none does, or at once when another endpoint
        could not help either; NoHealthyEndpoint when none may be tried.
        """
        failover = Failover(self.plan, self.services.settings.max_attempts)
        last: tuple[Attempt, ProviderError] | None = None
        while (step := failover.next()) is not None and (last is None or self._may_go_on()):
            if not await self._admitted(step, failover):
                continue
            self.alternative = failover.alternative(step.candidate)
            try:
                return await self._attempt(step.candidate)
            except ProviderError as error:
                attempt = self.made[-1]
                failover.failed(step.candidate, error, attempt.latency_ms / 1000)
                # What was not sent does not hide the failure of a vendor that was called for the same model.
                if last is None or step.enters or not unsent(error):
                    last = attempt, error
        if last is None:
            raise self._all_tried_by_others()
        raise self._final_error(*last)

    def _may_go_on(self) -> bool:
        """Whether another attempt may follow a failed one."""
        return not self.abandoned and self._left_s() > 0

    def _all_tried_by_others(self) -> GatewayError:
        """Each candidate is being tried by another request, after an outage or at its rate limit."""
        reasons = {self.services.health.view(each.endpoint.id).reason for each in self.plan.candidates}
        if reasons == {"rate_limit"}:
            return TooManyRequests("Every endpoint of this model is at its rate limit.", retry_after_s=1)
        return NoHealthyEndpoint("Every endpoint of this model is being probed after an outage.", retry_after_s=1)

    async def _admitted(self, step: Step, failover: Failover) -> bool:
        """Whether the step may be made, as far as the retry budget, the breaker and the time left allow.

        Before an endpoint is tried again this waits for as long as its vendor asked: that is its pause, whatever other requests
        have to wait for.
        """
        health, budget, endpoint = self.services.health, self.services.retry_budget, step.candidate.endpoint
        if step.enters:
            budget.request(endpoint.model)
        if step.retry is not None and not budget.allow(endpoint.model, step.retry):
            failover.give_up(endpoint.model)
            return False
        if not step.again:
            return health.probe(endpoint.id) or self.plan.panic
        pause_s = step.pause_s if step.pause_s is not None else random.uniform(*SAME_ENDPOINT_JITTER_S)
        if pause_s > self._left_s():
            failover.give_up(endpoint.model)
            return False
        await asyncio.sleep(pause_s)
        return True

    async def _attempt(self, candidate: Candidate) -> None:
        self.candidate = candidate
        attempt = Attempt(candidate, time.perf_counter(), unsent=True)
        self.made.append(attempt)
        try:
            await (self._open_stream(candidate) if self.work.streamed else self._complete(candidate))
        except ProviderError as error:
            self.note_failure(attempt, error)
            self.candidate = None
            raise
        except BaseException as error:
            attempt.kind = "cancelled"
            attempt.unsent |= isinstance(error, CancelledUnsent)
            raise
        finally:
            self.billed_whole = False
            now = time.perf_counter()
            self.waited_s += now - attempt.started
            attempt.latency_ms = round((now - attempt.started) * 1000)
        attempt.kind, attempt.status = "ok", 200

    def _asks(self, candidate: Candidate) -> None:
        """From now on the vendor may bill. Of the answers to cancelled requests it bills all that are not streamed, and where
        closing the connection does not stop it, the others as well.
        """
        self.made[-1].unsent = False
        self.billed_whole = not (self.work.streamed and candidate.endpoint.provider.cancel_stops_billing)

    async def _complete(self, candidate: Candidate) -> None:
        dialect, call = await self._call(candidate)
        where, clocks = await self._target(dialect, candidate)
        self._asks(candidate)
        self.completion = await dialect.complete(self.services.clients.for_requests(where), where, call, clocks)

    async def _open_stream(self, candidate: Candidate) -> None:
        """Open and read until the first content; role-only deltas and comments are not content."""
        dialect, call = await self._call(candidate)
        where, clocks = await self._target(dialect, candidate)
        self._asks(candidate)
        stream = await dialect.stream(self.services.clients.for_requests(where), where, call, clocks)
        first: list[Event] = []
        try:
            while events := await stream.read():
                first += events
                if any(event.content or event.finish for event in events):
                    break
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, ProviderError) and error.usage is None and error.failure.may_bill:
                error.usage = next((event.usage for event in reversed(first) if event.usage is not None), None)
            raise
        self.stream, self.first, self.first_content = stream, first, time.perf_counter()
        # A vendor that answers with one document instead of a stream sends none of its own events.
        self.passthrough = self.passthrough and any(event.native is not None for event in first)

    async def _target(self, dialect: Dialect, candidate: Candidate) -> tuple[Target, Clocks]:
        """Where the candidate is reached, with an access token if its vendor demands one, and the clocks of the attempt."""
        where, clocks = target(candidate.endpoint), self._clocks(candidate)
        if dialect.authorizes:
            where = await dialect.authorize(self.services.clients.for_tokens(where), where, clocks)
            where = msgspec.structs.replace(where, authorized=True)
        self.authorized = where
        return where, clocks

    async def _call(self, candidate: Candidate) -> tuple[Dialect, Call]:
        """The candidate's dialect and the call to make. Raises ProviderError when media cannot be fetched for it."""
        endpoint = candidate.endpoint
        self.left_out = ()
        dialect = registry.dialect(endpoint.dialect, self.work.operation)
        call = adapted(self.body, endpoint, dialect, self.options, self.native)
        if call.native is None and self.native is not None and self.native.only is not None:
            raise failed("unsupported", f"{self.native.only}, and this endpoint has another API")
        if self.work.operation == "chat" and "tools" in call.body:
            call = self._possible(candidate, dialect, call)
        check_rights(call, self.work.operation, candidate, has_media=self.has_media)
        if dialect.inlines_media or endpoint.options.get("inlines_media"):
            call = await self.services.media.inlined(call, dialect.opens, self.tenant)
        elif urls := opened_urls(call, self.work.operation, has_media=self.has_media):
            await self.services.media.checked(urls, self.tenant, private=in_own_network(endpoint))
        self.passthrough = call.native is not None
        return dialect, call

    def _possible(self, candidate: Candidate, dialect: Dialect, call: Call) -> Call:
        """The call without the tools that neither this vendor runs, at a known price, nor one of the same model that may still be
        tried. Functions always stay.
        """
        missing = missing_tools(call, dialect, candidate)
        if not missing:
            return call
        candidates = self.plan.candidates
        for other in candidates[candidates.index(candidate) + 1 :]:
            if other.endpoint.model != candidate.endpoint.model:
                continue
            able = registry.dialect(other.endpoint.dialect, self.work.operation)
            if not missing_tools(Call(call.body, self.native), able, other):
                return call  # this vendor refuses it, and the other one is tried
        body = without_tools(call.body, missing)
        if body is None:
            return call
        self.left_out = tuple(dict.fromkeys(str(tool["type"]) for tool in missing))
        return without_native_tools(call, body, missing)

    def observe_end(self, *, complete: bool, usage: Usage) -> None:
        """Report to the health registry how the last attempt ended, unless its failure has been reported already.

        A complete answer reports its speed; a client that disconnects counts against no endpoint. An answer that has begun is
        also the last turn of its conversation.
        """
        if self.candidate is None or not self.made or self.made[-1].kind not in ("ok", "cancelled"):
            return
        observed = Observation(ok=False, kind="cancelled", attributed_to="nobody")
        if complete:
            observed = self._speed(usage.completion_total)
        self.services.health.observe(self.candidate.endpoint.id, observed)
        if self.plan.conversation is not None and self.made[-1].kind == "ok":
            kept = affinity.memory(self.plan.conversation, self.candidate, usage)
            if kept is not None:
                self.services.conversations.answered(self.plan.conversation, self.candidate.endpoint.id, *kept)

    def _speed(self, tokens: int) -> Observation:
        """The observation of a complete answer of so many tokens."""
        attempt, first = self.made[-1], self.first_content
        elapsed_s = time.perf_counter() - attempt.started
        tokens_per_s = tokens / elapsed_s if tokens else None
        if first is not None:
            return Observation(ok=True, ttft_ms=(first - attempt.started) * 1000, tokens_per_s=tokens_per_s)
        return Observation(ok=True, answer_ms=elapsed_s * 1000, tokens=tokens, tokens_per_s=tokens_per_s)

    def note_failure(self, attempt: Attempt, error: ProviderError) -> None:
        """Take secrets out of what the vendor said, keep its words for the operator, and report to the health registry."""
        failure, endpoint = error.failure, attempt.candidate.endpoint
        redact(error, target(endpoint))
        if self.authorized is not None:
            redact(error, self.authorized)
        attempt.kind, attempt.status, attempt.may_bill = failure.kind, error.status, failure.may_bill
        attempt.retry_after_s, attempt.usage = error.retry_after_s, error.usage
        if failure.attributed_to != "caller" and not unsent(error):
            attempt.words = words(error)
            self.services.telemetry.vendor_failed(
                self.request_id, endpoint.id, failure.kind, status=error.status, said=attempt.words
            )
        given_up = self.work.streamed and error.clock == "first_content"
        observation = Observation(
            ok=False,
            kind=failure.kind,
            attributed_to=self._attributed_to(attempt, failure),
            ttft_ms=(time.perf_counter() - attempt.started) * 1000 if given_up else None,
            retry_after_s=error.retry_after_s,
            alone=sum(each.endpoint.model == endpoint.model for each in self.plan.candidates) == 1,
        )
        self.services.health.observe(endpoint.id, observation)

    def _attributed_to(self, attempt: Attempt, failure: Failure) -> AttributedTo:
        """What a failure counts against: counting tokens, which is free, says nothing of chat, and one request that an endpoint
        refuses several times is one refusal.
        """
        if self.work.operation == "count_tokens":
            return "nobody"
        endpoint_id = attempt.candidate.endpoint.id
        again = any(each is not attempt and each.candidate.endpoint.id == endpoint_id for each in self.made)
        return "nobody" if again and failure.attributed_to == "unclear" else failure.attributed_to

    def _left_s(self) -> float:
        return self.deadline - time.perf_counter()

    def _clocks(self, candidate: Candidate) -> Clocks:
        model = self.services.catalog.current.models.get(candidate.endpoint.model)
        thinks = model is not None and model.reasoning is not None and model.reasoning.get("default_enabled") is True
        return attempt_clocks(
            self.services.settings,
            self.work,
            left_s=max(self._left_s(), 0.001),
            thinks=thinks,
            alternative=self.alternative,
        )

    def _wait_s(self, status: int) -> float | None:
        """What ``Retry-After`` says: the shortest pause when every vendor asked for one; with a 429 else the one that we make."""
        hints = [attempt.retry_after_s for attempt in self.made if attempt.retry_after_s is not None]
        if len(hints) == len(self.made):
            return min(hints)
        if status != TOO_MANY:
            return None
        ours = [self.services.health.view(attempt.candidate.endpoint.id).wait_s for attempt in self.made]
        return min([*hints, *(wait_s for wait_s in ours if wait_s is not None)], default=1.0)

    def _final_error(self, attempt: Attempt, error: ProviderError) -> GatewayError:
        """The error for the caller: the vendor's own message for 4xx, a masked one for 5xx, and every attempt in the metadata."""
        failure = error.failure
        if failure.kind == "no_connection_left":
            return Unavailable(
                "This gateway process has no connection left for a provider; try again.", retry_after_s=1
            )
        provider = attempt.candidate.endpoint.provider
        metadata: dict[str, Any] = {"provider_name": provider.name}
        if error.raw and failure.status < MASKED_FROM:
            metadata["raw"] = error.raw
        if error.provider_code and failure.status < MASKED_FROM:
            metadata["provider_code"] = error.provider_code
        if error.clock is not None:
            metadata["clock"] = error.clock
        metadata["attempts"] = [
            {"provider": a.candidate.endpoint.provider.slug, "code": a.kind, "status": a.status} for a in self.made
        ]
        message = error.message if failure.status < MASKED_FROM else f"Provider returned error ({failure.kind})"
        if failure.attributed_to == "request":
            message = f"Larger than this gateway's account at {provider.name} allows: {message} Shorten it or lower max_tokens."
        wait_s = self._wait_s(failure.status)
        if self.plan.panic and failure.failover and failure.status != TOO_MANY:
            message = f"No endpoint of this model is healthy, and the one that was tried failed again ({failure.kind})."
            known_s = self.plan.candidates[0].health.wait_s or 0
            return NoHealthyEndpoint(message, metadata=metadata, retry_after_s=wait_s or max(known_s, 1))
        return UpstreamFailed(
            message, status=failure.status, error_type=failure.error_type, metadata=metadata, retry_after_s=wait_s
        )
