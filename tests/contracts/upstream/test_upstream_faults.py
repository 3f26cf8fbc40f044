"""The contract of ``Upstream`` when the vendor does not behave: every way of failing has its own name."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest

from providers.transport.client import Upstream
from providers.transport.http1 import Http1Client
from providers.types import Clocks, HttpRequest
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import QUICK, ask, echo, read_all, refused

CUTS = {
    "reset before the answer": (b"", "reset"),
    "closed before the answer": (b"", "close"),
    "closed in the headers": (b"HTTP/1.1 200 OK\r\ncontent-le", "close"),
    "closed in a body of known length": (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "close"),
    "closed in a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "close"),
    "closed between chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", "close"),
    "reset in the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "reset"),
}
JUNK = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    "bad chunk size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nab\r\n0\r\n\r\n",
    "huge headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (i, b"a" * 1000) for i in range(200)) + b"\r\n",
    "compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 24\r\n\r\n"
    + gzip.compress(b"{}{}", mtime=0),
}


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(CUTS))
async def test_broken_off(upstream: Upstream, name: str, verb: str) -> None:
    """However a sent request's answer breaks off, the error is ``cut``."""
    data, how = CUTS[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if how == "reset":
            await asyncio.sleep(0.05)
            peer.reset()

    async with RawServer(script) as server:
        call = upstream.send(ask(server.url), QUICK) if verb == "send" else read_all(upstream, server.url)
        error = await refused(call)
    assert error.failure.kind == "cut"


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(JUNK))
async def test_junk(upstream: Upstream, name: str, verb: str) -> None:
    """An answer that is not valid HTTP is a ``malformed`` (or, where a client cannot tell, ``cut``) failure, never data."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(JUNK[name])
        await peer.wait_gone()

    async with RawServer(script) as server:
        call = upstream.send(ask(server.url), QUICK) if verb == "send" else read_all(upstream, server.url)
        error = await refused(call)
    assert error.failure.kind in (("malformed",) if isinstance(upstream, Http1Client) else ("malformed", "cut"))


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


async def test_a_sent_request_is_never_sent_again(upstream: Upstream) -> None:
    """When a kept connection dies after the request was sent, that is ``cut``: the vendor may have done the work."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}")
        await peer.request()

    async with RawServer(script) as server:
        assert (await upstream.send(ask(server.url), QUICK)).status == 200
        assert (await refused(upstream.send(ask(server.url), QUICK))).failure.kind == "cut"
        assert sum(len(peer.requests) for peer in server.peers) == 2


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
