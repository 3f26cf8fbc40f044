"""Cohere's chat, version 2: ``POST /v2/chat``.

cohere 7.3 (v2/raw_client.py, types/) and docs.cohere.com/v2/reference/chat and /docs/streaming (2026-11): content is a list of
typed blocks, reasoning is one of them and unsigned, ``billed_units`` are what is paid, an error in a stream is an end with a
reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from simulator.call import ChatRequest, Part
from simulator.formats.wire_format import (
    Answer,
    Frame,
    Json,
    ParsedRequest,
    Refusal,
    Route,
    ValidationProblem,
    WireFormat,
    as_reported,
    counts,
    sse,
)
from simulator.http import Request
from simulator.steps import encode

MESSAGES: Final = {
    401: "invalid api token",
    404: "model not found",
    429: "You are past the per minute request limit, please wait and try again later.",
}
REASONS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class Function(_Strict):
    name: str
    arguments: str


class ToolCall(_Strict):
    id: str
    function: Function
    type: Literal["function"] = "function"


class Block(_Strict):
    type: Literal["text", "image_url", "thinking", "document"]
    text: str | None = None
    thinking: str | None = None
    image_url: Json | None = None
    document: Json | None = None


class Message(_Strict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Block] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_plan: str | None = None
    tool_call_id: str | None = None
    citations: list[Json] | None = None

    @property
    def blocks(self) -> list[Block]:
        """The content as blocks."""
        return [Block("text", self.content)] if isinstance(self.content, str) else self.content or []


class Thinking(_Strict):
    type: Literal["enabled", "disabled"]
    token_budget: int | None = None


class ChatV2(_Strict):
    """Of ``/v2/chat``."""

    model: str
    messages: list[Message]
    stream: bool = False
    tools: list[Json] | None = None
    strict_tools: bool | None = None
    documents: list[Any] | None = None
    citation_options: Json | None = None
    response_format: Json | None = None
    safety_mode: Literal["CONTEXTUAL", "STRICT", "OFF", "NONE"] | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    k: int | None = None
    p: float | None = None
    logprobs: bool | None = None
    tool_choice: Literal["REQUIRED", "NONE"] | None = None
    thinking: Thinking | None = None
    priority: int | None = None


REQUEST = msgspec.json.Decoder(ChatV2)


class Cohere(WireFormat):
    """``/v2/chat``."""

    name = "cohere"

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        return Route() if path == "/v2/chat" else None

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Reasoning models think unless the request disables it."""
        body = self.decode(REQUEST, request.body)
        _check(body)
        messages = [_plain(message) for message in body.messages]
        chat = ChatRequest(body.model, messages, body.stream, max_tokens=body.max_tokens, tools=body.tools or None)
        return ParsedRequest(chat, may_reason=body.thinking is None or body.thinking.type == "enabled")

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """An assistant's message."""
        message: Json = {"role": "assistant"}
        content: list[Json] = []
        for part, text in answer.texts(sent):
            if part.kind == "arguments":
                message.setdefault("tool_calls", []).append(
                    _call(answer, len(message.get("tool_calls", ())), part, text)
                )
            else:
                kind = _kind(part)
                content.append({"type": kind, kind: text})
        if content:
            message["content"] = content
        found: Json = {"id": f"sim-{answer.number}", "finish_reason": _reason(answer), "message": message}
        report = _usage(answer, sent)
        return found | ({"usage": report} if report else {})

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """message-start, contents and calls with their deltas, message-end."""
        empty: Json = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield Frame(_event("message-start", id=f"sim-{answer.number}", delta={"message": empty}))
        calls_sent = contents_sent = 0
        for part in answer.call.parts:
            if part.kind == "arguments":
                yield from _call_frames(answer, part, calls_sent)
                calls_sent += 1
            else:
                yield from _content_frames(answer, part, contents_sent)
                contents_sent += 1
        end: Json = {"finish_reason": _reason(answer)}
        report = _usage(answer)
        yield Frame(_event("message-end", delta=end | ({"usage": report} if report else {})), usage=True)
        yield Frame(sse(b"[DONE]"))

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """``{"id", "message"}``."""
        text = message or MESSAGES.get(status, "internal server error" if status >= 500 else "invalid request")
        return encode({"id": "sim", "message": text})

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The end of a message, with the reason ERROR and what was wrong."""
        text = MESSAGES.get(status, "internal server error, this has been reported to our developers.")
        return _event("message-end", delta={"finish_reason": "ERROR", "error": text})

    def frame_bytes(self, data: bytes) -> bytes:
        """As a piece of text."""
        return sse(data, "content-delta")

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """Worded as Cohere's request reader does."""
        if problem.unknown:
            return Refusal(422, f"unknown field: parameter '{problem.place}' is not a valid field")
        return Refusal(400, f"invalid request: {problem.place or 'body'}: {problem.text}")

    def unknown_model(self, model: str, why: str) -> Refusal:
        """In Cohere's words."""
        return Refusal(404, f"model '{model}' not found, make sure the correct model ID was used: {why}")


