"""``GET /activity``: what was used on the last thirty days, by day and endpoint; an inference key sees its own use."""

from __future__ import annotations

import time
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from gateway.analytics import buckets, queries
from gateway.analytics.event import KEY_CHARS
from gateway.analytics.queries import Usage
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema import rankings as schema
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.records import usd
from gateway.services import Services

router = APIRouter(tags=["Activity"])

DAYS = 30
"""Completed UTC days, as the hosted service shows them."""
UNSUPPORTED = {
    "user_id": "keys have no creators here, and end users are counted as hashes that nobody can look up",
    "workspace_id": "money is not counted by organisation; POST /analytics/query has tokens by `organization`",
    "group_by": "money is not counted by organisation; POST /analytics/query groups by what is counted",
}
"""Filter of the hosted service → why there is no answer to it."""


@router.get("/activity", response_model=schema.Activity, summary="Get activity")
async def get_activity(
    request: Request,
    services: ServicesDep,
    policy: ByAnyKey,
    date: Annotated[date | None, Query(description="One of the last 30 completed UTC days; all when left out.")] = None,
    api_key_hash: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="Of one API key; its `hash` in `GET /keys`.")
    ] = None,
) -> ExactJSONResponse:
    """Requests, tokens and spending by day and endpoint. The management key sees everything, an inference key its own use."""
    if services.analytics is None:
        raise NotFound("Analytics is switched off on this gateway (GATEWAY_ANALYTICS).")
    for name, reason in UNSUPPORTED.items():
        if name in request.query_params:
            raise BadRequest(f"{name}: {reason}; leave it out.", field=name)
    if policy is not None and api_key_hash not in (None, policy.key_hash):
        raise Forbidden("An inference key sees its own activity only.")
    key = policy.key_hash if policy is not None else api_key_hash
    today = buckets.today(time.time())
    days = list(range(today - DAYS, today))
    if date is not None:
        if buckets.day_of(date) not in days:
            raise BadRequest(f"date: must be one of the last {DAYS} completed UTC days.", field="date")
        days = [buckets.day_of(date)]
    found = await queries.activity(services.store, days, key[:KEY_CHARS] if key else None)
    return ExactJSONResponse({"data": [_row(services, each) for each in found]})


def _row(services: Services, usage: Usage) -> dict[str, Any]:
    model, slug = queries.KEY_OF["model"](usage.endpoint), queries.KEY_OF["provider"](usage.endpoint)
    provider = services.catalog.current.providers.get(slug)
    return {
        "date": buckets.iso_day(usage.day),
        "model": model,
        "model_permaslug": model,
        "endpoint_id": usage.endpoint if slug else "",
        "provider_name": provider.name if provider is not None else slug,
        "usage": usd(usage.spend_nano),
        "byok_usage_inference": 0,
        "requests": usage.requests,
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "reasoning_tokens": usage.reasoning,
        "cached_tokens": usage.cached,
    }
