"""Tools, the choice among them and the format of the answer, in the inner language. Pure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from gateway.api.inference.validation import json_schema
from gateway.api.inference.validation.error_location import of_value, refused
from gateway.api.inference.validation.media import private_address
from gateway.errors import BadRequest
from providers.chat.tool_choice import ChosenTool, parse_tool_choice
from providers.errors import ProviderError

Json = dict[str, Any]
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
"""The widest rule of a vendor, Google's; OpenAI takes 64 characters without dots and colons, Anthropic 128 (SDKs of 2026-11)."""
KNOWN_LISTS, KNOWN_BYTES = 64, 2**16
"""Lists of tools that are known to be right, in each process, and the size of the largest of them as JSON."""
_FORMAT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check(body: Json, original: Json, encoded: bytes) -> None:
    """``body`` in the inner language, ``original`` as the caller wrote it, ``encoded`` the tools as JSON.

    Raises BadRequest naming the field.
    """
    tools = body.get("tools") or ()
    names: Mapping[str, str] | None = None
    if 0 < len(encoded) <= KNOWN_BYTES:
        with contextlib.suppress(BadRequest):
            names = _known_names(encoded)
    if names is None:
        names = _check_tools(tools, original)
    _check_choice(body.get("tool_choice"), tools, names)
    answer = body.get("response_format")
    if answer is not None and answer["type"] == "json_schema":
        _check_format(answer.get("json_schema"), original)


@lru_cache(KNOWN_LISTS)
def _known_names(encoded: bytes) -> Mapping[str, str]:
    """``_check_tools`` of tools as JSON. An agent sends the same ones with each turn: then they are looked up."""
    return _check_tools(msgspec.json.decode(encoded), {})


def _check_tools(tools: Sequence[Json], original: Json) -> Mapping[str, str]:
    """Name of a function → where it stands. Raises BadRequest."""
    names: dict[str, str] = {}
    for index, tool in enumerate(tools):
        field = f"tools[{index}]"
        if tool["type"] == "function":
            _check_function(tool.get("function"), field, names, original)
        elif isinstance(tool.get("server_url"), str):
            # opened by the vendor, which may run inside the operator's network
            problem = private_address(tool["server_url"])
            if problem:
                raise refused(f"{field}.server_url", problem)
    return names


def _check_function(function: Any, tool: str, names: dict[str, str], original: Json) -> None:
    if not isinstance(function, dict):
        raise refused(f"{tool}.function", "is missing; a tool of type function needs one")
    name, schema = function["name"], function.get("parameters")
    if not _TOOL_NAME.fullmatch(name):
        allowed = "1 to 128 letters, digits, underscores, dashes, dots and colons"
        raise refused(f"{tool}.function.name", f"{name[:64]!r} is not a tool's name; use {allowed}")
    if name in names:
        raise refused(f"{tool}.function.name", f"{name!r} is the name of {names[name]} already; names must be unique")
    names[name] = tool
    if schema is not None:
        field = f"{tool}.function.parameters"
        _check_schema(schema, field, original)
        root = schema.get("type")
        if root is not None and "object" not in root:
            field = of_value(original, schema, field)
            raise refused(f"{field}.type", f"a tool's arguments are an object, not {root!r}")


def _check_choice(choice: Any, tools: Any, names: Mapping[str, str]) -> None:
    """``auto`` and ``none`` are accepted without tools: they ask for nothing."""
    if choice in (None, "auto", "none"):
        return
    if not tools:
        raise refused("tool_choice", "there are no tools to choose from; send tools or leave it out")
    if isinstance(choice, dict) and choice.get("type") == "function" and ChosenTool.of(choice).name is None:
        raise refused("tool_choice.function.name", "is missing")
    try:
        chosen = parse_tool_choice(choice)
    except ProviderError:
        raise refused("tool_choice", "must be none, auto, required, a tool's type and name, or allowed_tools") from None
    for index, tool in enumerate(chosen.tools or ()):
        if tool.type == "function" and tool.name not in names:
            field = f"tool_choice.tools[{index}]" if chosen.is_list else "tool_choice"
            raise refused(f"{field}.function.name", f"no tool is called {str(tool.name)[:64]!r}")


def _check_format(format: Any, original: Json) -> None:
    field = "response_format.json_schema"
    if not isinstance(format, dict):
        raise refused(field, "is missing; give it a name and a schema")
    name, schema, strict = format.get("name"), format.get("schema"), format.get("strict")
    if not isinstance(name, str) or not _FORMAT_NAME.fullmatch(name):
        raise refused(f"{field}.name", "must be 1 to 64 letters, digits, underscores and dashes")
    if schema is None:
        raise refused(f"{field}.schema", "is missing")
    if not isinstance(schema, dict):
        raise refused(f"{field}.schema", "must be an object")
    if strict is not None and not isinstance(strict, bool):
        raise refused(f"{field}.strict", "must be true or false")
    _check_schema(schema, f"{field}.schema", original)


def _check_schema(schema: Json, inner: str, original: Json) -> None:
    try:
        json_schema.check(schema)
    except json_schema.NotJsonSchema as error:
        field = of_value(original, schema, inner) + error.path
        raise refused(field, f"not JSON Schema: {error.problem}") from None
