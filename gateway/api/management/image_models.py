"""Image models, in the format of the hosted service's image API. Needs no key."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from fastapi import APIRouter

from gateway.api.management.auth import ServicesDep
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.models import model_or_404
from gateway.api.management.schema import catalog as schema
from gateway.catalog.model import Endpoint, Model, Price
from gateway.catalog.selection import midnight
from gateway.errors import NotFound
from gateway.money import format_price

router = APIRouter(tags=["Models"])

PARAMETERS = {"n": {"type": "range", "min": 1, "max": 10}}
"""What every endpoint takes; the other parameters differ by vendor, and the catalogue does not hold them."""
PRICE_LINES = (
    ("image_output", "output_image", "image"),
    ("image_output_token", "output_image", "token"),
    ("completion", "output_image", "token"),
    ("request", "output_image", "request"),
    ("prompt", "input_text", "token"),
    ("image", "input_image", "image"),
    ("image_token", "input_image", "token"),
)
"""(Price kind of the catalogue, what is billed, its unit), the last two in the hosted service's terms. Where two rows have the
same terms, the first with a price counts: a specific price stands before the one it falls back to."""


@router.get("/images/models", response_model=schema.ImageModelList, summary="List image models")
async def list_image_models(services: ServicesDep) -> ExactJSONResponse:
    """Models that make pictures and have a price today."""
    now = time.time()
    return ExactJSONResponse(
        {
            "data": [
                _model_view(model)
                for model in services.catalog.current.models.values()
                if _priced_endpoints(model, now)
            ]
        }
    )


@router.get(
    "/images/models/{author}/{slug}/endpoints",
    response_model=schema.ImageEndpoints,
    summary="List an image model's endpoints",
)
async def list_image_endpoints(services: ServicesDep, author: str, slug: str) -> ExactJSONResponse:
    """Who makes pictures with the model, and what each of them bills."""
    model = model_or_404(services, f"{author}/{slug}")
    priced = _priced_endpoints(model, time.time())
    if not priced:
        raise NotFound(f"{model.slug} makes no pictures that are for sale today.")
    return ExactJSONResponse(
        {"id": model.slug, "endpoints": [_endpoint_view(endpoint, price) for endpoint, price in priced]}
    )


def _priced_endpoints(model: Model, now: float) -> list[tuple[Endpoint, Price]]:
    prices = ((endpoint, endpoint.price_at(now)) for endpoint in model.endpoints if "images" in endpoint.operations)
    return [(endpoint, price) for endpoint, price in prices if price is not None]


def _model_view(model: Model) -> dict[str, Any]:
    return {
        "id": model.slug,
        "name": model.name,
        "created": midnight(model.created),
        "description": model.description,
        "architecture": {
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
        },
        "supported_parameters": PARAMETERS,
        "supports_streaming": False,
        "endpoints": f"/api/v1/images/models/{model.slug}/endpoints",
    }


def _endpoint_view(endpoint: Endpoint, price: Price) -> dict[str, Any]:
    seen: set[tuple[str, str]] = set()
    lines = []
    for kind, billable, unit in PRICE_LINES:
        femto = price.femto.get(kind)
        if femto and (billable, unit) not in seen:
            seen.add((billable, unit))
            lines.append({"billable": billable, "unit": unit, "cost_usd": msgspec.Raw(format_price(femto).encode())})
    return {
        "provider_name": endpoint.provider.name,
        "provider_slug": endpoint.provider.slug,
        "provider_tag": endpoint.tag,
        "supported_parameters": PARAMETERS,
        "allowed_passthrough_parameters": [],
        "supports_streaming": False,
        "pricing": lines,
    }
