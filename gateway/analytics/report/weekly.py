"""Cells of weeks as charts: the largest series of the window, and everything else, or what may not be shown, as ``others``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from gateway.analytics.report.document import Draw, TimeChart
from gateway.analytics.report.estimates import Sample, Share, share, together
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.catalog.colors import OTHERS as OTHERS_COLOR
from gateway.catalog.colors import UNKNOWN as UNKNOWN_COLOR

PERMYRIAD = "permyriad"
TOP = 9
SPANS = (1, 4, 13)
"""Weeks of a bucket of estimates: longer ones where a week has too few of the sample."""
HIDDEN_MOST = 0.25
"""Of the buckets, the most that may be hidden before longer ones are taken."""


@dataclass(slots=True)
class Weekly:
    """Values by week and key. ``others`` is what may not be shown; ``hidden`` are weeks of which too little was drawn."""

    weeks: list[date]
    values: dict[str, dict[date, float]] = field(default_factory=lambda: defaultdict(dict))
    samples: dict[str, dict[date, Sample]] = field(default_factory=lambda: defaultdict(dict))
    """By single weeks, whatever the buckets are."""
    others: dict[date, float] = field(default_factory=lambda: defaultdict(float))
    hidden: frozenset[date] = frozenset()
    suppressed: int = 0
    span: int = 1
    """Weeks in a bucket; ``weeks`` are the first ones."""

    def total(self, key: str) -> float:
        """The sum of a series over the window."""
        return sum(self.values.get(key, {}).values())

    @property
    def ranked(self) -> list[str]:
        """All keys, the largest first; names decide between equals."""
        return sorted(self.values, key=lambda key: (-self.total(key), key))

    def of_week(self, week: date) -> float:
        """Everything in a week."""
        return sum(values.get(week, 0) for values in self.values.values()) + self.others.get(week, 0)

    def percents(self, *keys: str) -> list[float | None]:
        """The share of these keys in each week; None for a week without anything, or that is hidden."""
        found: list[float | None] = []
        for week in self.weeks:
            whole = 0 if week in self.hidden else self.of_week(week)
            part = sum(self.values.get(key, {}).get(week, 0) for key in keys)
            found.append(100 * part / whole if whole else None)
        return found

    def share(self, *keys: str, first: date | None = None, last: date | None = None) -> Share | None:
        """The share of these keys in the sum of the weeks from ``first`` to ``last``, Mondays, with its interval."""
        sums = {
            key: together(*(one for week, one in weeks.items() if (first or week) <= week <= (last or week)))
            for key, weeks in self.samples.items()
        }
        return share(together(*(sums[key] for key in keys if key in sums)), together(*sums.values()))


def weekly(
    used: UsedEvents, key: str, value: str = "sum(tok)", where: str = "true", *, sampled: bool = False, span: int = 1
) -> Weekly:
    """The values of ``key``, an SQL expression, in each week, or in each ``span`` of weeks. ``sampled``: estimates of tokens."""
    starts = used.weeks[::span]
    bucket = (
        "week"
        if span == 1
        else f"DATE '{starts[0]}' + ((week - DATE '{starts[0]}') // {7 * span} * {7 * span})::INTEGER"
    )
    found = Weekly(starts, span=span)
    wholes: dict[date, list[Sample]] = defaultdict(list)
    for (week, name), cell in used.cells((bucket, key), value, where).items():
        amount = cell.sample.tokens if sampled else cell.value
        known = cell.sample if sampled else Sample(cell.sample.events, cell.value, 0.0, 1.0, 1.0)
        wholes[week].append(known)
        found.samples[str(name)][week] = known
        if used.shown(cell):
            found.values[str(name)][week] = amount
        else:
            found.others[week] += amount
            found.suppressed += 1
    if sampled:
        found.hidden = frozenset(week for week, parts in wholes.items() if not together(*parts).shown)
    return found


def estimated(used: UsedEvents, key: str, where: str) -> Weekly:
    """Estimates of tokens over the shortest of ``SPANS`` in which most of the window may be shown."""
    weeks = found = weekly(used, key, where=where, sampled=True)
    for span in SPANS[1:]:
        if len(found.hidden) <= HIDDEN_MOST * len(found.weeks):
            break
        found = weekly(used, key, where=where, sampled=True, span=span)
    found.samples = weeks.samples
    return found


@dataclass(frozen=True, slots=True)
class Look:
    """How the series of a chart are named and coloured."""

    label: Callable[[str], str] = str
    color: Callable[[str], str | None] = lambda _: None


def chart(found: Weekly, keys: Sequence[str], unit: str, look: Look, *, others: bool = True) -> Chart:
    """These keys as series, what is left as ``others``. Whole numbers; hidden weeks are None."""
    series = []
    rest = {week: found.of_week(week) for week in found.weeks}
    for key in keys:
        values = found.values.get(key, {})
        series.append(
            Series(
                key,
                look.label(key),
                look.color(key),
                tuple(_shown(found, week, values.get(week, 0)) for week in found.weeks),
            )
        )
        for week, value in values.items():
            rest[week] -= value
    if others and any(value >= 0.5 for value in rest.values()):
        count = len(found.values) - sum(key in found.values for key in keys)
        label = f"Others ({count})" if count > 1 else "Others"
        left = tuple(_shown(found, week, max(rest[week], 0)) for week in found.weeks)
        series.append(Series(OTHERS, label, OTHERS_COLOR, left))
    return Chart(tuple(week.isoformat() for week in found.weeks), tuple(series), unit, False, {})


def _shown(found: Weekly, week: date, value: float) -> int | None:
    return None if week in found.hidden else round(value)


def panel(title: str, draw: Draw, drawn: Chart, markers: Iterable[tuple[str, str]] = ()) -> TimeChart:
    """A chart with its title."""
    return TimeChart(title, draw, drawn, tuple(markers))


def title_of(title: str, found: Weekly) -> str:
    """The title of a chart, with the length of its buckets where that is not a week."""
    return title if found.span == 1 else f"{title}, by {found.span} weeks"


def as_shares(drawn: Chart) -> Chart:
    """The same as hundredths of a percent of each bucket: for money, whose amounts are nobody's business."""
    wholes = [sum(series.values[at] or 0 for series in drawn.series) for at in range(len(drawn.buckets))]
    series = tuple(
        Series(
            each.key,
            each.label,
            each.color,
            tuple(
                None if v is None or not w else round(10_000 * v / w) for v, w in zip(each.values, wholes, strict=True)
            ),
        )
        for each in drawn.series
    )
    return Chart(drawn.buckets, series, PERMYRIAD, drawn.partial_last, drawn.meta)


