"""Charts and rankings of use: ``/rankings`` is ours, ``/datasets`` has the fields of OpenRouter's Data API.

What the management key sees is everything. Anybody else sees figures in which no single account can be recognised, with a key, or
without one where ``GATEWAY_PUBLIC_RANKINGS`` is on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from gateway.analytics import buckets, queries, tables
from gateway.analytics.buckets import Period
from gateway.analytics.dimensions import By, dimensions
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.queries import Metric, Standing, Window
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.api.management.auth import DocumentedBearer, ServicesDep, identify, presented_key, services_of
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema import rankings as schema
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.money import format_usd
from gateway.services import Services

router = APIRouter(tags=["Rankings"])

MAX_DAYS = 366
"""Longest span of a dataset, and of a chart of days."""
MAX_WEEKS_DAYS = 731
"""Longest span of a chart of weeks or months."""
DATASET_TOP = 50
DEFAULT_DAYS: dict[str, int] = {"day": 30, "week": 52 * 7 + 1, "month": 365}
VIEW_DAYS = {"day": 1, "week": 7, "month": 30, "trending": 7}
PUBLIC_CACHE, PRIVATE_CACHE = "public, max-age=60, stale-while-revalidate=300", "private, max-age=60"
UNSUPPORTED = ("modality", "context_bucket", "category", "language_type", "subcategory")
"""Filters of the hosted service for which nothing is counted here."""


async def least_users(request: Request, _: DocumentedBearer) -> int | None:
    """Users that a figure needs; None for the management key. Raises NotFound when nothing is counted, Unauthorized without a key
    where one is needed, BadRequest for a filter that is not supported."""
    services = services_of(request)
    if services.analytics is None:
        raise NotFound("Analytics is switched off on this gateway (GATEWAY_ANALYTICS).")
    for name in UNSUPPORTED:
        if name in request.query_params:
            raise BadRequest(f"{name}: nothing is counted by this here; leave it out.", field=name)
    public = services.settings.public_rankings and presented_key(request) is None
    if not public and await identify(request) is None:
        return None
    return services.settings.rankings_min_users


LeastUsers = Annotated[int | None, Depends(least_users)]
StartDate = Annotated[date | None, Query(description="First day, UTC, `YYYY-MM-DD`.")]
EndDate = Annotated[date | None, Query(description="Last day, UTC; today when left out.")]


def _days(start: date | None, end: date | None, *, length: int, most: int) -> tuple[int, int]:
    """The first and the last day. Raises BadRequest naming the parameter."""
    last = buckets.day_of(end) if end is not None else buckets.today(time.time())
    first = buckets.day_of(start) if start is not None else last - length + 1
    if first < 0 or last < 0:
        field = "start_date" if start is not None else "end_date"
        raise BadRequest(f"{field}: nothing was counted before 1970.", field=field)
    if last > buckets.today(time.time()) + 1:  # somewhere tomorrow has begun
        raise BadRequest("end_date: is in the future.", field="end_date")
    if first > last:
        raise BadRequest("start_date is after end_date; swap them.", field="start_date")
    if last - first + 1 > most:
        raise BadRequest(f"start_date: at most {most} days at once, end_date included.", field="start_date")
    return first, last


def _answer(services: Services, content: Mapping[str, Any], least: int | None) -> ExactJSONResponse:
    public = least is not None and services.settings.public_rankings
    return ExactJSONResponse(content, headers={"cache-control": PUBLIC_CACHE if public else PRIVATE_CACHE})


def _meta(first: int, last: int) -> dict[str, Any]:
    return {
        "version": "v1",
        "as_of": buckets.iso_time(time.time()),
        "start_date": buckets.iso_day(first),
        "end_date": buckets.iso_day(last),
    }


class ChartQuery(BaseModel):
    """The parameters of a chart."""

    metric: Metric = Field("tokens", description="`spend`, `cost`, `fees` (nano-USD): management key only.")
    by: By = Field("model", description="`family` to `reasoning`: attributes of models as of the bucket's first day.")
    period: Period = "week"
    start_date: date | None = Field(None, description="First day, UTC, `YYYY-MM-DD`.")
    end_date: date | None = Field(None, description="Last day, UTC; today when left out.")
    top: int = Field(9, ge=1, le=50, description="Series with values of their own in each bucket.")
    others: Literal["keep", "drop"] = Field("keep", description="The rest, as one series.")


@router.get("/rankings/chart", response_model=schema.ChartAnswer, summary="Chart of use")
async def get_chart(
    services: ServicesDep, least: LeastUsers, wanted: Annotated[ChartQuery, Query()]
) -> ExactJSONResponse:
    """The largest of each day, week from Monday, or month, and the rest as `others`. Counts are decimal strings: they may exceed
    2^53. A key that is missing from a bucket is not among its largest; its value is in `others`.
    """
    metric, by, period = wanted.metric, wanted.by, wanted.period
    if metric in queries.MONEY and least is not None:
        raise Forbidden("Only the management key may see what was spent.")
    if by == "app" and metric not in (*queries.APP_FIELDS, "users"):
        raise BadRequest(f"metric: {metric} is not counted by app; choose tokens, requests or users.", field="metric")
    most = MAX_DAYS if period == "day" else MAX_WEEKS_DAYS
    first, last = _days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS[period], most=most)
    query = queries.Query(
        metric=metric,
        by=by,
        period=period,
        start=first,
        end=last,
        top=wanted.top,
        others=wanted.others == "keep",
        least_users=least,
    )
    named = dimensions(services.catalog.current)
    chart = await queries.chart(services.store, query, time.time(), named)
    names = await _app_names(services, by, [each.key for each in chart.series])
    new = chart.meta.pop("new")
    listed = [{**_key(each, names), "is_new": each.key in new} for each in chart.series]
    meta = {**_meta(first, last), "unit": chart.unit, "estimator": "exact", **chart.meta}
    return _answer(services, {"data": _points(chart), "keys": listed, "meta": meta}, least)


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


async def _app_names(services: Services, by: By, found: Sequence[str]) -> dict[str, str]:
    """App → the name that it gave last."""
    if by != "app":
        return {}
    week = buckets.week_of(buckets.today(time.time()))
    named: dict[str, str] = {}
    for number in (week - 1, week):
        named |= await tables.names(services.store, "w", number, found)
    return named


@router.get("/rankings/leaderboard", response_model=schema.LeaderboardAnswer, summary="Ranking of use")
async def get_leaderboard(
    services: ServicesDep,
    least: LeastUsers,
    view: Annotated[
        Literal["day", "week", "month", "trending"],
        Query(
            description="The last 1, 7 or 30 days; or the last 7 complete days by how much they exceed the three weeks before."
        ),
    ] = "week",
    by: By = "model",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> ExactJSONResponse:
    """Ranked by tokens, today included (`partial`), but `trending`.

    `change` and `prev_rank` compare complete days; `is_new`: nothing in the window before.
    """
    now = time.time()
    last = buckets.today(now)
    window = Window(last - VIEW_DAYS[view] + 1, last + 1)
    named = dimensions(services.catalog.current)
    standings = await queries.leaderboard(
        services.store, by, window, trending=view == "trending", least_users=least, now=now, dimensions=named
    )
    names = {each.key: named.label(by, each.key) for each in standings[:limit]}
    names |= await _app_names(services, by, list(names))
    rows = [_standing(each, names, with_spend=least is None, trending=view == "trending") for each in standings[:limit]]
    meta = {**_meta(window.first, last), "complete_through": buckets.iso_day(last - 1), "unit": "tokens_native"}
    return _answer(
        services, {"data": rows, "meta": {**meta, "partial": view != "trending", "total_count": len(standings)}}, least
    )


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


@router.get("/datasets/rankings-daily", response_model=schema.RankingsDaily, summary="Tokens of models by day")
async def get_rankings_daily(
    services: ServicesDep,
    least: LeastUsers,
    period: Period = "day",
    start_date: StartDate = None,
    end_date: EndDate = None,
) -> ExactJSONResponse:
    """The 50 models with the most tokens of each day (week, month), and one row `other` for the rest, the last of its date."""
    first, last = _days(start_date, end_date, length=DEFAULT_DAYS["day"], most=MAX_DAYS)
    query = queries.Query(period=period, start=first, end=last, top=DATASET_TOP, least_users=least)
    chart = await queries.chart(services.store, query, time.time())
    rows = []
    for at, day in enumerate(chart.buckets):
        values = [(each.key, value) for each in chart.series if (value := each.values[at])]
        values.sort(key=lambda pair: (pair[0] == OTHERS, -pair[1], pair[0]))
        rows += [
            {"date": day, "model_permaslug": "other" if key == OTHERS else key, "total_tokens": str(value)}
            for key, value in values
        ]
    return _answer(services, {"data": rows, "meta": _meta(first, last)}, least)


class AppQuery(BaseModel):
    """The parameters of the ranking of apps."""

    sort: Literal["popular", "trending"] = "popular"
    start_date: date | None = None
    end_date: date | None = None
    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0, le=10_000)


@router.get("/datasets/app-rankings", response_model=schema.AppRankings, summary="Apps by tokens")
async def get_app_rankings(
    services: ServicesDep, least: LeastUsers, wanted: Annotated[AppQuery, Query()]
) -> ExactJSONResponse:
    """Apps that name themselves with `HTTP-Referer` or `X-Title`, by tokens, or by how much these exceed the three windows before.

    `meta.unattributed_tokens`: of requests whose app is not known.
    """
    first, last = _days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS["day"], most=MAX_DAYS)
    window = Window(first, last + 1)
    standings = await queries.leaderboard(
        services.store, "app", window, trending=wanted.sort == "trending", least_users=least, now=time.time()
    )
    page = standings[wanted.offset : wanted.offset + wanted.limit]
    names = await _app_names(services, "app", [each.key for each in page])
    rows = [
        {
            "rank": each.rank,
            "app_id": each.key,
            "app_name": names.get(each.key, each.key.removeprefix("~")),
            "total_tokens": str(each.tokens),
            "total_requests": each.requests,
        }
        for each in page
    ]
    unknown = await tables.rows(services.store, "da", [(day, UNKNOWN_APP) for day in range(first, last + 1)])
    meta = {**_meta(first, last), "unattributed_tokens": str(sum(each.get("t", 0) for each in unknown))}
    return _answer(services, {"data": rows, "meta": {**meta, "total_count": len(standings)}}, least)
