"""Reads a request: its headers, its body, its JSON. What is malformed, too large or too slow is refused here."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, RequestTimeout
from gateway.server.responder import Headers, Responder
from gateway.settings import Settings

Body = bytes | bytearray
PIECE = 2**20
"""Bytes of a body that are waited for at a time: an agent's turn of 450 KB wakes its reader once, and is copied once."""
SMALL_BODY = 8_192
"""Bytes of a body in which all brackets are counted first: of an agent's turn that takes longer than to measure the depth."""
_decoder = msgspec.json.Decoder()


def read_headers(pairs: Headers, settings: Settings) -> dict[bytes, bytes]:
    """Headers by lower-case name. Raises BadRequest for too many or too large headers, and for those that a proxy in front of the
    gateway could read differently from it (request smuggling).
    """
    if len(pairs) > settings.max_header_count:
        raise BadRequest(f"Too many request headers; at most {settings.max_header_count} are accepted.")
    headers: dict[bytes, bytes] = {}
    size = 0
    for name, value in pairs:
        size += len(name) + len(value)
        if name in headers and name in (b"host", b"content-length", b"authorization", b"x-api-key", b"content-type"):
            raise BadRequest(f"The header {name.decode('latin-1')} is given twice; send it once.")
        headers[name] = value
    if size > settings.max_header_bytes:
        raise BadRequest(f"The request headers are larger than {settings.max_header_bytes} bytes.")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise BadRequest("Content-Length and Transfer-Encoding exclude each other; send one of them.")
    return headers


def expect_post(method: str) -> None:
    """Raises MethodNotAllowed."""
    if method != "POST":
        raise MethodNotAllowed(f"{method} is not allowed here; use POST.")


def buffered_body(responder: Responder, headers: dict[bytes, bytes], limit: int) -> bytes | None:
    """The body if it arrived together with the head, as it usually does; None: await ``read_body``.

    Raises PayloadTooLarge, by Content-Length before anything is read, and BadRequest for a compressed body.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRequest(
            "Compressed request bodies are not accepted; send the body as it is, without Content-Encoding."
        )
    if int(headers.get(b"content-length", b"0") or 0) > limit:
        raise _too_large(limit)
    body = responder.body
    if body is not None and len(body) > limit:
        raise _too_large(limit)
    return body


async def read_body(responder: Responder, limit: int, timeout_s: float) -> Body:
    """The whole body, piece by piece. Raises PayloadTooLarge, RequestTimeout and ClientDisconnected."""
    body: Body = b""
    try:
        async with asyncio.timeout(timeout_s):
            while (piece := await responder.read(min(PIECE, limit - len(body)))) is not None:
                if len(body) + len(piece) > limit:
                    raise _too_large(limit)
                if not body:
                    body = piece
                    continue
                if isinstance(body, bytes):
                    body = bytearray(body)  # a join at the end would copy all of it at once
                body += piece
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout_s:g} seconds.") from None
    return body


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")


def decode_json(raw: Body, max_depth: int) -> dict[str, Any]:
    """The object in a JSON body. Raises BadRequest for anything else, and for NaN, lone surrogates, a byte order mark and nesting
    deeper than ``max_depth``.

    Of duplicate keys the last one wins. The body is encoded again before it is sent on, so no vendor can read it differently.
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
    small = len(raw) < SMALL_BODY and raw.count(b"{") + raw.count(b"[") <= max_depth
    if not small and _depth(value) > max_depth:
        raise BadRequest(f"The request body is nested deeper than {max_depth} levels.")
    return value


def _depth(value: Any) -> int:
    """How deep a decoded value is nested. Level by level: a recursion could overflow the stack. An agent's turn has thousands of
    values, so types are compared, which takes a third of the time of ``isinstance``: a decoder makes no subclasses.
    """
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            for child in item.values() if type(item) is dict else item:
                kind = type(child)
                if kind is dict or kind is list:
                    below.append(child)
        level = below
    return depth
