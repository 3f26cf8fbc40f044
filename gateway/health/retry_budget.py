"""How many retries may be made: a share of a model's recent requests plus a small floor.

A brown-out must not be answered with three times the load: unbounded retries keep an overloaded vendor down after its
capacity has returned (metastable failure).

An endpoint that has refused a request at once and at no cost, at its rate limit for example, may be asked once more. Such retries
have a budget of their own: one caller's refused requests must not use up what the others need when a vendor fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

RetryAfter = Literal["failure", "refusal"]
"""What is retried; a refusal cost nothing."""
WINDOW_S = 10
"""How long a request's share of a retry lives."""


_Counts = dict[Literal["request", "failure", "refusal"], int]


class RetryBudget:
    """``percent`` of the requests of the last ten seconds, plus ``floor_per_s`` retries a second: for each model, after
    failures and after refusals."""

    def __init__(
        self, percent: float = 10.0, floor_per_s: float = 5.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._share = percent / 100
        self._floor = floor_per_s * WINDOW_S
        self._models: dict[str, dict[int, _Counts]] = {}

    def request(self, model: str) -> None:
        """A new request came in (not a retry). ``model`` is a slug of the catalogue: bounded."""
        self._counts(model)["request"] += 1

    def allow(self, model: str, after: RetryAfter) -> bool:
        """Takes one retry out of the budget; False when it is spent."""
        counts, recent = self._counts(model), self._models[model].values()
        retries, requests = (sum(each[kind] for each in recent) for kind in (after, "request"))
        if retries + 1 > self._share * requests + self._floor:
            return False
        counts[after] += 1
        return True

    def _counts(self, model: str) -> _Counts:
        """Those of the present second."""
        second = int(self._clock())
        seconds = self._models.setdefault(model, {})
        counts = seconds.get(second)
        if counts is None:
            for old in [each for each in seconds if each <= second - WINDOW_S]:
                del seconds[old]
            counts = seconds[second] = {"request": 0, "failure": 0, "refusal": 0}
        return counts
