"""How many retries may be made: a share of a model's recent requests plus a small floor.

A brown-out must not be answered with three times the load: unbounded retries keep an overloaded vendor down after its
capacity has returned (metastable failure).
"""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_S = 10
"""How long a request's share of a retry lives."""


class RetryBudget:
    """``percent`` of the requests of the last ten seconds, plus ``floor_per_s`` retries a second, for each model."""

    def __init__(
        self, percent: float = 10.0, floor_per_s: float = 5.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._share = percent / 100
        self._floor = floor_per_s * WINDOW_S
        self._models: dict[str, dict[int, list[int]]] = {}

    def request(self, model: str) -> None:
        """A new request came in (not a retry). ``model`` is a slug of the catalogue: bounded."""
        self._cell(model)[0] += 1

    def allow(self, model: str) -> bool:
        """Takes one retry out of the budget; False when it is spent."""
        cell = self._cell(model)
        requests, retries = (sum(each[kind] for each in self._models[model].values()) for kind in (0, 1))
        if retries + 1 > self._share * requests + self._floor:
            return False
        cell[1] += 1
        return True

    def _cell(self, model: str) -> list[int]:
        second = int(self._clock())
        cells = self._models.setdefault(model, {})
        cell = cells.get(second)
        if cell is None:
            for old in [each for each in cells if each <= second - WINDOW_S]:
                del cells[old]
            cell = cells[second] = [0, 0]
        return cell
