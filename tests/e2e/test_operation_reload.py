"""The catalogue while the gateway runs: a valid change is in force within seconds, an invalid one is refused and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from simulator import SimulatedVendor
from tests.support.gateway import Sale, events, write_catalog
from tests.support.process import Process, served
from tests.support.vendor import vendor

OLD = Sale("t/a", "alpha", "ok+tokens=10", prompt="1", completion="1")
SLOW = Sale("t/slow", "alpha", "endless+tps=20")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Process, SimulatedVendor, Path]]:
    """A gateway that looks at its catalogue often."""
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, [OLD, SLOW])
        async with served(config, tmp_path / "data", catalog_reload_interval_s=0.1) as process:
            yield process, alpha, config


async def chat(process: Process, key: str, model: str = "t/a") -> httpx.Response:
    """One request."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        return await client.post("/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Fails when it does not become true."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


def replace(file: Path, text: str) -> None:
    """As an editor or a deployment does it: in one step."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


async def cost(process: Process, key: str) -> float:
    """What the same request costs now."""
    answer = await chat(process, key)
    assert answer.status_code == 200, answer.text
    price: float = answer.json()["usage"]["cost"]
    return price


async def reloads(process: Process, result: str) -> float:
    return (await process.metrics()).get(f'tokenway_catalog_reloads_total{{result="{result}"}}', 0.0)


async def test_reload(shop: tuple[Process, SimulatedVendor, Path]) -> None:
    """New prices and models come into force, broken files do not; a running stream goes on at its own price throughout."""
    process, _, config = shop
    key = await process.key()
    first = await cost(process, key)
    body: dict[str, Any] = {"model": "t/slow", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    body["max_tokens"] = 400
    async with (
        httpx.AsyncClient(base_url=process.url, timeout=60) as client,
        client.stream(
            "POST", "/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
        ) as running,
    ):
        text = running.aiter_text()
        received = await anext(text)

        prices = config / "prices" / "alpha.yaml"
        rows = yaml.safe_load(prices.read_text())
        for row in rows:
            row["usd_per_mtok"] = {"prompt": "3", "completion": "3"}
        good = yaml.safe_dump(rows)
        replace(prices, good)

        async def price_changed() -> bool:
            return await cost(process, key) == pytest.approx(3 * first)

        await until(price_changed)
        assert await reloads(process, "ok") == 1

        replace(prices, good.replace("completion: '3'", "completion: cheap"))

        async def refused() -> bool:
            return await reloads(process, "refused") == 1

        await until(refused)
        assert await cost(process, key) == pytest.approx(3 * first)
        refusal = next(line for line in process.lines() if line["event"].startswith("catalogue refused"))
        assert refusal["level"] == "error"
        assert "prices/alpha.yaml" in refusal["error"]
        assert "completion" in refusal["error"]

        models = config / "models" / "t.yaml"
        more = yaml.safe_load(models.read_text())
        more.append({**more[0], "slug": "t/new", "name": "New"})
        replace(models, yaml.safe_dump(more))
        assert (await chat(process, key, "t/new")).status_code == 400
        replace(prices, good)

        async def known() -> bool:
            return (await chat(process, key, "t/new")).status_code == 200

        await until(known)
        before = await reloads(process, "refused")
        replace(prices, "- [")

        async def refused_again() -> bool:
            return await reloads(process, "refused") > before

        await until(refused_again)
        replace(prices, good)

        async def sound_again() -> bool:
            return any(line["event"] == "catalogue sound again, unchanged" for line in process.lines())

        await until(sound_again)
        listed = (await client.get("/api/v1/models")).json()["data"]
        assert "t/new" in {model["id"] for model in listed}
        received += await anext(text)
    stream_events = events(received)
    assert not any("error" in event for event in stream_events)

    async def settled() -> bool:
        return "caller_left" in process.log.read_text()

    await until(settled)
    line = next(line for line in process.lines() if line.get("outcome") == "caller_left")
    assert line["cost_nano"] == pytest.approx((line["tokens"]["prompt"] + 2 * line["tokens"]["completion"]) * 1000)
    await process.clean()
