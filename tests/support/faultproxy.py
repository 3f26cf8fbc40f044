"""A proxy in front of a unix socket that can lose a reply after the server has executed the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class FaultProxy:
    """``drop_next``: discard the next reply and all after it on that connection, and close the connection."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.drop_next = False
        self.dropped = 0
        self.server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(self.target))
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, False)),
            asyncio.create_task(self._pump(up_reader, writer, True)),
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, up_writer):
            end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        while data := await source.read(65536):
            if answers and self.drop_next:
                self.drop_next = False
                self.dropped += 1
                return
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def fault_proxy(target: Path, path: Path) -> AsyncIterator[FaultProxy]:
    """Listens on ``path``, forwards to ``target``."""
    proxy = FaultProxy(target)
    server = await asyncio.start_unix_server(proxy._serve, str(path))
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy._tasks:
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
