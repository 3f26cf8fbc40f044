"""Streams in Anthropic's event sequence: translated from inner chunks, or passed on with only the gateway's fields rewritten.

Anthropic's order: ``message_start``, ``ping``, then block after block (``content_block_start``, deltas, ``content_block_stop``;
never two at once), ``message_delta`` with the stop reason and the final usage, ``message_stop``. Inner chunks have no blocks, and
parallel tool calls may come interleaved: a block that cannot begin yet waits in a queue until the blocks before it have ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.api.inference.messages import response, thinking
from gateway.api.inference.messages.response import listed
from gateway.api.inference.response_fields import explain, hides_reasoning
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from providers.types import Event

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def frame(name: str, data: Json) -> bytes:
    """One event with its name, which clients of this API read."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"


def failed(error: GatewayError, request: InferenceRequest, usage: Json | None = None) -> bytes:
    """The end of a stream that broke off. ``usage``: what was charged nevertheless."""
    event = response.envelope(error, request.id)
    if usage is not None:
        event["usage"] = usage
    return frame("error", event)


@dataclass(slots=True, eq=False)
class _Block:
    """One content block that has not ended yet."""

    key: tuple[str, Any]
    """Its type, and what tells blocks of the type apart: later deltas with this key belong to it. Nothing is added to a
    ``whole`` one.
    """
    start: Json
    """The block in its ``content_block_start``."""
    detail: Json = field(default_factory=dict)
    """Of thinking: everything that must be packed into its signature."""
    hidden: str = ""
    """Of thinking that the caller does not want to see: its text."""
    json: str = ""
    """Arguments of a call so far."""
    unsent: list[Json] = field(default_factory=list)
    """Deltas that could not be sent yet."""

    @property
    def complete(self) -> bool:
        """No more deltas can follow, so the next block may begin."""
        if self.key[0] != "tool":
            return True
        try:
            msgspec.json.decode(self.json)
        except (ValueError, RecursionError):
            return False
        return bool(self.start["name"])


