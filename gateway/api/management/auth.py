"""Authentication: the management key, an inference key, or no key.

401 only when the key certainly does not exist; 403 for the wrong kind of key; 503, raised by ``accounts``, when the store is out of
reach.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from gateway.errors import Forbidden, LedgerUnavailable, Unauthorized
from gateway.services import Services
from gateway.store.policy import KeyPolicy

MAX_KEY_LENGTH = 512

bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="An inference key, or the management key where a route says so."
)
DocumentedBearer = Annotated[Any, Security(bearer)]
"""Puts the scheme into the OpenAPI document; ``identify`` does the check."""


def services_of(request: Request) -> Services:
    """The services of this process."""
    services: Services = request.app.state.services
    return services


def presented_key(request: Request) -> str | None:
    """The key of ``Authorization: Bearer`` or ``x-api-key``, or None."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
    return key or None


def is_management(services: Services, key: str) -> bool:
    """True for the management key. Compares in constant time, and as bytes: header text may hold any Latin-1 character."""
    return hmac.compare_digest(key.encode(), services.admin_key.encode())


async def identify(request: Request) -> KeyPolicy | None:
    """The policy of the inference key as it is now, or None for the management key. Raises Unauthorized, LedgerUnavailable.

    Reads the policy from Redis each time: a cached policy is safe only where a hold checks its version.
    """
    key = presented_key(request)
    if key is None:
        raise Unauthorized("No auth credentials found: send 'Authorization: Bearer <key>'.")
    services = services_of(request)
    if is_management(services, key):
        return None
    if len(key) > MAX_KEY_LENGTH or not key.isascii():
        raise Unauthorized("This key does not exist.")
    return await services.accounts.authenticate(key, fresh=True)


async def any_key(request: Request, _: DocumentedBearer) -> KeyPolicy | None:
    """As ``identify``."""
    return await identify(request)


async def require_management_key(request: Request, _: DocumentedBearer) -> None:
    """As ``refuse_without_management_key``."""
    await refuse_without_management_key(request)


async def refuse_without_management_key(request: Request) -> None:
    """Raises Forbidden for an inference key: management routes take the management key only. Raises what ``identify`` raises."""
    if await identify(request) is not None:
        raise Forbidden("This needs the management key; an inference key was sent.")


async def require_inference_key(request: Request, _: DocumentedBearer) -> KeyPolicy:
    """The policy of the inference key. Raises Forbidden for the management key, which belongs to no organisation."""
    policy = await identify(request)
    if policy is None:
        raise Forbidden("This needs an inference key; the management key was sent.")
    return policy


async def has_valid_key(request: Request, _: DocumentedBearer) -> bool:
    """For public routes that show more with a key. Raises Unauthorized for a wrong key: whoever tests a key with a list must
    hear that it is wrong. One that cannot be checked now counts as no key.
    """
    if presented_key(request) is None:
        return False
    try:
        await identify(request)
    except LedgerUnavailable:
        return False
    return True


ServicesDep = Annotated[Services, Depends(services_of)]
ByAnyKey = Annotated[KeyPolicy | None, Depends(any_key)]
ByInferenceKey = Annotated[KeyPolicy, Depends(require_inference_key)]
HasValidKey = Annotated[bool, Depends(has_valid_key)]
