"""Requests of OpenAI's Responses API, field by field, and what it checks beyond types.

Fields: openai 3.54, types/responses/response_create_params.py and its relatives. Checks: platform.openai.com/docs/api-reference/
responses and /docs/guides/reasoning (2026-11), and the API's messages as quoted in issues of github.com/openai/openai-agents-python
and openai-python (2025 to 2026).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from simulator.formats.signed import unseal
from simulator.formats.wire_format import Json, Refusal

MIN_OUTPUT_TOKENS = 16


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class Reasoning(_Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


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


class Output(_Strict):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[Json]
    id: str | None = None
    status: str | None = None


class SummaryText(_Strict):
    text: str
    type: Literal["summary_text"]


class Thought(_Strict):
    type: Literal["reasoning"]
    id: str
    summary: list[SummaryText]
    encrypted_content: str | None = None
    content: list[Json] | None = None
    status: str | None = None


Item = Message | Call | Output | Thought
ITEMS: dict[str, type[Message] | type[Call] | type[Output] | type[Thought]] = {
    "message": Message,
    "function_call": Call,
    "function_call_output": Output,
    "reasoning": Thought,
}
PREFIXES: dict[type[Any], str] = {Message: "msg", Call: "fc", Output: "fc", Thought: "rs"}
PARTS = {"assistant": ("output_text", "refusal")}
USER_PARTS = ("input_text", "input_image", "input_file", "input_audio")
REQUEST = msgspec.json.Decoder(ResponsesRequest)


def check(body: ResponsesRequest, items: list[Item], reasons: bool) -> dict[str, str]:
    """Raises ``Refusal``; returns the reasoning that came back, by its item's id. ``reasons``: the model reasons."""
    bound = body.max_output_tokens
    if bound is not None and bound < MIN_OUTPUT_TOKENS:
        text = "Invalid 'max_output_tokens': integer below minimum value. "
        text += f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {bound} instead."
        raise Refusal(400, text, param="max_output_tokens", code="integer_below_min_value")
    if body.previous_response_id is not None:
        text = f"Previous response with id '{body.previous_response_id}' not found."
        raise Refusal(400, text, param="previous_response_id", code="previous_response_not_found")
    for at, tool in enumerate(body.tools or ()):
        if tool.get("type") == "function" and not isinstance(tool.get("name"), str):
            where = f"tools[{at}].name"
            raise Refusal(
                400, f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter"
            )
    thoughts: dict[str, str] = {}
    for at, item in enumerate(items):
        _check_id(item, at)
        if isinstance(item, Message):
            _check_parts(item, at)
        elif isinstance(item, Thought):
            thoughts[item.id] = _opened(item)
            following = items[at + 1] if at + 1 < len(items) else None
            if not isinstance(following, Call | Thought) and getattr(following, "role", None) != "assistant":
                text = f"Item '{item.id}' of type 'reasoning' was provided without its required following item."
                raise Refusal(400, text, param="input")
        elif isinstance(item, Call) and reasons:
            _check_reasoned(item, thoughts)
    _check_pairs(items)
    return thoughts


def _check_id(item: Item, at: int) -> None:
    prefix = PREFIXES[type(item)]
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


def _opened(item: Thought) -> str:
    if item.encrypted_content is None:
        text = f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false. "
        raise Refusal(
            404, text + "Try again with `store` set to true, or remove this item from your input.", param="input"
        )
    found = unseal(item.encrypted_content)
    why = "could not be decrypted or parsed" if found is None else "item_id did not match the target item id"
    if found is None or found[0] != item.id:
        text = f"The encrypted content for item {item.id} could not be verified. Reason: Encrypted content {why}."
        raise Refusal(400, text, code="invalid_encrypted_content")
    return found[1]


def _check_reasoned(item: Call, thoughts: dict[str, str]) -> None:
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
    called = [item.call_id for item in items if isinstance(item, Call)]
    given = [item.call_id for item in items if isinstance(item, Output)]
    for id in called:
        if id not in given:
            raise Refusal(400, f"No tool output found for function call {id}.", param="input")
    for id in given:
        if id not in called:
            raise Refusal(400, f"No tool call found for function call output with call_id {id}.", param="input")
