"""Requests through a proxy: what works with a real one, what each failure of a proxy is called, and where its credentials are."""

from __future__ import annotations

import asyncio
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import pytest
import trustme

from providers.errors import ProviderError
from providers.transport.client import tls_context
from providers.transport.clients import Clients
from providers.transport.http1 import Http1Client
from providers.transport.httpx_client import HttpxClient
from providers.types import Clocks, Target
from tests.support.forward_proxy import CREDENTIALS, MakeProxy, forward_proxies, server_tls
from tests.support.rawserver import Peer, RawServer, Script
from tests.support.upstream import QUICK, ask, echo, read_all, refused

SECRETS = (*CREDENTIALS.split(":"), "c29tZW9uZT")
"""Of the credentials nothing may be seen, neither as text nor in base64."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def proxies(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeProxy]:
    with forward_proxies(authority, tmp_path_factory.mktemp("proxies")) as made:
        yield made


Make = Callable[..., HttpxClient]


@pytest.fixture
async def make(authority: trustme.CA) -> AsyncIterator[Make]:
    """Clients that trust the test's authority."""
    made: list[HttpxClient] = []

    def client(proxy: str) -> HttpxClient:
        made.append(HttpxClient(tls=tls_context(extra_ca_pem=authority.cert_pem.bytes()), proxy=proxy))
        return made[-1]

    yield client
    for one in made:
        await one.aclose()


def silent(error: ProviderError) -> bool:
    """Nothing of an error that might be logged shows the proxy's credentials."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.raw + error.message
    return not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize("credentials", ["", CREDENTIALS], ids=["open", "with credentials"])
@pytest.mark.parametrize("vendor_tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_through_a_real_proxy(
    make: Make, proxies: MakeProxy, authority: trustme.CA, scheme: str, vendor_tls: bool, credentials: str
) -> None:
    """Answers and streams arrive, connections are kept, and the vendor sees nothing of the proxy's credentials."""
    tls = server_tls(authority, "127.0.0.1") if vendor_tls else None
    proxy = proxies(scheme, credentials)
    async with RawServer(echo, tls=tls) as server:
        client = make(proxy.url)
        for _ in range(2):
            answer = await client.send(ask(server.url, b"x" * 70_000), QUICK)
            assert (answer.status, answer.content) == (200, b'{"got":70000}')
        assert b"".join(await read_all(client, server.url)) == b'{"got":2}'
        assert proxy.connections_to(f"127.0.0.1:{server.port}") == 1
        for head, _ in server.peers[0].requests:
            assert head.startswith("POST /v1/x?y=1 HTTP/1.1\r\n")
            assert "proxy-" not in head.lower()
        await client.aclose()


async def test_a_stream_is_pushed_through_a_proxy(make: Make, proxies: MakeProxy, authority: trustme.CA) -> None:
    """``pump`` hands over each event as it arrives: the vendor sends the next one only when the last was taken."""
    taken = asyncio.Event()
    events: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        for number in range(3):
            await peer.chunk(b"data: %d\n\n" % number)
            await taken.wait()
            taken.clear()
        await peer.end()

    def sink(data: bytes) -> bool:
        events.append(data)
        taken.set()
        return True

    async with RawServer(script, tls=server_tls(authority, "127.0.0.1")) as server:
        stream = await make(proxies("http").url).open(ask(server.url), QUICK)
        assert await asyncio.wait_for(stream.pump(sink), 5)
        assert events == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
        await stream.aclose()


@pytest.mark.parametrize("credentials", ["", "someone:wrong"], ids=["none", "wrong"])
@pytest.mark.parametrize("vendor_tls", [False, True], ids=["http", "https"])
async def test_a_real_proxy_demands_credentials(
    make: Make, proxies: MakeProxy, authority: trustme.CA, vendor_tls: bool, credentials: str
) -> None:
    """A 407 is ``proxy_credential``, both of a tunnel and of a forwarded request; the vendor is never reached."""
    tls = server_tls(authority, "127.0.0.1") if vendor_tls else None
    proxy = proxies("http", CREDENTIALS)
    async with RawServer(echo, tls=tls) as server:
        url = proxy.url.replace(CREDENTIALS, credentials) if credentials else proxy.url.replace(f"{CREDENTIALS}@", "")
        error = await refused(make(url).send(ask(server.url), QUICK))
        assert (error.failure.kind, error.status) == ("proxy_credential", 407)
        assert silent(error)
        assert not server.peers


# -- proxies that fail -----------------------------------------------------------------------------------------------------


