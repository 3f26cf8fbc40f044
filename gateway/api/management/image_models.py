"""Models that make pictures, as the public contract's image API lists them. Public."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from fastapi import APIRouter

from gateway.api.management.auth import ServicesDep
from gateway.api.management.catalog_views import midnight
from gateway.api.management.http import Answer
from gateway.api.management.models import resolved
from gateway.api.management.schema import catalog as schema
from gateway.catalog.model import Endpoint, Model, Price
from gateway.errors import NotFound
from gateway.money import format_price

router = APIRouter(tags=["Models"])

PARAMETERS = {"n": {"type": "range", "min": 1, "max": 10}}
"""What every endpoint takes; the rest differs by vendor, and no price list says how."""
LINES = (
    ("image_output", "output_image", "image"),
    ("image_output_token", "output_image", "token"),
    ("completion", "output_image", "token"),
    ("request", "output_image", "request"),
    ("prompt", "input_text", "token"),
    ("image", "input_image", "image"),
    ("image_token", "input_image", "token"),
)
"""Price kind → what is billed, by what unit, in the contract's words."""


@router.get("/images/models", response_model=schema.ImageModelList, summary="List image models")
async def list_image_models(services: ServicesDep) -> Answer:
    """Models that make pictures and have a price today."""
    now = time.time()
    return Answer({"data": [_model(model) for model in services.catalog.current.models.values() if _sold(model, now)]})


@router.get(
    "/images/models/{author}/{slug}/endpoints",
    response_model=schema.ImageEndpoints,
    summary="List an image model's endpoints",
)
async def list_image_endpoints(services: ServicesDep, author: str, slug: str) -> Answer:
    """Who makes pictures with the model, and what each of them bills."""
    model = resolved(services, author, slug)
    sold = _sold(model, time.time())
    if not sold:
        raise NotFound(f"{model.slug} makes no pictures that are for sale today.")
    return Answer({"id": model.slug, "endpoints": [_endpoint(endpoint, price) for endpoint, price in sold]})


def _sold(model: Model, now: float) -> list[tuple[Endpoint, Price]]:
    offered = ((endpoint, endpoint.price_at(now)) for endpoint in model.endpoints if "images" in endpoint.operations)
    return [(endpoint, price) for endpoint, price in offered if price is not None]


def _model(model: Model) -> dict[str, Any]:
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


def _endpoint(endpoint: Endpoint, price: Price) -> dict[str, Any]:
    seen: set[tuple[str, str]] = set()
    lines = []
    for kind, billable, unit in LINES:
        femto = price.femto.get(kind)
        if femto and (billable, unit) not in seen:  # its own price stands before the one it would fall back to
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
