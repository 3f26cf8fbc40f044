"""The refusals of validation, and where the caller wrote what is refused. Only for refusals: finding it searches. Pure.

A request is checked after its translation into the inner language, but its caller knows only what it wrote itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.errors import BadRequest

Json = dict[str, Any]


def refused(field: str, problem: str) -> BadRequest:
    """The refusal of a field."""
    return BadRequest(f"{field}: {problem}.", field=field)


def of_value(original: Json, value: Any, inner: str) -> str:
    """Where the caller wrote a value: the very object, an equal text, or the data of a data URL.

    ``inner``, the field's name in the inner language, if the value stands nowhere in the original.
    """
    texts = {value, value.partition(",")[2]} - {""} if isinstance(value, str) else set()
    stack: list[tuple[str, Any]] = [("", original)]
    while stack:
        field, here = stack.pop()
        if here is value or (isinstance(here, str) and here in texts):
            return field.removeprefix(".")
        if isinstance(here, dict):
            stack += [(f"{field}.{key}", one) for key, one in reversed(here.items())]
        elif isinstance(here, list):
            stack += [(f"{field}[{index}]", one) for index, one in reversed(list(enumerate(here)))]
    return inner


def of_tool_call(original: Json, messages: list[Json], index: int, position: int) -> str:
    """Where the caller wrote the call ``messages[index].tool_calls[position]``."""
    inner = f"messages[{index}].tool_calls[{position}]"
    if original.get("messages") is messages:
        return inner
    before = sum(len(message.get("tool_calls") or ()) for message in messages[:index])
    return _block(original, "tool_use", before + position) or inner


def of_tool_result(original: Json, messages: list[Json], index: int) -> tuple[str, str]:
    """Where the caller wrote the result ``messages[index]``, and which of its fields names the call."""
    before = sum(message["role"] == "tool" for message in messages[:index])
    if original.get("messages") is not messages and (block := _block(original, "tool_result", before)) is not None:
        return block, "tool_use_id"
    return f"messages[{index}]", "tool_call_id"


def _block(original: Json, type_: str, count: int) -> str | None:
    """The block of this type with ``count`` others before it, in a request of the Messages API. Translating one keeps the
    order of its calls and of its results.
    """
    return next((field for number, field in enumerate(_blocks(original, type_)) if number == count), None)


def _blocks(original: Json, type_: str) -> Iterator[str]:
    turns = original.get("messages")
    for index, turn in enumerate(turns if isinstance(turns, list) else ()):
        content = turn.get("content") if isinstance(turn, dict) else None
        for position, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict) and block.get("type") == type_:
                yield f"messages[{index}].content[{position}]"
