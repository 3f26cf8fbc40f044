"""Charts and rankings of use, ours; ``datasets`` has the fields of OpenRouter's Data API. Who sees what: ``public_views``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.analytics import adoption, buckets, discovery, performance, privacy, queries, tables
from gateway.analytics.buckets import Period
from gateway.analytics.classify.taxonomy import OTHER_LANGUAGE, shipped
from gateway.analytics.dimensions import By, dimensions
from gateway.analytics.discovery import Rise
from gateway.analytics.estimates import Kind
from gateway.analytics.label_chart import LabelQuery, label_chart
from gateway.analytics.performance import EndpointSpeed, ModelSpeed, Percentiles
from gateway.analytics.queries import Metric, Standing, Window
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.api.management.public_views import MAX_DAYS, ByViewer, Viewer, days, meta_of
from gateway.api.management.schema import rankings as schema
from gateway.errors import BadRequest, Forbidden
from gateway.money import format_usd
from gateway.services import Services

MAX_WEEKS_DAYS = 731
"""Longest span of a chart of weeks or months."""
DEFAULT_DAYS: dict[str, int] = {"day": 30, "week": 52 * 7 + 1, "month": 365}
VIEW_DAYS = {"day": 1, "week": 7, "month": 30, "trending": 7}
SPEED_DAYS = 7
DISCOVERED_MAX = 20
FILTERS: dict[str, tuple[str, ...]] = {
    "modality": ("/datasets/rankings-daily",),
    "category": ("/rankings/chart", "/datasets/rankings-daily"),
    "language_type": ("/datasets/rankings-daily",),
    "subcategory": (),
}
"""Filter of the hosted service → the routes that can be asked for it here."""
Size = Literal["1K", "10K", "100K", "1M", "10M"]
"""Of prompt and completion together: up to so many tokens, and more than the one before."""


async def refuse_uncounted(request: Request) -> None:
    """Raises BadRequest for a filter that nothing is counted by: to ignore it would give a wrong answer."""
    for name, routes in FILTERS.items():
        if name in request.query_params and not request.url.path.endswith(routes):
            raise BadRequest(f"{name}: nothing is counted by this here; leave it out.", field=name)


def check_label(kind: Kind, label: str, period: Period, *, field: str) -> None:
    """Raises BadRequest for a label that is not one of its kind, and for anything but weeks."""
    taxonomy = shipped()
    known: dict[str, Sequence[str]] = {
        "category": taxonomy.category_names,
        "language": (*taxonomy.languages, OTHER_LANGUAGE),
        "programming": tuple(taxonomy.programming_languages),
    }
    if label not in known[kind]:
        raise BadRequest(f"{field}: must be one of {', '.join(known[kind])}.", field=field)
    check_weeks(period, field)


def check_weeks(period: Period, field: str) -> None:
    """Raises BadRequest for anything but weeks. ``field``: what is counted by weeks only."""
    if period != "week":
        raise BadRequest(f"period: {field} is counted by weeks only; use period=week.", field="period")


router = APIRouter(tags=["Rankings"], dependencies=[Depends(refuse_uncounted)])


class ChartQuery(BaseModel):
    """The parameters of a chart."""

    metric: Metric = Field("tokens", description="`spend`, `cost`, `fees` (nano-USD): management key only.")
    by: By = Field("model", description="`family` to `reasoning`: attributes of models as of the bucket's first day.")
    period: Period = "week"
    start_date: date | None = Field(None, description="First day, UTC, `YYYY-MM-DD`.")
    end_date: date | None = Field(None, description="Last day, UTC; today when left out.")
    top: int = Field(9, ge=1, le=50, description="Series with values of their own in each bucket.")
    others: Literal["keep", "drop"] = Field("keep", description="The rest, as one series.")
    category: str | None = Field(
        None, description="Requests of this category only, as estimated; `tokens` by `model` and `week` only."
    )


@router.get("/rankings/chart", response_model=schema.ChartAnswer, summary="Chart of use")
async def get_chart(viewer: ByViewer, wanted: Annotated[ChartQuery, Query()]) -> Response:
    """The largest of each day, week from Monday, or month, and the rest as `others`. Counts are decimal strings: they may exceed
    2^53. A key that is missing from a bucket is not among its largest; its value is in `others`.
    """
    metric, by, period = wanted.metric, wanted.by, wanted.period
    if metric in queries.MONEY and viewer.least_users is not None:
        raise Forbidden("Only the management key may see what was spent.")
    if by == "app" and metric not in (*queries.APP_FIELDS, "users"):
        raise BadRequest(f"metric: {metric} is not counted by app; choose tokens, requests or users.", field="metric")
    most = MAX_DAYS if period == "day" else MAX_WEEKS_DAYS
    first, last = days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS[period], most=most)
    if wanted.category is not None:
        return await _of_category(viewer, wanted, wanted.category, (first, last))
    query = queries.Query(
        metric=metric,
        by=by,
        period=period,
        start=first,
        end=last,
        top=wanted.top,
        others=wanted.others == "keep",
        least_users=viewer.least_users,
    )
    return await viewer.answer(query, lambda: _charted(viewer.services, query))


async def _of_category(viewer: Viewer, wanted: ChartQuery, category: str, span: tuple[int, int]) -> Response:
    check_label("category", category, wanted.period, field="category")
    for field, value, only in (("metric", wanted.metric, "tokens"), ("by", wanted.by, "model")):
        if value != only:
            raise BadRequest(f"{field}: with category only {only} can be shown.", field=field)
    query = LabelQuery(
        kind="category",
        label=category,
        start=span[0],
        end=span[1],
        top=wanted.top,
        others=wanted.others == "keep",
        least_users=viewer.least_users,
    )
    return await viewer.answer(query, lambda: labelled(viewer.services, query))


@router.get("/rankings/adoption", response_model=schema.AdoptionAnswer, summary="Users, keys and apps by week")
async def get_adoption(
    viewer: ByViewer,
    start_date: Annotated[date | None, Query(description="First day, UTC, `YYYY-MM-DD`.")] = None,
    end_date: Annotated[date | None, Query(description="Last day, UTC; today when left out.")] = None,
) -> Response:
    """How many different users, API keys and apps used the gateway in each week, and how many models a key used on average. Users
    and keys are estimated within 0.8 %, and rounded to the nearest ten for everybody but the operator.
    """
    first, last = days(start_date, end_date, length=DEFAULT_DAYS["week"], most=MAX_WEEKS_DAYS)
    numbers = range(buckets.week_of(first), buckets.week_of(last) + 1)

    async def counted() -> dict[str, Any]:
        running = buckets.week_of(buckets.today(time.time()))
        found = await adoption.weeks(viewer.services.store, numbers, viewer.least_users)
        rows = [
            {"x": buckets.iso_day(buckets.monday(number)), **_adoption(each), "partial": number >= running}
            for number, each in zip(numbers, found, strict=True)
        ]
        return {"data": rows, "meta": meta_of(first, last)}

    return await viewer.answer((first, last), counted)


def _adoption(week: adoption.Adoption | None) -> dict[str, Any]:
    names = adoption.Adoption.__struct_fields__
    return msgspec.structs.asdict(week) if week is not None else dict.fromkeys(names)


async def _charted(services: Services, query: queries.Query) -> dict[str, Any]:
    chart = await queries.chart(services.store, query, time.time(), dimensions(services.catalog.current))
    apps = [each.key for each in chart.series if each.key != OTHERS] if query.by == "app" else []
    return _rendered(chart, await names_of(services, query.by, apps), meta_of(query.start, query.end))


async def labelled(services: Services, query: LabelQuery) -> dict[str, Any]:
    """A chart of the models of one label."""
    chart = await label_chart(services.store, query, time.time(), dimensions(services.catalog.current))
    return _rendered(chart, {}, meta_of(query.start, query.end))


def _rendered(chart: Chart, names: Mapping[str, str], span: Mapping[str, Any]) -> dict[str, Any]:
    new = chart.meta.pop("new")
    listed = [{**_key(each, names), "is_new": each.key in new} for each in chart.series]
    meta = {**span, "unit": chart.unit, "estimator": "exact", **chart.meta}
    return {"data": _points(chart), "keys": listed, "meta": meta}


class SizeQuery(BaseModel):
    """The parameters of a chart of requests of one size."""

    bucket: Size = Field("10K", description="Tokens of prompt and completion: at most this, more than the size before.")
    metric: Literal["requests", "tokens"] = "requests"
    by: Literal["model", "author"] = "model"
    start_date: date | None = Field(None, description="First day, UTC; its whole week is shown.")
    end_date: date | None = Field(None, description="Last day, UTC; today when left out.")
    top: int = Field(9, ge=1, le=50, description="Series with values of their own in each week.")


@router.get("/rankings/context-length", response_model=schema.ChartAnswer, summary="Chart of requests of one size")
async def get_context_length(viewer: ByViewer, wanted: Annotated[SizeQuery, Query()]) -> Response:
    """As `GET /rankings/chart`, by weeks, of the requests whose prompt and completion together have one of five sizes."""
    first, last = days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS["week"], most=MAX_WEEKS_DAYS)
    query = queries.Query(
        metric=wanted.metric,
        by=wanted.by,
        start=first,
        end=last,
        top=wanted.top,
        context=wanted.bucket,
        least_users=viewer.least_users,
    )
    return await viewer.answer(query, lambda: _charted(viewer.services, query))


def _points(chart: Chart) -> list[dict[str, Any]]:
    last = len(chart.buckets) - 1
    return [
        {
            "x": day,
            "ys": {each.key: str(value) for each in chart.series if (value := each.values[at]) is not None},
            "partial": at == last and chart.partial_last,
        }
        for at, day in enumerate(chart.buckets)
    ]


def _key(series: Series, names: Mapping[str, str]) -> dict[str, Any]:
    author = series.key.partition("/")[0] if "/" in series.key else None
    return {"id": series.key, "label": names.get(series.key, series.label), "author": author, "color": series.color}


async def names_of(services: Services, by: By, found: Sequence[str]) -> dict[str, str]:
    """Key → the name to show; of an app the one that it gave last."""
    dimension = dimensions(services.catalog.current)
    named = {key: dimension.label(by, key) for key in found}
    if by == "app":
        week = buckets.week_of(buckets.today(time.time()))
        for number in (week - 1, week):
            named |= await tables.names(services.store, "w", number, found)
    return named


@router.get("/rankings/leaderboard", response_model=schema.LeaderboardAnswer, summary="Ranking of use")
async def get_leaderboard(
    viewer: ByViewer,
    view: Annotated[
        Literal["day", "week", "month", "trending"],
        Query(
            description="The last 1, 7 or 30 days; or the last 7 complete days by how much they exceed the three weeks before."
        ),
    ] = "week",
    by: By = "model",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """Ranked by tokens, today included (`partial`), but `trending`.

    `change` and `prev_rank` compare complete days; `is_new`: nothing in the window before.
    """

    async def ranked() -> dict[str, Any]:
        now, trending = time.time(), view == "trending"
        last = buckets.today(now)
        window = Window(last - VIEW_DAYS[view] + 1, last + 1)
        standings = await queries.leaderboard(
            viewer.services.store,
            by,
            window,
            trending=trending,
            least_users=viewer.least_users,
            now=now,
            dimensions=dimensions(viewer.services.catalog.current),
        )
        names = await names_of(viewer.services, by, [each.key for each in standings[:limit]])
        rows = [
            _standing(each, names, with_spend=viewer.least_users is None, trending=trending)
            for each in standings[:limit]
        ]
        meta = {**meta_of(window.first, last), "complete_through": buckets.iso_day(last - 1), "unit": "tokens_native"}
        return {"data": rows, "meta": {**meta, "partial": not trending, "total_count": len(standings)}}

    return await viewer.answer((view, by, limit), ranked)


def _standing(each: Standing, names: Mapping[str, str], *, with_spend: bool, trending: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rank": each.rank,
        "prev_rank": each.previous_rank,
        "id": each.key,
        "name": names.get(each.key, each.key),
        "author": each.key.partition("/")[0] if "/" in each.key else None,
        "tokens": str(each.tokens),
        "requests": str(each.requests),
        "change": each.change,
        "is_new": each.is_new,
    }
    if with_spend:
        row["spend_usd"] = format_usd(each.spend_nano)
    if trending:
        row["excess_tokens"] = str(each.excess)
    return row


@router.get("/rankings/performance", response_model=schema.PerformanceAnswer, summary="Speed of models")
async def get_performance(
    viewer: ByViewer,
    sort: Annotated[Literal["requests", "latency", "throughput", "price"], Query()] = "requests",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Models with at least 100 requests in the last 7 days, today included: median time to the first content, tokens a second, the
    fastest provider and the lowest price. Sorted from the best on; what is not known comes last.
    """

    async def compared() -> dict[str, Any]:
        last = buckets.today(time.time())
        span = range(last - SPEED_DAYS + 1, last + 1)
        found = await performance.models(viewer.services.store, span)
        allowed = [True] * len(found)
        if viewer.least_users is not None:
            cells = [privacy.Cell("d", tuple(span), ("m " + each.model,)) for each in found]
            allowed = await privacy.shown(viewer.services.store, cells, viewer.least_users)
        rows = [_speed(viewer.services, each) for each, ok in zip(found, allowed, strict=True) if ok]
        rows.sort(key=lambda row: _best_first(row, sort))
        return {"data": rows[:limit], "meta": {**meta_of(span[0], last), "total_count": len(rows)}}

    return await viewer.answer((sort, limit), compared)


