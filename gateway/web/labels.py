"""The pages of categories, natural and programming languages: one chart over three tables of labels, all of them estimates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import create_model

from gateway.analytics.classify.taxonomy import OTHER_LANGUAGE, Taxonomy, shipped, written
from gateway.analytics.estimates import Kind
from gateway.analytics.membership import fixed
from gateway.analytics.series import OTHERS, Chart
from gateway.services import Services
from gateway.web import charts, figures
from gateway.web.axes import day_label
from gateway.web.paint import color_class, paint
from gateway.web.site import Contents, Readings, Seen
from gateway.web.usage import Choices, Counters, Names, audience, missing

TOP = 9
"""Labels with colours of their own."""
LISTED = 12


@dataclass(frozen=True, slots=True)
class Page:
    """What the three pages differ in."""

    path: str
    kind: Kind
    heading: str
    one: str
    """What a label is called."""
    lead: str
    api: str
    """Where the API has the same of one label; ``{}``: the label."""
    labels: Callable[[Taxonomy], Sequence[str]]


PAGES: Mapping[str, Page] = {
    page.path: page
    for page in (
        Page(
            "/rankings/categories",
            "category",
            "Categories",
            "category",
            "What requests through this gateway are about, and which models they go to.",
            "/api/v1/rankings/chart?category={}",
            lambda taxonomy: taxonomy.category_names,
        ),
        Page(
            "/rankings/languages",
            "language",
            "Languages",
            "language",
            "The languages in which people write to models, and which models they choose.",
            "/api/v1/rankings/languages?tag={}",
            lambda taxonomy: (*taxonomy.languages, OTHER_LANGUAGE),
        ),
        Page(
            "/rankings/programming-languages",
            "programming",
            "Programming languages",
            "programming language",
            "The programming languages that requests are about, and which models they go to.",
            "/api/v1/rankings/programming-languages?tag={}",
            lambda taxonomy: tuple(taxonomy.programming_languages),
        ),
    )
}


class Wanted(Choices):
    """What is chosen on a page; its labels are those of its kind."""

    about: ClassVar[Page]

    label: str | None = None
    """None: all of them against each other."""
    releases: Literal["hide", "show"] = "hide"


def _wanted(page: Page) -> type[Wanted]:
    """The choices of one page. Wrong ones are refused with what there is."""
    label: Any = Literal[tuple(page.labels(shipped()))] | None
    made: type[Wanted] = create_model("Wanted", __base__=Wanted, label=(label, None))
    made.page, made.about = page.path, page
    return made


WANTED: Mapping[str, type[Wanted]] = {path: _wanted(page) for path, page in PAGES.items()}
"""Path of a page → its choices."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters say."""

    every: Chart
    """The labels against each other."""
    chosen: Chart | None
    """The models of the label that is chosen."""


def reader(wanted: Wanted, readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        kind = wanted.about.kind
        chosen = await counters.labels(kind, wanted.label) if wanted.label is not None else None
        return Found(await counters.labels(kind, None), chosen)

    return read


def contents(seen: Seen, page: Page, wanted: Wanted | str, found: Found | str | None) -> Contents:
    """The page; where nothing is labelled, what would fill it."""
    if isinstance(wanted, str) or not isinstance(found, Found):
        return missing(found, page.path, wanted if isinstance(wanted, str) else None)
    names = Names(seen.catalog)
    chart = found.chosen or _named(fixed(found.every, TOP))
    unknown = _unknown(chart)
    if wanted.label is None:
        title, link = f"Tokens by {page.one}", names.link("provider")
    else:
        title, link = f"Tokens about {written(wanted.label)}", names.link("model")
        title = title.replace("about", "in") if page.kind == "language" else title
    if not any(charts.bucket_totals(chart)):
        chart = msgspec.structs.replace(chart, series=())
    markers = [(each.day.isoformat(), each.label) for each in seen.catalog.attributes.releases]
    drawn = figures.bars(
        chart, title, link, share=True, unknown=unknown, markers=markers if wanted.releases == "show" else ()
    )
    values = {
        "page": page,
        "wanted": wanted,
        "title": title,
        "labels": _chips(page, found.every),
        "empty": not any(week["n"] for week in found.every.meta["estimates"]),
        "chart": drawn,
        "charts": (drawn,),
        "quality": _quality(chart),
        "shares": _shares(chart, names, wanted),
        "unknown": len(unknown),
        "api": page.api,
    }
    return "rankings_labels.html", values, 200


def _named(chart: Chart) -> Chart:
    return msgspec.structs.replace(
        chart,
        series=tuple(
            each if each.key == OTHERS else msgspec.structs.replace(each, label=written(each.key))
            for each in chart.series
        ),
    )


def _unknown(chart: Chart) -> list[int]:
    """The weeks in which something was counted, but too little to show it."""
    totals = charts.bucket_totals(chart)
    weeks = chart.meta["estimates"]
    return [place for place, week in enumerate(weeks) if not totals[place] and (week["n"] or week["suppressed"])]


def _chips(page: Page, every: Chart) -> list[tuple[str, str, bool]]:
    """(label, what it is called, whether there is anything to see) in the order of the taxonomy."""
    seen = {each.key for each in every.series if any(each.values)}
    return [(label, written(label), label in seen) for label in page.labels(shipped())]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the last complete week that is shown is known."""

    week: str
    n: int
    n_effective: int
    exact: bool
    points: float
    """Half the interval of the largest share, in percentage points."""
    every_n: int
    """Of all weeks."""


def _last(chart: Chart) -> tuple[str, Mapping[str, Any]] | None:
    """The last complete week that has values."""
    weeks = list(zip(chart.buckets, chart.meta["estimates"], strict=True))
    complete = weeks[:-1] if chart.partial_last else weeks
    return next(((day, week) for day, week in reversed(complete) if week["intervals"]), None)


def _quality(chart: Chart) -> Quality | None:
    last = _last(chart)
    if last is None:
        return None
    day, week = last
    largest = max(week["intervals"].values(), key=lambda each: each["share"])
    half = 50 * (largest["high"] - largest["low"])
    return Quality(day_label(day), week["n"], week["n_eff"], week["exact"], half, chart.meta["n"])


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A share of the tokens of a week, in percent, and how far its interval reaches on both sides."""

    name: str
    path: str | None
    color: str
    """As an attribute."""
    share: float
    low: float
    high: float


def _shares(chart: Chart, names: Names, wanted: Wanted) -> list[ShareRow]:
    """Of the last complete week that has values, the largest first, the rest at the end."""
    last = _last(chart)
    if last is None:
        return []
    places = {each.key: (paint(each, index), each.label) for index, each in enumerate(chart.series)}
    rows = []
    for key, each in last[1]["intervals"].items():
        color, label = places.get(key, (f'class="{color_class(0)}"', written(key)))
        if key not in places:
            color = 'class="c-others"'
        path = names.path("model", key) if wanted.label is not None else wanted.link("labels", label=key)
        rows.append(
            ShareRow(
                label,
                None if key == OTHERS else path,
                color,
                100 * each["share"],
                100 * each["low"],
                100 * each["high"],
            )
        )
    rows.sort(key=lambda row: (row.name == "Others", -row.share, row.name))
    return [row for row in rows if row.share > 0][:LISTED]
