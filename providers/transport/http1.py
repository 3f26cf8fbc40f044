"""Our own HTTP/1.1 client, on asyncio protocols with the llhttp parser (httptools): it carries the requests to vendors.

Why not a library (measured 2026-11 on one core, uvloop, the same upstream in the same run; CPU of one JSON call with 32 at once,
and of one streamed event with 40 streams): this client 42 and 16-19 us, pyreqwest 0.15.1 69-109 and 26-33, aiohttp 3.14.5
215-235 and 28-33, httpx 0.28.1 3,600 and 169. And pyreqwest leaves the vendor's connection open when its caller is cancelled
while it waits for the headers, so a client that disconnects goes on being billed; nothing in its interface closes the connection.
Here one protocol object stands between the socket and the reader: no thread, no queue, no task.

The number of connections has no upper limit, so no slot can be lost; how many requests run at once is decided by the caller.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections import deque
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from providers.errors import ProviderError, failed, timed_out
from providers.transport.client import (
    REFUSED_FROM,
    BodyClock,
    CancelledUnsent,
    no_file_left,
    opening_clock,
    refusal,
    tls_context,
)
from providers.transport.client_response import ClientResponse
from providers.types import Clocks, HttpRequest, HttpResponse

IDLE_MAX_S = 55.0
"""Idle connections older than this are not used again: common servers and balancers close theirs after 60 s."""
IDLE_MAX_PER_ORIGIN = 256
LARGE_BODY = 64 * 1024
"""Bytes of a request's body that a vendor may not have read when it refuses the request: it would read them before the next one."""


class Origin(NamedTuple):
    """What two requests must share to use one connection."""

    tls: bool
    host: str
    port: int
    address: str | None
    """The host's address, when it has been resolved already."""


@lru_cache(maxsize=1024)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...], address: str | None) -> tuple[Origin, bytes]:
    """The origin to connect to, and the request's head up to the value of ``content-length``. Raises ``ValueError``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an endpoint's URL must be http:// or https:// with a host")
    tls = parts.scheme == "https"
    origin = Origin(tls, parts.hostname, parts.port or (443 if tls else 80), address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"host: {parts.netloc.rpartition('@')[2]}"]
    given = {name.lower() for name, _ in headers}
    defaults = (("accept-encoding", "identity"), ("user-agent", "tokenway"))
    lines += [f"{name}: {value}" for name, value in (*headers, *(d for d in defaults if d[0] not in given))]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines) or " " in path:
        raise ValueError("a request line or header must not hold line breaks")
    return origin, ("\r\n".join(lines) + "\r\ncontent-length: ").encode("utf-8")


class Connection(asyncio.Protocol):
    """One connection to an origin; carries one request at a time and goes back to its pool after a proper end."""

    __slots__ = ("_client", "_large", "_origin", "_paused", "_probe", "_transport", "idle_since", "loop", "response")

    def __init__(self, client: Http1Client, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._origin = origin
        self.loop = loop
        self.response: ClientResponse | None = None
        self.idle_since = 0.0
        """Loop time at which it came back to the pool; 0 before its first request."""
        self._paused = False
        self._large = False
        """The request has a large body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from asyncio's
        self._probe = select.poll()
        self._probe.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._client.live.add(self)

    def start(self, head: bytes, content: bytes, *, whole: bool) -> ClientResponse:
        self.response = ClientResponse(self, self.loop, whole=whole, reused=self.idle_since > 0)
        self._large = len(content) > LARGE_BODY
        if self._large:  # not copied
            self._transport.writelines((b"%b%d\r\n\r\n" % (head, len(content)), content))
        else:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, len(content), content))
        return self.response

    def usable(self) -> bool:
        """Whether a request may be sent on it: nothing must have arrived on an idle connection, not even its end."""
        is_young = self.loop.time() - self.idle_since < IDLE_MAX_S
        return is_young and not self._transport.is_closing() and not self._probe.poll(0)

    def data_received(self, data: bytes) -> None:
        if self.response is None:
            self.abort()
        else:
            self.response.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.forget(self, self._origin)
        if self.response is not None:
            self.response.lost(exc)
            if self.response.stale:
                self._client.discard_idle(self._origin, self.idle_since)
            self.response = None

    def finished(self, *, keep: bool) -> None:
        response, self.response = self.response, None
        self.resume()
        refused = self._large and response is not None and response.status >= 400
        if keep and not refused and not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            self._client.put(self, self._origin)
        else:
            self.abort()

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()


