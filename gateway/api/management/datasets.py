"""Rankings with the fields of OpenRouter's Data API, so that programs that read that one can read this one."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.analytics import buckets, queries, tables
from gateway.analytics.buckets import Period
from gateway.analytics.estimates import Kind
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.history.locations import history_of
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.source import History
from gateway.analytics.label_chart import LabelQuery, label_chart
from gateway.analytics.queries import Window
from gateway.analytics.series import OTHERS, Chart
from gateway.analytics.sessions import WINDOW_DAYS, SessionCost, session_costs
from gateway.api.management.public_views import MAX_DAYS, ByViewer, Viewer, days, meta_of
from gateway.api.management.rankings import (
    DEFAULT_DAYS,
    Size,
    check_label,
    check_weeks,
    names_of,
    refuse_uncounted,
)
from gateway.api.management.schema import rankings as schema
from gateway.catalog.catalog import Catalog
from gateway.errors import BadRequest, NotFound, Unavailable
from gateway.records import usd
from gateway.services import Services

router = APIRouter(tags=["Rankings"], dependencies=[Depends(refuse_uncounted)])

log = structlog.get_logger(__name__)

DATASET_TOP = 50
Modality = Literal["text", "image", "image_output", "audio", "tool_calling"]
"""As in OpenRouter's Data API (SDK of 2026-08): a property of models, but for tools, which a model must have called."""
TAKEN = ("image", "audio")
"""What a model takes; the others are what it makes."""
SAMPLED = ("category", "language_type")
"""Filters by what was classified in a sample."""
LANGUAGE_KINDS: dict[str, Kind] = {"natural": "language", "programming": "programming"}


class DailyQuery(BaseModel):
    """The parameters of the ranking of models."""

    period: Period | None = Field(
        None, description="`day` when left out; with `category` or `language_type` `week`, and nothing else."
    )
    start_date: date | None = Field(None, description="First day, UTC, `YYYY-MM-DD`.")
    end_date: date | None = Field(None, description="Last day, UTC; today when left out.")
    modality: Modality | None = Field(
        None,
        description="Models that write `text` or draw (`image_output`), that take an `image` or `audio`, or that called tools "
        "on that date (`tool_calling`).",
    )
    context_bucket: Size | None = Field(None, description="Requests of this size only; with `period=week`.")
    category: str | None = Field(None, description="Requests of this category only, as estimated.")
    language_type: Literal["natural", "programming"] | None = Field(
        None, description="Requests whose natural, or programming, language is known, as estimated."
    )


@router.get("/datasets/rankings-daily", response_model=schema.RankingsDaily, summary="Tokens by day and model")
async def get_rankings_daily(viewer: ByViewer, wanted: Annotated[DailyQuery, Query()]) -> Response:
    """The 50 models with the most tokens of each day (week, month), and one row `other` for the rest, the last of its date.

    `modality` and `context_bucket` are counted exactly and can be combined; `category` and `language_type` are estimates of what
    was classified, by weeks, and stand alone.
    """
    first, last = days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS["day"], most=MAX_DAYS)
    store = viewer.services.store
    query = _daily_query(wanted, (first, last), viewer)

    async def listed() -> dict[str, Any]:
        now, meta = time.time(), meta_of(first, last)
        if isinstance(query, queries.Query):
            return {"data": _daily(await queries.chart(store, query, now)), "meta": meta}
        chart = await label_chart(store, query, now)
        quality = {name: chart.meta[name] for name in ("estimator", "n", "n_eff", "suppressed", "estimates")}
        return {"data": _daily(chart), "meta": {**meta, **quality}}

    return await viewer.answer(query, listed)


def _daily_query(wanted: DailyQuery, span: tuple[int, int], viewer: Viewer) -> queries.Query | LabelQuery:
    """Raises BadRequest, naming the parameter, for filters that cannot be combined, and for a period that is not counted."""
    sampled = [name for name in SAMPLED if getattr(wanted, name) is not None]
    for name in (*sampled[1:], *("modality", "context_bucket")):
        if sampled and getattr(wanted, name) is not None:
            raise BadRequest(f"{name}: is not counted by {sampled[0]}; leave one of them out.", field=name)
    period = wanted.period or ("week" if sampled else "day")
    common: dict[str, Any] = {
        "start": span[0], "end": span[1], "top": DATASET_TOP, "least_users": viewer.least_users,
    }  # fmt: skip
    if wanted.category is not None:
        check_label("category", wanted.category, period, field="category")
        return LabelQuery(kind="category", label=wanted.category, **common)
    if wanted.language_type is not None:
        check_weeks(period, "language_type")
        return LabelQuery(kind=LANGUAGE_KINDS[wanted.language_type], label=None, **common)
    if wanted.context_bucket is not None:
        check_weeks(period, "context_bucket")
    return queries.Query(
        period=period,
        context=wanted.context_bucket,
        models=models_of(wanted.modality, viewer.services.catalog.current) if wanted.modality else None,
        with_tools=wanted.modality == "tool_calling",
        **common,
    )


