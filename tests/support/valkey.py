"""One real Valkey per test worker, on a unix socket in a temporary directory; each test starts with it empty."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.accounts import Accounts
from gateway.ledger.ledger import Ledger
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Embedded]:
    """The worker's server."""
    with tempfile.TemporaryDirectory(prefix="tw-valkey-") as directory:
        server = Embedded(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def store(valkey_server: Embedded) -> AsyncIterator[Store]:
    """A connected store on an empty server. Functions stay loaded."""
    opened = await connect(valkey_server.url, timeout_s=5)
    await opened.redis.flushall()
    yield opened
    await opened.aclose()


@pytest.fixture
async def accounts(store: Store) -> Accounts:
    """Accounts with the default organisation."""
    service = Accounts(store)
    await service.prepare()
    return service


@pytest.fixture
async def ledger(store: Store) -> Ledger:
    """The ledger over the multiplexer."""
    service = Ledger(store)
    await service.prepare()
    return service