def _check(body: ChatV2) -> None:
    if not body.messages:
        raise Refusal(400, "invalid request: messages must not be empty")
    waiting: list[str] = []
    for at, message in enumerate(body.messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise Refusal(
                    400,
                    f"invalid request: tool call id {message.tool_call_id} at message {at} was not generated by the model",
                )
            waiting.remove(message.tool_call_id)
            continue
        if waiting:
            raise Refusal(400, f"invalid request: missing tool results for tool call ids {waiting}")
        if message.role != "assistant" and not any(block.text or block.image_url for block in message.blocks):
            raise Refusal(400, f"invalid request: message at index {at} must have non-empty content")
        if message.role == "assistant" and not message.tool_calls and not message.blocks:
            raise Refusal(400, f"invalid request: assistant message at index {at} must have content or tool_calls")
        if message.role != "assistant" and any(block.thinking is not None for block in message.blocks):
            raise Refusal(400, f"invalid request: only assistants think, message at index {at}")
        waiting = [call.id for call in message.tool_calls or ()]
    if body.messages[-1].role not in ("user", "tool"):
        raise Refusal(400, "invalid request: the last message must be from the user or a tool")


def _plain(message: Message) -> Json:
    text = ""
    for block in message.blocks:
        text += block.text or ""
        if block.document is not None:
            data = block.document.get("data")
            text += data if isinstance(data, str) else encode(data).decode()
    thought = "".join(block.thinking or "" for block in message.blocks)
    return {"role": message.role, "content": text} | ({"reasoning_content": thought} if thought else {})


def _kind(part: Part) -> str:
    return "thinking" if part.kind == "reasoning_content" else "text"


def _call(answer: Answer, number: int, part: Part, arguments: str) -> Json:
    function = {"name": part.tool, "arguments": arguments}
    return {"id": f"{part.tool}_sim{answer.number}x{number}", "type": "function", "function": function}


def _content_frames(answer: Answer, part: Part, index: int) -> Iterator[Frame]:
    kind = _kind(part)
    start = {"message": {"content": {"type": kind, kind: ""}}}
    yield Frame(_event("content-start", index=index, delta=start))
    for text, amount in answer.runs(part):
        yield Frame(_event("content-delta", index=index, delta={"message": {"content": {kind: text}}}), amount)
    yield Frame(_event("content-end", index=index))


def _call_frames(answer: Answer, part: Part, index: int) -> Iterator[Frame]:
    yield Frame(
        _event("tool-call-start", index=index, delta={"message": {"tool_calls": _call(answer, index, part, "")}})
    )
    for text, amount in answer.runs(part):
        delta = {"message": {"tool_calls": {"function": {"arguments": text}}}}
        yield Frame(_event("tool-call-delta", index=index, delta=delta), amount)
    yield Frame(_event("tool-call-end", index=index))


def _reason(answer: Answer) -> str | None:
    finish = answer.call.finish
    return None if finish is None else REASONS.get(finish, finish)


def _usage(answer: Answer, sent: int | None = None) -> Json | None:
    report = counts(answer.call, sent)
    if report is None:
        return None
    found: Json = {
        name: {"input_tokens": report.prompt, "output_tokens": report.completion} for name in ("billed_units", "tokens")
    }
    return as_reported(answer.call, found | ({"cached_tokens": report.cached} if report.cached else {}))


def _event(name: str, **data: Any) -> bytes:
    return sse({"type": name, **data}, name)
