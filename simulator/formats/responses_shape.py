"""Requests of OpenAI's Responses API, field by field, and what it checks beyond types.

Fields: openai 3.57, types/responses/response_create_params.py and its relatives, and what Codex 0.171 sends (``client_metadata``,
``agent_message``; recorded 2026-11-30). Checks: platform.openai.com/docs/api-reference/
responses and /docs/guides/reasoning (2026-11), and the API's messages as quoted in issues of github.com/openai/openai-agents-python
and openai-python (2025 to 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import msgspec
from msgspec import Struct

from simulator.formats.signed import unseal
from simulator.formats.wire_format import Json, Refusal

MIN_OUTPUT_TOKENS = 16


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class Reasoning(_Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "all_turns", "current_turn"] | None = None
    mode: Literal["standard", "pro"] | None = None


class ResponsesRequest(_Strict):
    """Of ``/v1/responses``."""

    model: str
    input: str | list[Json] = ""
    instructions: str | None = None
    stream: bool | None = None
    stream_options: Json | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    store: bool | None = None
    text: Json | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Json | None = None
    client_metadata: dict[str, str] | None = None
    context_management: list[Json] | None = None
    moderation: Json | None = None
    prompt_cache_options: Json | None = None


class Message(_Strict):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Json]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class Call(_Strict):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None
    namespace: str | None = None


class Output(_Strict):
    """Of a function, of a custom tool, or of a patch."""

    type: Literal["function_call_output", "custom_tool_call_output", "apply_patch_call_output"]
    call_id: str
    output: str | list[Json] = ""
    id: str | None = None
    status: str | None = None
    name: str | None = None


class CustomCall(_Strict):
    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    id: str | None = None
    status: str | None = None
    namespace: str | None = None


class ActionCall(_Strict):
    """Of a shell or of a computer."""

    type: Literal["shell_call", "local_shell_call", "computer_call"]
    call_id: str
    id: str | None = None
    action: Json | None = None
    actions: list[Json] | None = None
    environment: Json | None = None
    pending_safety_checks: list[Json] | None = None
    status: str | None = None


class ActionOutput(_Strict):
    type: Literal["shell_call_output", "computer_call_output"]
    call_id: str
    output: list[Json] | Json
    id: str | None = None
    acknowledged_safety_checks: list[Json] | None = None
    max_output_length: int | None = None
    status: str | None = None


class PatchCall(_Strict):
    type: Literal["apply_patch_call"]
    call_id: str
    operation: Json
    status: Literal["in_progress", "completed"]
    id: str | None = None


class SearchCall(_Strict):
    type: Literal["tool_search_call"]
    arguments: Any
    call_id: str | None = None
    execution: Literal["server", "client"] = "server"
    id: str | None = None
    status: str | None = None


class Tools(_Strict):
    """Tools within the input: found by a search, or added by the developer."""

    type: Literal["tool_search_output", "additional_tools"]
    tools: list[Json]
    role: Literal["developer"] | None = None
    call_id: str | None = None
    execution: Literal["server", "client"] | None = None
    id: str | None = None
    status: str | None = None


class Record(Struct):
    """What the model reads as it is: what hosted tools did, a compacted conversation, another agent's message."""

    type: str
    id: str | None = None


class SummaryText(_Strict):
    text: str
    type: Literal["summary_text"]


class Thought(_Strict):
    type: Literal["reasoning"]
    summary: list[SummaryText]
    id: str | None = None
    encrypted_content: str | None = None
    content: list[Json] | None = None
    status: str | None = None


AnyCall = Call | CustomCall | ActionCall | PatchCall | SearchCall
AnyOutput = Output | ActionOutput
Item = Message | AnyCall | AnyOutput | Tools | Thought | Record
RECORDS = {
    *(
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
    ),
    *("mcp_approval_request", "mcp_approval_response", "compaction", "configuration_update", "agent_message"),
}
ITEMS: dict[str, type[Any]] = {
    "message": Message,
    "function_call": Call,
    "function_call_output": Output,
    "custom_tool_call": CustomCall,
    "custom_tool_call_output": Output,
    "shell_call": ActionCall,
    "shell_call_output": ActionOutput,
    "local_shell_call": ActionCall,
    "computer_call": ActionCall,
    "computer_call_output": ActionOutput,
    "apply_patch_call": PatchCall,
    "apply_patch_call_output": Output,
    "tool_search_call": SearchCall,
    "tool_search_output": Tools,
    "additional_tools": Tools,
    "reasoning": Thought,
    **dict.fromkeys(RECORDS, Record),
}
PREFIXES: dict[type[Any], str] = {Message: "msg", Call: "fc", CustomCall: "ctc", Output: "", Thought: "rs"}
NEEDS_ID = RECORDS - {"mcp_approval_response", "compaction", "configuration_update", "agent_message"}
PARTS = {"assistant": ("output_text", "refusal")}
USER_PARTS = ("input_text", "input_image", "input_file", "input_audio")
REQUEST = msgspec.json.Decoder(ResponsesRequest)


