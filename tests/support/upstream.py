"""What every test of the HTTP clients needs: the clients, one request, short time-outs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from providers.errors import ProviderError
from providers.transport.client import Upstream
from providers.transport.http1 import Http1Client
from providers.transport.httpx_client import HttpxClient
from providers.types import Clocks, HttpRequest
from tests.support.rawserver import Peer

CLIENTS: dict[str, Callable[..., Upstream]] = {"http1": Http1Client, "httpx": HttpxClient}
QUICK = Clocks(connect_s=5.0, first_content_s=5.0, gap_s=5.0, total_s=5.0)


def ask(url: str, content: bytes = b"{}") -> HttpRequest:
    return HttpRequest(
        url + "/v1/x?y=1", (("content-type", "application/json"), ("authorization", "Bearer k")), content
    )


async def refused(awaitable: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await awaitable
    return caught.value


async def read_all(upstream: Upstream, url: str, clocks: Clocks = QUICK) -> list[bytes]:
    stream = await upstream.open(ask(url), clocks)
    pieces = []
    try:
        while data := await stream.read():
            pieces.append(data)
    finally:
        await stream.aclose()
    return pieces


async def echo(peer: Peer) -> None:
    while True:
        body = await peer.request()
        await peer.answer(b'{"got":%d}' % len(body), headers="X-Thing: Yes\r\n")
