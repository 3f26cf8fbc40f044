"""API keys: an operator's (`/keys`, management key) and a caller's own (`/key`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from gateway.accounts import DEFAULT_ORG
from gateway.accounts.views import KeyChange
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.http import Answer, body_of, described
from gateway.api.management.key_views import current_key_view, key_view, management_key_view
from gateway.api.management.schema import keys as schema
from gateway.errors import BadRequest

router = APIRouter(prefix="/keys", tags=["API keys"])
own = APIRouter(tags=["API keys"])

PAGE = 100
"""Keys a page of ``GET /keys``, as the hosted service: it takes an ``offset`` and no ``limit``."""

NewKey = Annotated[schema.CreateKey, Depends(body_of(schema.CreateKey))]
Changes = Annotated[schema.UpdateKey, Depends(body_of(schema.UpdateKey))]


@own.get("/key", response_model=schema.CurrentKeyAnswer, summary="Get the current key")
@own.get("/auth/key", response_model=schema.CurrentKeyAnswer, include_in_schema=False)
async def get_current_key(services: ServicesDep, policy: ByAnyKey) -> Answer:
    """Limit and usage of the key that asks."""
    if policy is None:
        return Answer({"data": management_key_view(services.admin_key)})
    return Answer({"data": current_key_view(await services.accounts.key_usage(policy))})


@router.get("", response_model=schema.KeyList, summary="List API keys")
async def list_keys(services: ServicesDep, asked: Annotated[schema.KeyFilter, Query()]) -> Answer:
    """Newest first, 100 a page; an empty page is the end."""
    found = await services.accounts.list_keys(
        org=asked.organization_id or asked.workspace_id,
        offset=asked.offset,
        limit=PAGE,
        disabled=asked.include_disabled,
        expired=asked.include_expired,
    )
    return Answer({"data": [key_view(key) for key in found]})


@router.post(
    "",
    status_code=201,
    response_model=schema.CreatedKey,
    openapi_extra=described(schema.CreateKey),
    summary="Create an API key",
)
async def create_key(services: ServicesDep, asked: NewKey) -> Answer:
    """The answer carries the secret in `key`, this once; only its SHA-256 is kept, which is also the key's public `hash`."""
    if asked.organization_id and asked.workspace_id and asked.organization_id != asked.workspace_id:
        raise BadRequest("workspace_id is an alias of organization_id: send one of them.", field="workspace_id")
    secret, key = await services.accounts.create_key(
        name=asked.name,
        org=asked.organization_id or asked.workspace_id or DEFAULT_ORG,
        limit_nano=asked.limit,
        reset=asked.limit_reset or "none",
        expires_at=asked.expires_at,
    )
    return Answer({"data": key_view(key), "key": secret}, 201, {"cache-control": "no-store"})


@router.get("/{hash}", response_model=schema.KeyAnswer, summary="Get an API key")
async def get_key(services: ServicesDep, hash: str) -> Answer:
    """One key by its `hash`."""
    return Answer({"data": key_view(await services.accounts.get_key(hash))})


@router.patch(
    "/{hash}",
    response_model=schema.KeyAnswer,
    openapi_extra=described(schema.UpdateKey),
    summary="Update an API key",
)
async def update_key(services: ServicesDep, hash: str, asked: Changes) -> Answer:
    """Every worker obeys from the next request on; running requests finish."""
    sent = asked.model_fields_set
    for name in ("name", "disabled"):
        if name in sent and getattr(asked, name) is None:
            raise BadRequest(f"{name} cannot be null; leave it out to keep it.", field=name)
    changed = await services.accounts.update_key(hash, changes(asked))
    return Answer({"data": key_view(changed)})


def changes(asked: schema.UpdateKey) -> KeyChange:
    """What was sent, as ``accounts.update_key`` wants it; the rest stays unset."""
    named: dict[str, Any] = {
        "name": asked.name,
        "disabled": asked.disabled,
        "limit": asked.limit,
        "limit_reset": asked.limit_reset or "none",
        "expires_at": asked.expires_at,
    }
    inner = {"limit": "limit_nano", "limit_reset": "reset"}
    return KeyChange(**{inner.get(name, name): named[name] for name in asked.model_fields_set if name in named})


@router.delete("/{hash}", response_model=schema.Deleted, summary="Delete an API key")
async def delete_key(services: ServicesDep, hash: str) -> Answer:
    """It stops working at once, on every worker; its ledger lines stay."""
    await services.accounts.delete_key(hash)
    return Answer({"deleted": True})
