"""Anthropic's Messages API: ``POST /v1/messages`` and ``/v1/messages/count_tokens``.

Events and errors as in docs.anthropic.com/en/docs/build-with-claude/streaming and /en/api/errors (2026-11) and the types of
anthropic 2.12. The model thinks only when the request enables it; ``input_tokens`` does not contain what came from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulator.call import ChatRequest
from simulator.formats.anthropic_rules import check
from simulator.formats.anthropic_shape import (
    COUNT,
    MESSAGES,
    CountRequest,
    Message,
    MessagesRequest,
    Text,
    Thinking,
    ToolResult,
)
from simulator.formats.signed import sign
from simulator.formats.wire_format import (
    Answer,
    Frame,
    Json,
    ParsedRequest,
    Refusal,
    Route,
    ValidationProblem,
    WireFormat,
    arguments_of,
    as_reported,
    counts,
    function,
    reasons,
    sse,
)
from simulator.http import Request
from simulator.steps import encode

KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MESSAGES_OF: Final = {
    401: "invalid x-api-key",
    404: "model: not found",
    429: "This request would exceed your organization's rate limit of 50 requests per minute.",
    500: "Internal server error",
    529: "Overloaded",
}
REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class Anthropic(WireFormat):
    """``/v1/messages``."""

    name = "anthropic"
    keepalive = sse({"type": "ping"}, "ping")

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        verbs = {"/v1/messages": "messages", "/v1/messages/count_tokens": "count"}
        return Route(verb=verbs[path]) if path in verbs else None

    def credential(self, request: Request) -> str:
        """``x-api-key``; an OAuth token comes as Bearer."""
        return request.headers.get("x-api-key") or super().credential(request)

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Either operation."""
        if "anthropic-version" not in request.headers:
            raise Refusal(400, "anthropic-version: header is required")
        count = route.verb == "count"
        body: MessagesRequest | CountRequest
        body = self.decode(COUNT, request.body) if count else self.decode(MESSAGES, request.body)
        betas = frozenset(name.strip() for name in request.headers.get("anthropic-beta", "").split(","))
        check(body, betas, reasons(body.model))
        messages: list[Json] = []
        if body.system:
            text = body.system if isinstance(body.system, str) else "".join(block.text for block in body.system)
            messages.append({"role": "system", "content": text})
        messages += [_plain(message) for message in body.messages]
        tools = [function(str(tool["name"]), tool.get("input_schema")) for tool in body.tools if "name" in tool]
        chat = ChatRequest(body.model, messages, tools=tools or None)
        if isinstance(body, CountRequest):
            return ParsedRequest(chat, may_reason=False, has_tokens=False)
        chat.stream, chat.max_tokens = body.stream, body.max_tokens
        return ParsedRequest(chat, body.metadata.user_id if body.metadata else None, may_reason=body.thinks)

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """A message, or ``{"input_tokens": n}``."""
        if not answer.request.has_tokens:
            return {"input_tokens": answer.call.prompt_tokens}
        blocks: list[Json] = []
        for part, text in answer.texts(sent):
            if part.kind == "reasoning_content":
                blocks.append({"type": "thinking", "thinking": text, "signature": sign(text)})
            elif part.kind == "arguments":
                blocks.append(_tool_use(answer, len(blocks), part.tool) | {"input": arguments_of(text)})
            else:
                blocks.append({"type": "text", "text": text})
        found = _message(answer) | {"content": blocks, "stop_reason": _reason(answer)}
        return found | ({"usage": report} if (report := _usage(answer, sent)) else {})

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """message_start, blocks with their deltas, message_delta, message_stop."""
        start = _message(answer) | ({"usage": report} if (report := _usage(answer, 0)) else {})
        yield Frame(_event("message_start", message=start))
        yield Frame(self.keepalive)
        for index, part in enumerate(answer.call.parts):
            opened: Json = {"type": "text", "text": ""}
            if part.kind == "reasoning_content":
                opened = {"type": "thinking", "thinking": "", "signature": ""}
            elif part.kind == "arguments":
                opened = _tool_use(answer, index, part.tool) | {"input": {}}
            yield Frame(_event("content_block_start", index=index, content_block=opened))
            for text, amount in answer.runs(part):
                yield Frame(_event("content_block_delta", index=index, delta=_delta(part.kind, text)), amount)
            if part.kind == "reasoning_content":
                delta = {"type": "signature_delta", "signature": sign("".join(part.pieces))}
                yield Frame(_event("content_block_delta", index=index, delta=delta))
            yield Frame(_event("content_block_stop", index=index))
        report = _usage(answer)
        end = {"delta": {"stop_reason": _reason(answer), "stop_sequence": None}} | ({"usage": report} if report else {})
        yield Frame(_event("message_delta", **end), usage=True)
        yield Frame(_event("message_stop"))

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """``{"type": "error", "error": {"type", "message"}, "request_id"}``."""
        return encode(_error(status, message, more.get("code")))

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """``event: error``."""
        return sse(_error(status, None, code), "error")

    def frame_bytes(self, data: bytes) -> bytes:
        """As a delta."""
        return sse(data, "content_block_delta")

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """Worded as pydantic does."""
        if problem.unknown:
            return Refusal(400, f"{problem.place}: Extra inputs are not permitted")
        if problem.missing:
            return Refusal(400, f"{problem.place}: Field required")
        return Refusal(400, f"{problem.place}: {problem.text}" if problem.place else problem.text)


