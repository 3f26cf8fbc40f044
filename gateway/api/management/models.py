"""The catalogue over HTTP: models, their endpoints, providers. Needs no key; a key adds latency and throughput percentiles."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.api.management import feeds
from gateway.api.management.auth import ByInferenceKey, HasValidKey, ServicesDep, has_valid_key
from gateway.api.management.catalog_views import (
    anthropic_model_view,
    description_of,
    endpoint_view,
    endpoints_view,
    latest_rows,
    model_view,
    provider_view,
)
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.listing import anthropic_page, page, refuse_unsupported_filters
from gateway.api.management.public_views import json_answer, public_answer
from gateway.api.management.schema import catalog as schema
from gateway.catalog.model import Model
from gateway.catalog.selection import Filter, Listing, Row, callable_now, keeps_nothing, ordered, rows
from gateway.errors import BadRequest, NotFound
from gateway.server.answer_cache import Answer, conditional
from gateway.services import Services

router = APIRouter(tags=["Models"])

PUBLIC_LIST = [Depends(refuse_unsupported_filters), Depends(has_valid_key)]
"""A wrong key is refused although none is needed, and so are filters that this gateway has no data for."""


@router.get(
    "/models",
    response_model=schema.ModelList,
    responses=feeds.AS_FEED,
    dependencies=PUBLIC_LIST,
    summary="List models",
)
async def list_models(
    request: Request,
    services: ServicesDep,
    listing: Annotated[Listing, Query()],
    use_rss: Annotated[bool, Query(description="As a feed (RSS 2.0) of the 50 newest of these models.")] = False,
) -> Response:
    """Every model that can be called here now, filtered and sorted; `all=true`: every model that has a price today. Without
    `offset` and `limit` all at once. With the header `anthropic-version` in the shape of Anthropic's API. Codex, which asks with
    `client_version`, also gets its own list, `models`, and that is empty: a model in it would lose Codex's instructions.
    """

    async def listed() -> Answer:
        models = _offered(services, listing)
        if use_rss:
            found = rows(models, listing, time.time(), services.catalog.current.attributes)
            return feeds.new_models(request, found, lambda row: _described(services, row))
        if "anthropic-version" in request.headers:
            return json_answer(anthropic_page(models, request.query_params, time.time()))
        codex: dict[str, object] = {"models": []} if "client_version" in request.query_params else {}
        return json_answer(_listed(request, services, listing, models, codex))

    kept = (services.catalog.current.version, request.url.query, "anthropic-version" in request.headers)
    answer = await public_answer(request, (*kept, feeds.base_url(request) if use_rss else ""), listed)
    media_type = feeds.MEDIA_TYPE if use_rss else "application/json"
    return conditional(request, answer, {"content-type": media_type})


@router.get("/models/count", response_model=schema.CountAnswer, dependencies=PUBLIC_LIST, summary="Count models")
async def count_models(request: Request, services: ServicesDep, filters: Annotated[Filter, Query()]) -> Response:
    """How many models `GET /models` would list under the same filters."""

    async def counted() -> Answer:
        found = rows(_offered(services, filters), filters, time.time(), services.catalog.current.attributes)
        return json_answer({"data": {"count": len(found)}})

    kept = (services.catalog.current.version, request.url.query, request.url.path)
    return conditional(request, await public_answer(request, kept, counted), {"content-type": "application/json"})


@router.get(
    "/models/user", response_model=schema.ModelList, dependencies=PUBLIC_LIST, summary="List models you can call"
)
async def list_my_models(
    request: Request, services: ServicesDep, _: ByInferenceKey, listing: Annotated[Listing, Query()]
) -> ExactJSONResponse:
    """As `GET /models`, without models that no configured vendor serves."""
    now = time.time()
    models = (model for model in services.catalog.current.models.values() if callable_now(model, now))
    return ExactJSONResponse(_listed(request, services, listing, models))


@router.get(
    "/embeddings/models", response_model=schema.ModelList, dependencies=PUBLIC_LIST, summary="List embedding models"
)
async def list_embedding_models(
    request: Request, services: ServicesDep, listing: Annotated[Listing, Query()]
) -> Response:
    """As `GET /models`, of the models that embed."""
    embedding = listing.model_copy(update={"output_modalities": "embeddings"})

    async def listed() -> Answer:
        return json_answer(_listed(request, services, embedding, _offered(services, embedding)))

    kept = (services.catalog.current.version, request.url.query, request.url.path)
    return conditional(request, await public_answer(request, kept, listed), {"content-type": "application/json"})


@router.get("/models/{author}/{slug}", response_model=schema.Model, summary="Get a model, as OpenAI's SDK does")
async def retrieve_model(request: Request, services: ServicesDep, author: str, slug: str) -> ExactJSONResponse:
    """The model itself, without an envelope. With the header `anthropic-version` in the shape of Anthropic's API."""
    return _retrieved(request, services, f"{author}/{slug}")


