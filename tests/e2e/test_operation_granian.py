"""GATEWAY_SERVER=granian: the same gateway behind the other HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator import SimulatedVendor
from tests.support.gateway import Sale, events, write_catalog
from tests.support.process import Process, served
from tests.support.vendor import text_of, until, vendor

pytestmark = pytest.mark.tail  # the server that is not the default
SALES = [
    Sale("t/quick", "alpha", "ok+tokens=5"),
    Sale("t/second", "alpha", "ok+tokens=20+tps=20"),
    Sale("t/endless", "alpha", "endless+tps=20"),
    Sale("t/mute", "alpha", "stall@0"),
]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Process, SimulatedVendor]]:
    """Two workers behind granian."""
    pytest.importorskip("granian", reason="granian is not installed")
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, SALES)
        async with served(config, tmp_path / "data", server="granian", workers=2, shutdown_grace_s=4) as process:
            yield process, alpha


def request(key: str, model: str, *, stream: bool) -> dict[str, Any]:
    """The arguments of one request."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    return {"json": body, "headers": {"authorization": f"Bearer {key}"}}


async def test_serves_and_notices_disconnects(shop: tuple[Process, SimulatedVendor]) -> None:
    """JSON, streams event by event, a client that disconnects closes the upstream, refusals keep their shape, metrics add up."""
    process, alpha = shop
    key = await process.key()
    path = "/api/v1/chat/completions"
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        for _ in range(6):
            answer = await client.post(path, **request(key, "t/quick", stream=False))
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["completion_tokens"] == 5
        async with client.stream("POST", path, **request(key, "t/second", stream=True)) as streamed:
            pieces = [piece async for piece in streamed.aiter_text()]
        streamed_events = events("".join(pieces))
        assert len(pieces) > 10
        assert streamed_events[-1] == "[DONE]"
        assert len(text_of(streamed_events).split()) == 20
        assert (await client.post(path, **request("wrong", "t/quick", stream=False))).status_code == 401
        async with client.stream("POST", path, **request(key, "t/endless", stream=True)) as disconnecting:
            await anext(disconnecting.aiter_text())
        silent = asyncio.create_task(client.post(path, **request(key, "t/mute", stream=True)))
        await until(lambda: any(entry.model == "stall@0" for entry in alpha.log.requests))
        silent.cancel()
        await asyncio.wait([silent])
    await until(lambda: sum(entry.client_closed_early for entry in alpha.log.requests) == 2)
    seen = await process.metrics()
    assert seen['tokenway_generations_total{model="t/quick",outcome="complete"}'] == 6
    await until(lambda: process.log.read_text().count("caller_left") == 2)
    await process.clean()
    assert await process.stop() == 0, process.output()
    assert len([line for line in process.lines() if line["event"] == "generation"]) == 9


async def test_stops_under_load(shop: tuple[Process, SimulatedVendor]) -> None:
    """SIGTERM: short answers are whole, endless ones end with an error event, everything is settled, exit 0."""
    process, alpha = shop
    key = await process.key()

    async def send(model: str, stream: bool) -> tuple[str, int, str]:
        async with httpx.AsyncClient(base_url=process.url, timeout=60) as client:
            answer = await client.post("/api/v1/chat/completions", **request(key, model, stream=stream))
            return model, answer.status_code, answer.text

    requests = [("t/second", True)] * 4 + [("t/second", False)] * 2 + [("t/endless", True)] * 2 + [("t/mute", False)]
    callers = [asyncio.create_task(send(*each)) for each in requests]
    await until(lambda: len(alpha.log.requests) == len(requests))
    code = await process.stop()
    for model, status, text in await asyncio.gather(*callers):
        assert status == (503 if model == "t/mute" else 200), text
        if model == "t/endless":
            assert events(text)[-2]["choices"][0]["finish_reason"] == "error"
        if text.startswith("data: "):
            assert events(text)[-1] == "[DONE]"
        elif status == 200:
            assert '"finish_reason":"stop"' in text
    assert code == 0, process.output()
    await process.start()
    await process.clean()
    assert await process.stop() == 0
