"""The documented fields of ``POST /responses`` as types: one source for validation and for the OpenAPI page.

Unknown top-level fields are accepted. Fields that need stored responses (``previous_response_id``, ``conversation``, ``prompt``,
``background``, ``store: true``, item references) are refused: nothing is stored. Fields and ranges: OpenAI's Python SDK 3.57 and
OpenRouter's 1.3.84, read 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import CacheControl, Effort, MetadataKey, Name, Penalty, Share, Tokens
from gateway.api.inference.field_types import convert, require_model
from gateway.errors import BadRequest

Json = dict[str, Any]


class Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Text(msgspec.Struct):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class ResponsesTool(msgspec.Struct):
    """``function``, ``custom`` and ``namespace`` by name; every other type passes as it is, if its vendor runs it."""

    type: str
    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    execution: Literal["server", "client"] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=512)] | None = None
    """Of a namespace: its functions and custom tools."""


class ResponsesReasoning(msgspec.Struct):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    max_tokens: Tokens | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    context: str | None = None
    mode: str | None = None


class ResponsesRequest(msgspec.Struct):
    """An OpenAI Responses request with OpenRouter's routing fields."""

    input: str | Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=8192)]
    model: Name | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Tokens | None = None
    max_tool_calls: Annotated[int, Meta(ge=0, le=1000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    parallel_tool_calls: bool | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    reasoning: ResponsesReasoning | None = None
    text: Text | None = None
    tools: Annotated[list[ResponsesTool], Meta(max_length=512)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    include: list[str] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[MetadataKey, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=512)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    service_tier: str | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    provider: dict[str, Any] | None = None
    route: str | None = None
    plugins: list[dict[str, Any]] | None = None
    cache_control: CacheControl | None = None
    modalities: list[Literal["text", "image"]] | None = None
    stream_options: dict[str, Any] | None = None
    trace: dict[str, Any] | None = None


_STORED = {
    "previous_response_id": "send the whole conversation in input instead",
    "conversation": "send the whole conversation in input instead",
    "prompt": "send the prompt's text in instructions and input instead",
}


def check(body: Json) -> None:
    """Raises BadRequest naming the field, what was expected and what came. ``item_schema`` checks the items of ``input``."""
    if body.get("input") is None:
        hint = "; for messages use /api/v1/chat/completions" if "messages" in body else ""
        raise BadRequest(f"input: is missing; send a text or a list of items{hint}.", field="input")
    convert(body, ResponsesRequest)
    require_model(body)
    _check_stateless(body)
    for key in body.get("metadata") or ():
        if "[" in key or "]" in key:
            raise BadRequest(f"metadata: the key {key!r} has brackets, which are not allowed.", field="metadata")
    reasoning = body.get("reasoning") or {}
    if reasoning.get("effort") is not None and reasoning.get("max_tokens") is not None:
        raise BadRequest(
            "reasoning.effort and reasoning.max_tokens exclude each other; send one of them.", field="reasoning"
        )
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        for name in ("name", "schema"):
            if form.get(name) is None:
                raise BadRequest(f"text.format.{name} is missing: json_schema needs it.", field=f"text.format.{name}")
    check_tools(body.get("tools") or (), "tools")


def check_tools(tools: Sequence[Json], field: str) -> None:
    """The names of tools, and the tools of namespaces. Raises BadRequest."""
    for index, tool in enumerate(tools):
        if tool["type"] in ("function", "custom", "namespace") and tool.get("name") is None:
            raise BadRequest(f"{field}[{index}].name is missing.", field=f"{field}[{index}].name")
        if tool["type"] != "namespace":
            continue
        for position, one in enumerate(tool.get("tools") or ()):
            where = f"{field}[{index}].tools[{position}]"
            convert(one, ResponsesTool, where)
            if one["type"] not in ("function", "custom"):
                raise BadRequest(
                    f"{where}.type: a namespace has tools of type function and custom, not {one['type']!r}.",
                    field=f"{where}.type",
                )
            if one.get("name") is None:
                raise BadRequest(f"{where}.name is missing.", field=f"{where}.name")


def _check_stateless(body: Json) -> None:
    for name, remedy in _STORED.items():
        if body.get(name) is not None:
            raise BadRequest(f"{name}: this API is stateless and stores nothing; {remedy}.", field=name)
    if body.get("store"):
        raise BadRequest("store: this API is stateless and stores nothing; send false or leave it out.", field="store")
    if body.get("background"):
        raise BadRequest(
            "background: answers are not stored, so none is made in the background; use stream.", field="background"
        )
