"""Tools that the caller runs and that are not functions, as functions of chat: their definitions, and their calls there and back.

``custom`` takes free text, ``local_shell``, ``shell`` and ``apply_patch`` run commands and change files on the caller's machine,
``tool_search`` finds further tools, ``computer`` clicks and types. A chat vendor knows functions only, so each of them is sent as
one, and a call comes back as the item that the caller expects. A grammar becomes part of the description: a chat vendor cannot
enforce it. ``computer`` alone is not offered to chat vendors; its calls stand in conversations nevertheless. Pure.

Formats: OpenAI's Python SDK 3.57 and the requests of Codex 0.171, read 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]

_COUNT: Json = {"type": "integer"}
_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


LOCAL_SHELL: Json = {
    "name": "local_shell",
    "description": "Runs a command in a shell on the user's machine and returns its output.",
    "parameters": _object(
        ["command"],
        command={**_TEXTS, "description": "Program and arguments."},
        env={"type": "object", "additionalProperties": _TEXT},
        timeout_ms=_COUNT,
        working_directory=_TEXT,
    ),
}
SHELL: Json = {
    "name": "shell",
    "description": "Runs shell commands on the user's machine, in order, and returns the output of each.",
    "parameters": _object(
        ["commands"],
        commands={**_TEXTS, "description": "Command lines."},
        timeout_ms={**_COUNT, "description": "For all of them together."},
        max_output_length={**_COUNT, "description": "Characters of output to keep."},
    ),
}
APPLY_PATCH: Json = {
    "name": "apply_patch",
    "description": "Creates, changes or deletes one file of the user's.",
    "parameters": _object(
        ["operation"],
        operation=_object(
            ["type", "path"],
            type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            path=_TEXT,
            diff={
                **_TEXT,
                "description": "What changes, in the V4A format: lines begin with '+', '-' or ' ', hunks with '@@'. A new file "
                "has lines with '+' only; a deleted one has no diff.",
            },
        ),
    ),
}


def custom(tool: Json) -> Json:
    """The function for a custom tool: one argument, ``input``."""
    grammar = tool.get("format") or {}
    description = "The tool's input as plain text."
    if grammar.get("type") == "grammar":
        description += f" It must match this {grammar.get('syntax') or ''} grammar:\n{grammar.get('definition') or ''}"
    function: Json = {"name": tool["name"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    return function | {"parameters": _object(["input"], input={**_TEXT, "description": description})}


def tool_search(tool: Json) -> Json:
    """The function for a search among tools that the caller runs itself."""
    function: Json = {
        "name": "tool_search",
        "description": tool.get("description")
        or "Finds tools that are not listed here; they can be called afterwards.",
        "parameters": tool.get("parameters") or _object(["query"], query=_TEXT),
    }
    return function


# -- arguments of the function ↔ fields of the item ---------------------------------------------------------------------


def _decoded(arguments: str) -> Json:
    """The arguments as an object; empty if the model wrote something else."""
    try:
        value = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _encoded(fields: Mapping[str, Any]) -> str:
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()


def custom_input(arguments: str) -> str:
    """The free text in a function's arguments; all of them as text if the model ignored the schema."""
    try:
        value = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, dict):
        value = value.get("input") if "input" in value or len(value) != 1 else next(iter(value.values()))
    return value if isinstance(value, str) else arguments


def _custom_fields(arguments: str) -> Json:
    return {"input": custom_input(arguments)}


def _local_shell_fields(arguments: str) -> Json:
    """A command line is run by a shell. Without a command the list is empty, which no caller runs."""
    value = _decoded(arguments)
    action: Json = {"type": "exec", "command": [], "env": {}}
    command, env = value.get("command"), value.get("env")
    if isinstance(command, str) and command:
        action["command"] = ["bash", "-lc", command]
    elif _is_texts(command):
        action["command"] = command
    if isinstance(env, dict) and _is_texts(list(env.values())):
        action["env"] = env
    return {"action": action | _typed(value, timeout_ms=int, working_directory=str, user=str)}


def _shell_fields(arguments: str) -> Json:
    value = _decoded(arguments)
    commands = value.get("commands", value.get("command"))
    if isinstance(commands, str):
        commands = [commands]
    action: Json = {"commands": commands if _is_texts(commands) else []}
    return {"action": action | _typed(value, timeout_ms=int, max_output_length=int)}


def _patch_fields(arguments: str) -> Json:
    value = _decoded(arguments)
    operation = value.get("operation", value)
    read = _typed(operation, type=str, path=str, diff=str) if isinstance(operation, dict) else {}
    made: Json = {"type": "update_file", "path": "", "diff": "", **read}
    if made["type"] == "delete_file":
        del made["diff"]
    return {"operation": made}


def _search_fields(arguments: str) -> Json:
    return {"arguments": _decoded(arguments)}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _typed(value: Json, **types: type) -> Json:
    return {name: value[name] for name, type_ in types.items() if isinstance(value.get(name), type_)}


class ClientTool(NamedTuple):
    """A kind of tool: the prefix of its items' ids, their fields before the arguments are complete, and both translations."""

    prefix: str
    empty: Callable[[], Json]
    """The fields of an item whose arguments have not come yet; a new object each time."""
    fields: Callable[[str], Json]
    """Arguments of the function → the fields of the item."""
    arguments: Callable[[Json], str]
    """An item of the conversation → arguments of the function."""


CLIENT_TOOLS: Mapping[str, ClientTool] = {
    "custom_tool": ClientTool(
        "ctc", lambda: {"input": ""}, _custom_fields, lambda item: _encoded({"input": item["input"]})
    ),
    "local_shell": ClientTool(
        "lsh",
        lambda: {"action": {"type": "exec", "command": [], "env": {}}},
        _local_shell_fields,
        lambda item: _encoded({name: value for name, value in item["action"].items() if name != "type"}),
    ),
    "shell": ClientTool(
        "sh", lambda: {"action": {"commands": []}}, _shell_fields, lambda item: _encoded(item["action"])
    ),
    "apply_patch": ClientTool(
        "apc",
        lambda: {"operation": {"type": "update_file", "path": "", "diff": ""}},
        _patch_fields,
        lambda item: _encoded({"operation": item["operation"]}),
    ),
    "tool_search": ClientTool(
        "tsc",
        lambda: {"arguments": {}, "execution": "client"},
        _search_fields,
        lambda item: _encoded(item["arguments"]) if isinstance(item["arguments"], dict) else "{}",
    ),
    "computer": ClientTool(
        "cu",
        lambda: {"actions": [], "pending_safety_checks": []},
        _search_fields,
        lambda item: _encoded({name: item.get(name) for name in ("action", "actions")}),
    ),
}
"""Kind (the type of the item without ``_call``) → how it is translated."""
