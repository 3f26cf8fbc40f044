"""The network contract is held on both event loops: asyncio's own, and uvloop, on which the gateway is served."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from providers.transport.client import Upstream, tls_context
from tests.support.upstream import CLIENTS


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def roots() -> ssl.SSLContext:
    """Loading the trusted roots takes longer than most of these tests."""
    return tls_context()


@pytest.fixture(params=list(CLIENTS))
async def upstream(request: pytest.FixtureRequest, roots: ssl.SSLContext) -> AsyncIterator[Upstream]:
    client = CLIENTS[request.param](tls=roots)
    yield client
    await client.aclose()
