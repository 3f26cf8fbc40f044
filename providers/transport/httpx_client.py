"""httpx behind the ``Upstream`` interface: about ten times the CPU of our own client, with proxies, SOCKS and HTTP/2.

httpcore reports its steps to a callback (the "trace" extension). From that ``_Progress`` knows whether a failure belongs to the
proxy, to the connecting or to a request that has been sent, whether that was on a kept connection, and which clock is in force.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from providers.errors import Clock, ProviderError, failed, timed_out
from providers.transport import http2_cancel, http11_leftovers
from providers.transport.client import (
    HEADERS_MAX,
    JSON_MAX,
    LINGER_S,
    REFUSED_FROM,
    STALE_S,
    BodyClock,
    CancelledUnsent,
    no_file_left,
    opening_clock,
    refusal,
    tls_context,
)
from providers.transport.content_encoding import STREAMED_MAX, inflater
from providers.transport.proxies import shown
from providers.types import Clocks, HttpRequest, HttpResponse

PROXY_CREDENTIAL_STATUS = 407


class HttpxClient:
    """``Upstream`` on httpx. Must be used within one event loop.

    ``proxy`` is the URL of an http, https or socks5 proxy, with or without credentials. ``tls`` must not be shared with other
    clients if ``http2`` is set. ``transport`` replaces the network, e.g. ``httpx.MockTransport``.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        http2: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tls = tls or tls_context()
        self._proxy = proxy
        self._http2 = http2
        self._transport = transport
        self._pool = self._new_pool()
        self._retired: set[_Pool] = set()
        self._lingering: set[asyncio.Task[None]] = set()
        http11_leftovers.install()
        if http2:
            http2_cancel.install()

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        stream = await self.open(request, clocks)
        if stream.status >= REFUSED_FROM:
            return await refusal(stream)
        clock = BodyClock(stream, clocks)
        pieces: list[bytes] = []
        size = 0
        try:
            while data := await stream.read():
                clock.arrived(data)
                pieces.append(data)
                size += len(data)
                if size > JSON_MAX:
                    raise failed("malformed", "the answer is larger than 64 MB")
            return HttpResponse(stream.status, stream.headers, b"".join(pieces))
        finally:
            clock.cancel()
            await stream.aclose()

    async def open(self, request: HttpRequest, clocks: Clocks) -> _HttpxStream:
        return await self._open(request, clocks, *opening_clock(clocks))

    async def aclose(self) -> None:
        for task in self._lingering:
            task.cancel()
        await asyncio.gather(*self._lingering, return_exceptions=True)
        for pool in (self._pool, *self._retired):
            await pool.client.aclose()

    async def _open(self, request: HttpRequest, clocks: Clocks, limit_s: float, clock: Clock) -> _HttpxStream:
        """Send a request and wait for the answer's headers: ``clock`` limits the time from sending to the headers."""
        progress = _Progress(self._proxy, limit_s, clock)
        try:
            return await self._open_once(request, clocks, progress)
        except ProviderError:
            if not progress.stale:
                raise
        return await self._open_once(request, clocks, _Progress(self._proxy, limit_s, clock))

    async def _open_once(self, request: HttpRequest, clocks: Clocks, progress: _Progress) -> _HttpxStream:
        pool = self._pool
        prepared = self._prepare(pool, request, clocks)
        prepared.extensions["trace"] = progress
        pool.users += 1
        try:
            async with asyncio.timeout(clocks.connect_s) as progress.deadline:
                response = await pool.client.send(prepared, stream=True)
            return await self._accept(response, progress, pool)
        except BaseException as error:
            progress.judge(error)
            await self._give_back(pool, progress, error)
            if isinstance(error, asyncio.CancelledError) and not progress.sent:
                raise CancelledUnsent from error
            failure = progress.failure(error, clocks.connect_s)
            if failure is None:
                raise
            # Without its cause where that is the proxy: what a proxy wrote might repeat its credentials.
            raise failure from (None if progress.at_proxy else error)

    def _prepare(self, pool: _Pool, request: HttpRequest, clocks: Clocks) -> httpx.Request:
        """Raises ``ProviderError`` (malformed) for a broken base URL or key: this endpoint cannot be reached."""
        try:
            prepared = pool.client.build_request(
                request.method,
                request.url,
                content=request.content,
                headers=list(request.headers),
                timeout=httpx.Timeout(None, connect=clocks.connect_s),
            )
            if request.address is not None:
                if self._proxy is not None:
                    raise ValueError("a connection to a given address cannot go through a proxy")
                # The host header and the certificate's name stay those of the host. httpcore would reuse the connection for
                # every name at this address, whose certificates it has not seen: so it is used once.
                prepared.extensions["sni_hostname"] = prepared.url.host
                prepared.url = prepared.url.copy_with(host=request.address)
                prepared.headers["connection"] = "close"
        except (httpx.InvalidURL, ValueError) as error:
            raise failed("malformed", str(error)) from error
        return prepared

    async def _accept(self, response: httpx.Response, progress: _Progress, pool: _Pool) -> _HttpxStream:
        try:
            self._check(response, progress)
            return _HttpxStream(self, response, progress.sent_at, pool)
        except ProviderError:
            await response.aclose()
            raise

    def _check(self, response: httpx.Response, progress: _Progress) -> None:
        """Raises ``ProviderError`` for headers that are no answer of the vendor's."""
        status = response.status_code
        if self._proxy is not None and status == PROXY_CREDENTIAL_STATUS:  # of a proxy that forwards http:// requests
            raise failed("proxy_credential", f"{shown(self._proxy)} demands other credentials", status=status)
        if status == 408 and response.headers.get("connection", "").lower() == "close" and progress.may_be_stale:
            progress.stale = True
            raise failed("cut", "the vendor had given up the idle connection", status=status)
        if sum(len(name) + len(value) for name, value in response.headers.items()) > HEADERS_MAX:
            raise failed("malformed", "the answer has more than 64 kB of headers", status=status)

    # -- pools ---------------------------------------------------------------------------------------------------------

    def _new_pool(self) -> _Pool:
        return _Pool(
            httpx.AsyncClient(
                verify=self._tls,
                proxy=None if self._proxy is None else httpx.Proxy(self._proxy, ssl_context=self._proxy_tls()),
                transport=self._transport,
                http2=self._http2,
                trust_env=False,
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                headers={"accept-encoding": "identity", "user-agent": "tokenway"},
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0),
            )
        )

    def _proxy_tls(self) -> ssl.SSLContext | None:
        """The proxy's context is the vendors' as well, except that a proxy is never offered HTTP/2."""
        if self._proxy is None or not self._proxy.startswith("https:"):
            return None
        return tls_context() if self._http2 else self._tls

    async def _give_back(self, pool: _Pool, progress: _Progress, error: BaseException) -> None:
        """A request has failed before its answer was there."""
        if (progress.stale or progress.half_open(error)) and pool is self._pool:
            # httpcore 1.0.9 keeps a half-open connection in its pool for ever, and it cannot be told to close those that have been
            # idle for as long as a dead one: a fresh pool takes over.
            self._pool = self._new_pool()
            self._retired.add(pool)
        if progress.stream is not None and not progress.sent:
            await progress.stream.aclose()  # httpcore forgets it when the opening is cancelled
        await self.leave(pool)

    async def leave(self, pool: _Pool) -> None:
        """A request has ended: a retired pool without requests is closed."""
        pool.users -= 1
        if pool in self._retired and not pool.users:
            self._retired.discard(pool)
            await pool.client.aclose()

    def linger(self, stream: _HttpxStream) -> None:
        """Read a stream to its end, for a second at most, and then close it."""
        task = asyncio.ensure_future(stream.drain())
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)


