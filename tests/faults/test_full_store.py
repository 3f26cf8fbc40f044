"""A store that may grow no further: nothing new is begun, what runs is charged and ends, overdue holds end, and it was seen coming."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.ledger.entries import Posting, generation_id
from gateway.store.memory import NEARLY_FULL_PERCENT, memory_of
from gateway.worker import _store_watch
from tests.support import wireshape
from tests.support.gateway import ADMIN_KEY, Sale, Stage, connected, events, staged
from tests.support.invariants import calm, one_ending, price
from tests.support.valkey import configured_valkey

SALE = Sale("t/a", "alpha", "ok+tokens=40+tps=60")
PROMPT_TOKENS = 9


class Warnings:
    """A log that keeps its warnings, whatever level is set."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def warning(self, event: str, **_: object) -> None:
        self.written.append(event)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway on a store of its own."""
    async with (
        configured_valkey(tmp_path / "store", "--appendonly", "yes") as url,
        staged(tmp_path / "gateway", url, SALE) as staged_gateway,
    ):
        yield staged_gateway


async def limited(stage: Stage, percent: int) -> None:
    """Make so much of the store's limit be in use."""
    memory = await memory_of(stage.gateway.services.store.mux)
    await stage.gateway.services.store.redis.config_set("maxmemory", memory.used * 100 // percent)


async def test_nothing_new_and_nothing_lost(stage: Stage) -> None:
    """While it is full: a stream that runs ends and is charged at once, a new request is refused before any vendor is asked, as are
    new keys, organisations and credit; a hold may grow and is kept by its heartbeat, one whose time is over ends. Afterwards the books
    balance.
    """
    caller, services = await stage.caller(), stage.gateway.services
    policy = await services.accounts.authenticate(caller.secret)
    kept, overdue = [await services.ledger.hold(generation_id(time.time()), policy, 1000, ttl) for ttl in (600, 0.01)]
    async with connected(stage.gateway) as line:
        await line.send(caller.request("t/a", stream=True))
        assert (await line.head())[0] == 200
        text = (await line.chunk()).decode()
        await limited(stage, 200)
        asked = len(stage.vendors["alpha"].log.requests)
        refused = await caller.chat("t/a")
        wireshape.refused(refused, 503, "ledger_unavailable")
        assert "memory is full" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) == 30
        management = {"authorization": f"Bearer {ADMIN_KEY}", "idempotency-key": "x"}
        orgs = "/api/v1/admin/organizations"
        for path, body in (
            ("/api/v1/keys", {"name": "k"}),
            (orgs, {"name": "o"}),
            (f"{orgs}/{caller.org}/credits", {"amount_usd": "1", "reason": "r"}),
        ):
            response = await stage.gateway.client.post(path, json=body, headers=management)
            assert (response.status_code, response.headers["retry-after"]) == (503, "30")
        assert await services.ledger.beat(kept, Posting("alpha", 1, 0, 1), 600)
        kept = await services.ledger.extend(kept, 500)
        assert await services.ledger.expire() == 1
        while data := await line.chunk():
            text += data.decode()
    one_ending(events(text))
    await stage.gateway.settled()
    assert len(stage.vendors["alpha"].log.requests) == asked
    assert [entry.user_nano for entry in await caller.lines() if entry.type == "settled"] == [
        price(SALE, PROMPT_TOKENS, 40).total
    ]
    assert services.telemetry.settle_retries._value.get() == 0
    assert not await services.ledger.beat(overdue, Posting("alpha", 1, 0, 1), 600)
    await services.ledger.void(kept)
    await services.store.redis.config_set("maxmemory", "0")
    assert (await caller.chat("t/a")).status_code == 200
    await calm(stage)


@pytest.mark.parametrize(
    ("percent", "ready", "warned"),
    [(NEARLY_FULL_PERCENT - 10, 200, False), (NEARLY_FULL_PERCENT + 5, 200, True), (150, 503, True)],
)
async def test_it_is_seen_coming(stage: Stage, percent: int, ready: int, warned: bool) -> None:
    """From 80 % on ``/readyz`` and one line of the log warn; the metrics say how much there is; a full store is not ready."""
    services = stage.gateway.services
    await limited(stage, percent)
    answer = await stage.gateway.client.get("/readyz")
    assert answer.status_code == ready
    said = " ".join([*answer.json().get("warnings", []), *answer.json().get("reasons", [])])
    assert ("full" in said or "OOM" in said) == warned
    watch = _store_watch(services.store, services.telemetry)
    services.telemetry.log = log = Warnings()
    await watch()
    await watch()
    assert log.written == ["the store's memory is nearly full"] * warned
    memory = await memory_of(services.store.mux)
    assert services.telemetry.store_limit._value.get() == memory.limit > 0
    assert services.telemetry.store_memory._value.get() > 0
    await services.store.redis.config_set("maxmemory", "0")
    assert not (await memory_of(services.store.mux)).nearly_full


async def test_a_gateway_starts(tmp_path: Path) -> None:
    """A gateway that is restarted while the store is full starts, says that it is not ready, and its books can be audited: only a
    running gateway closes books, which gives memory back.
    """
    async with configured_valkey(tmp_path / "store", "--appendonly", "yes") as url:
        async with staged(tmp_path / "before", url, SALE) as before:
            await limited(before, 200)
        async with staged(tmp_path / "after", url, SALE) as after:
            ready = await after.gateway.client.get("/readyz")
            assert (ready.status_code, (await after.gateway.client.get("/healthz")).status_code) == (503, 200)
            command = (sys.executable, "-m", "gateway.cli", "reconcile", "--json")
            environment = {**os.environ, "GATEWAY_REDIS_URL": url, "GATEWAY_DATA_DIR": str(tmp_path / "none")}
            audit = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
            printed, _ = await audit.communicate()
            assert audit.returncode == 0
            assert msgspec.json.decode(printed)["clean"] is True


@pytest.mark.parametrize("command", ["serve", "worker", "reconcile"])
async def test_no_room_for_the_functions(tmp_path: Path, command: str) -> None:
    """A full store that has not got the functions of this version: one line says what to change."""
    async with configured_valkey(tmp_path / "store", "--maxmemory", "100kb") as url:
        environment = {
            **os.environ,
            "GATEWAY_REDIS_URL": url,
            "GATEWAY_DATA_DIR": str(tmp_path / "none"),
            "GATEWAY_PORT": "0",
        }
        words = (sys.executable, "-m", "gateway.cli", command)
        process = await asyncio.create_subprocess_exec(*words, env=environment, stderr=asyncio.subprocess.PIPE)
        _, printed = await process.communicate()
        assert process.returncode == 2
        assert printed.decode().startswith("tokenway: the store's memory is full")
        assert printed.count(b"\n") == 1
