"""One client's connection: reads requests, carries out the steps of answers, notices at once when the client disconnects.

No task and no thread per request: a step that must wait arms one timer, a full socket waits for ``resume_writing``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from simulator.bodies import error_body
from simulator.call import Call
from simulator.faults import REFUSALS, generated
from simulator.http import Head, HttpError, Request, read_head, take_request
from simulator.request_log import Ending, Entry
from simulator.steps import Hang, Send, Shut, Step, Wait, whole

STEPS_IN_A_ROW = 64
"""After this many steps the other connections get their turn."""
NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Job:
    """An answer under way."""

    steps: Iterator[Step]
    keep_alive: bool
    call: Call | None = None
    entry: Entry | None = None

    def end(self, ending: Ending) -> None:
        """Writes the ending into the request log; the first one counts."""
        if self.entry is None:
            return
        if self.call is None:
            self.entry.end("refused", 0)
            return
        fault = self.call.script.fault
        if fault in REFUSALS:
            ending = "refused"
        elif fault is not None and ending == "finished":
            ending = "failed"
        worked = generated(self.call, self.entry.sent_tokens, time.monotonic() - self.entry.started_at)
        if ending == "client_closed" and self.call.script.uncancellable and fault is None:
            worked = self.call.planned
        self.entry.end(ending, worked)


class RequestHandler(Protocol):
    """What a connection needs of its vendor."""

    def connection_opened(self, connection: Connection) -> None:
        """A client connected."""
        ...

    def connection_closed(self, connection: Connection) -> None:
        """The connection is gone."""
        ...

    def answer(self, request: Request) -> Job:
        """The job of one request."""
        ...


class Connection(asyncio.Protocol):
    """Serves the requests of one connection, one after the other."""

    def __init__(self, handler: RequestHandler, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._loop = loop
        self._buffer = bytearray()
        self._head: Head | None = None
        self._job: Job | None = None
        self._started = 0.0
        self._timer: asyncio.Handle | None = None
        self._writable = True
        self._reading = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._handler.connection_opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side closed; if the vendor did, the ending is already written."""
        self._end("client_closed")
        self._handler.connection_closed(self)

    def eof_received(self) -> None:
        """A client that closes its half counts as disconnected: no vendor goes on generating for it."""
        self._end("client_closed")
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pipelined requests wait for their turn."""
        self._buffer += data
        if self._job is None and not self._reading:
            self._read()

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client has read some bytes, so writing goes on."""
        self._writable = True
        if self._job is not None and self._timer is None:
            self._timer = self._loop.call_soon(self._run_steps)

    def kill(self) -> None:
        """Ends the connection with a reset, whatever it is doing."""
        self._end("killed")
        self._reset()

    def _read(self) -> None:
        self._reading = True
        while self._job is None and not self._transport.is_closing():
            try:
                request = self._next_request()
            except HttpError as error:
                body = error_body(error.status, str(error))
                self._transport.write(whole(error.status, body, more=[("connection", "close")]))
                self._transport.close()
                break
            if request is None:
                break
            self._started = self._loop.time()
            self._job = self._handler.answer(request)
            self._run_steps()
        self._reading = False

    def _next_request(self) -> Request | None:
        if self._head is None:
            self._head = read_head(self._buffer)
            if self._head is not None and self._head.headers.get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._head is None:
            return None
        request = take_request(self._buffer, self._head)
        if request is not None:
            self._head = None
        return request

    def _run_steps(self) -> None:
        """Carries out steps until one has to wait, the socket is full, or the answer is over."""
        self._timer = None
        job = self._job
        if job is None:
            return
        for _ in range(STEPS_IN_A_ROW):
            step = next(job.steps, None)
            if isinstance(step, Send):
                self._transport.write(step.data)
                if job.entry is not None:
                    job.entry.sent_tokens += step.tokens
                if not self._writable or self._transport.is_closing():
                    return
            elif isinstance(step, Wait):
                if self._started + step.until_s > self._loop.time():
                    self._timer = self._loop.call_at(self._started + step.until_s, self._run_steps)
                    return
            elif isinstance(step, Hang):
                return
            else:
                self._finished(job, step)
                return
        self._timer = self._loop.call_soon(self._run_steps)

    def _finished(self, job: Job, shut: Shut | None) -> None:
        if shut is not None:
            self._end("failed")
            if shut.rst:
                self._reset()
            else:
                self._transport.close()
            return
        self._end("finished")
        if not job.keep_alive:
            self._transport.close()
        elif not self._reading:
            self._read()

    def _end(self, ending: Ending) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._job is not None:
            self._job.end(ending)
            self._job = None

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._transport.abort()
