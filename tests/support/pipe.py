"""One of our own connections over a fake transport, with the real parser and flow control; a test takes the surface's part.

connection, pipe, request = await direct()      # request: the responder that the surface was given

"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from gateway.server.connections import Connections
from gateway.server.fast_responder import FastResponder
from gateway.server.protocol import LimitedHttpProtocol

HEAD = b"POST /surface HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
KIND = [(b"content-type", b"text/plain")]


class Pipe(asyncio.Transport):
    """A transport that records what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class StubSurface:
    """A surface that keeps the responders it is given and calls a test's function with them; an ASGI app that answers 404."""

    def __init__(self, act: Callable[[FastResponder], Awaitable[None]] | None = None) -> None:
        self.routes = {b"/surface": self}
        self.connections = Connections(limit=100, unread_s=60)
        self.given: list[FastResponder] = []
        self.disconnects = 0
        self._act = act

    async def serve(self, responder: FastResponder) -> None:
        self.given.append(responder)
        if self._act is not None:
            await self._act(responder)
        else:
            await asyncio.Event().wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
        self.disconnects += 1


def connect(surface: StubSurface) -> tuple[LimitedHttpProtocol, Pipe]:
    """An open connection."""
    connection = LimitedHttpProtocol(
        uvicorn.Config(surface, interface="asgi3", ws="none", log_config=None, proxy_headers=False), ServerState(), {}
    )
    pipe = Pipe()
    connection.connection_made(pipe)
    return connection, pipe


async def turn() -> None:
    """Let every task run that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


async def direct(size: int = 10, sent: bytes = b"") -> tuple[LimitedHttpProtocol, Pipe, FastResponder]:
    """A request whose surface does nothing, ``size`` its Content-Length, ``sent`` the part of its body that has arrived."""
    surface = StubSurface()
    connection, pipe = connect(surface)
    connection.data_received(HEAD % size + sent)
    await turn()
    return connection, pipe, surface.given[0]


def lose(connection: LimitedHttpProtocol) -> None:
    """The end of a connection and of what ran on it."""
    connection.connection_lost(None)
    for task in connection.tasks:
        task.cancel()
