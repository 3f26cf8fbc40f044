"""Streams of Anthropic's Messages API as events of the inner language. Pure.

Order of the vendor's events (platform.claude.com/docs/en/build-with-claude/streaming, 2026-11): ``message_start``, for each
block ``content_block_start`` / ``content_block_delta`` / ``content_block_stop``, then ``message_delta`` (stop reason,
cumulative usage) and ``message_stop``; ``ping`` and ``error`` anywhere; unknown events may be added. The counts of
``message_delta`` replace those of ``message_start``, which counts one token or a few of the answer; what it leaves out still holds.

Compatible vendors (read 2026-11 in issue trackers of LiteLLM, vLLM and llama.cpp) send a tool's whole input with its start,
count the prompt only at the end, or add ``data: [DONE]``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from providers.anthropic.errors import error_from_body, malformed
from providers.anthropic.messages import FORMAT
from providers.anthropic.response import finish_reason, refusal_of, text_of, url_citations, usage_of
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import ProviderError
from providers.transport.sse import SseDecoder, decode
from providers.types import Choice, Chunk, Event, Json, Usage
from providers.usage import later

_decode = msgspec.json.Decoder().decode


class _Block:
    """One open content block."""

    __slots__ = ("citations", "has_input", "index", "initial_input", "kind", "start")

    def __init__(self, kind: str, index: int = 0) -> None:
        self.kind = kind
        """``text``, ``thinking``, ``tool``, ``structured`` (an answer in a tool call), or ``other``: not translated."""
        self.index = index
        """Of the tool call, or of the reasoning detail."""
        self.initial_input = ""
        """JSON of the input that came with the block's start; used when no delta follows."""
        self.has_input = False
        """A delta of input has come."""
        self.start = 0
        """Characters of content before this block."""
        self.citations: list[Any] = []


