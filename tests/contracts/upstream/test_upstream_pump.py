"""The contract of ``HttpStream.pump``: bytes are handed over as they arrive, until the sink, the body or a clock ends it."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from providers.errors import failed
from providers.transport.client import HttpStream, Upstream
from providers.transport.http1 import Http1Client
from tests.support.rawserver import Peer, RawServer, Script
from tests.support.upstream import QUICK, ask, refused

ERROR = failed("timeout_gap", "a clock fell")


class Sink:
    """Keeps what it is given; says False once it has ``enough`` bytes."""

    def __init__(self, enough: int = 2**60) -> None:
        self.got = b""
        self.calls = 0
        self.enough = enough

    def __call__(self, data: bytes) -> bool:
        assert data
        self.got += data
        self.calls += 1
        return len(self.got) < self.enough


async def opened(upstream: Upstream, server: RawServer) -> HttpStream:
    return await upstream.open(ask(server.url), QUICK)


def sending(*pieces: bytes, then: str = "end", go: asyncio.Event | None = None) -> Script:
    """Each piece is a chunk; from the second on they wait for ``go``. Afterwards end, hold, close or reset."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.begin()
            for number, piece in enumerate(pieces):
                if number and go is not None:
                    await go.wait()
                    go.clear()
                await peer.chunk(piece)
            if then == "hold":
                await peer.wait_gone()
            if then == "reset":
                await asyncio.sleep(0.05)
                peer.reset()
            if then in ("close", "reset"):
                return
            await peer.end()

    return script


async def test_bytes_are_handed_over_one_by_one(upstream: Upstream) -> None:
    """The server sends the next piece only when the last was taken; then the body ends, again and again."""
    go, got = asyncio.Event(), list[bytes]()

    def take(data: bytes) -> bool:
        got.append(data)
        go.set()
        return True

    async with RawServer(sending(b"one", b"two", b"three", go=go)) as server:
        stream = await opened(upstream, server)
        assert await asyncio.wait_for(stream.pump(take), 5)
        assert got == [b"one", b"two", b"three"]
        assert await stream.pump(take)
        assert await stream.read() == b""
        await stream.aclose()


async def test_no_task_wakes_for_what_arrives(roots: ssl.SSLContext) -> None:
    """Our own client hands over within the socket's callback."""
    upstream = Http1Client(tls=roots)
    go, tasks = asyncio.Event(), list[object]()

    def take(data: bytes) -> bool:
        tasks.append(asyncio.current_task())
        go.set()
        return True

    async with RawServer(sending(b"one", b"two", b"three", go=go)) as server:
        stream = await opened(upstream, server)
        assert await stream.pump(take)
        assert tasks[1:] == [None, None]
    await upstream.aclose()


async def test_what_is_there_already_comes_first(upstream: Upstream) -> None:
    """Bytes that arrived before pump was called are not lost, and keep their order."""
    go, sink = asyncio.Event(), Sink()
    async with RawServer(sending(b"one", b"two", go=go)) as server:
        stream = await opened(upstream, server)
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.05, go.set)
        assert await stream.pump(sink)
        assert sink.got == b"onetwo"
        await stream.aclose()


async def test_a_body_that_has_ended_before(upstream: Upstream) -> None:
    """All of it is handed over, and its connection is used again."""
    async with RawServer(sending(b"one", b"two")) as server:
        for _ in range(3):
            sink = Sink()
            stream = await opened(upstream, server)
            await asyncio.sleep(0.02)
            assert await stream.pump(sink)
            assert sink.got == b"onetwo"
            await stream.aclose()
        assert len(server.peers) == 1


@pytest.mark.parametrize("how", ["pump", "read"])
async def test_stop_and_resume(upstream: Upstream, how: str) -> None:
    """After False nothing is handed over until the next call, which gets what came meanwhile."""
    go, sink = asyncio.Event(), Sink(enough=3)
    async with RawServer(sending(b"one", b"two", b"three", go=go)) as server:
        stream = await opened(upstream, server)
        assert not await stream.pump(sink)
        go.set()
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.sleep(0.05)
        assert sink.got == b"one"
        if how == "read":
            while data := await stream.read():
                sink(data)
        else:
            while not await stream.pump(sink):
                pass
        assert sink.got == b"onetwothree"
        await stream.aclose()


async def test_stopped_with_the_last_bytes(upstream: Upstream) -> None:
    """False counts also when the body ends with those bytes; the next call says that it has ended."""
    sink = Sink(enough=3)
    async with RawServer(sending(b"one")) as server:
        stream = await opened(upstream, server)
        await asyncio.sleep(0.05)
        assert not await stream.pump(sink)
        assert await stream.pump(sink)
        assert sink.calls == 1
        await stream.aclose()