def connect_answer(head: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(head)
        await peer.wait_gone()

    return script


def cut_after(head: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(head)

    return script


async def stall(peer: Peer) -> None:
    await peer.wait_gone()


def socks(*replies: bytes, then_hold: bool = True) -> Script:
    """A SOCKS proxy that answers each message with the next of these."""

    async def script(peer: Peer) -> None:
        for reply in replies:
            await peer.reader.read(1024)
            await peer.send(reply)
        if then_hold:
            await peer.wait_gone()

    return script


class Row(NamedTuple):
    scheme: str
    script: Script
    kind: str
    status: int | None = None


HOSTILE = {
    "CONNECT answered 407": Row(
        "http", connect_answer(b"HTTP/1.1 407 someone:s3cret-word?\r\n\r\n"), "proxy_credential", 407
    ),
    "CONNECT answered 403": Row("http", connect_answer(b"HTTP/1.1 403 no s3cret-word\r\n\r\n"), "proxy_refused", 403),
    "CONNECT answered 502": Row(
        "http", connect_answer(b"HTTP/1.1 502 x\r\ncontent-length: 2\r\n\r\nno"), "proxy_refused", 502
    ),
    "CONNECT answered 503": Row("http", connect_answer(b"HTTP/1.1 503 Unavailable\r\n\r\n"), "proxy_refused", 503),
    "CONNECT answered 302": Row(
        "http", connect_answer(b"HTTP/1.1 302 Login\r\nlocation: /\r\n\r\n"), "proxy_refused", 302
    ),
    "no HTTP": Row("http", connect_answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "proxy_unreachable"),
    "closed before its answer": Row("http", cut_after(b""), "proxy_unreachable"),
    "closed within its answer": Row("http", cut_after(b"HTTP/1.1 200 Connec"), "proxy_unreachable"),
    "never answers CONNECT": Row("http", stall, "proxy_timeout"),
    "never speaks TLS": Row("https", stall, "proxy_timeout"),
    "speaks no TLS": Row("https", connect_answer(b""), "proxy_timeout"),
    "never answers SOCKS": Row("socks5", stall, "proxy_timeout"),
    "closes before SOCKS": Row("socks5", socks(b"", then_hold=False), "proxy_unreachable"),
    "SOCKS without a method": Row("socks5", socks(b"\x05\xff"), "proxy_credential"),
    "SOCKS refuses the password": Row("socks5", socks(b"\x05\x02", b"\x01\x01"), "proxy_credential"),
    "SOCKS: not allowed": Row(
        "socks5", socks(b"\x05\x02", b"\x01\x00", b"\x05\x02\x00\x01\0\0\0\0\0\0"), "proxy_refused"
    ),
    "SOCKS: refused": Row("socks5", socks(b"\x05\x02", b"\x01\x00", b"\x05\x05\x00\x01\0\0\0\0\0\0"), "proxy_refused"),
    "speaks no SOCKS": Row("socks5", socks(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "proxy_unreachable"),
}


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("name", list(HOSTILE))
async def test_a_proxy_that_fails(make: Make, name: str, verb: str) -> None:
    """The kind names the proxy, no vendor is blamed, its text and its credentials appear nowhere, its connection is closed."""
    row = HOSTILE[name]
    quick = Clocks(connect_s=0.3, first_content_s=5.0, total_s=5.0)
    async with RawServer(row.script) as proxy:
        client = make(f"{row.scheme}://{CREDENTIALS}@127.0.0.1:{proxy.port}")
        verb_of = client.send if verb == "send" else client.open
        error = await refused(verb_of(ask("https://vendor.example"), quick))
        assert (error.failure.kind, error.status) == (row.kind, row.status)
        assert error.failure.attributed_to == "nobody"
        assert error.failure.failover
        assert not error.failure.may_bill
        assert error.clock == ("connect" if row.kind == "proxy_timeout" else None)
        assert f"{row.scheme}://127.0.0.1:{proxy.port}" in error.message
        assert silent(error)
        for peer in proxy.peers:
            await asyncio.wait_for(peer.gone.wait(), 2)


@pytest.mark.parametrize("url", ["http://vendor.example", "https://vendor.example"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_a_proxy_that_is_not_there(make: Make, scheme: str, url: str) -> None:
    """A closed port and a name that does not resolve are ``proxy_unreachable``: the vendor's name is not even looked up."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        for host in (f"127.0.0.1:{sock.getsockname()[1]}", "proxy.invalid:3128"):
            error = await refused(make(f"{scheme}://{CREDENTIALS}@{host}").send(ask(url), QUICK))
            assert error.failure.kind == "proxy_unreachable"
            assert host in error.message
            assert silent(error)


async def test_a_proxy_with_a_bad_certificate(make: Make) -> None:
    """TLS to the proxy is verified, too."""
    async with RawServer(stall, tls=server_tls(trustme.CA(), "127.0.0.1")) as proxy:
        error = await refused(make(proxy.url).send(ask("https://vendor.example"), QUICK))
        assert error.failure.kind == "proxy_unreachable"


# -- vendors that fail behind a proxy that works ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_vendor_that_fails_behind_a_proxy_is_blamed(
    make: Make, proxies: MakeProxy, authority: trustme.CA, scheme: str
) -> None:
    """TLS, a handshake without end, a cut and a clock are the vendor's, as without a proxy; later requests work."""
    good, bad = server_tls(authority, "127.0.0.1"), server_tls(trustme.CA(), "127.0.0.1")

    async def cut(peer: Peer) -> None:
        if await peer.request() == b"good":
            await peer.answer(b"{}")

    async def hold(peer: Peer) -> None:
        await peer.request()
        await peer.wait_gone()

    client = make(proxies(scheme).url)
    async with RawServer(echo, tls=bad) as server:
        assert (await refused(client.send(ask(server.url), QUICK))).failure.kind == "tls"
        assert not server.peers
    async with RawServer(stall) as server:
        url = server.url.replace("http:", "https:")
        error = await refused(client.send(ask(url), Clocks(connect_s=0.2)))
        assert (error.failure.kind, error.clock) == ("connect_timeout", "connect")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
    async with RawServer(hold, tls=good) as server:
        error = await refused(client.open(ask(server.url), Clocks(first_content_s=0.3)))
        assert (error.failure.kind, error.clock) == ("timeout_first_content", "first_content")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
    async with RawServer(cut, tls=good) as server:
        assert (await refused(client.send(ask(server.url), QUICK))).failure.kind == "cut"
        assert (await client.send(ask(server.url, b"good"), QUICK)).status == 200
    await client.aclose()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_half_open_connections_are_not_collected(
    make: Make, proxies: MakeProxy, authority: trustme.CA, scheme: str
) -> None:
    """httpcore would keep each tunnel whose TLS failed in its pool for ever."""
    async with RawServer(echo, tls=server_tls(trustme.CA(), "127.0.0.1")) as server:
        client = make(proxies(scheme).url)
        for _ in range(10):
            assert (await refused(client.send(ask(server.url), QUICK))).failure.kind == "tls"
        assert not client._retired
        transports = [*client._pool.client._mounts.values(), client._pool.client._transport]
        assert sum(len(one._pool.connections) for one in transports) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_cancelled_while_a_proxy_connects(make: Make, scheme: str) -> None:
    """A client that is cancelled before the proxy has answered closes its connection at once."""
    async with RawServer(stall) as proxy:
        task = asyncio.create_task(
            make(f"{scheme}://127.0.0.1:{proxy.port}").send(ask("https://vendor.example"), QUICK)
        )
        while not proxy.peers:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(proxy.peers[0].gone.wait(), 2)


# -- which client ----------------------------------------------------------------------------------------------------------


def at(url: str, **more: object) -> Target:
    return Target("acme", url, "m", **more)  # type: ignore[arg-type]


async def test_which_client_carries_a_request(roots: ssl.SSLContext) -> None:
    """Our own client unless there is a proxy or HTTP/2; one httpx client for each proxy; tokens never by our own client."""
    clients = Clients({"https_proxy": "http://127.0.0.1:1"}, tls=lambda: roots)
    plain, behind = at("https://a.example"), at("https://a.example", proxy="http://127.0.0.1:2")
    direct, modern = at("https://a.example", proxy="direct"), at("https://a.example", http2=True)
    assert isinstance(clients.for_requests(plain), Http1Client)
    assert clients.for_requests(direct) is clients.for_requests(plain)
    assert isinstance(clients.for_requests(behind), HttpxClient)
    assert clients.for_requests(behind) is clients.for_requests(at("https://b.example", proxy="http://127.0.0.1:2"))
    assert isinstance(clients.for_requests(modern), HttpxClient)
    assert clients.for_requests(modern) is not clients.direct
    assert clients.for_tokens(behind) is clients.for_requests(behind)
    assert clients.for_tokens(direct) is clients.direct
    error = await refused(clients.for_tokens(plain).send(ask("https://login.example"), QUICK))
    assert error.failure.kind == "proxy_unreachable"
    await clients.aclose()


async def test_tokens_go_through_the_environments_proxy(proxies: MakeProxy) -> None:
    """By the URL of the token's server, not by the vendor's; loopback and ``NO_PROXY`` are exempt."""
    proxy = proxies("http", CREDENTIALS)
    async with RawServer(echo) as server:
        clients = Clients({"http_proxy": proxy.url, "no_proxy": "nothing.invalid"})
        tokens = clients.for_tokens(at("https://a.example"))
        before = proxy.connections_to("login.invalid:81")
        await refused(tokens.send(ask("http://login.invalid:81"), QUICK))  # the proxy tries, and finds no address
        assert proxy.connections_to("login.invalid:81") == before + 1
        assert (await refused(tokens.send(ask("http://nothing.invalid"), QUICK))).failure.kind == "dns"
        assert (await tokens.send(ask(server.url), QUICK)).status == 200
        assert proxy.connections_to(f":{server.port}") == 0
        await clients.aclose()


def test_a_target_does_not_show_its_proxy() -> None:
    """A target may be logged."""
    assert not any(secret in repr(at("https://a.example", proxy=f"http://{CREDENTIALS}@p:1")) for secret in SECRETS)
