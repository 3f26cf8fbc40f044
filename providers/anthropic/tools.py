"""Tools, tool choice and structured output of the inner language in Anthropic's words. Pure.

Facts from platform.claude.com/docs (tool-use, structured-outputs; 2026-11) and the types of the SDK (``anthropic`` 2.12):

- A schema for the answer goes out as ``output_config.format`` where the model has that; elsewhere as a tool of the name
  ``STRUCTURED_TOOL`` that must be called and whose input becomes the content (``anthropic_answer``). ``json_object``
  becomes an instruction: without a schema a forced tool answers ``{}``.
- Constrained output wants every object closed, so a schema with free-form maps takes the tool even where both exist.
- Calls in the history without any tools in the request are refused: the tools are then declared by name, not to be used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.anthropic.messages import cache_of
from providers.chat.messages import JSON_ONLY, STRUCTURED_TOOL
from providers.errors import failed
from providers.types import Json

_VENDOR_TOOL = re.compile(r"[a-z][a-z0-9_]*_20\d{6}|mcp_toolset")
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "any": "any", "validated": "auto"}
_WEB_SEARCH = "web_search_20250305"


def add_tools(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    """``tools`` and ``tool_choice``, with ``parallel_tool_calls`` in it."""
    tools = [_tool(options, tool) for tool in body.get("tools") or ()]
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


def _tool(options: Mapping[str, Any], tool: Json) -> Json:
    kind = tool.get("type")
    if kind != "function":
        if isinstance(kind, str) and (_VENDOR_TOOL.fullmatch(kind) or (kind == "custom" and "input_schema" in tool)):
            return dict(tool)
        raise failed("unsupported", f"tools: Anthropic has no tool of type {str(kind)[:80]!r}")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise failed("unsupported", "tools: a function tool without function")
    native = options.get("structured_outputs") == "native"
    schema = function.get("parameters")
    schema = schema if isinstance(schema, dict) else {}
    told: Json = {"name": function.get("name"), "input_schema": {**schema, "type": "object"}}
    if isinstance(function.get("description"), str):
        told["description"] = function["description"]
    if function.get("strict") is True and native and not _has_maps(told["input_schema"]):
        told["strict"], told["input_schema"] = True, closed(told["input_schema"])
    for source in (tool, function):
        told.update(
            {n: source[n] for n in ("eager_input_streaming", "defer_loading") if isinstance(source.get(n), bool)}
        )
        cache = cache_of(source)
        if cache is not None:
            told["cache_control"] = cache
    return told


def _choice(asked: Any) -> tuple[Json | None, set[str] | None]:
    """``tool_choice`` as the vendor spells it, and the names it narrows the tools to."""
    if asked is None:
        return None, None
    if isinstance(asked, str) and asked in _CHOICES:
        return {"type": _CHOICES[asked]}, None
    kind = asked.get("type") if isinstance(asked, dict) else None
    function = asked.get("function") if kind == "function" else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "tool", "name": function["name"]}, None
    allowed = asked.get("allowed_tools", asked) if kind == "allowed_tools" else None
    if isinstance(allowed, dict):
        listed = allowed.get("tools")
        functions = (
            [one.get("function", one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        )
        names = {one["name"] for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)}
        return {"type": "any" if allowed.get("mode") == "required" else "auto"}, names
    raise failed("unsupported", f"tool_choice: Anthropic cannot be told {str(asked)[:120]}")


def _web_search(options: Mapping[str, Any], asked: Json) -> Json:
    tool = {"type": options.get("web_search_tool", _WEB_SEARCH), "name": "web_search"}
    where = asked.get("user_location")
    place = where.get("approximate", where) if isinstance(where, dict) else None
    if isinstance(place, dict):
        known = {n: place[n] for n in ("city", "country", "region", "timezone") if isinstance(place.get(n), str)}
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def add_format(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    asked = body.get("response_format")
    asked = asked if isinstance(asked, dict) else {}
    kind = asked.get("type")
    if kind == "json_object":
        sent["system"] = [*sent.get("system", ()), {"type": "text", "text": JSON_ONLY}]
        return
    if kind != "json_schema":
        if kind not in (None, "text"):
            raise failed("unsupported", f"response_format: Anthropic has no {str(kind)[:80]!r}")
        return
    spec = asked.get("json_schema")
    schema = spec.get("schema") if isinstance(spec, dict) else None
    schema = schema if isinstance(schema, dict) else {"type": "object"}
    if options.get("structured_outputs") == "native" and not _has_maps(schema):
        known = sent.get("output_config")
        form = {"type": "json_schema", "schema": closed(schema)}
        sent["output_config"] = {**(known if isinstance(known, dict) else {}), "format": form}
        return
    if schema.get("type", "object") != "object":
        raise failed("unsupported", "response_format: the schema's root must be an object")
    choice = sent.get("tool_choice", {"type": "auto"})
    if choice["type"] in ("any", "tool"):
        return  # the caller demands one of its own tools in this turn: no final answer yet
    about = spec.get("description") if isinstance(spec, dict) else None
    tool = {
        "name": STRUCTURED_TOOL,
        "description": f"Give the final answer to the user by calling this. {about if isinstance(about, str) else ''}".strip(),
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
"""Constraints that the vendor's structured output refuses; they go into the description, as its own SDK does it."""


def _has_maps(schema: Any) -> bool:
    """Whether somewhere an object may have keys that the schema does not name."""
    if isinstance(schema, list):
        return any(_has_maps(one) for one in schema)
    if not isinstance(schema, dict):
        return False
    names = schema.get("properties")
    free = schema.get("type") == "object" and not names and "$ref" not in schema
    inner = [value for key, value in schema.items() if key not in (*_SCALARS, "properties")]
    return free or _has_maps([*inner, *(names.values() if isinstance(names, dict) else ())])


def closed(schema: Json) -> Json:
    """A JSON schema as the vendor's constrained output takes it: objects closed, constraints it refuses told in words."""
    told: Json = {}
    extra: list[str] = []
    for name, value in schema.items():
        if name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            extra.append(f"{name}: {value}")
        elif name in _SCALARS:
            told[name] = value
        elif name in ("properties", "$defs", "definitions") and isinstance(value, dict):
            told[name] = {key: closed(one) if isinstance(one, dict) else one for key, one in value.items()}
        elif name == "oneOf" and isinstance(value, list):
            told["anyOf"] = [closed(one) if isinstance(one, dict) else one for one in value]
        elif isinstance(value, list):
            told[name] = [closed(one) if isinstance(one, dict) else one for one in value]
        else:
            told[name] = closed(value) if isinstance(value, dict) else value
    if told.get("type") == "object" or "properties" in told:
        told["additionalProperties"] = False
    if extra:
        told["description"] = f"{told.get('description', '')} {{{', '.join(extra)}}}".strip()
    return told