class MessagesEncoder:
    """Inner chunks → Anthropic's events."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._hidden = hides_reasoning(generation.request)
        self._out: list[bytes] = []
        """Events that have not been handed over yet."""
        self._queue: list[_Block] = []
        """Blocks that have not ended; the first one is being sent."""
        self._message_started = self._block_started = False
        self._index = 0
        """Of the block that is being sent."""
        self._calls: set[int] = set()
        """Indexes of the tool calls that have begun."""
        self._ids = response.CallIds(generation.request.id)
        self._choice: Json = {}
        """The choice with the finish reason."""
        self._refusal = ""
        self._has_text = False

    # -- Encoder ---------------------------------------------------------------------------------------

    def events(self, events: list[Event]) -> bytes:
        self._start_message()
        for event in events:
            choices: Any = event.chunk.get("choices") or ()
            for choice in choices[:1]:
                self._read(choice.get("delta") or {})
                if choice.get("finish_reason"):
                    self._choice = choice
        self._advance()
        return self._take_out()

    def finish(self) -> bytes:
        self._start_message()
        self._flush()
        stops = self._generation.request.body.get("stop")
        delta = response.stop_fields(self._choice, self._refusal, stops, has_calls=bool(self._calls))
        usage = response.usage(self._generation)
        self._put("message_delta", {"delta": {**delta, "container": None}, "usage": usage})
        stop: Json = {}
        if self._generation.request.explain:
            stop["openrouter_metadata"] = explain(self._generation)
        self._put("message_stop", stop)
        return self._take_out()

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        generation = self._generation
        usage = response.usage(generation) if generation.ended else None
        return self._take_out() + failed(error, generation.request, usage)

    # -- reading a delta ----------------------------------------------------------------------------------------------

    def _read(self, delta: Json) -> None:
        details = [one for one in listed(delta.get("reasoning_details")) if isinstance(one, dict)]
        reasoning = delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning and not any(thinking.text_of(one) for one in details):
            self._add_thinking(("thinking", None), reasoning)
        for detail in details:
            self._add_detail(detail)
        for name in ("content", "refusal"):
            text = delta.get(name)
            if isinstance(text, str) and text:
                self._add_text({"type": "text_delta", "text": text})
                self._refusal += text if name == "refusal" else ""
        for citation in response.citations(delta.get("annotations"), ""):
            self._add_text({"type": "citations_delta", "citation": citation})
        for image in listed(delta.get("images")):
            if (block := response.picture(image)) is not None:
                self._add_whole(block)
        for position, call in enumerate(listed(delta.get("tool_calls"))):
            index = call.get("index")
            self._add_call(call, index if isinstance(index, int) else position)

    def _add_detail(self, detail: Json) -> None:
        """One detail of ``reasoning_details``, or a fragment of one."""
        kind, index = detail.get("type"), detail.get("index")
        if kind == "reasoning.encrypted" and isinstance(detail.get("data"), str):
            self._add_whole({"type": "redacted_thinking", "data": thinking.opaque(detail)})
        if kind not in thinking.READABLE:
            return
        text = thinking.text_of(detail)
        key = ("thinking", (kind, index))
        last = self._queue[-1] if self._queue else None
        if not text and last is not None and last.key[0] == "thinking":
            key = last.key  # a signature without text belongs to the thinking before it
        block = self._add_thinking(key, text)
        signature = detail.get("signature")
        signed = block.detail.get("signature", "") + (signature if isinstance(signature, str) else "")
        block.detail.update({name: value for name, value in detail.items() if value is not None})
        block.detail["signature"] = signed

    def _add_thinking(self, key: tuple[str, Any], text: str) -> _Block:
        block = self._last_block(key, {"type": "thinking", "thinking": "", "signature": ""})
        if text and self._hidden:
            block.hidden += text
        elif text:
            block.unsent.append({"type": "thinking_delta", "thinking": text})
        return block

    def _add_text(self, delta: Json) -> None:
        self._has_text = True
        self._last_block(("text", None), {"type": "text", "text": "", "citations": []}).unsent.append(delta)

    def _add_whole(self, block: Json) -> None:
        self._queue.append(_Block(("whole", None), block))

    def _last_block(self, key: tuple[str, Any], start: Json) -> _Block:
        """The last block of the queue if it has this key, else a new one."""
        if not self._queue or self._queue[-1].key != key:
            self._queue.append(_Block(key, start))
        return self._queue[-1]

    def _add_call(self, call: Json, index: int) -> None:
        function = call.get("function") or {}
        key = ("tool", index)
        block = next((block for block in self._queue if block.key == key), None)
        if block is None:
            if index in self._calls:  # its block has ended
                return
            self._calls.add(index)
            start = response.tool_use(self._ids.of(call.get("id")), function.get("name"))
            block = _Block(key, start)
            self._queue.append(block)
        elif not block.start["name"] and function.get("name"):
            block.start["name"] = function["name"]
        piece = function.get("arguments")
        if isinstance(piece, str) and piece:
            block.json += piece
            block.unsent.append({"type": "input_json_delta", "partial_json": piece})

    # -- writing blocks -----------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Send what can be sent: the deltas of the first block, and the next blocks as soon as the one before is complete."""
        while self._queue:
            head = self._queue[0]
            if len(self._queue) == 1 and self._has_text and head.start["type"] == "redacted_thinking":
                return  # perhaps the last block: see ``_flush``
            if head.key[0] != "tool" or head.start["name"]:
                self._send(head)
            if len(self._queue) == 1 or not head.complete:
                return
            self._close()

    def _flush(self) -> None:
        """Send the rest. A signature behind the last text is left out: Google, whose streams end with it, need not see that one
        again, and Claude Code 2.1.332 shows no text of an answer that ends with redacted thinking."""
        while self._queue and self._has_text and self._queue[-1].start["type"] == "redacted_thinking":
            self._queue.pop()
        while self._queue:
            self._close()

    def _send(self, block: _Block) -> None:
        empty = block.key[0] == "thinking" and not block.unsent
        if not self._block_started and not empty:
            self._block_started = True
            self._put("content_block_start", {"index": self._index, "content_block": block.start})
        for delta in block.unsent:
            self._put("content_block_delta", {"index": self._index, "delta": delta})
        block.unsent.clear()

    def _close(self) -> None:
        block = self._queue.pop(0)
        if block.key[0] == "thinking" and (signature := thinking.opaque(block.detail, block.hidden)):
            block.unsent.append({"type": "signature_delta", "signature": signature})
        self._send(block)
        if self._block_started:
            self._put("content_block_stop", {"index": self._index})
            self._index += 1
        self._block_started = False

    def _start_message(self) -> None:
        if self._message_started:
            return
        self._message_started = True
        message = response.opening(self._generation)
        message["usage"] = response.counts(self._generation.request.prompt.tokens)
        self._put("message_start", {"message": message})
        self._put("ping", {})

    def _put(self, name: str, data: Json) -> None:
        self._out.append(frame(name, {"type": name, **data}))

    def _take_out(self) -> bytes:
        data = b"".join(self._out)
        self._out.clear()
        return data


class PassthroughEncoder:
    """The vendor's own events, in its order. The last ones wait for the settlement, because they have the usage as charged."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._delta: Json | None = None
        self._stop: Json = {"type": "message_stop"}

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            name, data = event.native or ("", {})
            if name == "message_stop":
                self._stop = data
            elif name == "message_delta":
                if self._delta is not None:
                    frames.append(frame(name, self._delta))
                self._delta = data
            elif name == "message_start":
                frames.append(frame(name, {**data, "message": self._opening(data.get("message"))}))
            elif name and name != "error":
                frames.append(frame(name, data))
        return b"".join(frames)

    def _opening(self, message: Any) -> Json:
        own = response.opening(self._generation)
        vendor = message if isinstance(message, dict) else {}
        usage = vendor.get("usage") or response.counts(self._generation.request.prompt.tokens)
        return {**own, **vendor, "id": own["id"], "model": own["model"], "provider": own["provider"], "usage": usage}

    def finish(self) -> bytes:
        delta: Json = self._delta or {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        }
        usage = response.passthrough_usage(delta.get("usage"), self._generation)
        stop = dict(self._stop)
        if self._generation.request.explain:
            stop["openrouter_metadata"] = explain(self._generation)
        return frame("message_delta", {**delta, "usage": usage}) + frame("message_stop", stop)

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        generation = self._generation
        usage = response.usage(generation) if generation.ended else None
        return failed(error, generation.request, usage)
