"""One request and everything decided about its answer before the first byte. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from simulator import tokens
from simulator.grammar import Script
from simulator.steps import encode


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The fields of a request that the vendor reads; all others are accepted and ignored."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A run of tokens of one kind: reasoning_content, content or arguments."""

    kind: str
    pieces: list[str]
    tool: str = ""
    """Of arguments: the name of the tool that is called."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request about to be answered."""

    script: Script
    request: ChatRequest
    id: str
    created: int
    prompt_tokens: int
    parts: tuple[Part, ...] = ()
    limited: bool = False
    """max_tokens cut the answer."""
    head: bytes = field(default=b"", repr=False)
    """The bytes of a stream event in front of its delta."""

    @property
    def planned(self) -> int:
        """Tokens of the whole answer."""
        return sum(len(part.pieces) for part in self.parts)

    @property
    def tools(self) -> list[Part]:
        """The calls of tools, in order."""
        return [part for part in self.parts if part.kind == "arguments"]

    def text(self, kind: str) -> str:
        """All text of one kind."""
        return "".join(piece for part in self.parts if part.kind == kind for piece in part.pieces)

    @property
    def start_s(self) -> float:
        """When the first token is due."""
        return (self.script.slowheaders_ms + self.script.ttft_ms) / 1000

    def due_s(self, sent: int) -> float:
        """When the token after ``sent`` tokens is due."""
        return self.start_s + (sent / self.script.tps if self.script.tps else 0.0)

    def ready(self, elapsed_s: float) -> int:
        """Tokens of a JSON answer that are ready after this many seconds."""
        if elapsed_s < self.start_s:
            return 0
        return min(self.planned, int((elapsed_s - self.start_s) * self.script.tps)) if self.script.tps else self.planned

    @property
    def finish(self) -> str | None:
        if self.script.finish is not None:
            return None if self.script.finish == "blank" else self.script.finish
        return "length" if self.limited else "tool_calls" if self.tools else "stop"


def prepare(script: Script, request: ChatRequest, *, seq: int, created: int, may_reason: bool = True) -> Call:
    """Decides the whole answer before its first byte. Without ``may_reason`` it contains no reasoning."""
    prompt = tokens.prompt_tokens(request.messages)
    bound = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    parts = _parts(script, request, may_reason=may_reason)
    planned = sum(len(part.pieces) for part in parts)
    limited = bound is not None and planned > bound
    if limited and bound is not None:
        parts = _limit(parts, bound)
    call = Call(script, request, f"chatcmpl-sim-{seq}", created, prompt, tuple(parts), limited)
    if request.stream:
        frame = {"id": call.id, "object": "chat.completion.chunk", "created": created, "model": request.model}
        return replace(call, head=encode(frame)[:-1] + b',"choices":[{"index":0,"delta":')
    return call


def _parts(script: Script, request: ChatRequest, *, may_reason: bool) -> list[Part]:
    reasoning = [Part("reasoning_content", tokens.numbers(script.reasoning))] if script.reasoning and may_reason else []
    last = request.messages[-1] if request.messages else {}
    if script.toolcall and last.get("role") != "tool":
        calls = (_tool(request, number, script.tool) for number in range(script.parallel))
        return [*reasoning, *(Part("arguments", tokens.pieces(arguments), name) for name, arguments in calls)]
    if script.echo:
        user_messages = (message for message in reversed(request.messages) if message.get("role") == "user")
        return [*reasoning, Part("content", tokens.pieces(tokens.message_text(next(user_messages, {}))))]
    if script.recall:
        expected = "".join(tokens.numbers(script.reasoning))
        returned = sum(message.get("reasoning_content") == expected for message in request.messages) if expected else 0
        return [*reasoning, Part("content", tokens.pieces(f"recalled {returned}"))]
    text = tokens.prose(script.tokens) if script.prose else tokens.numbers(script.tokens)
    return [*reasoning, Part("content", text)]


_SAMPLES: dict[str, Any] = {"string": "sample", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}


def _tool(request: ChatRequest, number: int, ending: str) -> tuple[str, str]:
    """Name and arguments of a call: the required properties with sample values. Tools with this ``ending`` take turns."""
    named = [tool for tool in request.tools or () if str((tool.get("function") or {}).get("name")).endswith(ending)]
    offered = named or [{}]
    function = offered[number % len(offered)].get("function")
    if not isinstance(function, dict):
        return "get_weather", '{"city":"Berlin"}'
    schema = function.get("parameters") or {}
    properties, chosen = schema.get("properties") or {}, {}
    for name in schema.get("required") or list(properties):
        spec = properties.get(name) or {}
        chosen[name] = spec["enum"][0] if spec.get("enum") else _SAMPLES.get(spec.get("type", "string"), "sample")
    return str(function.get("name")), encode(chosen).decode()


def _limit(parts: list[Part], bound: int) -> list[Part]:
    left, kept = max(0, bound), []
    for part in parts:
        kept.append(replace(part, pieces=part.pieces[:left]))
        left -= len(kept[-1].pieces)
    return kept
