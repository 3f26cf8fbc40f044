"""API keys: all of them for operators (``/keys``, management key), and the caller's own (``/key``)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.accounts import DEFAULT_ORG, KeyChoice
from gateway.accounts.views import KeyChange
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.json_route import ExactJSONResponse, StrictJSONRoute
from gateway.api.management.key_views import current_key_view, key_view, management_key_view
from gateway.api.management.schema import keys as schema
from gateway.store.policy import RATE_LIMITS, RateLimits

router = APIRouter(prefix="/keys", tags=["API keys"], route_class=StrictJSONRoute)
current = APIRouter(tags=["API keys"])

PAGE_SIZE = 100
"""Of ``GET /keys``, as of the hosted service, which takes an ``offset`` and no ``limit``."""


@current.get("/key", response_model=schema.CurrentKeyAnswer, summary="Get the current key")
@current.get("/auth/key", response_model=schema.CurrentKeyAnswer, include_in_schema=False)
async def get_current_key(services: ServicesDep, policy: ByAnyKey) -> ExactJSONResponse:
    """Limit and usage of the key that asks."""
    if policy is None:
        return ExactJSONResponse({"data": management_key_view(services.admin_key)})
    key = await services.accounts.key_usage(policy)
    return ExactJSONResponse({"data": current_key_view(key, services.ledger.limits_of(key.limits))})


@router.get("", response_model=schema.KeyList, summary="List API keys")
async def list_keys(services: ServicesDep, filters: Annotated[schema.KeyFilter, Query()]) -> ExactJSONResponse:
    """Newest first, 100 a page; an empty page is the end. With `cursor` a page costs the same wherever it is."""
    org = filters.organization_id or filters.workspace_id
    if filters.cursor is not None:
        which = KeyChoice(org, filters.include_disabled, filters.include_expired)
        page, next_cursor = await services.accounts.page_of_keys(which, after=filters.cursor or None, limit=PAGE_SIZE)
        return ExactJSONResponse({"data": [key_view(key) for key in page if key], "next_cursor": next_cursor})
    found = await services.accounts.list_keys(
        org=org,
        offset=filters.offset,
        limit=PAGE_SIZE,
        disabled=filters.include_disabled,
        expired=filters.include_expired,
    )
    return ExactJSONResponse({"data": [key_view(key) for key in found]})


@router.post(
    "",
    status_code=201,
    response_model=schema.CreatedKey,
    summary="Create an API key",
)
async def create_key(services: ServicesDep, body: schema.CreateKey) -> ExactJSONResponse:
    """The answer carries the secret in `key`, this once; only its SHA-256 is kept, which is also the key's public `hash`."""
    secret, key = await services.accounts.create_key(
        name=body.name,
        org=body.organization_id or body.workspace_id or DEFAULT_ORG,
        limit_nano=body.limit,
        reset=body.limit_reset or "none",
        expires_at=body.expires_at,
        category=body.category,
        limits=RateLimits(body.requests_per_minute, body.tokens_per_minute, body.max_concurrent),
    )
    return ExactJSONResponse({"data": key_view(key), "key": secret}, 201, {"cache-control": "no-store"})


@router.get("/{hash}", response_model=schema.KeyAnswer, summary="Get an API key")
async def get_key(services: ServicesDep, hash: str) -> ExactJSONResponse:
    """One key by its `hash`."""
    return ExactJSONResponse({"data": key_view(await services.accounts.get_key(hash))})


@router.patch(
    "/{hash}",
    response_model=schema.KeyAnswer,
    summary="Update an API key",
)
async def update_key(services: ServicesDep, hash: str, body: schema.UpdateKey) -> ExactJSONResponse:
    """Every worker obeys from the next request on; running requests finish."""
    changed = await services.accounts.update_key(hash, key_change(body))
    return ExactJSONResponse({"data": key_view(changed)})


def key_change(body: schema.UpdateKey) -> KeyChange:
    """The fields that were sent, for ``accounts.update_key``; the others stay unset."""
    changes: dict[str, Any] = {
        "name": ("name", body.name),
        "disabled": ("disabled", body.disabled),
        "limit": ("limit_nano", body.limit),
        "limit_reset": ("reset", body.limit_reset or "none"),
        "expires_at": ("expires_at", body.expires_at),
        "category": ("category", body.category),
        **{name: (name, getattr(body, name)) for name in RATE_LIMITS},
    }
    return KeyChange(**dict(changes[field] for field in body.model_fields_set if field in changes))


@router.delete("/{hash}", response_model=schema.Deleted, summary="Delete an API key")
async def delete_key(services: ServicesDep, hash: str) -> ExactJSONResponse:
    """It stops working at once, on every worker; its ledger lines stay."""
    await services.accounts.delete_key(hash)
    return ExactJSONResponse({"deleted": True})
