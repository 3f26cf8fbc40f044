"""A request straight from our own protocol object: no ASGI messages, no queue, one write for a whole response.

uvicorn still owns the connection. What it expects of a request under way (``response_complete``, ``keep_alive``,
``disconnected``, ``message_event``) this class has under the names that uvicorn's own request has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.server.responder import ClientDisconnected, Headers, Responder

BACKLOG_S = 60.0
"""How long a response waits while the client reads nothing of the responses before it."""


class Connection(Protocol):
    """What a request needs of its connection."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    server_state: Any

    def on_response_complete(self) -> None: ...


class FastResponder(Responder):
    """See ``Responder``. One POST request in HTTP/1.1."""

    __slots__ = (
        "_complete",
        "_connection",
        "_enough",
        "_expects_continue",
        "_on_disconnect",
        "_pieces",
        "_size",
        "_waiter",
        "disconnected",
        "keep_alive",
        "response_complete",
    )

    def __init__(self, connection: Connection, headers: Headers, *, keep_alive: bool, expects_continue: bool) -> None:
        super().__init__("POST", headers)
        self.keep_alive = keep_alive
        """The connection stays open after the response."""
        self.disconnected = False
        self.response_complete = False
        self._connection = connection
        self._expects_continue = expects_continue
        """The client waits for ``100 Continue`` before it sends the body."""
        self._pieces: list[bytes] = []
        """Of the body: arrived, and not yet read."""
        self._size = 0
        """Bytes of these pieces."""
        self._enough = HIGH_WATER_LIMIT
        """Of them, before reading pauses; little until somebody reads, since until then nobody has looked at the key."""
        self._complete = False
        """The whole body has arrived."""
        self._waiter: asyncio.Future[None] | None = None
        """What ``read`` waits for."""
        self._on_disconnect: Callable[[], None] | None = None

    # -- for the connection -------------------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """A piece of the body has arrived."""
        if self.response_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._enough:
            self._connection.flow.pause_reading()
            self.set()

    def feed_eof(self) -> None:
        """The whole body has arrived."""
        self._complete = True
        self.set()

    def disconnect(self) -> None:
        """The connection is lost."""
        self.disconnected = True
        self.set()
        if self._on_disconnect is not None:
            self._on_disconnect()

    @property
    def message_event(self) -> FastResponder:
        """uvicorn's name for the event that it sets when a request under way must look at its state again."""
        return self

    def set(self) -> None:
        """Wake up ``read``."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- the request --------------------------------------------------------------------------------------------------

    @property
    def body(self) -> bytes | None:
        return b"".join(self._pieces) if self._complete else None

    async def read(self, enough: int) -> bytes | None:
        if self._expects_continue and not self._complete and not self._pieces:
            self._expects_continue = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._enough = enough
        while not self._complete and self._size <= enough:
            if self.disconnected:
                raise ClientDisconnected
            self._connection.flow.resume_reading()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._pieces:
            return None
        pieces, self._pieces, self._size = self._pieces, [], 0
        return b"".join(pieces)

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        self._on_disconnect = on_disconnect
        if self.disconnected:
            self._connection.loop.call_soon(self.disconnect)
        else:
            # A large body has paused reading, and a transport that does not read does not notice a disconnect.
            self._connection.flow.resume_reading()

    def unwatch(self) -> None:
        self._on_disconnect = None

    # -- the response -------------------------------------------------------------------------------------------------

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """See ``Responder``. Waits while the client does not read the responses before this one."""
        self.started = self.ending = True
        if self._connection.flow.write_paused:
            await self._wait_for_backlog()
        if not self.disconnected:
            self._connection.transport.write(
                b"%bcontent-length: %d\r\n\r\n%b" % (self._head(status, headers), len(body), body)
            )
            self._completed()

    async def start(self, status: int, headers: Headers) -> None:
        if self.started:
            return
        self.started = True
        if not self.disconnected:
            self._connection.transport.write(self._head(status, headers) + b"transfer-encoding: chunked\r\n\r\n")

    def push(self, data: bytes) -> bool:
        self.idle = False
        if self.disconnected or self._connection.flow.write_paused:
            self._unsent += data
            return False
        if data:  # an empty chunk would end the response
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    async def send(self, data: bytes) -> None:
        flow = self._connection.flow
        while flow.write_paused and not self.disconnected:
            await flow.drain()
        # A keep-alive comment may have waited here while ``finish`` sent the end of the response.
        if data and not self.disconnected and not self.response_complete:
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _finish(self, data: bytes) -> None:
        await self.send(data)
        if not self.disconnected:
            self._connection.transport.write(b"0\r\n\r\n")
            self._completed()

    async def _wait_for_backlog(self) -> None:
        """Wait until the client has read the responses before this one. A client that reads nothing for ``BACKLOG_S`` loses
        its connection, because the request occupies one of the places of ``InFlight``.
        """
        flow = self._connection.flow
        try:
            async with asyncio.timeout(BACKLOG_S):
                while flow.write_paused and not self.disconnected:
                    await flow.drain()
        except TimeoutError:
            self.disconnected = True
            self._connection.transport.abort()

    def _head(self, status: int, headers: Headers) -> bytes:
        """Status line and headers, without the blank line after them.

        Raises ValueError for a line break in a header, after closing the connection: whatever the handler sends next is lost.
        """
        self._expects_continue = False
        lines = [STATUS_LINE[status]]
        for name, value in (*self._connection.server_state.default_headers, *self.common, *headers):
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
