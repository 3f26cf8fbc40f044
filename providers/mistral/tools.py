"""Tools and ``tool_choice`` of the inner language as Mistral's chat completions have them. Pure.

Source: types of the vendor's SDK (``mistralai`` 3.7), 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat.messages import schema_of, unsupported
from providers.chat.tool_choice import parse_tool_choice
from providers.types import Json

OWN_TYPES: Final = frozenset({"image_generation", "document_library", "connector"})
"""Types of the vendor's own tools that its chat takes (``ChatCompletionRequestTool``)."""


def set_tools(body: Mapping[str, Any], sent: Json) -> None:
    """Write the vendor's ``tools`` and ``tool_choice`` into ``sent``. Raises ``ProviderError`` (unsupported)."""
    choice = parse_tool_choice(body.get("tool_choice")).functions_only()
    names = choice.names
    tools = []
    for tool in body.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        function = tool.get("function") if kind == "function" else None
        if isinstance(function, dict):
            if names is None or choice.function is not None or function.get("name") in names:
                tools.append({"type": "function", "function": _function(function)})
        elif kind in OWN_TYPES:
            tools.append({name: value for name, value in tool.items() if name != "cache_control"})
        else:
            raise unsupported("tools", f"this provider has no tools of type {str(kind)[:80]!r}")
    if not tools:
        sent.pop("parallel_tool_calls", None)
        return
    sent["tools"] = tools
    if choice.function is not None:
        sent["tool_choice"] = {"type": "function", "function": {"name": choice.function}}
    elif body.get("tool_choice") is not None:
        sent["tool_choice"] = "any" if choice.mode == "required" else choice.mode


def _function(function: Json) -> Json:
    described: Json = {"name": function.get("name"), "parameters": schema_of(function)}
    for name, kind in (("description", str), ("strict", bool)):
        if isinstance(function.get(name), kind):
            described[name] = function[name]
    return described
