"""Messages and tools as plain OpenAI vendors take them: without the fields that only the gateway's contract has. Pure.

OpenAI refuses unknown fields of messages and tools, and pictures in tool results; most compatible vendors refuse some of these,
too. An ordinary conversation has none of them, and then nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.chat.messages import arguments_object
from providers.chat.turns import instructions_first, is_plain, results_first
from providers.errors import failed
from providers.types import Json

EXTENDED_FIELDS = frozenset(
    {
        *("is_error", "reasoning", "reasoning_content", "reasoning_details"),
        *("images", "annotations", "phase", "model", "cache_control", "prompt_cache_breakpoint"),
    }
)
"""Fields of messages that OpenAI's chat completions do not know."""
TOOL_TYPES = frozenset({"function", "custom"})
TOOL_FIELDS = frozenset({"type", "function", "custom"})
FUNCTION_EXTENSIONS = frozenset({"defer_loading", "eager_input_streaming", "cache_control"})
"""Fields of functions that only Anthropic, OpenAI's Responses API and the gateway's contract have."""
_decode_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
"""Checks that a text is a list of JSON objects without building their values."""
NO_REASONING = " "
"""The reasoning of a turn that has none. From the first call of a tool on, DeepSeek's and Moonshot's thinking models demand some of
every turn, whoever wrote it, and DeepSeek V4 does not take an empty text (hermes-agent#17341, nanobot#946, continue#10193)."""
VERBOSITY = {"xhigh": "high", "max": "high"}
"""Values of ``verbosity`` that only the gateway's contract has → the nearest that vendors know."""


def remove_extensions(sent: Json, options: Mapping[str, Any]) -> None:
    """Reduce the body about to be sent to what a plain vendor takes. ``sent`` is changed; messages and tools are copied first.

    Options: ``extended: true`` leaves everything as it is, ``reasoning_replay`` names the field in which a vendor wants an
    assistant's earlier reasoning back (``reasoning_content``: DeepSeek, Moonshot, Z.AI), ``mid_system: true`` is for a vendor
    that takes instructions in the middle of a conversation.

    Raises ``ProviderError`` (unsupported): a tool that only another wire format knows.
    """
    messages: Any = sent.get("messages")
    rewrites = isinstance(messages, list) and not is_plain(messages)
    if rewrites:
        anywhere = options.get("extended") or options.get("mid_system")
        messages = sent["messages"] = results_first(messages) if anywhere else instructions_first(messages)
    if options.get("extended"):
        return
    sent.pop("cache_control", None)
    replay = options.get("reasoning_replay")
    if rewrites and _needs_rewriting(messages, replay):
        sent["messages"] = _reduced(messages, replay)
    tools = sent.get("tools")
    if tools:
        sent["tools"] = [_tool(tool, index) for index, tool in enumerate(tools)]
    elif tools is not None:
        del sent["tools"]  # an empty list is refused, and so is a choice without tools
        for name in ("tool_choice", "parallel_tool_calls"):
            sent.pop(name, None)
    verbosity = sent.get("verbosity")
    if verbosity in VERBOSITY:
        sent["verbosity"] = VERBOSITY[verbosity]


def _needs_rewriting(messages: list[Json], replay: str | None) -> bool:
    """Whether any message has what a plain vendor does not take, or lacks what a vendor with ``replay`` demands."""
    if not EXTENDED_FIELDS.isdisjoint(set().union(*messages)):
        return True
    if any(type(message.get("content")) is list or message["role"] == "developer" for message in messages):
        return True
    turns = [message["tool_calls"] for message in messages if "tool_calls" in message]
    if not all(turns) or (turns and replay):
        return True
    return not _are_objects([call["function"]["arguments"] for calls in turns for call in calls if "function" in call])


def _are_objects(arguments: list[Any]) -> bool:
    """Whether the arguments of every call are a JSON object, which several servers' chat templates demand. All are read at once."""
    if not arguments:
        return True
    try:
        return len(_decode_objects(f"[{','.join(arguments)}]")) == len(arguments)
    except (ValueError, RecursionError, TypeError):
        return False


def _reduced(messages: list[Json], replay: str | None) -> list[Json]:
    """The messages without extensions. Pictures that tools returned stand in a user's message behind all results of the turn."""
    made: list[Json] = []
    pictures: list[Json] = []
    called = False
    for message in messages:
        role = message.get("role")
        called = called or bool(message.get("tool_calls"))
        if pictures and role != "tool":
            made.append({"role": "user", "content": pictures})
            pictures = []
            if role == "user":
                content = _message(message, replay)["content"]
                made[-1]["content"] += [{"type": "text", "text": content}] if isinstance(content, str) else content
                continue
        kept = _message(message, replay)
        if replay is not None and called and role == "assistant":
            kept.setdefault(replay, NO_REASONING)
        content = kept.get("content")
        if role == "tool" and isinstance(content, list):
            pictures += [part for part in content if part.get("type") != "text"]
            kept["content"] = [part for part in content if part.get("type") == "text"] or "(see the next message)"
        made.append(kept)
    if pictures:
        made.append({"role": "user", "content": pictures})
    return made


def _message(message: Json, replay: str | None) -> Json:
    """A copy of a message without the contract's own fields."""
    kept = {name: value for name, value in message.items() if name not in EXTENDED_FIELDS}
    if kept.get("role") == "developer":
        kept["role"] = "system"  # OpenAI itself takes either; most other vendors know no developer
    content = kept.get("content")
    if isinstance(content, list):
        kept["content"] = [_part(part) for part in content]
    calls = kept.get("tool_calls")
    if calls:
        kept["tool_calls"] = [_with_object(call) for call in calls]
    elif calls is not None:
        del kept["tool_calls"]
    if replay is not None and message.get("role") == "assistant":
        reasoning = (
            message.get("reasoning") or message.get("reasoning_content") or _readable(message.get("reasoning_details"))
        )
        if isinstance(reasoning, str) and reasoning:
            kept[replay] = reasoning
    return kept


def _with_object(call: Json) -> Json:
    function = call.get("function")
    if not isinstance(function, dict) or _are_objects([function.get("arguments")]):
        return call  # a custom tool's input is any text
    arguments = msgspec.json.encode(arguments_object(function.get("arguments"))).decode()
    return {**call, "function": {**function, "arguments": arguments}}


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