class _Pool:
    """The connections of one ``httpx.AsyncClient``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.users = 0


class _Progress:
    """How far one request has come: httpcore calls it with the name of each of its steps."""

    def __init__(self, proxy: str | None, limit_s: float, clock: Clock) -> None:
        self.deadline: asyncio.Timeout | None = None
        self.stale = False
        """The request was sent on a kept connection that was dead already: it may be sent again."""
        self._reused = True
        """No connection was opened for the request."""
        self.sent = False
        """The request is on its way to the vendor, or to a proxy that forwards it."""
        self.sent_at = asyncio.get_running_loop().time()
        self.stream: Any = None
        """The connection that is being opened."""
        self._proxy = proxy
        self.at_proxy = proxy is not None
        """The proxy has not let the connection through yet."""
        self._limit_s = limit_s
        self._clock = clock

    async def __call__(self, step: str, info: Mapping[str, Any]) -> None:
        if step.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent, self.at_proxy = True, False
            self.sent_at = asyncio.get_running_loop().time()
            if self.deadline is not None:
                self.deadline.reschedule(self.sent_at + self._limit_s)
        elif step.endswith(".connect_tcp.started"):
            self._reused = False
        elif step.endswith(".connect_tcp.complete"):
            self.stream = info["return_value"]
        elif step in ("proxy.start_tls.started", "socks.setup_socks5_connection.complete"):
            self.at_proxy = False

    @property
    def may_be_stale(self) -> bool:
        """Whether a failure now, before the answer's headers, can be that of a kept connection which was dead before."""
        return self.sent and self._reused and asyncio.get_running_loop().time() - self.sent_at < STALE_S

    def judge(self, error: BaseException) -> None:
        """Take note of what ended the wait for the headers."""
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
            self.stale = self.may_be_stale

    def half_open(self, error: BaseException) -> bool:
        """The connection was given up between the proxy and the vendor's TLS, or in the middle of a SOCKS handshake."""
        if self._proxy is None or self.sent:
            return False
        return not self.at_proxy or (self._proxy.startswith("socks") and not isinstance(error, Exception))

    def failure(self, error: BaseException, connect_s: float) -> ProviderError | None:
        """The failure that an error means; None when it is one already, or does not come from the network."""
        if isinstance(error, ProviderError) or not isinstance(error, Exception):
            return None
        if isinstance(error, TimeoutError) and self.sent:
            return timed_out(self._clock, self._limit_s)
        if self.at_proxy:
            return self._proxy_failure(error, connect_s)
        if isinstance(error, TimeoutError | httpx.ConnectTimeout):
            return timed_out("connect", connect_s)
        if not isinstance(error, httpx.HTTPError):
            return None
        if isinstance(error, httpx.ConnectError) or not self.sent:
            return _connect_failure(error)
        return _broken(error)

    def _proxy_failure(self, error: Exception, connect_s: float) -> ProviderError:
        """The failure that an error means which was raised before the proxy had let the connection through."""
        assert self._proxy is not None
        proxy, text = shown(self._proxy), str(error)
        if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
            return _connect_failure(error)
        if isinstance(error, TimeoutError | httpx.ConnectTimeout):
            message = f"{proxy} did not open a connection within {connect_s:g} s"
            return failed("proxy_timeout", message, clock="connect")
        if isinstance(error, httpx.ConnectError):
            return failed("proxy_unreachable", f"{proxy} cannot be used: {_connect_failure(error).failure.kind}")
        if not isinstance(error, httpx.ProxyError):  # also errors of httpcore's SOCKS library, which are not httpx's
            return failed("proxy_unreachable", f"{proxy} broke off, or is not such a proxy")
        if text.startswith(str(PROXY_CREDENTIAL_STATUS)):
            return failed("proxy_credential", f"{proxy} demands other credentials", status=PROXY_CREDENTIAL_STATUS)
        if self._proxy.startswith("socks"):
            if "could not connect" in text:
                return failed("proxy_refused", f"{proxy} did not connect to the vendor")
            return failed("proxy_credential", f"{proxy} demands other credentials")
        status = int(text[:3]) if text[:3].isdecimal() else None
        return failed("proxy_refused", f"{proxy} answered CONNECT with status {status}", status=status)


