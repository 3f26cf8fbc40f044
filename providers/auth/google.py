"""Access tokens of Google's OAuth: for service accounts whose JSON is at hand, else what Google's own library finds.

The JSON of a service account (``type`` service_account, ``client_email``, ``private_key``, ``private_key_id``, ``token_uri``)
signs a JWT with RS256, which the token endpoint exchanges for an access token that lives an hour (RFC 7523;
developers.google.com/identity/protocols/oauth2/service-account, read 2026-11).

The JSON may be a caller's own, so its ``token_uri`` is followed only to Google. ``Target.options["token_uri"]``, which is the
operator's, may name any other address.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace

from providers.auth import cloud
from providers.auth.token_cache import IDENTITIES_MAX, Issued, TokenCache
from providers.errors import RAW_MAX, ProviderError, failed
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, HttpResponse, Target

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
LIFETIME_S: Final = 3600
"""What the JWT requests; Google grants no more."""
EARLY_S: Final = 225.0
"""As google-auth does it (``REFRESH_THRESHOLD`` of 2.63)."""
FETCH_MAX_S: Final = 15.0
"""The whole exchange with the token endpoint."""
PEM_MAX: Final = 2600
"""Characters of a private key. Google makes keys of 2,048 bits (1,700); checking one of 4,096 stops the process for 0.5 s."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ServiceAccount(msgspec.Struct, frozen=True):
    """The fields of a service account's JSON that matter."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = TOKEN_URI
    project_id: str = ""

    def __repr__(self) -> str:
        return f"ServiceAccount({self.client_email!r})"  # never the key


def service_account(target: Target) -> ServiceAccount | None:
    """The service account of a target; None when its key is something else. Raises ``ProviderError`` (credential)."""
    document = _document(target)
    return None if document is None else _parsed(document)


def _document(target: Target) -> str | None:
    text = target.credentials.get("service_account") or target.api_key or ""
    return text if text.lstrip().startswith("{") else None


def _parsed(document: str) -> ServiceAccount:
    try:
        return msgspec.json.decode(document, type=ServiceAccount)
    except (ValueError, RecursionError):
        # The decoder's own message is left out: it could quote the key.
        raise failed(
            "credential", "the service account is not a JSON object with client_email and private_key"
        ) from None


class GoogleToken(NamedTuple):
    """An access token."""

    token: str
    quota_project: str | None = None
    """The project that pays for the calls of a user, as ``gcloud`` set it; it goes into ``x-goog-user-project``."""

    def __repr__(self) -> str:
        return f"GoogleToken({self.quota_project!r})"  # never the token


class GoogleTokens:
    """Access tokens by service account, and the one of the default credentials. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._cache = TokenCache[GoogleToken](early_s=EARLY_S, clock=clock)

    async def access_token(self, upstream: Upstream, target: Target, clocks: Clocks) -> str | None:
        """The access token of a target's service account; None when it has none. Raises ``ProviderError``."""
        document = _document(target)
        if document is None:
            return None
        address = str(target.options.get("token_uri", ""))

        async def fetch() -> Issued[GoogleToken]:
            account = _parsed(document)
            url = address or account.token_uri
            if not address and not _is_google(url):
                raise failed("credential", "the service account's token_uri is not an address of Google's")
            jwt = assertion(account, signing_key(account.private_key), url, int(self._clock()))
            return await _exchange(upstream, url, jwt, clocks)

        return (await self._cache.get((address, document), fetch)).token

    async def default_credentials(self) -> GoogleToken:
        """The token of Application Default Credentials, see ``cloud_google``. Raises ``ProviderError``."""
        return await self._cache.get(cloud.CHAIN, lambda: cloud.fetch("google"))


@lru_cache(IDENTITIES_MAX)
def signing_key(pem: str) -> RSAPrivateKey:
    """A service account's private key, checked; that takes 60 ms, forty times as long as a signature. Raises ``ProviderError``."""
    if len(pem) > PEM_MAX:
        raise failed("credential", "the service account's private_key is longer than 3,072 bits")
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise failed("credential", "the service account's private_key is not a key in PEM format") from None
    if not isinstance(key, RSAPrivateKey):
        raise failed("credential", "the service account's private_key is not an RSA key")
    return key


def assertion(account: ServiceAccount, key: RSAPrivateKey, audience: str, now: int) -> str:
    """The signed JWT, valid for an hour from ``now`` (Unix seconds)."""
    header = {"alg": "RS256", "typ": "JWT", **({"kid": account.private_key_id} if account.private_key_id else {})}
    claims = {"iss": account.client_email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + LIFETIME_S}
    message = f"{_segment(msgspec.json.encode(header))}.{_segment(msgspec.json.encode(claims))}"
    return f"{message}.{_segment(key.sign(message.encode(), PKCS1v15(), SHA256()))}"


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


async def _exchange(upstream: Upstream, url: str, jwt: str, clocks: Clocks) -> Issued[GoogleToken]:
    form = urlencode({"grant_type": _GRANT, "assertion": jwt})
    headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
    limits = replace(clocks, total_s=min(clocks.total_s, FETCH_MAX_S))
    return _issued(await upstream.send(HttpRequest(url, headers, form.encode()), limits))


def _issued(response: HttpResponse) -> Issued[GoogleToken]:
    """The token of an answer. A refusal is the credential's fault, a token endpoint out of order is not."""
    try:
        decoded = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        decoded = None
    body = decoded if isinstance(decoded, dict) else {}
    if response.status != 200:
        raise _refusal(response, body)
    token, lifetime_s = body.get("access_token"), body.get("expires_in", LIFETIME_S)
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise failed("credential", "the token endpoint answered without a usable access token", status=200)
    if isinstance(lifetime_s, bool) or not isinstance(lifetime_s, int | float) or not lifetime_s > 0:
        lifetime_s = 0  # use it once
    return Issued(GoogleToken(token), float(min(lifetime_s, LIFETIME_S * 12)))


def _refusal(response: HttpResponse, body: dict[str, object]) -> ProviderError:
    kind = "credential" if response.status < 500 and response.status not in (408, 429) else "server_error"
    reason = f"{body.get('error', '')} {body.get('error_description', '')}".strip()[:500]
    return failed(
        kind,
        f"the token endpoint answered {response.status}: {reason}",
        status=response.status,
        raw=response.content[:RAW_MAX].decode("utf-8", "replace"),
        provider_code=str(body["error"])[:100] if "error" in body else None,
    )
