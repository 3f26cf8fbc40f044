"""The same gateway behind both responders, our own protocol's and ASGI's, and HTTP as bytes.

answer = await on_both(stages, case)        # case(stage) asserts, and what it returns must be the same on both
"""

from __future__ import annotations

import asyncio
import email.utils
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tests.support.gateway import Caller, Sale, Stage, staged
from tests.support.invariants import calm, our_tasks
from tests.support.vendor import PATIENCE_S, Line
from tests.support.wireshape import GENERATION_ID

PATH = "/api/v1/chat/completions"
SERVERS = ("direct", "asgi")
T = TypeVar("T")


@asynccontextmanager
async def both(directory: Path, redis_url: str, *sales: Sale, **options: Any) -> AsyncIterator[tuple[Stage, ...]]:
    """Two stages that differ only in the server's protocol; ``options`` as for ``staged``."""
    async with AsyncExitStack() as stack:
        yield tuple(
            [
                await stack.enter_async_context(
                    staged(directory / name, redis_url, *sales, asgi=name == "asgi", **options)
                )
                for name in SERVERS
            ]
        )


async def on_both(stages: Sequence[Stage], case: Callable[[Stage], Awaitable[T]]) -> T:
    """Run a case on both servers. Asserts that it returns the same and leaves no task running. Returns that result."""
    results = []
    for name, stage in zip(SERVERS, stages, strict=True):
        before = our_tasks()
        for sim in stage.vendors.values():
            sim.log.reset()
        try:
            results.append(await case(stage))
            await calm(stage, before)
        except BaseException as error:
            error.add_note(f"on the server {name!r}")
            raise
    assert results[0] == results[1]
    return results[0]


def request(
    caller: Caller, *lines: str, method: str = "POST", path: str = PATH, version: str = "1.1", body: bytes = b""
) -> bytes:
    """A request with further header lines, its length given unless one of them says how the body is framed."""
    head = [f"{method} {path} HTTP/{version}", "Host: gateway", f"Authorization: Bearer {caller.secret}", *lines]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def question(model: str = "t/a", text: str = "hello", **more: Any) -> bytes:
    """The body of a chat completion."""
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}], **more})


def chunked(body: bytes, size: int) -> bytes:
    """A body in the chunked encoding."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHANGING = frozenset({"date", "x-request-id", "request-id"})


@dataclass(frozen=True)
class Answer:
    """One answer, its framing checked and undone."""

    status: int
    headers: dict[str, str]
    body: bytes
    chunks: tuple[bytes, ...] | None
    """None: it had a Content-Length, or ended with the connection."""

    @property
    def plain(self) -> tuple[Any, ...]:
        """All of it except what differs from request to request and where a stream is cut into chunks."""
        headers = {k: re.sub(GENERATION_ID, "gen-", v) for k, v in self.headers.items() if k not in CHANGING}
        body = re.sub(GENERATION_ID, "gen-", self.body.decode("latin-1"))
        body = re.sub(r'"created":\d+', '"created":0', body)
        if "content-length" in headers and self.status == 200:
            headers["content-length"] = "as long as it is"  # ids of vendors differ in their length
        return self.status, headers, self.chunks is None, body

    def json(self) -> Any:
        """The body."""
        return msgspec.json.decode(self.body)


async def read(line: Line, *, method: str = "POST", version: str = "1.1") -> Answer:
    """The next answer. Asserts what each must have: a well-formed head, a date, and one of the two ways to end a body that the
    client's version of HTTP knows."""
    async with asyncio.timeout(PATIENCE_S):
        raw = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = raw[:-4].split("\r\n")
    found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z -]+", first)
    assert found, raw
    pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    headers = dict(pairs)
    assert len(headers) == len(pairs), raw
    assert email.utils.parsedate_to_datetime(headers["date"]).tzinfo is not None
    is_chunked = headers.get("transfer-encoding") == "chunked"
    if version == "1.0":
        assert (headers["connection"], is_chunked) == ("close", False), raw
    else:
        assert ("content-length" in headers) + is_chunked == 1, raw
    if method == "HEAD":
        return Answer(int(found[1]), headers, b"", None)
    async with asyncio.timeout(PATIENCE_S):
        if "content-length" in headers:
            body = await line.reader.readexactly(int(headers["content-length"]))
            return Answer(int(found[1]), headers, body, None)
        if not is_chunked:
            return Answer(int(found[1]), headers, await line.reader.read(), None)
        chunks: list[bytes] = []
        while True:
            size = await line.reader.readuntil(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+\r\n", size), size
            chunk = await line.reader.readexactly(int(size, 16) + 2)
            assert chunk.endswith(b"\r\n")
            if len(chunk) == 2:
                return Answer(int(found[1]), headers, b"".join(chunks), tuple(chunks))
            chunks.append(chunk[:-2])


async def closes(line: Line) -> bool:
    """Whether the connection closes without another byte."""
    return await line.rest() == b""
