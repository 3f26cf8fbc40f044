"""Answers of the OpenAI dialect: one choice, one error object, one stream. Pure.

Sources of the quirks, each read 2026-11: DeepSeek streams ``reasoning_content`` and ends with
``insufficient_system_resource`` when it gives up (api-docs.deepseek.com). vLLM and Mistral send errors without the
``error`` wrapper (github.com/vllm-project/vllm/issues/4667, github.com/mistralai/mistral-vibe/issues/617), some behind
``event: error`` (github.com/foundation-model-stack/fms-guardrails-orchestrator/pull/436). llama.cpp answers 200 and puts
the error into the stream (github.com/ggml-org/llama.cpp/issues/14566), once as an ``error:`` line. Some servers repeat
``"role": ""`` or ``null`` in every delta, or ``"finish_reason": ""`` until the end. Mistral ends with ``model_length``.
Azure's first chunk has no choices. Groq puts the usage of a stream under ``x_groq``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.errors import FAILURES, RAW_MAX, ProviderError, excerpt, failed, failure_for, status_of
from providers.transport.sse import SseDecoder, decode
from providers.types import Event, Json, Usage
from providers.usage import later, normalise

FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "insufficient_system_resource": "error",
    "network_error": "error",
    "abort": "error",
}
"""Vendors' finish reasons to ours; what is not listed (``eos``, ``end_turn``, ``stop_sequence``) is ``stop``."""
_SHOWN = ("content", "reasoning", "refusal", "tool_calls", "images", "audio", "function_call", "reasoning_details")


def said(body: Any) -> tuple[Any, Any, str]:
    """``code``, ``type`` and message of an error body in any of the shapes that vendors use."""
    if isinstance(body, list) and body:  # Google's compatible endpoint wraps it in a list
        body = body[0]
    if not isinstance(body, dict):
        return None, None, str(body)[:RAW_MAX] if body is not None else ""
    error = body.get("error")
    if isinstance(error, str):
        return body.get("code"), body.get("type"), error
    if not isinstance(error, dict):
        error = body
    message = (
        error.get("message")
        or error.get("msg")
        or error.get("details")
        or body.get("detail")
        or body.get("message")
        or ""
    )
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode("utf-8", "replace")
    return error.get("code"), error.get("type") or error.get("status"), message[:RAW_MAX]


def vendor_error(body: Json, *, event: str = "") -> ProviderError | None:
    """The error that a 200 or an event carries, classified as if it had the status its code stands for; else None."""
    if not body.get("error"):
        body.pop("error", None)
        if event != "error" and body.get("object") != "error":
            return None
    code, type_, message = said(body)
    message = message or "the vendor sent an error"
    return failure_for(status_of(code, type_), message, raw=excerpt(body), words=(code, type_))


def read_choice(choice: Any, index: int, part: str) -> tuple[bool, str | None]:
    """Bring one choice to the inner language in place. ``part`` is ``message`` or ``delta``.

    Returns whether it carries content, and its finish reason. Raises ``ProviderError``: malformed, or the vendor's error.
    """
    if not isinstance(choice, dict):
        raise failed("malformed", "a choice is not an object")
    delta = choice.get(part)
    if delta is None and part == "delta":
        delta = choice[part] = {}
    if not isinstance(delta, dict):
        raise failed("malformed", f"a choice without {part}")
    if not isinstance(choice.setdefault("index", index), int):
        raise failed("malformed", "a choice's index is no number")
    native = choice.get("finish_reason") or None
    finish = None
    if native is not None:
        if not isinstance(native, str):
            raise failed("malformed", "a finish reason is no text")
        finish = FINISH.get(native) or FINISH.get(native.lower(), "stop")
        # OpenRouter as a vendor: a harmless finish reason, and the truth in the native one (github.com/
        # OleksandrChekhovskyi/hax/pull/15, 2026-08).
        deeper = choice.get("native_finish_reason")
        if finish == "error" or (isinstance(deeper, str) and FINISH.get(deeper.lower()) == "error"):
            raise _broken(choice, native if finish == "error" else str(deeper))
    choice["finish_reason"] = finish
    choice.setdefault("native_finish_reason", native)
    return _read_delta(delta, part), finish


