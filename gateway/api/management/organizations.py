"""Organisations, their credits and their ledger lines. The hosted service has no such API: it sells credits on a web page."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query

from gateway.accounts import Accounts, Organization
from gateway.api.management.auth import ServicesDep
from gateway.api.management.json_route import ExactJSONResponse, StrictJSONRoute
from gateway.api.management.schema import accounts as schema
from gateway.errors import BadRequest
from gateway.ledger.entries import Balances, Entry
from gateway.money import format_usd
from gateway.records import iso
from gateway.services import Services

router = APIRouter(prefix="/admin/organizations", tags=["Organizations"], route_class=StrictJSONRoute)

IdempotencyKey = Annotated[str | None, Header(max_length=255, description="Required: the same key is one grant.")]


@router.post(
    "",
    status_code=201,
    response_model=schema.OrganizationAnswer,
    summary="Create an organization",
)
async def create_organization(services: ServicesDep, body: schema.CreateOrganization) -> ExactJSONResponse:
    """A new account with a balance of zero. Its keys share its credits."""
    organization = await services.accounts.create_org(body.name)
    if limits := body.sent_limits():
        organization = await services.accounts.set_limits(organization.id, limits)
    if body.analytics is not None:
        chosen = body.analytics.changed(organization.analytics)
        organization = await services.accounts.set_analytics(organization.id, chosen)
    return ExactJSONResponse({"data": await _view(services, organization)}, 201)


@router.get("", response_model=schema.OrganizationList, summary="List organizations")
async def list_organizations(
    services: ServicesDep,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ExactJSONResponse:
    """Oldest first with their accounts, `default` included. Page with `next_cursor` until it is null."""
    found, next_cursor = await services.accounts.list_orgs(after=cursor, limit=limit)
    views = await asyncio.gather(*(_view(services, organization) for organization in found))
    return ExactJSONResponse({"data": views, "next_cursor": next_cursor})


@router.get("/{organization_id}", response_model=schema.OrganizationAnswer, summary="Get an organization")
async def get_organization(services: ServicesDep, organization_id: str) -> ExactJSONResponse:
    """One organisation with its account."""
    return ExactJSONResponse({"data": await _view(services, await services.accounts.get_org(organization_id))})


@router.patch("/{organization_id}", response_model=schema.OrganizationAnswer, summary="Update an organization")
async def update_organization(
    services: ServicesDep, organization_id: str, body: schema.UpdateOrganization
) -> ExactJSONResponse:
    """Rate limits are obeyed from the next request on; what analytics may say about its requests, within some seconds."""
    return ExactJSONResponse({"data": await _view(services, await changed(services.accounts, organization_id, body))})


async def changed(accounts: Accounts, id: str, body: schema.UpdateOrganization) -> Organization:
    """The organisation after the change. Raises NotFound."""
    organization = await accounts.get_org(id)
    if limits := body.sent_limits():
        organization = await accounts.set_limits(id, limits)
    if body.analytics is not None:
        organization = await accounts.set_analytics(id, body.analytics.changed(organization.analytics))
    return organization


@router.post(
    "/{organization_id}/credits",
    status_code=201,
    response_model=schema.GrantedAnswer,
    summary="Add or take credits",
)
async def grant_credits(
    services: ServicesDep, organization_id: str, body: schema.GrantCredits, idempotency_key: IdempotencyKey = None
) -> ExactJSONResponse:
    """Once per `Idempotency-Key`, for ever: a replay answers the same with `Idempotent-Replayed: true`, another body 409."""
    id = valid_idempotency_key(idempotency_key)
    grant = await services.ledger.grant(organization_id, body.amount_usd, id=id, actor="api", reason=body.reason)
    view = {
        "organization_id": organization_id,
        "amount_usd": format_usd(body.amount_usd),
        "balance_usd": format_usd(grant.balance_nano),
        "reason": body.reason,
        "idempotency_key": id,
    }
    return ExactJSONResponse({"data": view}, 201, {"idempotent-replayed": "true"} if grant.duplicate else None)


@router.get("/{organization_id}/ledger", response_model=schema.LedgerPage, summary="List ledger lines")
async def list_ledger(
    services: ServicesDep,
    organization_id: str,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    order: Annotated[str, Query(pattern="^(asc|desc)$", description="`asc`: oldest first.")] = "asc",
) -> ExactJSONResponse:
    """Every posting of the organisation, never edited. Page with `next_cursor` until it is null, with the same `order`."""
    await services.accounts.get_org(organization_id)
    lines, next_cursor = await services.books.journal(
        organization_id, after=cursor, limit=limit, newest_first=order == "desc"
    )
    return ExactJSONResponse({"data": [line_view(line) for line in lines], "next_cursor": next_cursor})


def valid_idempotency_key(idempotency_key: str | None) -> str:
    """The key without surrounding spaces. Raises BadRequest, which names the header, when it is missing or not printable ASCII."""
    if idempotency_key is None or not idempotency_key.strip():
        raise BadRequest(
            "The header Idempotency-Key is required: it makes a repeated call one grant.", field="Idempotency-Key"
        )
    if not idempotency_key.isascii() or not idempotency_key.isprintable():
        raise BadRequest("Idempotency-Key must be printable ASCII.", field="Idempotency-Key")
    return idempotency_key.strip()


async def _view(services: Services, organization: Organization) -> dict[str, Any]:
    return organization_view(organization, await services.ledger.balances(organization.id))


def organization_view(organization: Organization, account: Balances) -> dict[str, Any]:
    """Amounts as decimal text."""
    analytics = organization.analytics
    return {
        "id": organization.id,
        "name": organization.name,
        "created_at": iso(organization.created_at),
        "balance_usd": format_usd(account.balance_nano),
        "held_usd": format_usd(account.held_nano),
        "available_usd": format_usd(account.balance_nano - account.held_nano),
        "total_credits_usd": format_usd(account.granted_nano),
        "total_usage_usd": format_usd(account.used_nano),
        "analytics": {
            "categories": analytics.categories,
            "sample": "auto" if analytics.sample is None else analytics.sample,
            "country": analytics.country,
            "category": analytics.category,
        },
        **asdict(organization.limits),
    }


def line_view(line: Entry) -> dict[str, Any]:
    """One posting. A grant has no generation, provider or cost: it pays a negative amount, which adds to the balance."""
    grant = line.type == "grant"
    return {
        "seq": line.seq,
        "type": line.type,
        "generation_id": None if grant else line.generation_id,
        "grant_id": line.generation_id if grant else None,
        "attempt": line.part,
        "key_hash": line.key_hash,
        "provider": line.provider,
        "cost_usd": format_usd(line.cost_nano),
        "fee_usd": format_usd(line.fee_nano),
        "total_usd": format_usd(line.total_nano),
        "paid_usd": format_usd(line.user_nano),
        "loss_usd": format_usd(line.loss_nano),
        "amount_usd": format_usd(-line.user_nano),
        "balance_after_usd": format_usd(line.balance_nano),
        "actor": line.actor,
        "reason": line.reason,
        "created_at": iso(line.time),
    }
