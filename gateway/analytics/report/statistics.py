"""The statistics that figures quote: fitted lines, robust slopes, concentration, quantiles. Pure; figures are plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

Z95 = 1.959964
"""Half the width of a normal 95 % interval, in standard errors."""
THEIL_SEN_MAX = 160
"""Points beyond which every second, third ... is taken: the pairs grow with the square."""


class Line(NamedTuple):
    """A line through points by least squares, with the 95 % interval of its slope."""

    intercept: float
    slope: float
    low: float
    high: float

    def at(self, x: float) -> float:
        """The line's y."""
        return self.intercept + self.slope * x


def fitted(x: Sequence[float], y: Sequence[float], weights: Sequence[float] | None = None) -> Line | None:
    """Least squares with the HC1 variance of White and MacKinnon, which bears errors of unequal size; weighted where asked.

    None for fewer than three points, or where all x are the same.
    """
    count = len(x)
    w = list(weights) if weights is not None else [1.0] * count
    whole = math.fsum(w)
    if count < 3 or whole <= 0:
        return None
    mean_x = math.fsum(a * b for a, b in zip(w, x, strict=True)) / whole
    mean_y = math.fsum(a * b for a, b in zip(w, y, strict=True)) / whole
    spread = math.fsum(a * (b - mean_x) ** 2 for a, b in zip(w, x, strict=True))
    if spread <= 0:
        return None
    slope = math.fsum(a * (b - mean_x) * (c - mean_y) for a, b, c in zip(w, x, y, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    meat = math.fsum((a * (b - mean_x) * (c - intercept - slope * b)) ** 2 for a, b, c in zip(w, x, y, strict=True))
    error = math.sqrt(count / (count - 2) * meat) / spread
    return Line(intercept, slope, slope - Z95 * error, slope + Z95 * error)


def theil_sen(values: Sequence[float | None]) -> float | None:
    """The median of all slopes between two points, a step of one place; None for fewer than two known values."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    known = known[:: max(1, math.ceil(len(known) / THEIL_SEN_MAX))]
    slopes = [(after - before) / (right - left) for (left, before), (right, after) in combinations(known, 2)]
    return median(slopes) if slopes else None


def concentration(values: Sequence[float]) -> float | None:
    """The Herfindahl-Hirschman index, 0 to 10,000: the sum of the squared shares in percent."""
    whole = math.fsum(values)
    return math.fsum((100 * value / whole) ** 2 for value in values) if whole > 0 else None


def quantile(values: Sequence[float], part: float) -> float | None:
    """The quantile of values in any order, linear between neighbours."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def rise_is_beyond_chance(before: float, after: float, size: int) -> bool:
    """Whether ``after`` of ``size`` users exceeds ``before`` of them by more than chance does in 95 of 100 cases, taken as two
    independent shares: returning users are mostly the same people, so this asks for more than it must."""
    if size <= 0 or after <= before:
        return False
    low, high = before / size, after / size
    error = math.sqrt((low * (1 - low) + high * (1 - high)) / size)
    return high - low > Z95 * error
