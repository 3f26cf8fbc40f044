"""The contract of ``Upstream`` when the vendor behaves, or its caller is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from providers.transport.client import Upstream
from providers.transport.http1 import Http1Client
from providers.types import Clocks, HttpRequest
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import CLIENTS, QUICK, ask, echo, read_all, refused


async def test_send_gives_status_headers_and_body(upstream: Upstream) -> None:
    """A call returns the whole answer with lower-case header names, and the server saw the method, path, headers and body."""
    async with RawServer(echo) as server:
        answer = await upstream.send(ask(server.url, b"x" * 70_000), QUICK)
        assert (answer.status, answer.headers["x-thing"], answer.content) == (200, "Yes", b'{"got":70000}')
        head, _ = server.peers[0].requests[0]
        assert head.startswith("POST /v1/x?y=1 HTTP/1.1\r\n")
        lines = [line.lower() for line in head.split("\r\n")]
        assert f"host: 127.0.0.1:{server.port}" in lines
        assert "authorization: bearer k" in lines
        assert "accept-encoding: identity" in lines


async def test_connections_are_kept(upstream: Upstream) -> None:
    """Calls one after another use one connection; calls at once use several, which are kept as well."""
    async with RawServer(echo) as server:
        for _ in range(5):
            await upstream.send(ask(server.url), QUICK)
        assert len(server.peers) == 1
        await asyncio.gather(*(upstream.send(ask(server.url), QUICK) for _ in range(4)))
        opened = len(server.peers)
        await asyncio.gather(*(upstream.send(ask(server.url), QUICK) for _ in range(4)))
        assert len(server.peers) == opened <= 5


async def test_events_come_one_by_one(upstream: Upstream) -> None:
    """A stream's bytes are handed over as they arrive: the server sends the next event only when the last was read."""
    turn = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        for number in range(5):
            await peer.chunk(b"data: %d\n\n" % number)
            await turn.wait()
            turn.clear()
        await peer.end()
        await peer.wait_gone()

    async with RawServer(script) as server:
        stream = await upstream.open(ask(server.url), QUICK)
        for number in range(5):
            assert await asyncio.wait_for(stream.read(), 5) == b"data: %d\n\n" % number
            turn.set()
        assert await stream.read() == b""
        assert await stream.read() == b""
        await stream.aclose()


async def test_a_stream_read_to_its_end_keeps_its_connection(upstream: Upstream) -> None:
    """After a proper end the next request goes over the same connection."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.begin()
            await peer.chunk(b"data: 1\n\n")
            await peer.end()

    async with RawServer(script) as server:
        for _ in range(3):
            assert b"".join(await read_all(upstream, server.url)) == b"data: 1\n\n"
        assert len(server.peers) == 1


@pytest.mark.parametrize("where", ["send", "open", "read", "aclose"])
async def test_cancelling_closes_the_connection(upstream: Upstream, where: str) -> None:
    """A caller who is cancelled before the headers or in the middle, or who closes, closes the vendor's connection at once."""
    received = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if where in ("read", "aclose"):
            await peer.begin()
            await peer.chunk(b"data: 1\n\n")
        received.set()
        await peer.wait_gone()

    async def call() -> None:
        if where == "send":
            await upstream.send(ask(server.url), QUICK)
        stream = await upstream.open(ask(server.url), QUICK)
        try:
            await stream.read()
            if where == "read":
                await stream.read()
        finally:
            await stream.aclose()

    async with RawServer(script) as server:
        task = asyncio.create_task(call())
        await asyncio.wait_for(received.wait(), 5)
        if where != "aclose":
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_release_keeps_a_connection_that_ends_by_itself(upstream: Upstream) -> None:
    """After ``release`` nothing is waited for, and the connection is used again or replaced: the next call works."""
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        await peer.chunk(b"data: [DONE]\n\n")
        await go.wait()
        await peer.end()
        while True:
            await peer.request()
            await peer.answer(b"{}")

    async with RawServer(script) as server:
        stream = await upstream.open(ask(server.url), QUICK)
        assert await stream.read() == b"data: [DONE]\n\n"
        stream.release()
        await stream.aclose()
        go.set()
        await asyncio.sleep(0.05)
        assert b"".join([(await upstream.send(ask(server.url), QUICK)).content]) in (b"{}", b"data: [DONE]\n\n")


async def test_fail_ends_a_pending_read(upstream: Upstream) -> None:
    """``fail`` from a timer ends the waiting read with that error, closes the connection, and stays."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        await peer.wait_gone()

    async with RawServer(script) as server:
        stream = await upstream.open(ask(server.url), QUICK)
        error = await refused(upstream.send(ask("http://nothing.invalid"), QUICK))
        asyncio.get_running_loop().call_later(0.05, stream.fail, error)
        assert await refused(stream.read()) is error
        assert await refused(stream.read()) is error
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
        await stream.aclose()


async def test_body_that_ends_with_the_connection(upstream: Upstream) -> None:
    """Without length and chunks the body ends where the connection does (RFC 9112, 6.3)."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        await asyncio.sleep(0.02)
        await peer.send(b"cd")

    async with RawServer(script) as server:
        assert (await upstream.send(ask(server.url), QUICK)).content == b"abcd"
        assert b"".join(await read_all(upstream, server.url)) == b"abcd"