def _broken(choice: Json, native: str) -> ProviderError:
    inner = choice.get("error")
    error = vendor_error({"error": inner}) if isinstance(inner, dict) else None
    if error is not None:
        return error
    kind = "overloaded" if native == "insufficient_system_resource" else "server_error"
    return ProviderError(FAILURES[kind], f"the vendor ended the answer with {native}", provider_code=native)


def _read_delta(delta: Json, part: str) -> bool:
    if part == "delta":
        if "role" in delta:
            if delta["role"]:
                delta["role"] = "assistant"
            else:
                del delta["role"]
    else:
        delta["role"] = "assistant"
        delta.setdefault("content", None)
    if not isinstance(delta.get("content"), str | None):
        raise failed("malformed", "content is no text")
    reasoning = delta.get("reasoning_content")
    if reasoning is not None and delta.get("reasoning") is None:
        delta["reasoning"] = reasoning
    if "tool_calls" in delta:
        _read_tools(delta, part)
    if delta.get("function_call", 0) is None:
        del delta["function_call"]
    for name in _SHOWN:  # noqa: SIM110 - once an event, and twice as fast as any()
        if delta.get(name):
            return True
    return False


def _read_tools(delta: Json, part: str) -> None:
    tools = delta["tool_calls"]
    if not tools:
        del delta["tool_calls"]
        return
    if not isinstance(tools, list):
        raise failed("malformed", "tool_calls is no list")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise failed("malformed", "a tool call is no object")
        function = tool.get("function")
        if function is not None and not isinstance(function, dict):
            raise failed("malformed", "a tool call's function is no object")
        if part == "delta":
            tool.setdefault("index", index)
        elif function is None:
            raise failed("malformed", "a tool call without function")
        for owner, name in ((tool, "type"), (tool, "id"), (function, "arguments"), (function, "name")):
            if owner is not None and owner.get(name, "") is None:
                del owner[name]
        if function is not None:
            arguments = function.get("arguments")
            if isinstance(arguments, dict | list):  # some servers send the object itself
                function["arguments"] = msgspec.json.encode(arguments).decode()
            elif arguments is None and part == "message":
                function["arguments"] = "{}"
            if function.get("name"):
                tool.setdefault("type", "function")


class Decoder(SseDecoder):
    """One stream: bytes to events. See ``base.Decoder``."""

    __slots__ = ("_open", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None
        self._open: set[int] = set()
        """Choices that began and have no finish reason yet."""

    def _complete(self) -> bool:
        return self._finished and not self._open

    def _document(self, raw: bytes) -> ProviderError | None:
        return vendor_error(decode(raw), event="error")

    def _event(self, name: str, data: bytes) -> Event | None:
        chunk: Any = decode(data)
        if name == "error" or "error" in chunk or "choices" not in chunk:
            error = vendor_error(chunk, event=name)
            if error is not None:
                raise error
        usage = self._count(chunk) if b"usage" in data or b"\\u" in data else None  # a key may be written in escapes
        choices = chunk.get("choices")
        if choices is None:
            if usage is None:
                return None  # a ping
            choices = chunk["choices"] = []
        elif not isinstance(choices, list):
            raise failed("malformed", "choices is no list")
        self._seen = True
        chunk["object"] = "chat.completion.chunk"  # Azure's first chunk leaves it empty
        content, finish = False, None
        for position, choice in enumerate(choices):
            shown, ended = read_choice(choice, position, "delta")
            content = content or shown
            if ended is not None:
                finish = finish or ended
                self._finished = True
                self._open.discard(choice["index"])
            elif shown:
                self._open.add(choice["index"])
        return Event(chunk, content, finish, usage)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        if raw is None:
            chunk.pop("usage", None)
            if "x_groq" in chunk and isinstance(chunk["x_groq"], dict):
                raw = chunk["x_groq"].get("usage")
            choices = chunk.get("choices")
            if raw is None and isinstance(choices, list) and choices and isinstance(choices[0], dict):
                raw = choices[0].pop("usage", None)  # Moonshot: in the last choice
        if not isinstance(raw, dict):
            chunk.pop("usage", None)
            return None
        self._usage = later(self._usage, normalise(raw))
        return self._usage
