"""The contract of ``Upstream`` over TLS: verified or not at all."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable

import pytest
import trustme

from providers.transport.client import Upstream, tls_context
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import CLIENTS, QUICK, ask, echo, read_all, refused


def server_tls(authority: trustme.CA, *names: str, days: int = 1) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    authority.issue_cert(*names, not_after=until).configure_cert(context)
    return context


@pytest.mark.parametrize("make", list(CLIENTS.values()), ids=list(CLIENTS))
async def test_tls_with_a_trusted_certificate(make: Callable[..., Upstream]) -> None:
    """Calls, streams and kept connections work over verified TLS."""
    authority = trustme.CA()
    client = make(tls=tls_context(extra_ca_pem=authority.cert_pem.bytes()))
    async with RawServer(echo, tls=server_tls(authority, "127.0.0.1")) as server:
        for _ in range(2):
            assert (await client.send(ask(server.url), QUICK)).status == 200
        assert b"".join(await read_all(client, server.url)) == b'{"got":2}'
        assert len(server.peers) == 1
        await client.aclose()


@pytest.mark.parametrize("fault", ["expired", "wrong name", "self-signed", "plaintext"])
@pytest.mark.parametrize("make", list(CLIENTS.values()), ids=list(CLIENTS))
async def test_tls_is_never_downgraded(make: Callable[..., Upstream], fault: str) -> None:
    """A certificate that does not verify, or a server without TLS, is ``tls``; not one byte of the request is sent."""
    authority = trustme.CA()
    client = make(tls=tls_context(extra_ca_pem=authority.cert_pem.bytes()))
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        if fault == "plaintext":
            await peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        received.append(await peer.reader.read(65536))

    contexts = {
        "expired": server_tls(authority, "127.0.0.1", days=-1),
        "wrong name": server_tls(authority, "localhost"),
        "self-signed": server_tls(trustme.CA(), "127.0.0.1"),
        "plaintext": None,
    }
    async with RawServer(script, tls=contexts[fault]) as server:
        url = server.url.replace("http:", "https:")
        error = await refused(client.send(ask(url), QUICK))
        assert error.failure.kind == "tls"
        await client.aclose()
    assert b"POST" not in b"".join(received)