def models_of(modality: Modality, catalog: Catalog) -> frozenset[str] | None:
    """The models of the catalogue that have a modality; None for one that says nothing of the model."""
    if modality == "tool_calling":
        return None
    wanted = modality.removesuffix("_output")
    return frozenset(
        model.slug
        for model in catalog.models.values()
        if wanted in (model.input_modalities if modality in TAKEN else model.output_modalities)
    )


def _daily(chart: Chart) -> list[dict[str, str]]:
    """A row for each model of each bucket that was used in it."""
    rows = []
    for at, day in enumerate(chart.buckets):
        values = [(each.key, value) for each in chart.series if (value := each.values[at])]
        values.sort(key=lambda pair: (pair[0] == OTHERS, -pair[1], pair[0]))
        rows += [
            {"date": day, "model_permaslug": "other" if key == OTHERS else key, "total_tokens": str(value)}
            for key, value in values
        ]
    return rows


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


class SessionQuery(BaseModel):
    """The parameters of the costs of sessions."""

    app_slug: str | None = Field(None, description="One app, by its id.")
    model: str | None = Field(None, description="One model, by its slug.")
    turn_range: Literal["1-turn", "2-9-turns", "10-49-turns", "50-plus-turns"] | None = None
    limit: int = Field(100, ge=1, le=500)
    offset: int = Field(0, ge=0, le=5000)


@router.get("/datasets/session-cost", response_model=schema.SessionCosts, summary="Median cost of sessions")
async def get_session_cost(viewer: ByViewer, wanted: Annotated[SessionQuery, Query()]) -> Response:
    """What sessions that closed in the last 30 complete days cost, by app, model and number of turns, never pooled over apps.

    A session is what callers gave one `session_id`, with less than a day between two turns. It is read from the history of
    events, so this needs one. Sessions without a known app: management key only.
    """
    history = await _history(viewer.services)
    last = buckets.today(time.time()) - 1

    async def listed() -> dict[str, Any]:
        try:
            found = await asyncio.to_thread(session_costs, history, last)
        except HistoryError as error:
            raise _unreadable(error) from None
        least = viewer.least_users
        shown = [each for each in found if least is None or each.may_be_shown(least)]
        rows = [_session_cost(each) for each in shown if _matches(each, wanted)]
        meta = {"version": "v1", "as_of": buckets.iso_time(time.time()), "total_count": len(rows)}
        window = {"window_days": WINDOW_DAYS, "window_end_date": buckets.iso_day(last)}
        return {"data": rows[wanted.offset : wanted.offset + wanted.limit], "meta": {**meta, **window}}

    return await viewer.answer((last, wanted.model_dump_json()), listed)


async def _history(services: Services) -> History:
    """The history of this gateway. Raises NotFound where there is none, Unavailable where that is not known."""
    try:
        history = history_of(services.settings)
        if await asyncio.to_thread(history.exists):
            return history
    except HistoryError as error:
        raise _unreadable(error) from None
    raise NotFound("Sessions are read from the history of analytics; there is none here (GATEWAY_HISTORY).")


def _unreadable(error: HistoryError) -> Unavailable:
    log.error("history_failed", error=str(error))
    return Unavailable("The history of analytics cannot be read now; the log says why.")


def _matches(each: SessionCost, wanted: SessionQuery) -> bool:
    pairs = ((each.app, wanted.app_slug), (each.model, wanted.model), (each.turn_range, wanted.turn_range))
    return all(asked in (None, value) for value, asked in pairs)


def _session_cost(each: SessionCost) -> dict[str, Any]:
    return {
        "app_slug": each.app,
        "app_name": each.name or each.app.removeprefix("~"),
        "model_permaslug": each.model,
        "turn_range": each.turn_range,
        "median_session_cost_usd": usd(each.median_nano),
        "sessions": each.sessions,
    }
