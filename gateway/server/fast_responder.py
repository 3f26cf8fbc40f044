"""An inference request straight from the protocol object: no ASGI messages, no queue, one write for a whole answer.

uvicorn goes on to own the connection: what it asks of a request under way (``response_complete``, ``keep_alive``, ``disconnected``,
``message_event``) this class answers like uvicorn's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.server.responder import ClientDisconnected, Headers

READ_S = 60.0
"""How long an answer waits while the caller reads nothing of the answers before it."""


class Connection(Protocol):
    """What a direct request asks of its connection."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    server_state: Any

    def on_response_complete(self) -> None: ...


class FastResponder:
    """A channel (see ``gateway.server.responder``) on one of our own connections. HTTP/1.1, POST."""

    __slots__ = (
        "_connection",
        "_expected",
        "_left",
        "_pieces",
        "_size",
        "_waiter",
        "_whole",
        "disconnected",
        "headers",
        "keep_alive",
        "method",
        "response_complete",
    )

    def __init__(self, connection: Connection, headers: Headers, *, keep_alive: bool, expected: bool) -> None:
        self.method = "POST"
        self.headers = headers
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self._connection = connection
        self._expected = expected
        """The caller waits for ``100 Continue`` before it sends the body."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole = False
        self._waiter: asyncio.Future[None] | None = None
        self._left: Callable[[], None] | None = None

    # -- for the connection -------------------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """A piece of the body."""
        if self.response_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER_LIMIT:
            self._connection.flow.pause_reading()
        self.set()

    def feed_eof(self) -> None:
        """The body is whole."""
        self._whole = True
        self.set()

    def lose(self) -> None:
        """The connection is gone."""
        self.disconnected = True
        self.set()
        if self._left is not None:
            self._left()

    @property
    def message_event(self) -> FastResponder:
        """uvicorn's name for what wakes up who waits for the body."""
        return self

    def set(self) -> None:
        """Wake up who waits for the body."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- for the surface ----------------------------------------------------------------------------------------------

    @property
    def body(self) -> bytes | None:
        """See ``Channel``."""
        if not self._whole:
            return None
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def more(self) -> bytes | None:
        """See ``Channel``."""
        if self._expected and not self._whole and not self._pieces:
            self._expected = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._pieces:
            if self._whole:
                return None
            if self.disconnected:
                raise ClientDisconnected
            self._connection.flow.resume_reading()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces, self._pieces, self._size = self._pieces, [], 0
        return b"".join(pieces)

    def watch(self, left: Callable[[], None]) -> None:
        """See ``Channel``."""
        self._left = left
        if self.disconnected:
            self._connection.loop.call_soon(self.lose)
        else:
            self._connection.flow.resume_reading()  # a large body pauses it; who does not read does not hear of the end

    def unwatch(self) -> None:
        """See ``Channel``."""
        self._left = None

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See ``Channel``. Waits while the caller does not read the answers before this one."""
        if self._connection.flow.write_paused:
            await self._room()
        if not self.disconnected:
            self._connection.transport.write(
                b"%bcontent-length: %d\r\n\r\n%b" % (self._head(status, headers), len(body), body)
            )
            self._completed()

    async def start(self, status: int, headers: Headers) -> None:
        """See ``Channel``."""
        if not self.disconnected:
            self._connection.transport.write(self._head(status, headers) + b"transfer-encoding: chunked\r\n\r\n")

    def push(self, data: bytes) -> bool:
        """See ``Channel``. A chunk of the chunked coding; an empty one would end the answer."""
        if self.disconnected or self._connection.flow.write_paused:
            return False
        if data:
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    async def send(self, data: bytes) -> None:
        """See ``Channel``."""
        flow = self._connection.flow
        while flow.write_paused and not self.disconnected:
            await flow.drain()
        if not self.response_complete:  # the end may have overtaken a keep-alive comment that waited here
            self.push(data)

    async def finish(self, data: bytes) -> None:
        """See ``Channel``."""
        await self.send(data)
        if not self.disconnected:
            self._connection.transport.write(b"0\r\n\r\n")
            self._completed()

    async def _room(self) -> None:
        """Wait until there is room for an answer. Who reads nothing for so long has its connection ended: it holds a place."""
        flow = self._connection.flow
        try:
            async with asyncio.timeout(READ_S):
                while flow.write_paused and not self.disconnected:
                    await flow.drain()
        except TimeoutError:
            self.disconnected = True
            self._connection.transport.abort()

    def _head(self, status: int, headers: Headers) -> bytes:
        """Status line and headers, without the blank line behind them. Raises ValueError for line breaks in a value; then the
        connection is given up: the surface takes its answer for sent.
        """
        self._expected = False
        lines = [STATUS_LINE[status]]
        for name, value in (*self._connection.server_state.default_headers, *headers):
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            self.disconnected = True
            self._connection.transport.close()
            raise ValueError(f"a line break in a header: {headers!r}")
        return head

    def _completed(self) -> None:
        self.response_complete = True
        self._pieces.clear()
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()
