"""The catalogue over HTTP: models, their endpoints, providers. Needs no key; a key adds latency and throughput percentiles."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from gateway.api.management.auth import ByInferenceKey, HasValidKey, ServicesDep
from gateway.api.management.catalog_views import callable_now, endpoint_view, endpoints_view, model_view, provider_view
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.listing import (
    Filter,
    Listing,
    Row,
    keeps_nothing,
    ordered,
    page,
    refuse_unsupported_filters,
    rows,
)
from gateway.api.management.schema import catalog as schema
from gateway.catalog.model import Model
from gateway.errors import BadRequest, NotFound
from gateway.services import Services

router = APIRouter(tags=["Models"])

KNOWN_FILTERS = [Depends(refuse_unsupported_filters)]


@router.get("/models", response_model=schema.ModelList, dependencies=KNOWN_FILTERS, summary="List models")
async def list_models(
    request: Request, services: ServicesDep, listing: Annotated[Listing, Query()]
) -> ExactJSONResponse:
    """Every model that has a price today, filtered and sorted. Without `offset` and `limit` all at once."""
    return _listed(request, services, listing, services.catalog.current.models.values())


@router.get("/models/count", response_model=schema.CountAnswer, dependencies=KNOWN_FILTERS, summary="Count models")
async def count_models(services: ServicesDep, filters: Annotated[Filter, Query()]) -> ExactJSONResponse:
    """How many models `GET /models` would list under the same filters."""
    found = rows(services.catalog.current.models.values(), filters, time.time())
    return ExactJSONResponse({"data": {"count": len(found)}})


@router.get(
    "/models/user", response_model=schema.ModelList, dependencies=KNOWN_FILTERS, summary="List models you can call"
)
async def list_my_models(
    request: Request, services: ServicesDep, _: ByInferenceKey, listing: Annotated[Listing, Query()]
) -> ExactJSONResponse:
    """As `GET /models`, without models that no configured vendor serves."""
    now = time.time()
    models = (model for model in services.catalog.current.models.values() if callable_now(model, now))
    return _listed(request, services, listing, models)


@router.get(
    "/embeddings/models", response_model=schema.ModelList, dependencies=KNOWN_FILTERS, summary="List embedding models"
)
async def list_embedding_models(
    request: Request, services: ServicesDep, listing: Annotated[Listing, Query()]
) -> ExactJSONResponse:
    """As `GET /models`, of the models that embed."""
    embedding = listing.model_copy(update={"output_modalities": "embeddings"})
    return _listed(request, services, embedding, services.catalog.current.models.values())


@router.get("/model/{author}/{slug}", response_model=schema.ModelAnswer, summary="Get a model")
async def get_model(services: ServicesDep, author: str, slug: str) -> ExactJSONResponse:
    """One model by slug or alias; variant suffixes such as `:floor` are accepted."""
    model = model_or_404(services, author, slug)
    found = rows([model], Filter(output_modalities="all"), time.time())
    if not found:
        raise NotFound(f"{model.slug} has no price today, so it is not for sale.")
    return ExactJSONResponse({"data": _view(found[0])})


@router.get(
    "/models/{author}/{slug}/endpoints", response_model=schema.ModelEndpointsAnswer, summary="List a model's endpoints"
)
async def list_endpoints(
    services: ServicesDep, has_valid_key: HasValidKey, author: str, slug: str
) -> ExactJSONResponse:
    """Who sells the model, at what price, how well it runs. Percentiles are shown to callers with a key."""
    model = model_or_404(services, author, slug)
    return ExactJSONResponse(
        {"data": endpoints_view(model, services.health.view, time.time(), has_valid_key=has_valid_key)}
    )


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


@router.get("/providers", response_model=schema.ProviderList, summary="List providers")
async def list_providers(services: ServicesDep) -> ExactJSONResponse:
    """Every provider of the catalogue, also those without a credential here."""
    providers = services.catalog.current.providers.values()
    return ExactJSONResponse({"data": [provider_view(provider) for provider in providers]})


def _listed(request: Request, services: Services, listing: Listing, models: Iterable[Model]) -> ExactJSONResponse:
    found = ordered(rows(models, listing, time.time()), listing.sort, services.health.view)
    shown, link = page(found, listing, request.url.path, request.query_params.multi_items())
    return ExactJSONResponse(
        {"data": [_view(row) for row in shown], "links": {"next": link}, "total_count": len(found)}
    )


def _view(row: Row) -> dict[str, object]:
    return model_view(row.model, row.endpoint, row.price)


def model_or_404(services: Services, author: str, slug: str) -> Model:
    """The model by slug or alias. Raises NotFound; in an inference request, where the model is a field, the status is 400."""
    try:
        model, _ = services.catalog.current.resolve(f"{author}/{slug}")
    except BadRequest as error:
        raise NotFound(error.message) from None
    return model
