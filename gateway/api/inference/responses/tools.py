"""Tools of the Responses API as tools of chat, and their calls as items.

``function`` is flat here and nested in chat. Two types are run by the caller but are not functions: ``custom`` (free text in) and
``local_shell`` (a command). Chat vendors know neither, so they are sent as functions, ``custom`` with one string argument named
``input``, and their calls come back as the items that the caller expects. A grammar becomes part of the description: a chat
vendor cannot enforce it. Every other type is a tool that the vendor itself runs and stays as it is; a dialect that does not know
it refuses. Formats: OpenAI's Python SDK 3.54, read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import BadRequest

Json = dict[str, Any]
LOCAL_SHELL = "local_shell"
_SHELL_FUNCTION: Json = {
    "name": LOCAL_SHELL,
    "description": "Runs a command in a shell on the user's machine and returns its output.",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {"type": "array", "items": {"type": "string"}, "description": "Program and arguments."},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "timeout_ms": {"type": "integer"},
            "working_directory": {"type": "string"},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
}
_SHELL_FIELDS: Mapping[str, type] = {"timeout_ms": int, "working_directory": str, "user": str}
_KEPT = ("description", "parameters", "strict", "defer_loading")


def kinds(tools: list[Json] | None) -> dict[str, str]:
    """Name of each function that was sent in place of another type of tool → that type."""
    found = {}
    for tool in tools or ():
        if tool["type"] == "custom":
            found[tool["name"]] = "custom_tool"
        elif tool["type"] == LOCAL_SHELL:
            found[LOCAL_SHELL] = LOCAL_SHELL
    return found


def chat_tools(tools: list[Json]) -> list[Json]:
    """Tools in the inner language, in the caller's order."""
    return [_chat_tool(tool) for tool in tools]


def _chat_tool(tool: Json) -> Json:
    kind = tool["type"]
    if kind == "function":
        function = {"name": tool["name"]}
        function |= {name: tool[name] for name in _KEPT if tool.get(name) is not None}
        made: Json = {"type": "function", "function": function}
    elif kind == "custom":
        made = {"type": "function", "function": _custom_function(tool)}
    elif kind == LOCAL_SHELL:
        made = {"type": "function", "function": _SHELL_FUNCTION}
    else:
        return tool
    if tool.get("cache_control") is not None:
        made["cache_control"] = tool["cache_control"]
    return made


def _custom_function(tool: Json) -> Json:
    grammar = tool.get("format") or {}
    description = "The tool's input as plain text."
    if grammar.get("type") == "grammar":
        description += f" It must match this {grammar.get('syntax') or ''} grammar:\n{grammar.get('definition') or ''}"
    function: Json = {"name": tool["name"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    function["parameters"] = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": description}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return function


def chat_choice(choice: str | Json, tools: list[Json]) -> tuple[Any, list[Json]]:
    """``tool_choice`` in the inner language, and the tools it allows (``allowed_tools`` may exclude some). Raises BadRequest."""
    if isinstance(choice, str):
        return choice, tools
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _allowed(choice, tools)
    if kind in ("function", "custom", LOCAL_SHELL):
        name = LOCAL_SHELL if kind == LOCAL_SHELL else choice.get("name")
        if not any(_key(tool) == (kind, name) for tool in tools):
            raise BadRequest(f"tool_choice: tools has no {kind} tool named {name!r}.", field="tool_choice")
        return {"type": "function", "function": {"name": name}}, tools
    if not isinstance(kind, str):
        raise BadRequest("tool_choice.type: is missing.", field="tool_choice.type")
    return choice, tools


def _allowed(choice: Json, tools: list[Json]) -> tuple[str, list[Json]]:
    mode, listed = choice.get("mode", "auto"), choice.get("tools")
    if mode not in ("auto", "required"):
        raise BadRequest("tool_choice.mode: must be auto or required.", field="tool_choice.mode")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadRequest("tool_choice.tools: must be a list of tools.", field="tool_choice.tools")
    allowed: set[int] = set()
    for index, one in enumerate(listed):
        found = {position for position, tool in enumerate(tools) if _key(tool) == _key(one)}
        if not found:
            field = f"tool_choice.tools[{index}]"
            raise BadRequest(f"{field}: tools has no such tool.", field=field)
        allowed |= found
    return mode, [tool for position, tool in enumerate(tools) if position in allowed]


def _key(tool: Json) -> tuple[Any, Any]:
    """Type and name, which identify a tool; an MCP server's label is its name."""
    kind = tool.get("type")
    return kind, LOCAL_SHELL if kind == LOCAL_SHELL else tool.get("name") or tool.get("server_label")


# -- calls ------------------------------------------------------------------------------------------------------------


def custom_arguments(text: str) -> str:
    """The arguments of a call of the function that was sent in place of a custom tool."""
    return msgspec.json.encode({"input": text}).decode()


def custom_input(arguments: str) -> str:
    """The free text in a function's arguments; all of them as text if the model ignored the schema."""
    value = _decoded(arguments)
    if isinstance(value, dict):
        text = value.get("input") if "input" in value or len(value) != 1 else next(iter(value.values()))
        if isinstance(text, str):
            return text
    return value if isinstance(value, str) else arguments


def shell_arguments(action: Json) -> str:
    """The arguments of a call of the function that was sent in place of the local shell."""
    return msgspec.json.encode({k: v for k, v in action.items() if k != "type" and v is not None}).decode()


def shell_action(arguments: str) -> Json:
    """The action in a function's arguments. A command line is run by a shell. Without a command the list is empty, which no
    caller runs.
    """
    value = _decoded(arguments)
    action: Json = {"type": "exec", "command": [], "env": {}}
    if not isinstance(value, dict):
        return action
    command, env = value.get("command"), value.get("env")
    if isinstance(command, str) and command:
        action["command"] = ["bash", "-lc", command]
    elif isinstance(command, list) and all(isinstance(word, str) for word in command):
        action["command"] = command
    if isinstance(env, dict) and all(isinstance(variable, str) for variable in env.values()):
        action["env"] = env
    return action | {name: value[name] for name, type_ in _SHELL_FIELDS.items() if isinstance(value.get(name), type_)}


def _decoded(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return None
