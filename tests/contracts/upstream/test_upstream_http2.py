"""HTTP/2 to a vendor: many requests on one connection, and an answer that is given up is reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import trustme

from providers.transport.client import tls_context
from providers.transport.httpx_client import HttpxClient
from providers.types import Clocks, HttpRequest
from tests.support.forward_proxy import server_tls
from tests.support.h2server import H2Server
from tests.support.rawserver import RawServer
from tests.support.upstream import QUICK, ask, echo, refused


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def client(authority: trustme.CA) -> AsyncIterator[HttpxClient]:
    one = HttpxClient(tls=tls_context(extra_ca_pem=authority.cert_pem.bytes()), http2=True)
    yield one
    await one.aclose()


@pytest.fixture
async def server(authority: trustme.CA) -> AsyncIterator[H2Server]:
    async with H2Server(server_tls(authority, "127.0.0.1", protocols=("h2", "http/1.1"))) as one:
        yield one


def to(server: H2Server, path: str) -> HttpRequest:
    return HttpRequest(server.url + path, (("authorization", "Bearer k"),), b"{}")


async def test_requests_share_a_connection(client: HttpxClient, server: H2Server) -> None:
    """Calls and pushed streams, one after the other and at once."""
    assert (await client.send(to(server, "/x"), QUICK)).content == b"data: 1\n\n"
    answers = await asyncio.gather(*(client.send(to(server, "/x"), QUICK) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    got: list[bytes] = []
    stream = await client.open(to(server, "/x"), QUICK)
    assert await stream.pump(lambda data: got.append(data) is None)
    await stream.aclose()
    assert (b"".join(got), server.connections, server.resets) == (b"data: 1\n\n", 1, [])


async def test_a_vendor_without_http2(client: HttpxClient, authority: trustme.CA) -> None:
    """HTTP/1.1 is offered as well."""
    async with RawServer(echo, tls=server_tls(authority, "127.0.0.1", protocols=("http/1.1",))) as server:
        assert (await client.send(ask(server.url), QUICK)).content == b'{"got":2}'


@pytest.mark.parametrize("how", ["cancelled before the headers", "cancelled", "closed", "a clock"])
async def test_an_answer_that_is_given_up_is_reset(client: HttpxClient, server: H2Server, how: str) -> None:
    """The vendor gets the reset at once, and the other streams of the connection go on."""
    neighbour = await client.open(to(server, "/hold"), QUICK)

    async def call() -> None:
        path = "/hold-headers" if how == "cancelled before the headers" else "/hold"
        stream = await client.open(to(server, path), QUICK)
        try:
            assert await stream.read() == b"data: 1\n\n"
            if how != "closed":
                await stream.read()
        finally:
            await stream.aclose()

    if how == "a clock":
        error = await refused(client.send(to(server, "/hold"), Clocks(total_s=0.2)))
        assert error.failure.kind == "timeout_total"
    else:
        task = asyncio.create_task(call())
        await asyncio.sleep(0.2)
        if how != "closed":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    await asyncio.wait_for(server.reset.wait(), 2)
    assert len(server.resets) == 1
    assert await neighbour.read() == b"data: 1\n\n"
    assert (await client.send(to(server, "/x"), QUICK)).status == 200
    assert server.connections == 1
    await neighbour.aclose()
