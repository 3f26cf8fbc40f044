"""Models that do not chat, as the management API lists them: checked with the official SDK's own types."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from openrouter.components import (
    ImageModelEndpointsResponse,
    ImageModelsListResponse,
    ListEndpointsResponse,
    ModelsListResponse,
)

from gateway.api.management import image_models
from gateway.api.management.catalog_views import description_of, endpoints_view, model_view
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.selection import listed_price
from gateway.health.registry import HealthRegistry
from tests.support.operations import opened, sale

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return load(CONFIG, {})


async def test_lists_by_what_is_made(gateway, monkeypatch):
    """Embedding and image models have lists of their own, and are not among the models that chat."""
    stage = await opened(
        gateway,
        monkeypatch,
        sale("t/embeds", "alpha", "embeddings", "ok"),
        sale("t/paints", "alpha", "image", "fast"),
        sale("t/talks", "alpha", "text", "slow"),
        units={"fast": {"usd_per_image_output": "0.04"}},
    )
    get = stage.gateway.client.get
    for path, ids in (("/models", ["t/talks"]), ("/embeddings/models", ["t/embeds"]), ("/images/models", ["t/paints"])):
        response = await get("/api/v1" + path)
        assert [model["id"] for model in response.json()["data"]] == ids, path
    ImageModelsListResponse.model_validate_json((await get("/api/v1/images/models")).text)
    listed = await get("/api/v1/images/models/t/paints/endpoints")
    ImageModelEndpointsResponse.model_validate_json(listed.text)
    assert {"billable": "output_image", "unit": "image", "cost_usd": 0.04} in listed.json()["endpoints"][0]["pricing"]
    assert (await get("/api/v1/images/models/t/talks/endpoints")).status_code == 404
    assert (await get("/api/v1/images/models/t/nobody/endpoints")).status_code == 404


def test_the_whole_shipped_catalogue_fits_the_sdk(shipped: Catalog) -> None:
    """Every model, with tiers, units and endpoints, is what the official SDK validates."""
    now, health = time.time(), HealthRegistry(time.time)
    offered = [(model, listed_price(model, now)) for model in shipped.models.values()]
    told = {model.slug: description_of(shipped, model, now) for model, _ in offered}
    assert all(told.values())
    views = [model_view(model, *found, told[model.slug]) for model, found in offered if found is not None]
    assert len(views) >= 500
    listing = {"data": views, "links": {"next": None}, "total_count": len(views)}
    ModelsListResponse.model_validate_json(msgspec.json.encode(listing))
    for model, found in offered:
        if found is not None:
            view = endpoints_view(model, health.view, now, description=told[model.slug], has_valid_key=True)
            ListEndpointsResponse.model_validate_json(msgspec.json.encode(view))


def test_every_shipped_image_model_lists_what_it_bills(shipped: Catalog) -> None:
    """No endpoint that makes pictures is listed without a line for them."""
    for model in shipped.models.values():
        for endpoint, price in image_models._priced_endpoints(model, time.time()):
            lines = image_models._endpoint_view(endpoint, price)["pricing"]
            assert any(line["billable"] == "output_image" for line in lines), endpoint.id
