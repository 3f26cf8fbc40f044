"""Counting in time: sliding windows of counters, and percentiles from counters with logarithmic bounds.

Everything is addition, so the counts of several processes merge in any order.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

_LOG_STEP = math.log(1.04)
"""Neighbouring buckets differ by 4 %: a percentile is at most 2 % off."""
_LOWEST, _HIGHEST = -120, 520
"""0.009 ... 7e8: milliseconds and tokens a second with room on both sides."""
SHORT_SAMPLES = 10
"""With fewer samples in the short window, the long one is used."""

OK, FAIL = "ok", "fail"
CELLS_S = {30: 1, 300: 10, 1800: 60, 86_400: 1800}
"""Window → its resolution, both in seconds."""


class Percentiles(NamedTuple):
    """Time to first token in milliseconds, or throughput in tokens a second."""

    p50: float
    p75: float
    p90: float
    p99: float


def bucket(value: float) -> int:
    """The number of the bucket that a positive value falls into."""
    if value <= 0 or not math.isfinite(value):
        return _LOWEST if value <= 0 else _HIGHEST
    return min(max(math.floor(math.log(value) / _LOG_STEP), _LOWEST), _HIGHEST)


def middle(number: int) -> float:
    """The value that stands for a bucket: its geometric middle."""
    return math.exp((number + 0.5) * _LOG_STEP)


def percentiles(histogram: Mapping[int, int]) -> Percentiles | None:
    """p50, p75, p90, p99 by nearest rank; None without samples."""
    total = sum(histogram.values())
    if total <= 0:
        return None
    wanted = [math.ceil(total * share) for share in (0.50, 0.75, 0.90, 0.99)]
    found: list[float] = []
    passed = 0
    for number in sorted(histogram):
        passed += histogram[number]
        while len(found) < len(wanted) and passed >= wanted[len(found)]:
            found.append(round(middle(number), 3))
    return Percentiles(*found)


class Window:
    """Counters over the last ``span_s`` seconds, in cells of ``cell_s``. Adding and expiring cost the same for each count."""

    __slots__ = ("_cells", "_oldest", "cell_s", "span_s", "totals")

    def __init__(self, span_s: int, cell_s: int) -> None:
        self.span_s, self.cell_s = span_s, cell_s
        self.totals: dict[int | str, int] = {}
        """Read after ``expire``; a key without counts is absent."""
        self._cells: dict[int, dict[int | str, int]] = {}
        self._oldest = 0

    def add(self, when: float, key: int | str, count: int = 1) -> None:
        """Counts what happened at unix time ``when``; what is older than the window goes with ``expire``."""
        number = int(when // self.cell_s)
        cell = self._cells.get(number)
        if cell is None:
            cell = self._cells[number] = {}
            self._oldest = min(self._oldest, number) if len(self._cells) > 1 else number
        cell[key] = cell.get(key, 0) + count
        self.totals[key] = self.totals.get(key, 0) + count

    def expire(self, now: float) -> dict[int | str, int]:
        """Forgets what left the window; returns the totals of the rest."""
        first = int((now - self.span_s) // self.cell_s) + 1
        if self._cells and self._oldest < first:
            for number in [number for number in self._cells if number < first]:
                for key, count in self._cells.pop(number).items():
                    rest = self.totals[key] - count
                    if rest:
                        self.totals[key] = rest
                    else:
                        del self.totals[key]
            self._oldest = min(self._cells, default=0)
        return self.totals


class RollingStats:
    """All windows of one endpoint."""

    __slots__ = ("counts", "throughput", "ttft")

    def __init__(self) -> None:
        self.counts = {span: Window(span, cell) for span, cell in CELLS_S.items()}
        self.ttft = {span: Window(span, CELLS_S[span]) for span in (300, 1800)}
        self.throughput = {span: Window(span, CELLS_S[span]) for span in (300, 1800)}

    def add(self, when: float, key: str, count: int = 1, *, spans: Collection[int] = tuple(CELLS_S)) -> None:
        """Counts ``ok``, ``fail``, ``t<bucket>`` (time to first token) or ``s<bucket>`` (speed)."""
        if key in (OK, FAIL):
            for span in spans:
                self.counts[span].add(when, key, count)
            return
        for window in (self.ttft if key[0] == "t" else self.throughput).values():
            window.add(when, int(key[1:]), count)

    def success(self, span_s: int, now: float) -> tuple[int, int]:
        """(good, all) attempts of a window."""
        totals = self.counts[span_s].expire(now)
        good = totals.get(OK, 0)
        return good, good + totals.get(FAIL, 0)

    def speeds(self, now: float, span_s: int | None = None) -> tuple[Percentiles | None, Percentiles | None]:
        """(TTFT ms, tokens/s) of a window; None = of five minutes, or of thirty when five have too few samples."""
        return _percentiles(self.ttft, now, span_s), _percentiles(self.throughput, now, span_s)


def _percentiles(windows: Mapping[int, Window], now: float, span_s: int | None) -> Percentiles | None:
    if span_s is None:
        span_s = 300 if sum(windows[300].expire(now).values()) >= SHORT_SAMPLES else 1800
    return percentiles({int(key): count for key, count in windows[span_s].expire(now).items()})
