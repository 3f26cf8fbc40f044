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
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.analytics import privacy, tables
from gateway.analytics.counters import ALL
from gateway.analytics.series import OTHERS
from gateway.analytics.weights import MILLION, TABLES, UNCLASSIFIED, Weighed, read_row
from gateway.store.client import Store

Kind = Literal["category", "task", "language", "programming"]

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


async def label_shares(
    store: Store, kind: Kind, weeks: Sequence[int], *, model: str = ALL, least_users: int | None = None
) -> list[Estimates]:
    """The shares of a kind's labels in each week, of all models or of one. With ``least_users``, labels in which a single account
    could be recognised are one, ``others``. Raises StoreError.
    """
    found = [read_row(row) for row in await tables.rows(store, "w" + TABLES[kind], [(week, model) for week in weeks])]
    if least_users is not None:
        cells = [
            (week, f"{TABLES[kind]} {label}") for week, sums in zip(weeks, found, strict=True) for label in _known(sums)
        ]
        private = await _private(store, cells, least_users)
        found = [_folded(sums, kind, private, week) for week, sums in zip(weeks, found, strict=True)]
    return [estimated(sums) for sums in found]


async def model_shares(
    store: Store, kind: Kind, label: str, weeks: Sequence[int], *, least_users: int | None = None
) -> list[Estimates]:
    """The shares of models in a label's tokens in each week. With ``least_users``, models in which a single account could be
    recognised are one, ``others``, and a label of that kind has no shares at all. Raises StoreError.
    """
    table = "w" + TABLES[kind]
    names = [sorted(rows - {ALL}) for rows in await tables.row_names(store, table, weeks)]
    cells = [(week, model) for week, models in zip(weeks, names, strict=True) for model in models]
    rows = await tables.rows(store, table, cells)
    found: dict[int, dict[str, Weighed]] = {week: {} for week in weeks}
    for (week, model), row in zip(cells, rows, strict=True):
        sums = read_row(row).get(label)
        if sums is not None:
            found[week][model] = sums
    if least_users is not None:
        asked = [(week, f"{TABLES[kind]} {label}") for week in weeks]
        private = await _private(store, [*asked, *[(week, "m " + model) for week, model in cells]], least_users)
        for week, cell in zip(weeks, asked, strict=True):
            hidden = {model for model in found[week] if (week, "m " + model) in private}
            found[week] = {} if cell in private else _merged(found[week], hidden)
    return [estimated(found[week]) for week in weeks]


async def _private(store: Store, cells: Sequence[tuple[int, str]], least_users: int) -> set[tuple[int, str]]:
    """Weeks and rows in which a single account could be recognised."""
    shown = await privacy.shown(store, [privacy.Cell("w", (week,), (row,)) for week, row in cells], least_users)
    return {cell for cell, allowed in zip(cells, shown, strict=True) if not allowed}


def _folded(sums: Mapping[str, Weighed], kind: Kind, private: set[tuple[int, str]], week: int) -> dict[str, Weighed]:
    return _merged(sums, {name for name in _known(sums) if (week, f"{TABLES[kind]} {name}") in private})


def _merged(sums: Mapping[str, Weighed], keys: set[str]) -> dict[str, Weighed]:
    """The sums with those of ``keys`` in one, ``others``."""
    left = {key: each for key, each in sums.items() if key not in keys}
    return {**left, OTHERS: _total(sums[key] for key in keys)} if keys else left


def _known(sums: Mapping[str, Weighed]) -> list[str]:
    return [label for label in sums if label != UNCLASSIFIED]


def estimated(sums: Mapping[str, Weighed]) -> Estimates:
    """The shares of some labels or models: their sums, by key, and those that are ``UNCLASSIFIED``."""
    known = {key: each for key, each in sums.items() if key != UNCLASSIFIED and each.n}
    total = _total(known.values())
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


def _total(sums: Iterable[Weighed]) -> Weighed:
    total = Weighed()
    for each in sums:
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
