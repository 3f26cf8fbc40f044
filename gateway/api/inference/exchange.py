"""One HTTP exchange: who is at the other end, whether they are still there, and what they have been sent.

While the surface works, the server's word that the caller left cancels the surface's task; nothing polls. A server without that
extension has a watcher wait for ``http.disconnect``. ``send`` may be
called by the surface and by the keep-alive timer: every call carries whole SSE events, so they cannot mix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from gateway.api.inference import sse
from gateway.api.inference.guard import Receive, Scope, Send
from gateway.ending import Ask
from gateway.errors import GatewayError

DISCONNECT = "tokenway.disconnect"
"""ASGI extension of our own server: takes the callback for the caller's leaving, and returns how to take that back."""
Interruption = Literal["left", "shutdown"]

_encode = msgspec.json.Encoder().encode


class Exchange:
    """Made when the request's body is complete."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = {}
        self.ask: Ask | None = None
        self.ending: asyncio.Task[Any] | None = None
        """The generation's ending, when it was interrupted."""
        self.interrupted: Interruption | None = None
        self.on_interrupt: Callable[[GatewayError, str], bytes] | None = None
        """How a running stream says that it breaks off."""
        self.started = False
        self.closed = False
        self._receive, self._send = receive, send
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._keepalive_s = 0.0
        self._stream_headers: list[tuple[bytes, bytes]] = []
        self._idle = True
        self._comments: set[asyncio.Task[None]] = set()
        self._patience_s = 0.0
        self._sending_since: float | None = None
        """Loop time since which the caller takes nothing; None = nothing waits for it."""

    # -- the other end ------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From here on the caller's leaving cancels this task, with ``interrupted`` set to ``left``."""
        self._task = asyncio.current_task()
        watched = self.scope.get("extensions", {}).get(DISCONNECT)
        if watched is not None:
            self._unwatch = watched(self._left)
        else:
            self._watcher = asyncio.get_running_loop().create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._watcher = None
        self._left()

    def _left(self) -> None:
        if not self.closed:
            self.interrupt("left")

    def interrupt(self, why: Interruption) -> None:
        """Cancel the surface's task; it finds the reason in ``interrupted``."""
        if self._task is not None and self.interrupted is None and not self.closed:
            self.interrupted = why
            self._task.cancel()

    def release(self) -> None:
        """Nothing watches any more. Idempotent."""
        self.closed = True
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    # -- keep-alive ---------------------------------------------------------------------------------------------------

    def keep_alive(self, interval_s: float, headers: list[tuple[bytes, bytes]], patience_s: float) -> None:
        """Start the stream, if need be, and send a comment whenever nothing was sent for ``interval_s``.

        A caller who takes nothing for ``patience_s`` counts as gone: it would hold its place, its credit and its vendor.
        """
        self._keepalive_s, self._stream_headers, self._patience_s = interval_s, headers, patience_s
        self._keepalive = asyncio.get_running_loop().call_later(interval_s, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        since = self._sending_since
        if since is not None and self._task is not None and loop.time() - since > self._patience_s:
            self.interrupted = "left"
            self._task.cancel()
            return
        if self._idle and since is None:
            task = loop.create_task(self._comment())
            self._comments.add(task)
            task.add_done_callback(self._comments.discard)
        self._idle = True
        self._keepalive = loop.call_later(self._keepalive_s, self._tick)

    async def _comment(self) -> None:
        if not self.closed:
            await self.start_stream(self._stream_headers)
            await self._send({"type": "http.response.body", "body": sse.KEEP_ALIVE, "more_body": True})

    # -- answers ------------------------------------------------------------------------------------------------------

    async def start_stream(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status 200 and the stream's headers, once."""
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, data: bytes) -> None:
        """One or more whole events."""
        self._idle = False
        self._sending_since = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._sending_since = None

    async def finish(self, data: bytes = b"") -> None:
        """The last bytes of a stream."""
        self.closed = True
        self._sending_since = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self._sending_since = None

    async def answer(
        self, status: int, body: bytes, headers: list[tuple[bytes, bytes]], content_type: bytes = b"application/json"
    ) -> None:
        """A whole answer."""
        self.started = self.closed = True
        head = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: GatewayError, headers: list[tuple[bytes, bytes]], body: Any) -> None:
        """An error with its own status: possible as long as nothing has been sent."""
        extra = [(name.encode(), value.encode()) for name, value in error.headers()]
        await self.answer(error.status, _encode(body), [*headers, *extra])
