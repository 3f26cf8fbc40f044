"""The public pages and their routes. A program that asks for JSON at these paths gets the API's 404, as before there were pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.catalog.descriptions import descriptions
from gateway.catalog.model import Model
from gateway.catalog.selection import Listing, Row, listed_price, ordered, rows
from gateway.errors import BadRequest
from gateway.server.answer_cache import Answer, conditional
from gateway.web import (
    apps,
    figures,
    labels,
    model_charts,
    rankings,
    report,
    request_shapes,
    speed_and_price,
    tasks,
    usage,
    views,
)
from gateway.web.rendering import static_files
from gateway.web.site import HEADERS, Contents, Seen, Site

FOREVER = "public, max-age=31536000, immutable"
PAGE_SIZE = 50
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
    site = Site()
    report.add_route(routes, site)

    @routes.get("/")
    async def home(request: Request) -> Response:
        reading = rankings.glance_reader(site.readings)
        return await site.answer(request, lambda seen, found: ("home.html", _home(seen, found), 200), reading)

    @routes.get("/models")
    async def models(request: Request) -> Response:
        query = {name: value for name, value in request.query_params.items() if value.strip()}
        return await site.answer(request, lambda seen, _: _models(seen, query))

    @routes.get("/models/{author}/{slug}")
    async def model(request: Request, author: str, slug: str) -> Response:
        name, wanted = f"{author}/{slug}", model_charts.Wanted.of(request.query_params)
        reading = model_charts.reader(name, wanted, site.readings)
        return await site.answer(request, lambda seen, found: _model(seen, name, wanted, found), reading)

    @routes.get("/providers")
    async def providers(request: Request) -> Response:
        return await site.answer(request, lambda seen, _: ("providers.html", _providers(seen), 200))

    _add_usage(routes, site)

    @routes.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        file = static_files().get(name)
        if file is None:
            raise HTTPException(404)
        keep = FOREVER if request.query_params.get("v") == file.version else "no-cache"
        headers = {**HEADERS, "cache-control": keep, "content-type": file.media_type}
        return conditional(request, Answer(file.body, f'"{file.version}"'), headers)

    return routes


def _add_usage(routes: APIRouter, site: Site) -> None:
    """The pages about use."""

    @routes.get("/rankings")
    async def ranking(request: Request) -> Response:
        wanted = rankings.Wanted.parsed(request.query_params)
        reading = None if isinstance(wanted, str) else rankings.reader(wanted, site.readings)
        return await site.answer(request, lambda seen, found: rankings.contents(seen, wanted, found), reading)

    @routes.get("/rankings/requests")
    async def ranking_of_requests(request: Request) -> Response:
        wanted = request_shapes.Wanted.parsed(request.query_params)
        reading = None if isinstance(wanted, str) else request_shapes.reader(wanted, site.readings)
        return await site.answer(request, lambda seen, found: request_shapes.contents(seen, wanted, found), reading)

    @routes.get("/rankings/speed")
    async def ranking_of_speed(request: Request) -> Response:
        return await site.answer(request, speed_and_price.contents, speed_and_price.reader(site.readings))

    for page in labels.PAGES.values():
        _add_labels(routes, site, page)

    @routes.get("/rankings/tasks")
    async def ranking_of_tasks(request: Request) -> Response:
        return await site.answer(request, tasks.contents, tasks.reader(site.readings))

    @routes.get("/apps")
    async def all_apps(request: Request) -> Response:
        wanted = apps.Wanted.parsed(request.query_params)
        reading = None if isinstance(wanted, str) else apps.reader(wanted, site.readings)
        return await site.answer(request, lambda seen, found: apps.contents(seen, wanted, found), reading)

    @routes.get("/apps/{app:path}")
    async def one_app(request: Request, app: str) -> Response:
        name = request.query_params.get("id", "") if app == usage.ANY_APP else app
        return await site.answer(request, apps.app_contents, apps.app_reader(name, site.readings))


def _add_labels(routes: APIRouter, site: Site, page: labels.Page) -> None:
    """The page of one kind of label."""

    @routes.get(page.path)
    async def ranking_within_labels(request: Request) -> Response:
        wanted = labels.WANTED[page.path].parsed(request.query_params)
        reading = None if isinstance(wanted, str) else labels.reader(wanted, site.readings)
        return await site.answer(request, lambda seen, found: labels.contents(seen, page, wanted, found), reading)


def _home(seen: Seen, found: rankings.Glance | None) -> dict[str, Any]:
    catalog, view, now = seen.catalog, seen.health_of, seen.now
    usable = views.listed(catalog, now, all_models=False)
    every = views.listed(catalog, now, all_models=True)
    chat = [row for row in _rows(usable, now) if "text" in row.model.output_modalities]
    providers = views.provider_rows(catalog, view, now)
    plot = figures.dotted(views.price_by_context(chat), "Input price and context length of the models", twin="apart")
    use = rankings.glance(seen, found)
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
        "use": use,
        "plot": plot.data,
        "chart": plot,
        "charts": (use["chart"] if use else None, plot),
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


def _model(seen: Seen, name: str, wanted: model_charts.Wanted, found: model_charts.Found | None) -> Contents:
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
        **model_charts.blocks(seen, model, wanted, found),
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
