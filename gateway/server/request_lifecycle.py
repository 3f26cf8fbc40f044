"""One HTTP exchange: who is at the other end, whether they are still there, and what they have been sent.

While the surface works, the server's word that the caller left cancels the surface's task; nothing polls. What is sent may come
from the surface and from the keep-alive timer: every piece is whole SSE events, so they cannot mix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from gateway.errors import GatewayError
from gateway.pipeline.request import InferenceRequest
from gateway.server import sse
from gateway.server.responder import Headers, Responder

Interruption = Literal["left", "shutdown"]

_encode = msgspec.json.Encoder().encode


class RequestLifecycle:
    """One per request."""

    __slots__ = (
        "_comments",
        "_idle",
        "_keepalive",
        "_keepalive_s",
        "_kept",
        "_patience_s",
        "_sending_since",
        "_stream_headers",
        "_task",
        "closed",
        "interrupted",
        "on_interrupt",
        "request",
        "responder",
        "settlement",
        "started",
    )

    def __init__(self, channel: Responder) -> None:
        self.responder = channel
        self.request: InferenceRequest | None = None
        self.settlement: asyncio.Task[Any] | None = None
        """The generation's ending, when it was interrupted."""
        self.interrupted: Interruption | None = None
        self.on_interrupt: Callable[[GatewayError, str], bytes] | None = None
        """How a running stream says that it breaks off."""
        self.started = False
        self.closed = False
        self._task: asyncio.Task[Any] | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._keepalive_s = 0.0
        self._stream_headers: Headers = ()
        self._idle = True
        self._comments: set[asyncio.Task[None]] | None = None
        self._patience_s = 0.0
        self._sending_since: float | None = None
        """Loop time since which the caller takes nothing; None = nothing waits for it."""
        self._kept = b""
        """What could not be pushed and waits for ``drain``."""

    # -- the other end ------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From here on the caller's leaving cancels this task, with ``interrupted`` set to ``left``."""
        self._task = asyncio.current_task()
        self.responder.watch(self._left)

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
        self.responder.unwatch()
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    # -- keep-alive ---------------------------------------------------------------------------------------------------

    def keep_alive(self, interval_s: float, headers: Headers, patience_s: float) -> None:
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
            self._comments = self._comments or set()
            task = loop.create_task(self._comment())
            self._comments.add(task)
            task.add_done_callback(self._comments.discard)
        self._idle = True
        self._keepalive = loop.call_later(self._keepalive_s, self._tick)

    async def _comment(self) -> None:
        if not self.closed:
            await self.start_stream(self._stream_headers)
            await self.responder.send(sse.KEEP_ALIVE)

    # -- answers ------------------------------------------------------------------------------------------------------

    async def start_stream(self, headers: Headers) -> None:
        """Send status 200 and the stream's headers, once."""
        if not self.started:
            self.started = True
            await self.responder.start(200, headers)

    def push(self, data: bytes) -> bool:
        """One or more whole events, from within a callback. False: they are kept until ``drain`` has been awaited."""
        self._idle = False
        if self.responder.push(data):
            return True
        self._kept += data
        return False

    async def drain(self) -> None:
        """Send what ``push`` has kept, at the caller's pace."""
        data, self._kept = self._kept, b""
        if data:
            self._sending_since = asyncio.get_running_loop().time()
            await self.responder.send(data)
            self._sending_since = None

    async def finish(self, data: bytes = b"") -> None:
        """The last bytes of a stream."""
        self.closed = True
        data, self._kept = self._kept + data, b""
        self._sending_since = asyncio.get_running_loop().time()
        await self.responder.finish(data)
        self._sending_since = None

    def respond(
        self, status: int, body: bytes, headers: Headers, content_type: bytes = b"application/json"
    ) -> Awaitable[None]:
        """A whole answer; to be awaited."""
        self.started = self.closed = True
        return self.responder.answer(status, [(b"content-type", content_type), *headers], body)

    async def refuse(self, error: GatewayError, headers: Headers, body: Any) -> None:
        """An error with its own status: possible as long as nothing has been sent."""
        extra = [(name.encode(), value.encode()) for name, value in error.headers()]
        await self.respond(error.status, _encode(body), [*headers, *extra])
