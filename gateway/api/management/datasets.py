"""Rankings with the fields of OpenRouter's Data API, so that programs that read that one can read this one."""

from __future__ import annotations

import time
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.analytics import queries, tables
from gateway.analytics.buckets import Period
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.queries import Window
from gateway.analytics.series import OTHERS
from gateway.api.management.public_views import MAX_DAYS, ByViewer, EndDate, StartDate, days, meta_of
from gateway.api.management.rankings import DEFAULT_DAYS, Size, names_of, refuse_uncounted
from gateway.api.management.schema import rankings as schema
from gateway.errors import BadRequest

router = APIRouter(tags=["Rankings"], dependencies=[Depends(refuse_uncounted)])

DATASET_TOP = 50


@router.get("/datasets/rankings-daily", response_model=schema.RankingsDaily, summary="Tokens by day and model")
async def get_rankings_daily(
    viewer: ByViewer,
    period: Period = "day",
    start_date: StartDate = None,
    end_date: EndDate = None,
    context_bucket: Annotated[Size | None, Query(description="Requests of this size only; with `period=week`.")] = None,
) -> Response:
    """The 50 models with the most tokens of each day (week, month), and one row `other` for the rest, the last of its date."""
    if context_bucket is not None and period != "week":
        raise BadRequest("period: requests of one size are counted by weeks only; use period=week.", field="period")
    first, last = days(start_date, end_date, length=DEFAULT_DAYS["day"], most=MAX_DAYS)
    query = queries.Query(
        period=period, start=first, end=last, top=DATASET_TOP, context=context_bucket, least_users=viewer.least_users
    )

    async def listed() -> dict[str, Any]:
        chart = await queries.chart(viewer.services.store, query, time.time())
        rows = []
        for at, day in enumerate(chart.buckets):
            values = [(each.key, value) for each in chart.series if (value := each.values[at])]
            values.sort(key=lambda pair: (pair[0] == OTHERS, -pair[1], pair[0]))
            rows += [
                {"date": day, "model_permaslug": "other" if key == OTHERS else key, "total_tokens": str(value)}
                for key, value in values
            ]
        return {"data": rows, "meta": meta_of(first, last)}

    return await viewer.answer(query, listed)


class AppQuery(BaseModel):
    """The parameters of the ranking of apps."""

    sort: Literal["popular", "trending"] = "popular"
    start_date: date | None = None
    end_date: date | None = None
    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0, le=10_000)


@router.get("/datasets/app-rankings", response_model=schema.AppRankings, summary="Apps by tokens")
async def get_app_rankings(viewer: ByViewer, wanted: Annotated[AppQuery, Query()]) -> Response:
    """Apps that name themselves with `HTTP-Referer` or `X-Title`, by tokens, or by how much these exceed the three windows before.

    `meta.unattributed_tokens`: of requests whose app is not known.
    """
    first, last = days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS["day"], most=MAX_DAYS)
    window = Window(first, last + 1)

    async def ranked() -> dict[str, Any]:
        standings = await queries.leaderboard(
            viewer.services.store,
            "app",
            window,
            trending=wanted.sort == "trending",
            least_users=viewer.least_users,
            now=time.time(),
        )
        page = standings[wanted.offset : wanted.offset + wanted.limit]
        names = await names_of(viewer.services, "app", [each.key for each in page])
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
        unknown = await tables.rows(viewer.services.store, "da", [(day, UNKNOWN_APP) for day in range(first, last + 1)])
        meta = {**meta_of(first, last), "unattributed_tokens": str(sum(each.get("t", 0) for each in unknown))}
        return {"data": rows, "meta": {**meta, "total_count": len(standings)}}

    return await viewer.answer((window, wanted.sort, wanted.limit, wanted.offset), ranked)
