"""The public pages and their routes. A program that asks for JSON at these paths gets the API's 404, as before there were pages."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.catalog.descriptions import descriptions
from gateway.catalog.model import Model
from gateway.catalog.selection import Listing, Row, listed_price, ordered, rows
from gateway.errors import BadRequest, Unavailable
from gateway.health.view import UNKNOWN, EndpointHealth
from gateway.services import Services
from gateway.web import charts, views
from gateway.web.rendering import KEPT_S, Page, PageCache, render, static_files

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
PAGE_HEADERS = {**HEADERS, "cache-control": "public, max-age=5", "vary": "accept"}
FOREVER = "public, max-age=31536000, immutable"
PAGE_SIZE = 50
LOOKED_AT_ONCE = 50
"""Endpoints whose health is read before other requests get their turn."""
REST_TIMES = 3
"""After a page was made no other one is made for so many times as long: visitors, who need no key, cannot take more than a quarter
of a thread from the requests beside them."""
WAITING_MAX = 64
"""Requests that wait for a page to be made; more are asked to come back."""
QUERY_MAX = 500
"""Characters of a query that are worth keeping its page for."""
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_HTML = re.compile(r"(?:text/html|text/\*|\*/\*)(?![^,]*;\s*q=0(?:\.0*)?\s*(?:,|$|;))", re.I)
DEFAULT_SORT = "providers-high-to-low"
SORTS = {
    DEFAULT_SORT: "Most providers",
    "newest": "Newest",
    "pricing-low-to-high": "Cheapest first",
    "pricing-high-to-low": "Dearest first",
    "context-high-to-low": "Longest context",
    "latency-low-to-high": "Fastest first token",
    "throughput-high-to-low": "Most tokens per second",
}
"""Value of ``sort`` → its name; the same values as in ``GET /models`` of the API."""
LESS_USED = ("model_authors", "input_modalities", "supported_parameters", "context", "max_price", "zdr", "all")
"""Filters that the form folds away until one of them is used."""


def router() -> APIRouter:
    """All pages. Each process keeps its own for a few seconds."""
    routes = APIRouter(include_in_schema=False)
    site = _Site()

    @routes.get("/")
    async def home(request: Request) -> Response:
        return await site.answer(request, lambda seen: ("home.html", _home(seen), 200))

    @routes.get("/models")
    async def models(request: Request) -> Response:
        query = {name: value for name, value in request.query_params.items() if value.strip()}
        return await site.answer(request, lambda seen: _models(seen, query))

    @routes.get("/models/{author}/{slug}")
    async def model(request: Request, author: str, slug: str) -> Response:
        return await site.answer(request, lambda seen: _model(seen, f"{author}/{slug}"))

    @routes.get("/providers")
    async def providers(request: Request) -> Response:
        return await site.answer(request, lambda seen: ("providers.html", _providers(seen), 200))

    @routes.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        file = static_files().get(name)
        if file is None:
            raise HTTPException(404)
        keep = FOREVER if request.query_params.get("v") == file.version else "no-cache"
        return _conditional(
            request, file.body, f'"{file.version}"', {**HEADERS, "cache-control": keep, "content-type": file.media_type}
        )

    return routes


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


class _Site:
    """Makes pages in a thread, one at a time, of what was seen on the event loop: a page must not stop the requests beside it."""

    def __init__(self) -> None:
        self._kept = PageCache(time.monotonic)
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._rested_at = 0.0
        self._seen: Seen | None = None

    async def answer(self, request: Request, contents: Callable[[Seen], Contents]) -> Response:
        """The page of this request. Raises HTTPException 404 for a client that takes no HTML, Unavailable when too many wait."""
        if not _HTML.search(request.headers.get("accept", "*/*")):
            raise HTTPException(404)
        services: Services = request.app.state.services
        base, path, query = _base_url(request), request.url.path, request.url.query
        key = (services.catalog.current.version, path, query, base)
        page = self._kept.get(key)
        if page is None:
            if self._waiting >= WAITING_MAX:
                raise Unavailable("Too many pages are asked for at once; try again.", retry_after_s=1)
            self._waiting += 1
            try:
                async with self._one_at_a_time:
                    page = self._kept.get(key)  # made while this request waited
                    if page is None:
                        page = await self._make(services, contents, {"base_url": base, "path": path})
                        if page.status == 200 and len(query) <= QUERY_MAX:
                            self._kept.put(key, page)
            finally:
                self._waiting -= 1
        headers = {**PAGE_HEADERS, "content-type": "text/html; charset=utf-8"}
        return _conditional(request, page.body, page.etag, headers, page.status)

    async def _make(self, services: Services, contents: Callable[[Seen], Contents], common: Mapping[str, str]) -> Page:
        await asyncio.sleep(self._rested_at - time.monotonic())
        begun = time.monotonic()
        seen = self._seen
        if seen is None or seen.catalog is not services.catalog.current or time.time() - seen.now > KEPT_S:
            seen = self._seen = await _look(services)

        def made() -> Page:
            template, values, status = contents(seen)
            return render(template, {**common, **values}, status)

        try:
            return await asyncio.to_thread(made)
        finally:
            now = time.monotonic()
            self._rested_at = now + REST_TIMES * (now - begun)


async def _look(services: Services) -> Seen:
    """The catalogue, and the health of what can be called, read a few at a time."""
    catalog, now, health = services.catalog.current, time.time(), {}
    for place, endpoint in enumerate(catalog.endpoints.values()):
        if endpoint.provider.usable:
            health[endpoint.id] = services.health.view(endpoint.id)
        if place % LOOKED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return Seen(catalog, health, now)


def _conditional(request: Request, body: bytes, etag: str, headers: Mapping[str, str], status: int = 200) -> Response:
    """The body, or 304 for a client that has it."""
    headers = {**headers, "etag": etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if status == 200 and etag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers)


def _base_url(request: Request) -> str:
    """How this client reached the gateway, for examples to copy. A host that is none is replaced: it would be shown to others."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return "http://localhost:8080"
    return f"{request.url.scheme}://{host}"