def _plain(message: Message) -> Json:
    text, thought = "", ""
    role: str = message.role
    for block in message.blocks:
        if isinstance(block, Text):
            text += block.text
        elif isinstance(block, Thinking):
            thought += block.thinking
        elif isinstance(block, ToolResult):
            role = "tool"
            inside = [Text(block.content)] if isinstance(block.content, str) else block.content
            text += "".join(part.text for part in inside if isinstance(part, Text))
    return {"role": role, "content": text} | ({"reasoning_content": thought} if thought else {})


def _message(answer: Answer) -> Json:
    found: Json = {
        "id": f"msg_sim{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.call.request.model,
    }
    return found | {"content": [], "stop_reason": None, "stop_sequence": None}


def _tool_use(answer: Answer, index: int, name: str) -> Json:
    return {"type": "tool_use", "id": f"toolu_sim{answer.number}x{index}", "name": name}


def _delta(kind: str, text: str) -> Json:
    if kind == "arguments":
        return {"type": "input_json_delta", "partial_json": text}
    return (
        {"type": "thinking_delta", "thinking": text}
        if kind == "reasoning_content"
        else {"type": "text_delta", "text": text}
    )


def _reason(answer: Answer) -> str | None:
    finish = answer.call.finish
    return None if finish is None else REASONS.get(finish, finish)


def _usage(answer: Answer, sent: int | None = None) -> Json | None:
    """At the start of a stream one output token is reported, as Anthropic does."""
    report = counts(answer.call, sent)
    if report is None:
        return None
    found: Json = {"input_tokens": report.prompt - report.cached, "cache_read_input_tokens": report.cached}
    found |= {"cache_creation_input_tokens": 0, "output_tokens": report.completion if sent != 0 else 1}
    if sent == 0:
        found["cache_creation"] = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        found["service_tier"] = "standard"
    elif report.reasoning:
        found["output_tokens_details"] = {"thinking_tokens": report.reasoning}
    return as_reported(answer.call, found)


def _event(name: str, **data: Any) -> bytes:
    return sse({"type": name, **data}, name)


def _error(status: int, message: str | None, code: str | None) -> Json:
    kind = code or KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    text = message or MESSAGES_OF.get(status, MESSAGES_OF[500] if status >= 500 else "messages: Invalid value")
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_sim"}
