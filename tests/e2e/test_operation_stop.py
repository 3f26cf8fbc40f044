"""Stopping under load: readiness off at once, running responses finish or end with an error event, everything settled, exit code 0."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from gateway.store.embedded import Embedded
from simulator import SimulatedVendor
from tests.support.gateway import Sale, events, write_catalog
from tests.support.process import Process, served
from tests.support.vendor import text_of

SALES = [
    Sale("t/quick", "alpha", "ok+tokens=5"),
    Sale("t/second", "alpha", "ok+tokens=20+tps=20"),
    Sale("t/endless", "alpha", "endless+tps=20"),
    Sale("t/mute", "alpha", "stall@0"),
]
GRACE_S = 5.0
"""Two of these seconds are reserved for error events: a response that takes a second finishes, an endless one does not."""


@dataclass
class Outcome:
    """What one client received."""

    model: str
    status: int = 0
    retry_after: str | None = None
    text: str = ""
    id: str = ""
    ended: bool = False


async def ask(process: Process, key: str, model: str, *, stream: bool) -> Outcome:
    """One request on a connection of its own, to its end."""
    outcome = Outcome(model)
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(base_url=process.url, timeout=60) as client:
        request = client.build_request(
            "POST", "/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
        )
        answer = await client.send(request, stream=True)
        outcome.status, outcome.retry_after = answer.status_code, answer.headers.get("retry-after")
        outcome.id = answer.headers["x-generation-id"]
        async for text in answer.aiter_text():
            outcome.text += text
        outcome.ended = True
    return outcome


def paid(outcome: Outcome) -> Decimal:
    """The cost that the response states."""
    if outcome.text.startswith("data: ") or outcome.text.startswith(":"):
        costs = [event["usage"]["cost"] for event in events(outcome.text) if event != "[DONE]" and "usage" in event]
        return Decimal(str(costs[-1])) if costs else Decimal(0)
    answer = httpx.Response(200, text=outcome.text).json()
    return Decimal(str(answer["usage"]["cost"])) if "usage" in answer else Decimal(0)


async def under_load(process: Process, vendor: SimulatedVendor, key: str) -> list[asyncio.Task[Outcome]]:
    """JSON and streams, short and endless, all of them running."""
    requests = (
        [("t/second", True)] * 6 + [("t/second", False)] * 4 + [("t/endless", True)] * 3 + [("t/mute", False)] * 2
    )
    before = len(vendor.log.requests)
    callers = [asyncio.create_task(ask(process, key, model, stream=stream)) for model, stream in requests]
    async with asyncio.timeout(30):
        while len(vendor.log.requests) < before + len(requests):
            await asyncio.sleep(0.01)
    return callers


async def unready(process: Process) -> None:
    """Within a second or two new connections are refused at once; none waits in a backlog."""
    deadline = time.monotonic() + 10
    while True:
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                answer = await client.get(process.url + "/readyz")
        except (httpx.ReadError, httpx.RemoteProtocolError):
            continue  # connected while the socket was being closed
        except httpx.ConnectError:
            return
        if answer.status_code == 503:
            assert "draining" in str(answer.json()["reasons"])
        assert time.monotonic() < deadline, "still accepting"
        await asyncio.sleep(0.02)


def finished(answers: list[Outcome]) -> None:
    """Short answers are whole; endless ones end with an error event, a finish reason and [DONE]; mute ones with 503."""
    assert all(outcome.ended for outcome in answers)
    for outcome in answers:
        if outcome.model == "t/mute":
            assert (outcome.status, outcome.retry_after) == (503, "1"), outcome
        elif outcome.text.startswith("{"):
            assert outcome.status == 200, outcome
            assert '"finish_reason":"stop"' in outcome.text
        else:
            whole = events(outcome.text)
            assert whole[-1] == "[DONE]", outcome
            if outcome.model == "t/second":
                assert text_of(whole), outcome
                assert whole[-3]["choices"][0]["finish_reason"] == "stop", outcome
                assert whole[-2]["usage"]["completion_tokens"] == 20
            else:
                assert whole[-2]["error"]["code"] == 503, outcome
                assert whole[-2]["choices"][0]["finish_reason"] == "error"


@asynccontextmanager
async def shop(
    tmp_path: Path, *, workers: int, given: bool, grace_s: float = GRACE_S
) -> AsyncIterator[tuple[Process, SimulatedVendor]]:
    """A gateway with one vendor, on an embedded Valkey or on a given one."""
    async with AsyncExitStack() as stack:
        vendor = await SimulatedVendor("alpha").start()
        stack.push_async_callback(vendor.stop)
        redis_url = None
        if given:
            valkey = Embedded(tmp_path / "valkey")
            valkey.start()
            stack.callback(valkey.stop)
            redis_url = valkey.url
        config = write_catalog(tmp_path / "config", {"alpha": vendor.base_url}, SALES)
        process = await stack.enter_async_context(
            served(config, tmp_path / "data", redis_url=redis_url, workers=workers, shutdown_grace_s=grace_s)
        )
        yield process, vendor


@pytest.mark.parametrize(
    ("signals", "workers", "given"),
    [
        ([signal.SIGTERM], 1, False),
        pytest.param([signal.SIGINT], 2, False, marks=pytest.mark.tail),
        pytest.param([signal.SIGTERM, signal.SIGTERM], 1, True, marks=pytest.mark.soak),
        pytest.param([signal.SIGTERM, signal.SIGTERM], 2, True, marks=pytest.mark.tail),
    ],
    ids=["term-1-embedded", "ctrl-c-2-embedded", "twice-1-given", "twice-2-given"],
)
async def test_stop_under_load(tmp_path: Path, signals: list[signal.Signals], workers: int, given: bool) -> None:
    """SIGTERM, Ctrl-C or an impatient supervisor: no client is cut off, everything is settled, exit 0, the next start finds it."""
    async with shop(tmp_path, workers=workers, given=given) as (process, vendor):
        key = await process.key("100")
        callers = await under_load(process, vendor, key)
        for number in signals:
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # a terminal sends it to everyone
            else:
                process.process.send_signal(number)  # type: ignore[union-attr]
        await unready(process)
        assert not all(caller.done() for caller in callers)
        answers = await asyncio.gather(*callers)
        assert await process.wait() == 0, process.output()
        finished(answers)
        assert "Traceback" not in process.output(), process.output()
        await process.start()
        await process.clean()
        lines = [line for line in await process.ledger() if line["type"] != "grant"]
        booked = {str(line["generation_id"]): Decimal(str(line["paid_usd"])) for line in lines}
        assert len(booked) == len(lines)
        assert {outcome.id for outcome in answers if outcome.model != "t/mute"} <= set(booked)
        assert all(booked[outcome.id] == price for outcome in answers if (price := paid(outcome)))
        balances = await process.balances()
        assert Decimal(str(balances["total_usage_usd"])) == sum(booked.values())
        assert Decimal(str(balances["balance_usd"])) == 100 - sum(booked.values())
        assert await process.stop() == 0


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.tail)])
async def test_second_ctrl_c(tmp_path: Path, workers: int) -> None:
    """A second Ctrl-C ends the grace, but every client still gets an error event and every response is settled; exit 0."""
    async with shop(tmp_path, workers=workers, given=False, grace_s=300) as (process, vendor):
        key = await process.key("100")
        callers = [asyncio.create_task(ask(process, key, "t/endless", stream=True)) for _ in range(4)]
        async with asyncio.timeout(30):
            while sum(entry.sent_tokens > 2 for entry in vendor.log.requests) < len(callers):
                await asyncio.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        await unready(process)
        os.killpg(process.pid, signal.SIGINT)
        answers = await asyncio.gather(*callers)
        assert await process.wait() == 0, process.output()
        finished(answers)
        assert "Traceback" not in process.output(), process.output()
        await process.start()
        await process.clean()
        assert len([line for line in await process.ledger() if line["type"] == "settled"]) == len(callers)
        assert await process.stop() == 0
