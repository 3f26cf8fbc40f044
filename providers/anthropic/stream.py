"""One stream of Anthropic's Messages API: bytes to events. Pure.

Order of the vendor's events (platform.claude.com/docs/en/build-with-claude/streaming, 2026-11): ``message_start``, for each
block ``content_block_start`` / ``content_block_delta`` / ``content_block_stop``, then ``message_delta`` (stop reason,
cumulative usage) and ``message_stop``; ``ping`` and ``error`` anywhere; unknown events may be added. The counts of
``message_delta`` replace those of ``message_start``; what it leaves out still holds.

Compatible vendors (read 2026-11 in issue trackers of LiteLLM, vLLM and llama.cpp) send a tool's whole input with its start,
count the prompt only at the end, or add ``data: [DONE]``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from providers.anthropic.messages import FORMAT
from providers.anthropic.response import annotation, broken, failure_in, finish, refusal_of, text_of, usage
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import ProviderError
from providers.transport.sse import SseDecoder, decode
from providers.types import Event, Json, Usage
from providers.usage import later

_decode = msgspec.json.Decoder().decode


class _Block:
    """One content block that is being written."""

    __slots__ = ("cited", "index", "kind", "preset", "start", "wrote")

    def __init__(self, kind: str, index: int = 0) -> None:
        self.kind = kind
        """``text``, ``thinking``, ``tool``, ``structured``, or ``other`` for what the inner language has no word for."""
        self.index = index
        """Of the tool call, or of the reasoning detail."""
        self.preset = ""
        """Arguments that came whole with the start; they count when nothing follows."""
        self.wrote = False
        self.start = 0
        self.cited: list[Any] = []


class Decoder(SseDecoder):
    """See ``base.Decoder``. Every vendor event is one ``Event``, with the vendor's own words in ``wire``."""

    __slots__ = ("_blocks", "_calls", "_details", "_id", "_model", "_raw", "_text", "_usage")

    ends_with: ClassVar[str] = "a stop reason"

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._details = 0
        self._text = 0
        """Characters of content so far: where citations point to."""
        self._raw: Json = {}
        self._usage: Usage | None = None
        self._id, self._model = "", ""

    def _document(self, raw: bytes) -> ProviderError:
        return failure_in(decode(raw))

    def _event(self, name: str, data: bytes) -> Event:
        try:
            body = _decode(data)
            kind = body["type"]
            if kind == "content_block_delta":
                return self._delta(body, body["delta"], (name or kind, body))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            body = decode(data)  # says what is wrong when it is not even an object
            kind = body.get("type")
            if kind == "content_block_delta":
                raise broken("a content_block_delta that cannot be read", body) from None
        if kind == "error" or name == "error" or (kind is None and body.get("error")):
            raise failure_in(body)
        self._seen = True
        wire = (name or text_of(kind), body)
        if kind == "content_block_start":
            return self._start(body, wire)
        if kind == "content_block_stop":
            return self._stop(body, wire)
        if kind == "message_start":
            return self._open(body, wire)
        if kind == "message_delta":
            return self._finish(body, wire)
        if kind == "message_stop":
            self._mark()
        return self._event_of(None, wire)

    def _event_of(self, delta: Json | None, wire: tuple[str, Json], *, content: bool = False) -> Event:
        return Event(self._chunk(delta), content, None, None, wire)

    def _chunk(self, delta: Json | None, reason: str | None = None, native: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "native_finish_reason": native}
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
            "choices": [] if delta is None else [choice],
        }

    def _open(self, body: Json, wire: tuple[str, Json]) -> Event:
        message = body.get("message")
        if not isinstance(message, dict):
            raise broken("a message_start without message", body)
        self._id, self._model = text_of(message.get("id")), text_of(message.get("model"))
        event = self._event_of({"role": "assistant", "content": ""}, wire)
        event.usage = self._count(message.get("usage"))
        return event

    def _count(self, raw: Any) -> Usage | None:
        if isinstance(raw, dict) and raw:
            self._raw = {**self._raw, **{name: value for name, value in raw.items() if value is not None}}
            self._usage = later(self._usage, usage(self._raw))
        return self._usage

    def _start(self, body: Json, wire: tuple[str, Json]) -> Event:
        block, index = body.get("content_block"), body.get("index")
        if not isinstance(block, dict) or type(index) is not int:
            raise broken("a content_block_start without block or index", body)
        kind = block.get("type")
        if kind == "text":
            opened = self._blocks[index] = _Block("text")
            opened.start = self._text
            cited, text = block.get("citations"), block.get("text")
            opened.cited += cited if isinstance(cited, list) else ()
            return self._say(text, wire) if isinstance(text, str) and text else self._event_of(None, wire)
        if kind == "tool_use":
            return self._start_tool(body, block, index, wire)
        if kind not in ("thinking", "redacted_thinking"):
            self._blocks[index] = _Block("other")
            return self._event_of(None, wire)
        self._blocks[index] = _Block("thinking", self._details)
        self._details += 1
        if kind == "redacted_thinking":
            if not isinstance(block.get("data"), str):
                raise broken("a redacted_thinking block without data", body)
            detail = {"type": "reasoning.encrypted", "data": block["data"]}
            return self._event_of(self._reason(self._details - 1, detail), wire, content=True)
        thought, signature = text_of(block.get("thinking")), text_of(block.get("signature"))
        if not thought and not signature:
            return self._event_of(None, wire)
        detail = {"type": "reasoning.text", "text": thought, **({"signature": signature} if signature else {})}
        delta = self._reason(self._details - 1, detail)
        return self._event_of({**delta, "reasoning": thought} if thought else delta, wire, content=bool(thought))

    def _start_tool(self, body: Json, block: Json, index: int, wire: tuple[str, Json]) -> Event:
        name, id, given = block.get("name"), block.get("id"), block.get("input")
        if not isinstance(name, str) or not isinstance(id, str):
            raise broken("a tool_use block without name or id", body)
        opened = self._blocks[index] = _Block("structured" if name == STRUCTURED_TOOL else "tool", self._calls)
        opened.preset = msgspec.json.encode(given if isinstance(given, dict) else {}).decode()
        if opened.kind == "structured":
            return self._event_of(None, wire)
        self._calls += 1
        call = {"index": opened.index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        return self._event_of({"tool_calls": [call]}, wire, content=True)

    def _say(self, text: str, wire: tuple[str, Json]) -> Event:
        self._text += len(text)
        return Event(self._chunk({"content": text}), bool(text), None, None, wire)

    @staticmethod
    def _reason(index: int, detail: Json) -> Json:
        return {"reasoning_details": [{**detail, "format": FORMAT, "index": index}]}

    def _delta(self, body: Json, delta: Json, wire: tuple[str, Json]) -> Event:
        self._seen = True
        kind = delta["type"]
        if kind == "text_delta":
            text = delta["text"]
            self._text += len(text)
            return Event(self._chunk({"content": text + ""}), text != "", None, None, wire)
        block = self._blocks.get(body["index"]) or _Block("other")
        if kind == "input_json_delta":
            return self._write(block, delta["partial_json"] + "", wire)
        if kind == "thinking_delta":
            thought = delta["thinking"] + ""
            detail = {"type": "reasoning.text", "text": thought, "format": FORMAT, "index": block.index}
            told = {"reasoning": thought, "reasoning_details": [detail]}
            return Event(self._chunk(told), thought != "", None, None, wire)
        if kind == "signature_delta":
            detail = {"type": "reasoning.text", "signature": delta["signature"] + ""}
            return self._event_of(self._reason(block.index, detail), wire)
        if kind == "citations_delta":
            block.cited.append(delta.get("citation"))
        return self._event_of(None, wire)

    def _write(self, block: _Block, piece: str, wire: tuple[str, Json]) -> Event:
        """Arguments of a tool call, or the text of a structured answer."""
        if not piece or block.kind not in ("tool", "structured"):
            return self._event_of(None, wire)
        block.wrote = True
        if block.kind == "structured":
            return self._say(piece, wire)
        call = {"index": block.index, "function": {"arguments": piece}}
        return Event(self._chunk({"tool_calls": [call]}), True, None, None, wire)

    def _stop(self, body: Json, wire: tuple[str, Json]) -> Event:
        index = body.get("index")
        block = self._blocks.pop(index, None) if type(index) is int else None
        if block is None:
            return self._event_of(None, wire)
        if block.kind in ("tool", "structured") and not block.wrote:
            return self._write(block, block.preset, wire)  # ``{}``: clients parse the arguments as JSON
        cited: list[Json] = []
        for citation in block.cited:
            cited += annotation(citation, block.start, self._text)
        return self._event_of({"annotations": cited} if cited else None, wire)

    def _finish(self, body: Json, wire: tuple[str, Json]) -> Event:
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        counted = self._count(body.get("usage"))
        native = delta.get("stop_reason")
        if not isinstance(native, str):
            return Event(self._chunk(None), False, None, counted, wire)
        self._finished = True
        reason = finish(native, calls=self._calls > 0)
        refusal = refusal_of(delta.get("stop_details"))
        told = {"refusal": refusal} if refusal else {}
        return Event(self._chunk(told, reason, native), bool(refusal), reason, counted, wire)
