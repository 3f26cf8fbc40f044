"""Connections over time, through both responders: idle ones, slow heads, shutdown, and bugs of the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.api.inference.speech import Speech
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from gateway.server import protocol
from tests.support.gateway import Caller, Sale, Stage, connected, events
from tests.support.invariants import calm, our_tasks
from tests.support.operations import sale
from tests.support.rawserver import Peer, RawServer
from tests.support.responders import SERVERS, Answer, closes, question, read, request
from tests.support.vendor import Line, until

GatewayFactory = Callable[..., Any]
IDLE_S = 0.4
on_each_server = pytest.mark.parametrize("server", SERVERS)


async def ask(line: Line, caller: Caller, *lines: str, **more: Any) -> Answer:
    """One request and its answer."""
    await line.send(request(caller, *lines, body=question(**more)))
    return await read(line)


async def opened(gateway: GatewayFactory, server: str, *sales: Sale, **options: Any) -> tuple[Stage, Caller]:
    """A stage behind one of the servers, and a caller."""
    stage = await gateway(*sales or (Sale("t/a", "alpha", "ok+tokens=5"),), asgi=server == "asgi", **options)
    return stage, await stage.caller()


# -- idle connections --------------------------------------------------------------------------------------------------


@on_each_server
async def test_an_idle_connection_is_closed(gateway: GatewayFactory, server: str) -> None:
    """Not before its time, which counts from the last answer; after JSON, streams and refusals."""
    stage, caller = await opened(gateway, server, idle_s=IDLE_S)
    async with connected(stage.gateway) as line:
        for last in ({}, {"stream": True}, {"model": "t/none"}):
            await asyncio.sleep(IDLE_S * 0.5)
            await ask(line, caller, **last)
        since = time.monotonic()
        assert await closes(line)
        assert time.monotonic() - since > IDLE_S * 0.7
    await calm(stage)


@on_each_server
async def test_a_request_that_came_in_time_is_read(gateway: GatewayFactory, server: str) -> None:
    """A process that was held up finds its clock run out and a request at once: the request counts."""
    stage, caller = await opened(gateway, server, idle_s=IDLE_S)
    async with connected(stage.gateway) as line:
        for _ in range(3):
            assert (await ask(line, caller)).status == 200
            await line.send(request(caller, body=question()))
            time.sleep(IDLE_S * 1.5)
            assert (await read(line)).status == 200
    await calm(stage)


@on_each_server
async def test_a_request_under_way_is_not_idle(gateway: GatewayFactory, server: str) -> None:
    """Waiting for a vendor, a stream that takes its time, a body and a head that come slowly: no connection is cut."""
    sales = (
        Sale("t/a", "alpha"),
        Sale("t/late", "alpha", "ok+ttft=400"),
        Sale("t/slow", "alpha", "ok+tokens=5+tps=12"),
    )
    stage, caller = await opened(gateway, server, *sales, idle_s=0.1)
    async with connected(stage.gateway) as line:
        await ask(line, caller)
        assert (await ask(line, caller, model="t/late")).status == 200
        answer = await ask(line, caller, model="t/slow", stream=True)
        assert events(answer.body.decode())[-1] == "[DONE]"
        head, gap, body = request(caller, body=question()).partition(b"\r\n\r\n")
        for piece in (head[:20], head[20:] + gap, body[:10], body[10:]):
            await line.send(piece)
            await asyncio.sleep(0.25 if piece is not body[10:] else 0)
        assert (await read(line)).status == 200
        assert await closes(line)
    await calm(stage)


async def test_a_head_that_takes_too_long(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 and the end, for the first request of a connection and for a later one; the answers in between are whole."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    stage, caller = await opened(gateway, "direct")
    for start in (b"", b"POST /api", request(caller)[:-2]):
        for before in (False, True):
            if before and not start:
                continue
            async with connected(stage.gateway) as line:
                if before:
                    assert (await ask(line, caller)).status == 200
                await line.send(start)
                status, headers, _ = await line.response()
                assert (status, headers["connection"]) == (408, "close")
                assert await closes(line)


# -- shutdown ----------------------------------------------------------------------------------------------------------


@on_each_server
async def test_shutdown_lets_answers_finish(gateway: GatewayFactory, server: str) -> None:
    """A JSON answer and streams under way are whole, then their connections close; idle ones close at once."""
    sales = (Sale("t/late", "alpha", "ok+ttft=400+tokens=3"), Sale("t/slow", "alpha", "ok+tokens=20+tps=40"))
    stage, caller = await opened(gateway, server, *sales)
    async with connected(stage.gateway) as one, connected(stage.gateway) as two, connected(stage.gateway) as idle:
        await ask(idle, caller, model="t/none")
        await one.send(request(caller, body=question("t/late")))
        await two.send(request(caller, body=question("t/slow", stream=True)))
        await until(lambda: stage.vendors["alpha"].log.in_flight == 2)
        started = asyncio.create_task(read(two))
        await asyncio.sleep(0.1)
        stage.gateway.server.leave()
        assert await closes(idle)
        answer = await read(one)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert await closes(one)
        found = events((await started).body.decode())
        assert found[-1] == "[DONE]"
        assert found[-2]["usage"]["completion_tokens"] == 20
        assert await closes(two)


# -- as events arrive --------------------------------------------------------------------------------------------------


@on_each_server
async def test_every_event_at_once(gateway: GatewayFactory, server: str) -> None:
    """A vendor that waits until its last event was seen: each arrives by itself, in a chunk of its own."""
    seen: asyncio.Queue[str | None] = asyncio.Queue()

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        while (text := await seen.get()) is not None:
            choice = f'{{"index":0,"delta":{{"content":"{text}"}}}}'
            await peer.chunk(f'data: {{"id":"x","choices":[{choice}]}}\n\n'.encode())
        end = '{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
        await peer.chunk(f"data: {end}\n\ndata: [DONE]\n\n".encode())
        await peer.end()

    async with RawServer(vendor) as served:
        stage, caller = await opened(gateway, server, Sale("t/a", "odd"), urls={"odd": f"{served.url}/v1"})
        async with connected(stage.gateway) as line:
            seen.put_nowait("word0")
            await line.send(request(caller, body=question(stream=True)))
            await line.head()
            for number in range(5):
                chunk = await line.chunk()
                assert chunk.startswith(b"data: {")
                assert chunk.count(b"data: ") == 1
                assert b'"word%d"' % number in chunk
                assert await line.silent(0.01)
                seen.put_nowait(f"word{number + 1}" if number < 4 else None)
            rest = b""
            while chunk := await line.chunk():
                rest += chunk
            assert rest.endswith(b"data: [DONE]\n\n")


# -- faults of ours ----------------------------------------------------------------------------------------------------


@on_each_server
async def test_a_fault_before_the_answer(gateway: GatewayFactory, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 in the one error shape, without details; the connection stays usable."""
    stage, caller = await opened(gateway, server)
    before = our_tasks()

    async def broken(*_: Any) -> None:
        raise RuntimeError("secret details")

    async with connected(stage.gateway) as line:
        for stream in (False, True):
            with monkeypatch.context() as patch:
                patch.setattr(Pipeline, "begin", broken)
                answer = await ask(line, caller, stream=stream)
            assert (answer.status, answer.json()["error"]["code"]) == (500, 500)
            assert b"secret" not in answer.body
            assert (await ask(line, caller)).status == 200
    await calm(stage, before)


