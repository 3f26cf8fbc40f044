"""uvicorn's HTTP protocol with the two limits it lacks: how large a request's head may be, and how long it may take. And it tells
the application who left (``exchange.DISCONNECT``), so that no task has to wait for that beside every request.

Measured 2026-11 with uvicorn 0.54: a header of 200 MB is taken into memory before the application hears of it, and a connection
that does not finish its first head stays open for ever. Both need no key, so the application's own limits come too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.api.inference.exchange import DISCONNECT

HEAD_BYTES_MAX = 262_144
"""Request line and headers. The application's ``GATEWAY_MAX_HEADER_BYTES`` refuses smaller ones in the documented shape."""
HEAD_S = 30.0
"""From the connection, or from the first byte of a further request, to the end of its headers."""


class GuardedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._watchers: set[Callable[[], None]] = set()
        self._lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._lost = True
        for left in list(self._watchers):
            left()

    def watched(self, left: Callable[[], None]) -> Callable[[], None]:
        """``left`` is called when the connection is lost; the answer takes that back. The body has been read."""
        self._watchers.add(left)
        if self._lost:
            self.loop.call_soon(left)
        else:
            self.flow.resume_reading()  # a large body pauses it, and who does not read does not hear of the end
        return lambda: self._watchers.discard(left)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, b"Request Header Fields Too Large")
                return
        super().data_received(data)
        if self._in_head and self._head_timer is None:  # a whole head in one piece, the usual case, costs no timer
            self._await_head()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        self.scope["extensions"] = {DISCONNECT: self.watched}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """The head is in."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_S, self._refuse, 408, b"Request Timeout")

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, phrase: bytes) -> None:
        """Say so and close. Answers to earlier requests of the same connection are lost with it: its sender breaks HTTP."""
        self._stop_waiting()
        body = b'{"error":{"code":%d,"message":"%b.","metadata":{"error_type":"invalid_request"}}}' % (status, phrase)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, phrase, len(body)) + body)
        self.transport.close()
