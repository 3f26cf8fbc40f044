"""``GET /models/{author}/{slug}/stats``: how one model ran, what it cost and who used it, over time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from fastapi import APIRouter, Query, Response

from gateway.analytics import buckets, cohorts, model_use, performance, privacy, queries, uptime
from gateway.analytics.buckets import Grain
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.uptime import Attempts
from gateway.api.management.models import model_or_404
from gateway.api.management.public_views import ByViewer, Viewer, meta_of
from gateway.api.management.rankings import names_of, percentiles_view
from gateway.api.management.schema import rankings as schema
from gateway.catalog.model import Model
from gateway.errors import BadRequest, NotFound
from gateway.services import Services

router = APIRouter(tags=["Rankings"])

Kind = Literal["throughput", "latency", "uptime", "price", "apps", "activity", "cohorts", "tool-errors"]
Range = Literal["1d", "3d", "7d", "30d", "1y"]
SPANS: dict[Range, tuple[Grain, int]] = {
    "1d": ("h", 24),
    "3d": ("h", 72),
    "7d": ("d", 7),
    "30d": ("d", 30),
    "1y": ("w", 53),
}
"""Grain and number of the buckets, the running one included."""
RANGES: dict[Kind, tuple[Range, ...]] = {
    "throughput": ("7d", "1d", "3d", "30d", "1y"),
    "latency": ("7d", "1d", "3d", "30d", "1y"),
    "uptime": ("3d", "1d"),
    "price": ("30d", "7d", "1y"),
    "apps": ("30d", "7d", "1y"),
    "activity": ("30d", "7d", "1y"),
    "cohorts": (),
    "tool-errors": ("30d", "1d", "3d", "7d", "1y"),
}
"""Of each kind those that are counted, the default first; cohorts are those of all months."""
APPS_SHOWN = 20
MEASURES = {
    "prompt_tokens": "prompt",
    "completion_tokens": "completion",
    "reasoning_tokens": "reasoning",
    "cached_tokens": "cached",
    "requests": "requests",
    "tool_requests": "tool_requests",
}


class Asked(NamedTuple):
    """What is shown of which model, in which buckets, to whom."""

    services: Services
    model: Model
    kind: Kind
    grain: Grain
    numbers: tuple[int, ...]
    least_users: int | None


@router.get("/models/{author}/{slug}/stats", response_model=schema.StatsAnswer, summary="A model over time")
async def get_stats(
    viewer: ByViewer,
    author: str,
    slug: str,
    kind: Annotated[Kind, Query(description="What to show.")],
    range: Annotated[
        Range | None,
        Query(description="Hours of 1 or 3 days, days of 7 or 30, weeks of a year; not every kind has each."),
    ] = None,
) -> Response:
    """One series for each provider; null in a bucket with too little to tell. `throughput` (tokens a second) and `latency` (ms to
    the first content) have percentiles, from 20 samples on; `uptime` percent, from 100 attempts on, with and without failing over;
    `price` dollars per million tokens as listed and as paid; `apps` the largest of the range; `activity` tokens and requests.
    `tool-errors`: percent of the requests that ended with a call of tools in which a call was bad, and of the outputs that had to
    be JSON and were not, from 20 on. `cohorts`: for each month the users who came to the model in it, and the percent of them that
    used it so many months later.
    """
    model = model_or_404(viewer.services, f"{author}/{slug}")
    _check_range(kind, range)
    if kind == "cohorts":
        return await viewer.answer((model.slug, kind), lambda: _cohorts(viewer, model))
    wanted = range or RANGES[kind][0]
    grain, count = SPANS[wanted]
    now = time.time()
    last = buckets.bucket(grain, int(now * 1000))
    asked = Asked(viewer.services, model, kind, grain, tuple(_range(last - count + 1, last + 1)), viewer.least_users)

    async def shown() -> dict[str, Any]:
        series = await READERS[kind](asked)
        first_ms, end_ms = buckets.start_ms(grain, asked.numbers[0]), int(now * 1000)
        meta = {
            **meta_of(first_ms // buckets.DAY_MS, end_ms // buckets.DAY_MS),
            **{"model": model.slug, "kind": kind, "range": wanted, "unit": UNITS[kind], "partial": True},
        }
        return {"data": {"buckets": _labels(grain, asked.numbers), "series": series}, "meta": meta}

    return await viewer.answer((model.slug, kind, wanted, last), shown)


def _check_range(kind: Kind, wanted: Range | None) -> None:
    if wanted is not None and wanted not in RANGES[kind]:
        choices = ", ".join(each for each in get_args(Range) if each in RANGES[kind])
        counted = f"is counted for {choices}" if choices else "has no range, it covers all months"
        raise BadRequest(f"range: {kind} {counted}.", field="range")


_range = range
"""The builtin, whose name is a parameter of the route."""
UNITS: dict[Kind, str] = {
    "throughput": "tokens_per_second",
    "latency": "ms",
    "uptime": "percent",
    "price": "usd_per_mtok",
    "apps": "tokens_native",
    "activity": "tokens_native",
    "cohorts": "percent",
    "tool-errors": "percent",
}


def _labels(grain: Grain, numbers: Sequence[int]) -> list[str]:
    starts = [buckets.start_ms(grain, number) for number in numbers]
    if grain == "h":
        return [buckets.iso_time(start / 1000) for start in starts]
    return [buckets.iso_day(start // buckets.DAY_MS) for start in starts]


def _series(asked: Asked, endpoint: str, values: Sequence[Any], **more: Any) -> dict[str, Any]:
    slug = queries.KEY_OF["provider"](endpoint)
    provider = asked.services.catalog.current.providers.get(slug)
    name = provider.name if provider is not None else slug
    return {"id": endpoint, "label": name, "provider": slug, "values": values, **more}


async def _endpoints(asked: Asked, letter: str) -> list[str]:
    return await model_use.endpoints(asked.services.store, asked.grain + letter, asked.numbers, asked.model.slug)


async def _speeds(asked: Asked) -> list[dict[str, Any]]:
    kind: performance.Kind = "latency" if asked.kind == "latency" else "throughput"
    endpoints = await _endpoints(asked, performance.TABLE[kind])
    found = await performance.lines(asked.services.store, kind, asked.grain, asked.numbers, endpoints)
    return [_series(asked, endpoint, [percentiles_view(each) for each in line]) for endpoint, line in found.items()]


async def _uptimes(asked: Asked) -> list[dict[str, Any]]:
    """Each endpoint; all attempts as if there were no routing; and what callers saw, ``with_routing``."""
    store, numbers = asked.services.store, asked.numbers
    endpoints = await _endpoints(asked, "v")
    by_endpoint = await uptime.hours(store, numbers, endpoints)
    each_hour = [uptime.added(line[at] for line in by_endpoint.values()) for at in _range(len(numbers))]
    seen = await uptime.with_routing(store, numbers, asked.model.slug, await _endpoints(asked, "e"))
    lines = [_series(asked, endpoint, _percents(line), **_whole(line)) for endpoint, line in by_endpoint.items()]
    for id, label, line in (("without_routing", "Without routing", each_hour), ("with_routing", "With routing", seen)):
        lines.append({"id": id, "label": label, "provider": None, "values": _percents(line), **_whole(line)})
    return lines


def _percents(line: Sequence[Attempts]) -> list[float | None]:
    return [each.percent for each in line]


def _whole(line: Sequence[Attempts]) -> dict[str, Any]:
    """Of all hours together."""
    whole = uptime.added(line)
    return {"percent": whole.percent, "status": whole.status}


async def _allowed(asked: Asked, *, of_tools: bool = False) -> list[bool]:
    """For each bucket whether the model's use may be shown; ``of_tools``: of requests that ended with a call of tools."""
    if asked.least_users is None:
        return [True] * len(asked.numbers)
    cells = [privacy.Cell(asked.grain, (number,), ("m " + asked.model.slug,), of_tools) for number in asked.numbers]
    return await privacy.shown(asked.services.store, cells, asked.least_users)


