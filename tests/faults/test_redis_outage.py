"""The ledger's store stops, hangs and comes back: no valid key is refused as wrong, no caller waits long, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from gateway.analytics import tables
from gateway.analytics.buckets import today
from gateway.analytics.consumer import Consumer
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import ADMIN_KEY, Caller, Sale, Stage, connected, events
from tests.support.invariants import calm, charged, content, one_ending, our_tasks, price
from tests.support.vendor import until

GatewayFactory = Callable[..., Any]
PROMPT_TOKENS = 9
REFUSED_S = 1.0
"""Generous; the goal is 300 ms, and the slowest refusal is printed."""
WAYS = pytest.mark.parametrize("way", ["stopped", "hanging"])


class Valkey:
    """A server of the test's own, to be stopped and stalled."""

    def __init__(self, directory: Path) -> None:
        self.server = Embedded(directory)
        self.server.start()
        self.url = self.server.url

    @asynccontextmanager
    async def away(self, way: str) -> AsyncIterator[None]:
        """Not there (connection refused), there and silent (SIGSTOP), or without memory for writes, until the block ends."""
        if way == "stopped":
            await asyncio.to_thread(self.server.stop)
            yield
            await asyncio.to_thread(self.server.start)
            assert self.server.url == self.url
            return
        if way == "full":
            with redis.Redis.from_url(self.url) as client:
                client.config_set("maxmemory", "1mb")
                yield
                client.config_set("maxmemory", "0")
            return
        process = self.server._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)


@pytest.fixture
def own() -> Iterator[Valkey]:
    """In a short path, so that the socket stays where it is."""
    directory = Path(tempfile.mkdtemp(prefix="tw-own-"))
    valkey = Valkey(directory)
    try:
        yield valkey
    finally:
        valkey.server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def refusal(call: Any) -> tuple[httpx.Response, float]:
    """An answer and how long it took."""
    began = time.perf_counter()
    return await call, time.perf_counter() - began


async def begun(stage: Stage, caller: Caller, model: str, count: int) -> list[asyncio.Task[str]]:
    """So many streams that have shown their first token; each task ends with the whole text received."""
    showing = 0

    async def one() -> str:
        nonlocal showing
        async with connected(stage.gateway) as line:
            await line.send(caller.request(model, stream=True))
            assert (await line.head())[0] == 200
            text = (await line.chunk()).decode()
            showing += 1
            while data := await line.chunk():
                text += data.decode()
            return text

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await until(lambda: showing == count)
    return tasks


@WAYS
async def test_refused_quickly_and_never_as_unauthorised(gateway: GatewayFactory, own: Valkey, way: str) -> None:
    """503 with Retry-After and its own error type, for keys the process knows and keys it does not, JSON and SSE; then all is well."""
    stage = await gateway(Sale("t/a", "alpha"), redis_url=own.url, ledger_timeout_s=0.25)
    tasks = our_tasks()
    caller, unknown = await stage.caller(), await stage.caller()
    assert (await caller.chat("t/a")).status_code == 200
    sim = stage.vendors["alpha"]
    slowest_s = 0.0
    async with own.away(way):
        for number in range(12):
            who = (caller, unknown)[number % 2]
            response, took_s = await refusal(who.chat("t/a", stream=number % 3 == 0))
            slowest_s = max(slowest_s, took_s)
            wireshape.refused(response, 503, "ledger_unavailable")
            assert int(response.headers["retry-after"]) >= 1
        together = await asyncio.gather(*(refusal(caller.chat("t/a")) for _ in range(50)))
        slowest_s = max(slowest_s, *(took_s for _, took_s in together))
        assert {response.status_code for response, _ in together} == {503}
        assert slowest_s < REFUSED_S
        response, _ = await refusal(stage.gateway.client.get("/api/v1/key", headers=caller.headers))
        assert response.status_code == 503
        management = {"authorization": f"Bearer {ADMIN_KEY}"}
        response, _ = await refusal(stage.gateway.client.get("/api/v1/keys", headers=management))
        assert response.status_code == 503
    print(f"\nredis {way}: slowest of 62 refusals {slowest_s * 1000:.0f} ms")
    assert len(sim.log.requests) == 1
    began = time.monotonic()
    while (await caller.chat("t/a")).status_code != 200:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    print(f"redis {way}: served again {time.monotonic() - began:.2f} s after it was back")
    assert (await unknown.chat("t/a")).status_code == 200
    await calm(stage, tasks)
    assert len(await caller.lines()) == 2
    assert (await caller.balances()).held_nano == 0


