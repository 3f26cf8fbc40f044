"""uvicorn's HTTP protocol with two limits that it lacks and a shorter way to the inference surfaces.

The limits are the size of a request's head and the time it may take. Measured 2026-11 with uvicorn 0.54: it reads a header of
200 MB into memory before the application is called, and keeps a connection that does not finish its first head open for ever.
Neither needs a key, so the application's own limits come too late.

A POST to an inference surface is served by a ``FastResponder``, everything else goes through ASGI, whose scope, messages, events
and tasks cost an inference request some 50 µs of CPU.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.server.connections import Connections
from gateway.server.fast_responder import FastResponder
from gateway.server.http10 import Http10Responder, unchunked
from gateway.server.responder import Handler, Headers

HEAD_BYTES_MAX = 262_144
"""Of a request line and its headers, or of the trailers after a body. The application refuses smaller heads, in the documented
error shape, by ``GATEWAY_MAX_HEADER_BYTES``.
"""
OVERLOADED = 503
HEAD_S = 30.0
"""From the connection, or from the first byte of a further request, to the end of its headers."""
READ = (b"GET", b"HEAD")
"""Methods of requests that may be answered with what was made before."""
COPIED_MAX = 65_536
"""Bytes of a body that is joined to its head, which costs a copy and spares a call of the system."""
PIPELINE_MAX = 100
"""Requests of one connection that wait for their response (pipelining). Reading goes on meanwhile, so they need a limit."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The application itself. If uvicorn wraps it, as it does to trust proxies, it has no routes, and this line raises.
        self._routes: Mapping[bytes, Handler] = self.app.routes
        self._connections: Connections = self.app.connections
        self._open: deque[RequestResponseCycle | FastResponder] = deque()
        """Requests whose responses are not complete, in order: the first one is being served, the others wait for it."""
        self._in_head = True
        self._bare_bytes = 0
        """Bytes read since the head began or since the last piece of a body: head, trailers, chunk sizes."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._kept: tuple[int, Headers, bytes] | None = None
        """The response to the request being read, sent when it is complete."""

    # -- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._connections.add(self):
            self._start_head_timer()
        else:
            self._refuse(OVERLOADED, b"Service Unavailable: too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._connections.remove(self)
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()
        for request in self._open:
            if isinstance(request, FastResponder):
                request.disconnect()
            else:  # uvicorn itself notifies only the last request
                request.disconnected = True
                request.message_event.set()

    def data_received(self, data: bytes) -> None:
        self._bare_bytes += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stop:
                data = self._head_without_upgrade() + data[stop.args[0] :]
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
                return
        if self._bare_bytes > HEAD_BYTES_MAX:
            self._refuse(431, b"Request Header Fields Too Large")
        elif self._in_head and self._head_timer is None:  # a whole head in one piece, the usual case, costs no timer
            self._start_head_timer()

    def _head_without_upgrade(self) -> bytes:
        """The head that was just read, without its ``Upgrade`` header, to be parsed again: the parser takes the body of a request
        that offers another protocol for that protocol's bytes.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = _parser(self)
        headers = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers))

    # -- the parser's callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request has arrived."""
        self._in_head, self._bare_bytes = True, 0
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header has arrived."""
        if not self._in_head:  # a trailer: it comes after the body, when the request is already being served
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """The head is complete."""
        parser = self.parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise ValueError("no tunnels here")
            return  # called again when the head has been parsed without its Upgrade header
        self._in_head, self._bare_bytes = False, 0
        self._stop_head_timer()
        self._connections.busy(self)
        if len(self._open) >= PIPELINE_MAX:
            raise ValueError("too many pipelined requests")  # the parser stops, and the connection ends with a 400
        version = parser.get_http_version()
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        surface, method = None if self._open else self._routes.get(self.url), parser.get_method()
        if surface is None or method != b"POST" or version not in ("1.1", "1.0"):
            if (
                not (self._open or self.flow.write_paused or self.transport.is_closing())
                and version == "1.1"
                and method in READ
            ):
                self._kept = self.app.kept(method, self.url, self.headers)
            if self._kept is None:
                self._to_asgi()
            return
        request = (
            Http10Responder(self, self.headers)
            if version == "1.0"
            else FastResponder(
                self, self.headers, keep_alive=parser.should_keep_alive(), expects_continue=self.expect_100_continue
            )
        )
        self.cycle = request  # type: ignore[assignment]
        self._open.append(request)
        task = self.loop.create_task(surface.serve(request))
        self.tasks.add(task)
        task.add_done_callback(partial(self._served, request))

    def _to_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # makes the scope, and resets what has been parsed
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        paused = self.flow.read_paused
        super().on_headers_complete()
        self._open.append(self.cycle)
        if not paused:  # uvicorn pauses reading for a waiting request, and then does not notice a disconnect
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, unchunked(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def on_body(self, body: bytes) -> None:
        """A piece of a body has arrived."""
        self._bare_bytes = 0
        request = self._open[-1] if self._open else None
        if isinstance(request, FastResponder):
            request.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade():
            return
        if self._kept is not None:
            self._send_kept(*self._kept)
            return
        request = self._open[-1] if self._open else None
        if isinstance(request, FastResponder):
            request.feed_eof()
        else:
            super().on_message_complete()

    def _send_kept(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with what was made before, without a task; a client that reads nothing is noticed as with every response."""
        self._kept = None
        lines = [STATUS_LINE[status]]
        lines += [b"%b: %b\r\n" % pair for pair in (*self.server_state.default_headers, *headers)]
        keep_alive = self.parser.should_keep_alive()
        lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        if len(body) < COPIED_MAX:
            lines.append(body)
            body = b""
        self.transport.write(b"".join(lines))
        if body:
            self.transport.write(body)
        if not keep_alive:
            self.transport.close()
        self._response_sent()

    # -- responses ----------------------------------------------------------------------------------------------------

    def _served(self, request: FastResponder, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or task.exception() is not None or not request.response_complete:
            if not task.cancelled() and task.exception() is not None:
                self.logger.error("A surface failed", exc_info=task.exception())
            self.transport.close()  # this is how a client learns that the response is incomplete

    def on_response_complete(self) -> None:
        """The response of the first request is complete: serve the next one. One timer checks for idle time, and it is not reset
        by each request.
        """
        self._open.popleft()
        self._response_sent()

    def _response_sent(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        self._connections.idle(self)
        if self.timeout_keep_alive_task is None:
            self._check_idle_in(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        pass

    def _check_idle_in(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle long enough. While a request is under way, its end sets the timer again."""
        self.timeout_keep_alive_task = None
        if self._open or self._head_timer is not None:
            return
        rest_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest_s > 0:
            self._check_idle_in(rest_s)
        else:
            super().timeout_keep_alive_handler()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_S, self._head_timed_out)

    def _head_timed_out(self) -> None:
        """Reading pauses for a large body of a waiting request. Then the head after it is not late: it has not been read."""
        if self.flow.read_paused:
            self._start_head_timer()
        else:
            self._refuse(408, b"Request Timeout")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, phrase: bytes) -> None:
        """Send an error and close. Responses to earlier requests of the connection are lost: its client does not follow HTTP."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        body = b'{"error":{"code":%d,"message":"%b.","metadata":{"error_type":"%b"}}}' % (
            status,
            phrase,
            b"provider_overloaded" if status == OVERLOADED else b"invalid_request",
        )
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
        head += b"retry-after: 1\r\n\r\n" if status == OVERLOADED else b"\r\n"
        self.transport.write(head % (status, phrase, len(body)) + body)
        self.transport.close()


def _parser(protocol: LimitedHttpProtocol) -> httptools.HttpRequestParser:
    """A parser with uvicorn's settings: bytes after a request with ``Connection: close`` are not an error."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
