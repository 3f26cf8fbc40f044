"""Shares of categories, tasks and languages, estimated from a sample, each with an interval that has the truth in 95 of 100 weeks.

    share of label c   s = T_c / T                      T: Σ tokens/p of classified events
    its variance       ((1 − 2s)·V_c + s²·V) / T²        V: Σ tokens²·(1−p)/p²
    interval           Wilson's, for the sample size at which a plain share would have this variance; of tokens, on a scale of
                       logarithms: a few long requests make both lopsided

Where everything was counted (p = 1) an estimate is exact and its interval a point. A denominator that fewer than a hundred events
of equal weight could have made is hidden. It must not know: HTTP, who is asking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from gateway.analytics.weights import MILLION, UNCLASSIFIED, Weighed

LEAST_EFFECTIVE = 100
"""Effective events that a denominator needs to be shown."""
Z = 2.24
"""Of the normal distribution, for 97.5 %. Sizes of requests are skewed, and intervals of what is estimated from few have the truth
less often than they should: with 1.96 in 92 to 96 of 100 cases, with this in 95 or more."""


class Estimate(msgspec.Struct, frozen=True):
    """One label, or one model within a label."""

    key: str
    share: float
    """Of the tokens, 0 to 1; ``low`` and ``high``: its interval."""
    low: float
    high: float
    request_share: float
    tokens: int
    tokens_low: int
    tokens_high: int
    requests: int
    spend_nano: int
    n: int
    """Events that were classified, or declared."""


class Estimates(msgspec.Struct, frozen=True):
    """The shares of one bucket; they add up to 1."""

    estimates: tuple[Estimate, ...]
    """The largest share first; empty when hidden."""
    n: int
    n_effective: int
    """(Σw)²/Σw²."""
    unclassified: float
    """Share of the requests that were sampled, but not classified; they are in no other figure."""
    chance: float
    """Mean chance with which an event was chosen: where it changes, a chart draws a line."""
    exact: bool
    hidden: bool


def estimated(sums: Mapping[str, Weighed]) -> Estimates:
    """The shares of some labels or models: their sums, by key, and those that are ``UNCLASSIFIED``."""
    known = {key: each for key, each in sums.items() if key != UNCLASSIFIED and each.n}
    total = _total(known)
    every = total.plus(sums.get(UNCLASSIFIED, Weighed()))
    effective = total.w * total.w // (total.x * MILLION) if total.x else 0
    exact = total.v == 0 and total.x == total.w
    hidden = not exact and effective < LEAST_EFFECTIVE
    found = [] if hidden else [_estimate(key, each, total, effective) for key, each in known.items()]
    return Estimates(
        estimates=tuple(sorted(found, key=lambda each: (-each.share, each.key))),
        n=total.n,
        n_effective=effective,
        unclassified=1 - total.w / every.w if every.w else 0.0,
        chance=every.n * MILLION / every.w if every.w else 1.0,
        exact=exact,
        hidden=hidden,
    )


def _total(sums: Mapping[str, Weighed]) -> Weighed:
    total = Weighed()
    for each in sums.values():
        total = total.plus(each)
    return total


def _estimate(key: str, each: Weighed, total: Weighed, effective: int) -> Estimate:
    share = each.t / total.t if total.t else 0.0
    low, high = _interval(share, _variance(share, each, total), effective)
    spread = math.exp(_quantile(each.n) * math.sqrt(each.v) * MILLION / each.t) if each.t else 1.0
    return Estimate(
        key=key,
        share=share,
        low=low,
        high=high,
        request_share=each.w / total.w,
        tokens=each.t // MILLION,
        tokens_low=round(each.t / MILLION / spread),
        tokens_high=round(each.t / MILLION * spread),
        requests=each.w // MILLION,
        spend_nano=each.u,
        n=each.n,
    )


def _variance(share: float, each: Weighed, total: Weighed) -> float:
    """Of a share of tokens, which is a quotient of two estimates."""
    tokens = total.t / MILLION
    return max((1 - 2 * share) * each.v + share * share * total.v, 0) / (tokens * tokens) if tokens else 0.0


def _quantile(n: int) -> float:
    """Of Student's distribution: the variance itself is known from ``n`` events only."""
    return Z + (Z**3 + Z) / (4 * max(n - 1, 1))


def _interval(share: float, variance: float, effective: int) -> tuple[float, float]:
    """Wilson's interval: unlike share ± 2 standard errors, it also holds for small shares, and stays between 0 and 1."""
    if variance == 0:
        return share, share
    size = min(share * (1 - share) / variance, effective) if 0 < share < 1 else effective
    middle = (share + Z * Z / (2 * size)) / (1 + Z * Z / size)
    half = Z / (1 + Z * Z / size) * math.sqrt(share * (1 - share) / size + Z * Z / (4 * size * size))
    return max(middle - half, 0.0), min(middle + half, 1.0)
