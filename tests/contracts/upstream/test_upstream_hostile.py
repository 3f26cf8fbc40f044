"""One menu of hostile vendors, each row run with both clients: the same answer or the same kind of failure.

The own client has to survive whatever httpx survives. Where a row names another outcome for httpx, the own client does better.
After each row the next request must get its own answer.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
import trustme

from providers.errors import ProviderError
from providers.transport import client_response, http1, httpx_client
from providers.transport.client import Upstream, tls_context
from providers.transport.http1 import Http1Client
from tests.support.forward_proxy import server_tls
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import CLIENTS, QUICK, ask, echo, read_all

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def sized(body: bytes = b"{}", headers: bytes = b"") -> bytes:
    """An answer with its length."""
    return OK + headers + b"content-length: %d\r\n\r\n" % len(body) + body


def chunks(*bodies: bytes) -> bytes:
    """An answer in chunks."""
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + LAST


def coded(encoding: bytes, body: bytes) -> bytes:
    return sized(body, b"content-encoding: %b\r\n" % encoding)


def bare_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


GZIP, BOMB = gzip.compress(b"{}", mtime=0), gzip.compress(b" " * 70_000_000, mtime=0)


@dataclass(frozen=True)
class Row:
    says: bytes
    outcome: bytes | str = b"{}"
    """The body that the caller gets, or the kind of failure."""
    kept: bool | None = True
    """Whether the own client uses the connection again; None: the vendor closes it at once."""
    httpx: str | None = None
    """The kind of failure with httpx, where it is another."""


MENU = {
    # Bytes behind the end of an answer.
    "one byte": Row(sized() + b"x", kept=False),
    "a blank": Row(sized() + b" ", kept=False),
    "a line end": Row(sized() + b"\r\n", kept=False),
    "a line feed behind one that belongs to it": Row(sized(b"{}\n") + b"\n", b"{}\n", kept=False),
    "a second answer": Row(sized() + sized(b"[]"), kept=False),
    "a second answer that is refused": Row(sized() + sized(b"[]").replace(b"200 OK", b"500 NO"), kept=False),
    "a length counted in characters": Row(
        sized('"Grüße"'.encode()).replace(b"length: 9", b"length: 7"), '"Grüß'.encode(), kept=False
    ),
    "a byte behind the chunks": Row(chunks(b"{}") + b"x", kept=False),
    "a line end behind the chunks": Row(chunks(b"{}") + b"\r\n", kept=False),
    "a byte behind a connection's last answer": Row(sized(headers=b"connection: close\r\n") + b"x", kept=False),
    "a byte behind an answer without a body": Row(b"HTTP/1.1 204 X\r\n\r\nx", b"", kept=False),
    # Unusual, and readable.
    "a body that ends with a line end": Row(sized(b"{}\r\n"), b"{}\r\n"),
    "no body": Row(sized(b""), b""),
    "204": Row(b"HTTP/1.1 204 X\r\n\r\n", b""),
    "chunks": Row(chunks(b"{", b"}")),
    "trailers": Row(CHUNKED + b"2\r\n{}\r\n0\r\nx: y\r\n\r\n"),
    "extensions of chunks": Row(CHUNKED + b"2;a=b\r\n{}\r\n0;x\r\n\r\n"),
    "zeros before sizes": Row(CHUNKED + b"0002\r\n{}\r\n000\r\n\r\n"),
    "blanks behind sizes": Row(CHUNKED + b"2 \r\n{}\r\n" + LAST),
    "chunks and a length": Row(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 9\r\n\r\n") + b"2\r\n{}\r\n" + LAST, kept=False),
    "the same length twice": Row(sized(headers=b"content-length: 2\r\n")),
    "the same length as a list": Row(sized().replace(b"length: 2", b"length: 2, 2")),
    "no reason phrase": Row(sized().replace(b" OK", b"")),
    "a reason phrase in UTF-8": Row(sized().replace(b"OK", "Grüß".encode())),
    "line feeds alone": Row(sized().replace(b"\r\n", b"\n")),
    "a folded header": Row(sized(headers=b"x: a\r\n b\r\n")),
    "a header without value": Row(sized(headers=b"x:\r\n")),
    "a header in UTF-8": Row(sized(headers="x: Grüße\r\n".encode())),
    "a control character in a header": Row(sized(headers=b"x: a\x01b\r\n")),
    "500 headers": Row(sized(headers=b"".join(b"x-%d: y\r\n" % number for number in range(500)))),
    "interim answers": Row(b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nlink: x\r\n\r\n" + sized()),
    "an offer to upgrade": Row(sized(headers=b"upgrade: h2c\r\nconnection: upgrade\r\n")),
    "HTTP/1.0": Row(sized().replace(b"/1.1", b"/1.0"), kept=False),
    "HTTP/1.2": Row(sized().replace(b"/1.1", b"/1.2")),
    "a line end before the answer": Row(b"\r\n" + sized(), httpx="malformed"),
    # Encodings, though identity was asked for.
    "an empty encoding": Row(coded(b"", b"{}")),
    "identity": Row(coded(b"Identity", b"{}")),
    "none": Row(coded(b"none", b"{}")),
    "a charset as encoding": Row(coded(b"UTF-8", b"{}")),
    "gzip": Row(coded(b"gzip", GZIP)),
    "gzip by its old name": Row(coded(b"x-gzip", GZIP)),
    "gzip in two members": Row(coded(b"identity, GZIP", gzip.compress(b"{") + gzip.compress(b"}"))),
    "gzip in chunks of a byte": Row(
        chunks(*(GZIP[at : at + 1] for at in range(len(GZIP)))).replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n", 1)
    ),
    "deflate": Row(coded(b"deflate", zlib.compress(b"{}"))),
    "deflate without its frame": Row(coded(b"deflate", bare_deflate(b"{}"))),
    "gzip that is cut": Row(coded(b"gzip", GZIP[:-3]), "malformed", kept=False),
    "gzip that is none": Row(coded(b"gzip", b"{}"), "malformed", kept=False),
    "gzip that grows": Row(coded(b"gzip", BOMB), "malformed", kept=False),
    "br": Row(coded(b"br", b"\x8b\x00\x80{}\x03"), "malformed", kept=False),
    "zstd": Row(coded(b"zstd", b"\x28\xb5\x2f\xfd"), "malformed", kept=False),
    "gzip twice": Row(coded(b"gzip, gzip", gzip.compress(GZIP)), "malformed", kept=False),
    "a refusal with br": Row(coded(b"br", b"\x8b").replace(b"200", b"503"), b""),
    "a refusal with gzip": Row(coded(b"gzip", GZIP).replace(b"200", b"503")),
    "a refusal with gzip that is none": Row(coded(b"gzip", b"{}").replace(b"200", b"503"), b""),
    # No HTTP.
    "another protocol": Row(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed", kept=False),
    "HTTP/2 in words": Row(sized().replace(b"/1.1", b"/2"), "malformed", kept=False),
    "a status of two digits": Row(sized().replace(b"200", b"99"), "malformed", kept=False),
    "a blank in a header's name": Row(sized(headers=b"x y: 1\r\n"), "malformed", kept=False),
    "a header without colon": Row(sized(headers=b"abc\r\n"), "malformed", kept=False),
    "80 kB of headers": Row(sized(headers=b"x: %b\r\n" % (b"a" * 80_000)), "malformed", kept=False),
    "two lengths": Row(sized(headers=b"content-length: 3\r\n"), "malformed", kept=False),
    "a length that is no number": Row(sized().replace(b"length: 2", b"length: 2x"), "malformed", kept=False),
    "a negative length": Row(sized().replace(b"length: 2", b"length: -2"), "malformed", kept=False),
    "a size that is no number": Row(CHUNKED + b"xyz\r\n{}\r\n" + LAST, "malformed", kept=False),
    "a negative size": Row(CHUNKED + b"-2\r\n{}\r\n" + LAST, "malformed", kept=False),
    "a size that is too small": Row(CHUNKED + b"1\r\n{}\r\n" + LAST, "malformed", kept=False),
    "another transfer encoding": Row(sized(headers=b"transfer-encoding: identity\r\n"), "malformed", kept=False),
    "another protocol in 101": Row(b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "malformed", kept=False),
    # The connection ends.
    "no answer": Row(b"", "cut", kept=None),
    "closed in the status line": Row(b"HTTP/1.1 2", "cut", kept=None),
    "closed in the headers": Row(b"HTTP/1.1 200 OK\r\ncontent-le", "cut", kept=None),
    "closed behind an interim answer": Row(b"HTTP/1.1 100 X\r\n\r\n", "cut", kept=None),
    "closed in the body": Row(sized()[:-1], "cut", kept=None),
    "closed in a chunk": Row(CHUNKED + b"5\r\n{}", "cut", kept=None),
    "closed between chunks": Row(CHUNKED + b"2\r\n{}\r\n", "cut", kept=None),
    "closed before the last line end": Row(CHUNKED + b"2\r\n{}\r\n0\r\n", "cut", kept=None),
    "a length beyond counting": Row(sized().replace(b"length: 2", b"length: 99999999999999999999"), "malformed", None, "cut"),
    "a size beyond counting": Row(CHUNKED + b"fffffffffffffffff\r\n{}\r\n", "malformed", None, "cut"),
    "a body without length": Row(OK + b"\r\n{}", kept=None),
    "gzip without length": Row(OK + b"content-encoding: gzip\r\n\r\n" + GZIP, kept=None),
    "gzip without length that is cut": Row(OK + b"content-encoding: gzip\r\n\r\n" + GZIP[:-3], "malformed", kept=None),
}  # fmt: skip


async def outcome(client: Upstream, url: str, verb: str, content: bytes = b"{}") -> bytes | str:
    """The body of the answer, or the kind of failure."""
    try:
        if verb == "send":
            return (await client.send(ask(url, content), QUICK)).content
        return b"".join(await read_all(client, url))
    except ProviderError as error:
        return error.failure.kind


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(MENU))
async def test_menu(roots: ssl.SSLContext, name: str, verb: str) -> None:
    """The outcome of the row, at once and with both clients; the next request gets its own answer, on a clean connection."""
    row = MENU[name]
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        while True:
            await peer.request()
            asked += 1
            await peer.send(row.says if asked == 1 else sized(b"next"))
            if asked == 1 and row.kept is None:
                return

    for client_name, make in CLIENTS.items():
        asked, client = 0, make(tls=roots)
        async with RawServer(script) as server:
            expected = row.httpx or row.outcome if client_name == "httpx" else row.outcome
            assert (client_name, await outcome(client, server.url, verb)) == (client_name, expected)
            assert (client_name, await outcome(client, server.url, verb)) == (client_name, b"next")
            if client_name == "http1":
                assert len(server.peers) == (1 if row.kept else 2)
            assert asked == 2
            await client.aclose()


# -- connections that were kept ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stale:
    says: bytes
    """What comes on a kept connection instead of the second answer, before it is closed."""
    outcome: bytes | str = b"fresh"
    how: str = "close"
    httpx: bytes | str | None = None


KEPT = {
    "closed": Stale(b""),
    "reset": Stale(b"", how="reset"),
    "the rest of the answer before": Stale(b'e"}'),
    "408, which ends an idle connection": Stale(b"HTTP/1.1 408 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"),
    "408 as an answer": Stale(b"HTTP/1.1 408 X\r\ncontent-length: 2\r\n\r\nno", b"no"),
    "closed behind an interim answer": Stale(b"HTTP/1.1 100 X\r\n\r\n", "cut", httpx=b"fresh"),
    # httpcore does not say how much of the headers has come.
    "closed in the status line": Stale(b"HTTP/1.1 2", "cut", httpx=b"fresh"),
    "closed in the body": Stale(sized()[:-1], "cut"),
    "no HTTP behind proper headers": Stale(CHUNKED + b"xyz\r\n", "malformed"),
}
"""A vendor closes a kept connection when it is used: httpcore sees no more of it than that no answer came."""


def dying(row: Stale, seen: list[int]) -> Any:
    """Answers the first request on each of the first connections, breaks with the second; ``fresh`` on later connections."""

    async def script(peer: Peer) -> None:
        number = len(seen)
        seen.append(0)
        fresh = number >= dying_connections
        while True:
            await peer.request()
            seen[number] += 1
            if fresh or seen[number] == 1:
                await peer.send(sized(b"fresh" if fresh else b"warm"))
                continue
            await peer.send(row.says)
            if row.how == "reset":
                peer.reset()
            return

    dying_connections = 1
    return script


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(KEPT))
async def test_kept_connections(roots: ssl.SSLContext, name: str, verb: str) -> None:
    """A connection that was dead before it was used again costs nothing: the request is sent once more, on a new one."""
    row = KEPT[name]
    for client_name, make in CLIENTS.items():
        seen: list[int] = []
        client = make(tls=roots)
        async with RawServer(dying(row, seen)) as server:
            assert await outcome(client, server.url, verb) == b"warm"
            expected = row.outcome if client_name == "http1" or row.httpx is None else row.httpx
            assert (client_name, await outcome(client, server.url, verb)) == (client_name, expected)
            assert seen == ([2, 1] if expected == b"fresh" else [2])
            await client.aclose()


@pytest.mark.parametrize("verb", ["send", "open"])
async def test_repeated_once(upstream: Upstream, verb: str) -> None:
    """The second connection is new: when it breaks as well, the vendor has broken off."""
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        seen.append(0)
        while True:
            await peer.request()
            seen[-1] += 1
            if len(seen) > 1 or seen[-1] > 1:
                return
            await peer.send(sized())

    async with RawServer(script) as server:
        assert await outcome(upstream, server.url, verb) == b"{}"
        assert await outcome(upstream, server.url, verb) == "cut"
        assert seen == [2, 1]


async def test_not_repeated_when_the_vendor_had_time_to_work(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection that breaks long after the request was sent: the vendor has accepted it and may bill it."""
    monkeypatch.setattr(client_response, "STALE_S", 0.0)
    monkeypatch.setattr(httpx_client, "STALE_S", 0.0)
    seen: list[int] = []
    async with RawServer(dying(Stale(b""), seen)) as server:
        assert await outcome(upstream, server.url, "send") == b"warm"
        assert await outcome(upstream, server.url, "send") == "cut"
        assert seen == [2]


