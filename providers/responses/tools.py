"""Tools and ``tool_choice`` of the inner language as the Responses API has them. Pure.

A function tool of the Responses API is strict unless it says otherwise; in chat it is the other way round. So ``strict`` always
goes out (types of the openai SDK 3.54, 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat.tool_choice import ChosenTool, parse_tool_choice
from providers.responses.messages import unsupported
from providers.types import Json

_OPENROUTER_SEARCH: Final = "openrouter:web_search"
_CALLERS_TOOLS: Final = frozenset(
    {
        "computer",
        "computer_use",
        "computer_use_preview",
        "local_shell",
        "shell",
        "apply_patch",
        "tool_search",
        "namespace",
    }
)
"""Tools whose calls the caller would have to execute; a chat message cannot hold such calls."""
_NEEDS_SEARCH: Final = ("defer_loading",)
"""Fields that the vendor takes only beside the tool ``tool_search``, which is one of ``_CALLERS_TOOLS``."""


def response_tools(body: Mapping[str, Any]) -> list[Json]:
    """The vendor's ``tools``, from ``tools`` and ``web_search_options``. Raises ``ProviderError`` (unsupported)."""
    tools = [response_tool(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or ())]
    search = body.get("web_search_options")
    if isinstance(search, dict) and not any(tool["type"].startswith("web_search") for tool in tools):
        tools.append(_search(search, "web_search_options"))
    return tools


def response_tool(tool: Any, where: str) -> Json:
    """One tool. ``where``: its place in the request, for errors. Raises ``ProviderError`` (unsupported)."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    nested = tool.get(kind) if kind in ("function", "custom") else None
    if isinstance(nested, dict):
        known = {name: value for name, value in nested.items() if value is not None and name not in _NEEDS_SEARCH}
        flat = {"type": kind} | known
        if kind == "function":
            flat.setdefault("parameters", {"type": "object", "properties": {}})
            flat.setdefault("strict", False)
        elif isinstance(nested.get("format"), dict) and isinstance(nested["format"].get("grammar"), dict):
            flat["format"] = {"type": "grammar", **nested["format"]["grammar"]}
        return flat
    if not isinstance(kind, str) or kind in _CALLERS_TOOLS:
        raise unsupported(where, f"a chat message cannot hold calls of a tool of type {kind!r}")
    if kind == "mcp" and tool.get("require_approval") != "never":
        raise unsupported(f"{where}.require_approval", "a chat client cannot approve a call")
    if kind == _OPENROUTER_SEARCH:
        parameters = tool.get("parameters")
        return _search({**tool, **(parameters if isinstance(parameters, dict) else {})}, where)
    if kind.startswith("openrouter:"):
        raise unsupported(where, f"{kind} is not a tool of the vendor's")
    return {name: value for name, value in tool.items() if name not in ("cache_control", *_NEEDS_SEARCH)}


def _search(options: Json, where: str) -> Json:
    """The vendor's web search from OpenRouter's tool or chat's ``web_search_options``."""
    if options.get("engine") not in (None, "auto", "native"):
        raise unsupported(f"{where}.engine", "only the vendor's own search")
    if options.get("excluded_domains"):
        raise unsupported(f"{where}.excluded_domains", "domains can only be allowed")
    tool: Json = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = options["search_context_size"]
    location = options.get("user_location")
    if isinstance(location, dict):
        approximate = location.get("approximate")
        tool["user_location"] = {"type": "approximate", **(approximate if isinstance(approximate, dict) else location)}
    if options.get("allowed_domains"):
        tool["filters"] = {"allowed_domains": options["allowed_domains"]}
    return tool


def response_tool_choice(choice: Any) -> Any:
    """The vendor's ``tool_choice``. Raises ``ProviderError`` (unsupported)."""
    parsed = parse_tool_choice(choice)
    if parsed.tools is None:
        return parsed.mode
    tools = [_named_tool(tool) for tool in parsed.tools]
    if parsed.is_list:
        return {"type": "allowed_tools", "mode": parsed.mode, "tools": tools}
    if parsed.tools[0].type == _OPENROUTER_SEARCH:  # the SDK's types force a search only by way of the allowed tools
        return {"type": "allowed_tools", "mode": "required", "tools": tools}
    return tools[0]


def is_openrouter_type(value: Any) -> bool:
    """Whether an object is of one of OpenRouter's own types."""
    return isinstance(value, dict) and str(value.get("type")).startswith("openrouter:")


def _named_tool(tool: ChosenTool) -> Json:
    if tool.type in ("function", "custom"):
        return {"type": tool.type, "name": tool.name}
    return {"type": "web_search"} if tool.type == _OPENROUTER_SEARCH else tool.raw
