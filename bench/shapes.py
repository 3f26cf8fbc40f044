"""The bytes that the bench exchanges: OpenAI chat request, answer and stream events.

Shapes: OpenAI API reference, chat completions, `chat.completion` and `chat.completion.chunk` with `stream_options.include_usage`
(read November 2026). Every content event carries the moment it left the upstream, as ``@`` and 19 digits of CLOCK_MONOTONIC
nanoseconds; the clock is one for all processes of a machine, so the client knows the transit of each event, not only its rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

MODEL = "fast-1"
PROMPT_TOKENS = 212
COMPLETION_TOKENS = 96
STAMP = re.compile(rb"@(\d{19})")
STAMP_BYTES = 20

_SYSTEM = "You are a careful assistant for a hardware shop. Answer briefly, name the article number, never invent stock levels. "
_QUESTION = "Which screws hold a 12 kg shelf on a plasterboard wall, and how many of them do I need for two metres? "
_ANSWER = (
    "Use four hollow-wall anchors of 8 mm (article 40-118), one every 50 cm, and test each with your full weight. "
)


def request_body(model: str, *, stream: bool) -> bytes:
    """A chat request of about 1 KB, as an agent would send it on its second turn."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": _SYSTEM * 2},
            {"role": "user", "content": _QUESTION},
            {"role": "assistant", "content": _ANSWER * 2},
            {"role": "user", "content": _QUESTION * 2},
        ],
        "max_tokens": 256,
        "temperature": 0.2,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    return json.dumps(body, separators=(",", ":")).encode()


def _usage() -> dict[str, int]:
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": total}


def answer_body() -> bytes:
    """A `chat.completion` of about 800 bytes with usage."""
    message = {"role": "assistant", "content": _ANSWER * 4, "refusal": None}
    answer = {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_bench",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(),
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def _chunk(choices: list[object], usage: dict[str, int] | None) -> bytes:
    chunk = {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_bench",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, object], finish_reason: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def opening_event() -> bytes:
    """The role-only delta vendors send first."""
    return _chunk(_choice({"role": "assistant", "content": ""}), None)


def content_event_parts() -> tuple[bytes, bytes]:
    """What stands before and after the stamp of a content event."""
    before, after = _chunk(_choice({"content": "@"}), None).split(b"@")
    return before + b"@", after


def closing_events() -> tuple[bytes, bytes, bytes]:
    """Finish, usage, ``[DONE]``."""
    return _chunk(_choice({}, "stop"), None), _chunk([], _usage()), b"data: [DONE]\n\n"


class Script(NamedTuple):
    """A vendor's answers in one wire format, as bytes."""

    answer: bytes
    """The JSON answer's body."""
    opening: bytes
    """What a stream begins with, one write."""
    before: bytes
    """Of a content event, up to and with the ``@`` of its stamp."""
    after: bytes
    closing: tuple[bytes, ...]


def _openai() -> Script:
    return Script(answer_body(), opening_event(), *content_event_parts(), closing_events())


def _event(data: Mapping[str, object], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _anthropic() -> Script:
    """Messages API: docs.anthropic.com, api/messages and build-with-claude/streaming (read November 2026)."""
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS}
    message: dict[str, object] = {"id": "msg_bench0001", "type": "message", "role": "assistant", "model": MODEL}
    whole = {**message, "content": [{"type": "text", "text": _ANSWER * 4}], "stop_reason": "end_turn", "usage": usage}
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    opening = _event({"type": "message_start", "message": begun}, "message_start")
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "@"}}
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    before, after = _event(delta, "content_block_delta").split(b"@")
    closing = (
        _event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        _event(ending, "message_delta"),
        _event({"type": "message_stop"}, "message_stop"),
    )
    answer = json.dumps(whole, separators=(",", ":")).encode()
    return Script(answer, opening + _event(block, "content_block_start"), before + b"@", after, closing)


def _gemini() -> Script:
    """generateContent and streamGenerateContent: ai.google.dev/api/generate-content (read November 2026); usage in every chunk."""
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    usage = {"promptTokenCount": PROMPT_TOKENS, "candidatesTokenCount": COMPLETION_TOKENS, "totalTokenCount": total}

    def chunk(text: str, finish: str | None = None) -> dict[str, object]:
        candidate: dict[str, object] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": "bench0001"}

    before, after = _event(chunk("@")).split(b"@")
    answer = json.dumps(chunk(_ANSWER * 4, "STOP"), separators=(",", ":")).encode()
    return Script(answer, b"", before + b"@", after, (_event(chunk("", "STOP")),))


SCRIPTS = {"/messages": _anthropic(), "enerateContent": _gemini(), "/chat/completions": _openai()}
"""Part of the request's path → the upstream's answers."""


def stamp(now_ns: int) -> bytes:
    """19 digits, so that every content event has the same length."""
    return b"%019d" % now_ns
