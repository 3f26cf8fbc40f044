"""Amazon Bedrock: ``POST /model/{id}/converse`` and ``/converse-stream``.

Answers and events of botocore 1.44's service model; a text block has no contentBlockStart, every event carries a pad ``p`` of
changing length against guessing by size, as the service sends it (2026-11). ``inputTokens`` does not contain what came from the
cache. Claude is asked to reason in ``additionalModelRequestFields.thinking``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from simulator.call import ChatRequest, Part
from simulator.formats.aws import event, exception, signed_with
from simulator.formats.bedrock_shape import REQUEST, Message, check, thinks
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
)
from simulator.http import Request
from simulator.steps import encode

PATH: Final = re.compile(r"/model/(?P<model>.+)/(?P<verb>converse|converse-stream)")
PAD: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
KINDS: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
MESSAGES: Final = {
    400: "The provided request is not valid",
    403: "You don't have access to the model with the specified model ID.",
    404: "The provided model identifier is invalid.",
    429: "Too many requests, please wait before trying again.",
    503: "Bedrock is unable to process your request.",
}
REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}


class Bedrock(WireFormat):
    """Converse."""

    name = "bedrock"
    stream_kind = "application/vnd.amazon.eventstream"
    keepalive = b""

    def route(self, path: str) -> Route | None:
        """The model and the verb are in the path."""
        found = PATH.fullmatch(path)
        return None if found is None else Route(found["model"], found["verb"] == "converse-stream")

    def authorised(self, request: Request, key: str) -> bool:
        """An API key as Bearer, or a signature made with the key as the secret."""
        return super().authorised(request, key) or signed_with(request, key)

    def unauthorised(self) -> Refusal:
        """A wrong signature gets 403."""
        text = "The request signature we calculated does not match the signature you provided."
        return Refusal(403, text, code="InvalidSignatureException")

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Messages alternate; tool results are in a user message."""
        body = self.decode(REQUEST, request.body)
        model = route.model or ""
        check(body, reasons(model))
        messages: list[Json] = [{"role": "system", "content": one.text} for one in body.system if one.text]
        messages += [_plain(message) for message in body.messages]
        specs = [tool.tool_spec for tool in (body.tool_config.tools if body.tool_config else ()) if tool.tool_spec]
        tools = [function(spec.name, spec.input_schema.json) for spec in specs]
        chat = ChatRequest(
            model, messages, route.stream, max_tokens=body.inference_config.max_tokens, tools=tools or None
        )
        return ParsedRequest(chat, (body.request_metadata or {}).get("user"), may_reason=thinks(body))

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """A message, its reason, the counts."""
        blocks = [_block(answer, at, part, text) for at, (part, text) in enumerate(answer.texts(sent))]
        found: Json = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": _reason(answer)}
        report = _usage(answer, sent)
        return found | ({"usage": report} if report else {}) | {"metrics": {"latencyMs": 7}}

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """messageStart, deltas of blocks, messageStop, metadata."""
        yield Frame(_event("messageStart", role="assistant"))
        for at, part in enumerate(answer.call.parts):
            if part.kind == "arguments":
                start = {"toolUse": {"toolUseId": _id(answer, at), "name": part.tool}}
                yield Frame(_event("contentBlockStart", contentBlockIndex=at, start=start))
            for text, amount in answer.runs(part):
                yield Frame(_event("contentBlockDelta", contentBlockIndex=at, delta=_delta(part, text)), amount)
            if part.kind == "reasoning_content":
                signature = {"reasoningContent": {"signature": sign("".join(part.pieces))}}
                yield Frame(_event("contentBlockDelta", contentBlockIndex=at, delta=signature))
            yield Frame(_event("contentBlockStop", contentBlockIndex=at))
        yield Frame(_event("messageStop", stopReason=_reason(answer)))
        report = _usage(answer)
        if report:
            yield Frame(_event("metadata", usage=report, metrics={"latencyMs": 7}), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """The kind is in a header."""
        return encode({"message": message or MESSAGES.get(status, "The system encountered an unexpected error.")})

    def headers(self, status: int, code: str | None = None) -> Sequence[tuple[str, str]]:
        """``x-amzn-errortype``, with the address that follows it there."""
        kind = code or _kind(status)
        return [
            ("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"),
            ("x-amzn-requestid", "sim"),
        ]

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """An exception message."""
        kind = code or _kind(status)
        return exception(kind[0].lower() + kind[1:], self.envelope(status))

    def frame_bytes(self, data: bytes) -> bytes:
        """As a delta."""
        return event("contentBlockDelta", data)

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """The gateway of the service checks types first."""
        if problem.unknown:
            return Refusal(
                400,
                f"Malformed input request: extraneous key [{problem.place}] is not permitted, please reformat your "
                "input and try again.",
            )
        return Refusal(400, f"1 validation error detected: {problem.place}: {problem.text}")


def _plain(message: Message) -> Json:
    role: str = message.role
    text, thought = "", ""
    for block in message.content:
        text += block.text or ""
        if block.reasoning_content is not None and block.reasoning_content.reasoning_text is not None:
            thought += block.reasoning_content.reasoning_text.text
        if block.tool_result is not None:
            role = "tool"
            text += "".join(part.text or encode(part.json).decode() for part in block.tool_result.content)
    return {"role": role, "content": text} | ({"reasoning_content": thought} if thought else {})


def _id(answer: Answer, at: int) -> str:
    return f"tooluse_sim{answer.number}x{at}"


def _block(answer: Answer, at: int, part: Part, text: str) -> Json:
    if part.kind == "reasoning_content":
        return {"reasoningContent": {"reasoningText": {"text": text, "signature": sign(text)}}}
    if part.kind == "arguments":
        return {"toolUse": {"toolUseId": _id(answer, at), "name": part.tool, "input": arguments_of(text)}}
    return {"text": text}


def _delta(part: Part, text: str) -> Json:
    if part.kind == "reasoning_content":
        return {"reasoningContent": {"text": text}}
    return {"toolUse": {"input": text}} if part.kind == "arguments" else {"text": text}


def _reason(answer: Answer) -> str:
    finish = answer.call.finish or "stop"
    return REASONS.get(finish, finish)


def _usage(answer: Answer, sent: int | None = None) -> Json | None:
    report = counts(answer.call, sent)
    if report is None:
        return None
    found: Json = {"inputTokens": report.prompt - report.cached, "outputTokens": report.completion}
    found |= {
        "totalTokens": report.prompt + report.completion,
        "cacheReadInputTokens": report.cached,
        "cacheWriteInputTokens": 0,
    }
    return as_reported(answer.call, found)


def _event(name: str, **data: Any) -> bytes:
    body = encode(data)
    return event(name, encode(data | {"p": PAD[: len(body) % len(PAD)]}))


def _kind(status: int) -> str:
    return KINDS.get(status, "InternalServerException" if status >= 500 else "ValidationException")
