"""Tools of a Messages request as tools of the inner language, changes in the middle of the conversation included. Pure.

A system turn may add a tool by value or take one away (Anthropic's betas ``mid-conversation-tool-changes-2026-07-01`` and
``inline-tools-2026-09-15``; Claude Code defines the tools of MCP servers so, 2026-10). Other wire formats have one list for the
whole conversation: they get the tools that are on offer at its end.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import BadRequest

Json = dict[str, Any]


def check(body: Json) -> None:
    """Raises BadRequest naming the tool, or the choice, that cannot be."""
    for tool, where in _written(body):
        if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
            continue
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{where}: a tool needs a name.", field=f"{where}.name")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            place = f"{where}.input_schema"
            raise BadRequest(f'{place}: must be a JSON Schema whose type is "object".', field=place)
    choice = body.get("tool_choice")
    if choice is None or choice["type"] in ("auto", "none"):
        return
    tools = offered(body)
    if not tools:
        raise BadRequest("tool_choice needs tools; send them or leave it out.", field="tool_choice")
    if choice["type"] == "tool" and choice.get("name") not in {tool.get("name") for tool in tools}:
        raise BadRequest(f"tool_choice.name: no tool is called {choice.get('name')!r}.", field="tool_choice.name")


def _written(body: Json) -> list[tuple[Any, str]]:
    """Every definition in the request, and where it stands."""
    found = [(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or ())]
    for index, turn in enumerate(body["messages"]):
        for position, block in enumerate(_changes(turn)):
            if block["type"] == "tool_addition" and block["tool"]["type"] == "tool_definition":
                where = f"messages[{index}].content[{position}].tool.definition"
                found.append((block["tool"].get("definition") or {}, where))
    return found


def _changes(turn: Json) -> list[Json]:
    content = turn.get("content")
    return content if turn["role"] == "system" and isinstance(content, list) else []


def offered(body: Json) -> list[Json]:
    """The tools at the end of the conversation, as they are written, in the order of their definition."""
    known = {str(tool.get("name") or index): tool for index, tool in enumerate(body.get("tools") or ())}
    gone: set[str] = set()
    for turn in body["messages"]:
        for block in _changes(turn):
            if block["type"] not in ("tool_addition", "tool_removal") or block["tool"]["type"].startswith("mcp_"):
                continue
            tool = block["tool"].get("definition") or block["tool"]
            name = str(tool.get("name"))
            if block["type"] == "tool_removal":
                gone.add(name)
                continue
            gone.discard(name)
            if "definition" in block["tool"]:
                known[name] = tool
    return [tool for name, tool in known.items() if name not in gone]


def inner(body: Json) -> Json:
    """``tools``, ``tool_choice`` and ``parallel_tool_calls``."""
    found: Json = {"tools": [_tool(tool) for tool in offered(body)]}
    choice = body.get("tool_choice")
    if choice is None or not found["tools"]:
        return found
    kind = choice["type"]
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        found["tool_choice"] = "required" if kind == "any" else kind
    if choice.get("disable_parallel_tool_use") is not None:
        found["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    return found


def _tool(tool: Json) -> Json:
    if tool.get("type") not in (None, "custom"):
        return tool  # one of Anthropic's own: kept as it is, for those who know it
    function: Json = {"name": tool["name"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    function["parameters"] = tool["input_schema"]
    for name in ("strict", "defer_loading"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    told: Json = {"type": "function", "function": function}
    if tool.get("cache_control"):
        told["cache_control"] = tool["cache_control"]
    return told
