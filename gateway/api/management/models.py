"""What is for sale: models, their endpoints, providers. Public; a key adds the percentiles."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from gateway.api.management.auth import ByInferenceKey, Recognised, ServicesDep
from gateway.api.management.catalog_views import callable_now, endpoint_view, endpoints_view, model_view, provider_view
from gateway.api.management.http import Answer
from gateway.api.management.listing import Filter, Listing, Row, keeps_nothing, no_false_promises, ordered, page, rows
from gateway.api.management.schema import catalog as schema
from gateway.catalog.model import Model
from gateway.errors import BadRequest, NotFound
from gateway.services import Services

router = APIRouter(tags=["Models"])

HONEST = [Depends(no_false_promises)]


@router.get("/models", response_model=schema.ModelList, dependencies=HONEST, summary="List models")
async def list_models(request: Request, services: ServicesDep, asked: Annotated[Listing, Query()]) -> Answer:
    """Every model that has a price today, filtered and sorted. Without `offset` and `limit` all at once."""
    return _listed(request, services, asked, services.catalog.current.models.values())


@router.get("/models/count", response_model=schema.CountAnswer, dependencies=HONEST, summary="Count models")
async def count_models(services: ServicesDep, asked: Annotated[Filter, Query()]) -> Answer:
    """How many models `GET /models` would list under the same filters."""
    found = rows(services.catalog.current.models.values(), asked, time.time())
    return Answer({"data": {"count": len(found)}})


@router.get("/models/user", response_model=schema.ModelList, dependencies=HONEST, summary="List models you can call")
async def list_my_models(
    request: Request, services: ServicesDep, _: ByInferenceKey, asked: Annotated[Listing, Query()]
) -> Answer:
    """As `GET /models`, without models that no configured vendor serves."""
    now = time.time()
    models = (model for model in services.catalog.current.models.values() if callable_now(model, now))
    return _listed(request, services, asked, models)


@router.get("/embeddings/models", response_model=schema.ModelList, dependencies=HONEST, summary="List embedding models")
async def list_embedding_models(request: Request, services: ServicesDep, asked: Annotated[Listing, Query()]) -> Answer:
    """As `GET /models`, of the models that embed."""
    embedding = asked.model_copy(update={"output_modalities": "embeddings"})
    return _listed(request, services, embedding, services.catalog.current.models.values())


@router.get("/model/{author}/{slug}", response_model=schema.ModelAnswer, summary="Get a model")
async def get_model(services: ServicesDep, author: str, slug: str) -> Answer:
    """One model by slug or alias; variant suffixes such as `:floor` are accepted."""
    model = resolved(services, author, slug)
    found = rows([model], Filter(output_modalities="all"), time.time())
    if not found:
        raise NotFound(f"{model.slug} has no price today, so it is not for sale.")
    return Answer({"data": _view(found[0])})


@router.get(
    "/models/{author}/{slug}/endpoints", response_model=schema.ModelEndpointsAnswer, summary="List a model's endpoints"
)
async def list_endpoints(services: ServicesDep, recognised: Recognised, author: str, slug: str) -> Answer:
    """Who sells the model, at what price, how well it runs. Percentiles are shown to callers with a key."""
    model = resolved(services, author, slug)
    return Answer({"data": endpoints_view(model, services.health.view, time.time(), recognised=recognised)})


@router.get("/endpoints/zdr", response_model=schema.EndpointList, summary="List endpoints that keep no prompts")
async def list_zdr(services: ServicesDep, recognised: Recognised) -> Answer:
    """Endpoints whose provider neither keeps prompts nor trains on them, by the catalogue's data policy."""
    now, view = time.time(), services.health.view
    found = [
        endpoint_view(model, endpoint, price, view(endpoint.id), recognised=recognised)
        for model in services.catalog.current.models.values()
        for endpoint in model.endpoints
        if keeps_nothing(endpoint) and (price := endpoint.price_at(now)) is not None
    ]
    return Answer({"data": found})


@router.get("/providers", response_model=schema.ProviderList, summary="List providers")
async def list_providers(services: ServicesDep) -> Answer:
    """Every provider of the catalogue, also those without a credential here."""
    providers = services.catalog.current.providers.values()
    return Answer({"data": [provider_view(provider) for provider in providers]})


def _listed(request: Request, services: Services, asked: Listing, models: Iterable[Model]) -> Answer:
    found = ordered(rows(models, asked, time.time()), asked.sort, services.health.view)
    shown, link = page(found, asked, request.url.path, request.query_params.multi_items())
    return Answer({"data": [_view(row) for row in shown], "links": {"next": link}, "total_count": len(found)})


def _view(row: Row) -> dict[str, object]:
    return model_view(row.model, row.endpoint, row.price)


def resolved(services: Services, author: str, slug: str) -> Model:
    """An unknown model is 404 here, where it is a resource; it is 400 in an inference request, where it is a field."""
    try:
        model, _ = services.catalog.current.resolve(f"{author}/{slug}")
    except BadRequest as error:
        raise NotFound(error.message) from None
    return model
