"""The vendor behind every target: one raw asyncio protocol on uvloop, about 15 µs a request.

``POST`` with ``"stream":true`` in the body answers server-sent events, each one a write of its own (TCP_NODELAY is on), else JSON;
the path decides the wire format: OpenAI, Anthropic, Gemini.
``GET /control?events=110&gap_us=10000`` sets the length and the pace of the streams that start afterwards; ``GET /stats`` counts.
Run as ``python -m bench.upstream``; the first line on stdout is the port.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop

from bench import shapes
from bench.pacer import Pacer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_STREAM = re.compile(rb'"stream" *: *true')
_HEAD_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass
class State:
    """The settings of the next stream, and counters so far."""

    events: int = 100
    gap_us: int = 10_000
    requests: int = 0
    streams: int = 0
    streams_ended: int = 0
    streams_left: int = 0


def framed(data: bytes) -> bytes:
    """One HTTP/1.1 chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def json_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def split_request(buffer: bytes) -> tuple[bytes, bytes, int] | None:
    """(head, body, bytes used) of the first whole request in the buffer, None when it is not there yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, start = buffer[: end + 2], end + 4
    found = _LENGTH.search(head)
    if found:
        stop = start + int(found[1])
        return (head, buffer[start:stop], stop) if len(buffer) >= stop else None
    if _CHUNKED.search(head):
        stop = buffer.find(b"0\r\n\r\n", start)
        return (head, buffer[start:stop], stop + 5) if stop >= 0 else None
    return head, b"", start


class _FramedScript:
    """One wire format, framed."""

    def __init__(self, script: shapes.Script) -> None:
        size = len(script.before) + shapes.STAMP_BYTES - 1 + len(script.after)
        self.head = b"%x\r\n%s" % (size, script.before)
        self.tail = script.after + b"\r\n"
        self.opening = _HEAD_STREAM + (framed(script.opening) if script.opening else b"")
        self.closing = tuple(framed(event) for event in script.closing)
        self.answer = json_answer(script.answer)


_FRAMED = {part.encode(): _FramedScript(script) for part, script in shapes.SCRIPTS.items()}


def _script_of(head: bytes) -> _FramedScript:
    path = head[: head.find(b"\r")]
    return next(framed_script for part, framed_script in _FRAMED.items() if part in path)


class Conversation(asyncio.Protocol):
    """One connection; requests are answered in turn."""

    def __init__(self, state: State, pacer: Pacer) -> None:
        self._state, self._pacer = state, pacer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._left = 0
        self._streaming = False
        self._script = _FRAMED[b"/chat/completions"]
        self._next_ns = 0
        self._gap_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._streaming:
            self._state.streams_left += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._streaming and (found := split_request(self._buffer)):
            head, body, used = found
            self._buffer = self._buffer[used:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport
        if head.startswith(b"GET "):
            self._transport.write(self._management(head.split(b" ", 2)[1].decode()))
            return
        self._state.requests += 1
        self._script = _script_of(head)
        if not (_STREAM.search(body) or b":streamGenerateContent" in head[:200]):
            self._transport.write(self._script.answer)
            return
        self._state.streams += 1
        self._streaming = True
        self._left, self._gap_ns = self._state.events, self._state.gap_us * 1000
        self._transport.write(self._script.opening)
        self._next_ns = time.monotonic_ns() + self._gap_ns
        self._pacer.at(self._next_ns, self._tick)

    def _tick(self) -> None:
        if self._transport is None:
            return
        if self._left:
            self._left -= 1
            self._transport.write(self._script.head + shapes.stamp(time.monotonic_ns()) + self._script.tail)
            self._next_ns += self._gap_ns
            self._pacer.at(self._next_ns, self._tick)
            return
        for event in self._script.closing:
            self._transport.write(event)
        self._transport.write(b"0\r\n\r\n")
        self._state.streams_ended += 1
        self._streaming = False
        self.data_received(b"")

    def _management(self, target: str) -> bytes:
        parts = urlsplit(target)
        if parts.path == "/control":
            for name, value in parse_qsl(parts.query):
                setattr(self._state, name, int(value))
        return json_answer(json.dumps(asdict(self._state)).encode())


async def serve() -> None:
    """Listens on a free port of 127.0.0.1 until it is killed."""
    loop = asyncio.get_running_loop()
    state, pacer = State(), Pacer(loop)
    server = await loop.create_server(lambda: Conversation(state, pacer), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
