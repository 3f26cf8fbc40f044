"""Tools, tool choice and structured output of the inner language in Anthropic's format. Pure.

Facts from platform.claude.com/docs (tool-use, structured-outputs; 2026-11) and the types of the SDK (``anthropic`` 2.12):

- A schema for the answer is sent as ``output_config.format`` where the model has that; otherwise as a forced tool named
  ``STRUCTURED_TOOL`` whose input becomes the content (``response``). ``json_object`` becomes an instruction: without a schema
  a forced tool answers ``{}``.
- Constrained output requires every object to be closed and no schema to contain itself, so a schema with free-form maps or a
  recursive one is sent as a tool in any case.
- The vendor refuses a history with tool calls and a request without tools: the tools are then declared by name, with choice
  ``none``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.anthropic.messages import cache_of
from providers.chat.messages import JSON_ONLY, STRUCTURED_TOOL
from providers.chat.schema import is_recursive
from providers.chat.tool_choice import parse_tool_choice
from providers.errors import failed
from providers.types import Json

_VENDOR_TOOL = re.compile(r"[a-z][a-z0-9_]*_20\d{6}|mcp_toolset|tool_search_tool_(?:bm25|regex)")
_TOOL_SEARCH = "tool_search_tool_"
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_WEB_SEARCH = "web_search_20250305"


def add_tools(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    """``tools`` and ``tool_choice``, with ``parallel_tool_calls`` in it."""
    given = body.get("tools") or ()
    searched = any(str(tool.get("type")).startswith(_TOOL_SEARCH) for tool in given)
    tools = [_tool(options, tool, searched=searched) for tool in given]
    choice, allowed = _choice(body.get("tool_choice"))
    if allowed is not None:
        tools = [tool for tool in tools if tool.get("name") in allowed]
    search = body.get("web_search_options")
    if isinstance(search, dict):
        tools.append(_web_search(options, search))
    if not tools:
        names = dict.fromkeys(
            block["name"] for turn in sent["messages"] for block in turn["content"] if block["type"] == "tool_use"
        )
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
        choice = {"type": "none"}
    if not tools:
        return
    sent["tools"] = tools
    if body.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        sent["tool_choice"] = choice


def is_own_tool(tool: Json) -> bool:
    """Whether a tool is written in this vendor's format: one that it runs itself, or a client's tool as it has them."""
    kind = tool.get("type")
    if not isinstance(kind, str):
        return False
    return bool(_VENDOR_TOOL.fullmatch(kind)) or (kind == "custom" and "input_schema" in tool)


def _tool(options: Mapping[str, Any], tool: Json, *, searched: bool) -> Json:
    """One tool; ``searched``: beside a tool search, without which a deferred tool could never be called."""
    kind = tool.get("type")
    if kind != "function":
        if is_own_tool(tool):
            return dict(tool)
        raise failed("unsupported", f"tools: Anthropic has no tool of type {str(kind)[:80]!r}")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise failed("unsupported", "tools: a function tool without a function")
    native = options.get("structured_outputs") == "native"
    schema = function.get("parameters")
    schema = schema if isinstance(schema, dict) else {}
    spec: Json = {"name": function.get("name"), "input_schema": {**schema, "type": "object"}}
    if isinstance(function.get("description"), str):
        spec["description"] = function["description"]
    if function.get("strict") is True and native and _can_constrain(spec["input_schema"]):
        spec["strict"], spec["input_schema"] = True, closed(spec["input_schema"])
    flags = ("eager_input_streaming", "defer_loading") if searched else ("eager_input_streaming",)
    for source in (tool, function):
        spec.update({name: source[name] for name in flags if isinstance(source.get(name), bool)})
        cache = cache_of(source)
        if cache is not None:
            spec["cache_control"] = cache
    return spec


def _choice(requested: Any) -> tuple[Json | None, frozenset[str] | None]:
    """The vendor's ``tool_choice``, and the names that it narrows the tools to. Raises ``ProviderError`` (unsupported)."""
    if requested is None:
        return None, None
    choice = parse_tool_choice(requested).functions_only()
    if choice.function is not None:  # one function is forced; the others stay declared
        return {"type": "tool", "name": choice.function}, None
    return {"type": _CHOICES[choice.mode]}, choice.names


