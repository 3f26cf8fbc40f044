"""What an operator asks: do the books balance, what is set aside, how would a request be routed?"""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query

from gateway.accounts import DEFAULT_ORG
from gateway.api.management.auth import ServicesDep
from gateway.api.management.http import Answer
from gateway.api.management.schema.accounts import AuditAnswer, HoldList, RoutingAnswer
from gateway.ledger.entries import AuditReport
from gateway.money import format_price, format_usd
from gateway.records import iso
from gateway.routing import preferences
from gateway.routing.candidate import Need
from gateway.routing.plan import Plan, plan

router = APIRouter(prefix="/admin", tags=["Operation"])

EXPLAINED_PROMPT_TOKENS = 1_000


@router.get("/audit", response_model=AuditAnswer, responses={409: {"model": AuditAnswer}}, summary="Audit the ledger")
async def audit(services: ServicesDep) -> Answer:
    """Recompute every balance from the journal while traffic runs: 200 when clean, 409 with the differences when not."""
    await services.accounts.get_org(
        DEFAULT_ORG
    )  # a hot call first: Redis out of reach is told at once, not after its page timeout
    report = await services.ledger.audit()
    return Answer(audit_view(report), 200 if report.clean else 409)


@router.get("/holds", response_model=HoldList, summary="List open holds")
async def list_holds(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000) -> Answer:
    """Credit set aside for running requests, soonest expiry first."""
    holds = sorted(await services.ledger.open_holds(limit=limit), key=lambda hold: hold.expires_at)
    return Answer(
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
            ]
        }
    )


@router.get("/routing", response_model=RoutingAnswer, summary="Explain routing")
async def explain_routing(
    services: ServicesDep,
    model: Annotated[str, Query(min_length=1, max_length=256, description="Slug, variants such as `:floor` included.")],
    sort: Annotated[str | None, Query(max_length=40)] = None,
    prompt_tokens: Annotated[int, Query(ge=0, le=10**8)] = EXPLAINED_PROMPT_TOKENS,
    max_tokens: Annotated[int | None, Query(ge=1, le=10**8)] = None,
) -> Answer:
    """The plan a text request would get this moment: the candidates in order, and why every other endpoint was dropped.

    The default policy throws rng, so two calls may answer two orders.
    """
    catalog = services.catalog.current
    found, _ = catalog.resolve(model)
    asked = preferences.parse({"model": model, "provider": {"sort": sort}}, catalog.provider_names)
    need = Need(prompt_tokens, max_tokens)
    made = plan([found], need, asked, view=services.health.view, now=time.time(), rng=random.Random())
    return Answer({"data": {"model": found.slug, **plan_view(made)}})


def plan_view(made: Plan) -> dict[str, Any]:
    """Candidates and drops; prices in USD per token."""
    return {
        "policy": made.policy,
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
            for candidate in made.candidates
        ],
        "dropped": [msgspec.structs.asdict(drop) for drop in made.drops],
    }


def audit_view(report: AuditReport) -> dict[str, Any]:
    """Amounts as decimal text; a difference's figures are shown as they are kept, in nano-USD."""
    view: dict[str, Any] = {"clean": report.clean, "differences": [asdict(found) for found in report.differences]}
    for name, value in asdict(report).items():
        if name.endswith("_nano") and isinstance(value, int):
            view[name.removesuffix("_nano") + "_usd"] = format_usd(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            view[name] = value
    view["cost_by_provider_usd"] = {slug: format_usd(nano) for slug, nano in report.cost_by_provider_nano.items()}
    return view
