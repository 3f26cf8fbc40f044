"""The documented fields of ``POST /messages`` and ``/messages/count_tokens`` as types: for validation and the OpenAPI page.

Unknown fields are accepted and passed on to endpoints of the same format. The fields of Anthropic's own tools
(``web_search_20250305``, ``bash_20250124`` ...) are not checked: only the vendor that runs them knows them. Sources: Anthropic's
Python SDK 2.12.0 and OpenRouter's API reference, read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import CacheControl, Name, Share, Tokens
from gateway.api.inference.field_types import convert, require_model
from gateway.api.inference.messages import tools as messages_tools
from gateway.api.inference.messages.blocks import AssistantTurn, Filled, Json, SystemTurn, TextBlock, UserTurn
from gateway.errors import BadRequest, NotFound

EndUser = Annotated[str, Meta(max_length=512)]


class MessagesTool(msgspec.Struct):
    """A tool of the caller's, or one of Anthropic's own, told apart by ``type``."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    cache_control: CacheControl | None = None


class MessagesToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024, le=2**31 - 1)] | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None


class JsonFormat(msgspec.Struct):
    type: Literal["json_schema"]
    schema: Json


class OutputConfig(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None
    task_budget: Json | None = None


class Fallback(msgspec.Struct, forbid_unknown_fields=True):
    model: Name


class EndUserMetadata(msgspec.Struct):
    user_id: EndUser | None = None


class Thread(msgspec.Struct):
    type: Literal["create", "continue"]
    previous_message_id: str | None = None


class CountTokensRequest(msgspec.Struct):
    """An Anthropic Messages request without the fields that shape the answer."""

    messages: Annotated[list[UserTurn | AssistantTurn | SystemTurn], Meta(min_length=1, max_length=4096)]
    model: Name | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    fallbacks: Annotated[list[Fallback], Meta(max_length=3)] | None = None
    provider: Json | None = None
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[MessagesTool], Meta(max_length=1024)] | None = None
    tool_choice: MessagesToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None
    cache_control: CacheControl | None = None


class MessagesRequest(CountTokensRequest):
    """An Anthropic Messages request with OpenRouter's routing fields."""

    max_tokens: Tokens | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: Annotated[list[Filled], Meta(max_length=64)] | None = None
    metadata: EndUserMetadata | None = None
    user: EndUser | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    thread: Thread | None = None
    trace: Json | None = None
    plugins: list[Json] | None = None


def check(body: Json, type_: type[CountTokensRequest]) -> None:
    """Raises BadRequest naming the field, what was expected and what came, and NotFound for the continuation of a thread."""
    convert(body, type_)
    require_model(body)
    if body.get("models") is not None and body.get("fallbacks") is not None:
        raise BadRequest("models and fallbacks exclude each other; send one of them.", field="fallbacks")
    if body.get("inference_geo") not in (None, "global"):
        raise BadRequest(
            "inference_geo: is not supported; choose a region with the provider field.",
            field="inference_geo",
        )
    if (body.get("thread") or {}).get("type") == "continue":
        raise NotFound(
            "thread: conversations are not stored here; send all messages of the conversation.",
            metadata={"field": "thread.previous_message_id", "error_code": "thread_not_found"},
        )
    messages_tools.check(body)
    _check_thinking(body)


def _check_thinking(body: Json) -> None:
    thinking = body.get("thinking")
    if thinking is None or thinking["type"] != "enabled":
        return
    budget, limit = thinking.get("budget_tokens"), body.get("max_tokens")
    if budget is None:
        raise BadRequest(
            "thinking.budget_tokens: is missing; enabled thinking needs a budget.", field="thinking.budget_tokens"
        )
    interleaved = bool(body.get("tools"))  # then the budget may span several turns of one answer
    if limit is not None and budget >= limit and not interleaved:
        raise BadRequest("thinking.budget_tokens: must be less than max_tokens.", field="thinking.budget_tokens")
