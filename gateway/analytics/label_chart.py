"""What was used for labels (categories, languages) week by week, with how well each figure is known: of one label by model, of all
that have one by model, or the labels themselves.

It must not know: HTTP, who is asking: ``least_users`` says what may be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from gateway.analytics import buckets, tables
from gateway.analytics.dimensions import BARE, Dimensions
from gateway.analytics.estimates import Estimates, Kind, label_shares, model_shares, tagged_shares
from gateway.analytics.queries import newcomers
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.catalog.colors import OTHERS as OTHERS_COLOR
from gateway.store.client import Store


class LabelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart shows. ``start`` and ``end``: days, both included; whole weeks that contain them are shown."""

    kind: Kind
    label: str | None
    """None: all labels of the kind together."""
    by: Literal["model", "label"] = "model"
    """``label``: the labels against each other; then ``label`` and ``top`` say nothing."""
    start: int
    end: int
    top: int = 9
    others: bool = True
    least_users: int | None = None
    """None: everything may be shown."""


async def label_chart(store: Store, query: LabelQuery, now: float, dimensions: Dimensions = BARE) -> Chart:
    """Estimated tokens of the ``top`` largest models of each week, and the rest as ``others``; or of all labels. Where an estimate
    would be too uncertain to show, a week has no values. ``meta.estimates`` has one entry a week. Raises StoreError.
    """
    weeks = range(buckets.week_of(query.start), buckets.week_of(query.end) + 1)
    found = await _estimates(store, query, weeks)
    values = [{each.key: each.tokens for each in week.estimates} for week in found]
    shown = [{key: tokens for key, tokens in each.items() if key != OTHERS} for each in values]
    totals: dict[str, int] = {}
    for each in shown:
        for key, tokens in each.items():
            totals[key] = totals.get(key, 0) + tokens
    dressed = query.by == "model"
    series = [
        Series(
            key,
            dimensions.label("model", key) if dressed else key,
            dimensions.color("model", key) if dressed else None,
            tuple(each.get(key) for each in shown),
        )
        for key in sorted(totals, key=lambda key: (-totals[key], key))
    ]
    if query.others:
        rest = tuple(each.get(OTHERS, 0) if each else None for each in values)
        series.append(Series(OTHERS, "Others", OTHERS_COLOR, rest))
    is_partial = (buckets.monday(weeks[-1]) + 7) * 86_400 > now
    return Chart(
        buckets=tuple(buckets.iso_day(buckets.monday(week)) for week in weeks),
        series=tuple(series),
        unit="tokens_native",
        partial_last=is_partial,
        meta={
            "complete_through": buckets.iso_day(buckets.today(now) - 1),
            "revision": await tables.revisions(store, weeks),
            "membership": "per_bucket",
            "suppressed": sum(week.suppressed for week in found),
            "new": newcomers(shown[:-1] if is_partial else shown) if len(shown) > 1 else [],
            **quality(found),
            "estimates": [_week(week, others=query.others) for week in found],
        },
    )


async def _estimates(store: Store, query: LabelQuery, weeks: Sequence[int]) -> list[Estimates]:
    if query.by == "label":
        return await label_shares(store, query.kind, weeks, least_users=query.least_users)
    if query.label is None:
        return await tagged_shares(store, query.kind, weeks, top=query.top, least_users=query.least_users)
    return await model_shares(store, query.kind, query.label, weeks, top=query.top, least_users=query.least_users)


def quality(found: Sequence[Estimates]) -> dict[str, Any]:
    """Of all estimates together: ``estimator`` (``exact`` where all requests were counted), ``n`` and ``n_eff``."""
    return {
        "estimator": "exact" if all(each.exact for each in found) else "sampled",
        "n": sum(each.n for each in found),
        "n_eff": sum(each.n_effective for each in found),
    }


def _week(week: Estimates, *, others: bool) -> dict[str, Any]:
    """How well the figures of one week are known."""
    return {
        "n": week.n,
        "n_eff": week.n_effective,
        "exact": week.exact,
        "hidden": week.hidden,
        "suppressed": week.suppressed,
        "chance": week.chance,
        "intervals": {
            each.key: {
                "share": each.share,
                "low": each.low,
                "high": each.high,
                "tokens_low": str(each.tokens_low),
                "tokens_high": str(each.tokens_high),
            }
            for each in week.estimates
            if others or each.key != OTHERS
        },
    }
