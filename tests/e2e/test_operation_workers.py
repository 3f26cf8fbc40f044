"""GATEWAY_WORKERS=2: clients see one gateway. Keys, health and metrics are shared; a dead worker is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from gateway.telemetry import FLUSH_INTERVAL_S
from simulator import SimulatedVendor
from tests.support.gateway import Sale, write_catalog
from tests.support.process import Process, scraped, served, workers
from tests.support.vendor import vendors

SALES = [
    Sale("t/a", "alpha", "ok+tokens=5"),
    Sale("t/limited", "alpha", "status=429+retry_after=60", prompt="0.001", completion="0.001"),
    Sale("t/limited", "beta", "ok+tokens=5", prompt="10", completion="10"),
]
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Process, SimulatedVendor]]:
    """Two workers; and the vendor alpha."""
    async with vendors("alpha", "beta") as (alpha, beta):
        urls = {"alpha": alpha.base_url, "beta": beta.base_url}
        config = write_catalog(tmp_path / "config", urls, SALES)
        async with served(config, tmp_path / "data", workers=2, hold_ttl_s=5, expire_interval_s=0.5) as process:
            await both(process)
            yield process, alpha


async def both(process: Process) -> list[int]:
    """The two workers, once both exist."""
    async with asyncio.timeout(40):
        while len(pids := workers(process.pid)) < 2:
            await asyncio.sleep(0.05)
    return pids


@asynccontextmanager
async def at(process: Process, pid: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose one connection this worker has accepted: the others are stopped meanwhile."""
    others = [worker for worker in workers(process.pid) if worker != pid]
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    async with httpx.AsyncClient(base_url=process.url, timeout=40, limits=limits) as client:
        try:
            for other in others:
                os.kill(other, signal.SIGSTOP)
            assert (await client.get("/healthz")).status_code == 200
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)
        yield client


async def chat(client: httpx.AsyncClient, key: str, model: str = "t/a") -> httpx.Response:
    """One request."""
    body = {"model": model, "messages": HELLO}
    return await client.post("/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


def total(metrics: dict[str, float], name: str, label: str = "") -> float:
    """The sum of a family's series that carry this label."""
    return sum(value for series, value in metrics.items() if series.partition("{")[0] == name and label in series)


async def test_metrics_are_those_of_all_workers(shop: tuple[Process, SimulatedVendor]) -> None:
    """Every worker serves, and counters add up exactly, whichever worker is scraped."""
    process, _ = shop
    key = await process.key()
    costs = []
    for pid, count in zip(await both(process), (8, 5), strict=True):
        async with at(process, pid) as client:
            for _ in range(count):
                answer = await chat(client, key)
                assert answer.status_code == 200, answer.text
                costs.append(answer.json()["usage"]["cost"])
    await asyncio.sleep(
        3 * FLUSH_INTERVAL_S
    )  # a worker publishes its counts in portions; a scrape of the other may lag by that much
    for pid in workers(process.pid):
        async with at(process, pid) as client:
            seen = scraped((await client.get("/metrics")).text)
            while total(scraped((await client.get("/metrics")).text), "tokenway_in_flight"):
                await asyncio.sleep(0.1)  # a worker publishes it when it shares health
        assert total(seen, "tokenway_requests_total", 'outcome="ok"') == 13
        assert total(seen, "tokenway_generations_total", 'model="t/a"') == 13
        assert total(seen, "tokenway_attempts_total", 'provider="alpha"') == 13
        assert total(seen, "tokenway_tokens_total", 'kind="completion"') == 13 * 5
        assert total(seen, "tokenway_request_seconds_count") == 13
        assert total(seen, "tokenway_ledger_seconds_count", 'call="settle"') == 13
        money = total(seen, "tokenway_provider_cost_usd_total") + total(seen, "tokenway_fee_usd_total")
        assert money == pytest.approx(sum(costs))


async def test_a_key_is_revoked_everywhere_at_once(shop: tuple[Process, SimulatedVendor]) -> None:
    """Each worker has used the key, so each has it in its memory; deleted at one of them it works at none."""
    process, _ = shop
    for way in ("DELETE", "PATCH"):
        key = await process.key()
        for pid in await both(process):
            async with at(process, pid) as client:
                assert (await chat(client, key)).status_code == 200
        path = f"/api/v1/keys/{sha256(key.encode()).hexdigest()}"
        changed = await process.admin(way, path, {"disabled": True} if way == "PATCH" else None)
        assert changed.status_code == 200, changed.text
        for pid in workers(process.pid):
            async with at(process, pid) as client:
                assert (await chat(client, key)).status_code == 401


@pytest.mark.tail
async def test_health_is_shared(shop: tuple[Process, SimulatedVendor]) -> None:
    """A Retry-After that one worker received keeps the other away from that endpoint, without asking it."""
    process, alpha = shop
    key = await process.key()
    first, second = await both(process)
    async with at(process, first) as client:
        answer = await chat(client, key, "t/limited")
        assert (answer.status_code, answer.json()["provider"]) == (200, "Beta")
    requests_before = len(alpha.log.requests)
    assert requests_before == 1
    async with asyncio.timeout(10):
        while True:
            async with at(process, second) as client:
                page = (await client.get("/api/v1/models/t/limited/endpoints")).json()["data"]["endpoints"]
                if next(row for row in page if row["provider_name"] == "Alpha")["status"] != 0:
                    break
            await asyncio.sleep(0.1)
    for pid in (first, second):
        async with at(process, pid) as client:
            assert (await chat(client, key, "t/limited")).status_code == 200
    assert len(alpha.log.requests) == requests_before


async def test_a_killed_worker_is_replaced(shop: tuple[Process, SimulatedVendor]) -> None:
    """kill -9 of one worker: the other goes on, a new one starts, no counter goes backwards, gauges drop the dead one."""
    process, _ = shop
    key = await process.key()
    first, second = await both(process)
    for pid in (first, second):
        async with at(process, pid) as client:
            assert (await chat(client, key)).status_code == 200
    before = await process.metrics()
    os.kill(first, signal.SIGKILL)
    async with httpx.AsyncClient(base_url=process.url, timeout=40) as client:
        assert (await chat(client, key)).status_code == 200
    async with asyncio.timeout(40):
        while first in (pids := await both(process)):
            await asyncio.sleep(0.05)
    assert second in pids
    os.kill(next(pid for pid in pids if pid != second), signal.SIGKILL)  # also while it starts
    async with asyncio.timeout(40):
        while set(again := await both(process)) & set(pids) != {second}:
            await asyncio.sleep(0.05)
    fresh = next(pid for pid in again if pid != second)
    async with at(process, fresh) as client:
        assert (await chat(client, key)).status_code == 200
    after = await process.metrics()
    lower = {
        series
        for series, value in before.items()
        if series.split("{")[0].endswith(("_total", "_count", "_bucket")) and after[series] < value
    }
    assert not lower
    assert total(after, "tokenway_generations_total") == total(before, "tokenway_generations_total") + 2
    assert total(after, "tokenway_in_flight") == 0
    await process.clean()
    assert await process.stop() == 0, process.output()
