"""Streams of Ollama's chat as events of the inner language. Pure.

A stream is one JSON object a line (``application/x-ndjson``); the object with ``done`` ends it and carries the counts. An error
in the middle is a line ``{"error": "..."}`` (docs.ollama.com/api/streaming, 2026-11).
"""

from __future__ import annotations

from typing import Any, Final

from providers.errors import ProviderError, failed
from providers.ollama.response import Reader, logprobs, text_of, usage_of
from providers.transport.json_repair import Halves
from providers.transport.sse import decode_repaired
from providers.types import Chunk, Event, Json

LINE_MAX: Final = 16 * 1024 * 1024
"""Bytes of one line above which the stream is refused."""


class Decoder:
    """See ``base.Decoder``."""

    __slots__ = ("_halves", "_reader", "_seen", "_size", "_started", "_tail", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: ProviderError | None = None
        self._tail: list[bytes] = []
        self._size = 0
        self._halves: Halves = {}
        self._reader = Reader()
        self._started = False
        """The first event, which carries the role, was emitted."""
        self._seen = False

    def feed(self, data: bytes) -> list[Event]:
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return []
        complete = b"".join([*self._tail, data[:end]])
        self._tail.clear()
        self._size = 0
        if end < len(data):
            self._keep(data[end:])
        return self._read(complete.split(b"\n"))

    def close(self) -> list[Event]:
        if self.error is not None:
            raise self.error
        rest = b"".join(self._tail)
        self._tail.clear()
        events: list[Event] = []
        if not self.done:
            try:
                events = self._read([rest])  # a complete last line may lack its line feed
            except ProviderError as error:
                partial = error.failure.kind == "malformed" and (self._seen or rest.lstrip().startswith(b"{"))
                self.error = failed("cut", "the stream ended within a line", status=200) if partial else error
        if not self.done and self.error is None:
            kind = "cut" if self._seen else "empty"
            message = "the stream ended before done" if self._seen else "the stream was empty"
            self.error = failed(kind, message, status=200)
        if self.error is not None and not events:
            raise self.error
        return events

    def _keep(self, data: bytes) -> None:
        self._tail.append(data)
        self._size += len(data)
        if self._size > LINE_MAX:
            raise failed("malformed", "a line of the stream is longer than 16 MB")

    def _read(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if self.done or self.error is not None:
                break
            if line.strip():
                try:
                    events.append(self._event(decode_repaired(line, self._halves)))
                except ProviderError as error:
                    self.error = error
        if self.error is not None and not events:
            raise self.error
        return events

    def _event(self, body: Json) -> Event:
        delta = self._reader.read(body)
        self._seen = True
        if not self._started:
            self._started = True
            delta = {"role": "assistant", "content": "", **delta}
        choice: Any = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        if body.get("logprobs"):
            choice["logprobs"] = logprobs(body)
        chunk: Chunk = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": text_of(body.get("model")),
            "choices": [choice],
        }
        shown = bool(delta.get("content") or delta.get("reasoning") or delta.get("tool_calls"))
        if body.get("done") is not True:
            return Event(chunk, content=shown)
        choice |= self._reader.finish(body)
        self.done = True
        return Event(chunk, content=shown, finish=choice["finish_reason"], usage=usage_of(body))
