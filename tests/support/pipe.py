"""One of our own connections over a fake transport, with the real parser and flow control; a test is its surface.

connection, pipe, request = await direct()      # request: what the surface was given, a channel

"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from gateway.server.fast_responder import FastResponder
from gateway.server.protocol import LimitedHttpProtocol

HEAD = b"POST /door HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
KIND = [(b"content-type", b"text/plain")]


class Pipe(asyncio.Transport):
    """A transport that remembers."""

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


class Door:
    """A surface that keeps the channel it is given, and does with it what a test says; an ASGI app that answers 404."""

    def __init__(self, act: Callable[[FastResponder], Awaitable[None]] | None = None) -> None:
        self.routes = {b"/door": self}
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


def connect(door: Door) -> tuple[LimitedHttpProtocol, Pipe]:
    """An open connection."""
    connection = LimitedHttpProtocol(
        uvicorn.Config(door, interface="asgi3", ws="none", log_config=None, proxy_headers=False), ServerState(), {}
    )
    pipe = Pipe()
    connection.connection_made(pipe)
    return connection, pipe


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def direct(size: int = 10, sent: bytes = b"") -> tuple[LimitedHttpProtocol, Pipe, FastResponder]:
    """A request whose surface does nothing, and so much of its body."""
    door = Door()
    connection, pipe = connect(door)
    connection.data_received(HEAD % size + sent)
    await turn()
    return connection, pipe, door.given[0]


def lose(connection: LimitedHttpProtocol) -> None:
    """The end of a connection and of what ran on it."""
    connection.connection_lost(None)
    for task in connection.tasks:
        task.cancel()
