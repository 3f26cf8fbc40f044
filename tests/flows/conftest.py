"""Fixtures of the flows that a single file does not own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support.gateway import Sale, Stage
from tests.support.management import managed
from tests.support.responders import both

__all__ = ["managed", "servers"]

SALES = (
    Sale("t/a", "alpha", "ok+tokens=5"),
    Sale("t/late", "alpha", "ok+tokens=3+ttft=150"),
    Sale("t/talks", "alpha", "ok+tokens=2000+tps=100"),
    Sale("t/waits", "alpha", "ok+ttft=20000"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded
) -> AsyncIterator[tuple[Stage, ...]]:
    """The same gateway behind our own protocol and behind plain ASGI; a body has a second to arrive and 8 MB."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    limits = {"body_timeout_s": 1, "max_body_bytes": 8_000_000}
    async with both(tmp_path_factory.mktemp("servers"), valkey_server.url, *SALES, **limits) as stages:
        yield stages
