"""What can happen to a request while it is served: its client disconnects, the process shuts down, or nothing happens for long.

While the surface works, the server's notice of a disconnect cancels the surface's task; nothing polls. A stream gets its bytes
from the surface and from the keep-alive timer: each piece is whole SSE events, so they cannot mix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from gateway.accounts import KeyPolicy
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server.responder import Headers, Responder

Interruption = Literal["left", "shutdown"]
"""Why the surface's task was cancelled: the client disconnected, or the process shuts down. A label of the request metric."""


class RequestLifecycle:
    """One request from its first byte to the last byte of its response, as far as others may end it."""

    __slots__ = (
        "_filler",
        "_fillers",
        "_generation",
        "_headers",
        "_keepalive",
        "_keepalive_s",
        "_patience_s",
        "_task",
        "_without_client",
        "caller",
        "interrupted",
        "on_interrupt",
        "request",
        "responder",
        "settlement",
    )

    def __init__(self, responder: Responder) -> None:
        self.responder = responder
        self.caller: KeyPolicy | None = None
        """Whose request it is, once its key is known."""
        self.request: InferenceRequest | None = None
        """The parsed request, once there is one."""
        self.settlement: asyncio.Task[Any] | None = None
        """The ending of the generation, once an interruption has handed it over."""
        self.interrupted: Interruption | None = None
        self.on_interrupt: Callable[[GatewayError, str], bytes] | None = None
        """Makes the last events of a running stream out of an error and a finish reason."""
        self._task: asyncio.Task[Any] | None = None
        self._generation: Generation | None = None
        self._without_client: asyncio.TimerHandle | None = None
        """Ends the attempt that goes on although its client has disconnected."""
        self._keepalive: asyncio.TimerHandle | None = None
        self._keepalive_s = 0.0
        """Seconds between two looks: half of the longest silence, because what was sent right behind a look is seen at the next."""
        self._patience_s = 0.0
        self._filler = b""
        self._headers: Headers = ()
        self._fillers: set[asyncio.Task[None]] | None = None
        """Fillers being sent. Made when the first one is needed: most requests need none."""

    # -- interruption -------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on a disconnect cancels this task, with ``interrupted`` set to ``left``."""
        self._task = asyncio.current_task()
        self.responder.watch(self._disconnected)

    def held(self, generation: Generation) -> None:
        """The generation of this request has credit on hold, and its attempts begin."""
        self._generation = generation

    def _disconnected(self) -> None:
        generation = self._generation
        if self._task is None or self.interrupted is not None or generation is None or not generation.goes_on():
            self.interrupt("left")
            return
        # The vendor bills the answer anyway. The task goes on, in its place among the requests in flight, as long as a client
        # could have waited, but not longer than answers are read on.
        self.interrupted = "left"
        self._stop_keepalive()
        limit_s = generation.services.settings.drain_timeout_s
        self._without_client = asyncio.get_running_loop().call_later(limit_s, self._task.cancel)

    def interrupt(self, why: Interruption) -> None:
        """Cancel the surface's task, which finds the reason in ``interrupted``; too late once the response is ending."""
        if self._task is None or self.responder.ending:
            return
        if self.interrupted is None:
            self.interrupted = why
            self._task.cancel()
        elif self._without_client is not None and why == "shutdown":
            self._without_client.cancel()
            self._without_client = None
            self._task.cancel()

    def release(self) -> None:
        """Stop watching and sending fillers. Idempotent."""
        self.responder.ending = True
        self.responder.unwatch()
        self._stop_keepalive()
        if self._without_client is not None:
            self._without_client.cancel()
            self._without_client = None

    def _stop_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    # -- keep-alive ---------------------------------------------------------------------------------------------------

    def keep_alive(self, silence_s: float, headers: Headers, patience_s: float, filler: bytes) -> None:
        """Send ``filler``, which the client skips, before it has heard nothing for longer than ``silence_s``, behind the response's
        head if that has not been sent yet. The first one comes no sooner: a status cannot be taken back.

        A client that reads nothing for ``patience_s`` counts as disconnected: otherwise it would occupy a place among the
        requests in flight, its credit and its vendor.
        """
        self._keepalive_s, self._headers, self._patience_s = silence_s / 2, headers, patience_s
        self._filler = filler
        self._keepalive = asyncio.get_running_loop().call_later(silence_s, self._tick)

    def _tick(self) -> None:
        loop, responder = asyncio.get_running_loop(), self.responder
        since = responder.sending_since
        if since is not None and self._task is not None and loop.time() - since > self._patience_s:
            self.interrupted = "left"
            self._task.cancel()
            return
        if responder.idle and since is None:
            self._fillers = self._fillers or set()
            task = loop.create_task(self._fill())
            self._fillers.add(task)
            task.add_done_callback(self._fillers.discard)
        responder.idle = True
        self._keepalive = loop.call_later(self._keepalive_s, self._tick)

    async def _fill(self) -> None:
        if not self.responder.ending:
            await self.responder.start(200, self._headers)
            await self.responder.send(self._filler)
