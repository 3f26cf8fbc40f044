"""The blocks of a model's page that come from the counters: how it ran, and, where rankings are public, how it was used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from markupsafe import Markup

from gateway.analytics import buckets, model_use, overview, performance, privacy, uptime
from gateway.analytics.buckets import Grain
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.model_use import AppUse, Use
from gateway.analytics.overview import ModelWeek
from gateway.analytics.performance import Percentiles
from gateway.analytics.series import Chart, Series
from gateway.analytics.uptime import Attempts
from gateway.catalog.model import Model
from gateway.errors import BadRequest
from gateway.services import Services
from gateway.web import charts, figures, model_cohorts
from gateway.web.figures import Figure
from gateway.web.model_cohorts import Returning
from gateway.web.site import Readings, Seen
from gateway.web.usage import WEEKS, Choices, Counters, Names, app_path, audience, paid
from gateway.web.views import path_of

SPANS: dict[str, tuple[Grain, int]] = {"3d": ("h", 72), "30d": ("d", 30), "1y": ("w", WEEKS)}
"""Value of ``range`` → grain and number of its buckets, the running one included."""
RANGES = {"3d": "3 days", "30d": "30 days", "1y": "A year"}
PERCENTILES = {"p50": "Median", "p90": "90 %", "p99": "99 %"}
LINES = 8
"""Providers with lines of their own, those with the most measurements."""
APPS = 10
APP_WEEKS = 4
MONTH_WEEKS = 4


class Wanted(Choices):
    """What is chosen on the page."""

    page = ""
    """The address of a model's page has its name."""

    range: Literal["3d", "30d", "1y"] | None = None
    """None: the shortest in which something was measured."""
    percentile: Literal["p50", "p90", "p99"] = "p50"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """The choices of an address; what does not exist is not chosen."""
        found = cls.parsed(query)
        return cls() if isinstance(found, str) else found


@dataclass(frozen=True, slots=True)
class Ran:
    """How the endpoints of a model ran. Lists have a place for each bucket."""

    range: str
    numbers: Sequence[int]
    latency: Mapping[str, Sequence[Percentiles | None]]
    throughput: Mapping[str, Sequence[Percentiles | None]]
    uses: Mapping[str, Sequence[Use]]
    may_count: bool
    """Whether numbers of answers may be shown."""
    attempts: Mapping[str, Sequence[Attempts]]
    routed: Sequence[Attempts]

    @property
    def measured(self) -> bool:
        """Whether there is anything to draw."""
        values = [*self.latency.values(), *self.throughput.values()]
        known = any(each is not None for line in values for each in line)
        return known or any(each.percent is not None for line in self.attempts.values() for each in line)


