"""``POST /chat/completions``: OpenAI's shape with OpenRouter's additions, JSON and SSE, to the field.

What strict clients demand is written beside the line that gives it to them (official SDKs of OpenAI and OpenRouter, Vercel AI
provider, LangChain; read and probed 2026-11-21).
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.chat import schema
from gateway.api.inference.response_fields import conceals, explain, identity, usage_view
from gateway.api.inference.surface import Surface
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server import sse
from providers.types import Event

Json = dict[str, Any]


class ChatCompletions(Surface):
    name = "chat_completions"
    path = "/chat/completions"
    summary = "Chat completion"
    request_type = schema.ChatRequest

    def accept(self, body: Json) -> Json:
        schema.check(body)
        return {name: value for name, value in body.items() if value is not None}

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        body: Json = completion.body
        body.pop("error", None)  # the Vercel provider takes the mere key for a failure
        body.update(identity(generation), object="chat.completion", usage=usage_view(generation))
        body.setdefault("system_fingerprint", None)  # must be a key of a whole answer
        hidden = conceals(generation.request)
        for index, choice in enumerate(body["choices"]):
            choice.setdefault("index", index)
            choice.setdefault("finish_reason", None)
            choice.setdefault("native_finish_reason", choice["finish_reason"])
            _mend_message(choice["message"])
            if hidden:
                _conceal(choice["message"])
        if generation.request.explain:
            body["openrouter_metadata"] = explain(generation)
        return body

    def encoder(self, generation: Generation) -> ChatEncoder:
        return ChatEncoder(generation)

    def late(self, ask: InferenceRequest, error: GatewayError) -> bytes:
        identity = {
            "id": ask.id,
            "created": int(ask.created_at),
            "model": ask.body.get("model") or ask.body["models"][0],
        }
        return sse.frame(_failed(identity, error, "error")) + sse.DONE


class ChatEncoder:
    """Rewrites the fields we own in each chunk and leaves the rest as it came."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._identity = {**identity(generation), "object": "chat.completion.chunk"}
        self._opened = False
        self._hidden = conceals(generation.request)

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            chunk: Any = event.chunk  # it is mended here, so it may not be what its type says
            choices = chunk.get("choices")
            if not choices:  # the vendor's usage chunk: ours is the last one, with the cost
                continue
            chunk.update(self._identity)
            chunk.pop("usage", None)
            chunk.pop("error", None)
            if chunk.get("system_fingerprint", "") is None:  # in chunks: a string or absent
                del chunk["system_fingerprint"]
            for index, choice in enumerate(choices):
                _mend_choice(choice, index)
                if self._hidden:
                    _conceal(choice["delta"])
            if not self._opened:
                self._opened = True
                choices[0]["delta"].setdefault("role", "assistant")
            frames.append(sse.frame(chunk))
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def finish(self) -> bytes:
        usage: Json = {
            **self._identity,
            "choices": [],
            "usage": usage_view(self._generation),
        }
        if self._generation.request.explain:
            usage["openrouter_metadata"] = explain(self._generation)
        return sse.frame(usage) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """One chunk with the normal fields, ``error`` and a finish reason; usage when the ending has been priced."""
        chunk = _failed(self._identity, error, finish_reason)
        if self._generation.ended:
            chunk["usage"] = usage_view(self._generation)
        return sse.frame(chunk) + sse.DONE


def _failed(identity: Json, error: GatewayError, finish_reason: str) -> Json:
    return {
        **identity,
        "object": "chat.completion.chunk",
        "error": error.envelope()["error"],
        "choices": [
            {"index": 0, "delta": {"content": ""}, "finish_reason": finish_reason, "native_finish_reason": None}
        ],
    }


def _conceal(message: Json) -> None:
    for name in ("reasoning", "reasoning_content", "reasoning_details"):
        message.pop(name, None)


def _mend_choice(choice: Json, index: int) -> None:
    """What strict clients demand of every choice of every chunk."""
    if "index" not in choice:
        choice["index"] = index
    if "finish_reason" not in choice:
        choice["finish_reason"] = None
    if "native_finish_reason" not in choice:
        choice["native_finish_reason"] = choice["finish_reason"]
    delta = choice.get("delta")
    if delta is None:
        choice["delta"] = {}
        return
    if "role" in delta and delta["role"] != "assistant":  # "" and null fail the official SDKs
        del delta["role"]
    if delta.get("tool_calls", "") is None:
        del delta["tool_calls"]


def _mend_message(message: Json) -> None:
    message["role"] = "assistant"
    message.setdefault("content", None)
    if message.get("tool_calls", "") is None:  # absent or an array
        del message["tool_calls"]
    for name in ("annotations", "images", "audio", "reasoning_details"):
        if message.get(name, "") is None:
            del message[name]
