"""The contract of ``Upstream`` when the vendor does not behave: every way of failing has its own name."""

from __future__ import annotations

import asyncio
import socket

import pytest

from providers.transport.client import Upstream
from providers.transport.http1 import Http1Client
from providers.types import Clocks, HttpRequest
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import QUICK, ask, echo, read_all, refused

RESETS = {"before the answer": b"", "in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"}


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(RESETS))
async def test_reset(upstream: Upstream, name: str, verb: str) -> None:
    """An answer that is broken off by a reset is ``cut``. Other ways are in ``test_upstream_hostile``."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(RESETS[name])
        await asyncio.sleep(0.05)
        peer.reset()

    async with RawServer(script) as server:
        call = upstream.send(ask(server.url), QUICK) if verb == "send" else read_all(upstream, server.url)
        error = await refused(call)
    assert error.failure.kind == "cut"


async def test_connect_refused(upstream: Upstream) -> None:
    """A closed port is ``connect_refused``."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        error = await refused(upstream.send(ask(f"http://127.0.0.1:{sock.getsockname()[1]}"), QUICK))
    assert (error.failure.kind, error.clock) == ("connect_refused", None)


async def test_name_that_does_not_exist(upstream: Upstream) -> None:
    """A name that does not resolve is ``dns``."""
    error = await refused(upstream.send(ask("http://nothing.invalid"), QUICK))
    assert error.failure.kind == "dns"


async def test_connect_timeout(upstream: Upstream) -> None:
    """A port that swallows connection requests is ``connect_timeout``, by the connect clock."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        error = await refused(upstream.send(ask(url), Clocks(connect_s=0.1)))
        for filler in fillers:
            filler.close()
    assert (error.failure.kind, error.clock) == ("connect_timeout", "connect")


async def test_handshake_stall_is_a_connect_timeout(upstream: Upstream) -> None:
    """A server that accepts and never speaks TLS falls to the connect clock."""

    async def script(peer: Peer) -> None:
        await peer.wait_gone()

    async with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        error = await refused(upstream.send(ask(url), Clocks(connect_s=0.1)))
    assert (error.failure.kind, error.clock) == ("connect_timeout", "connect")


async def test_total_clock_of_a_call(upstream: Upstream) -> None:
    """A vendor that answers nothing, or half, falls to the total clock and loses its connection."""

    async def script(peer: Peer) -> None:
        if await peer.request() == b"half":
            await peer.begin(kind="application/json")
            await peer.chunk(b'{"choi')
        await peer.wait_gone()

    async with RawServer(script) as server:
        for body in (b"nothing", b"half"):
            error = await refused(upstream.send(ask(server.url, body), Clocks(total_s=0.1)))
            assert (error.failure.kind, error.clock) == ("timeout_total", "total")
            await asyncio.wait_for(server.peers[-1].gone.wait(), 2)


async def test_first_content_clock_covers_the_headers(upstream: Upstream) -> None:
    """A stream whose headers never come falls to the first_content clock."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.wait_gone()

    async with RawServer(script) as server:
        error = await refused(upstream.open(ask(server.url), Clocks(first_content_s=0.1)))
        assert (error.failure.kind, error.clock) == ("timeout_first_content", "first_content")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_answer_over_64_mb(upstream: Upstream) -> None:
    """A JSON answer over 64 MB is cut and its connection closed."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin(kind="application/json")
        piece = b" " * 2**20
        for _ in range(70):
            await peer.chunk(piece)
        await peer.end()
        await peer.wait_gone()

    async with RawServer(script) as server:
        error = await refused(upstream.send(ask(server.url), Clocks()))
        assert error.failure.kind == "malformed"
        await asyncio.wait_for(server.peers[0].gone.wait(), 5)


@pytest.mark.parametrize("url", ["{}/a b", "ftp://127.0.0.1/x", "http:///x", "http://127.0.0.1:99999/x", "nonsense"])
async def test_broken_urls_are_failures_of_the_endpoint(url: str) -> None:
    """A base URL that cannot be asked is a provider's failure like others, so that the next endpoint is tried."""
    async with RawServer(echo) as server:
        client = Http1Client()
        error = await refused(client.send(HttpRequest(url.format(server.url), (), b""), QUICK))
        assert error.failure.failover
        await client.aclose()


async def test_requests_cannot_be_split(upstream: Upstream) -> None:
    """A header value with a line break never reaches the wire."""
    async with RawServer(echo) as server:
        for value in ("b\r\nevil: 1", "b\nevil: 1"):
            error = await refused(upstream.send(HttpRequest(server.url, (("a", value),), b""), QUICK))
            assert error.failure.kind == "malformed"
        assert not any(peer.requests for peer in server.peers)
