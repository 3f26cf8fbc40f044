"""The documented fields of ``POST /chat/completions`` as types: one source for validation and for the OpenAPI page.

Unknown fields are accepted and passed on to providers that know them; a known field of a wrong type is refused. ``null`` is
accepted wherever a field is optional. Ranges: OpenRouter's API reference, read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.field_types import convert, require_model
from gateway.errors import BadRequest

Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(max_length=256)]
MetadataKey = Annotated[str, Meta(max_length=64)]
Url = Annotated[str, Meta(min_length=1)]


class TextPart(msgspec.Struct, tag="text", tag_field="type"):
    text: str


class ImageUrl(msgspec.Struct):
    url: Url
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(msgspec.Struct, tag="image_url", tag_field="type"):
    image_url: ImageUrl


class Audio(msgspec.Struct):
    data: str
    format: str


class AudioPart(msgspec.Struct, tag="input_audio", tag_field="type"):
    input_audio: Audio


class File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, tag="file", tag_field="type"):
    file: File


class VideoUrl(msgspec.Struct):
    url: Url


class VideoPart(msgspec.Struct, tag="video_url", tag_field="type"):
    video_url: VideoUrl


class LegacyVideoPart(msgspec.Struct, tag="input_video", tag_field="type"):
    input_video: dict[str, Any] | None = None


Part = TextPart | ImagePart | AudioPart | FilePart | VideoPart | LegacyVideoPart


class FunctionCall(msgspec.Struct):
    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """``id`` is missing in calls that some vendors made: their results are matched in order."""

    function: FunctionCall
    id: str | None = None
    type: Literal["function"] = "function"


NoCalls = Annotated[list[Any], Meta(max_length=0)] | None
"""Calls belong to an assistant's turn; some clients write an empty list into every message."""


class SystemMessage(msgspec.Struct, tag="system", tag_field="role"):
    content: str | list[TextPart]
    name: str | None = None
    tool_calls: NoCalls = None


class DeveloperMessage(msgspec.Struct, tag="developer", tag_field="role"):
    content: str | list[TextPart]
    name: str | None = None
    tool_calls: NoCalls = None


class UserMessage(msgspec.Struct, tag="user", tag_field="role"):
    content: str | list[Part]
    name: str | None = None
    tool_calls: NoCalls = None


class ReasoningDetail(msgspec.Struct):
    """As an answer gave it. A type or format that nobody knows passes, and whoever cannot take it leaves it out."""

    type: str
    format: str | None = None
    id: str | None = None
    index: int | None = None
    text: str | None = None
    signature: str | None = None
    summary: str | None = None
    data: str | None = None


class AssistantMessage(msgspec.Struct, tag="assistant", tag_field="role"):
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | str | None = None
    """A text: what opencode sends where its settings name this field for the reasoning (1.18, 2026-11)."""
    images: list[ImagePart] | None = None
    name: str | None = None


class ToolMessage(msgspec.Struct, tag="tool", tag_field="role"):
    content: str | list[Part]
    tool_call_id: str | None = None
    tool_calls: NoCalls = None


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class FunctionTool(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str
    function: FunctionTool | None = None


Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]


class Reasoning(msgspec.Struct):
    effort: Effort | None = None
    max_tokens: Tokens | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema", "grammar", "python"]
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None


class CacheControl(msgspec.Struct):
    type: Literal["ephemeral"]
    ttl: str | None = None


class ChatRequest(msgspec.Struct):
    """An OpenAI chat completion request with OpenRouter's routing fields."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=2048)]
    model: Name | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    provider: dict[str, Any] | None = None
    route: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    usage: dict[str, Any] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: Share | None = None
    top_a: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=512)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: bool | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    verbosity: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    modalities: list[Literal["text", "image", "audio"]] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    metadata: Annotated[dict[MetadataKey, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    prompt_cache_key: str | None = None
    cache_control: CacheControl | None = None
    service_tier: str | None = None
    transforms: list[str] | None = None
    plugins: list[dict[str, Any]] | None = None


def check(body: dict[str, Any]) -> None:
    """Raises BadRequest naming the field, what was expected and what came."""
    if body.get("messages") is None and body.get("prompt") is not None:
        raise BadRequest("messages: is missing; for a bare prompt use /api/v1/completions.", field="messages")
    convert(body, ChatRequest)
    require_model(body)
    both = body.get("max_tokens"), body.get("max_completion_tokens")
    if None not in both and both[0] != both[1]:
        raise BadRequest(
            "max_tokens and max_completion_tokens contradict each other; send one of them.", field="max_tokens"
        )
    effort, reasoning = body.get("reasoning_effort"), body.get("reasoning") or {}
    if effort is not None and reasoning.get("effort") not in (None, effort):
        raise BadRequest(
            "reasoning_effort and reasoning.effort contradict each other; send one of them.", field="reasoning_effort"
        )
    if reasoning.get("effort") is not None and reasoning.get("max_tokens") is not None:
        raise BadRequest(
            "reasoning.effort and reasoning.max_tokens exclude each other; send one of them.", field="reasoning"
        )
