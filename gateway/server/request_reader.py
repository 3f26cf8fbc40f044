"""What is refused before anything is parsed, and the one strict JSON reader of the request's way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, RequestTimeout
from gateway.server.responder import Headers, Responder
from gateway.settings import Settings

_decoder = msgspec.json.Decoder()


def read_headers(pairs: Headers, settings: Settings) -> dict[bytes, bytes]:
    """Headers by lower-case name. Raises BadRequest for bombs and for what front proxies and we could read differently."""
    if len(pairs) > settings.max_header_count:
        raise BadRequest(f"Too many request headers; at most {settings.max_header_count} are accepted.")
    headers: dict[bytes, bytes] = {}
    size = 0
    for name, value in pairs:
        size += len(name) + len(value)
        if name in headers and name in (b"host", b"content-length", b"authorization", b"x-api-key", b"content-type"):
            raise BadRequest(f"The header {name.decode('latin-1')} is given twice.")
        headers[name] = value
    if size > settings.max_header_bytes:
        raise BadRequest(f"The request headers are larger than {settings.max_header_bytes} bytes.")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise BadRequest("Content-Length and Transfer-Encoding exclude each other.")
    return headers


def expect_post(method: str) -> None:
    """Raises MethodNotAllowed."""
    if method != "POST":
        raise MethodNotAllowed(f"{method} is not allowed here; use POST.")


def buffered_body(channel: Responder, headers: dict[bytes, bytes], limit: int) -> bytes | None:
    """The body if it came with the head, as it usually does; None: ``read_body`` is to be awaited. Refuses by Content-Length before
    reading. Raises PayloadTooLarge and BadRequest (compressed bodies).
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRequest("Compressed request bodies are not accepted; send it with Content-Encoding: identity.")
    if int(headers.get(b"content-length", b"0") or 0) > limit:
        raise _too_large(limit)
    body = channel.body
    if body is not None and len(body) > limit:
        raise _too_large(limit)
    return body


async def read_body(channel: Responder, limit: int, timeout_s: float) -> bytes:
    """The whole body, piece by piece. Raises PayloadTooLarge, RequestTimeout and CallerLeft."""
    parts: list[bytes] = []
    size = 0
    deadline = _Deadline(timeout_s)
    try:
        while (part := await channel.more()) is not None:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)
    except asyncio.CancelledError:
        if not deadline.expired():
            raise
        raise RequestTimeout(f"The request body did not arrive within {timeout_s:g} seconds.") from None
    finally:
        deadline.timer.cancel()


class _Deadline:
    """``asyncio.timeout`` at a fifth of its cost, for a wait that is nearly always over at once."""

    __slots__ = ("_hit", "_task", "timer")

    def __init__(self, limit_s: float) -> None:
        self._task = asyncio.current_task()
        self._hit = False
        self.timer = asyncio.get_running_loop().call_later(limit_s, self._expire)

    def _expire(self) -> None:
        self._hit = True
        if self._task is not None:
            self._task.cancel()

    def expired(self) -> bool:
        """Was the cancellation ours? Then it is taken back."""
        if self._hit and self._task is not None:
            self._task.uncancel()
        return self._hit


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")


def decode_json(raw: bytes, max_depth: int) -> dict[str, Any]:
    """Strict JSON → a dictionary. NaN, lone surrogates, a BOM and deep nesting are refused; of duplicate keys the last wins,
    and because the body is encoded again nobody downstream can read it differently.

    Raises BadRequest.
    """
    if not raw:
        raise BadRequest("The request body is empty; send a JSON object.")
    try:
        value = _decoder.decode(raw)
    except RecursionError:
        raise BadRequest(f"The request body is nested deeper than {max_depth} levels.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth(value) > max_depth:
        raise BadRequest(f"The request body is nested deeper than {max_depth} levels.")
    return value


def _depth(value: Any) -> int:
    """Nesting of a decoded value, level by level, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            below += [child for child in children if isinstance(child, dict | list)]
        level = below
    return depth
