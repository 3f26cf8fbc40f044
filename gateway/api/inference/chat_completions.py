"""``POST /chat/completions``: OpenAI's shape with OpenRouter's additions, JSON and SSE, to the field.

What strict clients demand is written beside the line that gives it to them (official SDKs of OpenAI and OpenRouter, Vercel AI
provider, LangChain; read and probed 2026-11-21).
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.inference import chat_schema, sse
from gateway.api.inference.surface import Surface
from gateway.ending import Ask
from gateway.errors import GatewayError
from gateway.generation import Generation
from gateway.money import format_usd
from providers.types import Event

Json = dict[str, Any]


class ChatCompletions(Surface):
    name = "chat_completions"

    def accept(self, body: Json) -> Json:
        chat_schema.check(body)
        return {name: value for name, value in body.items() if value is not None}

    def answer(self, generation: Generation) -> Json:
        completion = generation.dispatch.completion
        assert completion is not None
        body = completion.body
        body.pop("error", None)  # the Vercel provider takes the mere key for a failure
        body.update(_identity(generation), object="chat.completion", usage=usage_view(generation))
        body.setdefault("system_fingerprint", None)  # must be a key of a whole answer
        for index, choice in enumerate(body["choices"]):
            choice.setdefault("index", index)
            choice.setdefault("finish_reason", None)
            choice.setdefault("native_finish_reason", choice["finish_reason"])
            _mend_message(choice["message"])
        if generation.ask.explain:
            body["openrouter_metadata"] = explain(generation)
        return body

    def encoder(self, generation: Generation) -> ChatEncoder:
        return ChatEncoder(generation)

    def late(self, ask: Ask, error: GatewayError) -> bytes:
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
        self._identity = _identity(generation)
        self._opened = False

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            chunk = event.chunk
            choices = chunk.get("choices")
            if not choices:  # the vendor's usage chunk: ours is the last one, with the cost
                continue
            chunk.update(self._identity)
            chunk["object"] = "chat.completion.chunk"
            chunk.pop("usage", None)
            chunk.pop("error", None)
            if chunk.get("system_fingerprint", "") is None:  # in chunks: a string or absent
                del chunk["system_fingerprint"]
            for index, choice in enumerate(choices):
                _mend_choice(choice, index)
            if not self._opened:
                self._opened = True
                choices[0]["delta"].setdefault("role", "assistant")
            frames.append(sse.frame(chunk))
        return b"".join(frames)

    def finish(self) -> bytes:
        usage: Json = {
            **self._identity,
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": usage_view(self._generation),
        }
        if self._generation.ask.explain:
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


def _identity(generation: Generation) -> Json:
    candidate = generation.dispatch.candidate
    assert candidate is not None
    return {
        "id": generation.ask.id,
        "created": int(generation.ask.created_at),
        "model": candidate.endpoint.model,
        "provider": candidate.endpoint.provider.name,
    }


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


def usage_view(generation: Generation) -> Json:
    """``cost`` is what the caller was charged; ``cost_details`` the provider's split and the fee."""
    usage, bill = generation.ending.usage, generation.ending.bill
    return {
        "prompt_tokens": usage.prompt_total,
        "completion_tokens": usage.completion_total,
        "total_tokens": usage.prompt_total + usage.completion_total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "cost": _usd(generation.charged_nano),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_prompt_cost": _usd(bill.prompt_nano),
            "upstream_inference_completions_cost": _usd(bill.cost_nano - bill.prompt_nano),
            "platform_fee": _usd(generation.ending.posting.fee_nano),
        },
    }


def _usd(nano: int) -> msgspec.Raw:
    return msgspec.Raw(format_usd(nano).encode())


def explain(generation: Generation) -> Json:
    """``openrouter_metadata`` as OpenRouter has it, and beyond it every dropped endpoint with the filter that dropped it."""
    dispatch = generation.dispatch
    plan, served = dispatch.plan, dispatch.candidate
    considered = [c.endpoint for c in plan.candidates]
    attempts = [
        {"provider": a.candidate.endpoint.provider.name, "model": a.candidate.endpoint.model, "status": a.status or 0}
        for a in dispatch.attempts
    ]
    return {
        "requested": plan.models[0],
        "strategy": "fallback" if served is not None and served.endpoint.model != plan.models[0] else "direct",
        "region": None,
        "summary": f"{plan.policy}: {len(considered)} candidates, {len(plan.drops)} dropped, {len(attempts)} tried",
        "attempt": len(attempts),
        "is_byok": False,
        "endpoints": {
            "total": len(considered) + len(plan.drops),
            "available": [
                {"provider": e.provider.name, "model": e.model, "selected": served is not None and e is served.endpoint}
                for e in considered
            ],
            "dropped": [
                {"provider": d.provider, "model": d.model, "filter": d.filter, "detail": d.detail} for d in plan.drops
            ],
        },
        "attempts": attempts,
        "policy": plan.policy,
    }
