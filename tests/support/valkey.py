"""One real Valkey per test worker, on a unix socket in a temporary directory; each test starts with it empty."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.accounts import Accounts
from gateway.ledger.ledger import Ledger
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded, find_server


@asynccontextmanager
async def configured_valkey(directory: Path, *options: str) -> AsyncIterator[str]:
    """The URL of a server of its own with these options of its command line."""
    directory.mkdir(parents=True, exist_ok=True)
    socket = directory / "valkey.sock"
    command = [
        str(find_server()),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(directory),
        *options,
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.returncode is None
            await asyncio.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.wait()


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
