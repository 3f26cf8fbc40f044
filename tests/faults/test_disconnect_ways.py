"""One caller that disconnects, in every way and at every moment: the vendor's connection is closed, and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.gateway import Caller, Sale, Stage, connected, events
from tests.support.invariants import calm, charged, content, our_tasks, price
from tests.support.vendor import Line, until

GatewayFactory = Callable[..., Any]
PROMPT_TOKENS = 9
LARGE = "after a large question"
"""Larger than what the server reads without a pause: it has to go on reading to notice the disconnect."""
CLOSED_S = 2.0
"""Generous; the goal is 100 ms, and the slowest is printed."""
on_each_server = pytest.mark.parametrize("asgi", [False, True], ids=["direct", "asgi"])


async def leave(line: Line, how: str) -> float:
    """Hang up; the time at which it was done."""
    sock = line.writer.get_extra_info("socket")
    if how == "half":
        line.writer.write_eof()
    else:
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.writer.transport.abort()
    return time.monotonic()


async def at(stage: Stage, caller: Caller, line: Line, moment: str) -> None:
    """Bring the request to the moment at which its caller disconnects."""
    sim = stage.vendors["alpha"]
    model = "t/waits" if moment in ("before the first content", LARGE) else "t/talks"
    text = "much " * 20_000 if moment == LARGE else "hello"
    head, gap, body = caller.request(model, text, stream=True).partition(b"\r\n\r\n")
    await line.send(head + gap)
    await asyncio.sleep(0.02 if moment == LARGE else 0)  # so that the surface already waits for the body
    await line.send(body)
    if moment == "in the middle":
        await line.head()
        text = ""
        while len(content(events(text))) < 20:
            text += (await line.chunk()).decode()
        return
    await until(lambda: sim.log.in_flight)


@pytest.mark.parametrize("moment", ["before the first content", "in the middle", LARGE])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
@on_each_server
async def test_the_vendor_is_closed_at_once(gateway: GatewayFactory, asgi: bool, how: str, moment: str) -> None:
    """Close, reset and a closed sending half all mean that the caller has disconnected."""
    sales = (Sale("t/talks", "alpha", "ok+tokens=2000+tps=100"), Sale("t/waits", "alpha", "ok+ttft=20000"))
    stage = await gateway(*sales, keepalive_s=0.05, asgi=asgi)
    tasks = our_tasks()
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    slowest_s = 0.0
    for _ in range(3):
        sim.log.reset()
        async with connected(stage.gateway) as line:
            await at(stage, caller, line, moment)
            left = await leave(line, how)
            await until(lambda: sim.log.in_flight == 0)
        (entry,) = sim.log.requests
        assert entry.client_closed_early
        assert entry.ended_at is not None
        slowest_s = max(slowest_s, entry.ended_at - left)
    print(f"\n{how} {moment} asgi={asgi}: vendor closed within {slowest_s * 1000:.1f} ms")
    assert slowest_s < CLOSED_S
    await calm(stage, tasks)
    lines = await caller.lines()
    assert len(lines) == 3
    assert all(line.user_nano > 0 and line.loss_nano == 0 for line in lines)  # at least the prompt


@on_each_server
async def test_a_caller_that_stops_reading(gateway: GatewayFactory, asgi: bool) -> None:
    """A caller that stops reading slows the vendor down: memory stays small, and only delivered output is charged."""
    sale = Sale("t/a", "alpha", "endless+batch=250", prompt="0", completion="0.1")
    stage = await gateway(sale, gap_timeout_s=0.5, keepalive_s=60, asgi=asgi)
    tasks = our_tasks()
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    async with connected(stage.gateway) as line:
        line.writer.transport.pause_reading()
        await line.send(caller.request("t/a", stream=True))
        await until(lambda: sim.log.requests and sim.log.requests[0].sent_tokens > 1000)
        before, same = -1, 0
        while same < 30:  # the vendor's own sending has come to a standstill
            await asyncio.sleep(0.02)
            now = sim.log.requests[0].sent_tokens
            same, before = (same + 1 if now == before else 0), now
        assert sim.log.in_flight == 1, "a caller's pause is not the vendor's silence"
        line.writer.transport.resume_reading()
        await line.head()
        text = ""
        while len(text) < 200_000:
            text += (await line.chunk()).decode()
    await calm(stage, tasks)
    (entry,) = sim.log.requests
    settled, _ = await charged(caller)
    assert 0 < settled.user_nano <= price(sale, PROMPT_TOKENS, entry.sent_tokens).total
    assert entry.sent_tokens * 4 < 100_000_000


@pytest.mark.parametrize("script", ["endless+batch=250", "ok+tokens=200000+batch=5000"])
@on_each_server
async def test_a_caller_that_never_reads(gateway: GatewayFactory, asgi: bool, script: str) -> None:
    """A request whose caller reads nothing ends after the gap time-out, also at the end of its answer: nothing stays taken."""
    sale = Sale("t/a", "alpha", script, prompt="0", completion="0.1")
    stage = await gateway(sale, gap_timeout_s=0.4, keepalive_s=0.1, asgi=asgi)
    tasks = our_tasks()
    caller = await stage.caller()
    async with connected(stage.gateway) as line:
        # A small window: megabytes of buffers take a busy machine longer to fill than anybody waits.
        line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.writer.transport.pause_reading()
        await line.send(caller.request("t/a", stream=True))
        await until(lambda: stage.vendors["alpha"].log.requests)
        await calm(stage, tasks)
        assert not line.writer.transport.is_closing()
    settled, _ = await charged(caller)
    (entry,) = stage.vendors["alpha"].log.requests
    assert 0 < settled.user_nano <= price(sale, PROMPT_TOKENS, entry.sent_tokens).total
    record = await caller.record(settled.generation_id)
    assert record.outcome in ("caller_left", "complete")


async def test_disconnect_between_the_last_token_and_the_end(gateway: GatewayFactory) -> None:
    """A caller that disconnects when the whole answer has come but the stream has not ended pays for the whole answer."""
    sale = Sale("t/a", "alpha", "ok+tokens=5+tps=100")
    stage = await gateway(sale)
    tasks = our_tasks()
    caller = await stage.caller()
    for _ in range(10):
        async with connected(stage.gateway) as line:
            await line.send(caller.request("t/a", stream=True))
            await line.head()
            text = ""
            while "004 " not in text:
                text += (await line.chunk()).decode()
    await calm(stage, tasks)
    lines = await caller.lines()
    assert [line.user_nano for line in lines] == [price(sale, PROMPT_TOKENS, 5).total] * 10
