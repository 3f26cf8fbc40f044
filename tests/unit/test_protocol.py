"""One of our own connections, at the edges that no socket reaches on purpose."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from gateway.server import protocol
from gateway.server.fast_responder import FastResponder
from tests.support.pipe import HEAD, KIND, Door, connect, direct, lose, turn


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("how", ["raises", "returns", "is cancelled"])
async def test_a_surface_without_an_answer(how: str, started: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The connection ends: that is how HTTP says so; a fault is logged."""

    async def act(responder: FastResponder) -> None:
        if started:
            await responder.start(200, KIND)
        if how == "raises":
            raise RuntimeError("a fault")
        if how == "is cancelled":
            raise asyncio.CancelledError

    door = Door(act)
    connection, pipe = connect(door)
    connection.data_received(HEAD % 0)
    await turn()
    assert pipe.closed
    assert not connection.tasks
    assert ("A surface failed" in caplog.text) is (how == "raises")
    lose(connection)


async def test_shutdown() -> None:
    """An idle connection closes at once, one under way with its answer, which says so if it still can."""
    connection, pipe = connect(Door())
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


async def test_everybody_in_line_is_told() -> None:
    """The first request and all that stand behind it, whoever serves them."""
    door = Door()
    connection, _ = connect(door)
    told: list[int] = []
    connection.data_received(HEAD % 0 + b"GET /a HTTP/1.1\r\n\r\n" * 3)
    await turn()
    door.given[0].watch(lambda: told.append(1))
    waiting = [cycle for cycle, _ in connection.pipeline]
    assert len(waiting) == 3
    lose(connection)
    assert told == [1]
    assert all(cycle.disconnected for cycle in waiting)


async def test_a_head_is_late_when_it_could_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """While reading pauses its time begins anew."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.01)
    connection, pipe, _ = await direct(0)
    large = HEAD % (HIGH_WATER_LIMIT + 1) + b"x" * (HIGH_WATER_LIMIT + 1)
    connection.data_received(large + b"POST /do")
    assert pipe.paused
    await asyncio.sleep(0.05)
    assert not pipe.closed
    connection.flow.resume_reading()
    await asyncio.sleep(0.05)
    assert pipe.closed
    assert pipe.written.startswith(b"HTTP/1.1 408 ")
    lose(connection)
