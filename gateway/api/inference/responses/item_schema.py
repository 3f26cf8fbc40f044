"""The types of the items in ``input`` of ``POST /responses``. They have no common tag: a message may have no ``type``.

Sources: OpenAI's Python SDK 3.54 and OpenRouter's 1.3.84, read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import Url
from gateway.api.inference.field_types import convert
from gateway.errors import BadRequest

Json = dict[str, Any]
CallId = Annotated[str, Meta(min_length=1, max_length=512)]


class InputText(msgspec.Struct, tag="input_text", tag_field="type"):
    text: str


class OutputText(msgspec.Struct, tag="output_text", tag_field="type"):
    text: str


class Refusal(msgspec.Struct, tag="refusal", tag_field="type"):
    refusal: str


class InputImage(msgspec.Struct, tag="input_image", tag_field="type"):
    image_url: Url | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(msgspec.Struct, tag="input_file", tag_field="type"):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Audio(msgspec.Struct):
    data: str
    format: str


class InputAudio(msgspec.Struct, tag="input_audio", tag_field="type"):
    input_audio: Audio


class InputVideo(msgspec.Struct, tag="input_video", tag_field="type"):
    video_url: Url


Part = InputText | OutputText | Refusal | InputImage | InputFile | InputAudio | InputVideo
ResultPart = InputText | InputImage | InputFile | InputAudio | InputVideo


class Message(msgspec.Struct):
    """With or without ``type: message``."""

    role: Literal["user", "system", "developer", "assistant"]
    content: str | list[Part] | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(msgspec.Struct):
    call_id: CallId
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: str


class ToolOutput(msgspec.Struct):
    call_id: CallId
    output: str | list[ResultPart]


class CustomToolCall(msgspec.Struct):
    call_id: CallId
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str


class ShellAction(msgspec.Struct):
    command: list[str]
    env: dict[str, str] | None = None
    timeout_ms: int | None = None
    working_directory: str | None = None
    user: str | None = None


class LocalShellCall(msgspec.Struct):
    call_id: CallId
    action: ShellAction


class LocalShellOutput(msgspec.Struct):
    """OpenAI's type has the call's id in ``id``; ``call_id`` is taken as well."""

    output: str
    id: str | None = None
    call_id: str | None = None


class SummaryText(msgspec.Struct):
    text: str


class ReasoningItem(msgspec.Struct):
    id: str | None = None
    summary: list[SummaryText] | None = None
    content: list[SummaryText] | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    format: str | None = None


class HostedRecord(msgspec.Struct):
    """What a tool of the vendor's did in an earlier turn."""

    id: str | None = None


class Image(msgspec.Struct):
    result: str | None = None
    output_format: str | None = None


ITEMS: Mapping[str, type[msgspec.Struct]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": ToolOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": ToolOutput,
    "local_shell_call": LocalShellCall,
    "local_shell_call_output": LocalShellOutput,
    "reasoning": ReasoningItem,
    "image_generation_call": Image,
    "web_search_call": HostedRecord,
    "file_search_call": HostedRecord,
    "code_interpreter_call": HostedRecord,
    "mcp_list_tools": HostedRecord,
    "mcp_call": HostedRecord,
}
"""Item types of ``input``. Others exist, but have no meaning for any vendor but the one that made them."""


def check_item(item: Json, index: int) -> str:
    """Check an item against the documented fields of its type; returns the type. Raises BadRequest."""
    field = f"input[{index}]"
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if item.keys() <= {"id", "type"} else None
    if kind == "item_reference":
        raise BadRequest(
            f"{field}: item_reference points at a stored item, and nothing is stored here; send the item itself.",
            field=field,
        )
    if isinstance(kind, str) and kind.startswith("openrouter:"):
        return kind
    expected = ITEMS.get(kind) if isinstance(kind, str) else None
    if expected is None:
        raise BadRequest(
            f"{field}.type: {kind!r} is not an item type that is known here; known are {', '.join(ITEMS)}.",
            field=f"{field}.type",
        )
    assert isinstance(kind, str)
    convert(item, expected, field)
    return kind
