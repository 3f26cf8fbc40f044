"""Answers of the OpenAI dialect: one choice, and a whole answer. Pure.

Sources of the quirks, each read 2026-11: DeepSeek sends ``reasoning_content`` and ends with ``insufficient_system_resource`` when
it gives up (api-docs.deepseek.com). Some servers repeat ``"role": ""`` or ``null`` in every delta, or send
``"finish_reason": ""`` until the end. Mistral ends with ``model_length``.
"""

from __future__ import annotations

from typing import Final

from providers.errors import ProviderError, failed
from providers.openai import tool_calls
from providers.openai.errors import choice_error, malformed, reported_usage, vendor_error
from providers.openai.tool_calls import ToolCalls
from providers.transport.sse import decode
from providers.types import Completion, Json

FINISH_REASONS: Final = {
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
"""Vendors' finish reasons to those of the inner language; any other (``eos``, ``end_turn``, ``stop_sequence``) is ``stop``."""
_CONTENT_FIELDS: Final = (
    "content", "reasoning", "refusal", "tool_calls", "images", "audio", "reasoning_details",
)  # fmt: skip
"""Fields of a message or delta that a caller could show."""


def read_completion(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: empty, malformed, or the error that the answer carries."""
    body = json_object(raw)
    choices = body.get("choices")
    if not isinstance(choices, list):
        raise malformed("the answer has no choices", raw)
    if not choices:
        raise failed("empty", "the answer has no choices", status=200).reporting(reported_usage(body))
    for number, choice in enumerate(choices):
        if not isinstance(choice, dict):
            raise failed("malformed", "a choice is not an object")
        try:
            _read_whole_choice(choice, number, raw)
        except ProviderError as error:
            raise error.reporting(reported_usage(body)) from None
    body["object"] = "chat.completion"
    return Completion(body, reported_usage(body))


def json_object(raw: bytes) -> Json:
    """The JSON object of a 200. Raises ``ProviderError``: empty, malformed, or the error that it carries."""
    if not raw or raw.isspace():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    error = vendor_error(body)
    if error is not None:
        raise error
    return body


def read_choice(choice: Json, field: str, calls: ToolCalls | bool) -> tuple[bool, str | None]:
    """Bring one choice to the inner language, in place. ``field`` is ``message`` or ``delta``; ``calls``: the tool calls of the
    choice, or whether it has any.

    Returns whether it carries content, and its finish reason. Raises ``ProviderError``: malformed, or the vendor's error.
    """
    message = choice[field]
    native = choice.get("finish_reason") or None
    finish = None
    if native is not None:
        if not isinstance(native, str):
            raise failed("malformed", "a finish reason is not a string")
        finish = FINISH_REASONS.get(native) or FINISH_REASONS.get(native.lower(), "stop")
        # OpenRouter as a vendor: a harmless finish reason beside a native one that means an error (github.com/
        # OleksandrChekhovskyi/hax/pull/15, 2026-08).
        deeper = choice.get("native_finish_reason")
        if finish == "error" or (isinstance(deeper, str) and FINISH_REASONS.get(deeper.lower()) == "error"):
            raise choice_error(choice, native if finish == "error" else str(deeper))
        if calls:
            finish = "tool_calls" if finish == "stop" else finish
            if isinstance(calls, ToolCalls) and (rest := calls.end()):
                message["tool_calls"] = [*message.get("tool_calls", ()), *rest]
    choice["finish_reason"] = finish
    choice.setdefault("native_finish_reason", native)
    return _read_message(message, field), finish


def _read_whole_choice(choice: Json, number: int, raw: bytes) -> None:
    message = choice.get("message")
    if message is None:  # of a server that answers as if it streamed, or as completions do
        text = choice.pop("text", None)
        message = choice["message"] = choice.pop("delta", None) if text is None else {"content": text}
    if not isinstance(message, dict):
        raise failed("malformed", "a choice without message")
    index = choice.get("index")
    if index is not None and not isinstance(index, int):
        raise failed("malformed", "a choice's index is not a number")
    choice["index"] = number
    read_choice(choice, "message", tool_calls.read_whole(message, raw))


def _read_message(message: Json, field: str) -> bool:
    """Bring a message or delta to the inner language, in place. Returns whether it carries content."""
    if field == "delta":
        if "role" in message:
            if message["role"]:
                message["role"] = "assistant"
            else:
                del message["role"]
    else:
        message["role"] = "assistant"
        message.setdefault("content", None)
    content = message.get("content")
    if content is not None and not isinstance(content, str):  # twice as fast as isinstance(content, str | None)
        raise failed("malformed", "content is not a string")
    reasoning = message.get("reasoning_content")
    if reasoning is not None and message.get("reasoning") is None:
        message["reasoning"] = reasoning
    for name in _CONTENT_FIELDS:  # noqa: SIM110 - once an event, and twice as fast as any()
        if message.get(name):
            return True
    return False
