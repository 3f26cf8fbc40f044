"""Tokens of Microsoft Entra ID by the OAuth client-credentials grant: fetched when needed, kept, one fetch at a time.

``POST {authority}/{tenant}/oauth2/v2.0/token`` (learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
2026-11). One ``Tokens`` may be used from several event loops, each with its own client: what is kept is shared, a fetch is
single within its loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

import msgspec

from providers.errors import ProviderError, classify, failed, retry_after_s
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, HttpResponse

EARLY_S = 300.0
"""A token is fetched anew this long before its end, or a tenth of its life before it when that is less."""
LIFE_MAX_S = 86_400.0
LIFE_UNKNOWN_S = 300.0
FETCH_MAX_S = 15.0


class Client(NamedTuple):
    """Who asks, and for what."""

    authority: str
    """Without a trailing slash: ``https://login.microsoftonline.com``."""
    tenant_id: str
    client_id: str
    client_secret: str
    scope: str

    def __repr__(self) -> str:
        return f"Client({self.tenant_id!r}, {self.client_id!r})"  # never the secret


class _Kept(NamedTuple):
    token: str
    until: float


class _Flight:
    """Fetches of one client in one loop: a lock, and how the last one failed."""

    __slots__ = ("failed_at", "failure", "lock", "rounds")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.rounds = 0
        self.failed_at = -1
        self.failure: ProviderError | None = None


class Tokens:
    """Tokens by client. ``clock`` gives Unix seconds: a token ages also while the machine sleeps."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: dict[Client, _Kept] = {}
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Client, _Flight]] = WeakKeyDictionary()

    async def take(self, upstream: Upstream, client: Client, clocks: Clocks) -> str:
        """A token that holds for a while yet. Raises ``ProviderError``: credential when it is refused, else what hindered.

        Whoever waits for another's fetch shares its outcome; when that one is cancelled, the next in line fetches.
        """
        kept = self._kept.get(client)
        if kept is not None and self._clock() < kept.until:
            return kept.token
        flight = self._flights.setdefault(asyncio.get_running_loop(), {}).setdefault(client, _Flight())
        began = flight.rounds - flight.lock.locked()  # a round that is under way counts as ours
        async with flight.lock:
            kept = self._kept.get(client)
            if kept is not None and self._clock() < kept.until:
                return kept.token
            if flight.failure is not None and flight.failed_at >= began:
                raise _again(flight.failure)
            flight.rounds += 1
            try:
                kept = await self._fetch(upstream, client, clocks)
            except ProviderError as error:
                flight.failed_at, flight.failure = flight.rounds - 1, error
                raise
            flight.failure = None
            self._kept[client] = kept
            return kept.token

    async def _fetch(self, upstream: Upstream, client: Client, clocks: Clocks) -> _Kept:
        form = {
            "grant_type": "client_credentials",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "scope": client.scope,
        }
        url = f"{client.authority}/{quote(client.tenant_id, safe='')}/oauth2/v2.0/token"
        headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
        asked_at = self._clock()
        limit = Clocks(connect_s=clocks.connect_s, total_s=min(clocks.total_s, FETCH_MAX_S))
        response = await upstream.send(HttpRequest(url, headers, urlencode(form).encode()), limit)
        body = _body(response)
        if response.status != 200:
            raise _refused(response, body)
        token = body.get("access_token")
        # It becomes a header: anything but visible ASCII would end the head of a request.
        if not isinstance(token, str) or not token or not all("!" <= character <= "~" for character in token):
            raise failed("credential", "Entra ID answered without a token", status=200)
        life = _life_s(body.get("expires_in"))
        return _Kept(token, asked_at + life - min(EARLY_S, life / 10))


def _again(error: ProviderError) -> ProviderError:
    """The same error for another waiter, without the first one's traceback."""
    return ProviderError(error.failure, error.message, status=error.status, retry_after_s=error.retry_after_s)


def _body(response: HttpResponse) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _refused(response: HttpResponse, body: dict[str, Any]) -> ProviderError:
    """Only the error's name goes into the message: the description names tenants and applications of the operator."""
    word = body.get("error")
    name = word[:80] if isinstance(word, str) else str(response.status)
    message = f"no token from Entra ID: {name}"
    if response.status in (408, 429) or response.status >= 500:
        row = classify(response.status, frozenset(), "")
        return ProviderError(row, message, status=response.status, retry_after_s=retry_after_s(response.headers))
    return failed("credential", message, status=response.status)


def _life_s(value: Any) -> float:
    """``expires_in``; some issuers send it as text."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return LIFE_UNKNOWN_S
    return min(max(float(value), 0.0), LIFE_MAX_S)
