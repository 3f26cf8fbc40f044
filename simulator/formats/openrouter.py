"""OpenRouter's chat completions: ``POST /openrouter/api/v1/chat/completions``.

openrouter 1.3 (components/chatrequest.py) and openrouter.ai/docs (2026-11): reasoning is asked for by ``reasoning`` and comes as
text and as ``reasoning_details``, signed, to be sent back unchanged; the usage with its cost always ends a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulator import answer
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
        wish = raw.get("reasoning") or {}
        asked = wish.get("enabled") or wish.get("max_tokens") or wish.get("effort") not in (None, "none")
        return bool(asked or raw.get("include_reasoning") or raw.get("reasoning_effort") not in (None, "none"))

    def plain(self, message: Message, asked: Body) -> Json:
        """A detail that is not ours, or altered, is refused by the vendor behind."""
        found = super().plain(message, asked)
        details = getattr(message, "reasoning_details", None) or ()
        text = "".join(detail.get("text") or "" for detail in details)
        signatures = [detail["signature"] for detail in details if detail.get("signature")]
        if any(not signed(signature, text) for signature in signatures):
            raise Refusal(400, "Invalid `signature` in `thinking` block")
        return found | ({"reasoning_content": text} if signatures else {})

    def reasoned(self, turn: Answer, text: str, *, whole: bool) -> Json:
        """Twice: as text and as a detail."""
        detail: Json = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": 0}
        if whole:
            detail["signature"] = sign(text)
        return {"reasoning": text, "reasoning_details": [detail]}

    def sealed(self, turn: Answer) -> Json:
        """The signature comes last."""
        detail = {"type": "reasoning.text", "signature": sign(turn.reasoning), "format": FORMAT, "index": 0}
        return {"content": "", "reasoning_details": [detail]}

    def frame(self, turn: Answer, kind: str) -> Json:
        """With the vendor behind."""
        own = {"id": f"gen-sim-{turn.number}", "provider": "Simulated", "system_fingerprint": None}
        return super().frame(turn, kind) | own

    def body(self, turn: Answer, sent: int | None = None) -> Json:
        """With the reason in the words of the vendor behind."""
        found = super().body(turn, sent)
        found["choices"][0]["native_finish_reason"] = turn.call.finish
        return found

    def usage(self, turn: Answer, sent: int | None = None) -> Json | None:
        """With the cost in dollars."""
        report, found = counts(turn.call, sent), answer.usage(turn.call, turn.call.planned if sent is None else sent)
        if report is None or found is None:
            return None
        if turn.call.script.usage != "normal":
            return found
        cost = round((report.prompt + report.completion) * USD_PER_TOKEN, 9)
        return found | {"cost": cost, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}

    def closing(self, turn: Answer) -> Iterator[Frame]:
        """The usage stands on an event of its own, asked for or not."""
        choice: Json = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": turn.call.finish}
        choice |= {"native_finish_reason": turn.call.finish, "logprobs": None}
        head = self.frame(turn, "chat.completion.chunk")
        yield Frame(sse(head | {"choices": [choice]}))
        report = self.usage(turn)
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
