"""The turns and content blocks of the Messages API, as types.

Blocks are a closed list, so a misspelt type is refused; unknown *fields* of a block are accepted. Source: the request types of
Anthropic's Python SDK 2.12.0, beta included, read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import CacheControl, Url

Json = dict[str, Any]
Filled = Annotated[str, Meta(min_length=1)]


# -- sources of pictures and documents ---------------------------------------------------------------------------------


class Base64Source(msgspec.Struct, tag="base64", tag_field="type"):
    media_type: str
    data: Filled


class UrlSource(msgspec.Struct, tag="url", tag_field="type"):
    url: Url


class FileSource(msgspec.Struct, tag="file", tag_field="type"):
    file_id: Filled


class PlainTextSource(msgspec.Struct, tag="text", tag_field="type"):
    data: str
    media_type: str | None = None


# -- blocks ------------------------------------------------------------------------------------------------------------


class TextBlock(msgspec.Struct, tag="text", tag_field="type"):
    text: str
    cache_control: CacheControl | None = None
    citations: list[Json] | None = None


class ImageBlock(msgspec.Struct, tag="image", tag_field="type"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class ContentSource(msgspec.Struct, tag="content", tag_field="type"):
    content: str | list[TextBlock | ImageBlock]


class DocumentBlock(msgspec.Struct, tag="document", tag_field="type"):
    source: Base64Source | UrlSource | FileSource | PlainTextSource | ContentSource
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None
    citations: Json | None = None


class SearchResultBlock(msgspec.Struct, tag="search_result", tag_field="type"):
    source: str
    title: str
    content: list[TextBlock]
    cache_control: CacheControl | None = None


class ToolReferenceBlock(msgspec.Struct, tag="tool_reference", tag_field="type"):
    tool_name: str


class ToolResultBlock(msgspec.Struct, tag="tool_result", tag_field="type"):
    tool_use_id: Filled
    content: str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ContainerUploadBlock(msgspec.Struct, tag="container_upload", tag_field="type"):
    file_id: Filled


class ThinkingBlock(msgspec.Struct, tag="thinking", tag_field="type"):
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(msgspec.Struct, tag="redacted_thinking", tag_field="type"):
    data: str


class ToolUseBlock(msgspec.Struct, tag="tool_use", tag_field="type"):
    id: Filled
    name: Filled
    input: Json
    cache_control: CacheControl | None = None


class CompactionBlock(msgspec.Struct, tag="compaction", tag_field="type"):
    content: str | None = None


class ServerToolUseBlock(msgspec.Struct, tag="server_tool_use", tag_field="type"):
    id: Filled
    name: Filled
    input: Json


class McpToolUseBlock(ServerToolUseBlock, tag="mcp_tool_use", tag_field="type"):
    server_name: str | None = None


class _ServerResult(msgspec.Struct, tag_field="type", tag="server_tool_result"):
    tool_use_id: Filled
    content: Any = None


class WebSearchResultBlock(_ServerResult, tag="web_search_tool_result", tag_field="type"):
    pass


class WebFetchResultBlock(_ServerResult, tag="web_fetch_tool_result", tag_field="type"):
    pass


class CodeResultBlock(_ServerResult, tag="code_execution_tool_result", tag_field="type"):
    pass


class BashResultBlock(_ServerResult, tag="bash_code_execution_tool_result", tag_field="type"):
    pass


class EditorResultBlock(_ServerResult, tag="text_editor_code_execution_tool_result", tag_field="type"):
    pass


class ToolSearchResultBlock(_ServerResult, tag="tool_search_tool_result", tag_field="type"):
    pass


class AdvisorResultBlock(_ServerResult, tag="advisor_tool_result", tag_field="type"):
    pass


class McpResultBlock(_ServerResult, tag="mcp_tool_result", tag_field="type"):
    pass


UserBlock = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolResultBlock | ContainerUploadBlock
AssistantBlock = (
    TextBlock
    | ImageBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | CompactionBlock
    | ServerToolUseBlock
    | McpToolUseBlock
    | WebSearchResultBlock
    | WebFetchResultBlock
    | CodeResultBlock
    | BashResultBlock
    | EditorResultBlock
    | ToolSearchResultBlock
    | AdvisorResultBlock
    | McpResultBlock
    | ContainerUploadBlock
)


class UserTurn(msgspec.Struct, tag="user", tag_field="role"):
    content: str | list[UserBlock]


class AssistantTurn(msgspec.Struct, tag="assistant", tag_field="role"):
    content: str | list[AssistantBlock]


class ToolChange(msgspec.Struct):
    """A tool by value (``definition``) or by name; MCP references are Anthropic's own affair."""

    type: Literal["tool_definition", "tool_reference", "mcp_tool_reference", "mcp_toolset_reference"]
    name: str | None = None
    definition: Json | None = None


class ToolAdditionBlock(msgspec.Struct, tag="tool_addition", tag_field="type"):
    tool: ToolChange


class ToolRemovalBlock(msgspec.Struct, tag="tool_removal", tag_field="type"):
    tool: ToolChange


class SystemTurn(msgspec.Struct, tag="system", tag_field="role"):
    """Instructions, or a change of the tools, from this point of the conversation on."""

    content: str | list[TextBlock | ToolAdditionBlock | ToolRemovalBlock] | None = None
    clear_at: Literal["next_user_message", "never"] | None = None