def _best_first(row: Mapping[str, Any], sort: str) -> tuple[bool, float, str]:
    value = {
        "requests": float(row["requests"]),
        "latency": (row["latency_ms"] or {}).get("p50"),
        "throughput": (row["throughput_tps"] or {}).get("p50"),
        "price": row["usd_per_mtok"] and float(row["usd_per_mtok"]),
    }[sort]
    better = -1 if sort in ("requests", "throughput") else 1
    return value is None, better * (value or 0.0), row["id"]


def _speed(services: Services, each: ModelSpeed) -> dict[str, Any]:
    """One model; the price is the lowest that is listed today, of prompt and completion in equal parts."""
    catalog, now = services.catalog.current, time.time()
    model = catalog.models.get(each.model)
    prices = [price for e in model.endpoints if (price := e.price_at(now)) is not None] if model is not None else []
    per_token = min((price.of("prompt") + price.of("completion") for price in prices), default=None)
    return {
        "id": each.model,
        "name": model.name if model is not None else each.model,
        "requests": str(each.requests),
        "latency_ms": percentiles_view(each.latency),
        "throughput_tps": percentiles_view(each.throughput),
        "fastest_provider": _fastest(services, each.endpoints),
        "usd_per_mtok": None if per_token is None else per_token / 2 / 10**9,
    }


