"""Gemini: ``:generateContent``, ``:streamGenerateContent?alt=sse`` and ``:countTokens``, at AI Studio and at Vertex AI.

Answers as in ai.google.dev/api/generate-content and google-genai 3.4 (2026-11): a call comes in one piece, the reason is STOP also
for calls, ``candidatesTokenCount`` does not contain the thoughts. Thoughts are shown when ``includeThoughts`` asks for them; a
signature comes with the first call, or in an empty part after the text, whether they are shown or not.

A model is of the third generation, which demands the signatures of the current turn back, gives its calls ids and knows
``thinkingLevel``; with the label ``gemini-2.5/`` before its name it is of the second, which does none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs

from simulator.call import ChatRequest
from simulator.call import Part as Run
from simulator.formats.gemini_rules import check, owner
from simulator.formats.gemini_shape import BODY, Content, FunctionCall, GenerateRequest, camel
from simulator.formats.signed import seal
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

STUDIO: Final = re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>.+):(?P<verb>\w+)")
VERTEX: Final = re.compile(
    r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/(?P<model>.+):(?P<verb>\w+)"
)
SECOND: Final = "gemini-2"
VERBS: Final = frozenset({"generateContent", "streamGenerateContent", "countTokens"})
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
MESSAGES: Final = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid credential.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
    503: "The model is overloaded. Please try again later.",
}
REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


class Gemini(WireFormat):
    """AI Studio."""

    name = "gemini"
    keepalive = b""  # google-genai 3.4 takes a comment for data
    path = STUDIO

    def route(self, path: str) -> Route | None:
        """The model and the verb are in the path."""
        found = self.path.fullmatch(path)
        if found is None or found["verb"] not in VERBS:
            return None
        return Route(found["model"], found["verb"] == "streamGenerateContent", found["verb"])

    def credential(self, request: Request) -> str:
        """``x-goog-api-key``, or ``key`` in the query."""
        return request.headers.get("x-goog-api-key") or "".join(parse_qs(request.query).get("key", []))

    def unauthorised(self) -> Refusal:
        """A wrong key is reported as an invalid argument."""
        return Refusal(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Contents become messages; a content with function responses becomes a tool message."""
        if route.stream and parse_qs(request.query).get("alt") != ["sse"]:
            raise Refusal(400, "this vendor streams with alt=sse only")
        raw = camel(self.decode(BODY, request.body))
        if route.verb == "countTokens":
            raw = raw.get("generateContentRequest", raw)
        body = self.convert(raw, GenerateRequest, "")
        model = route.model or ""
        second = model.startswith(SECOND)
        thinking = body.generation_config.thinking_config
        if second and thinking is not None and thinking.thinking_level is not None:
            raise Refusal(400, "Thinking level is not supported for this model.")
        thoughts = check(body, reasons(model) and not second)
        messages: list[Json] = []
        if body.system_instruction is not None:
            text = "".join(part.text or "" for part in body.system_instruction.parts)
            messages.append({"role": "system", "content": text})
        messages += [_plain(content, thought) for content, thought in zip(body.contents, thoughts, strict=True)]
        tools = [
            function(one.name, one.parameters_json_schema or one.parameters)
            for tool in body.tools
            for one in tool.function_declarations
        ]
        config = body.generation_config
        chat = ChatRequest(
            model, messages, route.stream, max_tokens=config.max_output_tokens, tools=_lowered(tools) or None
        )
        return ParsedRequest(
            chat,
            memo={"shown": thinking is not None and thinking.include_thoughts},
            may_reason=thinking is None or thinking.thinking_budget != 0,
            has_tokens=route.verb != "countTokens",
        )

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """One candidate."""
        if not answer.request.has_tokens:
            return {"totalTokens": answer.call.prompt_tokens}
        parts: list[Json] = []
        for part, text in answer.texts(sent):
            parts += _parts(answer, part, text, first=not any("functionCall" in one for one in parts))
        parts += _last(answer)
        return _response(answer, parts, _reason(answer), sent)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """Every chunk is a whole answer of its own with the counts so far."""
        sent, called = 0, False
        for part in answer.call.parts:
            runs = [("".join(part.pieces), len(part.pieces))] if part.kind == "arguments" else answer.runs(part)
            for text, amount in runs:
                sent += amount
                parts = _parts(answer, part, text, first=not called)
                called = called or part.kind == "arguments"
                yield Frame(_framed(_response(answer, parts, None, sent)) if parts else b"", amount)
        end = _last(answer) or [{"text": ""}]
        yield Frame(_framed(_response(answer, end, _reason(answer), None)), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """Google's."""
        return encode(google_error(status, message, more.get("code")))

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The error object as one event."""
        return _framed(google_error(status, None, code))

    def frame_bytes(self, data: bytes) -> bytes:
        """Events have no names."""
        return b"data: %b\r\n\r\n" % data

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """Worded as the JSON reader of protocol buffers does."""
        where, _, _ = problem.place.rpartition(".")
        if problem.unknown:
            at = f" at '{where}'" if where else ""
            return Refusal(
                400, f'Invalid JSON payload received. Unknown name "{problem.unknown}"{at}: Cannot find field.'
            )
        return Refusal(400, f"Invalid value at '{problem.place}': {problem.text}")


class Vertex(Gemini):
    """Vertex AI: the same under another path, with an access token."""

    name = "vertex"
    path = VERTEX

    def credential(self, request: Request) -> str:
        """``Authorization: Bearer``, or a key of express mode."""
        return WireFormat.credential(self, request) or super().credential(request)

    def unauthorised(self) -> Refusal:
        """A wrong token."""
        return Refusal(401, "")


def _plain(content: Content, thought: str | None) -> Json:
    role = "assistant" if content.role == "model" else "user"
    text = "".join(part.text or "" for part in content.parts if not part.thought)
    for part in content.parts:
        if part.function_response is not None:
            role, text = "tool", text + encode(part.function_response.response).decode()
    return {"role": role, "content": text} | ({"reasoning_content": thought} if thought else {})


def _lowered(tools: list[Json]) -> list[Json]:
    """Google writes types in capitals; samples are chosen by JSON schema's names."""
    return [{"function": {**tool["function"], "parameters": _lower(tool["function"]["parameters"])}} for tool in tools]


def _lower(schema: object) -> object:
    if isinstance(schema, dict):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _lower(value)
            for key, value in schema.items()
        }
    return schema


