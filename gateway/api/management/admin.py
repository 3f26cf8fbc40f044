"""For operators: does the ledger balance, what is on hold, how would a request be routed?"""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query

from gateway.accounts import DEFAULT_ORG
from gateway.api.management.auth import ServicesDep
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema.accounts import AuditAnswer, HoldList, RoutingAnswer
from gateway.ledger.entries import AuditReport
from gateway.ledger.hold_pages import page_of_holds
from gateway.money import format_price, format_usd
from gateway.records import iso
from gateway.routing import preferences
from gateway.routing.candidate import Need
from gateway.routing.plan import Plan, plan

router = APIRouter(prefix="/admin", tags=["Operation"])

EXPLAINED_PROMPT_TOKENS = 1_000
"""Prompt length that ``GET /admin/routing`` assumes."""


@router.get("/audit", response_model=AuditAnswer, responses={409: {"model": AuditAnswer}}, summary="Audit the ledger")
async def audit(services: ServicesDep) -> ExactJSONResponse:
    """Recompute every balance from the journal while traffic runs: 200 when clean, 409 with the differences when not."""
    # A call with a short timeout first: when Redis is out of reach, the audit's own timeout would be a long wait.
    await services.accounts.get_org(DEFAULT_ORG)
    report = await services.ledger.audit()
    return ExactJSONResponse(audit_view(report), 200 if report.clean else 409)


@router.get("/holds", response_model=HoldList, summary="List open holds")
async def list_holds(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before.")] = None,
) -> ExactJSONResponse:
    """Credit set aside for running requests, soonest expiry first within a page. Page with `next_cursor` until it is null."""
    page, next_cursor = await page_of_holds(services.store.mux, after=cursor, limit=limit)
    holds = sorted(page, key=lambda hold: hold.expires_at)
    return ExactJSONResponse(
        {
            "data": [
                {
                    "generation_id": hold.id,
                    "organization_id": hold.org,
                    "key_hash": hold.key_hash,
                    "amount_usd": format_usd(hold.amount_nano),
                    "expires_at": iso(hold.expires_at),
                }
                for hold in holds
            ],
            "next_cursor": next_cursor,
        }
    )


@router.get("/routing", response_model=RoutingAnswer, summary="Explain routing")
async def explain_routing(
    services: ServicesDep,
    model: Annotated[str, Query(min_length=1, max_length=256, description="Slug, variants such as `:floor` included.")],
    sort: Annotated[str | None, Query(max_length=40)] = None,
    prompt_tokens: Annotated[int, Query(ge=0, le=10**8)] = EXPLAINED_PROMPT_TOKENS,
    max_tokens: Annotated[int | None, Query(ge=1, le=10**8)] = None,
) -> ExactJSONResponse:
    """The plan a text request would get this moment: the candidates in order, and why every other endpoint was dropped.

    The default policy draws random numbers, so two calls may give two orders.
    """
    catalog = services.catalog.current
    resolved, suffix_sort = catalog.resolve(model)
    preference = preferences.parse({"model": model, "provider": {"sort": sort}}, catalog.provider_names)
    if suffix_sort is not None:
        preference = msgspec.structs.replace(preference, sorts={resolved.slug: suffix_sort})
    need = Need(prompt_tokens, max_tokens)
    routing_plan = plan([resolved], need, preference, view=services.health.view, now=time.time(), rng=random.Random())
    return ExactJSONResponse({"data": {"model": resolved.slug, **plan_view(routing_plan)}})


def plan_view(routing_plan: Plan) -> dict[str, Any]:
    """Candidates and drops; prices in USD per token."""
    return {
        "policy": routing_plan.policy,
        "candidates": [
            {
                "endpoint_id": candidate.endpoint.id,
                "provider": candidate.endpoint.provider.slug,
                "pricing": {kind: format_price(femto) for kind, femto in candidate.price.femto.items()},
                "expected_cost_usd": format_price(candidate.expected_femto),
                "state": candidate.health.state,
                "recent_outage": candidate.health.recent_outage,
                "uptime_last_30m": candidate.health.uptime_30m,
            }
            for candidate in routing_plan.candidates
        ],
        "dropped": [msgspec.structs.asdict(drop) for drop in routing_plan.drops],
    }


def audit_view(report: AuditReport) -> dict[str, Any]:
    """Amounts as decimal text; the figures of a difference stay in nano-USD, as the ledger stores them."""
    view: dict[str, Any] = {
        "clean": report.clean,
        "differences": [asdict(difference) for difference in report.differences],
    }
    for name, value in asdict(report).items():
        if name.endswith("_nano") and isinstance(value, int):
            view[name.removesuffix("_nano") + "_usd"] = format_usd(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            view[name] = value
    view["cost_by_provider_usd"] = {slug: format_usd(nano) for slug, nano in report.cost_by_provider_nano.items()}
    return view
