"""Requests of Amazon Bedrock's Converse, field by field, and what it checks beyond types.

Fields and patterns: botocore 1.44, bedrock-runtime/2023-09-30/service-2.json. Checks: docs.aws.amazon.com/bedrock/latest/userguide/
conversation-inference.html and troubleshooting-api-error-codes.html (2026-11), messages as quoted in issues of
github.com/langchain-ai/langchain-aws and github.com/aws/aws-sdk-js-v3 (2024 to 2026).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from simulator.formats.signed import signed
from simulator.formats.wire_format import Json, Refusal

NonEmpty = Annotated[str, Meta(min_length=1)]
ToolName = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
ToolId = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_.:-]+$")]
MIN_BUDGET = 1_024


class _Strict(Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class ReasoningText(_Strict):
    text: str
    signature: str | None = None


class Reasoning(_Strict):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class ToolUse(_Strict):
    tool_use_id: ToolId
    name: ToolName
    input: Any
    type: str | None = None


class ResultContent(_Strict):
    text: str | None = None
    json: Any = None
    image: Json | None = None
    document: Json | None = None
    video: Json | None = None


class ToolResult(_Strict):
    tool_use_id: ToolId
    content: list[ResultContent]
    status: Literal["success", "error"] | None = None
    type: str | None = None


class CachePoint(_Strict):
    type: Literal["default"]
    ttl: Literal["5m", "1h"] | None = None


class Block(_Strict):
    text: str | None = None
    image: Json | None = None
    document: Json | None = None
    video: Json | None = None
    audio: Json | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    cache_point: CachePoint | None = None
    guard_content: Json | None = None
    citations_content: Json | None = None


class Message(_Strict):
    role: Literal["user", "assistant"]
    content: list[Block]


class System(_Strict):
    text: NonEmpty | None = None
    cache_point: CachePoint | None = None
    guard_content: Json | None = None


class InferenceConfig(_Strict):
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] | None = None


class InputSchema(_Strict):
    json: Json


class ToolSpec(_Strict):
    name: ToolName
    input_schema: InputSchema
    description: NonEmpty | None = None
    strict: bool | None = None


class Tool(_Strict):
    tool_spec: ToolSpec | None = None
    cache_point: CachePoint | None = None
    system_tool: Json | None = None


class ToolConfig(_Strict):
    tools: Annotated[list[Tool], Meta(min_length=1)]
    tool_choice: Json | None = None


class ConverseRequest(_Strict):
    """Of ``/model/{id}/converse`` and ``/converse-stream``."""

    messages: list[Message] = []
    system: list[System] = []
    inference_config: InferenceConfig = field(default_factory=InferenceConfig)
    tool_config: ToolConfig | None = None
    guardrail_config: Json | None = None
    additional_model_request_fields: Json = field(default_factory=dict)
    additional_model_response_field_paths: list[str] | None = None
    prompt_variables: Json | None = None
    request_metadata: dict[str, str] | None = None
    performance_config: Json | None = None
    service_tier: Json | None = None
    output_config: Json | None = None


REQUEST = msgspec.json.Decoder(ConverseRequest)


def thinks(body: ConverseRequest) -> bool:
    """Claude's thinking switch, which Converse passes through."""
    thinking = body.additional_model_request_fields.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def check(body: ConverseRequest, reasons: bool) -> None:
    """Raises ``Refusal``. ``reasons``: the model can think."""
    if not body.messages:
        raise Refusal(400, "The messages field is required: add at least one message, and try again.")
    if body.messages[0].role != "user":
        raise Refusal(
            400,
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        )
    for at, message in enumerate(body.messages):
        if at and body.messages[at - 1].role == message.role:
            raise Refusal(
                400,
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between "
                "user and assistant roles and try again.",
            )
        _check_message(message, at)
    _check_results(body)
    _check_thinking(body)
    if reasons and thinks(body):
        _check_tool_turn(body.messages)


def _check_message(message: Message, at: int) -> None:
    if not message.content:
        place = f"messages.{at}"
        raise Refusal(
            400,
            f"The content field in the Message object at {place} is empty. Add a ContentBlock object to the content "
            "field and try again.",
        )
    for index, block in enumerate(message.content):
        place = f"messages.{at}.content.{index}"
        given = [name for name in block.__struct_fields__ if getattr(block, name) is not None]
        if len(given) != 1:
            raise Refusal(
                400, f"The ContentBlock object at {place} must set one of the following keys: text, image, toolUse, ..."
            )
        if block.text is not None and not block.text.strip():
            raise Refusal(
                400,
                f"The text field in the ContentBlock object at {place} is blank. Add text to the text field, and try again.",
            )
        if block.tool_use is not None and not isinstance(block.tool_use.input, dict):
            raise Refusal(
                400,
                f"The format of the value at {place}.toolUse.input is invalid. Provide a json object for the field and try again.",
            )
        text = block.reasoning_content.reasoning_text if block.reasoning_content is not None else None
        if text is not None and (text.signature is None or not signed(text.signature, text.text)):
            raise _of_model(f"messages.{at}.content.{index}: Invalid `signature` in `thinking` block")


def _of_model(text: str) -> Refusal:
    """An error of the model behind Converse about its own fields."""
    return Refusal(400, f"The model returned the following errors: {text}")


def _check_results(body: ConverseRequest) -> None:
    waiting: list[str] = []
    for at, message in enumerate(body.messages):
        given = [block.tool_result.tool_use_id for block in message.content if block.tool_result is not None]
        missing = [id for id in waiting if id not in given]
        if missing:
            raise Refusal(
                400, f"Expected toolResult blocks at messages.{at}.content for the following Ids: {', '.join(missing)}"
            )
        if len(given) > len(waiting) or {*given} != {*waiting}:
            raise Refusal(
                400,
                f"The number of toolResult blocks at messages.{at}.content exceeds the number of toolUse blocks of previous turn.",
            )
        waiting = [block.tool_use.tool_use_id for block in message.content if block.tool_use is not None]
        if (given or waiting) and body.tool_config is None:
            raise Refusal(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _check_thinking(body: ConverseRequest) -> None:
    if not thinks(body):
        return
    budget = body.additional_model_request_fields["thinking"].get("budget_tokens")
    bound = body.inference_config.max_tokens
    if isinstance(budget, int) and budget < MIN_BUDGET:
        raise _of_model(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}")
    if isinstance(budget, int) and bound is not None and bound <= budget:
        raise _of_model("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.inference_config.temperature not in (None, 1):
        raise _of_model("`temperature` may only be set to 1 when thinking is enabled.")
    choice = body.tool_config.tool_choice if body.tool_config is not None else None
    if choice is not None and "auto" not in choice:
        raise _of_model("Thinking may not be enabled when tool_choice forces tool use.")


def _check_tool_turn(messages: list[Message]) -> None:
    if len(messages) < 2 or not any(block.tool_result is not None for block in messages[-1].content):
        return
    if messages[-2].content[0].reasoning_content is None:
        raise _of_model(
            f"messages.{len(messages) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
            "`tool_use` and `tool_result` blocks)."
        )