def _parts(answer: Answer, part: Run, text: str, *, first: bool) -> list[Json]:
    if part.kind == "reasoning_content":
        return [{"text": text, "thought": True}] if answer.request.memo["shown"] and text else []
    if part.kind == "content":
        return [{"text": text}]
    call: Json = {"name": part.tool, "args": arguments_of(text)}
    signed: Json = {}
    if answer.reasoning:
        if not answer.call.request.model.startswith(SECOND):
            call["id"] = f"fc-sim{answer.number}-{_position(answer, part)}"
        signed = (
            {"thoughtSignature": seal(owner(FunctionCall(part.tool, call["args"])), answer.reasoning)} if first else {}
        )
    return [{"functionCall": call} | signed]


def _position(answer: Answer, part: Run) -> int:
    return next(at for at, one in enumerate(answer.call.tools) if one is part)


def _last(answer: Answer) -> list[Json]:
    """The signature of an answer without calls is in an empty part at its end."""
    if not answer.reasoning or answer.call.tools:
        return []
    return [{"text": "", "thoughtSignature": seal("text", answer.reasoning)}]


def _reason(answer: Answer) -> str | None:
    finish = answer.call.finish
    return None if finish is None else REASONS.get(finish, finish)


def _response(answer: Answer, parts: list[Json], reason: str | None, sent: int | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    found: Json = {
        "candidates": [candidate],
        "modelVersion": answer.call.request.model,
        "responseId": f"sim{answer.number}",
    }
    report = counts(answer.call, sent)
    if report is None:
        return found
    reasoned = min(report.reasoning, report.completion)
    usage: Json = {"promptTokenCount": report.prompt, "candidatesTokenCount": report.completion - reasoned}
    usage |= {"totalTokenCount": report.prompt + report.completion}
    usage |= {"thoughtsTokenCount": reasoned} if reasoned else {}
    usage |= {"cachedContentTokenCount": report.cached} if report.cached else {}
    details = [{"modality": "TEXT", "tokenCount": report.prompt}]
    return found | {"usageMetadata": as_reported(answer.call, usage) | {"promptTokensDetails": details}}


def _framed(data: Json) -> bytes:
    return b"data: %b\r\n\r\n" % encode(data)


def google_error(status: int, message: str | None, code: str | None) -> Json:
    """The error object of every API of Google's."""
    word = STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    text = message or MESSAGES.get(status, MESSAGES[500] if status >= 500 else MESSAGES[400])
    error: Json = {"code": status, "message": text, "status": word}
    if code is not None:
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "googleapis.com"}
        ]
    return {"error": error}
