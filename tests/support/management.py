"""A gateway with a small catalogue for the tests of the management API: one vendor with a credential, one without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openrouter import OpenRouter

from gateway.store.client import Store
from gateway.store.embedded import Embedded
from tests.support.gateway import ADMIN_KEY, Gateway, running
from tests.support.vendor import vendor


def write_files(directory: Path, acme_url: str) -> Path:
    """The catalogue: ``acme/fast-1`` sold by acme and bolt, ``acme/slow-2`` by bolt alone, ``zeta/free-3`` for nothing."""
    files: dict[str, Any] = {
        "providers/acme": {
            **{"slug": "acme", "name": "Acme Cloud", "dialect": "openai", "base_url": acme_url, "api_key_env": None},
            **{"data_policy": {"training": False, "retains_prompts": False}, "headquarters": "DE"},
            "privacy_policy_url": "https://acme.example/privacy",
        },
        "providers/bolt": {
            **{"slug": "bolt", "name": "Bolt", "dialect": "openai", "base_url": "http://127.0.0.1:1/v1"},
            **{"api_key_env": "TEST_BOLT_API_KEY", "data_policy": {"training": True, "retains_prompts": True}},
        },
        "models/acme": [
            _model("acme/fast-1", "2026-03-01", 128_000, ["text", "image"], ["acme:ok", "bolt:fast"]),
            _model("acme/slow-2", "2026-05-01", 8_192, ["text"], ["bolt:slow"]),
        ],
        "models/zeta": [_model("zeta/free-3", "2025-01-01", 32_000, ["text"], ["acme:ok+tokens=3"])],
        "prices/acme": [
            _price("ok", {"prompt": "0.15", "completion": "0.60", "input_cache_read": "0.075"}),
            _price("ok+tokens=3", {"prompt": "0", "completion": "0"}),
        ],
        "prices/bolt": [
            _price("fast", {"prompt": "0.10", "completion": "0.40"}),
            _price("slow", {"prompt": "3", "completion": "15"}),
        ],
    }
    for name, content in files.items():
        path = directory / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    return directory


def _model(slug: str, created: str, context: int, inputs: list[str], sold: list[str]) -> dict[str, Any]:
    return {
        **{"slug": slug, "name": slug.title(), "created": created, "context_length": context},
        **{"input_modalities": inputs, "output_modalities": ["text"]},
        "supported_parameters": ["temperature", "max_tokens", *(["tools", "tool_choice"] if "fast" in slug else [])],
        "endpoints": [dict(zip(("provider", "upstream_id"), word.split(":"), strict=True)) for word in sold],
    }


def _price(upstream_id: str, prices: dict[str, str]) -> dict[str, Any]:
    return {"upstream_id": upstream_id, "from": "2026-01-01", "usd_per_mtok": prices, "source": "https://x.example"}


@dataclass
class Managed:
    """A running gateway, a client with the management key, and one without a key."""

    gateway: Gateway
    admin: httpx.AsyncClient
    anyone: httpx.AsyncClient

    def sdk(self, secret: str = ADMIN_KEY) -> OpenRouter:
        """The official SDK with this gateway's base URL."""
        return OpenRouter(api_key=secret, server_url=f"{self.gateway.url}/api/v1")


def exact(response: httpx.Response) -> Any:
    """The body with every number as the decimal that was written."""
    return json.loads(response.text, parse_float=Decimal, parse_int=Decimal)


def refused(response: httpx.Response, status: int, field: str | None = None) -> str:
    """Assert the documented error shape; the message."""
    body = response.json()
    assert response.status_code == status, body
    assert response.headers["content-type"] == "application/json"
    error = body["error"]
    assert error["code"] == status
    assert error["metadata"]["error_type"]
    if field is not None:
        assert error["metadata"].get("field") == field, error
    assert isinstance(error["message"], str)
    assert error["message"]
    return error["message"]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
async def managed(tmp_path: Path, valkey_server: Embedded, store: Store) -> AsyncIterator[Managed]:
    """``store`` has emptied the server first."""
    async with vendor("acme") as acme:
        config = write_files(tmp_path / "config", acme.base_url)
        async with running(config, tmp_path / "data", valkey_server.url) as gateway:
            headers = bearer(ADMIN_KEY)
            async with (
                httpx.AsyncClient(base_url=gateway.url, headers=headers) as admin,
                httpx.AsyncClient(base_url=gateway.url) as anyone,
            ):
                yield Managed(gateway, admin, anyone)
