"""An answer as a sequence of steps, and the bytes of HTTP and SSE. Pure: the connection carries the steps out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

encode = msgspec.json.encode
"""Compact JSON."""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to send unchanged, and the tokens that they carry."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on this many seconds after the request was complete: pacing that does not drift."""

    until_s: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more until the client disconnects."""


@dataclass(frozen=True, slots=True)
class Shut:
    """Close the connection: FIN, or RST."""

    rst: bool = False


Step = Send | Wait | Hang | Shut
Steps = Iterator[Step]


def reason(status: int) -> str:
    """The reason phrase of a status; vendors use some that are not standardised (529)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Status line and headers, with the blank line."""
    lines = [f"HTTP/1.1 {status} {reason(status)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def whole(status: int, body: bytes, *, kind: str = "application/json", more: Sequence[tuple[str, str]] = ()) -> bytes:
    """A response with a Content-Length."""
    return head(status, [("content-type", kind), ("content-length", str(len(body))), *more]) + body


_OK = {
    close: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + (b"connection: close\r\n" if close else b"")
    for close in (False, True)
}


def ok(body: bytes, *, close: bool) -> bytes:
    """The common JSON answer with status 200."""
    return b"%bcontent-length: %d\r\n\r\n%b" % (_OK[close], len(body), body)


def stream_head(*, close: bool) -> bytes:
    """The headers of an event stream in chunked encoding."""
    more = [("connection", "close")] if close else []
    kind = ("content-type", "text/event-stream; charset=utf-8")
    return head(200, [kind, ("cache-control", "no-cache"), ("transfer-encoding", "chunked"), *more])


LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: bytes, *, crlf: bool) -> bytes:
    """One SSE event in a chunk of its own."""
    return chunk(b"data: %b\r\n\r\n" % data if crlf else b"data: %b\n\n" % data)


def comment(*, crlf: bool) -> bytes:
    """One SSE comment in a chunk of its own."""
    return chunk(b": PROCESSING\r\n\r\n" if crlf else b": PROCESSING\n\n")


def cut_up(steps: Steps, size: int, pause_s: float) -> Steps:
    """The same bytes in pieces of ``size``, each after a pause; the tokens count with the last piece."""
    at = 0.0
    for step in steps:
        if isinstance(step, Wait):
            at = max(at, step.until_s)
            yield step
        elif isinstance(step, Send):
            for start in range(0, len(step.data), size):
                at += pause_s
                yield Wait(at)
                last = start + size >= len(step.data)
                yield Send(step.data[start : start + size], step.tokens if last else 0)
        else:
            yield step