async def _prices(asked: Asked) -> list[dict[str, Any]]:
    """What is listed at the end of each bucket, of each provider; what was paid, of each to the operator, of all to anybody."""
    ends_s = [min(buckets.end_ms(asked.grain, number) / 1000 - 1, time.time()) for number in asked.numbers]
    lines = []
    for endpoint in asked.model.endpoints:
        listed = [endpoint.price_at(end_s) for end_s in ends_s]
        values = [
            None if p is None else {"prompt": p.of("prompt") / 10**9, "completion": p.of("completion") / 10**9}
            for p in listed
        ]
        lines.append(_series(asked, endpoint.id, values, paid=None))
    used = await model_use.use(asked.services.store, asked.grain, asked.numbers, await _endpoints(asked, "e"))
    if asked.least_users is None:
        known = {line["id"]: line for line in lines}
        for endpoint_id, line in used.items():
            if endpoint_id not in known:
                lines.append(known.setdefault(endpoint_id, _series(asked, endpoint_id, [None] * len(ends_s))))
            known[endpoint_id]["paid"] = [_paid(each) for each in line]
    every = [model_use.added([line[at] for line in used.values()]) for at in _range(len(ends_s))]
    shown = zip(every, await _allowed(asked), strict=True)
    paid = [_paid(each) if allowed else None for each, allowed in shown]
    return [
        *lines,
        {"id": "all", "label": "All providers", "provider": None, "values": [None] * len(ends_s), "paid": paid},
    ]


def _paid(use: model_use.Use) -> dict[str, float | None] | None:
    price = use.usd_per_mtok
    if price is None:
        return None
    rate = use.cache_hit_rate
    return {"usd_per_mtok": round(price, 6), "cache_hit_rate": None if rate is None else round(rate, 4)}