def _home(seen: Seen) -> dict[str, Any]:
    catalog, view, now = seen.catalog, seen.health_of, seen.now
    usable = views.listed(catalog, now, all_models=False)
    every = views.listed(catalog, now, all_models=True)
    chat = [row for row in _rows(usable, now) if "text" in row.model.output_modalities]
    providers = views.provider_rows(catalog, view, now)
    plot = views.price_by_context(chat)
    popular = ordered(chat, DEFAULT_SORT, view)[: views.HOME_MODELS]
    return {
        "counts": {
            "models": len(usable),
            "all_models": len(every),
            "providers": sum(row.provider.usable for row in providers),
            "all_providers": len(providers),
            "endpoints": sum(
                endpoint.provider.usable and endpoint.price_at(now) is not None
                for model in usable
                for endpoint in model.endpoints
            ),
            "context": max((row.model.context_length for row in chat), default=0),
        },
        "popular": [views.model_row(row, view, now) for row in popular],
        "providers": [row for row in providers if row.provider.usable],
        "example": popular[0].model.slug if popular else None,
        "plot": plot,
        "chart": charts.figure(
            lambda size: charts.scatter(plot, title="Input price and context length of the models", size=size),
            charts.group_legend(plot),
        ),
    }


def _models(seen: Seen, query: Mapping[str, str]) -> Contents:
    """The table of models under filters, with the names, values and meanings of ``GET /models`` of the API."""
    catalog, view, now = seen.catalog, seen.health_of, seen.now
    every = views.listed(catalog, now, all_models=True)
    values: dict[str, Any] = {
        "query": query,
        "sorts": SORTS,
        "sort": query.get("sort") if query.get("sort") in SORTS else DEFAULT_SORT,
        "unfolded": any(name in query for name in LESS_USED),
        "choices": _choices(every),
        "all_count": len(every),
        "problem": None,
        **{"found": [], "total": 0, "number": 1, "pages": 1, "older": None, "newer": None},
        "link": lambda **changes: _link(query, changes),
    }
    try:
        filters = Listing.model_validate(query)
        models = every if filters.all else views.listed(catalog, now, all_models=False)
        found = ordered(rows(models, filters, now, catalog.attributes), filters.sort or DEFAULT_SORT, view)
    except ValidationError as error:
        first = error.errors()[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        return "models.html", values | {"problem": f"{first['loc'][0]}: {message}"}, 400
    except BadRequest as error:
        return "models.html", values | {"problem": error.message}, 400
    pages = max(-(-len(found) // PAGE_SIZE), 1)
    wanted = query.get("page", "1")
    number = min(int(wanted), pages) if wanted.isascii() and wanted.isdecimal() and 0 < len(wanted) < 6 else 1
    number = max(number, 1)
    shown = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    values |= {
        "found": [views.model_row(row, view, now) for row in shown],
        "total": len(found),
        "number": number,
        "pages": pages,
        "older": _link(query, {"page": number + 1}) if number < pages else None,
        "newer": _link(query, {"page": number - 1}) if number > 1 else None,
    }
    return "models.html", values, 200


def _model(seen: Seen, name: str) -> Contents:
    catalog, view, now = seen.catalog, seen.health_of, seen.now
    try:
        model, _ = catalog.resolve(name)
    except BadRequest:
        return "missing.html", {"name": name, "near": catalog.suggest(name)}, 404
    offered = listed_price(model, now)
    if offered is None:
        return "missing.html", {"name": name, "near": catalog.suggest(name)}, 404
    row, day = Row(model, *offered), datetime.fromtimestamp(now, UTC).date()
    call_path, call_fields = views.CALLS[views.operation_of(model)]
    values = {
        "model": model,
        "row": views.model_row(row, view, now),
        "operation": views.operation_of(model),
        "endpoints": views.endpoint_rows(model, view, now),
        "prices": views.price_list(row.price),
        "tiers": [(above, views.price_list(tier)) for above, tier in row.price.tiers],
        "description": descriptions(catalog, day).get(model.slug, model.description),
        "facts": views.facts(catalog.attributes.of(model.slug, day)),
        "listed_by": row.endpoint.provider.name,
        "call_path": call_path,
        "call_fields": call_fields,
    }
    return "model.html", values, 200


def _providers(seen: Seen) -> dict[str, Any]:
    return {"providers": views.provider_rows(seen.catalog, seen.health_of, seen.now)}


def _rows(models: list[Model], now: float) -> list[Row]:
    return [Row(model, *offered) for model in models if (offered := listed_price(model, now)) is not None]


def _choices(models: list[Model]) -> dict[str, list[str]]:
    """What the selects of the form offer: values that occur, so that no choice is empty."""
    return {
        "authors": sorted({model.slug.partition("/")[0] for model in models}),
        "inputs": sorted({kind for model in models for kind in model.input_modalities} - {"text"}),
        "outputs": sorted({kind for model in models for kind in model.output_modalities} - {"text"}),
        "providers": sorted({endpoint.provider.slug for model in models for endpoint in model.endpoints}),
    }


def _link(query: Mapping[str, str], changes: Mapping[str, object]) -> str:
    """The list with some parameters changed; every change but a turned page begins at the first page."""
    kept = {name: value for name, value in query.items() if name != "page"} | {
        name: str(value) for name, value in changes.items() if value is not None
    }
    return f"/models?{urlencode(kept)}" if kept else "/models"
