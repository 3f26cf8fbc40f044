"""The types of the items in ``input`` of ``POST /responses``. They have no common tag: a message may have no ``type``.

Sources: OpenAI's Python SDK 3.57, OpenRouter's 1.3.84 and the requests of Codex 0.171, read 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import Url
from gateway.api.inference.field_types import convert
from gateway.api.inference.responses.schema import ResponsesReasoning, ResponsesTool, Text, check_tools
from gateway.errors import BadRequest

Json = dict[str, Any]
CallId = Annotated[str, Meta(min_length=1, max_length=512)]
ToolName = Annotated[str, Meta(min_length=1, max_length=256)]


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


class EncryptedPart(msgspec.Struct, tag="encrypted_content", tag_field="type"):
    """Only the vendor that made it can read it."""

    encrypted_content: str


Part = InputText | OutputText | Refusal | InputImage | InputFile | InputAudio | InputVideo
ResultPart = InputText | InputImage | InputFile | InputAudio | InputVideo | EncryptedPart


class Message(msgspec.Struct):
    """With or without ``type: message``."""

    role: Literal["user", "system", "developer", "assistant"]
    content: str | list[Part] | None = None
    phase: str | None = None


class AgentMessage(msgspec.Struct):
    """What one agent of a team wrote to another (Codex)."""

    author: str
    recipient: str
    content: list[ResultPart]


class FunctionCall(msgspec.Struct):
    call_id: CallId
    name: ToolName
    arguments: str
    namespace: str | None = None


class FunctionOutput(msgspec.Struct):
    """Without ``call_id``: of a function that the model has not called."""

    output: str | list[ResultPart]
    call_id: CallId | None = None
    name: str | None = None
    namespace: str | None = None


class CustomOutput(msgspec.Struct):
    call_id: CallId
    output: str | list[ResultPart]


class CustomToolCall(msgspec.Struct):
    call_id: CallId
    name: ToolName
    input: str
    namespace: str | None = None


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


class ShellCommands(msgspec.Struct):
    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class ShellCall(msgspec.Struct):
    call_id: CallId
    action: ShellCommands


class ShellOutput(msgspec.Struct):
    """Of each command: ``stdout``, ``stderr``, ``outcome``."""

    call_id: CallId
    output: list[dict[str, Any]]


class PatchOperation(msgspec.Struct):
    type: Literal["create_file", "update_file", "delete_file"]
    path: str
    diff: str | None = None


class PatchCall(msgspec.Struct):
    call_id: CallId
    operation: PatchOperation


class PatchOutput(msgspec.Struct):
    call_id: CallId
    status: Literal["completed", "failed"] = "completed"
    output: str | None = None


class ComputerCall(msgspec.Struct):
    call_id: CallId
    action: dict[str, Any] | None = None
    actions: list[dict[str, Any]] | None = None


class Screenshot(msgspec.Struct):
    image_url: Url | None = None
    file_id: str | None = None


class ComputerOutput(msgspec.Struct):
    call_id: CallId
    output: Screenshot


class SearchCall(msgspec.Struct):
    """Without ``call_id``: a search that the vendor ran."""

    arguments: Any
    call_id: CallId | None = None


class SearchOutput(msgspec.Struct):
    tools: list[ResponsesTool]
    call_id: CallId | None = None


class AdditionalTools(msgspec.Struct):
    """Tools that the request has beside ``tools``."""

    tools: list[ResponsesTool]


class ConfigurationUpdate(msgspec.Struct):
    reasoning: ResponsesReasoning | None = None
    text: Text | None = None


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
    "agent_message": AgentMessage,
    "function_call": FunctionCall,
    "function_call_output": FunctionOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomOutput,
    "local_shell_call": LocalShellCall,
    "local_shell_call_output": LocalShellOutput,
    "shell_call": ShellCall,
    "shell_call_output": ShellOutput,
    "apply_patch_call": PatchCall,
    "apply_patch_call_output": PatchOutput,
    "computer_call": ComputerCall,
    "computer_call_output": ComputerOutput,
    "tool_search_call": SearchCall,
    "tool_search_output": SearchOutput,
    "additional_tools": AdditionalTools,
    "configuration_update": ConfigurationUpdate,
    "reasoning": ReasoningItem,
    "image_generation_call": Image,
    "web_search_call": HostedRecord,
    "file_search_call": HostedRecord,
    "code_interpreter_call": HostedRecord,
    "mcp_list_tools": HostedRecord,
    "mcp_call": HostedRecord,
    "mcp_approval_request": HostedRecord,
    "mcp_approval_response": HostedRecord,
    "program": HostedRecord,
    "program_output": HostedRecord,
    "compaction": HostedRecord,
    "compaction_trigger": HostedRecord,
    "context_compaction": HostedRecord,
}
"""Item types of ``input``. Others exist, but have no meaning for any vendor but the one that made them."""
NATIVE_ONLY: Mapping[str, str] = {
    "compaction": "holds the earlier conversation, encrypted by the vendor that made it",
    "context_compaction": "holds the earlier conversation, encrypted by the vendor that made it",
    "compaction_trigger": "asks the vendor to compact the conversation",
    "program": "is a program that the vendor runs",
    "program_output": "is of a program that the vendor runs",
}
"""Item types without which the conversation would be another one, and that only a vendor of this API can read → why."""


def check_item(item: Json, index: int) -> str:
    """Check an item against the documented fields of its type; returns the type. Raises BadRequest."""
    kind = item.get("type")
    expected = ITEMS.get(kind) if isinstance(kind, str) else None
    if expected is None:
        kind = _other_type(item, f"input[{index}]")
        expected = ITEMS.get(kind)
        if expected is None:
            return kind
    try:
        msgspec.convert(item, expected)
    except msgspec.ValidationError:
        convert(item, expected, f"input[{index}]")  # once more, for the name of the field
    if expected is SearchOutput or expected is AdditionalTools:
        check_tools(item["tools"], f"input[{index}].tools")
    assert isinstance(kind, str)
    return kind


def _other_type(item: Json, field: str) -> str:
    """The type of an item that does not name one of ``ITEMS``: a message, or one of OpenRouter's. Raises BadRequest."""
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if item.keys() <= {"id", "type"} else None
    if kind == "item_reference":
        raise BadRequest(
            f"{field}: item_reference points at a stored item, and nothing is stored here; send the item itself.",
            field=field,
        )
    if isinstance(kind, str) and (kind == "message" or kind.startswith("openrouter:")):
        return kind
    raise BadRequest(
        f"{field}.type: {kind!r} is not an item type that is known here; known are {', '.join(ITEMS)}.",
        field=f"{field}.type",
    )
