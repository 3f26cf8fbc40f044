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
from providers.transport.client import HEADERS_MAX, JSON_MAX, LINGER_S, STALE_S, WINDOW, BodyClock
from providers.transport.content_encoding import PIECE_MAX, STREAMED_MAX, Inflater, inflater
from providers.types import Clocks


class ConnectionControl(Protocol):
    """What a response does to its connection."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...
    def finished(self, *, keep: bool) -> None: ...


class ClientResponse:
    """One request and its answer on a connection."""

    __slots__ = (
        "_begun",
        "_body_clock",
        "_connection",
        "_error",
        "_header_bytes",
        "_inflater",
        "_keep",
        "_loop",
        "_only_whole",
        "_parser",
        "_pieces",
        "_released",
        "_reused",
        "_sink",
        "_size",
        "_unpack",
        "_waiter",
        "complete",
        "headers",
        "ready",
        "sent_at",
        "stale",
        "status",
        "whole",
    )

    def __init__(
        self, connection: ConnectionControl, loop: asyncio.AbstractEventLoop, *, whole: bool, reused: bool
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ready = False
        """The final headers have arrived."""
        self.complete = False
        """The body has ended properly."""
        self.whole = whole
        """The body is wanted in one piece, so the reader's pace does not matter."""
        self.stale = False
        """The kept connection was dead when the request was sent on it: it may be sent again."""
        self._reused = reused
        """The connection has carried another request before."""
        self._loop = loop
        self.sent_at = self._loop.time()
        self._connection: ConnectionControl | None = connection
        self._parser = _parser(self)
        self._header_bytes = 0
        self._begun = False
        """A byte of the answer has arrived."""
        self._keep = False
        """The connection may carry another request after this one."""
        self._inflater: Inflater | None = None
        self._unpack: Callable[[bytes], bytes] | None = None
        """What is kept of a piece of the body; None: all of it."""
        self._released = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._only_whole = False
        """The reader waits for the end of the body, not for its pieces."""
        self._waiter: asyncio.Future[BaseException | bool | None] | None = None
        """Wakes the reader. Its result is for ``pump``: what the sink raised, or False when the sink returned False."""
        self._sink: Callable[[bytes], bool] | None = None
        """Where the body goes as it arrives, while ``pump`` runs."""
        self._error: ProviderError | None = None
        self._body_clock: BodyClock | None = None

    # -- for the reader ------------------------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        while not self.ready:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def wait_complete(self) -> bytes:
        self._only_whole = True
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

    def watch_body(self, clocks: Clocks) -> BodyClock:
        """Start the clocks of a whole answer whose headers have arrived."""
        self._body_clock = BodyClock(self, clocks)
        for piece in self._pieces:
            self._body_clock.arrived(piece)
        return self._body_clock

    def _expire(self, clock: Clock, limit_s: float) -> None:
        self.fail(timed_out(clock, limit_s))

    def release(self) -> None:
        if self._connection is not None and not self._released:
            self._pieces.clear()
            self._released = True
            self._unpack = _nothing
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
            if self.complete:
                self._keep = False  # bytes behind the end of the answer: it is whole, but what comes next is nobody's
            elif not self._read_again(data):
                self._break(error)
                return
        if self.complete:
            self._give_back(data)
        if self._sink is not None:
            self._push(self._sink)
        elif self.complete or (self.ready and not self._only_whole):
            self._wake()

    def _read_again(self, data: bytes) -> bool:
        """Whether the answer could be read once equal lengths had become one."""
        once = None if self.ready else _with_one_length(data)
        if once is None:
            return False
        self._parser = _parser(self)
        try:
            self._parser.feed_data(once)
        except httptools.HttpParserError:
            self._keep = False
            return self.complete
        return True

    def _break(self, error: httptools.HttpParserError) -> None:
        """What has arrived is no HTTP, or too much of it."""
        # ProviderErrors of our own callbacks arrive as the context of the parser's callback error.
        inner = error.__context__
        if not isinstance(inner, ProviderError):
            # On a kept connection it may be the late rest of the answer before.
            self.stale = self._may_be_stale() and not self.ready and not self.headers
            inner = failed("malformed", f"not HTTP: {error}")
        self.fail(inner)

    def _may_be_stale(self) -> bool:
        """Whether a failure now can be that of a kept connection which was dead before."""
        return self._reused and self._error is None and self._loop.time() - self.sent_at < STALE_S

    def _give_back(self, last: bytes) -> None:
        """The body has ended in the bytes ``last``: let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finished(keep=self._keep and not self._has_line_ends_behind(last))

    def _has_line_ends_behind(self, last: bytes) -> bool:
        """Whether line ends follow the answer in its last bytes: of everything that may follow, the parser skips only those."""
        if last[-1:] not in (b"\n", b"\r"):
            return False
        if "content-length" in self.headers and self._pieces:
            return _line_ends(last) > _line_ends(self._pieces[-1])
        return _line_ends(last) > len(b"\r\n\r\n")  # of the headers, or of the last chunk

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
            try:
                self._end_body()  # RFC 9112, 6.3: without a length the body ends with the connection
            except ProviderError as incomplete:
                self._error = self._error or incomplete
        else:
            self.stale = self.stale or (self._may_be_stale() and not self._begun)
            reason = str(error) if error else "the vendor closed the connection"
            self._error = self._error or failed("cut", reason, status=self.status or None)
        self.drop()
        self._wake()

    # -- for the parser ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise failed("malformed", "the answer has more bytes than its length")
        self._begun = True
        self.headers, self._header_bytes = {}, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADERS_MAX:
            raise failed("malformed", "the answer has more than 64 kB of headers")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise failed("malformed", "the vendor wants to switch to another protocol")
            return
        self.status = status
        if status == 408 and self._may_be_stale() and not self._parser.should_keep_alive():
            self.stale = True
            raise failed("cut", "the vendor had given up the idle connection", status=status)
        if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise failed("malformed", "an unknown transfer-encoding", status=status)
        if "content-encoding" in self.headers:
            piece_max = PIECE_MAX if self.whole else STREAMED_MAX
            self._inflater = inflater(self.headers["content-encoding"], strict=status < 400, piece_max=piece_max)
            self._unpack = None if self._inflater is None else self._inflater.feed
        length = self.headers.get("content-length", "")
        if self.whole and length.isdecimal() and int(length[:16]) > JSON_MAX:
            raise failed("malformed", "the answer is larger than 64 MB", status=status)
        self.ready = True

    def on_body(self, data: bytes) -> None:
        if self._unpack is not None:
            data = self._unpack(data)
            if not data:
                return
            if not self.whole and self._size + len(data) > WINDOW + STREAMED_MAX:  # one read brings many pieces
                raise failed("malformed", "the compressed answer grows too fast", status=self.status)
        self._pieces.append(data)
        self._size += len(data)
        if self.whole:
            if self._size > JSON_MAX:
                raise failed("malformed", "the answer is larger than 64 MB", status=self.status)
            if self._body_clock is not None:
                self._body_clock.arrived(data)
        elif self._size > WINDOW and self._connection is not None:
            self._connection.pause()

    def on_message_complete(self) -> None:
        if not self.ready:
            return  # an interim answer (100, 103)
        self._end_body()
        self._keep = self._parser.should_keep_alive()

    def _end_body(self) -> None:
        """Raises ``ProviderError`` (malformed) for a compressed body that lacks its end."""
        if self._inflater is not None and not self._released:
            self._inflater.close()
        self.complete = True


def _parser(response: ClientResponse) -> httptools.HttpResponseParser:
    """A parser as lenient as h11, which httpx uses: folded headers, line feeds alone, blanks behind the size of a chunk, and chunks
    beside a length, which they overrule (RFC 9112, 2.2, 5.2, 6.3). What is lenient here cannot harm: the vendor's answers come over
    its own connection."""
    parser = httptools.HttpResponseParser(response)
    parser.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_chunked_length=True,
        lenient_version=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


def _with_one_length(data: bytes) -> bytes | None:
    """The beginning of an answer that gives its length several times, each time the same, with one (RFC 9112, 6.3); else None."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/"):
        return None
    lines = head.split(b"\r\n")
    lengths = [line for line in lines if line[:15].lower() == b"content-length:"]
    values = {value.strip() for line in lengths for value in line[15:].split(b",")}
    if len(values) != 1:
        return None
    others = [line for line in lines if line not in lengths]
    return b"\r\n".join([*others, b"content-length: " + values.pop()]) + blank + body


def _nothing(data: bytes) -> bytes:
    return b""


def _line_ends(data: bytes) -> int:
    """Line feeds and carriage returns at the end of some bytes; eight and more are eight."""
    tail = data[-8:]
    return len(tail) - len(tail.rstrip(b"\r\n"))
