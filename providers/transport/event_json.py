"""What all decoders of server-sent events share: when a stream is over, and what it means when it is over too early. Pure.

A dialect's decoder says what one event means (``_event``); the rest is here: an error that comes behind events waits until those
are delivered, nothing counts behind the end mark, a body that ends early is ``cut``, or ``empty`` when nothing came, or the error
document that some vendors send instead of a stream.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from providers.errors import ProviderError, excerpt, failed
from providers.transport.sse import SseParser
from providers.types import Event, Json

_decode = msgspec.json.Decoder().decode


def decode(raw: bytes) -> Json:
    """A JSON object. Raises ``ProviderError`` (malformed) for anything else, whatever the way in which it is broken."""
    try:
        body = _decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        raise failed("malformed", f"not JSON: {error}", raw=excerpt(raw)) from error
    if not isinstance(body, dict):
        raise failed("malformed", "not a JSON object", raw=excerpt(raw))
    return body


def object_in(content: bytes) -> Json:
    """The JSON object of a refusal, empty for a page of some balancer: then status and headers alone speak."""
    try:
        body = _decode(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


class SseDecoder:
    """One stream: bytes to events. See ``base.Decoder``. To be subclassed."""

    __slots__ = ("_finished", "_seen", "_sse", "done", "error")

    ends_with: ClassVar[str] = "a finish reason"
    """What a stream must have had before it may end; for messages."""
    documents: ClassVar[tuple[bytes, ...]] = (b"{",)
    """What a body begins with that is an error document and no stream."""

    def __init__(self) -> None:
        self.done = False
        self.error: ProviderError | None = None
        self._sse = SseParser()
        self._seen = False
        """An event of the vendor's was read."""
        self._finished = False
        """The answer's end was told."""

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

    def _read(self, raw: list[tuple[str, bytes]]) -> list[Event]:
        events: list[Event] = []
        for name, data in raw:
            if self.done:
                break
            try:
                if data[:1] != b"{" and data.strip() == b"[DONE]":
                    self._mark()
                else:
                    event = self._event(name, data)
                    if event is not None:
                        events.append(event)
            except ProviderError as error:
                self.error = error
                break
        if self.error is not None and not events:
            raise self.error
        return events

    def _event(self, name: str, data: bytes) -> Event | None:
        """What one event says; None: nothing. Raises ``ProviderError``."""
        raise NotImplementedError

    def _mark(self) -> None:
        """The end mark came: nothing after it counts."""
        self.done = True
        if not self._complete():
            self.error = self._unfinished()

    def _ended(self, events: list[Event]) -> ProviderError | None:
        """The body ended: the error that it is, if it is one; may add to ``events``."""
        return None if self._complete() else self._unfinished()

    def _complete(self) -> bool:
        return self._finished

    def _document(self, raw: bytes) -> ProviderError | None:
        """What a body that is no stream means; None: nothing. May raise it, too."""
        return None

    def _unfinished(self) -> ProviderError:
        if self._seen:
            return failed("cut", f"the stream ended without {self.ends_with}", status=200)
        stray = self._sse.stray.strip()
        if stray.startswith(self.documents):
            try:
                error = self._document(stray)
            except ProviderError as told:
                error = told
            if error is not None:
                return error
        return failed("empty", "the stream ended before its first event", status=200)
