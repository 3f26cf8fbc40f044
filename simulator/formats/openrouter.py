"""OpenRouter's chat completions: ``POST /openrouter/api/v1/chat/completions``.

openrouter 1.3 (components/chatrequest.py) and openrouter.ai/docs (2026-11): reasoning is asked for by ``reasoning`` and comes as
text and as ``reasoning_details``, signed, to be sent back unchanged; the usage with its cost always ends a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulator import chat_completion
from simulator.formats.chat import KNOWN, Body, Chat, Message
from simulator.formats.signed import sign, signed
from simulator.formats.wire_format import Answer, Frame, Json, Refusal, Route, counts, sse
from simulator.steps import encode

FIELDS: Final = KNOWN | {
    *(
        "reasoning",
        "include_reasoning",
        "provider",
        "models",
        "route",
        "plugins",
        "transforms",
        "usage",
        "top_k",
        "top_a",
        "min_p",
    ),
    *("repetition_penalty", "session_id", "trace", "structured_outputs", "debug", "cache_control", "image_config"),
    *("deferred_tools", "prompt_cache_options", "stop_server_tools_when"),
}
FORMAT: Final = "anthropic-claude-v1"
USD_PER_TOKEN: Final = 0.000001


class RoutedMessage(Message):
    """An assistant's may carry its reasoning."""

    reasoning: str | None = None
    reasoning_details: list[Json] | None = None
    cache_control: Json | None = None


class OpenRouter(Chat):
    """Under a base path of its own."""

    name = "openrouter"
    keepalive = b": OPENROUTER PROCESSING\n\n"
    known = FIELDS
    message = RoutedMessage

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        return Route() if path == "/openrouter/api/v1/chat/completions" else None

    def thinks(self, raw: Json) -> bool:
        """``reasoning``, or one of its shorthands."""
        reasoning = raw.get("reasoning") or {}
        enabled = (
            reasoning.get("enabled") or reasoning.get("max_tokens") or reasoning.get("effort") not in (None, "none")
        )
        return bool(enabled or raw.get("include_reasoning") or raw.get("reasoning_effort") not in (None, "none"))

    def plain(self, message: Message, body: Body) -> Json:
        """The upstream vendor refuses a detail that it did not sign or that was altered."""
        found = super().plain(message, body)
        details = getattr(message, "reasoning_details", None) or ()
        text = "".join(detail.get("text") or "" for detail in details)
        signatures = [detail["signature"] for detail in details if detail.get("signature")]
        if any(not signed(signature, text) for signature in signatures):
            raise Refusal(400, "Invalid `signature` in `thinking` block")
        return found | ({"reasoning_content": text} if signatures else {})

    def reasoned(self, answer: Answer, text: str, *, whole: bool) -> Json:
        """Twice: as text and as a detail."""
        detail: Json = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": 0}
        if whole:
            detail["signature"] = sign(text)
        return {"reasoning": text, "reasoning_details": [detail]}

    def sealed(self, answer: Answer) -> Json:
        """The signature comes last."""
        detail = {"type": "reasoning.text", "signature": sign(answer.reasoning), "format": FORMAT, "index": 0}
        return {"content": "", "reasoning_details": [detail]}

    def frame(self, answer: Answer, kind: str) -> Json:
        """With the name of the upstream vendor."""
        own = {"id": f"gen-sim-{answer.number}", "provider": "Simulated", "system_fingerprint": None}
        return super().frame(answer, kind) | own

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """With the finish reason in the upstream vendor's words."""
        found = super().body(answer, sent)
        found["choices"][0]["native_finish_reason"] = answer.call.finish
        return found

    def usage(self, answer: Answer, sent: int | None = None) -> Json | None:
        """With the cost in dollars."""
        report, found = (
            counts(answer.call, sent),
            chat_completion.usage(answer.call, answer.call.planned if sent is None else sent),
        )
        if report is None or found is None:
            return None
        if answer.call.script.usage != "normal":
            return found
        cost = round((report.prompt + report.completion) * USD_PER_TOKEN, 9)
        return found | {"cost": cost, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}

    def closing(self, answer: Answer) -> Iterator[Frame]:
        """The usage is on an event of its own, requested or not."""
        choice: Json = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": answer.call.finish}
        choice |= {"native_finish_reason": answer.call.finish, "logprobs": None}
        head = self.frame(answer, "chat.completion.chunk")
        yield Frame(sse(head | {"choices": [choice]}))
        report = self.usage(answer)
        if report:
            yield Frame(sse(head | {"choices": [choice], "usage": report}), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """The code is the status."""
        text = message or {429: "Rate limit exceeded", 401: "No auth credentials found"}.get(
            status, "Provider returned error"
        )
        return encode(
            {"error": {"message": text, "code": status, "metadata": {"provider_name": "Simulated"}}, "user_id": "sim"}
        )

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """A chunk with the error beside the choices."""
        error: Json = {"code": code or status, "message": "Provider disconnected unexpectedly"}
        choice: Any = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        head = {
            "id": "gen-sim",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "sim",
            "provider": "Simulated",
        }
        head |= {"provider": "Simulated", "system_fingerprint": None}
        return sse(head | {"error": error, "choices": [choice]})