@router.get("/models/{name}", response_model=schema.Model, summary="Get a model by its vendor's own id")
async def retrieve_model_by_own_id(request: Request, services: ServicesDep, name: str) -> ExactJSONResponse:
    """As `GET /models/{author}/{slug}`, for ids such as `claude-opus-4-8`."""
    return _retrieved(request, services, name)


@router.get("/model/{author}/{slug}", response_model=schema.ModelAnswer, summary="Get a model")
async def get_model(services: ServicesDep, author: str, slug: str) -> ExactJSONResponse:
    """One model by slug or alias; variant suffixes such as `:floor` are accepted."""
    return ExactJSONResponse({"data": _view(services, _row_or_404(services, f"{author}/{slug}"))})


@router.get(
    "/models/{author}/{slug}/endpoints", response_model=schema.ModelEndpointsAnswer, summary="List a model's endpoints"
)
async def list_endpoints(
    services: ServicesDep, has_valid_key: HasValidKey, author: str, slug: str
) -> ExactJSONResponse:
    """Who sells the model, at what price, how well it runs. Percentiles are shown to callers with a key."""
    model, now = model_or_404(services, f"{author}/{slug}"), time.time()
    description = description_of(services.catalog.current, model, now)
    view = endpoints_view(model, services.health.view, now, description=description, has_valid_key=has_valid_key)
    return ExactJSONResponse({"data": view})


@router.get("/endpoints/zdr", response_model=schema.EndpointList, summary="List endpoints that keep no prompts")
async def list_zdr(services: ServicesDep, has_valid_key: HasValidKey) -> ExactJSONResponse:
    """Endpoints whose provider neither keeps prompts nor trains on them, by the catalogue's data policy."""
    now, view = time.time(), services.health.view
    found = [
        endpoint_view(model, endpoint, price, view(endpoint.id), has_valid_key=has_valid_key)
        for model in services.catalog.current.models.values()
        for endpoint in model.endpoints
        if keeps_nothing(endpoint) and (price := endpoint.price_at(now)) is not None
    ]
    return ExactJSONResponse({"data": found})


@router.get(
    "/providers", response_model=schema.ProviderList, dependencies=[Depends(has_valid_key)], summary="List providers"
)
async def list_providers(services: ServicesDep) -> ExactJSONResponse:
    """Every provider of the catalogue, also those without a credential here."""
    providers = services.catalog.current.providers.values()
    return ExactJSONResponse({"data": [provider_view(provider) for provider in providers]})


def _listed(
    request: Request,
    services: Services,
    listing: Listing,
    models: Iterable[Model],
    more: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """One page of the list; ``more`` are further fields of the answer."""
    found = ordered(
        rows(models, listing, time.time(), services.catalog.current.attributes), listing.sort, services.health.view
    )
    shown, link = page(found, listing, request.url.path, request.query_params.multi_items())
    return {
        "object": "list",
        "data": [_view(services, row) for row in shown],
        "links": {"next": link},
        "total_count": len(found),
        **more,
    }


def _view(services: Services, row: Row) -> dict[str, object]:
    return model_view(row.model, row.endpoint, row.price, _described(services, row))


def _described(services: Services, row: Row) -> str:
    return description_of(services.catalog.current, row.model, time.time())


def _offered(services: Services, filters: Filter) -> Iterable[Model]:
    """What the lists begin with: the models that can be called, or all of them."""
    catalog, now = services.catalog.current, time.time()
    models = list(catalog.models.values())
    if not (filters.all or filters.usable is False or services.settings.list_all_models):
        models = [model for model in models if callable_now(model, now)]
    return [*models, *latest_rows(models, catalog.latest)]


def _retrieved(request: Request, services: Services, name: str) -> ExactJSONResponse:
    row = _row_or_404(services, name)
    view = anthropic_model_view(row.model) if "anthropic-version" in request.headers else _view(services, row)
    return ExactJSONResponse(view)


def _row_or_404(services: Services, name: str) -> Row:
    model = model_or_404(services, name)
    found = rows([model], Filter(output_modalities="all"), time.time(), services.catalog.current.attributes)
    if not found:
        raise NotFound(f"{model.slug} has no price today, so it is not for sale.")
    return found[0]


def model_or_404(services: Services, name: str) -> Model:
    """The model by any of its names. Raises NotFound; in an inference request, where the model is a field, the status is 400."""
    try:
        model, _ = services.catalog.current.resolve(name)
    except BadRequest as error:
        raise NotFound(error.message) from None
    return model