@pytest.mark.parametrize("at", [1, 2])
async def test_what_take_raises_reaches_the_waiting_caller(upstream: Upstream, at: int) -> None:
    """For bytes that were there and for bytes that arrive; nothing is handed over twice, and the stream goes on."""
    go, sink = asyncio.Event(), Sink()

    def take(data: bytes) -> bool:
        sink(data)
        go.set()
        if sink.calls == at:
            raise LookupError(data)
        return True

    async with RawServer(sending(b"one", b"two", b"three", go=go)) as server:
        stream = await opened(upstream, server)
        with pytest.raises(LookupError):
            await asyncio.wait_for(stream.pump(take), 5)
        assert sink.calls == at
        assert await asyncio.wait_for(stream.pump(take), 5)
        assert sink.got == b"onetwothree"
        await stream.aclose()


async def test_a_clock_falls(upstream: Upstream) -> None:
    """``fail`` ends the waiting call with its error, also the later ones, and closes the connection."""
    sink = Sink()
    async with RawServer(sending(b"one", then="hold")) as server:
        stream = await opened(upstream, server)
        asyncio.get_running_loop().call_later(0.1, stream.fail, ERROR)
        assert await refused(asyncio.wait_for(stream.pump(sink), 5)) is ERROR
        assert await refused(stream.pump(sink)) is ERROR
        assert await refused(stream.read()) is ERROR
        assert sink.got == b"one"
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
        await stream.aclose()


async def test_a_clock_falls_between_two_pumps(upstream: Upstream) -> None:
    """The next call raises its error."""
    async with RawServer(sending(b"one", then="hold")) as server:
        stream = await opened(upstream, server)
        assert not await stream.pump(Sink(enough=3))
        stream.fail(ERROR)
        assert await refused(stream.pump(Sink())) is ERROR
        await stream.aclose()


async def test_failed_from_within(upstream: Upstream) -> None:
    """``take`` may itself end the stream: the next call raises the error."""

    def take(data: bytes) -> bool:
        stream.fail(ERROR)
        return True

    async with RawServer(sending(b"one", then="hold")) as server:
        stream = await opened(upstream, server)
        assert await refused(asyncio.wait_for(stream.pump(take), 5)) is ERROR
        await stream.aclose()


async def test_cancelled(upstream: Upstream) -> None:
    """Nothing is handed over any more, whatever arrives, and closing closes the vendor's connection."""
    go, sink = asyncio.Event(), Sink()
    async with RawServer(sending(b"one", b"two", then="hold", go=go)) as server:
        stream = await opened(upstream, server)
        task = asyncio.create_task(stream.pump(sink))
        while not sink.calls:
            await asyncio.sleep(0.005)
        task.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert sink.got == b"one"
        await stream.aclose()
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_cancelled_while_bytes_arrive(upstream: Upstream) -> None:
    """Between the cancelling and the task's next step nothing is handed over: a reader that goes on afterwards gets it once."""
    go, sink = asyncio.Event(), Sink()

    def take(data: bytes) -> bool:
        sink(data)
        task.cancel()
        go.set()
        return True

    async with RawServer(sending(b"one", b"two", go=go)) as server:
        stream = await opened(upstream, server)
        task = asyncio.create_task(stream.pump(take))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sink.got == b"one"
        assert await asyncio.wait_for(stream.pump(sink), 5)
        assert sink.got == b"onetwo"
        await stream.aclose()


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_cut(upstream: Upstream, then: str) -> None:
    """What came is handed over, then the error is ``cut``."""
    sink = Sink()
    async with RawServer(sending(b"one", b"two", then=then)) as server:
        stream = await opened(upstream, server)
        error = await refused(asyncio.wait_for(stream.pump(sink), 5))
        assert (error.failure.kind, sink.got) == ("cut", b"onetwo")
        await stream.aclose()


@pytest.mark.parametrize("size", [65536, 700_000])
async def test_the_taker_sets_the_pace(upstream: Upstream, size: int) -> None:
    """While the sink is waited for, the vendor is held up, and everything arrives in the end; chunks may be larger than the window."""
    sent, count = 0, 42_000_000 // size

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.begin()
        for _ in range(count):
            await peer.chunk(b"x" * size)
            sent += size
        await peer.end()
        await peer.wait_gone()

    async with RawServer(script) as server:
        stream = await opened(upstream, server)
        got, on = 0, False

        def take(data: bytes) -> bool:
            nonlocal got
            got += len(data)
            return on

        assert not await stream.pump(take)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < count * size / 2
        on = True
        assert await stream.pump(take)
        assert got == count * size
        await stream.aclose()