@dataclass(frozen=True, slots=True)
class Used:
    """How a model was used: weeks that may be shown, the others None."""

    numbers: Sequence[int]
    weeks: Sequence[ModelWeek | None]
    places: Sequence[int | None]
    apps: Sequence[AppUse]
    app_names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters say of a model; None where they say nothing, or may not."""

    ran: Ran | None
    used: Used | None
    returning: Returning | None
    least_users: int


def reader(name: str, wanted: Wanted, readings: Readings) -> Callable[[Services], Awaitable[Found | None]]:
    """What reads the figures of a model."""

    async def read(services: Services) -> Found | None:
        try:
            model, _ = services.catalog.current.resolve(name)
        except BadRequest:
            return None
        seen_by = audience(services)
        if services.analytics is None:
            return None
        counters = Counters(services, readings, seen_by.least_users)
        ran = await _ran(services, counters, readings, model, wanted.range)
        if seen_by.reason:
            return Found(ran, None, None, counters.least_users)
        used = await _used(services, counters, readings, model)
        returning = await model_cohorts.read(services, counters, readings, model.slug)
        return Found(ran, used, returning, counters.least_users)

    return read


async def _ran(
    services: Services, counters: Counters, readings: Readings, model: Model, wanted: str | None
) -> Ran | None:
    for name in (wanted,) if wanted else SPANS:

        async def read(name: str = name) -> Ran:
            return await _ran_in(services, counters, model.slug, name)

        found = await readings.get(("ran", model.slug, name, counters.today), read)
        if found.measured or wanted:
            return found
    return None


async def _ran_in(services: Services, counters: Counters, slug: str, name: str) -> Ran:
    grain, count = SPANS[name]
    last = buckets.bucket(grain, int(counters.now * 1000))
    numbers = range(last - count + 1, last + 1)
    store = services.store
    rows = await model_use.endpoints(store, "we", range(counters.week - MONTH_WEEKS, counters.week + 1), slug)
    if name == "1y":
        rows = await model_use.endpoints(store, "we", numbers, slug)
    latency = await performance.lines(store, "latency", grain, numbers, rows)
    throughput = await performance.lines(store, "throughput", grain, numbers, rows)
    if grain == "h":
        attempts = await uptime.hours(store, numbers, rows)
        routed = await uptime.with_routing(store, numbers, slug, rows)
    else:
        attempts, routed = await uptime.longer(store, grain, numbers, slug, rows)
    uses = await model_use.use(store, grain, numbers, rows)
    return Ran(
        name, numbers, latency, throughput, uses, await _may_count(services, grain, numbers, slug), attempts, routed
    )


async def _may_count(services: Services, grain: Grain, numbers: Sequence[int], slug: str) -> bool:
    """Whether numbers of a model's answers in these buckets may be shown: where its use may be."""
    seen_by = audience(services)
    days = grain, tuple(numbers)
    if grain == "h":  # users are counted by days
        days = "d", tuple(sorted({number // 24 for number in numbers}))
    cell = privacy.Cell(*days, ("m " + slug,), of_tools=True)
    return seen_by.reason is None and (await privacy.shown(services.store, [cell], seen_by.least_users))[0]


async def _used(services: Services, counters: Counters, readings: Readings, model: Model) -> Used | None:
    numbers = range(counters.week - WEEKS + 1, counters.week + 1)
    row, store, least = "m " + model.slug, services.store, counters.least_users
    recent = tuple(numbers[-APP_WEEKS:])

    async def shown() -> list[bool]:
        return await privacy.shown(store, [privacy.Cell("w", (number,), (row,)) for number in numbers], least)

    async def apps() -> list[AppUse]:
        found = [each for each in await model_use.apps(store, "w", recent, model.slug) if each.app != UNKNOWN_APP]
        cells = [privacy.Cell("w", recent, (name,)) for name in (row, *("a " + each.app for each in found))]
        model_shown, *allowed = await privacy.shown(store, cells, least)
        return [each for each, ok in zip(found, allowed, strict=True) if ok and model_shown][:APPS]

    allowed = await readings.get(("shown", model.slug, counters.week, least), shown)
    every = await counters.weeks()
    if not any(allowed):
        return None
    listed = await readings.get(("apps of", model.slug, counters.week, least), apps)
    places = await readings.get(("places", counters.week), lambda: _places(every))
    return Used(
        numbers=numbers,
        weeks=[each.get(model.slug) if ok else None for each, ok in zip(every, allowed, strict=True)],
        places=[each.get(model.slug) if ok else None for each, ok in zip(places, allowed, strict=True)],
        apps=listed,
        app_names=await counters.app_names(each.app for each in listed),
    )


async def _places(weeks: Sequence[Mapping[str, ModelWeek]]) -> list[dict[str, int]]:
    return [overview.places(week) for week in weeks]


def blocks(seen: Seen, model: Model, wanted: Wanted, found: Found | None) -> dict[str, Any]:
    """The values of the template: ``ran``, ``used`` and ``returning``, None where there is nothing to show."""
    names = Names(seen.catalog)
    ran = _ran_blocks(names, wanted, found.ran) if found and found.ran else None
    used = _used_blocks(names, found.used) if found and found.used else None
    shown = found.returning if found and (found.used or (found.returning and found.returning.cohorts)) else None
    returning = model_cohorts.block(shown, found.least_users) if found and shown else None
    parts = [each for block in (ran, used, returning) if block for each in block.values()]
    figures_of = [each.drawn if isinstance(each, Errors) else each for each in parts]
    return {
        "ran": ran,
        "used": used,
        "returning": returning,
        "charts": [each for each in figures_of if isinstance(each, Figure)],
        "wanted": wanted,
        "model_link": lambda place, **changes: path_of(model.slug) + wanted.link(place, **changes),
        "ranges": RANGES,
        "percentiles": PERCENTILES,
    }


def _labels(name: str, numbers: Sequence[int]) -> tuple[str, ...]:
    grain, _ = SPANS[name]
    starts = [buckets.start_ms(grain, number) for number in numbers]
    if grain == "h":
        return tuple([buckets.iso_time(start / 1000)[:16] for start in starts])
    return tuple([buckets.iso_day(start // buckets.DAY_MS) for start in starts])


def _ran_blocks(names: Names, wanted: Wanted, ran: Ran) -> dict[str, Any]:
    labels = _labels(ran.range, ran.numbers)
    order = _order(ran)
    called = _called(order, names)

    def drawn(lines: Mapping[str, Sequence[Percentiles | None]], unit: str, title: str) -> Figure | None:
        values = [[_at(each, wanted.percentile) for each in lines.get(endpoint, ())] for endpoint in order]
        if not any(value is not None for line in values for value in line):
            return None
        series = [_measures(e, called[e], line or [None] * len(labels)) for e, line in zip(order, values, strict=True)]
        return figures.lined(Chart(labels, tuple(series), unit, True, {}), title, half=True)

    which = PERCENTILES[wanted.percentile].lower()
    return {
        "range": ran.range,
        "latency": drawn(ran.latency, "ms", f"Time to the first token, {which}"),
        "throughput": drawn(ran.throughput, "tps", f"Tokens a second, {which}"),
        **_errors(ran, labels, order, called),
        "uptime": _uptime(ran, labels, order, called),
        "uptime_file": _uptime_file(ran, labels, order, called),
    }


def _order(ran: Ran) -> list[str]:
    """The endpoints with the most attempts: they have the same colours in all charts of the page."""
    tried = {endpoint: sum(sum(each) for each in line) for endpoint, line in ran.attempts.items()}
    return sorted(tried, key=lambda endpoint: (-tried[endpoint], endpoint))[:LINES]


def _called(endpoints: Sequence[str], names: Names) -> dict[str, str]:
    """Endpoint → its provider's name, with the vendor's name of the model where a provider sells it twice."""
    providers = [each.partition("/")[0] for each in endpoints]
    return {
        each: names.label("provider", provider)
        + (f" {each.partition('/')[2].rpartition('@')[0]}" if providers.count(provider) > 1 else "")
        for each, provider in zip(endpoints, providers, strict=True)
    }


def _at(each: Percentiles | None, name: str) -> float | None:
    return None if each is None else cast("float", getattr(each, name))


def _measures(key: str, label: str, values: Sequence[float | None]) -> Series:
    """A series of measurements, which need not be whole numbers."""
    return Series(key, label, None, cast("tuple[int | None, ...]", tuple(values)))


@dataclass(frozen=True, slots=True)
class UptimeRow:
    """One line of the block of uptime."""

    name: str
    percent: float | None
    """Of the whole range."""
    strip: Markup


def _uptime(ran: Ran, labels: Sequence[str], order: Sequence[str], called: Mapping[str, str]) -> list[UptimeRow]:
    lines: list[tuple[str, Sequence[Attempts]]] = [("This gateway", ran.routed)]
    lines += [(called[endpoint], ran.attempts[endpoint]) for endpoint in order]
    rows = []
    for name, line in lines:
        percents = [each.percent for each in line]
        strip = charts.strip(percents, labels, title=f"Uptime of {name}")
        rows.append(UptimeRow(name, uptime.added(line).percent, strip))
    return rows if any(row.percent is not None for row in rows) else []


@dataclass(frozen=True, slots=True)
class Errors:
    """Lines of percentages, and of how many answers; None where that may not be shown."""

    drawn: Figure
    answers: int | None


def _errors(
    ran: Ran, labels: tuple[str, ...], order: Sequence[str], called: Mapping[str, str]
) -> dict[str, Errors | None]:
    """``tool_errors`` and ``json_errors``; None without enough answers."""

    def of(title: str, counts: Callable[[Use], tuple[int, int]]) -> Errors | None:
        series, answers = [], 0
        for endpoint in order:
            line = [counts(each) for each in ran.uses.get(endpoint, ())]
            percents, seen = [model_use.error_percent(*each) for each in line], sum(seen for _, seen in line)
            if any(each is not None for each in percents):
                label = called[endpoint] + (f" (n = {seen:,})" if ran.may_count else "")
                series.append(_measures(endpoint, label, percents))
                answers += seen
        if not series:
            return None
        drawn = figures.lined(Chart(labels, tuple(series), "percent", True, {}), title)
        return Errors(drawn, answers if ran.may_count else None)

    return {
        "tool_errors": of("Bad calls of tools", lambda each: (each.calls_bad, each.calls_seen)),
        "json_errors": of("Bad structured output", lambda each: (each.json_bad, each.json_seen)),
    }


def _uptime_file(ran: Ran, labels: tuple[str, ...], order: Sequence[str], called: Mapping[str, str]) -> Figure:
    """The strips as a chart that can be downloaded; they are drawn by themselves."""
    series = [_measures("gateway", "This gateway", [each.percent for each in ran.routed])]
    series += [_measures(each, called[each], [at.percent for at in ran.attempts[each]]) for each in order]
    chart = Chart(labels, tuple(series), "percent", True, {})
    return Figure("Uptime", Markup(""), chart, lambda size: charts.lines(chart, title="Uptime", size=size))


def _used_blocks(names: Names, used: Used) -> dict[str, Any]:
    labels = tuple([buckets.iso_day(buckets.monday(number)) for number in used.numbers])
    parts: tuple[tuple[str, str, Callable[[ModelWeek], int]], ...] = (
        ("prompt", "Prompt", lambda each: each.prompt - each.cached),
        ("cached", "Prompt from a cache", lambda each: each.cached),
        ("completion", "Completion", lambda each: each.completion - each.reasoning),
        ("reasoning", "Reasoning", lambda each: each.reasoning),
    )
    series = [
        Series(key, label, None, tuple([None if each is None else max(of(each), 0) for each in used.weeks]))
        for key, label, of in parts
    ]
    activity = Chart(labels, tuple(each for each in series if any(each.values)), "tokens_native", True, {})
    prices = [paid(each.charged_nano, each.tokens) if each else None for each in used.weeks]
    known = [each for each in used.weeks if each is not None]
    return {
        "tokens": sum(each.tokens for each in known),
        "requests": sum(each.requests for each in known),
        "place": next((place for place in reversed(used.places[:-1]) if place), None),
        "activity": figures.bars(activity, "Tokens by week"),
        "places": _line(labels, used.places, "place", "Place among all models", ranks=True),
        "paid": _line(labels, prices, "usd", "Paid per million tokens"),
        "apps": [
            (used.app_names.get(each.app, each.app.removeprefix("~")), app_path(each.app), each.tokens, each.requests)
            for each in used.apps
        ],
    }


def _line(
    labels: tuple[str, ...], values: Sequence[float | None], unit: str, title: str, *, ranks: bool = False
) -> Figure | None:
    """One line; None with less than two values."""
    if sum(value is not None for value in values) < 2:
        return None
    return figures.lined(
        Chart(labels, (_measures(unit, title, values),), unit, True, {}),
        title,
        look=charts.Look(ranks=ranks),
        half=True,
    )
