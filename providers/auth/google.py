"""Access tokens of Google's OAuth for service accounts: made once, kept until shortly before they expire, asked for once.

A service account's JSON (``type`` service_account, ``client_email``, ``private_key``, ``private_key_id``, ``token_uri``) signs
a JWT with RS256, which the token endpoint exchanges for an access token that lives an hour (RFC 7523;
developers.google.com/identity/protocols/oauth2/service-account, read 2026-11).

The JSON may be a caller's own: its ``token_uri`` is followed only to Google. ``Target.options["token_uri"]``, which is the
operator's, may name any other.
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode, urlsplit
from weakref import WeakKeyDictionary

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace

from providers.errors import RAW_MAX, ProviderError, failed
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, HttpResponse, Target

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
LIFE_S: Final = 3600
"""What is asked for; Google gives no more."""
MARGIN_S: Final = 225.0
"""Seconds before its end at which a token is renewed, at most a tenth of its life."""
FETCH_MAX_S: Final = 15.0
"""The whole exchange with the token endpoint."""
ACCOUNTS_MAX: Final = 4096
PEM_MAX: Final = 2600
"""Characters of a private key. Google makes keys of 2,048 bits (1,700); examining one of 4,096 stops the process for 0.5 s."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Account(msgspec.Struct, frozen=True):
    """The fields of a service account's JSON that matter."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = TOKEN_URI
    project_id: str = ""


def account_of(target: Target) -> Account | None:
    """The service account of a target; None when its key is something else. Raises ``ProviderError`` (credential)."""
    text = _text(target)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Account)
    except (ValueError, RecursionError):
        # Not the decoder's words: they could quote the key.
        raise failed("credential", "the service account is no JSON with client_email and private_key") from None


def _text(target: Target) -> str | None:
    text = target.credentials.get("service_account") or target.api_key or ""
    return text if text.lstrip().startswith("{") else None


class Tokens:
    """Tokens by account. May be used from several event loops."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._known: dict[bytes, tuple[str, float]] = {}
        """Token and the time of its renewal, in seconds since 1970."""
        self._keys: dict[bytes, RSAPrivateKey] = {}
        """Examined once: that is forty times dearer than a signature."""
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bytes, _Flight]] = WeakKeyDictionary()

    async def bearer(self, upstream: Upstream, target: Target, clocks: Clocks) -> str | None:
        """The access token of a target's service account; None when it has none. Raises ``ProviderError``."""
        text = _text(target)
        if text is None:
            return None
        address = str(target.options.get("token_uri", ""))
        key = sha256(f"{address}\n{text}".encode("utf-8", "surrogatepass")).digest()
        token = self._kept(key)
        if token is not None:
            return token
        account = account_of(target)
        assert account is not None  # the text begins as JSON does
        flights = self._locks.setdefault(asyncio.get_running_loop(), {})
        flight = flights.get(key)
        if flight is None:
            if len(flights) >= ACCOUNTS_MAX:
                flights.clear()
            flight = flights[key] = _Flight()

        async def fetch() -> tuple[str, float]:
            url = address or account.token_uri
            if not address and not _is_google(url):
                raise failed("credential", "the service account's token_uri is not Google's")
            signed = assertion(account, self._key(key, account), url, int(self._now()))
            return await _exchange(upstream, url, signed, clocks)

        return await self._single(flight, key, fetch)

    def _key(self, of: bytes, account: Account) -> RSAPrivateKey:
        key = self._keys.get(of)
        if key is None:
            if len(self._keys) >= ACCOUNTS_MAX:
                self._keys.clear()
            key = self._keys[of] = signing_key(account)
        return key

    async def _single(self, flight: _Flight, key: bytes, fetch: Callable[[], Awaitable[tuple[str, float]]]) -> str:
        """One fetch at a time; who waited for one takes its token, or its failure."""
        round_ = flight.failures
        async with flight.lock:
            token = self._kept(key)
            if token is not None:
                return token
            if flight.error is not None and flight.failures != round_:
                raise flight.error
            try:
                token, life_s = await fetch()
            except ProviderError as error:
                flight.error, flight.failures = error, flight.failures + 1
                raise
            flight.error = None
            if len(self._known) >= ACCOUNTS_MAX:
                self._known.clear()
            self._known[key] = token, self._now() + life_s - min(MARGIN_S, life_s / 10)
            return token

    def _kept(self, key: bytes) -> str | None:
        token, until = self._known.get(key, ("", 0.0))
        return token if self._now() < until else None


class _Flight:
    """The one fetch for one account in one loop."""

    __slots__ = ("error", "failures", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.error: ProviderError | None = None
        self.failures = 0


def signing_key(account: Account) -> RSAPrivateKey:
    """The account's key, examined, which takes 60 ms. Raises ``ProviderError`` (credential)."""
    if len(account.private_key) > PEM_MAX:
        raise failed("credential", "the service account's private_key is longer than 3,072 bits")
    try:
        key = load_pem_private_key(account.private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise failed("credential", "the service account's private_key is no PEM key") from None
    if not isinstance(key, RSAPrivateKey):
        raise failed("credential", "the service account's private_key is no RSA key")
    return key


def assertion(account: Account, key: RSAPrivateKey, audience: str, now: int) -> str:
    """The signed JWT, valid for an hour from ``now`` (seconds since 1970)."""
    head = {"alg": "RS256", "typ": "JWT", **({"kid": account.private_key_id} if account.private_key_id else {})}
    claims = {"iss": account.client_email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + LIFE_S}
    signed = f"{_segment(msgspec.json.encode(head))}.{_segment(msgspec.json.encode(claims))}"
    return f"{signed}.{_segment(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _is_google(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.port in (None, 443) and parts.username is None
    except ValueError:
        return False
    return parts.scheme == "https" and plain and (host == "googleapis.com" or host.endswith(".googleapis.com"))


async def _exchange(upstream: Upstream, url: str, signed: str, clocks: Clocks) -> tuple[str, float]:
    form = urlencode({"grant_type": _GRANT, "assertion": signed})
    headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
    brief = replace(clocks, total_s=min(clocks.total_s, FETCH_MAX_S))
    return _read(await upstream.send(HttpRequest(url, headers, form.encode()), brief))


def _read(response: HttpResponse) -> tuple[str, float]:
    """Token and life in seconds. A refusal is the credential's fault, a sick token server is not."""
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        body = None
    said = body if isinstance(body, dict) else {}
    if response.status != 200:
        kind = "credential" if response.status < 500 and response.status not in (408, 429) else "server_error"
        reason = f"{said.get('error', '')} {said.get('error_description', '')}".strip()[:500]
        raise failed(
            kind,
            f"the token endpoint answered {response.status}: {reason}",
            status=response.status,
            raw=response.content[:RAW_MAX].decode("utf-8", "replace"),
            provider_code=str(said["error"])[:100] if "error" in said else None,
        )
    token, life = said.get("access_token"), said.get("expires_in", LIFE_S)
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise failed("credential", "the token endpoint gave no access token", status=200)
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:
        life = 0  # use it once
    return token, float(min(life, LIFE_S * 12))
