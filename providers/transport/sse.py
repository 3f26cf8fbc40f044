"""Server-sent events: bytes in any chunking to events, and what all decoders of such streams share. Pure.

``SseParser`` follows the WHATWG specification of event streams (html.spec.whatwg.org, section 9.2.6, read 2026-11): CR, LF and
CRLF end a line, a line that starts with a colon is a comment, several ``data`` lines join with LF, a leading BOM is skipped. Real
vendors need two leniences: at the end of the body an event counts even if its last blank line is missing, as long as its lines
are complete; and lines that are not fields are kept (``stray``), because some servers send their error as bare JSON.

``SseDecoder`` is the base class of the dialects' decoders. A dialect says what one event means (``_event``); this class decides
when a stream has ended. An error that follows events in the same read is raised after those events were delivered. Nothing counts
after the end mark. A body that ends early is ``cut``, or ``empty`` when it held no event, or the error document that some vendors
send in place of a stream. An event whose text is broken (invalid UTF-8, half of a surrogate pair) is repaired and read again.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from providers.errors import ProviderError, excerpt, failed
from providers.transport.json_bounds import FREE, check_answer
from providers.transport.json_repair import Halves, repaired
from providers.types import Event, Json

LINE_MAX = 16 * 1024 * 1024
"""Bytes of one line, and of one event, above which the stream is cut."""
STRAY_MAX = 4096
_BOM = b"\xef\xbb\xbf"

SseEvent = tuple[str, bytes]
"""Event name ("" when unnamed) and data."""

_decode = msgspec.json.Decoder().decode


def decode(raw: bytes) -> Json:
    """A JSON object. Raises ``ProviderError`` (malformed) for anything else."""
    try:
        body = _decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        raise failed("malformed", f"not JSON: {error}", raw=excerpt(raw)) from error
    if not isinstance(body, dict):
        raise failed("malformed", "not a JSON object", raw=excerpt(raw))
    return body


def decode_repaired(raw: bytes, halves: Halves) -> Json:
    """``decode`` for a document of a stream: where its text is broken, it is repaired. ``halves`` belongs to the stream."""
    check_answer("event", raw)
    if halves:
        return decode(repaired(raw, halves) or raw)
    try:
        return decode(raw)
    except ProviderError:
        sound = repaired(raw, halves)
        if sound is None:
            raise
    return decode(sound)


def object_in(content: bytes) -> Json:
    """The JSON object of a refusal; empty for anything else, such as a load balancer's HTML page."""
    try:
        body = _decode(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


class SseParser:
    """``feed`` it bytes and it returns events; call ``close`` at the end of the body."""

    __slots__ = ("_data", "_event", "_idle", "_size", "_skip_lf", "_started", "_tail", "_tail_size", "stray")

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        """The pieces of a line that has not ended yet."""
        self._tail_size = 0
        self._data: list[bytes] = []
        """The data lines of the event that is being read."""
        self._size = 0
        self._event = ""
        self._skip_lf = False
        """The last piece ended with CR: an LF at the start of the next one belongs to it."""
        self._started = False
        self._idle = False
        """Between two events, with nothing left over."""
        self.stray = b""
        """The first 4 kB of what was neither field nor comment."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes. Raises ``ProviderError`` (malformed) for a line or event over 16 MB."""
        # The usual case, one whole event that arrives alone, needs no list of lines: 2.0 us instead of 3.3, of 32 us an event.
        if self._idle and data[-2:] == b"\n\n" and b"\r" not in data:
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

    def close(self) -> list[SseEvent]:
        """What is complete at the end of the body: an event whose blank line is missing, and an unended ``data: [DONE]``."""
        tail = b"".join(self._tail)
        self._tail.clear()
        lines = [b""]
        if tail.strip() in (b"data: [DONE]", b"data:[DONE]"):
            lines = [b"", tail.strip(), b""]
        elif tail:
            self._add_stray(tail)
        return self._events_of(lines)

    def _feed(self, data: bytes) -> list[SseEvent]:
        if b"\r" in data or self._skip_lf:
            data = self._unify_line_ends(data)
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep_tail(data)
            return []
        complete = data[:end]
        if self._tail:
            self._tail.append(complete)
            complete = b"".join(self._tail)
            self._tail.clear()
            self._tail_size = 0
        if end < len(data):
            self._keep_tail(data[end:])
        if not self._started:
            self._started = True
            complete = complete.removeprefix(_BOM)
        lines = complete.split(b"\n")
        lines.pop()
        return self._events_of(lines)

    def _unify_line_ends(self, data: bytes) -> bytes:
        # A CR at the very end ends its line at once; the LF that may follow in the next piece belongs to it.
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if data.endswith(b"\r"):
            self._skip_lf = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep_tail(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail_size += len(data)
        if self._tail_size > LINE_MAX:
            raise failed("malformed", "a line of the stream is longer than 16 MB")

    def _events_of(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        pending = self._data
        for line in lines:
            if not line:
                if pending:
                    value = b"\n".join(pending)
                    if value:  # the specification drops an event whose data is empty
                        events.append((self._event, value))
                    pending.clear()
                    self._size = 0
                self._event = ""
            elif line.startswith(b"data: "):
                self._add_data(line[6:])
            elif not line.startswith(b":"):
                self._read_field(line)
        return events

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._size += len(value)
        if self._size > LINE_MAX:
            raise failed("malformed", "an event of the stream is longer than 16 MB")

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add_data(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name not in (b"id", b"retry"):
            self._add_stray(value if name == b"error" else line)

    def _add_stray(self, line: bytes) -> None:
        if len(self.stray) < STRAY_MAX:
            self.stray += line[:STRAY_MAX]


class SseDecoder:
    """One stream: bytes to events. See ``base.Decoder``. To be subclassed."""

    __slots__ = ("_finished", "_halves", "_seen", "_sse", "done", "error")

    ends_with: ClassVar[str] = "a finish reason"
    """What a stream must have contained before it may end; for messages."""
    documents: ClassVar[tuple[bytes, ...]] = (b"{",)
    """How a body begins that is an error document and not a stream."""

    def __init__(self) -> None:
        self.done = False
        self.error: ProviderError | None = None
        self._sse = SseParser()
        self._halves: Halves = {}
        self._seen = False
        """At least one of the vendor's events was read."""
        self._finished = False
        """The vendor has said that the answer is complete."""

    def feed(self, data: bytes) -> list[Event]:
        return self._read(self._sse.feed(data))

    def close(self) -> list[Event]:
        if self.error is not None:
            raise self.error
        events = self._read(self._sse.close())
        if self.error is None:
            self.error = self._ended(events)
        if self.error is not None and not events:
            raise self.error
        return events

    def _read(self, raw: list[SseEvent]) -> list[Event]:
        events: list[Event] = []
        for name, data in raw:
            if self.done:
                break
            if self._halves:
                data = repaired(data, self._halves) or data
            try:
                if len(data) > FREE:
                    check_answer("event", data)
                if data[:1] != b"{" and data.strip() == b"[DONE]":
                    self._mark()
                else:
                    event = self._event(name, data)
                    if event is not None:
                        events.append(event)
            except ProviderError as error:
                self.error = self._read_repaired(name, data, error, events)
                if self.error is not None:
                    break
        if self.error is not None and not events:
            raise self.error
        return events

    def _read_repaired(self, name: str, data: bytes, error: ProviderError, events: list[Event]) -> ProviderError | None:
        """An event could not be read: the error, or None if it could be when its text had been repaired."""
        sound = repaired(data, self._halves) if error.failure.kind == "malformed" else None
        if sound is None:
            return error
        try:
            event = self._event(name, sound)
        except ProviderError as second:
            return second
        if event is not None:
            events.append(event)
        return None

    def _event(self, name: str, data: bytes) -> Event | None:
        """What one event means; None when it means nothing to a caller. Raises ``ProviderError``."""
        raise NotImplementedError

    def _mark(self) -> None:
        """The end mark was read: nothing after it counts."""
        self.done = True
        if not self._complete():
            self.error = self._unfinished()

    def _ended(self, events: list[Event]) -> ProviderError | None:
        """The body has ended: the error that this is, or None; may add to ``events``."""
        return None if self._complete() else self._unfinished()

    def _complete(self) -> bool:
        return self._finished

    def _document(self, raw: bytes) -> ProviderError | None:
        """The error that a body means which is not a stream, or None; may also raise it."""
        return None

    def _unfinished(self) -> ProviderError:
        if self._seen:
            return failed("cut", f"the stream ended without {self.ends_with}", status=200)
        stray = self._sse.stray.strip()
        if stray.startswith(self.documents):
            try:
                error = self._document(stray)
            except ProviderError as raised:
                error = raised
            if error is not None:
                return error
        return failed("empty", "the stream ended before its first event", status=200)
