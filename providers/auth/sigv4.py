"""AWS Signature Version 4 for requests whose whole body is at hand. Pure: the time is an argument.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (2026-11). Two rules that are easily
missed: every service but S3 signs the path percent-encoded **twice**, and what is signed must be what is sent, so the path of
the URL must already be encoded once and must hold no empty, ``.`` or ``..`` segments.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from providers.types import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = frozenset({"user-agent", "connection", "expect", "transfer-encoding", "x-amzn-trace-id", "accept-encoding"})
"""Headers that are not signed: a proxy on the way may change them."""


class AccessKeys(NamedTuple):
    """An access key; a temporary one has a session token, too."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"AccessKeys({self.access_key_id!r})"  # never the secret


def signed(request: HttpRequest, keys: AccessKeys, *, region: str, service: str, now: float) -> HttpRequest:
    """``request`` with ``x-amz-date``, ``x-amz-security-token`` and ``authorization``.

    ``now`` is the time in Unix seconds; AWS refuses a clock that is off by more than five minutes. ``host`` is signed as the
    client sends it: the network location of the URL without user and password.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    parts = urlsplit(request.url)
    headers = [*request.headers, ("x-amz-date", stamp)]
    if keys.session_token:
        headers.append(("x-amz-security-token", keys.session_token))
    signed_names, lines = _canonical([*headers, ("host", parts.netloc.rpartition("@")[2])])
    canonical = "\n".join(
        (
            request.method,
            quote(parts.path or "/", safe="/~-._"),
            "&".join(f"{name}={value}" for name, value in sorted(_query_pairs(parts.query))),
            lines,
            signed_names,
            hashlib.sha256(request.content).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(
        _signing_key(keys.secret_access_key, stamp[:8], region, service), to_sign.encode(), "sha256"
    ).hexdigest()
    value = f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={signed_names}, Signature={signature}"
    return replace(request, headers=(*headers, ("authorization", value)))


def access_keys(credentials: Mapping[str, str]) -> AccessKeys | None:
    """The keys among a target's credentials; None unless both halves are there."""
    access, secret = credentials.get("access_key_id"), credentials.get("secret_access_key")
    return AccessKeys(access, secret, credentials.get("session_token") or None) if access and secret else None


def _canonical(headers: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The names of the signed headers, and their canonical lines, each with its line feed."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.strip().lower()
        if lower not in UNSIGNED:
            values.setdefault(lower, []).append(" ".join(value.split()))
    ordered = sorted(values)
    return ";".join(ordered), "".join(f"{name}:{','.join(values[name])}\n" for name in ordered)


def _query_pairs(query: str) -> list[tuple[str, str]]:
    """Names and values of the query, both as they stand in the URL, already percent-encoded."""
    return [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]


def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
