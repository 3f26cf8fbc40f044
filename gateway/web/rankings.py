"""The page of rankings: who is used how much. Which figures are shown says ``analytics.privacy``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from markupsafe import Markup

from gateway.analytics.membership import fixed
from gateway.analytics.overview import Overview
from gateway.analytics.performance import ModelSpeed
from gateway.analytics.queries import Standing
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.catalog.colors import OTHERS as OTHERS_COLOR
from gateway.services import Services
from gateway.web import charts, figures
from gateway.web.apps import VIEWS, app_rows
from gateway.web.charts import Marker
from gateway.web.figures import Figure
from gateway.web.site import Contents, Readings, Seen
from gateway.web.speed_and_price import speeds_of
from gateway.web.usage import Choices, Counters, Names, audience, missing, paid

METRICS = {"tokens": "Tokens", "requests": "Requests", "users": "Users"}
DIMENSIONS = {
    "model": "Models",
    "family": "Families",
    "author": "Authors",
    "origin": "Open or closed",
    "size": "Sizes",
    "reasoning": "Reasoning",
    "provider": "Providers",
}
PERIODS = {"week": "Weeks", "day": "Days", "month": "Months"}
SCALES = {"amount": "Amounts", "share": "Shares"}
SETS = {"each": "Largest of each bar", "fixed": "The same in all bars"}
"""Value of a parameter → its name on the page."""
TOP = 9
FIXED_FROM = 30
"""The largest of each bar that a fixed set is chosen from."""
RELEASES = {"hide": "Without releases", "show": "With releases"}
RELEASED_MODELS = 9
"""Series whose releases are marked, beside those of ``config/attributes/releases.yaml``."""
ROWS = ("20", "50", "100")
SPARK_WEEKS = 12
APP_ROWS = 10


class Wanted(Choices):
    """What is chosen on the page."""

    page = "/rankings"

    metric: Literal["tokens", "requests", "users"] = "tokens"
    by: Literal["model", "family", "author", "origin", "size", "reasoning", "provider"] = "model"
    period: Literal["week", "day", "month"] = "week"
    scale: Literal["amount", "share"] = "amount"
    series: Literal["each", "fixed"] = "each"
    releases: Literal["hide", "show"] = "hide"
    view: Literal["day", "week", "month", "trending"] = "week"
    rows: Literal["20", "50", "100"] = "20"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the counters say."""

    overview: Overview
    chart: Chart
    authors: Chart
    standings: Sequence[Standing]
    sparks: Mapping[str, Sequence[int | None]]
    speeds: Mapping[str, ModelSpeed]
    apps: Sequence[Standing]
    app_names: Mapping[str, str]
    unattributed: float | None
    """The part of the tokens whose app is not known."""