@pytest.mark.parametrize("at_once", [True, False])
async def test_twenty_dead_connections(upstream: Upstream, at_once: bool) -> None:
    """All are dead when they are used: each request is answered; after the first one the older ones are not tried any more."""
    everybody, warm, lost = asyncio.Event(), 0, 0

    async def script(peer: Peer) -> None:
        nonlocal warm, lost
        await peer.request()
        if len(server.peers) <= 20:
            warm += 1
            if warm == 20:
                everybody.set()
            await everybody.wait()
            await peer.send(sized())
            await peer.request()
            lost += 1
            return
        while True:
            await peer.send(sized(b"fresh"))
            await peer.request()

    async with RawServer(script) as server:
        await asyncio.gather(*(outcome(upstream, server.url, "send") for _ in range(20)))
        assert len(server.peers) == 20
        if at_once:
            answers = await asyncio.gather(*(outcome(upstream, server.url, "send") for _ in range(20)))
        else:
            answers = [await outcome(upstream, server.url, "send") for _ in range(20)]
            assert (lost, len(server.peers)) == (1, 21)
        assert answers == [b"fresh"] * 20


# -- requests that are refused before they were read -------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("body", [b"x" * 100_000, b"x" * 8_000_000], ids=["100 kB", "8 MB"])
async def test_an_early_refusal_of_a_large_body(verb: str, tls: bool, body: bytes) -> None:
    """The refusal is read although the vendor reads no more, and no other request goes over that connection."""
    refusal = b"HTTP/1.1 413 X\r\ncontent-length: 2\r\n\r\nno"

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        if len(server.peers) == 1:
            await peer.send(refusal)
            await closed.wait()
        else:
            await peer.send(sized())
            await peer.wait_gone()

    closed, authority = asyncio.Event(), trustme.CA()
    client = Http1Client(tls=tls_context(extra_ca_pem=authority.cert_pem.bytes()))
    async with RawServer(script, tls=server_tls(authority, "127.0.0.1") if tls else None) as server:
        request = ask(server.url, body)
        if verb == "send":
            assert (await client.send(request, QUICK)).status == 413
        else:
            stream = await client.open(request, QUICK)
            assert (stream.status, await stream.read()) == (413, b"no")
            await stream.aclose()
        assert await outcome(client, server.url, "send") == b"{}"
        closed.set()
        await client.aclose()


async def test_an_early_refusal_that_closes(upstream: Upstream) -> None:
    """The vendor refuses and closes while the body is on its way: the answer is read, or it is a cut; nothing waits for a clock."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        await asyncio.sleep(0.02)

    async with RawServer(script) as server:
        found = await outcome(upstream, server.url, "send", b"x" * 8_000_000)
        # With httpx the vendor's reset may overtake its answer.
        assert found in ((b"no",) if isinstance(upstream, Http1Client) else (b"no", "cut"))


async def test_a_kept_connection_that_grew_old(roots: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection beyond its age is not used again, whether or not the sweep has come round."""
    monkeypatch.setattr(http1, "IDLE_MAX_S", 0.0)
    client = Http1Client(tls=roots)
    async with RawServer(echo) as server:
        for _ in range(2):
            assert await outcome(client, server.url, "send") == b'{"got":2}'
        assert len(server.peers) == 2
        await client.aclose()
