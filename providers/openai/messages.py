"""Messages and tools as plain OpenAI vendors take them: without the fields that only the gateway's contract has. Pure.

OpenAI refuses unknown fields of messages and tools, and pictures in tool results; most compatible vendors refuse some of these,
too. An ordinary conversation has none of them, and then nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.errors import failed
from providers.types import Json

EXTENDED_FIELDS = frozenset(
    {"is_error", "reasoning", "reasoning_content", "reasoning_details", "images", "annotations", "phase", "model"}
)
"""Fields of messages that OpenAI's chat completions do not know."""
TOOL_TYPES = frozenset({"function", "custom"})
TOOL_FIELDS = frozenset({"type", "function", "custom"})
FUNCTION_EXTENSIONS = frozenset({"defer_loading", "eager_input_streaming", "cache_control"})
"""Fields of functions that only Anthropic, OpenAI's Responses API and the gateway's contract have."""
VERBOSITY = {"xhigh": "high", "max": "high"}
"""Values of ``verbosity`` that only the gateway's contract has → the nearest that vendors know."""


def remove_extensions(sent: Json, options: Mapping[str, Any]) -> None:
    """Reduce the body about to be sent to what a plain vendor takes. ``sent`` is changed; messages and tools are copied first.

    Options: ``extended: true`` leaves everything as it is, ``reasoning_replay`` names the field in which a vendor wants an
    assistant's earlier reasoning back (``reasoning_content``: DeepSeek, Moonshot, Z.AI).

    Raises ``ProviderError`` (unsupported): a tool that only another wire format knows.
    """
    if options.get("extended"):
        return
    sent.pop("cache_control", None)
    messages = sent.get("messages")
    if isinstance(messages, list):
        for message in messages:
            if isinstance(message.get("content"), list) or not EXTENDED_FIELDS.isdisjoint(message):
                replay = options.get("reasoning_replay")
                sent["messages"] = [reduced for one in messages for reduced in _message(one, replay)]
                break
    tools = sent.get("tools")
    if tools:
        sent["tools"] = [_tool(tool, index) for index, tool in enumerate(tools)]
    verbosity = sent.get("verbosity")
    if verbosity in VERBOSITY:
        sent["verbosity"] = VERBOSITY[verbosity]


def _message(message: Json, replay: str | None) -> list[Json]:
    """The message, and behind a tool's result a user message with the pictures that the tool returned."""
    kept = {name: value for name, value in message.items() if name not in EXTENDED_FIELDS}
    content = kept.get("content")
    pictures: list[Json] = []
    if isinstance(content, list):
        kept["content"] = parts = [_part(part) for part in content]
        if message.get("role") == "tool":
            pictures = [part for part in parts if part.get("type") != "text"]
            kept["content"] = [part for part in parts if part.get("type") == "text"] or "(see the next message)"
    if replay is not None and message.get("role") == "assistant":
        reasoning = (
            message.get("reasoning") or message.get("reasoning_content") or _readable(message.get("reasoning_details"))
        )
        if isinstance(reasoning, str) and reasoning:
            kept[replay] = reasoning
    return [kept, {"role": "user", "content": pictures}] if pictures else [kept]


def _readable(details: Any) -> str:
    """The readable text of reasoning details."""
    if not isinstance(details, list):
        return ""
    texts = (one.get("text") or one.get("summary") for one in details if isinstance(one, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _part(part: Any) -> Any:
    if isinstance(part, dict) and ("cache_control" in part or "prompt_cache_breakpoint" in part):
        return {name: value for name, value in part.items() if name not in ("cache_control", "prompt_cache_breakpoint")}
    return part


def _tool(tool: Json, index: int) -> Json:
    if tool.get("type") not in TOOL_TYPES:
        raise failed("unsupported", f"tools[{index}]: this vendor does not know tools of type {tool.get('type')!r}")
    function = tool.get("function")
    extended = isinstance(function, dict) and not FUNCTION_EXTENSIONS.isdisjoint(function)
    if tool.keys() <= TOOL_FIELDS and not extended:
        return tool
    kept = {name: value for name, value in tool.items() if name in TOOL_FIELDS}
    if isinstance(function, dict) and extended:
        kept["function"] = {name: value for name, value in function.items() if name not in FUNCTION_EXTENSIONS}
    return kept
