"""httpx behind the ``Upstream`` interface: about ten times the CPU of the fast client, and a transport that tests can replace."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import httpx

from providers.errors import Clock, ProviderError, failed, timed_out
from providers.transport.client import HttpStream, Upstream, tls_context
from providers.transport.limits import JSON_MAX
from providers.types import Clocks, HttpRequest, HttpResponse


def portable(*, tls: ssl.SSLContext | None = None, transport: httpx.AsyncBaseTransport | None = None) -> Upstream:
    """The portable client. ``transport`` replaces the network, e.g. ``httpx.MockTransport``."""
    return _Portable(tls or tls_context(), transport)


class _Portable:
    def __init__(self, tls: ssl.SSLContext, transport: httpx.AsyncBaseTransport | None) -> None:
        self._client = httpx.AsyncClient(
            verify=tls,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity", "user-agent": "tokenway"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0),
        )

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        stream = await self._open(request, clocks, first_content=False)
        timer = stream.fail_in(clocks.total_s, "total")
        pieces: list[bytes] = []
        size = 0
        try:
            while data := await stream.read():
                pieces.append(data)
                size += len(data)
                if size > JSON_MAX:
                    raise failed("malformed", "the answer is larger than 64 MB")
            return HttpResponse(stream.status, stream.headers, b"".join(pieces))
        finally:
            timer.cancel()
            await stream.aclose()

    async def open(self, request: HttpRequest, clocks: Clocks) -> HttpStream:
        return await self._open(request, clocks, first_content=True)

    async def _open(self, request: HttpRequest, clocks: Clocks, *, first_content: bool) -> _PortableStream:
        try:
            prepared = self._client.build_request(
                request.method,
                request.url,
                content=request.content,
                headers=list(request.headers),
                timeout=httpx.Timeout(None, connect=clocks.connect_s),
            )
            if request.address is not None:  # the host header and the certificate's name stay the host's
                prepared.extensions["sni_hostname"] = prepared.url.host
                prepared.url = prepared.url.copy_with(host=request.address)
        except (httpx.InvalidURL, ValueError) as error:  # a broken base URL or key: this endpoint cannot be asked
            raise failed("malformed", str(error)) from error
        sent_at = asyncio.get_running_loop().time()
        limit_s = min(clocks.first_content_s, clocks.total_s) if first_content else clocks.total_s
        try:
            # From here, so connecting counts too: httpx does not say when it has sent.
            async with asyncio.timeout(limit_s):
                response = await self._client.send(prepared, stream=True)
        except TimeoutError:
            raise timed_out("first_content" if limit_s < clocks.total_s else "total", limit_s) from None
        except httpx.HTTPError as error:
            raise _translate(error, clocks) from error
        stream = _PortableStream(response, sent_at)
        if stream.encoded and stream.status < 400:
            await stream.aclose()
            raise failed(
                "malformed", "the answer is compressed though nobody asked for that", status=response.status_code
            )
        return stream

    async def aclose(self) -> None:
        await self._client.aclose()


class _PortableStream:
    def __init__(self, response: httpx.Response, sent_at: float) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.sent_at = sent_at
        self.encoded = self.headers.get("content-encoding", "identity").lower() != "identity"
        self._response = response
        self._pieces: AsyncIterator[bytes] = (
            response.aiter_bytes()
        )  # also right for a test transport that has the content already
        self._pending: asyncio.Task[bytes] | None = None
        self._error: ProviderError | None = None

    async def read(self) -> bytes:
        self._check()
        # A task of its own, so that a clock can end the read without cancelling the caller.
        self._pending = asyncio.ensure_future(self._next())
        try:
            return await self._pending
        except asyncio.CancelledError:
            self._check()
            raise
        finally:
            self._pending.cancel()
            self._pending = None

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        while data := await self.read():
            if not take(data):
                return False
        return True

    async def _next(self) -> bytes:
        if self.encoded:
            return b""  # of a refusal, whose status alone says enough
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except httpx.HTTPError as error:
            raise failed("malformed" if isinstance(error, httpx.DecodingError) else "cut", str(error)) from error
        return b""

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def fail(self, error: ProviderError) -> None:
        self._error = self._error or error
        if self._pending is not None:
            self._pending.cancel()  # httpcore closes a connection whose read is cancelled

    def fail_in(self, limit_s: float, clock: Clock) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(self.sent_at + limit_s, self.fail, timed_out(clock, limit_s))

    def release(self) -> None:
        pass

    async def aclose(self) -> None:
        await self._response.aclose()


def _translate(error: httpx.HTTPError, clocks: Clocks) -> ProviderError:
    if isinstance(error, httpx.ConnectTimeout):
        return timed_out("connect", clocks.connect_s)
    if not isinstance(error, httpx.ConnectError):
        ours = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
        junk = isinstance(error, httpx.RemoteProtocolError) and "illegal" in str(error)
        return failed("malformed" if ours or junk else "cut", str(error))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return failed("tls", str(cause))
        if isinstance(cause, socket.gaierror):
            return failed("dns", str(cause))
        cause = cause.__cause__ or cause.__context__
    return failed("connect_refused", str(error))
