"""Tools, tool choice and structured output of the inner language as Converse's ``toolConfig`` and ``outputConfig``. Pure.

Structured output is a forced tool whose input is the answer, or ``outputConfig.textFormat`` where the model has it, for schemas
that do not contain themselves (docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html, 2026-11). Converse has no
``tool_choice`` "none": the tools are left out then, unless the conversation holds calls, which it refuses without tools. An empty
description is refused (github.com/anomalyco/opencode/pull/48582).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from providers.chat.messages import JSON_ONLY, STRUCTURED_TOOL, unsupported
from providers.chat.schema import is_recursive
from providers.chat.tool_choice import parse_tool_choice
from providers.types import Json


class StructuredOutput(NamedTuple):
    """How ``response_format`` is sent: a forced tool, a native format, an instruction for the system prompt, or nothing."""

    tool: Json | None = None
    native: Json | None = None
    system: tuple[Json, ...] = ()


def structured_output(requested: Any, *, native: bool) -> StructuredOutput:
    """``response_format`` for a model with (``native``) or without constrained output. Raises ``ProviderError``: unsupported."""
    fields = requested if isinstance(requested, dict) else {}
    kind = fields.get("type", "text")
    if kind == "text":
        return StructuredOutput()
    if kind == "json_object":
        return StructuredOutput(system=({"text": JSON_ONLY},))
    described = fields.get("json_schema")
    if kind != "json_schema" or not isinstance(described, dict):
        raise unsupported("response_format.type", f"{kind!r}")
    schema = described.get("schema")
    if not isinstance(schema, dict):
        schema = {"type": "object"}
    if native and not is_recursive(schema):
        definition = {"schema": msgspec.json.encode(schema).decode()}
        definition |= {
            name: described[name] for name in ("name", "description") if isinstance(described.get(name), str)
        }
        return StructuredOutput(native={"type": "json_schema", "structure": {"jsonSchema": definition}})
    if schema.get("type") != "object":
        raise unsupported("response_format.json_schema.schema", "must describe an object")
    description = described.get("description")
    return StructuredOutput(
        spec(STRUCTURED_TOOL, schema, f"Give the whole answer with this. {description or ''}".strip())
    )


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
        if not isinstance(name, str):
            raise unsupported(f"{place}.function.name", "is missing")
        if name == STRUCTURED_TOOL:
            raise unsupported(f"{place}.function.name", "is reserved")
        one = spec(name, function.get("parameters"), function.get("description"))
        parameters = function.get("parameters")
        if (
            strict
            and function.get("strict") is True
            and not (isinstance(parameters, dict) and is_recursive(parameters))
        ):
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


def tool_config(tools: list[Json], used: Iterable[str], tool_choice: Any, structured: Json | None) -> Json | None:
    """``toolConfig`` of the caller's ``tools``, the tools ``used`` in the conversation, the caller's ``tool_choice`` and the
    tool of a ``structured`` answer. None: no tools at all. Raises ``ProviderError``: unsupported."""
    # Converse refuses calls in the conversation without their tools, whose parameters are no longer known.
    kept = tools or [spec(name, {"type": "object"}) for name in used]
    choice = _choice(tool_choice) if tools else None
    if tool_choice == "none" and not list(used):
        kept = []
    if structured is not None and not (choice and choice.keys() & {"any", "tool"}):
        # A caller that forces one of its own tools does not expect the final answer in this turn.
        kept = [*kept, structured]
        alone = tool_choice == "none" or not tools
        choice = {"tool": {"name": STRUCTURED_TOOL}} if alone else {"any": {}}
    if not kept:
        return None
    return {"tools": kept, "toolChoice": choice} if choice else {"tools": kept}


def _choice(requested: Any) -> Json | None:
    if requested in (None, "none"):
        return None
    choice = parse_tool_choice(requested).functions_only()
    if choice.names is None:
        return {"any": {}} if choice.mode == "required" else {"auto": {}}
    if choice.mode == "required" and len(choice.names) == 1:
        return {"tool": {"name": next(iter(choice.names))}}
    raise unsupported("tool_choice", "this vendor can force one function or any, not a choice of some")
