"""Arithmetic of the bench, pure: percentiles, medians with their spread, slopes, ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

POINTS = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Figure:
    """A median of repeats. ``spread`` = (max - min) / median: how far the repeats lay apart."""

    value: float
    spread: float
    repeats: tuple[float, ...]


def percentile(ordered: Sequence[float], point: float) -> float:
    """Nearest rank of an ascending, non-empty sequence."""
    rank = max(1, -(-len(ordered) * point // 100))
    return ordered[int(rank) - 1]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """{"p50", "p90", "p99", "max", "count"}; only the count when there are no values."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    points = {f"p{point}": round(percentile(ordered, point), 1) for point in POINTS}
    return {**points, "max": round(ordered[-1], 1), "count": len(ordered)}


def figure(repeats: Sequence[float]) -> Figure:
    """Raises statistics.StatisticsError when there is no repeat."""
    middle = median(repeats)
    spread = (max(repeats) - min(repeats)) / abs(middle) if middle else 0.0
    return Figure(middle, spread, tuple(repeats))


def slope(short: tuple[int, float], long: tuple[int, float]) -> float:
    """Cost of one more event, from (events, cost of a stream) of short and long streams: the request's own cost drops out."""
    return (long[1] - short[1]) / (long[0] - short[0])
