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
        """A wrong key is an invalid argument there."""
        return Refusal(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Contents become messages; a content with answers of functions is a tool's."""
        if route.stream and parse_qs(request.query).get("alt") != ["sse"]:
            raise Refusal(400, "this vendor streams with alt=sse only")
        given = camel(self.decode(BODY, request.body))
        if route.verb == "countTokens":
            given = given.get("generateContentRequest", given)
        asked = self.convert(given, GenerateRequest, "")
        model = route.model or ""
        second = model.startswith(SECOND)
        thinking = asked.generation_config.thinking_config
        if second and thinking is not None and thinking.thinking_level is not None:
            raise Refusal(400, "Thinking level is not supported for this model.")
        thoughts = check(asked, reasons(model) and not second)
        messages: list[Json] = []
        if asked.system_instruction is not None:
            text = "".join(part.text or "" for part in asked.system_instruction.parts)
            messages.append({"role": "system", "content": text})
        messages += [_plain(content, thought) for content, thought in zip(asked.contents, thoughts, strict=True)]
        tools = [
            function(one.name, one.parameters_json_schema or one.parameters)
            for tool in asked.tools
            for one in tool.function_declarations
        ]
        config = asked.generation_config
        chat = ChatRequest(
            model, messages, route.stream, max_tokens=config.max_output_tokens, tools=_lowered(tools) or None
        )
        return ParsedRequest(
            chat,
            memo={"shown": thinking is not None and thinking.include_thoughts},
            may_reason=thinking is None or thinking.thinking_budget != 0,
            has_tokens=route.verb != "countTokens",
        )

    def body(self, turn: Answer, sent: int | None = None) -> Json:
        """One candidate."""
        if not turn.request.has_tokens:
            return {"totalTokens": turn.call.prompt_tokens}
        parts: list[Json] = []
        for part, text in turn.texts(sent):
            parts += _parts(turn, part, text, first=not any("functionCall" in one for one in parts))
        parts += _last(turn)
        return _response(turn, parts, _reason(turn), sent)

    def frames(self, turn: Answer) -> Iterator[Frame]:
        """Every chunk is a whole answer of its own with the counts so far."""
        sent, called = 0, False
        for part in turn.call.parts:
            runs = [("".join(part.pieces), len(part.pieces))] if part.kind == "arguments" else turn.runs(part)
            for text, amount in runs:
                sent += amount
                parts = _parts(turn, part, text, first=not called)
                called = called or part.kind == "arguments"
                yield Frame(_framed(_response(turn, parts, None, sent)) if parts else b"", amount)
        end = _last(turn) or [{"text": ""}]
        yield Frame(_framed(_response(turn, end, _reason(turn), None)), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """Google's."""
        return encode(google_error(status, message, more.get("code")))

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The error object as one event."""
        return _framed(google_error(status, None, code))

    def frame_bytes(self, data: bytes) -> bytes:
        """Events have no names."""
        return b"data: %b\r\n\r\n" % data

    def invalid_request(self, complaint: ValidationProblem) -> Refusal:
        """As the JSON reader of protocol buffers says it."""
        where, _, _ = complaint.place.rpartition(".")
        if complaint.unknown:
            at = f" at '{where}'" if where else ""
            return Refusal(
                400, f'Invalid JSON payload received. Unknown name "{complaint.unknown}"{at}: Cannot find field.'
            )
        return Refusal(400, f"Invalid value at '{complaint.place}': {complaint.text}")


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


def _parts(turn: Answer, part: Run, text: str, *, first: bool) -> list[Json]:
    if part.kind == "reasoning_content":
        return [{"text": text, "thought": True}] if turn.request.memo["shown"] and text else []
    if part.kind == "content":
        return [{"text": text}]
    call: Json = {"name": part.tool, "args": arguments_of(text)}
    signed: Json = {}
    if turn.reasoning:
        if not turn.call.request.model.startswith(SECOND):
            call["id"] = f"fc-sim{turn.number}-{_position(turn, part)}"
        signed = (
            {"thoughtSignature": seal(owner(FunctionCall(part.tool, call["args"])), turn.reasoning)} if first else {}
        )
    return [{"functionCall": call} | signed]


def _position(turn: Answer, part: Run) -> int:
    return next(at for at, one in enumerate(turn.call.tools) if one is part)


def _last(turn: Answer) -> list[Json]:
    """The signature of an answer without calls stands in an empty part at its end."""
    if not turn.reasoning or turn.call.tools:
        return []
    return [{"text": "", "thoughtSignature": seal("text", turn.reasoning)}]


def _reason(turn: Answer) -> str | None:
    finish = turn.call.finish
    return None if finish is None else REASONS.get(finish, finish)


def _response(turn: Answer, parts: list[Json], reason: str | None, sent: int | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    found: Json = {
        "candidates": [candidate],
        "modelVersion": turn.call.request.model,
        "responseId": f"sim{turn.number}",
    }
    report = counts(turn.call, sent)
    if report is None:
        return found
    reasoned = min(report.reasoning, report.completion)
    usage: Json = {"promptTokenCount": report.prompt, "candidatesTokenCount": report.completion - reasoned}
    usage |= {"totalTokenCount": report.prompt + report.completion}
    usage |= {"thoughtsTokenCount": reasoned} if reasoned else {}
    usage |= {"cachedContentTokenCount": report.cached} if report.cached else {}
    details = [{"modality": "TEXT", "tokenCount": report.prompt}]
    return found | {"usageMetadata": as_reported(turn.call, usage) | {"promptTokensDetails": details}}


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
