"""Simulated vendors in the test's own process, on ports the system chose, and a client that sees every byte.

async with vendor() as sim:                 # one, listening; sim.base_url, sim.log, sim.refuse(), sim.kill() ...
async with vendors("a", "b", key="k") as (a, b):

"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from simulator import SimulatedVendor

PATIENCE_S = 20
"""How long a test waits for something that must happen before it fails."""


@asynccontextmanager
async def vendor(name: str = "sim", **options: Any) -> AsyncIterator[SimulatedVendor]:
    """One simulated vendor on an ephemeral port; ``options`` as for ``SimulatedVendor``."""
    running = await SimulatedVendor(name, **options).start()
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def vendors(*names: str, **options: Any) -> AsyncIterator[tuple[SimulatedVendor, ...]]:
    """Several of them."""
    async with AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(vendor(name, **options)) for name in names])


@pytest.fixture
async def simulated() -> AsyncIterator[Callable[..., Any]]:
    """A factory, ``await simulated("name", key=...)``; stops what it started."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "sim", **options: Any) -> SimulatedVendor:
            return await stack.enter_async_context(vendor(name, **options))

        yield start


async def until(condition: Callable[[], object]) -> None:
    """Waits until the condition holds; fails after ``PATIENCE_S``."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.002)


class Line:
    """A raw connection to a vendor: what is sent and received is bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, model: str, *, headers: dict[str, str] | None = None, **body: Any) -> None:
        """Sends a chat request; ``body`` are its further fields."""
        await self.send(request_bytes(model, headers=headers, **body))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next response."""
        async with asyncio.timeout(PATIENCE_S):
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.rstrip("\r\n").split("\r\n")
        return int(first.split(" ")[1]), {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """The next whole response, framed by its Content-Length or its chunks; the connection stays usable."""
        status, headers = await self.head()
        async with asyncio.timeout(PATIENCE_S):
            if "content-length" in headers:
                return status, headers, await self.reader.readexactly(int(headers["content-length"]))
            body = bytearray()
            while data := await self.chunk():
                body += data
        return status, headers, bytes(body)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body, ``b""`` for the last one."""
        async with asyncio.timeout(PATIENCE_S):
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """Everything until the vendor closes. Raises ConnectionResetError on a reset."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def silent(self, seconds: float = 0.05) -> bool:
        """True when nothing, not even the end of the stream, arrives in this time."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    def leave(self) -> None:
        """Drops the connection at once."""
        self.writer.transport.abort()


@asynccontextmanager
async def line(sim: SimulatedVendor) -> AsyncIterator[Line]:
    """A raw connection to the vendor."""
    reader, writer = await asyncio.open_connection(sim.host, sim.port, limit=1 << 27)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def request_bytes(model: str, *, headers: dict[str, str] | None = None, **body: Any) -> bytes:
    """A chat request as bytes."""
    content = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello you"}], **body}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: sim", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def events(body: bytes) -> list[Any]:
    """The data of an SSE body, decoded; ``"[DONE]"`` as that text."""
    lines = [part[6:] for part in body.decode().replace("\r\n", "\n").split("\n\n") if part.startswith("data: ")]
    return [text if text == "[DONE]" else json.loads(text) for text in lines]


def text_of(chunks: list[Any]) -> str:
    """The content of a stream's events."""
    choices = [choice for chunk in chunks if isinstance(chunk, dict) for choice in chunk.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
