"""Connections of a served gateway, as its settings say."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway.settings import Settings
from tests.support.gateway import Sale, write_catalog
from tests.support.process import served

COMMON_CLIENTS_S = 60
"""The longest time that common clients and balancers keep an idle connection: AWS's load balancers."""


async def test_idle_connections(tmp_path: Path) -> None:
    """One is kept for ``GATEWAY_IDLE_TIMEOUT_S`` after its last answer; by default for longer than clients keep theirs."""
    assert Settings.model_fields["idle_timeout_s"].default > COMMON_CLIENTS_S
    config = write_catalog(tmp_path / "config", {"alpha": "http://127.0.0.1:9"}, [Sale("t/a", "alpha")])
    async with served(config, tmp_path / "data", idle_timeout_s=1) as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        since = time.monotonic()
        async with asyncio.timeout(30):
            while await reader.read(1000):
                pass
        assert time.monotonic() - since > 0.7
        writer.close()
        await writer.wait_closed()
