"""Streams of ConverseStream as events of the inner language. Pure.

A stream is framed as ``application/vnd.amazon.eventstream``; it ends with ``messageStop`` followed by ``metadata`` with
the usage. Payloads carry a field ``p`` of random length, which only hides their size from eavesdroppers. (botocore 1.44.5's service
model of bedrock-runtime, ConverseStreamOutput, 2026-11.)
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from providers.bedrock.errors import error_from_event
from providers.bedrock.messages import REASONING_FORMAT
from providers.bedrock.response import (
    check_stop,
    encrypted,
    finish_reason,
    images_of,
    object_of,
    text_of,
    tool_name,
    url_citations,
    usage_of,
)
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import ProviderError, failed
from providers.transport.aws_eventstream import EventStreamParser, Message
from providers.transport.json_repair import Halves
from providers.transport.sse import decode_repaired
from providers.types import Choice, Chunk, Event, Json

IMAGE_MAX = 64 * 1024 * 1024
"""Most base64 characters of one streamed image."""


class _Block:
    """An open content block."""

    __slots__ = ("call", "format", "has_input", "kind", "pieces", "size")

    def __init__(self, kind: str, *, call: int = 0, format_: Any = None) -> None:
        self.kind = kind
        """``tool``, ``structured`` (an answer in a tool call), ``image`` or ``ignored``."""
        self.call = call
        """Number of the tool call."""
        self.format = format_
        self.has_input = False
        """A delta of input has come."""
        self.pieces: list[str] = []
        self.size = 0


class Decoder:
    """See ``base.Decoder``."""

    __slots__ = ("_blocks", "_calls", "_finished", "_frames", "_halves", "_seen", "_structured", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: ProviderError | None = None
        self._frames = EventStreamParser()
        self._halves: Halves = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._structured = False
        self._seen = False
        self._finished = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for message in self._frames.feed(data):
            try:
                event = self._event(message)
            except ProviderError as error:
                self.error = error
                break
            if event is not None:
                events.append(event)
            if self.done:
                return events
        if self.error is None:
            self.error = self._frames.error
        if self.error is not None and not events:
            raise self.error
        return events

    def close(self) -> list[Event]:
        if self.error is not None:
            raise self.error
        if self._finished:
            return []
        if not self._seen and not self._frames.pending:
            raise failed("empty", "the stream ended before its first event", status=200)
        raise failed("cut", "the stream ended without a stop reason", status=200)

    def _event(self, message: Message) -> Event | None:
        kind = message.word(":message-type")
        if kind in ("exception", "error"):
            raise error_from_event(message)
        name = message.word(":event-type")
        reader = _READERS.get(name)
        if reader is None:
            return None
        self._seen = True
        return reader(self, decode_repaired(message.payload, self._halves))

    def _start(self, body: Json) -> Event | None:
        return _chunk({"role": "assistant", "content": ""})

    def _block_start(self, body: Json) -> Event | None:
        index, start = _index(body), object_of(body, "start")
        if isinstance(start.get("image"), dict):
            self._blocks[index] = _Block("image", format_=start["image"].get("format"))
        tool = start.get("toolUse")
        if not isinstance(tool, dict):
            return None
        if tool.get("type") == "server_tool_use":
            self._blocks[index] = _Block("ignored")
            return None
        name = tool_name(tool.get("name"))
        if name == STRUCTURED_TOOL:
            self._blocks[index] = _Block("structured")
            self._structured = True
            return None
        function = {"name": name, "arguments": ""}
        call = {"index": self._calls, "id": text_of(tool.get("toolUseId"), "a tool's id"), "type": "function"}
        self._blocks[index] = _Block("tool", call=self._calls)
        self._calls += 1
        return _chunk({"tool_calls": [{**call, "function": function}]}, content=True)

    def _block_delta(self, body: Json) -> Event | None:
        index, delta = _index(body), object_of(body, "delta")
        if isinstance(delta.get("text"), str):
            return _chunk({"content": delta["text"]}, content=delta["text"] != "")
        if isinstance(delta.get("toolUse"), dict):
            return self._input(index, delta["toolUse"].get("input"))
        if isinstance(delta.get("reasoningContent"), dict):
            return _thought(delta["reasoningContent"], index)
        if isinstance(delta.get("citation"), dict):
            annotations = url_citations(delta["citation"])
            return _chunk({"annotations": annotations}) if annotations else None
        block = self._blocks.get(index)
        if block is not None and block.kind == "image" and isinstance(delta.get("image"), dict):
            source = delta["image"].get("source")
            if isinstance(source, dict) and isinstance(source.get("bytes"), str):
                block.pieces.append(source["bytes"])
                block.size += len(source["bytes"])
                if block.size > IMAGE_MAX:
                    raise failed("malformed", f"an image of more than {IMAGE_MAX} characters")
        return None

    def _input(self, index: int, piece: Any) -> Event | None:
        block = self._blocks.get(index)
        if not isinstance(piece, str) or block is None:
            raise failed("malformed", "input of a tool call that has not begun")
        if block.kind == "ignored" or not piece:
            return None
        block.has_input = True
        return self._piece(block, piece)

    def _piece(self, block: _Block, piece: str) -> Event:
        if block.kind == "structured":
            return _chunk({"content": piece}, content=True)
        return _chunk({"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]}, content=True)

    def _block_stop(self, body: Json) -> Event | None:
        block = self._blocks.pop(_index(body), None)
        if block is None or block.kind == "ignored":
            return None
        if block.kind == "image":
            images = images_of(block.format, "".join(block.pieces))
            return _chunk({"images": images}, content=True) if images else None
        return None if block.has_input else self._piece(block, "{}")  # a call without arguments has no delta

    def _stop(self, body: Json) -> Event | None:
        native = text_of(body.get("stopReason"), "a stop reason")
        check_stop(native)
        self._finished = True
        finish = finish_reason(native, tools=self._calls > 0, structured=self._structured)
        return _chunk({}, finish=finish, native=native)

    def _metadata(self, body: Json) -> Event | None:
        self.done = self._finished
        usage = usage_of(body.get("usage"))
        if usage is None:
            return None
        if not self._finished:
            usage = replace(usage, interim=True)
        chunk: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
        return Event(chunk, usage=usage)


_READERS = {
    "messageStart": Decoder._start,
    "contentBlockStart": Decoder._block_start,
    "contentBlockDelta": Decoder._block_delta,
    "contentBlockStop": Decoder._block_stop,
    "messageStop": Decoder._stop,
    "metadata": Decoder._metadata,
}


def _chunk(delta: Any, *, content: bool = False, finish: str | None = None, native: str | None = None) -> Event:
    choice: Choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native}
    chunk: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [choice]}
    return Event(chunk, content, finish)


def _thought(content: Json, index: int) -> Event | None:
    """A fragment of reasoning. It is marked as Claude's before its signature is known: unsigned text is never sent back."""
    text, signature, redacted = content.get("text"), content.get("signature"), content.get("redactedContent")
    detail: Json = {"type": "reasoning.text", "format": REASONING_FORMAT, "index": index}
    if isinstance(text, str) and text:
        return _chunk({"reasoning": text, "reasoning_details": [{**detail, "text": text}]}, content=True)
    if isinstance(signature, str) and signature:
        return _chunk({"reasoning_details": [{**detail, "signature": signature}]}, content=True)
    if isinstance(redacted, str) and redacted:
        return _chunk({"reasoning_details": [encrypted(redacted, index)]}, content=True)
    return None


def _index(body: Json) -> int:
    value = body.get("contentBlockIndex")
    if type(value) is not int or value < 0:
        raise failed("malformed", "the index of a content block is not a number")
    return value