def _fastest(services: Services, endpoints: Sequence[EndpointSpeed]) -> str | None:
    for each in endpoints:
        if each.throughput is not None:
            slug = queries.KEY_OF["provider"](each.endpoint)
            provider = services.catalog.current.providers.get(slug)
            return provider.name if provider is not None else slug
    return None


def percentiles_view(found: Percentiles | None) -> dict[str, float] | None:
    """``{p50, p75, p90, p99, samples}`` or None with too few samples."""
    if found is None:
        return None
    return {name: getattr(found, name) for name in ("p50", "p75", "p90", "p99", "samples")}


@router.get("/rankings/discovery", response_model=schema.DiscoveryAnswer, summary="Models that change")
async def get_discovery(viewer: ByViewer) -> Response:
    """The last 7 complete days against the week, and the three weeks, before.

    `climbing`: at least 3 places better than the week before. `breakouts`: at least twice the mean of the three weeks before.
    `new`: nothing in those weeks.
    """

    async def found() -> dict[str, Any]:
        now = time.time()
        lists = await discovery.discovery(viewer.services.store, viewer.least_users, now)
        names = await names_of(
            viewer.services, "model", [e.standing.key for e in (*lists.climbing, *lists.breakouts, *lists.new)]
        )
        last = buckets.today(now) - 1
        data = {
            name: [_rise(each, names) for each in getattr(lists, name)[:DISCOVERED_MAX]]
            for name in ("climbing", "breakouts", "new")
        }
        return {"data": data, "meta": meta_of(last - discovery.WEEK_DAYS + 1, last)}

    return await viewer.answer(None, found)


def _rise(each: Rise, names: Mapping[str, str]) -> dict[str, Any]:
    row = _standing(each.standing, names, with_spend=False, trending=False)
    return {**row, "climbed": each.climbed, "times": each.times, "excess_tokens": str(each.excess)}
