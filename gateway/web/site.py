"""How a page is answered: read what it needs, make it in a thread, keep it for seconds, one at a time.

Visitors need no key, so what they can take from the requests beside them is bounded: see ``server.answer_cache``.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import structlog
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.health.view import UNKNOWN, EndpointHealth
from gateway.server.answer_cache import Answer, AnswerCache, conditional
from gateway.server.shared_answers import SharedAnswers
from gateway.services import Services
from gateway.store.errors import StoreError
from gateway.web import downloads
from gateway.web.rendering import KEPT_S, Page, digest, render

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
PAGE_HEADERS = {**HEADERS, "cache-control": "public, max-age=5", "vary": "accept, accept-encoding"}
LOOKED_AT_ONCE = 50
"""Endpoints whose health is read before other requests get their turn."""
READ_AGAIN_S = 60.0
"""How long figures of counters serve; a page may be drawn of them many times."""
STALE_S = 60.0
"""How much longer a page is sent while it is made anew."""
BURST_S = 6.0
"""Rest that may be owed: pages that take two seconds together are made one after the other."""
REST_MAX_S = 2.0
"""A person who looks at one page after the other does not wait longer than that for the pages of others."""
READINGS_MAX = 64
QUERY_MAX = 500
"""Characters of a query that are worth keeping its page for."""
GZIP_LEVEL = 5
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_HTML = re.compile(r"(?:text/html|text/\*|\*/\*)(?![^,]*;\s*q=0(?:\.0*)?\s*(?:,|$|;))", re.I)
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.I)
T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pages of the next few seconds are made of. Immutable, so that a thread may read it."""

    catalog: Catalog
    health: Mapping[str, EndpointHealth]
    now: float
    """Unix seconds."""

    def health_of(self, endpoint_id: str) -> EndpointHealth:
        """The health of an endpoint; of one that cannot be called nothing is known."""
        return self.health.get(endpoint_id, UNKNOWN)


Contents = tuple[str, Mapping[str, Any], int]
"""Template, its values, status."""


class Readings:
    """What pages have read from the counters, for a minute. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]], kept_s: float = READ_AGAIN_S) -> T:
        """What was read under this key, read now if that is too long ago. Raises what ``read`` raises."""
        found = self._kept.get(key)
        if found is None or self._clock() - found[0] > kept_s:
            found = self._kept[key] = (self._clock(), await read())
        self._kept.move_to_end(key)
        while len(self._kept) > READINGS_MAX:
            self._kept.popitem(last=False)
        value: T = found[1]
        return value


class Site:
    """One per application."""

    def __init__(self) -> None:
        self._answers = AnswerCache(KEPT_S, stale_s=STALE_S, rest_max_s=REST_MAX_S, burst_s=BURST_S)
        self._seen: Seen | None = None
        self.readings = Readings()

    async def answer(
        self,
        request: Request,
        contents: Callable[[Seen, Any], Contents],
        reading: Callable[[Services], Awaitable[Any]] | None = None,
    ) -> Response:
        """The page of this request. ``reading`` gets from the store what ``contents`` is made of, None where the store does not
        answer. Raises HTTPException 404 for a client that takes no HTML, Unavailable when too many wait."""
        services: Services = request.app.state.services
        base, path, query = _base_url(request), request.url.path, request.url.query
        file = request.query_params.get("download")
        if file is None and not _HTML.search(request.headers.get("accept", "*/*")):
            raise HTTPException(404)
        packed = _GZIP.search(request.headers.get("accept-encoding", "")) is not None
        key = (services.catalog.current.version, path, query, base, packed) if len(query) <= QUERY_MAX else None

        async def made() -> Answer:
            seen = await self._look(services)
            found = None
            if reading is not None:
                try:
                    found = await reading(services)
                except StoreError as error:
                    log.warning("counters could not be read for a page", path=path, error=str(error))
            common = {"base_url": base, "path": path, "here": _here(request)}
            page = await asyncio.to_thread(lambda: _made(contents(seen, found), common, file))
            if not packed:
                return Answer(page.body, page.etag, page.status)
            body = await asyncio.to_thread(gzip.compress, page.body, GZIP_LEVEL, mtime=0)
            return Answer(body, page.etag[:-1] + '-gz"', page.status)

        shared = SharedAnswers(services, "page") if reading is not None else None
        answer = await self._answers.get(key, made, shared)
        headers = {**PAGE_HEADERS, "content-type": "text/html; charset=utf-8"}
        if file is not None and answer.status == 200:
            headers |= _file_headers(file)
        return conditional(request, answer, {**headers, "content-encoding": "gzip"} if packed else headers)

    async def _look(self, services: Services) -> Seen:
        """The catalogue, and the health of what can be called, read a few at a time; the same for a few seconds."""
        seen, catalog = self._seen, services.catalog.current
        if seen is not None and seen.catalog is catalog and time.time() - seen.now <= KEPT_S:
            return seen
        now, health = time.time(), {}
        for place, endpoint in enumerate(catalog.endpoints.values()):
            if endpoint.provider.usable:
                health[endpoint.id] = services.health.view(endpoint.id)
            if place % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._seen = Seen(catalog, health, now)
        return self._seen


def _made(contents: Contents, common: Mapping[str, Any], file: str | None) -> Page:
    """The page, or the file of one of its charts. Raises HTTPException 404 for a file that it does not have."""
    template, values, status = contents
    if file is None or status != 200:
        return render(template, {**common, **values}, status)
    body = downloads.file_of(values.get("charts", ()), file, f"{common['base_url']}{common['path']}")
    if body is None:
        raise HTTPException(404)
    return Page(body, status, f'"{digest(body)}"')


def _file_headers(file: str) -> dict[str, str]:
    """Of a file that was found, so its name has letters, digits and hyphens only."""
    kind = downloads.MEDIA_TYPES[file.rpartition(".")[2]]
    return {"content-type": kind, "content-disposition": f'attachment; filename="{file}"', "vary": "accept-encoding"}


def _here(request: Request) -> str:
    """The address of this page with its choices, to which a parameter can be added. One that is too long is without them."""
    path = quote(request.scope["path"], safe="/~")
    query = urlencode([pair for pair in parse_qsl(request.url.query) if pair[0] != "download"])
    return f"{path}?{query}&" if 0 < len(query) <= QUERY_MAX else f"{path}?"


def _base_url(request: Request) -> str:
    """How this client reached the gateway, for examples to copy. A host that is none is replaced: it would be shown to others."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return "http://localhost:8080"
    return f"{request.url.scheme}://{host}"
