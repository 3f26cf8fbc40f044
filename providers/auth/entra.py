"""Access tokens of Microsoft Entra ID: for an application with a client secret, else what Azure's own library finds.

The client-credentials grant: ``POST {authority}/{tenant}/oauth2/v2.0/token`` (learn.microsoft.com/entra/identity-platform/
v2-oauth2-client-creds-grant-flow, 2026-11).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from providers.auth import cloud
from providers.auth.token_cache import Issued, TokenCache
from providers.errors import ProviderError, classify, failed
from providers.retry_after import retry_after_s
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, HttpResponse

EARLY_S = 300.0
LIFETIME_MAX_S = 86_400.0
LIFETIME_UNKNOWN_S = 300.0
FETCH_MAX_S = 15.0


class ClientSecret(NamedTuple):
    """An application that proves itself with a secret, and what its token is for."""

    authority: str
    """Without a trailing slash: ``https://login.microsoftonline.com``."""
    tenant_id: str
    client_id: str
    client_secret: str
    scope: str

    def __repr__(self) -> str:
        return f"ClientSecret({self.tenant_id!r}, {self.client_id!r})"  # never the secret


class DefaultIdentity(NamedTuple):
    """The identity that ``cloud_azure`` finds, and what its token is for."""

    authority: str | None
    """None: as the environment says."""
    scope: str


class EntraTokens:
    """Access tokens by application or identity. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._cache = TokenCache[str](early_s=EARLY_S, clock=clock)

    async def access_token(self, upstream: Upstream, client: ClientSecret, clocks: Clocks) -> str:
        """A valid token. Raises ``ProviderError``: credential when Entra ID refuses, else what prevented the fetch."""
        return await self._cache.get(client, lambda: _fetch(upstream, client, clocks))

    async def default_token(self, identity: DefaultIdentity) -> str:
        """A valid token of the identity that Azure gives to this machine. Raises ``ProviderError``."""
        return await self._cache.get(identity, lambda: cloud.fetch("azure", **identity._asdict()))


async def _fetch(upstream: Upstream, client: ClientSecret, clocks: Clocks) -> Issued[str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "scope": client.scope,
    }
    url = f"{client.authority}/{quote(client.tenant_id, safe='')}/oauth2/v2.0/token"
    headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
    limits = Clocks(connect_s=clocks.connect_s, total_s=min(clocks.total_s, FETCH_MAX_S))
    response = await upstream.send(HttpRequest(url, headers, urlencode(form).encode()), limits)
    body = _body(response)
    if response.status != 200:
        raise _refusal(response, body)
    token = body.get("access_token")
    # It becomes a header: anything but visible ASCII would end the head of a request.
    if not isinstance(token, str) or not token or not all("!" <= character <= "~" for character in token):
        raise failed("credential", "Entra ID answered without a usable access token", status=200)
    return Issued(token, _lifetime_s(body.get("expires_in")))


def _body(response: HttpResponse) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(response: HttpResponse, body: dict[str, Any]) -> ProviderError:
    """Only the error's name goes into the message: the description names tenants and applications of the operator."""
    code = body.get("error")
    name = code[:80] if isinstance(code, str) else str(response.status)
    message = f"no token from Entra ID: {name}"
    if response.status in (408, 429) or response.status >= 500:
        row = classify(response.status, frozenset(), "")
        return ProviderError(row, message, status=response.status, retry_after_s=retry_after_s(response.headers))
    return failed("credential", message, status=response.status)


def _lifetime_s(expires_in: Any) -> float:
    """``expires_in`` in seconds; some issuers send it as text."""
    if isinstance(expires_in, str) and expires_in.isdecimal():
        expires_in = int(expires_in[:9])
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return LIFETIME_UNKNOWN_S
    return min(max(float(expires_in), 0.0), LIFETIME_MAX_S)
