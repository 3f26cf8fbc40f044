"""Ollama: ``POST /api/chat``, a line of JSON for every piece.

ollama 0.7 (_types.py) and github.com/ollama/ollama/blob/main/docs/api.md (2026-11): streaming is the default, calls come whole and
without ids, thinking stands beside the content, errors are one text. What Ollama would silently ignore is refused here: a field it
does not know does nothing, and whoever sends one should hear it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from simulator.call import ChatRequest
from simulator.formats.wire_format import (
    Answer,
    Frame,
    Json,
    ParsedRequest,
    Refusal,
    Route,
    WireFormat,
    arguments_of,
    as_reported,
    counts,
    reasons,
)
from simulator.http import Request
from simulator.steps import encode

OPTIONS: Final = frozenset(
    {
        *(
            "num_ctx",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "low_vram",
            "use_mmap",
            "use_mlock",
            "num_thread",
            "num_keep",
            "seed",
        ),
        *(
            "num_predict",
            "top_k",
            "top_p",
            "min_p",
            "typical_p",
            "repeat_last_n",
            "temperature",
            "repeat_penalty",
            "numa",
        ),
        *(
            "presence_penalty",
            "frequency_penalty",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "penalize_newline",
            "stop",
            "tfs_z",
        ),
    }
)
MADE: Final = "2026-01-01T00:00:00.000000Z"
MESSAGES: Final = {
    401: "unauthorized",
    429: "too many concurrent requests",
    503: "server busy, please try again. maximum pending requests exceeded",
}
REASONS: Final = {"tool_calls": "stop"}


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class Function(_Strict):
    name: str
    arguments: dict[str, Any]
    index: int | None = None


class ToolCall(_Strict):
    function: Function
    id: str | None = None
    type: str | None = None


class Message(_Strict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaRequest(_Strict):
    """Of ``/api/chat``."""

    model: str
    messages: list[Message] = []
    stream: bool = True
    tools: list[Json] | None = None
    format: str | Json | None = None
    options: Json = {}
    keep_alive: float | str | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    truncate: bool | None = None
    shift: bool | None = None


REQUEST = msgspec.json.Decoder(OllamaRequest)


class Ollama(WireFormat):
    """``/api/chat``."""

    name = "ollama"
    stream_kind = "application/x-ndjson"
    keepalive = b""

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        return Route() if path == "/api/chat" else None

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """A model that can think does so unless the request disables it."""
        body = self.decode(REQUEST, request.body)
        for name in body.options.keys() - OPTIONS:
            raise Refusal(400, f"invalid option provided: {name}")
        if body.think and not reasons(body.model):
            raise Refusal(400, f'"{body.model}" does not support thinking')
        messages = [_plain(message) for message in body.messages]
        bound = body.options.get("num_predict")
        limit = bound if isinstance(bound, int) and bound >= 0 else None
        return ParsedRequest(
            ChatRequest(body.model, messages, body.stream, max_tokens=limit, tools=body.tools or None),
            may_reason=body.think is not False,
        )

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """One message and the end's figures."""
        message: Json = {"role": "assistant", "content": ""}
        for part, text in answer.texts(sent):
            if part.kind == "arguments":
                function = {"name": part.tool, "arguments": arguments_of(text)}
                message.setdefault("tool_calls", []).append({"function": function})
            else:
                message["thinking" if part.kind == "reasoning_content" else "content"] = text
        return _line(answer, message) | _end(answer, sent)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """A line for every piece, a call in one."""
        for number, part in enumerate(answer.call.parts):
            if part.kind == "arguments":
                text = "".join(part.pieces)
                call = {"function": {"index": number, "name": part.tool, "arguments": arguments_of(text)}}
                message: Json = {"role": "assistant", "content": "", "tool_calls": [call]}
                yield Frame(_framed(_line(answer, message) | {"done": False}), len(part.pieces))
                continue
            for text, amount in answer.runs(part):
                message = {"content": "", "thinking": text} if part.kind == "reasoning_content" else {"content": text}
                yield Frame(_framed(_line(answer, {"role": "assistant"} | message) | {"done": False}), amount)
        yield Frame(_framed(_line(answer, {"role": "assistant", "content": ""}) | _end(answer)), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """``{"error": text}``."""
        text = message or MESSAGES.get(
            status, "an error was encountered while running the model" if status >= 500 else "invalid request"
        )
        return encode({"error": text})

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The envelope as a line."""
        return self.envelope(status) + b"\n"

    def frame_bytes(self, data: bytes) -> bytes:
        """A line."""
        return data + b"\n"

    def unknown_model(self, model: str, why: str) -> Refusal:
        """Worded as Ollama's error for a model that was not pulled."""
        return Refusal(404, f"model '{model}' not found: {why}")


def _plain(message: Message) -> Json:
    return {"role": message.role, "content": message.content} | (
        {"reasoning_content": message.thinking} if message.thinking else {}
    )


def _line(answer: Answer, message: Json) -> Json:
    return {"model": answer.call.request.model, "created_at": MADE, "message": message}


def _end(answer: Answer, sent: int | None = None) -> Json:
    finish = answer.call.finish
    found: Json = {"done": True, "done_reason": None if finish is None else REASONS.get(finish, finish)}
    found |= {
        "total_duration": 7_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_duration": 2_000_000,
        "eval_duration": 4_000_000,
    }
    report = counts(answer.call, sent)
    if report is None:
        return found
    return found | as_reported(answer.call, {"prompt_eval_count": report.prompt, "eval_count": report.completion})


def _framed(data: Json) -> bytes:
    return encode(data) + b"\n"
