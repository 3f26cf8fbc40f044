"""Responses to HTTP/1.0 clients, such as an nginx in front that was not told otherwise: they know no chunks (RFC 9112, 6.1), so a
response whose length is not known ends with the connection.
"""

from __future__ import annotations

import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.fast_responder import Connection, FastResponder
from gateway.server.responder import Headers


class Http10Responder(FastResponder):
    """See ``Responder``. One POST request in HTTP/1.0."""

    __slots__ = ()

    def __init__(self, connection: Connection, headers: Headers) -> None:
        super().__init__(connection, headers, keep_alive=False, expects_continue=False)

    async def start(self, status: int, headers: Headers) -> None:
        if self.started:
            return
        self.started = True
        if not self.disconnected:
            self._connection.transport.write(self._head(status, headers) + b"\r\n")

    def push(self, data: bytes) -> bool:
        self.idle = False
        if self.disconnected or self._connection.flow.write_paused:
            self._unsent += data
            return False
        self._connection.transport.write(data)
        return True

    async def send(self, data: bytes) -> None:
        flow = self._connection.flow
        while flow.write_paused and not self.disconnected:
            await flow.drain()
        if not self.disconnected and not self.response_complete:
            self._connection.transport.write(data)

    async def _finish(self, data: bytes) -> None:
        await self.send(data)
        if not self.disconnected:
            self._completed()


def unchunked(app: Any, cycle: RequestResponseCycle) -> Any:
    """The ASGI application ``app`` for one request of an HTTP/1.0 client: uvicorn would send chunks where it gives no length."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def send_unchunked(message: Any) -> None:
            if message["type"] == "http.response.start":
                if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                    cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
            elif cycle.expected_content_length > sys.maxsize // 2 and not message.get("more_body"):
                await send({**message, "more_body": True})
                cycle.expected_content_length = 0
                message = {"type": "http.response.body"}
            await send(message)

        await app(scope, receive, send_unchunked)

    return run
