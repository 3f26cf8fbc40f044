"""``POST /chat/completions``: OpenAI's format with OpenRouter's additions, JSON and SSE.

What strict clients require is written beside the line that satisfies them (official SDKs of OpenAI and OpenRouter, Vercel AI
provider, LangChain; read and tested 2026-11-21).
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.chat import schema
from gateway.api.inference.response_fields import explain, hides_reasoning, identity, usage_view
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

    def accept(self, original: Json) -> Json:
        schema.check(original)
        body = {name: value for name, value in original.items() if value is not None}
        messages = body["messages"]
        if not _RETURNED_REASONING.isdisjoint(set().union(*messages)):
            body["messages"] = [_with_reasoning(message) for message in messages]
        return body

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        body: Json = completion.body
        body.pop("error", None)  # the Vercel provider fails when the key is there, whatever its value
        body.update(identity(generation), object="chat.completion", usage=usage_view(generation))
        body.setdefault("system_fingerprint", None)  # a whole answer must have the key
        hidden = hides_reasoning(generation.request)
        for index, choice in enumerate(body["choices"]):
            choice.setdefault("index", index)
            choice.setdefault("finish_reason", None)
            choice.setdefault("native_finish_reason", choice["finish_reason"])
            _complete_message(choice["message"])
            if hidden:
                _remove_reasoning(choice["message"])
        if generation.request.explain:
            body["openrouter_metadata"] = explain(generation)
        return body

    def encoder(self, generation: Generation) -> ChatEncoder:
        return ChatEncoder(generation)

    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        identity = {
            "id": request.id,
            "created": int(request.created_at),
            "model": request.body.get("model") or request.body["models"][0],
        }
        return sse.frame(_failed(identity, error, "error")) + sse.DONE


_RETURNED_REASONING = frozenset({"reasoning_content", "reasoning_details"})


def _with_reasoning(message: Json) -> Json:
    """A turn whose reasoning came back as text under another name than ``reasoning``: DeepSeek's ``reasoning_content``, which many
    clients send to everybody, or ``reasoning_details``. Where the turn has ``reasoning`` too, that counts."""
    details = message.get("reasoning_details")
    if "reasoning_content" not in message and not isinstance(details, str):
        return message
    kept = {name: value for name, value in message.items() if name != "reasoning_content"}
    texts = [message.get("reasoning"), message.get("reasoning_content")]
    if isinstance(details, str):
        texts.append(kept.pop("reasoning_details"))
    found = next((text for text in texts if isinstance(text, str) and text), None)
    return {**kept, "reasoning": found} if found else kept


class ChatEncoder:
    """Rewrites the gateway's own fields in each chunk and leaves the rest as the vendor sent it."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._identity = {**identity(generation), "object": "chat.completion.chunk"}
        self._opened = False
        self._hidden = hides_reasoning(generation.request)

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            chunk: Any = event.chunk  # it is completed here, so it may not be what its type says
            choices = chunk.get("choices")
            if not choices:  # the vendor's usage chunk; finish() sends ours, with the cost
                continue
            chunk.update(self._identity)
            chunk.pop("usage", None)
            chunk.pop("error", None)
            if chunk.get("system_fingerprint", "") is None:  # in chunks: a string or absent
                del chunk["system_fingerprint"]
            for index, choice in enumerate(choices):
                _complete_choice(choice, index)
                if self._hidden:
                    _remove_reasoning(choice["delta"])
            if not self._opened:
                self._opened = True
                choices[0]["delta"].setdefault("role", "assistant")
            frames.append(sse.frame(chunk))
        return b"".join(frames)

    def finish(self) -> bytes:
        chunk: Json = {**self._identity, "choices": [], "usage": usage_view(self._generation)}
        if self._generation.request.explain:
            chunk["openrouter_metadata"] = explain(self._generation)
        return sse.frame(chunk) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """One chunk with the usual fields, ``error`` and a finish reason; with usage once the generation has been charged."""
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


def _remove_reasoning(message: Json) -> None:
    for name in ("reasoning", "reasoning_content", "reasoning_details"):
        message.pop(name, None)


def _complete_choice(choice: Json, index: int) -> None:
    """Add and remove what strict clients require of every choice of every chunk."""
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


def _complete_message(message: Json) -> None:
    """Add and remove what strict clients require of the message of a whole answer."""
    message["role"] = "assistant"
    message.setdefault("content", None)
    if message.get("tool_calls", "") is None:  # must be an array or absent
        del message["tool_calls"]
    for name in ("annotations", "images", "audio", "reasoning_details"):
        if message.get(name, "") is None:
            del message[name]
