"""What every response of the public API carries: ``x-request-id``, and the headers that let a browser read it (CORS). Pure.

A caller's own ``x-request-id`` comes back; the log has the generation's id, which an answer carries as ``x-generation-id``.
Anthropic's SDKs read ``request-id`` instead (anthropic 2.12, 2026-11).

Credentials are keys in headers, never cookies, so an origin gives no rights.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]
ANY_ORIGIN = "*"
MAX_AGE_S = 86_400
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
EXPOSED = b"x-request-id, request-id, x-generation-id, x-analytics-warning, retry-after, etag"
_ID = re.compile(rb"[!-~]{1,128}")


def common(request: Iterable[tuple[bytes, bytes]], origins: frozenset[str]) -> Headers:
    """The headers for the response to a request with these (lower-case) headers."""
    id = origin = b""
    for name, value in request:
        if name == b"x-request-id":
            id = value
        elif name == b"origin":
            origin = value
    if not id or not _ID.fullmatch(id):
        id = b"req-" + b"%024x" % random.getrandbits(96)
    headers = [(b"x-request-id", id), (b"request-id", id)]
    if origin:
        headers += _allowed(origin, origins)
    return headers


def preflight(request: Iterable[tuple[bytes, bytes]], origins: frozenset[str]) -> Headers:
    """The headers for the response to an ``OPTIONS`` request."""
    asked = dict(request)
    allowed = _allowed(asked.get(b"origin", b""), origins)
    if len(allowed) < 2:  # not on the list: a browser then refuses to send the request
        return [*allowed, (b"allow", METHODS)]
    wanted = asked.get(b"access-control-request-headers", b"authorization, content-type")
    return [
        *allowed,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", wanted if wanted.isascii() and wanted.decode().isprintable() else b"*"),
        (b"access-control-max-age", str(MAX_AGE_S).encode()),
    ]


def _allowed(origin: bytes, origins: frozenset[str]) -> Headers:
    """Nothing for an origin that is not on the list."""
    if ANY_ORIGIN in origins:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
    if origin.decode("latin-1") not in origins:
        return [(b"vary", b"origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]