def _translate(error: BaseException, connect_s: float) -> ProviderError | None:
    """Why the connection could not be opened; None when the error does not come from the network."""
    match error:
        case TimeoutError():
            return timed_out("connect", connect_s)
        case OSError() if no_file_left(error):
            return failed("no_connection_left", "the gateway has no connections left", retry_after_s=1)
        case ssl.SSLError():
            return failed("tls", str(error))
        case socket.gaierror() | UnicodeError():
            return failed("dns", str(error))
        case OSError():
            return failed("connect_refused", str(error))
        case _:
            return None


class Http1Client:
    """``Upstream`` with a pool of connections. Must be used within one event loop."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls or tls_context()
        self._idle: dict[Origin, deque[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self.live: set[Connection] = set()

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        response = self._send_on_idle(request, whole=True) or await self._send_on_new(request, clocks, whole=True)
        limit_s, clock = opening_clock(clocks)
        while True:
            timer: asyncio.TimerHandle | BodyClock = response.fail_in(limit_s, clock)
            try:
                await response.wait_ready()
                if not response.complete:
                    if response.status >= REFUSED_FROM:
                        return await refusal(response)
                    timer.cancel()
                    timer = response.watch_body(clocks)
                content = await response.wait_complete()
                return HttpResponse(response.status, response.headers, content)
            except ProviderError:
                if not response.stale:
                    raise
            finally:
                timer.cancel()
                response.drop()
            response = await self._send_on_new(request, clocks, whole=True)

    async def open(self, request: HttpRequest, clocks: Clocks) -> ClientResponse:
        response = self._send_on_idle(request, whole=False) or await self._send_on_new(request, clocks, whole=False)
        while True:
            timer = response.fail_in(*opening_clock(clocks))
            try:
                await response.wait_ready()
                return response
            except ProviderError:
                response.drop()
                if not response.stale:
                    raise
            except BaseException:
                response.drop()
                raise
            finally:
                timer.cancel()
            response = await self._send_on_new(request, clocks, whole=False)

    async def aclose(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self.live):
            connection.abort()
        while self.live:
            await asyncio.sleep(0)

    def _send_on_idle(self, request: HttpRequest, *, whole: bool) -> ClientResponse | None:
        """Send the request on an idle connection; None when there is none."""
        try:
            origin, head = _head(request.method, request.url, request.headers, request.address)
        except ValueError as error:  # a broken base URL or key: this endpoint cannot be reached
            raise failed("malformed", str(error)) from error
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection.start(head, request.content, whole=whole)
            connection.abort()
        return None

    async def _send_on_new(self, request: HttpRequest, clocks: Clocks, *, whole: bool) -> ClientResponse:
        """Send the request on a new connection."""
        origin, head = _head(request.method, request.url, request.headers, request.address)
        connection = await self._connect(origin, clocks.connect_s)
        return connection.start(head, request.content, whole=whole)

    async def _connect(self, origin: Origin, connect_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self, origin, loop)
        tls, name = (self._tls, origin.host) if origin.tls else (None, None)
        host = origin.address or origin.host
        try:
            async with asyncio.timeout(connect_s):
                await loop.create_connection(lambda: connection, host, origin.port, ssl=tls, server_hostname=name)
        except BaseException as error:
            # uvloop may have called connection_made and, when cancelled then, never calls connection_lost.
            if connection in self.live:
                self.forget(connection, origin)
                connection.abort()
            if isinstance(error, asyncio.CancelledError):
                raise CancelledUnsent from error
            failure = _translate(error, connect_s)
            if failure is None:
                raise
            raise failure from error
        return connection

    # -- for its connections -------------------------------------------------------------------------------------------

    def put(self, connection: Connection, origin: Origin) -> None:
        """Take an idle connection back."""
        idle = self._idle.setdefault(origin, deque())
        connection.idle_since = connection.loop.time()
        idle.append(connection)
        if len(idle) > IDLE_MAX_PER_ORIGIN:
            idle.popleft().abort()
        if self._sweep is None:
            self._sweep = connection.loop.call_later(IDLE_MAX_S / 2, self._close_old, connection.loop)

    def discard_idle(self, origin: Origin, idle_since: float) -> None:
        """A connection was dead that had been idle since then: those that have been idle for longer are dead as well."""
        idle = self._idle.get(origin)
        while idle and idle[0].idle_since <= idle_since:
            idle.popleft().abort()

    def forget(self, connection: Connection, origin: Origin) -> None:
        """The connection is gone."""
        self.live.discard(connection)
        idle = self._idle.get(origin)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def _close_old(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        limit = loop.time() - IDLE_MAX_S
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < limit:
                idle.popleft().abort()
            if not idle:
                del self._idle[origin]
        if self._idle:
            self._sweep = loop.call_later(IDLE_MAX_S / 2, self._close_old, loop)
