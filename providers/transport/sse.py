"""Server-sent events: bytes in any chunking to events. Pure, incremental, bounded.

Follows the WHATWG specification of event streams (html.spec.whatwg.org, section 9.2.6, read 2026-11): CR, LF and CRLF end a
line, a line that starts with a colon is a comment, several ``data`` lines join with LF, a leading BOM is skipped.
Two leniences that real vendors need: at the end of the body an event whose last blank line is missing still counts when its
lines are complete, and lines that are no field are kept (``stray``), because some servers send their error as bare JSON.
"""

from __future__ import annotations

from providers.errors import failed

LINE_MAX = 16 * 1024 * 1024
"""Bytes of one line, and of one event, above which the stream is cut."""
STRAY_MAX = 4096
_BOM = b"\xef\xbb\xbf"

SseEvent = tuple[str, bytes]
"""Event name ("" when unnamed) and data."""


class SseParser:
    """Feed it bytes, take events; ``close`` at the end of the body."""

    __slots__ = (
        "_data",
        "_event",
        "_idle",
        "_size",
        "_skip_lf",
        "_started",
        "_tail",
        "_tail_size",
        "comments",
        "stray",
    )

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._skip_lf = False
        self._started = False
        self._idle = False
        """Between two events, with nothing left over: the next piece may take the short way."""
        self.comments = 0
        """How many comment lines came: they are signs of life, not events."""
        self.stray = b""
        """The first 4 kB of what was neither field nor comment."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes. Raises ``ProviderError`` (malformed) for a line or event over 16 MB."""
        if (
            self._idle and data[-2:] == b"\n\n" and b"\r" not in data
        ):  # the usual case: exactly one event arrived, alone
            end = len(data) - 2
            if data[:6] == b"data: ":
                if data.find(b"\n") == end and 6 < end <= LINE_MAX:
                    return [("", data[6:end])]
            elif data[:7] == b"event: ":
                at = data.find(b"\n") + 1
                if data[at : at + 6] == b"data: " and data.find(b"\n", at) == end and at + 6 < end <= LINE_MAX:
                    return [(data[7 : at - 1].decode("utf-8", "replace"), data[at + 6 : end])]
        events = self._feed(data)
        self._idle = not (self._tail or self._data or self._event or self._skip_lf)
        return events

    def _feed(self, data: bytes) -> list[SseEvent]:
        if b"\r" in data or self._skip_lf:
            data = self._unify(data)
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return []
        complete = data[:end]
        if self._tail:
            self._tail.append(complete)
            complete = b"".join(self._tail)
            self._tail.clear()
            self._tail_size = 0
        if end < len(data):
            self._keep(data[end:])
        if not self._started:
            self._started = True
            complete = complete.removeprefix(_BOM)
        lines = complete.split(b"\n")
        lines.pop()
        return self._lines(lines)

    def close(self) -> list[SseEvent]:
        """What is complete at the end of the body: lines whose blank line is missing, and an unended ``data: [DONE]``."""
        tail = b"".join(self._tail)
        self._tail.clear()
        lines = [b""]
        if tail.strip() in (b"data: [DONE]", b"data:[DONE]"):
            lines = [b"", tail.strip(), b""]
        elif tail:
            self._stray(tail)
        return self._lines(lines)

    def _unify(self, data: bytes) -> bytes:
        # A CR at the very end ends its line at once; the LF that may follow in the next piece belongs to it.
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if data.endswith(b"\r"):
            self._skip_lf = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail_size += len(data)
        if self._tail_size > LINE_MAX:
            raise failed("malformed", "a line of the stream is longer than 16 MB")

    def _lines(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        pending = self._data
        for line in lines:
            if not line:
                if pending:
                    value = pending[0] if len(pending) == 1 else b"\n".join(pending)
                    if value:  # the specification drops an event whose data is empty
                        events.append((self._event, value))
                    pending.clear()
                    self._size = 0
                self._event = ""
            elif line.startswith(b"data: "):
                self._add(line[6:])
            elif line.startswith(b":"):
                self.comments += 1
            else:
                self._field(line)
        return events

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._size += len(value)
        if self._size > LINE_MAX:
            raise failed("malformed", "an event of the stream is longer than 16 MB")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name not in (b"id", b"retry"):
            self._stray(value if name == b"error" else line)

    def _stray(self, line: bytes) -> None:
        if len(self.stray) < STRAY_MAX:
            self.stray += line[:STRAY_MAX]
