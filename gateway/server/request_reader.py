"""Reads a request: its headers, its body, its JSON. What is malformed, too large or too slow is refused here.

No body holds the event loop for long: of a large one it is counted first what it consists of, and what is left to do is done in a
thread by whoever called (docs/adr/0079).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, RequestTimeout
from gateway.server.responder import Headers, Responder
from gateway.settings import Settings
from providers.transport import json_bounds

Body = bytes | bytearray
PIECE = 2**20
"""Bytes of a body that are waited for at a time: an agent's turn of 450 KB wakes its reader once, and is copied once."""
SMALL_BODY = 8_192
"""Bytes of a body in which all brackets are counted first: of an agent's turn that takes longer than to measure the depth."""
CONTAINERS_ON_LOOP = 4_096
"""Objects and lists of a body that is worked on in the event loop: an agent's turn has a thousand."""
CHILDREN_ON_LOOP = 65_536
"""Values at one depth of such a body."""
LISTS_ON_LOOP = 65_536
"""Opening square brackets in it, those in texts included: the densest that can be written, two bytes a list."""
UNCOUNTED = 262_144
"""Bytes of a body whose brackets are not counted: all the lists that have room in it take 20 ms."""
SAMPLES, SAMPLE = 16, 256
"""Places of a body, and bytes at each, that are looked at first: an agent's turn pays 5 µs, and 200 if all of it is counted."""
FORM_JSON_MAX = 65_536
"""Bytes of a field of a form that holds JSON."""
_decoder = msgspec.json.Decoder()


class Dense(Exception):
    """A body of many objects, lists or values: it must be decoded in a thread."""


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


async def read_body(responder: Responder, limit: int, timeout_s: float, reserve: Callable[[int], None]) -> Body:
    """The whole body, piece by piece; ``reserve`` is called with what may be in memory after the next one.

    Raises PayloadTooLarge, RequestTimeout, ClientDisconnected, and what ``reserve`` raises.
    """
    body: Body = b""
    try:
        async with asyncio.timeout(timeout_s):
            reserve(PIECE)
            while (piece := await responder.read(min(PIECE, limit - len(body)))) is not None:
                if len(body) + len(piece) > limit:
                    raise _too_large(limit)
                reserve(len(body) + len(piece) + PIECE)
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


async def bound_json(raw: Body) -> None:
    """Others get their turn while a large body is counted. Raises BadRequest for one that consists of too much."""
    try:
        await json_bounds.check_in_turns(raw)
    except json_bounds.TooMuch as error:
        raise BadRequest(f"The request body {error.problem}.") from None


def form_json(field: str, content: bytes, max_depth: int) -> dict[str, Any]:
    """``decode_json`` of a field of a form. Raises BadRequest."""
    if len(content) > FORM_JSON_MAX:
        raise BadRequest(f"{field}: has more than {FORM_JSON_MAX} bytes of JSON.", field=field)
    return decode_json(content, max_depth)


def decode_json(raw: Body, max_depth: int, *, on_loop: bool = False) -> dict[str, Any]:
    """The object in a JSON body. Raises BadRequest for anything else, and for NaN, lone surrogates, a byte order mark, nesting
    deeper than ``max_depth`` and too many objects and lists; Dense, if ``on_loop``, for what takes longer than the event loop has.

    Of duplicate keys the last one wins. The body is encoded again before it is sent on, so no vendor can read it differently.
    """
    if not raw:
        raise BadRequest("The request body is empty; send a JSON object.")
    large = on_loop and len(raw) > UNCOUNTED
    if large and _may_be_dense(raw) and len(raw.split(b"[", LISTS_ON_LOOP)) > LISTS_ON_LOOP:
        raise Dense
    try:
        value = _decoder.decode(raw)
    except RecursionError:
        raise BadRequest(f"The request body is nested deeper than {max_depth} levels.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    if len(raw) >= SMALL_BODY or raw.count(b"{") + raw.count(b"[") > max_depth:
        _check_nesting(value, max_depth, on_loop)
    return value


def _may_be_dense(raw: Body) -> bool:
    """Whether a body may have more lists than ``LISTS_ON_LOOP``, by places that nobody can foresee. One of twice as many, which
    takes 20 ms, is overlooked once in five thousand times.
    """
    span = len(raw) - SAMPLE
    found = 0
    for _ in range(SAMPLES):
        at = int(random.random() * span)
        found += raw[at : at + SAMPLE].count(b"[")
    return found * len(raw) > SAMPLES * SAMPLE * LISTS_ON_LOOP // 2


def _check_nesting(value: Any, max_depth: int, on_loop: bool) -> None:
    """Level by level: a recursion could overflow the stack. An agent's turn has thousands of values, so types are compared, which
    takes a third of the time of ``isinstance``: a decoder makes no subclasses.
    """
    depth = containers = 0
    level = [value]
    while level:
        depth += 1
        containers += len(level)
        if depth > max_depth:
            raise BadRequest(f"The request body is nested deeper than {max_depth} levels.")
        if on_loop and (containers > CONTAINERS_ON_LOOP or sum(map(len, level)) > CHILDREN_ON_LOOP):
            raise Dense
        if containers > json_bounds.CONTAINERS_MAX:
            raise BadRequest(f"The request body has more than {json_bounds.CONTAINERS_MAX:,} objects and lists.")
        below: list[Any] = []
        for item in level:
            for child in item.values() if type(item) is dict else item:
                kind = type(child)
                if kind is dict or kind is list:
                    below.append(child)
        level = below