def line_chart(
    weeks: Sequence[date], lines: Mapping[str, Sequence[float | None]], unit: str, look: Look | None = None
) -> Chart:
    """Lines over weeks; percents are given as such where the unit is ``permyriad``."""
    factor = 100 if unit == PERMYRIAD else 1
    series = tuple(
        Series(
            name,
            look.label(name) if look else name,
            look.color(name) if look else None,
            tuple(None if value is None else round(factor * value) for value in values),
        )
        for name, values in lines.items()
    )
    return Chart(tuple(week.isoformat() for week in weeks), series, unit, False, {})


def of_models(used: UsedEvents) -> Look:
    """Models by their names and colours."""
    return Look(lambda slug: used.names.get(slug, slug), lambda slug: used.palette.color("model", slug))


def of_authors(used: UsedEvents) -> Look:
    """Authors by their names and colours."""
    return Look(lambda slug: used.attributes.author(slug).name, lambda slug: used.palette.color("author", slug))


ORIGINS = {
    "closed": "Closed weights", "chinese_oss": "Chinese open weights", "other_oss": "Other open weights", "unknown": "Not known",
}  # fmt: skip


def of_origins(used: UsedEvents) -> Look:
    """Origins by their names and colours."""
    return Look(lambda key: ORIGINS.get(key, key), lambda key: used.palette.color("origin", key))


def of_words(names: Mapping[str, str] | None = None) -> Look:
    """Labels of a small set of words, first letter large; what is unknown is grey."""
    known = names or {}
    return Look(
        lambda key: known.get(key) or key[:1].upper() + key[1:],
        lambda key: UNKNOWN_COLOR if key in ("unknown", "") else None,
    )


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the known ones."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
