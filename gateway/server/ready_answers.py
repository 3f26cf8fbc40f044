"""Public lists as finished bytes: made once, and sent to whoever asks without a key before the application is called.

What anybody may ask for in a loop must cost next to nothing: the application takes milliseconds for a list, this table some ten
microseconds. A request that presents a key is never answered from here, except where no key is asked for at all, because a wrong
key must be refused. Query parameters that a list does not know are dropped, so they cannot make the same answer anew. It must not
know: what the answers say.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Scope

from gateway.server.answer_cache import digest
from gateway.server.responder import Headers

QUERY_MAX = 500
"""Bytes of a query; the answer to a longer one is not kept."""
PATH_MAX = 200
KEPT_MAX = 256
KEPT_BYTES_MAX = 32 << 20
"""Of all bodies that are kept, packed ones included."""
PACKED_FROM = 1_400
"""Bytes of a body; a smaller one fits into one packet as it is."""
GZIP_LEVEL = 6
SHARE, BURST_S, WAIT_MAX_S = 0.1, 0.5, 1.0
"""Of the event loop, for each ``Pace``; seconds that may be taken in advance; the longest wait."""
HEALTH, HEALTH_WAIT_MAX_S = "health", 0.2
"""The ``PublicList.pace`` of answers that somebody's clock waits for, and their longest wait."""
FAST_S, SLOW_S, MADE_S, BYTE_S = 50e-6, 200e-6, 2e-3, 0.4e-9
"""What an answer takes from the connection, by ASGI, and by an application that makes it (0.5 to 4 ms, with 300 models), and what a
byte adds (measured 2026-12 on one core)."""
PREFIX, ALIAS = "/api/v1/", "/v1/"
_SLASHES = re.compile("//+")
_GZIP = re.compile(rb"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.I)
_KEYS = frozenset({b"authorization", b"x-api-key"})
_UNSHARED = frozenset({b"if-none-match", b"accept-encoding", b"if-modified-since", b"range"})
"""Headers that the application does not get: they are answered here, for each client by itself."""
_COMPUTED = frozenset({b"content-length", b"etag", b"vary"})


@dataclass(frozen=True, slots=True)
class PublicList:
    """What decides on one list. ``kept_s``: seconds for which an answer is sent again."""

    kept_s: float
    parameters: frozenset[str] = frozenset()
    """Names in the query that it knows; others are dropped."""
    by_host: frozenset[str] = frozenset()
    """Names in the query that make the answer depend on how the client reached the gateway; with one, nothing is kept."""
    header: bytes = b""
    """A request header (lower case) whose presence changes the answer."""
    keyless: bool = False
    """No key is asked for, so one that is presented is not looked at."""
    but: str = ""
    """Paths below that end so are none of it."""
    pace: str = "lists"
    """Name of the share of the event loop that it takes from: whoever asks for one of it in a loop lets others of it wait."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One question for a list."""

    key: tuple[str, str, bool]
    """Path, query in one order, whether ``PublicList.header`` is there."""
    rule: PublicList
    etag: bytes
    """``If-None-Match``, or empty."""
    packs: bool
    """The client takes gzip."""


@dataclass(slots=True)
class Ready:
    """One finished answer."""

    status: int
    headers: Headers
    body: bytes
    etag: bytes
    """Empty for an answer that is not 200."""
    packed: bytes | None
    """The body in gzip, None where that is not worth it."""
    until: float
    depends: Hashable


class Pace:
    """How much of an event loop finished answers may take: callers in a loop get the next one when the share allows it.
    ``clock``: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, wait_max_s: float = WAIT_MAX_S) -> None:
        self._clock, self._wait_max_s = clock, wait_max_s
        self._paid_until = 0.0

    @property
    def wait_s(self) -> float:
        """How long the next answer must wait; 0 within the burst."""
        return min(max(self._paid_until - self._clock() - BURST_S, 0.0), self._wait_max_s)

    def charge(self, size: int, answer_s: float) -> None:
        """An answer of so many bytes is sent, which takes ``answer_s`` without them."""
        cost = (answer_s + size * BYTE_S) / SHARE
        self._paid_until = max(self._paid_until, self._clock()) + min(cost, WAIT_MAX_S)


class ReadyAnswers:
    """One per application. ``lists``: by path under ``PREFIX`` or outside of it; one that ends with ``/`` stands for all below it.
    ``clock``: seconds, monotonic.
    """

    def __init__(self, lists: Mapping[str, PublicList], clock: Callable[[], float] = time.monotonic) -> None:
        self._lists, self._clock = dict(lists), clock
        self._below = tuple((path, rule) for path, rule in lists.items() if path.endswith("/"))
        self._kept: OrderedDict[tuple[str, str, bool], Ready] = OrderedDict()
        self._bytes = 0
        self._making: dict[tuple[str, str, bool], asyncio.Task[Ready]] = {}
        self._paces = {rule.pace: Pace() for rule in self._lists.values()}
        self._paces[HEALTH] = Pace(wait_max_s=HEALTH_WAIT_MAX_S)
        self._making_pace = Pace()
        self.depends: Callable[[], Hashable] = lambda: None
        """What all answers depend on; when it changes, none of those that were kept is sent any more."""

    def wanted(self, path: str, query: bytes, headers: Headers) -> Wanted | None:
        """The question that this request asks; None: it must go to the application."""
        rule = self._rule(path := _plain(path))
        if rule is None or len(query) > QUERY_MAX:
            return None
        etag, packs, variant = b"", False, False
        for name, value in headers:
            if name == b"accept-encoding":
                packs = _GZIP.search(value) is not None
            elif name == b"if-none-match":
                etag = value
            elif name in _KEYS:
                if not rule.keyless:
                    return None
            elif name == rule.header:
                variant = True
            elif name in (b"transfer-encoding", b"content-length") and value != b"0":
                return None
        canonical = _canonical(query, rule) if query else ""
        return None if canonical is None else Wanted((path, canonical, variant), rule, etag, packs)

    def pace(self, wanted: Wanted, ready: Ready | None) -> Pace:
        """What the answer takes from: one that must be made takes from another share than finished ones, so that new questions in
        a loop do not let those wait who ask what was asked before.
        """
        made_before = ready is not None or wanted.rule.pace == HEALTH
        return self._paces[wanted.rule.pace] if made_before else self._making_pace

    def find(self, wanted: Wanted) -> Ready | None:
        """The answer, if it is still true."""
        ready = self._kept.get(wanted.key)
        if ready is None or self._clock() >= ready.until or ready.depends != self.depends():
            return None
        return ready

    async def get(self, wanted: Wanted, app: ASGIApp, scope: Scope) -> Ready:
        """The answer, made by the application if there is none. Those who ask for the same at once wait for one answer."""
        ready = self.find(wanted)
        if ready is not None:
            return ready
        task = self._making.get(wanted.key)
        if task is None:
            self._making[wanted.key] = task = asyncio.create_task(self._make(wanted, app, scope))
            task.add_done_callback(lambda _: self._making.pop(wanted.key, None))
        return await asyncio.shield(task)

    async def _make(self, wanted: Wanted, app: ASGIApp, scope: Scope) -> Ready:
        depends, made_at = self.depends(), self._clock()
        path, query, _ = wanted.key
        headers = [pair for pair in scope["headers"] if pair[0] not in _UNSHARED]
        asked = {
            **scope,
            "method": "GET",
            "path": path,
            "raw_path": path.encode(errors="replace"),
            "query_string": query.encode(),
            "headers": headers,
        }
        status, answered, body = await _whole(app, asked)
        if status != 200:
            return Ready(status, answered, body, b"", None, 0.0, depends)
        etag = next((value for name, value in answered if name == b"etag"), b'W/"%b"' % digest(body).encode())
        kept = [pair for pair in answered if pair[0] not in _COMPUTED]
        before = self._kept.get(wanted.key)
        if before is not None and before.body == body:
            packed = before.packed
        else:
            packed = (
                await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0) if len(body) >= PACKED_FROM else None
            )
        ready = Ready(200, kept, body, etag, packed, made_at + wanted.rule.kept_s, depends)
        self._keep(wanted.key, ready)
        return ready

    def _rule(self, path: str) -> PublicList | None:
        rule = self._lists.get(path)
        if rule is not None:
            return rule
        if len(path) <= PATH_MAX:
            for prefix, below in self._below:
                if path.startswith(prefix) and not (below.but and path.endswith(below.but)):
                    return below
        return None

    def _keep(self, key: tuple[str, str, bool], ready: Ready) -> None:
        before = self._kept.pop(key, None)
        self._bytes += _size(ready) - (_size(before) if before is not None else 0)
        self._kept[key] = ready
        while len(self._kept) > KEPT_MAX or (self._bytes > KEPT_BYTES_MAX and len(self._kept) > 1):
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def response(ready: Ready, wanted: Wanted, method: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers with the length, and body for this client: whole, packed, or 304; for ``HEAD`` without the body."""
    if not ready.etag:
        return ready.status, list(ready.headers), b"" if method == "HEAD" else ready.body
    vary = b"accept-encoding, " + wanted.rule.header if wanted.rule.header else b"accept-encoding"
    headers = [*ready.headers, (b"etag", ready.etag), (b"vary", vary)]
    if wanted.etag and ready.etag.removeprefix(b"W/") in [
        tag.strip().removeprefix(b"W/") for tag in wanted.etag.split(b",")
    ]:
        return 304, headers, b""
    body = ready.body
    if wanted.packs and ready.packed is not None:
        body = ready.packed
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    return 200, headers, b"" if method == "HEAD" else body


def _size(ready: Ready) -> int:
    return len(ready.body) + len(ready.packed or b"")


def _plain(path: str) -> str:
    """The path as the lists name it."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if path.endswith("/"):
        path = path.rstrip("/")
    return PREFIX + path[len(ALIAS) :] if path.startswith(ALIAS) else path


def _canonical(query: bytes, rule: PublicList) -> str | None:
    """The parameters that the list knows, in one order; None where the answer is not one for everybody."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    except ValueError:
        return None
    known = sorted((pair for pair in pairs if pair[0] in rule.parameters), key=lambda pair: pair[0])
    if any(name in rule.by_host for name, _ in known):
        return None
    return urlencode(known)


async def _whole(app: ASGIApp, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The application's whole answer to a request without a body."""
    started: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    headers = [(name.lower(), value) for name, value in started.get("headers", ())]
    return started["status"], headers, bytes(body)