def check(body: ResponsesRequest, items: list[Item], reasons: bool) -> None:
    """Raises ``Refusal``. ``reasons``: the model reasons."""
    bound = body.max_output_tokens
    if bound is not None and bound < MIN_OUTPUT_TOKENS:
        text = "Invalid 'max_output_tokens': integer below minimum value. "
        text += f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {bound} instead."
        raise Refusal(400, text, param="max_output_tokens", code="integer_below_min_value")
    if body.previous_response_id is not None:
        text = f"Previous response with id '{body.previous_response_id}' not found."
        raise Refusal(400, text, param="previous_response_id", code="previous_response_not_found")
    _check_tools(body.tools or (), "tools")
    if body.tools and not any(tool.get("type") == "tool_search" for tool in body.tools):
        for at, tool in enumerate(body.tools):
            if tool.get("defer_loading"):
                raise Refusal(400, f"'tools[{at}].defer_loading' requires the tool_search tool.", param="tools")
    thoughts: set[str] = set()
    """Ids of the reasoning that came back."""
    for at, item in enumerate(items):
        _check_id(item, at)
        if isinstance(item, Message):
            _check_parts(item, at)
        elif isinstance(item, Thought):
            thoughts.add(_owner(item, at))
            following = items[at + 1] if at + 1 < len(items) else None
            if (
                not isinstance(following, AnyCall | Thought | Record)
                and getattr(following, "role", None) != "assistant"
            ):
                text = f"Item '{item.id}' of type 'reasoning' was provided without its required following item."
                raise Refusal(400, text, param="input")
        elif isinstance(item, Call) and reasons:
            _check_reasoned(item, thoughts)
        elif isinstance(item, Tools):
            _check_tools(item.tools, f"input[{at}].tools")
        elif isinstance(item, Record) and item.type in NEEDS_ID and not item.id:
            _missing(f"input[{at}].id")
    _check_pairs(items)


def _check_tools(tools: Sequence[Json], where: str) -> None:
    for at, tool in enumerate(tools):
        if tool.get("type") in ("function", "custom", "namespace") and not isinstance(tool.get("name"), str):
            _missing(f"{where}[{at}].name")
        if tool.get("type") == "namespace":
            _check_tools(tool.get("tools") or (), f"{where}[{at}].tools")


def _missing(place: str) -> NoReturn:
    raise Refusal(400, f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")


def _check_id(item: Item, at: int) -> None:
    prefix = PREFIXES.get(type(item), "")
    if item.id is not None and not item.id.startswith(prefix):
        text = f"Invalid 'input[{at}].id': '{item.id}'. Expected an ID that begins with '{prefix}'."
        raise Refusal(400, text, param=f"input[{at}].id", code="invalid_value")


def _check_parts(message: Message, at: int) -> None:
    if isinstance(message.content, str):
        return
    known = PARTS.get(message.role, USER_PARTS)
    for index, part in enumerate(message.content):
        if part.get("type") not in known:
            listed = ", ".join(f"'{name}'" for name in known)
            text = f"Invalid value: '{part.get('type')}'. Supported values are: {listed}."
            raise Refusal(400, text, param=f"input[{at}].content[{index}]", code="invalid_value")


def _owner(item: Thought, at: int) -> str:
    """The id of reasoning that came back whole. What is sealed may come without its id, but not under another one."""
    if item.encrypted_content is None:
        if item.id is None:
            _missing(f"input[{at}].id")
        text = f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false. "
        raise Refusal(
            404, text + "Try again with `store` set to true, or remove this item from your input.", param="input"
        )
    found = unseal(item.encrypted_content)
    why = "could not be decrypted or parsed" if found is None else "item_id did not match the target item id"
    if found is None or item.id not in (None, found[0]):
        text = f"The encrypted content for item {item.id} could not be verified. Reason: Encrypted content {why}."
        raise Refusal(400, text, code="invalid_encrypted_content")
    return found[0]


def _check_reasoned(item: Call, thoughts: set[str]) -> None:
    """An item of ours that was sent with reasoning must come back with it. Without ids this cannot be checked, at OpenAI either."""
    if item.id is None or not item.id.startswith("fc_sim"):
        return
    needed = "rs_sim" + item.id.removeprefix("fc_sim").partition("x")[0]
    if needed not in thoughts:
        text = (
            f"Item '{item.id}' of type 'function_call' was provided without its required 'reasoning' item: '{needed}'."
        )
        raise Refusal(400, text, param="input")


def _check_pairs(items: list[Item]) -> None:
    called = [item.call_id for item in items if isinstance(item, AnyCall) and item.call_id is not None]
    given = [item.call_id for item in items if isinstance(item, AnyOutput | Tools) and item.call_id is not None]
    for id in called:
        if id not in given:
            raise Refusal(400, f"No tool output found for function call {id}.", param="input")
    for id in given:
        if id not in called:
            raise Refusal(400, f"No tool call found for function call output with call_id {id}.", param="input")
