"""What Anthropic checks beyond types (docs.anthropic.com/en/api/messages, /en/docs/build-with-claude/extended-thinking, tool-use,
prompt-caching; 2026-11). Consecutive messages of one role are legal there and count as one turn."""

from __future__ import annotations

import re
from collections.abc import Iterator

from simulator.formats.anthropic_shape import (
    Block,
    CountRequest,
    Message,
    MessagesRequest,
    Redacted,
    Text,
    Thinking,
    ToolChange,
    ToolResult,
    ToolUse,
)
from simulator.formats.signed import signed
from simulator.formats.wire_format import Refusal

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
MAX_BREAKPOINTS = 4
MIN_BUDGET = 1_024


CONTEXT_BETA = "context-management-2025-06-27"
TOOLS_BETA = "mid-conversation-tool-changes-2026-07-01"


def check(body: MessagesRequest | CountRequest, betas: frozenset[str], reasons: bool) -> None:
    """Checks what types cannot express. ``betas``: names of the header; ``reasons``: the model can think. Raises ``Refusal``."""
    if body.context_management is not None and CONTEXT_BETA not in betas:
        raise Refusal(400, "context_management: Extra inputs are not permitted")
    if not body.messages:
        raise Refusal(400, "messages: at least one message is required")
    if body.messages[0].role == "assistant":
        raise Refusal(400, 'messages: first message must use the "user" role')
    _check_tools(body)
    _check_thinking(body)
    found = sum(one is not None for one in _breakpoints(body))
    if found > MAX_BREAKPOINTS:
        raise Refusal(400, f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {found}.")
    for at, message in enumerate(body.messages):
        _check_message(message, f"messages.{at}", last=at == len(body.messages) - 1)
        if message.role == "system":
            _check_system_turn(message, f"messages.{at}", body.messages[at - 1].role, betas)
    _check_pairs(body.messages)
    if body.thinks and reasons:
        _check_tool_turn(body.messages)


def _check_tools(body: MessagesRequest | CountRequest) -> None:
    for at, tool in enumerate(body.tools):
        if tool.get("type", "custom") not in ("custom", None):
            continue
        if not TOOL_NAME.fullmatch(str(tool.get("name", ""))):
            raise Refusal(400, f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refusal(400, f"tools.{at}.custom.input_schema.type: Field required")
        known = {"name", "input_schema", "description", "type", "cache_control", "strict", "defer_loading"}
        for name in tool.keys() - known - {"allowed_callers", "eager_input_streaming", "input_examples"}:
            raise Refusal(400, f"tools.{at}.custom.{name}: Extra inputs are not permitted")
    if body.tool_choice is not None and not body.tools:
        raise Refusal(400, "tool_choice: tool_choice may only be specified while providing tools.")
    forced = body.tool_choice.name if body.tool_choice is not None and body.tool_choice.type == "tool" else None
    if forced is not None and forced not in {tool.get("name") for tool in body.tools}:
        raise Refusal(400, f"tool_choice: Tool '{forced}' not found in provided tools")


def _check_thinking(body: MessagesRequest | CountRequest) -> None:
    thinking = body.thinking
    if thinking is None or thinking.type == "disabled":
        return
    if thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise Refusal(400, "thinking.enabled.budget_tokens: Field required")
        if thinking.budget_tokens < MIN_BUDGET:
            raise Refusal(400, f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}")
    elif thinking.budget_tokens is not None:
        raise Refusal(400, f"thinking.{thinking.type}.budget_tokens: Extra inputs are not permitted")
    if body.tool_choice is not None and body.tool_choice.type in ("any", "tool"):
        raise Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")
    if isinstance(body, MessagesRequest):
        if thinking.budget_tokens is not None and body.max_tokens <= thinking.budget_tokens:
            raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        if body.temperature not in (None, 1):
            raise Refusal(400, "`temperature` may only be set to 1 when thinking is enabled.")
        if body.top_k is not None:
            raise Refusal(400, "`top_k` must be unset when thinking is enabled.")


def _breakpoints(body: MessagesRequest | CountRequest) -> Iterator[object]:
    yield body.cache_control
    if isinstance(body.system, list):
        yield from (block.cache_control for block in body.system)
    yield from (tool.get("cache_control") for tool in body.tools)
    for message in body.messages:
        for block in message.blocks:
            yield getattr(block, "cache_control", None)
            if isinstance(block, ToolResult) and isinstance(block.content, list):
                yield from (part.cache_control for part in block.content)


def _check_message(message: Message, place: str, *, last: bool) -> None:
    if not message.content and not (last and message.role == "assistant"):
        raise Refusal(
            400, f"{place}: all messages must have non-empty content except for the optional final assistant message"
        )
    for at, block in enumerate(message.blocks):
        if isinstance(block, Text) and message.content:
            if not block.text:
                raise Refusal(400, "messages: text content blocks must be non-empty")
            if not block.text.strip():
                raise Refusal(400, "messages: text content blocks must contain non-whitespace text")
        ours = isinstance(block, ToolUse | Thinking | Redacted)
        if (message.role != "assistant" and ours) or (message.role != "user" and isinstance(block, ToolResult)):
            kind = type(block).__struct_config__.tag
            raise Refusal(400, f"{place}.content.{at}: `{kind}` blocks can not be in `{message.role}` messages")
        if isinstance(block, Thinking) and not signed(block.signature, block.thinking):
            raise Refusal(400, f"{place}.content.{at}: Invalid `signature` in `thinking` block")
        if isinstance(block, ToolUse) and not TOOL_ID.fullmatch(block.id):
            raise Refusal(400, f"{place}.content.{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    final = message.blocks[-1] if message.blocks else None
    if last and message.role == "assistant" and isinstance(final, Text) and final.text != final.text.rstrip():
        raise Refusal(400, "messages: final assistant content cannot end with trailing whitespace")


def _check_system_turn(message: Message, place: str, before: str, betas: frozenset[str]) -> None:
    if before == "assistant":
        raise Refusal(400, f"{place}: a `system` message must follow a `user` message")
    if TOOLS_BETA not in betas and any(isinstance(block, ToolChange) for block in message.blocks):
        raise Refusal(400, f"{place}.content.0: Input tag found does not match any of the expected tags: 'text'")


def _check_pairs(messages: list[Message]) -> None:
    """Every call has its result in the next message, in front of everything else, and every result its call before."""
    seen: set[str] = set()
    waiting: list[str] = []
    for at, message in enumerate(_joined(messages)):
        results = [block.tool_use_id for block in message if isinstance(block, ToolResult)]
        missing = [id for id in waiting if id not in results]
        if missing:
            raise Refusal(
                400,
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            )
        if results and not all(isinstance(block, ToolResult) for block in message[: len(results)]):
            raise Refusal(400, f"messages.{at}: `tool_result` blocks must come first in the content of the message")
        for id in results:
            if id not in waiting:
                raise Refusal(
                    400,
                    f"messages.{at}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
        waiting = [block.id for block in message if isinstance(block, ToolUse)]
        if len({*waiting} - seen) != len(waiting):
            raise Refusal(400, f"messages.{at}: `tool_use` ids must be unique")
        seen |= {*waiting}


def _joined(messages: list[Message]) -> list[list[Block]]:
    """Consecutive messages of one role are one turn."""
    turns: list[list[Block]] = []
    role = ""
    for message in messages:
        if message.role == role:
            turns[-1] += message.blocks
        else:
            turns.append([*message.blocks])
        role = message.role
    return turns


def _check_tool_turn(messages: list[Message]) -> None:
    """The last assistant message, when tools follow, starts with its thinking."""
    if not any(isinstance(block, ToolResult) for block in messages[-1].blocks):
        return
    at = max(at for at, message in enumerate(messages) if message.role == "assistant")
    first = messages[at].blocks[0]
    if not isinstance(first, Thinking | Redacted):
        raise Refusal(
            400,
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{type(first).__struct_config__.tag}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks).",
        )
