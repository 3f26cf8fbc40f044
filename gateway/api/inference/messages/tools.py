"""Tools of a Messages request as tools of the inner language, changes in the middle of the conversation included. Pure.

A system turn may add a tool by value or remove one (Anthropic's betas ``mid-conversation-tool-changes-2026-07-01`` and
``inline-tools-2026-09-15``; Claude Code defines the tools of MCP servers in this way, 2026-10). Other formats have one list of
tools for the whole conversation: the one that is in force at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.errors import BadRequest

Json = dict[str, Any]


def check(body: Json) -> None:
    """Raises BadRequest for a tool without a name or an object as its input, and for a choice that no tool satisfies."""
    for tool, field in _definitions(body):
        if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
            continue
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{field}.name: is missing; a tool needs a name.", field=f"{field}.name")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            field = f"{field}.input_schema"
            raise BadRequest(f'{field}: must be a JSON Schema whose type is "object".', field=field)
    choice = body.get("tool_choice")
    if choice is None or choice["type"] in ("auto", "none"):
        return
    tools = final_tools(body)
    if not tools:
        raise BadRequest(
            "tool_choice: there are no tools to choose from; send tools or leave it out.", field="tool_choice"
        )
    if choice["type"] == "tool" and choice.get("name") not in {tool.get("name") for tool in tools}:
        raise BadRequest(f"tool_choice.name: no tool is called {choice.get('name')!r}.", field="tool_choice.name")


def _definitions(body: Json) -> list[tuple[Any, str]]:
    """Every definition of a tool in the request, and its location."""
    found = [(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or ())]
    for block, index, position in _changes(body):
        if block["type"] == "tool_addition" and block["tool"]["type"] == "tool_definition":
            field = f"messages[{index}].content[{position}].tool.definition"
            found.append((block["tool"].get("definition") or {}, field))
    return found


def _changes(body: Json) -> Iterator[tuple[Json, int, int]]:
    """The blocks of the system turns, with the index of the turn and of the block."""
    for index, turn in enumerate(body["messages"]):
        if turn["role"] == "system" and isinstance(turn.get("content"), list):
            for position, block in enumerate(turn["content"]):
                yield block, index, position


def final_tools(body: Json) -> list[Json]:
    """The tools at the end of the conversation, as the caller wrote them, in the order of their definition."""
    known = {str(tool.get("name") or index): tool for index, tool in enumerate(body.get("tools") or ())}
    removed: set[str] = set()
    for block, _, _ in _changes(body):
        if block["type"] not in ("tool_addition", "tool_removal") or block["tool"]["type"].startswith("mcp_"):
            continue
        tool = block["tool"].get("definition") or block["tool"]
        name = str(tool.get("name"))
        if block["type"] == "tool_removal":
            removed.add(name)
            continue
        removed.discard(name)
        if "definition" in block["tool"]:
            known[name] = tool
    return [tool for name, tool in known.items() if name not in removed]


def inner(body: Json) -> Json:
    """``tools``, ``tool_choice`` and ``parallel_tool_calls``."""
    fields: Json = {"tools": [_tool(tool) for tool in final_tools(body)]}
    choice = body.get("tool_choice")
    if choice is None or not fields["tools"]:
        return fields
    if choice["type"] == "tool":
        fields["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        fields["tool_choice"] = "required" if choice["type"] == "any" else choice["type"]
    if choice.get("disable_parallel_tool_use") is not None:
        fields["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    return fields


def _tool(tool: Json) -> Json:
    if tool.get("type") not in (None, "custom"):
        return tool  # one of Anthropic's own: kept as it is, for a dialect that knows it
    function: Json = {"name": tool["name"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    function["parameters"] = tool["input_schema"]
    for name in ("strict", "defer_loading"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    inner_tool: Json = {"type": "function", "function": function}
    if tool.get("cache_control"):
        inner_tool["cache_control"] = tool["cache_control"]
    return inner_tool
