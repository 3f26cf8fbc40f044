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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.analytics import privacy, tables
from gateway.analytics.counters import ALL
from gateway.analytics.series import OTHERS
from gateway.analytics.weights import MILLION, TABLES, UNCLASSIFIED, Weighed, label_fields, read_row
from gateway.store.client import Store

Kind = Literal["category", "task", "language", "programming"]

LEAST_EFFECTIVE = 100
"""Effective events that a denominator needs to be shown."""
ROWS_UNITED = 50
"""Rows whose users are counted together in one call: more are not needed to know that they have enough."""
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
    suppressed: int = 0
    """Labels or models that are too private to be shown."""


async def label_shares(
    store: Store, kind: Kind, weeks: Sequence[int], *, model: str = ALL, least_users: int | None = None
) -> list[Estimates]:
    """The shares of a kind's labels in each week, of all models or of one. With ``least_users``, labels in which a single account
    could be recognised are one, ``others``. Raises StoreError.
    """
    found = [read_row(row) for row in await tables.rows(store, "w" + TABLES[kind], [(week, model) for week in weeks])]
    if least_users is None:
        return [estimated(sums) for sums in found]
    folded = await _public(store, weeks, found, lambda label: f"{TABLES[kind]} {label}", least_users)
    return [estimated(sums, suppressed) for sums, suppressed in folded]


async def model_shares(
    store: Store,
    kind: Kind,
    label: str,
    weeks: Sequence[int],
    *,
    top: int | None = None,
    least_users: int | None = None,
) -> list[Estimates]:
    """As ``shares_within``, of one label in each week."""
    return await shares_within(store, kind, [(week, label) for week in weeks], top=top, least_users=least_users)


async def shares_within(
    store: Store,
    kind: Kind,
    cells: Sequence[tuple[int, str]],
    *,
    top: int | None = None,
    least_users: int | None = None,
) -> list[Estimates]:
    """The shares of models in the tokens of each (week, label); beyond the ``top`` largest they are one, ``others``. With
    ``least_users``, so are models in which a single account could be recognised, and a label of that kind has no shares at all.
    Raises StoreError.
    """
    folded = await _within(store, kind, cells, least_users)
    return [estimated(sums if top is None else _largest(sums, top), suppressed) for sums, suppressed in folded]


async def tagged_shares(
    store: Store, kind: Kind, weeks: Sequence[int], *, top: int | None = None, least_users: int | None = None
) -> list[Estimates]:
    """As ``shares_within``, of all labels of a kind together, in each week. They are added up from what each label shows by
    itself: what is hidden in one of them cannot be found by subtracting it from the sum. Raises StoreError.
    """
    labels = await _labels_of(store, kind, weeks)
    cells = [(week, label) for week in weeks for label in labels]
    sums: dict[int, dict[str, Weighed]] = {week: {} for week in weeks}
    suppressed = dict.fromkeys(weeks, 0)
    for (week, _), (models, count) in zip(cells, await _within(store, kind, cells, least_users), strict=True):
        suppressed[week] += count
        for model, each in models.items():
            sums[week][model] = sums[week].get(model, Weighed()).plus(each)
    return [estimated(sums[week] if top is None else _largest(sums[week], top), suppressed[week]) for week in weeks]


async def _labels_of(store: Store, kind: Kind, weeks: Sequence[int]) -> list[str]:
    """The labels that something was counted for in these weeks."""
    found: set[str] = set()
    for row in await tables.rows(store, "w" + TABLES[kind], [(week, ALL) for week in weeks]):
        found |= read_row(row).keys()
    return sorted(found - {UNCLASSIFIED})


