"""The pages of apps: programs that say who they are in the headers of their requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from gateway.analytics import app_use, buckets, privacy
from gateway.analytics.app_use import AppBucket
from gateway.analytics.event import APP_ID_MAX
from gateway.analytics.membership import chart_of
from gateway.analytics.queries import Standing
from gateway.analytics.series import OTHERS, Chart
from gateway.services import Services
from gateway.web import charts, figures
from gateway.web.site import Contents, Readings, Seen
from gateway.web.usage import NO_APPS, UNKNOWN, WEEKS, Choices, Counters, Names, app_path, audience, missing

VIEWS = {"day": "Today", "week": "This week", "month": "This month", "trending": "Trending"}
TOP = 9
ROWS_MAX = 100
MODELS_LISTED = 20


class Wanted(Choices):
    """What is chosen on the page of all apps."""

    page = "/apps"

    view: Literal["day", "week", "month", "trending"] = "week"
    scale: Literal["amount", "share"] = "amount"


@dataclass(frozen=True, slots=True)
class AppRow:
    """One line of a table of apps."""

    standing: Standing
    name: str
    path: str


def app_rows(standings: Sequence[Standing], names: Names) -> list[AppRow]:
    """The lines of a table."""
    return [AppRow(each, names.label("app", each.key), app_path(each.key)) for each in standings]


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters say of all apps."""

    chart: Chart
    standings: Sequence[Standing]
    names: Mapping[str, str]
    unattributed: float | None


def reader(wanted: Wanted, readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures of all apps: ``Found``, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        chart = await counters.chart("week", by="app", top=TOP)
        standings = (await counters.leaderboard("app", wanted.view))[:ROWS_MAX]
        known = [*[each.key for each in chart.series], *[each.key for each in standings]]
        return Found(chart, standings, await counters.app_names(known), await counters.unattributed(wanted.view))

    return read


def contents(seen: Seen, wanted: Wanted | str, found: Found | str | None) -> Contents:
    """The page of all apps."""
    if isinstance(wanted, str) or not isinstance(found, Found):
        return missing(found, "/apps", wanted if isinstance(wanted, str) else None)
    names = Names(seen.catalog, found.names)
    chart = names.dressed(found.chart, "app")
    title = "Tokens by app"
    drawn = figures.bars(chart, title, names.link("app"), share=wanted.scale == "share")
    values = {
        "wanted": wanted,
        "choices": {"view": VIEWS, "scale": {"amount": "Amounts", "share": "Shares"}},
        "chart": drawn,
        "charts": (drawn,),
        "empty": not any(charts.bucket_totals(found.chart)),
        "apps": app_rows(found.standings, names),
        "unattributed": found.unattributed,
    }
    return "apps.html", values, 200


@dataclass(frozen=True, slots=True)
class FoundApp:
    """What the counters say of one app: its weeks that may be shown, the others empty."""

    app: str
    name: str
    weeks: Sequence[int]
    buckets: Sequence[AppBucket]
    standing: Standing | None
    of: int
    """Apps in the ranking."""


def app_reader(app: str, readings: Readings) -> Callable[[Services], Awaitable[FoundApp | str]]:
    """What reads the figures of one app: ``FoundApp``, or why there are none."""

    async def read(services: Services) -> FoundApp | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        if app in NO_APPS or len(app) > APP_ID_MAX:
            return UNKNOWN
        counters = Counters(services, readings, seen_by.least_users)
        weeks = range(counters.week - WEEKS + 1, counters.week + 1)

        async def shown() -> list[AppBucket]:
            found = await app_use.use(services.store, "w", weeks, app)
            cells = [privacy.Cell("w", (number,), ("a " + app,)) for number in weeks]
            allowed = await privacy.shown(services.store, cells, seen_by.least_users)
            kept = [each if ok else AppBucket(0, 0, {}) for each, ok in zip(found, allowed, strict=True)]
            models = [model for model, _ in _sums(kept)[:MODELS_LISTED]]
            cells = [privacy.Cell("w", tuple(weeks), ("m " + model,)) for model in models]
            allowed = await privacy.shown(services.store, cells, seen_by.least_users)
            return _with_others(kept, {model for model, ok in zip(models, allowed, strict=True) if ok})

        found = await readings.get(("app", app, counters.week), shown)
        if not any(each.requests for each in found):
            return UNKNOWN
        standings = await counters.leaderboard("app", "month")
        name = (await counters.app_names([app])).get(app, app.removeprefix("~"))
        standing = next((each for each in standings if each.key == app), None)
        return FoundApp(app, name, weeks, found, standing, len(standings))

    return read


def app_contents(seen: Seen, found: FoundApp | str | None) -> Contents:
    """The page of one app."""
    if not isinstance(found, FoundApp):
        return missing(found, "/apps")
    names = Names(seen.catalog)
    rows = [each.by_model for each in found.buckets]
    days = [buckets.iso_day(buckets.monday(number)) for number in found.weeks]
    chart = names.dressed(chart_of(days, rows, top=TOP, unit="tokens_native", partial_last=True), "model")
    drawn = figures.bars(chart, f"Tokens of {found.name} by model", names.link("model"))
    values = {
        "app": found.app,
        "name": found.name,
        "standing": found.standing,
        "of": found.of,
        "tokens": sum(each.tokens for each in found.buckets),
        "requests": sum(each.requests for each in found.buckets),
        "chart": drawn,
        "charts": (drawn,),
        "models": _models(found.buckets, names),
    }
    return "app.html", values, 200


def _sums(found: Sequence[AppBucket]) -> list[tuple[str, int]]:
    """Models with their tokens of all weeks, the largest first."""
    sums: dict[str, int] = {}
    for each in found:
        for model, tokens in each.by_model.items():
            sums[model] = sums.get(model, 0) + tokens
    return sorted(sums.items(), key=lambda pair: (pair[0] == OTHERS, -pair[1], pair[0]))


def _with_others(found: Sequence[AppBucket], shown: Set[str]) -> list[AppBucket]:
    """The tokens of models that are not shown by themselves, as ``others``."""
    kept = []
    for each in found:
        models = {model: tokens for model, tokens in each.by_model.items() if model in shown}
        rest = each.tokens - sum(models.values())
        kept.append(AppBucket(each.tokens, each.requests, {**models, OTHERS: rest} if rest else models))
    return kept


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What an app used of one model in all weeks that are shown."""

    name: str
    slug: str
    path: str | None
    color: str
    tokens: int
    share: float
    """Percent of the app's tokens."""


def _models(found: Sequence[AppBucket], names: Names) -> list[ModelRow]:
    sums = _sums(found)
    whole = sum(tokens for _, tokens in sums) or 1
    return [
        ModelRow(
            name=names.label("model", model),
            slug=model,
            path=names.path("model", model),
            color=names.color("model", model),
            tokens=tokens,
            share=100 * tokens / whole,
        )
        for model, tokens in sums
        if model != OTHERS
    ]
