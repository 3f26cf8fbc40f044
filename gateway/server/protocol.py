"""uvicorn's HTTP protocol with the two limits it lacks: how large a request's head may be, and how long it may take. And with a
shorter way in: a POST to an inference surface is served by ``Direct``, everything else goes through ASGI.

Measured 2026-11 with uvicorn 0.54: a header of 200 MB is taken into memory before the application hears of it, and a connection
that does not finish its first head stays open for ever. Both need no key, so the application's own limits come too late. ASGI's
scope, messages, events and tasks cost an inference request some 50 µs of CPU.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.server.fast_responder import FastResponder
from gateway.server.responder import Handler

HEAD_BYTES_MAX = 262_144
"""Request line and headers; or the trailers behind a body. The application's ``GATEWAY_MAX_HEADER_BYTES`` refuses smaller heads in
the documented shape.
"""
HEAD_S = 30.0
"""From the connection, or from the first byte of a further request, to the end of its headers."""
LINE_MAX = 100
"""Requests of one connection without an answer (pipelining). Reading goes on while they wait, so they need a limit."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The application itself: wrapped, as uvicorn does it when asked to trust proxies, it has no doors, and this fails aloud.
        self._routes: Mapping[bytes, Handler] = self.app.routes
        self._open: deque[RequestResponseCycle | FastResponder] = deque()
        """Requests whose answers are not complete, in order: the first one runs, the others stand in line."""
        self._in_head = True
        self._bare_bytes = 0
        """Read since the head began or since the last piece of a body: head, trailers, chunk sizes."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0

    # -- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()
        for request in self._open:
            if type(request) is FastResponder:
                request.lose()
            else:  # uvicorn tells only the last one
                request.disconnected = True
                request.message_event.set()

    def data_received(self, data: bytes) -> None:
        self._bare_bytes += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stop:
                data = self._declined() + data[stop.args[0] :]
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
                return
        if self._bare_bytes > HEAD_BYTES_MAX:
            self._refuse(431, b"Request Header Fields Too Large")
        elif self._in_head and self._head_timer is None:  # a whole head in one piece, the usual case, costs no timer
            self._await_head()

    def _declined(self) -> bytes:
        """The head whose body the parser has skipped because it offers another protocol, without its offer: to be read again."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = _parser(self)
        headers = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers))

    # -- the parser's callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._in_head, self._bare_bytes = True, 0
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. A trailer is none: it comes behind the body, and who asks has been said before it."""
        if not self._in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """The head is in."""
        parser = self.parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise ValueError("no tunnels here")
            return  # and once more when it has been read without its offer
        self._in_head, self._bare_bytes = False, 0
        self._stop_waiting()
        if len(self._open) >= LINE_MAX:
            raise ValueError("too many requests in line")  # the parser stops, and 400 is the end of the connection
        surface = None if self._open else self._routes.get(self.url)
        if surface is None or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            self._to_asgi()
            return
        keep = parser.should_keep_alive()
        request = FastResponder(self, self.headers, keep_alive=keep, expected=self.expect_100_continue)
        self.cycle = request  # type: ignore[assignment]
        self._open.append(request)
        task = self.loop.create_task(surface.serve(request))
        self.tasks.add(task)
        task.add_done_callback(partial(self._served, request))

    def _to_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # makes the scope
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        paused = self.flow.read_paused
        super().on_headers_complete()
        self._open.append(self.cycle)
        if not paused:  # uvicorn pauses for who stands in line; who does not read does not hear of the end
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._bare_bytes = 0
        request = self._open[-1] if self._open else None
        if type(request) is FastResponder:
            request.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A whole request."""
        if self.parser.should_upgrade():
            return
        request = self._open[-1] if self._open else None
        if type(request) is FastResponder:
            request.feed_eof()
        else:
            super().on_message_complete()

    # -- answers ------------------------------------------------------------------------------------------------------

    def _served(self, request: FastResponder, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or task.exception() is not None or not request.response_complete:
            if not task.cancelled() and task.exception() is not None:
                self.logger.error("A surface failed", exc_info=task.exception())
            self.transport.close()  # the answer has no proper end, and this is how HTTP says so

    def on_response_complete(self) -> None:
        """The first request in line has its answer. Idle time is looked at by one timer, which is not set anew each time."""
        self._open.popleft()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        pass

    def _look_in(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(after_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle long enough; while a request is under way its end sets the timer again."""
        self.timeout_keep_alive_task = None
        if self._open or self._head_timer is not None:
            return
        rest_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest_s > 0:
            self._look_in(rest_s)
        else:
            super().timeout_keep_alive_handler()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_S, self._late)

    def _late(self) -> None:
        """Reading pauses for a large body that stands in line: then the head behind it is not late, it has not been read."""
        if self.flow.read_paused:
            self._await_head()
        else:
            self._refuse(408, b"Request Timeout")

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, phrase: bytes) -> None:
        """Say so and close. Answers to earlier requests of the same connection are lost with it: its sender breaks HTTP."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        body = b'{"error":{"code":%d,"message":"%b.","metadata":{"error_type":"invalid_request"}}}' % (status, phrase)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, phrase, len(body)) + body)
        self.transport.close()


def _parser(protocol: LimitedHttpProtocol) -> httptools.HttpRequestParser:
    """As uvicorn makes it: what follows a request that asks for the connection's end is no error."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