class Decoder(SseDecoder):
    """See ``base.Decoder``. Every vendor event becomes one ``Event``, with the vendor's own name and data in ``native``."""

    __slots__ = ("_blocks", "_calls", "_details", "_id", "_model", "_raw", "_text", "_usage")

    ends_with: ClassVar[str] = "a stop reason"

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._details = 0
        self._text = 0
        """Characters of content so far; citations count from there."""
        self._raw: Json = {}
        self._usage: Usage | None = None
        self._id, self._model = "", ""

    def _document(self, raw: bytes) -> ProviderError:
        return error_from_body(decode(raw))

    def _event(self, name: str, data: bytes) -> Event:
        try:
            body = _decode(data)
            kind = body["type"]
            if kind == "content_block_delta":
                return self._block_delta(body, body["delta"], (name or kind, body))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            body = decode(data)  # raises a precise error when it is not even an object
            kind = body.get("type")
            if kind == "content_block_delta":
                raise malformed("a content_block_delta that cannot be read", body) from None
        if kind == "error" or name == "error" or (kind is None and body.get("error")):
            usage = body.get("usage")
            raise error_from_body(body).reporting(usage_of(self._raw | usage) if isinstance(usage, dict) else None)
        self._seen = True
        native = (name or text_of(kind), body)
        if kind == "content_block_start":
            return self._block_start(body, native)
        if kind == "content_block_stop":
            return self._block_stop(body, native)
        if kind == "message_start":
            return self._message_start(body, native)
        if kind == "message_delta":
            return self._message_delta(body, native)
        if kind == "message_stop":
            self._mark()
        return self._event_of(None, native)

    def _event_of(self, delta: Json | None, native: tuple[str, Json], *, content: bool = False) -> Event:
        """An event with this delta; without a delta it has no choices and carries the vendor's event alone."""
        return Event(self._chunk(delta), content=content, native=native)

    def _chunk(self, delta: Any, finish: str | None = None, stop_reason: str | None = None) -> Chunk:
        choice: Choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": stop_reason}
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
            "choices": [] if delta is None else [choice],
        }

    def _text_event(self, text: str, native: tuple[str, Json]) -> Event:
        self._text += len(text)
        return Event(self._chunk({"content": text}), content=text != "", native=native)

    def _message_start(self, body: Json, native: tuple[str, Json]) -> Event:
        message = body.get("message")
        if not isinstance(message, dict):
            raise malformed("a message_start without message", body)
        self._id, self._model = text_of(message.get("id")), text_of(message.get("model"))
        event = self._event_of({"role": "assistant", "content": ""}, native)
        event.usage = self._count(message.get("usage"))
        return event

    def _count(self, raw: Any) -> Usage | None:
        """The usage that holds after a report, which is final when it counts the output behind a stop reason."""
        if isinstance(raw, dict) and raw:
            self._raw = {**self._raw, **{name: value for name, value in raw.items() if value is not None}}
            final = self._finished and raw.get("output_tokens") is not None
            self._usage = later(self._usage, replace(usage_of(self._raw), interim=not final))
        return self._usage

    def _block_start(self, body: Json, native: tuple[str, Json]) -> Event:
        block, index = body.get("content_block"), body.get("index")
        if not isinstance(block, dict) or type(index) is not int:
            raise malformed("a content_block_start without block or index", body)
        kind = block.get("type")
        if kind == "text":
            opened = self._blocks[index] = _Block("text")
            opened.start = self._text
            citations, text = block.get("citations"), block.get("text")
            opened.citations += citations if isinstance(citations, list) else ()
            return self._text_event(text, native) if isinstance(text, str) and text else self._event_of(None, native)
        if kind == "tool_use":
            return self._tool_start(body, block, index, native)
        if kind not in ("thinking", "redacted_thinking"):
            self._blocks[index] = _Block("other")
            return self._event_of(None, native)
        place = self._details + self._calls + bool(self._text)  # the blocks before it, with all text as one
        self._blocks[index] = _Block("thinking", place)
        self._details += 1
        if kind == "redacted_thinking":
            if not isinstance(block.get("data"), str):
                raise malformed("a redacted_thinking block without data", body)
            detail = {"type": "reasoning.encrypted", "data": block["data"]}
            return self._event_of(self._detail(place, detail), native, content=True)
        thought, signature = text_of(block.get("thinking")), text_of(block.get("signature"))
        if not thought and not signature:
            return self._event_of(None, native)
        detail = {"type": "reasoning.text", "text": thought, **({"signature": signature} if signature else {})}
        delta = self._detail(place, detail)
        return self._event_of({**delta, "reasoning": thought} if thought else delta, native, content=bool(thought))

    def _tool_start(self, body: Json, block: Json, index: int, native: tuple[str, Json]) -> Event:
        name, id, given = block.get("name"), block.get("id"), block.get("input")
        if not isinstance(name, str) or not isinstance(id, str):
            raise malformed("a tool_use block without name or id", body)
        opened = self._blocks[index] = _Block("structured" if name == STRUCTURED_TOOL else "tool", self._calls)
        opened.initial_input = msgspec.json.encode(given if isinstance(given, dict) else {}).decode()
        if opened.kind == "structured":
            return self._event_of(None, native)
        self._calls += 1
        call = {"index": opened.index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        return self._event_of({"tool_calls": [call]}, native, content=True)

    @staticmethod
    def _detail(index: int, detail: Json) -> Json:
        return {"reasoning_details": [{**detail, "format": FORMAT, "index": index}]}

    def _block_delta(self, body: Json, delta: Json, native: tuple[str, Json]) -> Event:
        self._seen = True
        kind = delta["type"]
        if kind == "text_delta":
            return self._text_event(delta["text"] + "", native)  # ``+ ""`` raises TypeError for anything but a text
        block = self._blocks.get(body["index"]) or _Block("other")
        if kind == "input_json_delta":
            return self._input(block, delta["partial_json"] + "", native)
        if kind == "thinking_delta":
            thought = delta["thinking"] + ""
            detail = {"type": "reasoning.text", "text": thought, "format": FORMAT, "index": block.index}
            chunk = self._chunk({"reasoning": thought, "reasoning_details": [detail]})
            return Event(chunk, content=thought != "", native=native)
        if kind == "signature_delta":
            detail = {"type": "reasoning.text", "signature": delta["signature"] + ""}
            return self._event_of(self._detail(block.index, detail), native)
        if kind == "citations_delta":
            block.citations.append(delta.get("citation"))
        return self._event_of(None, native)

    def _input(self, block: _Block, piece: str, native: tuple[str, Json]) -> Event:
        """A piece of a tool's input: arguments of a call, or text of a structured answer."""
        if not piece or block.kind not in ("tool", "structured"):
            return self._event_of(None, native)
        block.has_input = True
        if block.kind == "structured":
            return self._text_event(piece, native)
        call = {"index": block.index, "function": {"arguments": piece}}
        return Event(self._chunk({"tool_calls": [call]}), content=True, native=native)

    def _block_stop(self, body: Json, native: tuple[str, Json]) -> Event:
        index = body.get("index")
        block = self._blocks.pop(index, None) if type(index) is int else None
        if block is None:
            return self._event_of(None, native)
        if block.kind in ("tool", "structured") and not block.has_input:
            return self._input(block, block.initial_input, native)  # ``{}`` without any: clients parse it as JSON
        found = [one for citation in block.citations for one in url_citations(citation, block.start, self._text)]
        return self._event_of({"annotations": found} if found else None, native)

    def _message_delta(self, body: Json, native: tuple[str, Json]) -> Event:
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        stop_reason = delta.get("stop_reason")
        self._finished = self._finished or isinstance(stop_reason, str)
        usage = self._count(body.get("usage"))
        if not isinstance(stop_reason, str):
            return Event(self._chunk(None), usage=usage, native=native)
        finish = finish_reason(stop_reason, calls=self._calls > 0)
        refusal = refusal_of(delta.get("stop_details"))
        chunk = self._chunk({"refusal": refusal} if refusal else {}, finish, stop_reason)
        return Event(chunk, content=bool(refusal), finish=finish, usage=usage, native=native)
