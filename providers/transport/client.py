"""The seam to the network: one interface, two implementations, one contract suite.

``fast`` (on the request's way) is HTTP/1.1 on asyncio with the llhttp parser, see ``_http1.py``. ``portable`` in
``_portable.py`` is httpx, for what is off the hot path and for tests that replace its transport; it has its own file because
importing httpx takes longer than importing all the rest.

Neither follows redirects, reads proxy variables or keeps cookies; TLS is always verified; both ask for identity encoding
(a compressed answer is refused: a gzip bomb grows a thousandfold). Header names are lower case.

Errors are rows of ``failures.yaml``: before the request is sent ``connect_refused``, ``dns``, ``tls``, ``connect_timeout``;
afterwards ``cut`` (reset or closed early), ``malformed`` (no HTTP, or over the size limit), ``timeout_*``. A request is
never sent twice: an idle connection that the vendor has closed is noticed before anything is written to it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Protocol

import certifi

from providers.errors import ProviderError
from providers.transport import http1
from providers.types import Clocks, HttpRequest, HttpResponse


class HttpStream(Protocol):
    """A response whose headers are in."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def sent_at(self) -> float:
        """Loop time at which the request was sent: where the clocks first_content and total start."""

    async def read(self) -> bytes:
        """The bytes that arrived, as they arrive; ``b""`` at the end. Raises ``ProviderError`` (cut, malformed)."""

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Hand the bytes to ``take`` in the very callback in which they arrive, first those that are there already.

        True: the body has ended, and all of it was taken. False: ``take`` said so with the bytes it was just given; what arrives
        afterwards waits for the next ``carry`` or ``read``, and beyond a window it holds up the vendor. Raises ``ProviderError``
        as ``read`` does, and whatever ``take`` raises. Cancelled or returned, it hands over nothing more.
        """

    def fail(self, error: ProviderError) -> None:
        """Close the connection at once; the pending and every later ``read`` and ``carry`` raises ``error``. For clocks."""

    def release(self) -> None:
        """Nothing more is wanted though the body has not ended: keep the connection if it ends by itself within a second."""

    async def aclose(self) -> None:
        """Close the connection at once unless the body was read to its end. Idempotent."""


class Upstream(Protocol):
    """An HTTP client for vendors; one per process, reused."""

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        """The whole answer, at most 64 MB. Clocks connect and total. Cancelling it closes the connection at once."""

    async def open(self, request: HttpRequest, clocks: Clocks) -> HttpStream:
        """The answer's headers. Clocks connect, first_content, total. Cancelling it closes the connection at once."""

    async def aclose(self) -> None:
        """Close every connection."""


def tls_context(*, extra_ca_pem: bytes | None = None) -> ssl.SSLContext:
    """Verifying TLS (1.2 or newer). Trusts the system's roots, else certifi's; and ``extra_ca_pem`` beside them."""
    paths = ssl.get_default_verify_paths()  # knows SSL_CERT_FILE and SSL_CERT_DIR
    context = ssl.create_default_context(cafile=None if paths.cafile or paths.capath else certifi.where())
    if extra_ca_pem is not None:
        context.load_verify_locations(cadata=extra_ca_pem.decode("ascii"))
    return context


def fast(*, tls: ssl.SSLContext | None = None) -> Upstream:
    """The client of the request's way. Must be used within one event loop."""
    return http1.Client(tls or tls_context())
