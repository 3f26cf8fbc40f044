"""One endpoint's breaker: CLOSED → OPEN → HALF-OPEN → CLOSED. Clock readings and rng are arguments.

CLOSED     opens at 5 failures in a row, or at ≥ 50 % failures of ≥ 20 attempts within 10 s
OPEN       for 5 s * 2^k (k = times it failed its probe), at most 300 s, ± 20 %
HALF-OPEN  one probe at a time; 3 good ones close it, a bad one opens it for longer
"""

from __future__ import annotations

import random
from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES_IN_A_ROW = 5
RATE, RATE_WINDOW_S, RATE_ATTEMPTS = 0.5, 10, 20
FIRST_OPEN_S, LONGEST_OPEN_S, JITTER = 5.0, 300.0, 0.2
GOOD_PROBES = 3
PROBE_TTL_S = 60.0
"""A probe whose end is never reported gives its slot back after this time."""


class Breaker:
    """Not thread-safe: one event loop owns it."""

    __slots__ = ("_cells", "_failures", "_good_probes", "_opened", "_probe_until", "_rng", "changed_at", "open_until")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.open_until: float | None = None
        """Set while open or half-open: when probing may begin."""
        self.changed_at = 0.0
        """When it last opened or closed: between processes the later change wins."""
        self._opened = 0
        self._failures = 0
        self._good_probes = 0
        self._probe_until = 0.0
        self._cells: dict[int, list[int]] = {}

    def state(self, now: float) -> State:
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def available(self, now: float) -> bool:
        """May a request go there now? In half-open: is the probe's slot free?"""
        if self.open_until is None:
            return True
        return now >= self.open_until and now >= self._probe_until

    def probe(self, now: float) -> bool:
        """Takes the probe's slot. True when the request may go: always while closed, never while open."""
        if not self.available(now):
            return False
        if self.open_until is not None:
            self._probe_until = now + PROBE_TTL_S
        return True

    def release(self) -> None:
        """A probe ended without showing anything about the endpoint (the client disconnected, or the request was at fault)."""
        self._probe_until = 0.0

    def succeed(self, now: float, requests: int = 1) -> None:
        """``requests``: how many, of which only one can be a probe."""
        self._failures = 0
        self._count(now, failed=False, attempts=requests)
        if self.open_until is None or now < self.open_until:
            return  # closed; or an answer to something sent before it opened: no proof of recovery
        self._probe_until = 0.0
        self._good_probes += 1
        if self._good_probes >= GOOD_PROBES:
            self._close(now)

    def fail(self, now: float) -> bool:
        """Counts a failure. True when this one opened it."""
        self._failures += 1
        rate_reached = self._count(now, failed=True)
        if self.open_until is None:
            if self._failures < FAILURES_IN_A_ROW and not rate_reached:
                return False
        elif now < self.open_until:
            return False  # sent before it opened: one outage is not counted twice
        self._open(now)
        return True

    def adopt(self, until: float | None, at: float) -> None:
        """Another process opened it (until a time) or closed it (None) at ``at``."""
        if at <= self.changed_at:
            return
        if until is None:
            self._close(at)
            return
        self.open_until, self.changed_at = until, at
        self._good_probes, self._probe_until = 0, 0.0

    def _open(self, now: float) -> None:
        pause_s = min(FIRST_OPEN_S * 2.0 ** min(self._opened, 10), LONGEST_OPEN_S)
        self.open_until = now + pause_s * (1 + JITTER * (2 * self._rng.random() - 1))
        self.changed_at = now
        self._opened += 1
        self._good_probes, self._probe_until = 0, 0.0

    def _close(self, now: float) -> None:
        self.open_until, self.changed_at = None, now
        self._opened = self._failures = self._good_probes = 0
        self._probe_until = 0.0
        self._cells.clear()

    def _count(self, now: float, *, failed: bool, attempts: int = 1) -> bool:
        """Adds attempts to the ten-second window; True when the failure rate is reached."""
        second = int(now)
        cell = self._cells.get(second)
        if cell is None:
            for old in [each for each in self._cells if each <= second - RATE_WINDOW_S]:
                del self._cells[old]
            cell = self._cells[second] = [0, 0]
        cell[failed] += attempts
        if not failed:
            return False
        good, bad = (sum(each[kind] for each in self._cells.values()) for kind in (0, 1))
        return good + bad >= RATE_ATTEMPTS and bad >= RATE * (good + bad)