@pytest.mark.parametrize("way", ["stopped", "hanging", "full"])
async def test_running_streams_finish_and_are_settled_later(gateway: GatewayFactory, own: Valkey, way: str) -> None:
    """Streams that run when the store goes away end properly, with their cost; the settlements arrive when it is back, once each, and
    analytics counts each of them once, or as lost where its queue was too short."""
    sale = Sale("t/a", "alpha", "ok+tokens=40+tps=60")
    stage = await gateway(sale, redis_url=own.url, ledger_timeout_s=0.25)
    tasks = our_tasks()
    caller, services = await stage.caller(), stage.gateway.services
    assert services.analytics is not None
    services.analytics._queue_max = 15
    streams = await begun(stage, caller, "t/a", 20)
    async with own.away(way):
        texts = await asyncio.gather(*streams)
        await until(lambda: services.analytics.waiting)
    bill = price(sale, PROMPT_TOKENS, 40)
    for text in texts:
        found = events(text)
        one_ending(found)
        assert len(content(found)) == 160
        assert found[-2]["usage"]["cost"] * 10**9 == pytest.approx(bill.total)
    await calm(stage, tasks)
    lines = await caller.lines()
    assert [line.user_nano for line in lines] == [bill.total] * 20
    assert len({line.generation_id for line in lines}) == 20
    for line in lines:
        assert (await caller.record(line.generation_id)).outcome == "complete"
    await services.analytics.flush()
    await Consumer(services.store, "worker").step()
    days = await tables.read(services.store, "de", [today(time.time() - 60), today(time.time())], ("rq",))
    counted = max(sum(requests for (requests,) in day.values()) for day in days)
    assert counted + services.telemetry.analytics_lost._value.get() == 20
    assert counted >= 15


@WAYS
async def test_a_json_answer_leaves_before_its_settlement(gateway: GatewayFactory, own: Valkey, way: str) -> None:
    """A whole answer is not withheld because the ledger is silent: it leaves after the time-out and is settled later."""
    sale = Sale("t/a", "alpha", "ok+ttft=400")
    stage = await gateway(sale, redis_url=own.url, ledger_timeout_s=0.25)
    tasks = our_tasks()
    caller = await stage.caller()
    asking = asyncio.create_task(caller.chat("t/a"))
    await until(lambda: stage.vendors["alpha"].log.in_flight)
    async with own.away(way):
        body = wireshape.answer(await asking)
    assert body["usage"]["cost"] * 10**9 == pytest.approx(price(sale, PROMPT_TOKENS, 16).total)
    await calm(stage, tasks)
    settled, _ = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 16).total


async def test_a_hold_whose_reply_was_lost_is_given_back(gateway: GatewayFactory, own: Valkey) -> None:
    """When the stalled store makes the hold of a refused caller after all, the credit is given back."""
    stage = await gateway(Sale("t/a", "alpha"), redis_url=own.url, ledger_timeout_s=0.25)
    caller = await stage.caller()
    assert (await caller.chat("t/a")).status_code == 200
    async with own.away("hanging"):
        answers = await asyncio.gather(*(caller.chat("t/a", max_tokens=100) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {503}
    await calm(stage)
    assert (await caller.balances()).held_nano == 0
    assert len(await caller.lines()) == 1


async def test_disconnects_during_an_outage_are_settled(gateway: GatewayFactory, own: Valkey) -> None:
    """The settlement of a caller that has disconnected waits for the store like any other."""
    sale = Sale("t/a", "alpha", "ok+tokens=1000+tps=40")
    stage = await gateway(sale, redis_url=own.url, ledger_timeout_s=0.25)
    tasks = our_tasks()
    caller = await stage.caller()
    streams = await begun(stage, caller, "t/a", 10)
    async with own.away("stopped"):
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        await until(lambda: stage.vendors["alpha"].log.in_flight == 0)
    await calm(stage, tasks)
    lines = await caller.lines()
    assert len(lines) == 10
    assert all(0 < line.user_nano <= price(sale, PROMPT_TOKENS, 400).total for line in lines)


async def test_killed_under_load(gateway: GatewayFactory, own: Valkey) -> None:
    """The store is killed with SIGKILL again and again while 200 requests run; each answered request is charged once, no other."""
    sale = Sale("t/a", "alpha", "ok+tokens=8+tps=100")
    stage = await gateway(sale, redis_url=own.url, ledger_timeout_s=0.25)
    tasks = our_tasks()
    caller = await stage.caller()
    answered: set[str] = set()

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.01)
        response = await caller.chat("t/a", stream=number % 2 == 0)
        assert response.status_code in (200, 503), response.text
        if response.status_code == 200:
            answered.add(response.headers["x-generation-id"])

    async def killer() -> None:
        for _ in range(4):
            await asyncio.sleep(0.4)
            process = own.server._process
            assert process is not None
            process.kill()

    await asyncio.gather(killer(), *(one(number) for number in range(200)))
    await calm(stage, tasks)
    lines = await caller.lines()
    settled = {line.generation_id for line in lines if line.user_nano}
    assert len(settled) == len([line for line in lines if line.user_nano])
    assert answered <= settled
    assert {line.user_nano for line in lines if line.user_nano} == {price(sale, PROMPT_TOKENS, 8).total}
    print(f"\nkilled 4 times under 200 requests: answered {len(answered)}, charged {len(settled)}")
    assert settled == answered
    assert len(answered) > 10
