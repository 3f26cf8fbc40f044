"""Requests of Anthropic's Messages API, field by field (anthropic 2.12, types/message_create_params.py and its relatives)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from simulator.formats.wire_format import Json


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class _Block(_Strict, tag_field="type"):
    pass


class Cache(_Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Text(_Block, tag="text"):
    text: str
    cache_control: Cache | None = None
    citations: list[Any] | None = None


class Source(_Strict):
    type: Literal["base64", "url", "file", "text", "content"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Any = None


class Image(_Block, tag="image"):
    source: Source
    cache_control: Cache | None = None


class Document(_Block, tag="document"):
    source: Source
    cache_control: Cache | None = None
    citations: Json | None = None
    context: str | None = None
    title: str | None = None


class Thinking(_Block, tag="thinking"):
    thinking: str
    signature: str


class Redacted(_Block, tag="redacted_thinking"):
    data: str


class ToolUse(_Block, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]
    cache_control: Cache | None = None
    caller: Json | None = None
    toolset_name: str | None = None


class ToolResult(_Block, tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image | Document] = ""
    is_error: bool = False
    cache_control: Cache | None = None


class ToolAddition(_Block, tag="tool_addition"):
    tool: Json


class ToolRemoval(_Block, tag="tool_removal"):
    tool: Json


ToolChange = ToolAddition | ToolRemoval
"""In a system turn, with a beta."""
Block = Text | Image | Document | Thinking | Redacted | ToolUse | ToolResult | ToolAddition | ToolRemoval


class Message(_Strict):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """The content as blocks."""
        return [Text(self.content)] if isinstance(self.content, str) else self.content


class Metadata(_Strict):
    user_id: str | None = None


class ThinkingConfig(_Strict):
    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None


class ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class OutputFormat(_Strict):
    type: Literal["json_schema"]
    schema: Json


class OutputConfig(_Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class _Asked(_Strict, kw_only=True):
    model: str
    messages: list[Message]
    system: str | list[Text] | None = None
    tools: list[Json] = []
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: Cache | None = None
    speed: Literal["standard", "fast"] | None = None
    context_management: Json | None = None
    """With a beta."""

    @property
    def thinks(self) -> bool:
        """Thinking was switched on."""
        return self.thinking is not None and self.thinking.type != "disabled"


class CountRequest(_Asked, kw_only=True):
    """Of ``/v1/messages/count_tokens``."""


class MessagesRequest(_Asked, kw_only=True):
    """Of ``/v1/messages``."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    inference_geo: str | None = None


COUNT = msgspec.json.Decoder(CountRequest)
MESSAGES = msgspec.json.Decoder(MessagesRequest)
