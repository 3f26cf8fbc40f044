"""One request and its answer over HTTP/1.1: the parser's callbacks on one side, the reader's methods on the other.

What arrives is either kept until it is read or, while ``pump`` runs, handed to its sink before the socket's callback returns, so
that a streamed event wakes no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import httptools

from providers.errors import Clock, ProviderError, failed, timed_out
from providers.transport.client import HEADERS_MAX, JSON_MAX, LINGER_S, WINDOW


class ConnectionControl(Protocol):
    """What a response does to its connection."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...
    def finished(self, *, keep: bool) -> None: ...


class ClientResponse:
    """One request and its answer on a connection."""

    __slots__ = (
        "_connection",
        "_discarding",
        "_error",
        "_header_bytes",
        "_loop",
        "_parser",
        "_pieces",
        "_released",
        "_sink",
        "_size",
        "_waiter",
        "complete",
        "headers",
        "ready",
        "sent_at",
        "status",
        "whole",
    )

    def __init__(self, connection: ConnectionControl, loop: asyncio.AbstractEventLoop, *, whole: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ready = False
        """The final headers have arrived."""
        self.complete = False
        """The body has ended properly."""
        self.whole = whole
        """The body is wanted in one piece, so the reader's pace does not matter."""
        self._loop = loop
        self.sent_at = self._loop.time()
        self._connection: ConnectionControl | None = connection
        self._parser = httptools.HttpResponseParser(self)
        self._header_bytes = 0
        self._discarding = False
        """The bytes of the body are thrown away."""
        self._released = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[BaseException | bool | None] | None = None
        """Wakes the reader. Its result is for ``pump``: what the sink raised, or False when the sink returned False."""
        self._sink: Callable[[bytes], bool] | None = None
        """Where the body goes as it arrives, while ``pump`` runs."""
        self._error: ProviderError | None = None

    # -- for the reader ------------------------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        while not self.ready:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def wait_complete(self) -> bytes:
        while not self.complete:
            if self._error is not None:
                raise self._error
            await self._wait()
        return b"".join(self._pieces)

    async def read(self) -> bytes:
        while not self._pieces:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._take_pieces()

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        while True:
            if self._pieces and not sink(self._take_pieces()):
                return False
            if self.complete:
                return True
            if self._error is not None:
                raise self._error
            self._waiter, self._sink = self._loop.create_future(), sink
            try:
                outcome = await self._waiter
            finally:
                self._waiter = self._sink = None
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is False:
                return False

    def _take_pieces(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces = []
        if self._size > WINDOW and self._connection is not None:
            self._connection.resume()
        self._size = 0
        return data

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def fail(self, error: ProviderError) -> None:
        if self.complete or self._error is not None:
            return
        self._error = error
        self._pieces.clear()
        self.drop()
        self._wake()

    def fail_in(self, limit_s: float, clock: Clock) -> asyncio.TimerHandle:
        """Start a clock: unless the handle is cancelled before, the response fails ``limit_s`` seconds after sending."""
        return self._loop.call_at(self.sent_at + limit_s, self._expire, clock, limit_s)

    def _expire(self, clock: Clock, limit_s: float) -> None:
        self.fail(timed_out(clock, limit_s))

    def release(self) -> None:
        if self._connection is not None and not self._discarding:
            self._pieces.clear()
            self._discarding = self._released = True
            self._connection.resume()
            self._loop.call_later(LINGER_S, self.drop)

    async def aclose(self) -> None:
        if not self._released:
            self.drop()

    def drop(self) -> None:
        """Close the connection, unless the body has ended and the connection is back in its pool already."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- for the connection --------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # ProviderErrors of our own callbacks arrive as the context of the parser's callback error.
            inner = error.__context__
            self.fail(inner if isinstance(inner, ProviderError) else failed("malformed", f"not HTTP: {error}"))
            return
        if self._sink is not None:
            self._push(self._sink)
        elif self.complete or (not self.whole and (self._pieces or self.ready)):
            self._wake()

    def _push(self, sink: Callable[[bytes], bool]) -> None:
        """Hand over what one read of the socket brought. Runs after the parser's callbacks, so the sink may do anything."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # pump was stopped, failed or cancelled and its task has not run yet: what arrives is kept
        outcome: BaseException | bool | None = None
        if self._pieces:
            try:
                outcome = None if sink(self._take_pieces()) else False
            except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the task that waits
                outcome = error
        if (outcome is not None or self.complete) and not waiter.done():
            waiter.set_result(outcome)

    def lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self.complete:
            return
        if error is None and self.ready and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self.complete = True  # RFC 9112, 6.3: without a length the body ends with the connection
        else:
            reason = str(error) if error else "the vendor closed the connection"
            self._error = self._error or failed("cut", reason, status=self.status or None)
        self.drop()
        self._wake()

    # -- for the parser ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise failed("malformed", "the answer has more bytes than its length")
        self.headers, self._header_bytes = {}, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADERS_MAX:
            raise failed("malformed", "the answer has more than 64 kB of headers")
        self.headers[str(name, "latin-1").lower()] = str(value, "latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise failed("malformed", "the vendor wants to switch to another protocol")
            return
        self.status = status
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            if status < 400:
                raise failed("malformed", "the answer is compressed though it was not asked to be", status=status)
            self._discarding = True  # the status alone says enough
        length = self.headers.get("content-length", "")
        if self.whole and length.isdecimal() and int(length[:16]) > JSON_MAX:
            raise failed("malformed", "the answer is larger than 64 MB", status=status)
        self.ready = True

    def on_body(self, data: bytes) -> None:
        if self._discarding:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self.whole:
            if self._size > JSON_MAX:
                raise failed("malformed", "the answer is larger than 64 MB", status=self.status)
        elif self._size > WINDOW and self._connection is not None:
            self._connection.pause()

    def on_message_complete(self) -> None:
        if not self.ready:
            return  # an interim answer (100, 103)
        self.complete = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finished(keep=self._parser.should_keep_alive())