async def _within(
    store: Store, kind: Kind, cells: Sequence[tuple[int, str]], least_users: int | None
) -> list[tuple[dict[str, Weighed], int]]:
    """(Sums of the models of each week and label, as they may be shown, how many were too private for that)."""
    read: dict[tuple[int, str], dict[str, Weighed]] = {}
    for label in dict.fromkeys(label for _, label in cells):
        weeks = [week for week, each in cells if each == label]
        for week, table in zip(
            weeks, await tables.read(store, "w" + TABLES[kind], weeks, label_fields(label)), strict=True
        ):
            read[week, label] = {model: Weighed(*row) for model, row in table.items() if row[0] and model != ALL}
    found = [(read[cell], 0) for cell in cells]
    if least_users is None:
        return found
    private = await _private(store, [(week, f"{TABLES[kind]} {label}") for week, label in cells], least_users)
    refused = [(week, f"{TABLES[kind]} {label}") in private for week, label in cells]
    sums = [{} if hidden else each for hidden, (each, _) in zip(refused, found, strict=True)]
    folded = await _public(store, [week for week, _ in cells], sums, lambda model: "m " + model, least_users)
    return [
        (each, int(bool(counted)) if hidden else count)
        for hidden, (counted, _), (each, count) in zip(refused, found, folded, strict=True)
    ]


async def _private(store: Store, cells: Iterable[tuple[int, str]], least_users: int) -> set[tuple[int, str]]:
    """Weeks and rows in which a single account could be recognised."""
    asked = list(dict.fromkeys(cells))
    shown = await privacy.shown(store, [privacy.Cell("w", (week,), (row,)) for week, row in asked], least_users)
    return {cell for cell, allowed in zip(asked, shown, strict=True) if not allowed}


async def _public(
    store: Store,
    weeks: Sequence[int],
    found: Sequence[Mapping[str, Weighed]],
    row_of: Callable[[str], str],
    least_users: int,
) -> list[tuple[dict[str, Weighed], int]]:
    """(Sums with those in which a single account could be recognised in one, how many these are), of each week.

    Where that would be a single key, or too few users, the smallest that could be shown join it, as in ``queries``.
    """
    known = [[key for key in sums if key != UNCLASSIFIED] for sums in found]
    private = await _private(
        store, [(week, row_of(key)) for week, each in zip(weeks, known, strict=True) for key in each], least_users
    )
    hidden = [{key for key in each if (week, row_of(key)) in private} for week, each in zip(weeks, known, strict=True)]
    suppressed = [len(keys) for keys in hidden]
    unsure = [place for place, keys in enumerate(hidden) if keys]
    while unsure:
        rows = [tuple(sorted(row_of(key) for key in hidden[place])[:ROWS_UNITED]) for place in unsure]
        unions = [privacy.Cell("w", (weeks[place],), each) for place, each in zip(unsure, rows, strict=True)]
        people = await tables.users(store, "w", unions)
        unsure = [
            place
            for place, users in zip(unsure, people, strict=True)
            if (len(hidden[place]) < 2 or users < least_users) and len(hidden[place]) < len(known[place])
        ]
        for place in unsure:
            left = [(found[place][key].t, key) for key in known[place] if key not in hidden[place]]
            hidden[place].add(min(left)[1])
    return [(_merged(sums, keys), count) for sums, keys, count in zip(found, hidden, suppressed, strict=True)]


def _merged(sums: Mapping[str, Weighed], keys: set[str]) -> dict[str, Weighed]:
    """The sums with those of ``keys`` in one, ``others``."""
    left = {key: each for key, each in sums.items() if key not in keys}
    return {**left, OTHERS: _total(sums[key] for key in keys)} if keys else left


def _largest(sums: Mapping[str, Weighed], top: int) -> dict[str, Weighed]:
    """The sums with all but the ``top`` largest in ``others``, beside what is in it."""
    order = sorted((key for key in sums if key != OTHERS), key=lambda key: (-sums[key].t, key))
    rest = set(order[top:])
    return _merged(sums, rest | {OTHERS} if OTHERS in sums else rest)


def estimated(sums: Mapping[str, Weighed], suppressed: int = 0) -> Estimates:
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
        suppressed=suppressed,
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
