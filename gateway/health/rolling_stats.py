"""Counting in time: sliding windows of counters, and percentiles from counters with logarithmic bounds.

Everything is addition, so the counts of several processes merge in any order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple, cast

_LOG_STEP = math.log(1.04)
"""Neighbouring buckets differ by 4 %: a percentile is at most 2 % off."""
_LOWEST, _HIGHEST = -120, 520
"""0.009 ... 7e8: milliseconds and tokens a second with room on both sides."""
SHORT_SAMPLES = 10
"""With fewer samples in the short window, the long one is used."""

OK, FAIL = "ok", "fail"
TTFT, JSON_LATENCY, THROUGHPUT = "t", "j", "s"
"""First letters of the keys that count speeds: milliseconds to the first token, the same estimated from a JSON answer, tokens/s."""
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


class Speeds(NamedTuple):
    """What the good answers of a window say."""

    ttft_ms: Percentiles | None
    """Of streams."""
    latency_ms: Percentiles | None
    """Of streams alone where they are enough, else of streams and JSON answers."""
    throughput_tps: Percentiles | None
    samples: int
    """How many good answers of the last five minutes told their speed."""


class RollingStats:
    """All windows of one endpoint."""

    __slots__ = ("counts", "histograms")

    def __init__(self) -> None:
        self.counts = {span: Window(span, cell) for span, cell in CELLS_S.items()}
        self.histograms = {
            kind: {span: Window(span, CELLS_S[span]) for span in (300, 1800)}
            for kind in (TTFT, JSON_LATENCY, THROUGHPUT)
        }

    def add(self, when: float, key: str, count: int = 1, *, spans: Collection[int] = tuple(CELLS_S)) -> None:
        """Counts ``ok``, ``fail``, or ``<kind of speed><bucket>``. A kind that this version does not know is left out."""
        if key in (OK, FAIL):
            for span in spans:
                self.counts[span].add(when, key, count)
            return
        for window in self.histograms.get(key[0], {}).values():
            window.add(when, int(key[1:]), count)

    def success(self, span_s: int, now: float) -> tuple[int, int]:
        """(good, all) attempts of a window."""
        totals = self.counts[span_s].expire(now)
        good = totals.get(OK, 0)
        return good, good + totals.get(FAIL, 0)

    def speeds(self, now: float, span_s: int | None = None) -> Speeds:
        """The speeds of a window; None = of five minutes, or of thirty when five have too few samples."""
        streams, recent_streams = _histogram(self.histograms[TTFT], now, span_s)
        answers, recent_answers = _histogram(self.histograms[JSON_LATENCY], now, span_s)
        throughput, _ = _histogram(self.histograms[THROUGHPUT], now, span_s)
        ttft_ms = latency_ms = percentiles(streams)
        if answers and sum(streams.values()) < SHORT_SAMPLES:
            latency_ms = percentiles(Counter(streams) + Counter(answers))
        return Speeds(ttft_ms, latency_ms, percentiles(throughput), recent_streams + recent_answers)


def _histogram(windows: Mapping[int, Window], now: float, span_s: int | None) -> tuple[dict[int, int], int]:
    """(bucket → count, number of samples of the last five minutes)."""
    totals = windows[300].expire(now)
    recent = sum(totals.values()) if totals else 0
    if span_s == 1800 or (span_s is None and recent < SHORT_SAMPLES):
        totals = windows[1800].expire(now)
    return cast("dict[int, int]", totals), recent