def _web_search(options: Mapping[str, Any], search: Json) -> Json:
    tool = {"type": options.get("web_search_tool", _WEB_SEARCH), "name": "web_search"}
    location = search.get("user_location")
    location = location.get("approximate", location) if isinstance(location, dict) else None
    if isinstance(location, dict):
        names = ("city", "country", "region", "timezone")
        known = {name: location[name] for name in names if isinstance(location.get(name), str)}
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def add_format(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    """``response_format``. Raises ``ProviderError`` (unsupported)."""
    requested = body.get("response_format")
    requested = requested if isinstance(requested, dict) else {}
    kind = requested.get("type")
    if kind == "json_object":
        sent["system"] = [*sent.get("system", ()), {"type": "text", "text": JSON_ONLY}]
        return
    if kind != "json_schema":
        if kind not in (None, "text"):
            raise failed("unsupported", f"response_format: Anthropic has no {str(kind)[:80]!r}")
        return
    spec = requested.get("json_schema")
    schema = spec.get("schema") if isinstance(spec, dict) else None
    schema = schema if isinstance(schema, dict) else {"type": "object"}
    if options.get("structured_outputs") == "native" and _can_constrain(schema):
        known = sent.get("output_config")
        form = {"type": "json_schema", "schema": closed(schema)}
        sent["output_config"] = {**(known if isinstance(known, dict) else {}), "format": form}
        return
    if schema.get("type", "object") != "object":
        raise failed("unsupported", "response_format: the schema's root must be an object")
    choice = sent.get("tool_choice", {"type": "auto"})
    if choice["type"] in ("any", "tool"):
        return  # the caller forces one of its own tools: this turn is not the final answer
    description = spec.get("description") if isinstance(spec, dict) else None
    description = description if isinstance(description, str) else ""
    tool = {
        "name": STRUCTURED_TOOL,
        "description": f"Give the final answer to the user by calling this. {description}".strip(),
        "input_schema": {**schema, "type": "object"},
    }
    others = bool(sent.get("tools")) and choice["type"] == "auto"
    forced = {"type": "any"} if others else {"type": "tool", "name": STRUCTURED_TOOL}
    sent["tools"] = [*sent.get("tools", ()), tool]
    sent["tool_choice"] = {**forced, "disable_parallel_tool_use": True}


_SCALARS = ("enum", "const", "description", "title", "default", "format", "pattern", "required")
_REFUSED = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems",
    "uniqueItems", "minProperties", "maxProperties", "patternProperties", "propertyNames", "contains", "minContains",
    "maxContains",
}  # fmt: skip
"""Constraints that the vendor's structured output refuses; they are moved to the description, as the vendor's SDK does."""


def _can_constrain(schema: Json) -> bool:
    """Whether the vendor can constrain its output to this schema; else it goes out as a tool that is not strict."""
    return not _has_maps(schema) and not is_recursive(schema)


def _has_maps(schema: Any) -> bool:
    """Whether the schema allows an object with keys that it does not name."""
    if isinstance(schema, list):
        return any(_has_maps(one) for one in schema)
    if not isinstance(schema, dict):
        return False
    names = schema.get("properties")
    free = schema.get("type") == "object" and not names and "$ref" not in schema
    inner = [value for key, value in schema.items() if key not in (*_SCALARS, "properties")]
    return free or _has_maps([*inner, *(names.values() if isinstance(names, dict) else ())])


def closed(schema: Json) -> Json:
    """A JSON schema as the vendor's constrained output takes it: closed objects, refused constraints in the description."""
    made: Json = {}
    extra: list[str] = []
    for name, value in schema.items():
        if name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            extra.append(f"{name}: {value}")
        elif name in _SCALARS:
            made[name] = value
        elif name in ("properties", "$defs", "definitions") and isinstance(value, dict):
            made[name] = {key: closed(one) if isinstance(one, dict) else one for key, one in value.items()}
        elif name == "oneOf" and isinstance(value, list):
            made["anyOf"] = [closed(one) if isinstance(one, dict) else one for one in value]
        elif isinstance(value, list):
            made[name] = [closed(one) if isinstance(one, dict) else one for one in value]
        else:
            made[name] = closed(value) if isinstance(value, dict) else value
    if made.get("type") == "object" or "properties" in made:
        made["additionalProperties"] = False
    if extra:
        made["description"] = f"{made.get('description', '')} {{{', '.join(extra)}}}".strip()
    return made
