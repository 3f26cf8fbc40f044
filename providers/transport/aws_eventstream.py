"""``application/vnd.amazon.eventstream``: bytes in any chunking to messages. Pure, incremental, bounded.

A message is a prelude (total length, length of the headers, CRC-32 of these eight bytes), headers, payload, and a CRC-32 of
everything before it; integers are big-endian (smithy.io/2.0/aws/amazon-eventstream.html, read 2026-11).
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from providers.errors import ProviderError, failed

MESSAGE_MAX = 16 * 1024 * 1024
"""Bytes of one message above which the stream is refused."""
HEADERS_MAX = 128 * 1024
_PRELUDE = Struct("!III")
_CRC = Struct("!I")
_LENGTH = Struct("!H")
_NUMBERS = {2: Struct("!b"), 3: Struct("!h"), 4: Struct("!i"), 5: Struct("!q"), 8: Struct("!q")}
_TEXT, _BYTES, _UUID = 7, 6, 9

Value = str | int | bool | bytes


class Message(NamedTuple):
    """One message: headers by name, and the payload."""

    headers: dict[str, Value]
    payload: bytes

    def word(self, name: str) -> str:
        """A header that is text; empty when it is missing or not text."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamParser:
    """``feed`` it bytes and it returns messages. Damage ends the stream: ``error`` is set, to be raised after the messages."""

    __slots__ = ("_buffer", "error")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.error: ProviderError | None = None

    @property
    def pending(self) -> bool:
        """Some bytes of a message have arrived, but not all."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes. Never raises; see ``error``."""
        if self.error is not None:
            return []
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        try:
            while len(buffer) - start >= _PRELUDE.size:
                total, headers = _prelude(buffer, start)
                if len(buffer) - start < total:
                    break
                messages.append(_message(bytes(buffer[start : start + total]), headers))
                start += total
        except ProviderError as error:
            self.error = error
            buffer.clear()
            return messages
        del buffer[:start]
        return messages


def _prelude(buffer: bytearray, start: int) -> tuple[int, int]:
    """Total length and length of the headers. Checked at once: a wrong length would be waited for in vain."""
    total, headers, checksum = _PRELUDE.unpack_from(buffer, start)
    if crc32(buffer[start : start + 8]) != checksum:
        raise failed("malformed", "the prelude of an event does not match its checksum")
    if total > MESSAGE_MAX or headers > HEADERS_MAX or total < _PRELUDE.size + headers + _CRC.size:
        raise failed("malformed", f"an event of {total} bytes with {headers} bytes of headers")
    return total, headers


def _message(raw: bytes, headers: int) -> Message:
    if crc32(raw[:-4]) != _CRC.unpack_from(raw, len(raw) - 4)[0]:
        raise failed("malformed", "an event does not match its checksum")
    end = _PRELUDE.size + headers
    try:
        return Message(_headers(raw[_PRELUDE.size : end]), raw[end:-4])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise failed("malformed", f"the headers of an event cannot be read: {error}") from error


def _headers(raw: bytes) -> dict[str, Value]:
    """Raises ``struct.error``, ``IndexError`` or ``UnicodeDecodeError`` for what is cut short, ``ProviderError`` for the rest."""
    values: dict[str, Value] = {}
    at = 0
    while at < len(raw):
        length = raw[at]
        name = _cut(raw, at + 1, length).decode("utf-8")
        at += 1 + length
        kind = raw[at]
        at += 1
        if kind in (0, 1):
            value: Value = kind == 0
        elif kind in _NUMBERS:
            value = _NUMBERS[kind].unpack_from(raw, at)[0]
            at += _NUMBERS[kind].size
        elif kind in (_TEXT, _BYTES):
            size = _LENGTH.unpack_from(raw, at)[0]
            content = _cut(raw, at + 2, size)
            value = content.decode("utf-8") if kind == _TEXT else content
            at += 2 + size
        elif kind == _UUID:
            value = _cut(raw, at, 16)
            at += 16
        else:
            raise failed("malformed", f"a header of an event has the unknown type {kind}")
        if name in values:
            raise failed("malformed", f"an event has the header {name!r} twice")
        values[name] = value
    return values


def _cut(raw: bytes, at: int, size: int) -> bytes:
    if at + size > len(raw):
        raise IndexError("a header ends after the headers do")
    return raw[at : at + size]
