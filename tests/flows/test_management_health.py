"""Liveness, readiness, unknown paths, and what management answers while Redis is out of reach: 503, never 401."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from gateway.api.management.schema.base import ErrorAnswer
from gateway.store.embedded import Embedded
from tests.support.gateway import ADMIN_KEY, running
from tests.support.management import Managed, bearer, refused, write_files
from tests.support.valkey import configured_valkey


async def test_ready(managed: Managed) -> None:
    """A running gateway is alive and ready; while draining it is alive and says why it is not ready."""
    assert (await managed.anyone.get("/healthz")).json() == {"status": "ok"}
    ready = await managed.anyone.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    managed.gateway.in_flight.draining = True
    try:
        draining = await managed.anyone.get("/readyz")
        assert draining.status_code == 503
        assert int(draining.headers["retry-after"]) >= 1
        assert any("draining" in reason for reason in draining.json()["reasons"])
        assert (await managed.anyone.get("/healthz")).status_code == 200
    finally:
        managed.gateway.in_flight.draining = False


@pytest.mark.parametrize(
    ("configure", "code"),
    [
        ({"maxmemory": "1mb"}, "OOM"),
        ({"min-replicas-to-write": "1"}, "NOREPLICAS"),
    ],
)
async def test_not_ready_while_every_request_would_fail(tmp_path: Path, configure: dict[str, str], code: str) -> None:
    """A Redis that answers but takes no writes: not ready, with its own code, and ready again as soon as it writes."""
    async with (
        configured_valkey(tmp_path / "redis") as url,
        running(write_files(tmp_path / "config", "http://127.0.0.1:1/v1"), tmp_path / "data", url) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        redis = gateway.services.store.redis
        before = {name: (await redis.config_get(name))[name] for name in configure}
        for values, status in ((configure, 503), (before, 200)):
            for name, value in values.items():
                await redis.config_set(name, value)
            answer = await client.get("/readyz")
            assert answer.status_code == status, answer.text
            assert (code in answer.text) == (status == 503)


async def test_unknown_paths_and_methods(managed: Managed) -> None:
    """404 and 405 have the one error shape, whatever the path looks like."""
    for path in (
        "/nothing",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/models",
        "/%00",
        "/" + "x" * 10_000,
        "/api/v1/keys/",
    ):
        ErrorAnswer.model_validate_json((await managed.anyone.get(path, follow_redirects=True)).text)
    refused(await managed.anyone.get("/api/v1/nothing"), 404)
    wrong = await managed.anyone.put("/api/v1/models")
    refused(wrong, 405)
    assert "GET" in wrong.headers["allow"]


async def test_every_operation_of_the_page_is_described(managed: Managed) -> None:
    """The OpenAPI page: every operation has a summary, a tag, a unique id and the error shape; aliases are left out."""
    page = (await managed.anyone.get("/openapi.json")).json()
    operations = [(path, op) for path, methods in page["paths"].items() for op in methods.values()]
    ids = [op["operationId"] for _, op in operations]
    assert len(ids) == len(set(ids))
    for path, operation in operations:
        assert operation["summary"], path
        assert operation["tags"], path
        assert not path.startswith("/v1/")
        if path.startswith("/api/v1/"):
            assert any(status.startswith("4") for status in operation["responses"]), path
            assert "422" not in operation["responses"] or operation["tags"] == ["inference"], path


@pytest.fixture
async def cut_off(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str, Callable[[], None]]]:
    """A gateway with a Valkey of its own: (client, an inference key, what stops that Valkey answering)."""
    own = Embedded(tmp_path / "valkey")
    await asyncio.to_thread(own.start)
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    stopped: list[int] = []

    def freeze() -> None:
        assert own.pid is not None
        os.kill(own.pid, signal.SIGSTOP)
        stopped.append(own.pid)

    try:
        async with running(config, tmp_path / "data", own.url) as gateway:
            yield gateway.client, await gateway.key("1"), freeze
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            stopped.clear()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(own.stop)


async def test_without_redis_no_key_is_called_wrong(
    cut_off: tuple[httpx.AsyncClient, str, Callable[[], None]],
) -> None:
    """Redis frozen: 503 with Retry-After for right and wrong keys alike, readiness off with the reason, the catalogue is still served."""
    client, key, freeze = cut_off
    freeze()
    paths = ["/api/v1/key", "/api/v1/credits", "/api/v1/generation?id=gen-1700000000-abcdefghij0123456789"]
    managed = ["/api/v1/keys", "/api/v1/admin/organizations", "/api/v1/admin/holds", "/api/v1/admin/audit"]
    wrong = "sk-tw-v1-0000aaaa-" + "x" * 43
    for secret, requested in (
        (key, paths),
        (wrong, paths),
        (wrong, managed),
        (ADMIN_KEY, [*managed, "/api/v1/credits"]),
    ):
        for path in requested:
            response = await client.get(path, headers=bearer(secret))
            refused(response, 503)
            assert int(response.headers["retry-after"]) >= 1
    assert (await client.get("/api/v1/models")).status_code == 200
    assert (await client.get("/api/v1/models/acme/fast-1/endpoints", headers=bearer(key))).status_code == 200
    assert (await client.get("/healthz")).status_code == 200
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert any("redis" in reason for reason in ready.json()["reasons"])
