"""What a request handler needs of an HTTP server: one request, and the way back to its client.

Two servers offer it: our own protocol object (``fast_responder.py``), at a fifth of the cost, and any ASGI server
(``asgi_responder.py``).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]


class ClientDisconnected(Exception):
    """The connection closed before the request was complete."""


class Responder(ABC):
    """One request, and the way back to its client. Header names are lower case; a response's headers must hold no line breaks.

    A response is sent whole with ``respond``, or piece by piece with ``start``, any of ``push``, ``drain`` and ``send``, and
    ``finish``. Nothing raises when the client has disconnected: the bytes are dropped.
    """

    __slots__ = ("_unsent", "common", "ending", "headers", "idle", "method", "sending_since", "started")

    def __init__(self, method: str, headers: Headers) -> None:
        self.method = method
        self.headers = headers
        self.common: Headers = ()
        """Sent with every response, see ``common_headers``."""
        self.started = False
        """The status has been sent, or is being sent: it cannot change any more."""
        self.ending = False
        """The last piece of the response has been handed over; it may still wait for the client to read."""
        self.idle = True
        """Nothing has been pushed since somebody set this. For keep-alive comments."""
        self.sending_since: float | None = None
        """The loop's time since which ``drain`` or ``finish`` waits for the client to read; None: neither does."""
        self._unsent = b""
        """What ``push`` could not send; ``drain`` and ``finish`` send it."""

    # -- the request --------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def body(self) -> bytes | None:
        """The whole body if it has arrived already; None: await ``read``."""

    @abstractmethod
    async def read(self, enough: int) -> bytes | None:
        """The next piece of the body, which is its end, more than ``enough`` bytes, or whatever the server has got; None after the
        last. Raises ClientDisconnected."""

    @abstractmethod
    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """From now on call ``on_disconnect`` when the client disconnects before it has the whole response. The body must have
        been read.
        """

    @abstractmethod
    def unwatch(self) -> None:
        """End what ``watch`` began. Idempotent."""

    # -- the response -------------------------------------------------------------------------------------------------

    @abstractmethod
    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response."""

    @abstractmethod
    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of a response whose length is not known. Idempotent: only the first call counts."""

    @abstractmethod
    def push(self, data: bytes) -> bool:
        """Send one piece if that needs no waiting. False: it is kept, and ``drain`` must be awaited before the next ``push``."""

    async def drain(self) -> None:
        """Send what ``push`` has kept; waits while the client does not read."""
        data, self._unsent = self._unsent, b""
        if data:
            self.sending_since = asyncio.get_running_loop().time()
            await self.send(data)
            self.sending_since = None

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send one piece; waits while the client does not read. May overtake what ``push`` has kept."""

    async def finish(self, data: bytes) -> None:
        """Send what ``push`` has kept, the last piece, and the end of the response; waits while the client does not read."""
        self.ending = True
        data, self._unsent = self._unsent + data, b""
        self.sending_since = asyncio.get_running_loop().time()
        await self._finish(data)
        self.sending_since = None

    @abstractmethod
    async def _finish(self, data: bytes) -> None:
        """Send the last piece and the end of the response."""


class Handler(Protocol):
    """Serves one request; what a route leads to."""

    async def serve(self, responder: Responder) -> None: ...
