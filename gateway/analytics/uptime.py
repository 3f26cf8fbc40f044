"""How often endpoints answered: attempts of the last 72 hours, by hours.

An attempt is a success or an error of the endpoint; which failures are errors says ``event.result``. Refusals for load and what may
be the request's fault are neither. It must not know: HTTP, what is shown to whom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from gateway.analytics import tables
from gateway.analytics.buckets import Grain
from gateway.store.client import Store

LEAST_ATTEMPTS = 100
"""With fewer there is no percentage."""
NORMAL_PERCENT, DEGRADED_PERCENT = 95, 80
HOURS_KEPT = 72
Status = Literal["normal", "degraded", "down"]


class Attempts(NamedTuple):
    """Of one endpoint, or of several."""

    served: int = 0
    failed: int = 0

    @property
    def percent(self) -> float | None:
        """Successes ÷ (successes + errors), None with fewer than ``LEAST_ATTEMPTS``."""
        total = self.served + self.failed
        return round(100 * self.served / total, 3) if total >= LEAST_ATTEMPTS else None

    @property
    def status(self) -> Status | None:
        """From 95 % on normal, from 80 % on degraded; None where there is no percentage."""
        total = self.served + self.failed
        if total < LEAST_ATTEMPTS:
            return None
        if self.served * 100 >= total * NORMAL_PERCENT:
            return "normal"
        return "degraded" if self.served * 100 >= total * DEGRADED_PERCENT else "down"


def added(parts: Iterable[Attempts]) -> Attempts:
    """The attempts of all parts."""
    every = list(parts)
    return Attempts(sum(each.served for each in every), sum(each.failed for each in every))


async def hours(store: Store, numbers: Sequence[int], endpoints: Collection[str]) -> dict[str, list[Attempts]]:
    """Endpoint → its attempts in each hour. ``numbers``: hours since 1970. Raises StoreError."""
    cells = [(number, endpoint) for endpoint in endpoints for number in numbers]
    read = iter(await tables.rows(store, "hv", cells))
    return {endpoint: [_attempts(next(read)) for _ in numbers] for endpoint in endpoints}


def _attempts(slots: dict[str, int]) -> Attempts:
    """The twelve five minutes of an hour together."""
    sums = {"o": 0, "e": 0}
    for field, count in slots.items():
        sums[field[-1]] += count
    return Attempts(sums["o"], sums["e"])


async def with_routing(store: Store, numbers: Sequence[int], model: str, endpoints: Collection[str]) -> list[Attempts]:
    """The model's requests in each hour: ``served`` by any of its endpoints, after failing over or not; ``failed`` at all of them.

    A request whose caller left before an answer, and one that was itself the reason (400, 413, 422, or a 403 that is not about our
    key), count for neither. Hours are kept for 14 days. Raises StoreError.
    """
    return (await longer(store, "h", numbers, model, endpoints))[1]


async def longer(
    store: Store, grain: Grain, numbers: Sequence[int], model: str, endpoints: Collection[str]
) -> tuple[dict[str, list[Attempts]], list[Attempts]]:
    """For hours, days or weeks: (endpoint → its attempts in each, the model's requests in each as in ``with_routing``).

    Attempts by five minutes are kept for hours only; requests that an endpoint served and attempts that failed are kept as long as
    its other counters. Raises StoreError.
    """
    nobody = "@" + model
    rows = [nobody, *endpoints]
    read = iter(await tables.rows(store, grain + "e", [(number, row) for number in numbers for row in rows]))
    by_endpoint: dict[str, list[Attempts]] = {endpoint: [] for endpoint in endpoints}
    routed = []
    for _ in numbers:
        served = failed = 0
        for row in rows:
            counts = next(read)
            answered = counts.get("ok", 0)
            neither = counts.get("cx", 0) + counts.get("rf", 0) if row == nobody else 0
            served += answered
            failed += max(counts.get("rq", 0) - answered - neither, 0)
            if row != nobody:
                by_endpoint[row].append(Attempts(answered, counts.get("ae", 0)))
        routed.append(Attempts(served, failed))
    return by_endpoint, routed
