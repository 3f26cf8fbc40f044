"""Tools, tool choice and structured answers of the inner language as Converse's ``toolConfig`` and ``outputConfig``. Pure.

Structured output is a forced tool whose input is the answer, or ``outputConfig.textFormat`` where the model has it
(docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html, 2026-11). Converse has no ``tool_choice`` "none": tools
are left out then, unless the conversation holds calls, which it refuses to read without them. An empty description is refused
(github.com/anomalyco/opencode/pull/48582).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from providers.chat.messages import JSON_ONLY, STRUCTURED_TOOL, unsupported
from providers.types import Json

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Answer(NamedTuple):
    """What ``response_format`` asks for: a tool to force, a native format, an instruction, or none of them."""

    tool: Json | None = None
    native: Json | None = None
    system: tuple[Json, ...] = ()


def answer(asked: Any, *, native: bool) -> Answer:
    """Raises ``ProviderError``: unsupported."""
    given = asked if isinstance(asked, dict) else {}
    kind = given.get("type", "text")
    if kind == "text":
        return Answer()
    if kind == "json_object":
        return Answer(system=({"text": JSON_ONLY},))
    wanted = given.get("json_schema")
    if kind != "json_schema" or not isinstance(wanted, dict):
        raise unsupported("response_format.type", f"{kind!r}")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        schema = {"type": "object"}
    if native:
        definition = {"schema": msgspec.json.encode(schema).decode()}
        definition |= {name: wanted[name] for name in ("name", "description") if isinstance(wanted.get(name), str)}
        return Answer(native={"type": "json_schema", "structure": {"jsonSchema": definition}})
    if schema.get("type") != "object":
        raise unsupported("response_format.json_schema.schema", "must describe an object")
    about = wanted.get("description")
    return Answer(spec(STRUCTURED_TOOL, schema, f"Give the whole answer with this. {about or ''}".strip()))


def specs(tools: Any, *, strict: bool) -> list[tuple[Json, Any]]:
    """Each tool's specification and its ``cache_control``; ``strict`` goes with models that constrain their output.

    Raises ``ProviderError``: unsupported, naming the tool.
    """
    made: list[tuple[Json, Any]] = []
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        place = f"tools[{index}]"
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            raise unsupported(f"{place}.type", "this vendor takes functions only")
        name = function.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise unsupported(f"{place}.function.name", "must be of at most 64 letters, digits, _ and -")
        if name == STRUCTURED_TOOL:
            raise unsupported(f"{place}.function.name", "is reserved")
        one = spec(name, function.get("parameters"), function.get("description"))
        if strict and function.get("strict") is True:
            one["toolSpec"]["strict"] = True
        made.append((one, tool.get("cache_control")))
    return made


def spec(name: str, parameters: Any, description: Any = None) -> Json:
    """One tool. Without parameters it takes an empty object."""
    schema = parameters if isinstance(parameters, dict) and parameters else {"type": "object", "properties": {}}
    made: Json = {"name": name, "inputSchema": {"json": schema}}
    if isinstance(description, str) and description.strip():
        made["description"] = description
    return {"toolSpec": made}


def tool_config(tools: list[Json], used: Iterable[str], asked: Any, wanted: Json | None) -> Json | None:
    """``toolConfig`` of the caller's ``tools``, the tools ``used`` in the conversation, ``tool_choice`` as ``asked`` and the
    tool of a structured answer if one is ``wanted``. None: no tools at all. Raises ``ProviderError``: unsupported."""
    # Calls in the conversation are refused without their tools; what those took is not known any more.
    kept = tools or [spec(name, {"type": "object"}) for name in used]
    choice = _choice(asked) if tools else None
    if asked == "none" and not list(used):
        kept = []
    if wanted is not None and not (choice and choice.keys() & {"any", "tool"}):
        # A caller who demands one of its own tools in this turn wants no final answer yet.
        kept = [*kept, wanted]
        alone = asked == "none" or not tools
        choice = {"tool": {"name": STRUCTURED_TOOL}} if alone else {"any": {}}
    if not kept:
        return None
    return {"tools": kept, "toolChoice": choice} if choice else {"tools": kept}


def _choice(asked: Any) -> Json | None:
    if asked in (None, "none"):
        return None
    if asked in ("auto", "validated"):
        return {"auto": {}}
    if asked in ("required", "any"):
        return {"any": {}}
    function = asked.get("function") if isinstance(asked, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"tool": {"name": function["name"]}}
    raise unsupported("tool_choice", "is nothing that this vendor can force")
