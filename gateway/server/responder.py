"""What a request handler needs of an HTTP server: one request, and the way back to its client.

Two servers offer it: our own protocol object (``fast_responder.py``), at a fifth of the cost, and any ASGI server (``Asgi`` here).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


class ClientDisconnected(Exception):
    """The connection closed before the request was complete."""


class Responder(Protocol):
    """One request and the way back. Header names are lower case; an answer's must hold no line breaks."""

    method: str
    headers: Headers

    @property
    def body(self) -> bytes | None:
        """The whole body when it has arrived already; None: ask ``more``."""

    async def more(self) -> bytes | None:
        """The next piece of the body; None behind the last. Raises CallerLeft."""

    def watch(self, left: Callable[[], None]) -> None:
        """``left`` is called when the caller leaves, until the answer is complete. The body has been read."""

    def unwatch(self) -> None:
        """Nobody wants to know any more. Idempotent."""

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer."""

    async def start(self, status: int, headers: Headers) -> None:
        """The head of an answer whose length nobody knows."""

    def push(self, data: bytes) -> bool:
        """One more piece of it, when it can go out without waiting: False = nothing was done, use ``send``."""

    async def send(self, data: bytes) -> None:
        """One more piece of it; waits while the caller does not read."""

    async def finish(self, data: bytes) -> None:
        """The last piece of it."""


class Handler(Protocol):
    """Serves one request; what a route leads to."""

    async def serve(self, channel: Responder) -> None: ...


class AsgiResponder:
    """A channel of any ASGI server."""

    body: bytes | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.headers: Headers = scope["headers"]
        self._receive, self._send = receive, send
        self._all_read = False
        self._watcher: asyncio.Task[None] | None = None

    async def more(self) -> bytes | None:
        """See ``Channel``."""
        if self._all_read:
            return None
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        self._all_read = not message.get("more_body")
        return bytes(message.get("body", b""))

    def watch(self, left: Callable[[], None]) -> None:
        """ASGI tells of a disconnect only to who waits for it: a task does."""
        self._watcher = asyncio.get_running_loop().create_task(self._wait(left))

    def unwatch(self) -> None:
        """See ``Channel``."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _wait(self, left: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._watcher = None
        left()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See ``Channel``."""
        length = (b"content-length", str(len(body)).encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
        await self.finish(body)

    async def start(self, status: int, headers: Headers) -> None:
        """See ``Channel``."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    def push(self, data: bytes) -> bool:
        """An ASGI server is always waited for."""
        return False

    async def send(self, data: bytes) -> None:
        """See ``Channel``."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes) -> None:
        """See ``Channel``."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
