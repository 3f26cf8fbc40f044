"""A relay between a gateway and its Redis that can withhold one kind of call, before or after it has run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

Where = Literal["request", "reply"]


class RedisProxy:
    """Listens on a TCP port, relays to a unix socket. ``withhold("settle", "reply")``: from the next such call on nothing
    more of that connection comes through in that direction; ``caught`` counts the calls."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._name = b""
        self._where: Where = "request"
        self.caught = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()  # both loops of a connection end by themselves
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def withhold(self, function: str, where: Where) -> None:
        """Begin to hold back calls of this ledger function."""
        self._name, self._where, self.caught = b"_" + function.encode() + b"\r\n", where, 0

    def relay(self) -> None:
        """Withhold nothing on new connections."""
        self._name = b""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_unix_connection(self._target)
        ends = {writer, there_writer}
        self._writers |= ends
        silent = asyncio.Event()
        back = asyncio.create_task(self._pump_back(there_reader, writer, silent))
        try:
            while data := await reader.read(65_536):
                found = data.count(self._name) if self._name else 0
                if found:
                    self.caught += found
                    silent.set()
                    if self._where == "request":
                        continue
                there_writer.write(data)
                await there_writer.drain()
        except ConnectionError:
            pass
        finally:
            for end in ends:
                end.transport.abort()
            await back
            self._writers -= ends
            self._tasks.discard(task)

    async def _pump_back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if not silent.is_set():
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