def _broken(error: httpx.HTTPError) -> ProviderError:
    """The failure that an error means which was raised after the request had been sent."""
    text = str(error)
    ours = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    # httpcore has one class for what is no HTTP and for an end that comes too early; the end is called one of these.
    ended = any(word in text for word in ("closed", "disconnected", "ConnectionTerminated", "StreamReset"))
    return failed("malformed" if ours or (isinstance(error, httpx.RemoteProtocolError) and not ended) else "cut", text)


def _connect_failure(error: httpx.HTTPError) -> ProviderError:
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return failed("malformed", str(error))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and no_file_left(cause):
            return failed("no_connection_left", "the gateway has no connections left", retry_after_s=1)
        if isinstance(cause, ssl.SSLError):
            return failed("tls", str(cause))
        if isinstance(cause, socket.gaierror):
            return failed("dns", str(cause))
        cause = cause.__cause__ or cause.__context__
    return failed("connect_refused", str(error))


class _HttpxStream:
    """``HttpStream`` of an answer of httpx."""

    def __init__(self, client: HttpxClient, response: httpx.Response, sent_at: float, pool: _Pool) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.sent_at = sent_at
        encoding = self.headers.get("content-encoding", "")
        self._inflater = inflater(encoding, strict=self.status < 400, piece_max=STREAMED_MAX)
        self._client = client
        self._pool = pool
        self._response = response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # Not aiter_raw(), which refuses a test transport's content, and not aiter_bytes(), which inflates without a bound.
        self._pieces: AsyncIterator[bytes] = response.stream.__aiter__()
        self._reading: asyncio.Task[bytes] | None = None
        """The read that is under way. It outlives a cancelled caller, so that the bytes it brings are not lost."""
        self._error: ProviderError | None = None
        self._ended = False
        self._released = False
        self._closed = False

    async def read(self) -> bytes:
        if self._error is not None:
            raise self._error
        if self._ended:
            return b""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._next())
        try:
            data = await asyncio.shield(self._reading)
        except asyncio.CancelledError:
            if self._error is not None:
                raise self._error from None
            raise
        except ProviderError as error:
            self._error = error
            raise
        self._reading = None
        self._ended = not data
        return data

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        while data := await self.read():
            if not sink(data):
                return False
        return True

    async def _next(self) -> bytes:
        try:
            async for piece in self._pieces:
                data = piece if self._inflater is None else self._inflater.feed(piece)
                if data:
                    return data
        except httpx.HTTPError as error:
            raise _broken(error) from error
        if self._inflater is not None:
            self._inflater.close()
        return b""

    def fail(self, error: ProviderError) -> None:
        if self._error is None and not self._ended:
            self._error = error
            if self._reading is not None:
                self._reading.cancel()  # httpcore closes a connection whose read is cancelled

    def fail_in(self, limit_s: float, clock: Clock) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(self.sent_at + limit_s, self.fail, timed_out(clock, limit_s))

    def release(self) -> None:
        if not (self._ended or self._released or self._closed) and self._error is None:
            self._released = True
            self._client.linger(self)

    async def drain(self) -> None:
        """Read to the end, for a second at most, then close."""
        try:
            async with asyncio.timeout(LINGER_S):
                while await self.read():
                    pass
        except (TimeoutError, ProviderError):
            pass  # nobody waits for the rest
        finally:
            await self._close()

    async def aclose(self) -> None:
        if not self._released:
            await self._close()

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()  # noted as seen
        await self._response.aclose()
        await self._client.leave(self._pool)
