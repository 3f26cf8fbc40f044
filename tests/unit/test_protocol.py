"""Our own protocol object, in situations that are hard to reach over a socket."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from gateway.server import protocol
from gateway.server.fast_responder import FastResponder
from tests.support.pipe import HEAD, KIND, StubSurface, connect, direct, lose, turn


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("how", ["raises", "returns", "is cancelled"])
async def test_a_surface_without_an_answer(how: str, started: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The connection closes, because there is no other way to say so in HTTP; an exception is logged."""

    async def act(responder: FastResponder) -> None:
        if started:
            await responder.start(200, KIND)
        if how == "raises":
            raise RuntimeError("a fault")
        if how == "is cancelled":
            raise asyncio.CancelledError

    surface = StubSurface(act)
    connection, pipe = connect(surface)
    connection.data_received(HEAD % 0)
    await turn()
    assert pipe.closed
    assert not connection.tasks
    assert ("A surface failed" in caplog.text) is (how == "raises")
    lose(connection)


async def test_shutdown() -> None:
    """An idle connection closes at once, a busy one after its response, which has ``Connection: close`` if it has not begun."""
    connection, pipe = connect(StubSurface())
    connection.shutdown()
    assert pipe.closed
    lose(connection)
    for stream in (False, True):
        connection, pipe, request = await direct(0)
        if stream:
            await request.start(200, KIND)
        connection.shutdown()
        assert not pipe.closed
        await (request.finish(b"x") if stream else request.respond(200, KIND, b"x"))
        assert pipe.closed
        assert (b"connection: close" in pipe.written) is not stream
        lose(connection)


async def test_every_pipelined_request_is_notified() -> None:
    """Of a disconnect: the first request and all that wait for it, on either responder."""
    surface = StubSurface()
    connection, _ = connect(surface)
    notified: list[int] = []
    connection.data_received(HEAD % 0 + b"GET /a HTTP/1.1\r\n\r\n" * 3)
    await turn()
    surface.given[0].watch(lambda: notified.append(1))
    waiting = [cycle for cycle, _ in connection.pipeline]
    assert len(waiting) == 3
    lose(connection)
    assert notified == [1]
    assert all(cycle.disconnected for cycle in waiting)


async def test_a_head_is_late_when_it_could_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """While reading is paused the time for the head starts again."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.01)
    connection, pipe, _ = await direct(0)
    large = HEAD % (HIGH_WATER_LIMIT + 1) + b"x" * (HIGH_WATER_LIMIT + 1)
    connection.data_received(large + b"POST /su")
    assert pipe.paused
    await asyncio.sleep(0.05)
    assert not pipe.closed
    connection.flow.resume_reading()
    await asyncio.sleep(0.05)
    assert pipe.closed
    assert pipe.written.startswith(b"HTTP/1.1 408 ")
    lose(connection)
