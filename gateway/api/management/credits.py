"""``GET /credits``: what one organisation has bought and spent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.accounts import DEFAULT_ORG
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema.accounts import CreditsAnswer
from gateway.errors import Forbidden
from gateway.records import usd

router = APIRouter(tags=["Credits"])


@router.get("/credits", response_model=CreditsAnswer, summary="Get credits")
async def get_credits(
    services: ServicesDep,
    policy: ByAnyKey,
    organization_id: Annotated[
        str | None, Query(max_length=64, description="Management key only; `default` when left out.")
    ] = None,
) -> ExactJSONResponse:
    """Total credits granted and total usage in USD; the difference is the balance. An inference key sees its own organisation."""
    if policy is not None and organization_id not in (None, policy.org):
        raise Forbidden("An inference key sees the credits of its own organization only.")
    org = policy.org if policy is not None else organization_id or DEFAULT_ORG
    if policy is None:
        await services.accounts.get_org(org)
    account = await services.ledger.balances(org)
    return ExactJSONResponse(
        {"data": {"total_credits": usd(account.granted_nano), "total_usage": usd(account.used_nano)}}
    )
