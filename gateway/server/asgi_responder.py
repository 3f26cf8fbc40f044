"""A request that came through ASGI, from any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.server.responder import ClientDisconnected, Headers, Responder

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiResponder(Responder):
    """See ``Responder``. An ASGI server is always waited for, so ``push`` sends nothing."""

    __slots__ = ("_all_read", "_receive", "_send", "_watcher")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope["method"], scope["headers"])
        self._receive, self._send = receive, send
        self._all_read = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def body(self) -> None:
        """ASGI has no way to take a body without waiting."""

    async def read(self, enough: int) -> bytes | None:
        if self._all_read:
            return None
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        self._all_read = not message.get("more_body")
        return bytes(message.get("body", b""))

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """An ASGI server reports a disconnect only to a call of ``receive``, so a task makes one."""
        self._watcher = asyncio.get_running_loop().create_task(self._wait(on_disconnect))

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _wait(self, on_disconnect: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._watcher = None
        on_disconnect()

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        self.ending = True
        await self.start(status, [(b"content-length", str(len(body)).encode()), *headers])
        await self._finish(body)

    async def start(self, status: int, headers: Headers) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": status, "headers": [*self.common, *headers]})

    def push(self, data: bytes) -> bool:
        self.idle = False
        self._unsent += data
        return False

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