@on_each_server
async def test_a_fault_in_a_stream(gateway: GatewayFactory, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream ends with an error event, properly framed, and the connection stays usable."""
    stage, caller = await opened(gateway, server)
    before = our_tasks()
    end = Generation.end

    async def broken(self: Generation, *args: Any, **more: Any) -> None:
        await end(self, *args, **more)
        raise RuntimeError("secret details")

    async with connected(stage.gateway) as line:
        with monkeypatch.context() as patch:
            patch.setattr(Generation, "end", broken)
            answer = await ask(line, caller, stream=True)
        found = events(answer.body.decode())
        assert (found[-1], found[-2]["error"]["code"]) == ("[DONE]", 500)
        assert b"secret" not in answer.body
        assert (await ask(line, caller)).status == 200
    await calm(stage, before)


@on_each_server
async def test_a_vendor_cannot_split_the_answer(gateway: GatewayFactory, server: str) -> None:
    """A content type with a line break in it, as far as HTTP lets it through, is not passed on."""
    kinds = ["audio/x\r\n Evil: 1", "audio/x\nevil: 1", "audio/x\revil: 1", "audio/x\x00", "audio/x; a=\x0b"]

    async def vendor(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"sound", kind=kinds[number])

    async with RawServer(vendor) as served:
        what = sale("t/speaker", "odd", "speech", prompt="1", completion="1")
        stage, caller = await opened(gateway, server, what, urls={"odd": f"{served.url}/v1"})
        for number in range(len(kinds)):  # noqa: B007 - the vendor reads it
            async with connected(stage.gateway) as line:
                body = b'{"model":"t/speaker","input":"hi","voice":"a","response_format":"mp3"}'
                await line.send(request(caller, path="/api/v1/audio/speech", body=body))
                answer = await read(line)
                assert answer.status in (200, 502)
                assert "evil" not in answer.headers
                assert (await ask(line, caller)).status == 400  # the model makes no text


@on_each_server
async def test_a_header_that_cannot_be_sent(
    gateway: GatewayFactory, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break that got so far does not get out: a clean 500 or the end of the connection, never two answers."""
    what = sale("t/speaker", "alpha", "speech", prompt="1", completion="1")
    stage, caller = await opened(gateway, server, what)
    evil = b"audio/x\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\nevil: 1"
    monkeypatch.setattr(Speech, "reply", lambda *_: (b"sound", evil))
    async with connected(stage.gateway) as line:
        body = b'{"model":"t/speaker","input":"hi","voice":"a"}'
        await line.send(request(caller, "Connection: close", path="/api/v1/audio/speech", body=body))
        got = await line.rest()
    assert got == b"" or got.startswith(b"HTTP/1.1 500 "), got
    assert got.count(b"HTTP/1.1") <= 1
    assert b"evil" not in got
