"""Sums of sampled events: each stands for 1 / p of its kind (Horvitz-Thompson), with the 95 % interval of a Poisson sample.

An event that was declared, or classified without a draw, has p = 1 and no variance. Pure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gateway.analytics.report.statistics import Z95

LEAST_EFFECTIVE = 100.0
"""Effective sample size below which a sampled value is not shown."""


class Sample(NamedTuple):
    """What is known of a set of classified events. The order is that of the columns of ``UsedEvents.cells``."""

    events: int
    tokens: float
    """Estimate: the sum of tokens / p."""
    variance: float
    """The sum of tokens² (1 - p) / p²."""
    weights: float
    """The sum of 1 / p."""
    squares: float
    """The sum of 1 / p²."""

    @property
    def effective(self) -> float:
        """(Σw)² / Σw²: the events that an equal draw would need for the same precision."""
        return self.weights**2 / self.squares if self.squares else 0.0

    @property
    def shown(self) -> bool:
        """Enough events were drawn; what was not drawn is exact and is always shown."""
        return self.variance <= 0 or self.effective >= LEAST_EFFECTIVE


NOTHING = Sample(0, 0.0, 0.0, 0.0, 0.0)


def together(*parts: Sample) -> Sample:
    """The samples of disjoint sets as one."""
    return Sample(*(sum(column) for column in zip(*parts, strict=True))) if parts else NOTHING


class Share(NamedTuple):
    """A part of a whole, in percent."""

    percent: float
    half: float
    """Half the width of the 95 % interval, in points."""

    def __str__(self) -> str:
        return f"{self.percent:.1f}\u202f%" + (f" ± {self.half:.1f}" if self.half >= 0.05 else "")


def share(part: Sample, whole: Sample) -> Share | None:
    """The share of ``part``, which lies within ``whole``, in the estimated tokens; None where too little was drawn.

    The interval is that of a ratio: an error in the part is one in the whole, too.
    """
    if whole.tokens <= 0 or not whole.shown:
        return None
    ratio = part.tokens / whole.tokens
    outside = max(whole.variance - part.variance, 0.0)
    error = math.sqrt((1 - ratio) ** 2 * part.variance + ratio**2 * outside) / whole.tokens
    return Share(100 * ratio, 100 * Z95 * error)
