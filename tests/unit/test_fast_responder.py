"""A request on one of our own connections, in situations that are hard to reach over a socket."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from gateway.server import fast_responder
from gateway.server.responder import ClientDisconnected
from tests.support.pipe import KIND, direct, lose, turn

ENOUGH = 2**20


async def test_the_body() -> None:
    """None until it is whole; ``read`` collects its pieces; what follows an answer is thrown away."""
    connection, _, request = await direct(10, b"ab")
    assert request.body is None
    connection.data_received(b"cd")
    waiting = asyncio.create_task(request.read(ENOUGH))
    await turn()
    assert not waiting.done()
    connection.data_received(b"efgh")
    connection.data_received(b"ij")
    assert await waiting == b"abcdefghij"
    assert await request.read(ENOUGH) is None
    assert request.body == b""
    await request.respond(200, KIND, b"ok")
    request.feed(b"late")
    assert request.body == b""
    lose(connection)


async def test_a_large_body_pauses_and_goes_on() -> None:
    """Reading stops above the limit, which is low until somebody reads; it continues then, and when a disconnect is watched for."""
    connection, pipe, request = await direct(3 * ENOUGH, b"x" * (HIGH_WATER_LIMIT + 1))
    assert pipe.paused
    waiting = asyncio.create_task(request.read(ENOUGH))
    await turn()
    assert not pipe.paused
    connection.data_received(b"x" * ENOUGH)
    assert pipe.paused
    assert len(await waiting or b"") == ENOUGH + HIGH_WATER_LIMIT + 1
    waiting = asyncio.create_task(request.read(ENOUGH))
    await turn()
    assert not pipe.paused
    lose(connection)
    with pytest.raises(ClientDisconnected):
        await waiting
    connection, pipe, request = await direct(100_000, b"x" * 100_000)
    assert (pipe.paused, len(request.body or b"")) == (True, 100_000)
    request.watch(lambda: None)
    assert not pipe.paused
    lose(connection)


async def test_a_watcher_is_notified() -> None:
    """Once, also when the client had disconnected before; not after ``unwatch``."""
    notified: list[str] = []
    connection, _, request = await direct(0)
    request.watch(lambda: notified.append("first"))
    lose(connection)
    assert notified == ["first"]
    connection, _, request = await direct(0)
    lose(connection)
    request.watch(lambda: notified.append("second"))
    assert notified == ["first"]
    await turn()
    assert notified == ["first", "second"]
    connection, _, request = await direct(0)
    request.watch(lambda: notified.append("third"))
    request.unwatch()
    request.unwatch()
    lose(connection)
    assert notified == ["first", "second"]


async def test_an_answer_waits_for_the_answers_before_it() -> None:
    """Nothing is written to a client that does not read; when it disconnects, the wait ends."""
    for leaves in (False, True):
        connection, pipe, request = await direct(0)
        connection.pause_writing()
        answering = asyncio.create_task(request.respond(200, KIND, b"ok"))
        await turn()
        assert not answering.done()
        assert not pipe.written
        if leaves:
            lose(connection)
        else:
            connection.resume_writing()
        await answering
        assert bool(pipe.written) is not leaves
        assert request.response_complete is not leaves
        lose(connection)


async def test_an_answer_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that still reads nothing loses its connection, so that its request does not occupy a place for ever."""
    monkeypatch.setattr(fast_responder, "BACKLOG_S", 0.01)
    connection, pipe, request = await direct(0)
    connection.pause_writing()
    await request.respond(200, KIND, b"ok")
    assert (pipe.aborted, pipe.written) == (True, b"")
    lose(connection)


async def test_a_comment_is_not_sent_behind_the_end() -> None:
    """A comment that waited for the client is dropped when the end was sent first."""
    connection, pipe, request = await direct(0)
    await request.start(200, KIND)
    connection.pause_writing()
    assert not request.push(b"x")
    comment = asyncio.create_task(request.send(b": still there\n\n"))
    await turn()
    connection.resume_writing()
    await request.finish(b"last")
    await comment
    assert pipe.written.endswith(b"\r\n\r\n5\r\nxlast\r\n0\r\n\r\n")
    lose(connection)


async def test_what_could_not_be_pushed_is_kept() -> None:
    """In order, for ``drain`` or ``finish``; while they wait for the client, ``sending_since`` tells since when."""
    connection, pipe, request = await direct(0)
    await request.start(200, KIND)
    await request.start(200, KIND)
    assert pipe.written.count(b"HTTP/1.1") == 1
    pipe.written = b""
    connection.pause_writing()
    assert not request.push(b"a")
    draining = asyncio.create_task(request.drain())
    await turn()
    assert (pipe.written, request.sending_since is not None) == (b"", True)
    connection.resume_writing()
    await draining
    assert (pipe.written, request.sending_since) == (b"1\r\na\r\n", None)
    await request.drain()
    assert request.push(b"b")
    connection.pause_writing()
    assert not request.push(b"c")
    connection.resume_writing()
    await request.finish(b"d")
    assert pipe.written == b"1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\n\r\n"
    lose(connection)


async def test_chunks() -> None:
    """Of the chunked encoding; an empty piece would end the response, so it is not written."""
    connection, pipe, request = await direct(0)
    await request.start(200, KIND)
    assert pipe.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert pipe.written.endswith(b"content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
    pipe.written = b""
    assert request.push(b"")
    assert request.push(b"0123456789abcdef")
    await request.send(b"yz")
    await request.finish(b"")
    assert pipe.written == b"10\r\n0123456789abcdef\r\n2\r\nyz\r\n0\r\n\r\n"
    assert not pipe.closed
    lose(connection)


async def test_nothing_is_written_after_a_disconnect() -> None:
    """Whatever the surface still sends."""
    connection, pipe, request = await direct(0)
    lose(connection)
    await request.start(200, KIND)
    assert not request.push(b"x")
    await request.send(b"x")
    await request.finish(b"x")
    await request.respond(200, KIND, b"x")
    assert not pipe.written


@pytest.mark.parametrize("evil", ["a\r\nb", "a\nb", "a\rb", "a\r\n\r\nHTTP/1.1 200 OK"])
@pytest.mark.parametrize("place", ["name", "value"])
async def test_a_line_break_in_a_header(evil: str, place: str) -> None:
    """Nothing is sent, now or later, and the connection closes."""
    pair = (evil.encode(), b"x") if place == "name" else (b"x", evil.encode())
    for stream in (False, True):
        connection, pipe, request = await direct(0)
        with pytest.raises(ValueError, match="line break"):
            await (request.start(200, [pair]) if stream else request.respond(200, [pair], b"body"))
        await request.finish(b"the end of nothing")
        assert pipe.closed
        assert not pipe.written
        lose(connection)