def reader(wanted: Wanted, readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        top = FIXED_FROM if wanted.series == "fixed" else TOP
        standings = await counters.leaderboard("model", wanted.view)
        apps = await counters.leaderboard("app", wanted.view)
        shown = [each.key for each in standings[: int(wanted.rows)]]
        return Found(
            overview=await counters.overview(),
            chart=await counters.chart(wanted.period, metric=wanted.metric, by=wanted.by, top=top),
            authors=await counters.chart("week", metric="tokens", by="author", top=TOP),
            standings=standings,
            sparks=await counters.shown_weeks(shown, SPARK_WEEKS),
            speeds={each.model: each for each in await speeds_of(services, counters, readings)},
            apps=apps,
            app_names=await counters.app_names(each.key for each in apps[:APP_ROWS]),
            unattributed=await counters.unattributed(wanted.view),
        )

    return read


@dataclass(frozen=True, slots=True)
class Glance:
    """What the home page shows of the rankings."""

    overview: Overview
    chart: Chart


def glance_reader(readings: Readings) -> Callable[[Services], Awaitable[Glance | None]]:
    """What reads ``Glance``; None where rankings are not public."""

    async def read(services: Services) -> Glance | None:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return None
        counters = Counters(services, readings, seen_by.least_users)
        return Glance(await counters.overview(), await counters.chart("week", metric="tokens", by="model", top=TOP))

    return read


def glance(seen: Seen, found: Glance | None) -> dict[str, Any] | None:
    """The values of the home page; None without traffic."""
    if found is None or not any(charts.bucket_totals(found.chart)):
        return None
    chart = figures.bars(found.chart, "Tokens by model", Names(seen.catalog).link("model"))
    return {"overview": found.overview, "chart": chart}


def contents(seen: Seen, wanted: Wanted | str, found: Found | str | None) -> Contents:
    """The page; of an empty gateway what would fill it."""
    if isinstance(wanted, str) or not isinstance(found, Found):
        return missing(found, "/rankings", wanted if isinstance(wanted, str) else None)
    names = Names(seen.catalog, found.app_names)
    shown = found.standings[: int(wanted.rows)]
    more = len(found.standings) > len(shown)
    top, authors = _top_chart(found.chart, wanted, seen), _authors(found.authors, names)
    values = {
        "wanted": wanted,
        "choices": {
            "metric": METRICS, "by": DIMENSIONS, "period": PERIODS, "scale": SCALES, "series": SETS, "view": VIEWS,
            "releases": RELEASES,
        },
        "more_rows": next((each for each in ROWS if more and int(each) > len(shown)), None),
        "overview": found.overview,
        "empty": not found.overview.requests and not any(charts.bucket_totals(found.chart)),
        "top": top,
        "released": bool(top.markers),
        "meta": found.chart.meta,
        "newcomers": [names.label(wanted.by, key) for key in found.chart.meta.get("new", ())],
        "board": [_row(each, names, found) for each in shown],
        "authors": authors,
        "charts": (top, authors[0]),
        "apps": app_rows(found.apps[:APP_ROWS], names),
        "app_count": len(found.apps),
        "unattributed": found.unattributed,
    }  # fmt: skip
    return "rankings.html", values, 200


def _top_chart(chart: Chart, wanted: Wanted, seen: Seen) -> Figure:
    """The stacked bars. Users of several models are the same people, so they are lines and have no sum."""
    title, link = f"{METRICS[wanted.metric]} by {wanted.by}", Names(seen.catalog).link(wanted.by)
    markers = _releases(chart, wanted, seen) if wanted.releases == "show" else ()
    if wanted.metric == "users":
        chart = msgspec.structs.replace(chart, series=chart.series[:TOP])
        return figures.lined(chart, title, link, markers=markers)
    shown = fixed(chart, TOP) if wanted.series == "fixed" else chart
    return figures.bars(shown, title, link, share=wanted.scale == "share", markers=markers)


def _releases(chart: Chart, wanted: Wanted, seen: Seen) -> list[Marker]:
    """The releases of ``config/attributes/releases.yaml``, and of the models that are shown by themselves, on the makers' days."""
    facts = seen.catalog.attributes
    listed = [(each.day.isoformat(), each.label) for each in facts.releases]
    known = {each.model for each in facts.releases}
    if wanted.by != "model":
        return listed
    shown = [facts.of(each.key) for each in chart.series[:RELEASED_MODELS] if each.key not in known | {OTHERS}]
    return listed + [(each.released.isoformat(), each.name) for each in shown if each.released is not None]


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One line of the table of models."""

    standing: Standing
    name: str
    author: str
    path: str | None
    color: str
    usd_per_mtok: float | None
    ttft_ms: float | None
    tokens_per_s: float | None
    spark: Markup

    @property
    def climbed(self) -> int | None:
        """Places gained against the window before; None for one that was not there."""
        before = self.standing.previous_rank
        return None if before is None else before - self.standing.rank


def _row(each: Standing, names: Names, found: Found) -> BoardRow:
    speed, name = found.speeds.get(each.key), names.label("model", each.key)
    return BoardRow(
        standing=each,
        name=name,
        author=names.label("author", names.author_of(each.key)),
        path=names.path("model", each.key),
        color=names.color("model", each.key),
        usd_per_mtok=paid(each.spend_nano, each.tokens),
        ttft_ms=speed.latency.p50 if speed and speed.latency else None,
        tokens_per_s=speed.throughput.p50 if speed and speed.throughput else None,
        spark=charts.sparkline(found.sparks[each.key], title=f"{name}, tokens of {SPARK_WEEKS} weeks"),
    )


@dataclass(frozen=True, slots=True)
class AuthorRow:
    """An author's part of the last four complete weeks, and of the four before, in percent."""

    name: str
    path: str | None
    color: str
    share: float
    change: float | None
    """In percentage points."""


def _authors(chart: Chart, names: Names) -> tuple[Figure, list[AuthorRow]]:
    chart = fixed(chart, TOP)
    drawn = figures.bars(chart, "Share of tokens by author", names.link("author"), share=True)
    end = len(chart.buckets) - chart.partial_last
    now, before = slice(max(end - 4, 0), end), slice(max(end - 8, 0), max(end - 4, 0))
    totals = charts.bucket_totals(chart)
    rows = [
        AuthorRow(
            name=each.label,
            path=names.path("author", each.key),
            color=OTHERS_COLOR if each.key == OTHERS else names.color("author", each.key),
            share=_part(each, totals, now) or 0.0,
            change=_difference(_part(each, totals, now), _part(each, totals, before)),
        )
        for each in chart.series
    ]
    rows.sort(key=lambda row: (row.path is None, -row.share, row.name))
    return drawn, [row for row in rows if row.share]


def _part(series: Series, totals: Sequence[int], weeks: slice) -> float | None:
    whole = sum(totals[weeks])
    return 100 * sum(value or 0 for value in series.values[weeks]) / whole if whole else None


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
