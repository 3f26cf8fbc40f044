"""The seam to the network: one interface (``Upstream``), two implementations, one contract suite.

``http1.Http1Client`` is our own HTTP/1.1 client: it carries requests to vendors. ``httpx_client.HttpxClient`` is httpx: it carries
everything off the hot path, and the requests to vendors that are reached through a proxy or over HTTP/2. ``clients.Clients``
chooses between them.

Neither follows redirects, reads the environment or keeps cookies; TLS is always verified; both ask for identity encoding, and
inflate gzip and deflate, within bounds, where a vendor sends them nevertheless. Header names are lower case.

Errors are rows of ``failures.yaml``: before the request is sent ``connect_refused``, ``dns``, ``tls``, ``connect_timeout``,
``no_connection_left`` when this process has no file left, and ``proxy_*`` when the proxy is at fault; afterwards ``cut`` (reset or
closed early), ``malformed`` (not HTTP, or over the size limit), ``timeout_*``.

A request is sent once, with one exception: a kept connection may have been closed by the vendor in the moment in which it was used
again. When such a connection breaks before a byte of the answer, within ``STALE_S``, the request is sent a second time, on a new
connection (docs/adr/0053). Bytes behind the end of an answer change nothing about it; its connection is not used again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import certifi

from providers.errors import Clock, ProviderError, failed, timed_out
from providers.types import Clocks, HttpRequest, HttpResponse

JSON_MAX: Final = 64 * 1024 * 1024
"""Bytes of a whole answer above which it is refused."""
HEADERS_MAX: Final = 64 * 1024
"""Bytes of all header names and values of one answer above which it is refused."""
WINDOW: Final = 256 * 1024
"""Unread bytes of a stream above which the connection is not read from, so that the reader's pace reaches the vendor."""
STALE_S: Final = 3.0
"""A kept connection that breaks within these seconds after a request was sent on it, before a byte of the answer, was dead before.
Later the vendor may have been working on the request: then it has broken off."""
LINGER_S: Final = 1.0
"""Seconds that an answer which nobody reads any more may take to end by itself, so that its connection can be kept."""
TIMER_SLACK_S: Final = 0.001
"""A timer may fire this much early without having to be armed again."""
REFUSED_FROM: Final = 400
"""Statuses from here on say all by themselves: a body that does not end, or breaks off, changes nothing."""
REFUSAL_MAX: Final = 64 * 1024
"""Bytes read of the body of a refusal."""
REFUSAL_S = 5.0
"""Seconds given to the body of a refusal."""


def no_file_left(error: OSError) -> bool:
    """Whether a connection failed because this process, or the machine, may open no more files. A name is not resolved then either,
    and the resolver does not say why.
    """
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return True
    if not isinstance(error, socket.gaierror):
        return False
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    return False


class CancelledUnsent(asyncio.CancelledError):
    """The request was cancelled before it was sent: the vendor does not know of it."""


class HttpStream(Protocol):
    """A response whose headers have arrived."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def sent_at(self) -> float:
        """Loop time at which the request was sent: the clocks first_content and total start here."""

    async def read(self) -> bytes:
        """The bytes that have arrived; ``b""`` at the end. Raises ``ProviderError`` (cut, malformed).

        After it was cancelled the next ``read`` or ``pump`` continues where it stopped; no byte is lost.
        """

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        """Hand the bytes to ``sink`` as they arrive, first those that have arrived already.

        True: the body has ended, and ``sink`` took all of it. False: ``sink`` returned False for the bytes it was just given; what
        arrives afterwards waits for the next ``pump`` or ``read``, and beyond a window it holds up the vendor. Raises
        ``ProviderError`` as ``read`` does, and whatever ``sink`` raises. Once cancelled or returned, it hands over nothing more.
        """

    def fail(self, error: ProviderError) -> None:
        """Close the connection at once; the pending and every later ``read`` and ``pump`` raises ``error``. For clocks."""

    def release(self) -> None:
        """The rest of the body is not needed: keep the connection if the body ends by itself within a second."""

    async def aclose(self) -> None:
        """Close the connection at once unless the body was read to its end or released. Idempotent."""


class Upstream(Protocol):
    """An HTTP client for vendors; one per process, reused, within one event loop."""

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        """The whole answer, at most 64 MB; a refusal as ``refusal`` reads it. Clocks connect, first_content (to the headers), gap
        and total as ``BodyClock`` has them. Cancelling it closes the connection at once; before the request was sent it then raises
        ``CancelledUnsent``."""

    async def open(self, request: HttpRequest, clocks: Clocks) -> HttpStream:
        """The answer's headers. Clocks connect, first_content, total. Cancelling it is as for ``send``."""

    async def aclose(self) -> None:
        """Close every connection."""


