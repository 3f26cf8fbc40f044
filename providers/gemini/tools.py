"""Tools and tool choice of the inner language as Gemini's ``tools`` and ``functionCallingConfig``. Pure.

Sources: google-genai 3.4 ``types``, ai.google.dev/gemini-api/docs/function-calling, read 2026-11. Up to Gemini 2.5 functions
exclude Gemini's own tools.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.chat.tool_choice import parse_tool_choice
from providers.errors import failed
from providers.gemini.schema import json_schema, openapi
from providers.types import Json

NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
OWN_TOOLS: Final = {
    "google_search": "googleSearch",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "google_maps": "googleMaps",
}


def tools_of(body: Any, options: Mapping[str, Any]) -> tuple[list[Json], Json]:
    """``tools`` and ``functionCallingConfig``. Raises ``ProviderError`` (unsupported) naming the field."""
    choice, narrowed = _choice(body.get("tool_choice"))
    functions: list[Json] = []
    own: list[Json] = []
    for index, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type", "function") if isinstance(tool, dict) else None
        if kind == "function":
            declared = _function(tool.get("function"), options, f"tools[{index}].function")
            if narrowed is None or declared["name"] in narrowed:
                functions.append(declared)
        elif kind in OWN_TOOLS:
            own.append({OWN_TOOLS[kind]: {name: value for name, value in tool.items() if name != "type"}})
        else:
            raise failed("unsupported", f"tools[{index}].type {str(kind)[:40]!r} is unknown to Gemini")
    if isinstance(body.get("web_search_options"), dict) and not any("googleSearch" in tool for tool in own):
        own.append({"googleSearch": {}})
    if functions and own:
        # Gemini 3 on AI Studio allows both, but then its answers hold parts that no other vendor can take back.
        raise failed("unsupported", "functions and Gemini's own tools (web_search_options) exclude each other")
    return ([{"functionDeclarations": functions}] if functions else own), choice if functions else {}


def _function(function: Any, options: Mapping[str, Any], where: str) -> Json:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise failed("unsupported", f"{where} has no name")
    made: Json = {"name": name}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    schema = function.get("parameters")
    if schema:
        if options.get("schema") == "openapi":
            converted = openapi(schema, f"{where}.parameters")
            if converted.get(
                "properties"
            ):  # Gemini refuses an object without properties, but not a function without parameters
                made["parameters"] = converted
        else:
            converted = json_schema(schema, f"{where}.parameters")
            converted.setdefault("type", "object")
            made["parametersJsonSchema"] = converted
    return made


def _choice(requested: Any) -> tuple[Json, frozenset[str] | None]:
    """The calling config, and the names of the functions to declare (None: all of them)."""
    if requested is None:
        return {}, None
    choice = parse_tool_choice(requested).functions_only()
    if choice.mode == "auto":
        return {"mode": "AUTO"}, choice.names
    if choice.mode == "none":
        return {"mode": "NONE"}, None
    return {"mode": "ANY"} if choice.names is None else {
        "mode": "ANY",
        "allowedFunctionNames": sorted(choice.names),
    }, None
