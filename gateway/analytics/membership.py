"""Which series of a chart are shown by themselves: the largest of each bucket, or the same ones in all of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gateway.analytics.series import OTHERS, Chart, Series


def fixed(chart: Chart, top: int) -> Chart:
    """The ``top`` largest of the whole window in every bucket; what the others have is within ``others``.

    A key that has no value of its own in a bucket is None there: it was too small or too private, and is within ``others``.
    """
    named = [series for series in chart.series if series.key != OTHERS]
    kept, rest = named[:top], [*named[top:], *[series for series in chart.series if series.key == OTHERS]]
    sums = [sum(series.values[place] or 0 for series in rest) for place in range(len(chart.buckets))]
    series = [*kept, Series(OTHERS, "Others", None, tuple(sums))] if rest else kept
    return msgspec.structs.replace(chart, series=tuple(series), meta={**chart.meta, "membership": "fixed"})


def chart_of(
    buckets: Sequence[str], rows: Sequence[Mapping[str, int]], *, top: int, unit: str, partial_last: bool
) -> Chart:
    """A chart of the ``top`` largest keys of the window; ``rows``: for each bucket key → value, ``others`` among them or not."""
    totals: dict[str, int] = {}
    for row in rows:
        for key, value in row.items():
            totals[key] = totals.get(key, 0) + value
    order = sorted(totals, key=lambda key: (key == OTHERS, -totals[key], key))
    series = [Series(key, key, None, tuple([row.get(key, 0) for row in rows])) for key in order]
    kept = [each for each in series[:top] if each.key != OTHERS]
    small = series[len(kept) :]
    rest = tuple([sum(each.values[place] or 0 for each in small) for place in range(len(rows))])
    if any(rest):
        kept.append(Series(OTHERS, "Others", None, rest))
    return Chart(tuple(buckets), tuple(kept), unit, partial_last, {"membership": "fixed"})