def opening_clock(clocks: Clocks) -> tuple[float, Clock]:
    """The clock that limits the time from sending a request to the headers of its answer, in seconds, and its name."""
    if clocks.first_content_s < clocks.total_s:
        return clocks.first_content_s, "first_content"
    return clocks.total_s, "total"


class BodyClock:
    """The clocks of a whole answer behind its headers: total, and from the first byte that is no blank on, gap.

    A vendor that writes the document has the whole answer: then silence is a fault. Blanks before it (DeepSeek, OpenRouter) are
    signs of life while a model thinks, and have the time of the whole answer. One timer, re-armed when it fires.
    """

    __slots__ = ("_clocks", "_http", "_last_at", "_loop", "_timer")

    def __init__(self, http: HttpStream, clocks: Clocks) -> None:
        self._http = http
        self._clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._last_at = 0.0
        """Loop time of the last bytes; 0 until the document begins."""
        self._timer = self._loop.call_at(min(self._loop.time() + clocks.gap_s, self._total_at), self._check)

    def arrived(self, data: bytes) -> None:
        """Bytes of the body, decompressed."""
        if self._last_at or not data.isspace():
            self._last_at = self._loop.time()

    def cancel(self) -> None:
        self._timer.cancel()

    @property
    def _total_at(self) -> float:
        return self._http.sent_at + self._clocks.total_s

    def _check(self) -> None:
        now, gap_s = self._loop.time() + TIMER_SLACK_S, self._clocks.gap_s
        silent_at = (self._last_at or now) + gap_s
        if now >= self._total_at:
            self._http.fail(timed_out("total", self._clocks.total_s))
        elif now >= silent_at:
            self._http.fail(timed_out("gap", gap_s))
        else:
            self._timer = self._loop.call_at(min(silent_at, self._total_at), self._check)


async def refusal(http: HttpStream) -> HttpResponse:
    """An answer that is not what was asked for: its body as far as it arrives within 64 kB and 5 s. Closes it."""
    timer = asyncio.get_running_loop().call_later(REFUSAL_S, http.fail, failed("cut", "the refusal's body did not end"))
    pieces: list[bytes] = []
    try:
        while sum(map(len, pieces)) < REFUSAL_MAX and (data := await http.read()):
            pieces.append(data)
    except ProviderError:
        pass  # the status line is the answer; a body that breaks off changes nothing
    finally:
        timer.cancel()
        await http.aclose()
    return HttpResponse(http.status, http.headers, b"".join(pieces))


def tls_context(*, extra_ca_pem: bytes | None = None) -> ssl.SSLContext:
    """Verifying TLS (1.2 or newer). Trusts the system's roots, else certifi's; and ``extra_ca_pem`` in addition."""
    paths = ssl.get_default_verify_paths()  # knows SSL_CERT_FILE and SSL_CERT_DIR
    context = ssl.create_default_context(cafile=None if paths.cafile or paths.capath else certifi.where())
    if extra_ca_pem is not None:
        context.load_verify_locations(cadata=extra_ca_pem.decode("ascii"))
    return context
