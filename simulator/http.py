"""The part of HTTP/1.1 that reads requests. Responses are in ``steps``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 67_108_864


class HttpError(Exception):
    """The bytes are not a request this server accepts; the connection ends after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers, and where the body starts in the buffer."""

    method: str
    target: str
    headers: Mapping[str, str]
    keep_alive: bool
    body_at: int


def read_head(buffer: bytearray) -> Head | None:
    """The head of the first request in the buffer, None while it is incomplete. Raises HttpError."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise HttpError(431, "the request's headers are too large")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    line = first.split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        raise HttpError(400, "not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for text in lines:
        name, colon, value = text.partition(":")
        if not colon:
            raise HttpError(400, f"not a header: {text[:80]!r}")
        headers[name.lower()] = value.strip()
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (line[2] != "HTTP/1.0" or "keep-alive" in connection)
    return Head(line[0], line[1], headers, keep_alive, end + 4)


def read_body(buffer: bytearray, head: Head) -> tuple[bytes, int] | None:
    """The body and where it ends in the buffer, None while it is incomplete. Raises HttpError."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return _chunked(buffer, head.body_at)
    try:
        length = int(head.headers.get("content-length", "0"))
    except ValueError:
        raise HttpError(400, "Content-Length is not a number") from None
    if not 0 <= length <= MAX_BODY_BYTES:
        raise HttpError(413, "the request is too large")
    end = head.body_at + length
    return (bytes(buffer[head.body_at : end]), end) if len(buffer) >= end else None


def _chunked(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", at)) >= 0:
        try:
            size = int(bytes(buffer[at:line_end]).partition(b";")[0], 16)
        except ValueError:
            raise HttpError(400, "a chunk size is not a number") from None
        if not 0 <= size <= MAX_BODY_BYTES - len(body):
            raise HttpError(413, "the request is too large")
        at = line_end + 2
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2
        if not size:
            return bytes(body), at
    return None


def take_request(buffer: bytearray, head: Head) -> Request | None:
    """Removes the request from the buffer once its body is there."""
    found = read_body(buffer, head)
    if found is None:
        return None
    body, end = found
    del buffer[:end]
    path, _, query = head.target.partition("?")
    return Request(head.method, path, query, head.headers, body, head.keep_alive)
