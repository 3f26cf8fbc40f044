"""How one measure follows another over many models: a straight line through logarithms. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gateway.analytics.report.statistics import fitted

LEAST_POINTS = 30
"""With fewer models a slope says nothing (M18 of the study's definitions asks for as many)."""


class Line(NamedTuple):
    """log10 y = intercept + slope · log10 x."""

    slope: float
    intercept: float
    interval: float
    """Half of the slope's 95 % interval, with errors of unequal size allowed for (HC1)."""

    def at(self, x: float) -> float:
        """The y of a positive x."""
        return float(10 ** (self.intercept + self.slope * math.log10(x)))


def log_line(points: Sequence[tuple[float, float]]) -> Line | None:
    """Least squares through positive (x, y); None with fewer than ``LEAST_POINTS``, or where all x are the same."""
    if len(points) < LEAST_POINTS:
        return None
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    line = fitted(xs, ys)
    return None if line is None else Line(line.slope, line.intercept, (line.high - line.low) / 2)