async def _apps(asked: Asked) -> list[dict[str, Any]]:
    """The largest of the whole range; an app is shown where it and the model may be."""
    store, day_or_week = asked.services.store, asked.numbers
    found = await model_use.apps(store, asked.grain, day_or_week, asked.model.slug)
    named = [each for each in found if each.app != UNKNOWN_APP]
    if asked.least_users is not None:
        row = "m " + asked.model.slug
        cells = [privacy.Cell(asked.grain, day_or_week, (name,)) for name in (row, *("a " + e.app for e in named))]
        model_allowed, *allowed = await privacy.shown(store, cells, asked.least_users)
        named = [each for each, ok in zip(named, allowed, strict=True) if ok and model_allowed]
    named = named[:APPS_SHOWN]
    names = await names_of(asked.services, "app", [each.app for each in named])
    return [
        {
            **{
                "id": each.app,
                "label": names.get(each.app, each.app.removeprefix("~")),
                "provider": None,
                "values": [],
            },
            **{"tokens": str(each.tokens), "requests": str(each.requests)},
        }
        for each in named
    ]


async def _tool_errors(asked: Asked) -> list[dict[str, Any]]:
    """Of each endpoint, shown like how fast it is; of how many, where the model's use may be shown."""
    used = await model_use.use(asked.services.store, asked.grain, asked.numbers, await _endpoints(asked, "e"))
    if asked.least_users is None or asked.grain != "h":
        allowed = await _allowed(asked, of_tools=True)
    else:  # users are counted by days: hours tell the rate alone
        allowed = [False] * len(asked.numbers)
    return [
        _series(asked, endpoint, [_errors(each, counts=ok) for each, ok in zip(line, allowed, strict=True)])
        for endpoint, line in used.items()
        if any(each.calls_seen or each.json_seen for each in line)
    ]


def _errors(use: model_use.Use, *, counts: bool) -> dict[str, float | None] | None:
    """Null where neither rate is told."""
    rates = {
        "tool_call_error_percent": model_use.error_percent(use.calls_bad, use.calls_seen),
        "structured_output_error_percent": model_use.error_percent(use.json_bad, use.json_seen),
    }
    if all(rate is None for rate in rates.values()):
        return None
    seen = {"tool_call_requests": use.calls_seen, "structured_output_requests": use.json_seen}
    return rates | {name: number if counts else None for name, number in seen.items()}


async def _activity(asked: Asked) -> list[dict[str, Any]]:
    """Sums of all endpoints, one series for each measure; with requests that no endpoint served."""
    rows = [*await _endpoints(asked, "e"), "@" + asked.model.slug]
    used = await model_use.use(asked.services.store, asked.grain, asked.numbers, rows)
    every = [model_use.added([line[at] for line in used.values()]) for at in _range(len(asked.numbers))]
    allowed = {of_tools: await _allowed(asked, of_tools=of_tools) for of_tools in (False, True)}
    return [
        {
            **{"id": name, "label": name.replace("_", " "), "provider": None},
            "values": [
                str(getattr(use, field)) if ok else None
                for use, ok in zip(every, allowed[name in queries.OF_TOOLS], strict=True)
            ],
        }
        for name, field in MEASURES.items()
    ]


async def _cohorts(viewer: Viewer, model: Model) -> dict[str, Any]:
    """A series for each cohort; buckets are ages in months."""
    made, found = await cohorts.read(viewer.services.store, model.slug)
    if made is None:
        raise NotFound(cohorts.NONE_YET)
    least = viewer.least_users
    shown = [each for each in found if each.shown(least)]
    ages = max((len(each.cohort.active) for each in shown), default=0)
    first = min((buckets.day_of(each.cohort.month) for each in shown), default=made.through)
    series = [_cohort(each, ages, least) for each in shown]
    meta = {
        **meta_of(first, made.through),
        **{"model": model.slug, "kind": "cohorts", "range": None, "unit": "percent", "partial": False},
        **{"made_on": buckets.iso_day(made.day), "suppressed": len(found) - len(shown)},
    }
    return {"data": {"buckets": [str(age) for age in _range(ages)], "series": series}, "meta": meta}


def _cohort(each: cohorts.Kept, ages: int, least_users: int | None) -> dict[str, Any]:
    cohort, percents = each.cohort, each.percents(least_users)
    size = cohort.size if least_users is None else privacy.rounded(cohort.size)
    return {
        **{"id": f"{cohort.month:%Y-%m}", "label": f"{cohort.month:%B %Y}", "provider": None},
        **{"values": [*percents, *[None] * (ages - len(percents))], "users": str(size)},
        **{"foundational": each.stays, "boomerang": each.boomerang},
    }


READERS: dict[Kind, Callable[[Asked], Awaitable[list[dict[str, Any]]]]] = {
    "throughput": _speeds,
    "latency": _speeds,
    "uptime": _uptimes,
    "price": _prices,
    "apps": _apps,
    "activity": _activity,
    "tool-errors": _tool_errors,
}