async def test_interim_answers_are_skipped(upstream: Upstream) -> None:
    """100 and 103 are not the answer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await peer.answer(b"{}", status=201)

    async with RawServer(script) as server:
        answer = await upstream.send(ask(server.url), QUICK)
    assert (answer.status, answer.content, "link" in answer.headers) == (201, b"{}", False)


async def test_redirects_are_not_followed(upstream: Upstream) -> None:
    """A 302 is handed over as it is: keys are never sent to where a vendor points."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"", status=302, headers=f"location: {server.url}/elsewhere\r\n")
        await peer.wait_gone()

    async with RawServer(script) as server:
        assert (await upstream.send(ask(server.url), QUICK)).status == 302
        assert sum(len(peer.requests) for peer in server.peers) == 1


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and friends in the environment change nothing."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with RawServer(echo) as server:
        for make in CLIENTS.values():
            client = make()
            assert (await client.send(ask(server.url), QUICK)).status == 200
            await client.aclose()


async def test_cookies_are_not_kept(upstream: Upstream) -> None:
    """What a vendor sets is never sent: neither to it nor to another host."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"{}", headers="set-cookie: session=1; path=/\r\n")

    async with RawServer(script) as server:
        for _ in range(2):
            assert "set-cookie" in (await upstream.send(ask(server.url), QUICK)).headers
        heads = [head.lower() for peer in server.peers for head, _ in peer.requests]
        assert len(heads) == 2
        assert not any("cookie" in head for head in heads)


async def test_a_given_address_is_connected_to(upstream: Upstream) -> None:
    """The host of the URL is not resolved, and stands in the host header; names that share an address share no connection."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"{}")

    async with RawServer(script) as server:
        for name in ("one.invalid", "two.invalid"):
            request = HttpRequest(f"http://{name}:{server.port}/x", (), b"", method="GET", address="127.0.0.1")
            assert (await upstream.send(request, QUICK)).status == 200
        hosts = [
            [head.lower().count(f"host: {name}.invalid:") for head, _ in peer.requests]
            for peer, name in zip(server.peers, ("one", "two"), strict=True)
        ]
        assert hosts == [[1], [1]]


async def test_dead_idle_connection_is_replaced(upstream: Upstream) -> None:
    """A kept connection that the vendor closed meanwhile costs nothing: the request is sent once, on a new one."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}")

    async with RawServer(script) as server:
        for _ in range(5):
            assert (await upstream.send(ask(server.url), QUICK)).status == 200
            await asyncio.sleep(0.02)
        assert [len(peer.requests) for peer in server.peers] == [1] * 5


async def test_reader_sets_the_pace(upstream: Upstream) -> None:
    """An unread stream slows the vendor down: what is buffered stays far below what the vendor wants to send."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.begin()
        for _ in range(640):
            await peer.chunk(b"x" * 65536)
            sent += 65536
        await peer.end()
        await peer.wait_gone()

    async with RawServer(script) as server:
        stream = await upstream.open(ask(server.url), QUICK)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 640 * 65536 / 2
        got = 0
        while data := await stream.read():
            got += len(data)
        assert got == 640 * 65536
        await stream.aclose()


async def test_churn_loses_nothing(upstream: Upstream) -> None:
    """With every tenth caller cancelled somewhere, all others are served and no connection stays open behind a caller."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(0.005)
            await peer.begin()
            await peer.chunk(b"data: 1\n\n")
            await asyncio.sleep(0.005)
            await peer.end()

    async def caller(number: int) -> bool:
        task = asyncio.create_task(read_all(upstream, server.url, Clocks()))
        if number % 10 == 0:
            await asyncio.sleep((number % 7) * 0.002)
            task.cancel()
        return b"".join(await task) == b"data: 1\n\n"

    async with RawServer(script) as server:
        outcomes: list[object] = []
        callers = 600 if isinstance(upstream, Http1Client) else 100
        for start in range(0, callers, 50):
            outcomes += await asyncio.gather(*(caller(n) for n in range(start, start + 50)), return_exceptions=True)
        errors = [one for one in outcomes if one is not True and not isinstance(one, asyncio.CancelledError)]
        assert errors == []
        assert outcomes.count(True) >= callers * 0.9
        await upstream.aclose()
        await asyncio.wait_for(asyncio.gather(*(peer.gone.wait() for peer in server.peers)), 5)
