"""Each tool call of a conversation has its result right after its turn, and each result its call. Pure.

The rules are OpenAI's and Anthropic's (refusals of their APIs, read 2026-11-21): neighbouring assistant messages are one turn,
the ids of its calls are unique, all of them are answered before the user or the assistant continues, and instructions in between
change nothing.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.validation import error_location
from gateway.errors import BadRequest

Json = dict[str, Any]
Position = tuple[int, int]
"""Index of an assistant message, and of the call among its ``tool_calls``."""


def check(messages: list[Json], original: Json) -> bool:
    """Whether any message holds parts, that is, may hold media. Raises BadRequest for a call or a result without the other."""
    pending: dict[str, Position] | None = None
    """Calls of the assistant's turn that have no result yet, by their id. None: no such turn is open."""
    answered: set[str] = set()
    """Ids of that turn that have their results."""
    has_parts = False
    for index, message in enumerate(messages):
        role = message["role"]
        if type(message.get("content")) is list or "images" in message:
            has_parts = True
        if role == "tool":
            id = message["tool_call_id"]
            if pending is None or pending.pop(id, None) is None:
                raise _refused_result(pending, answered, messages, index, original)
            answered.add(id)
        elif role == "assistant":
            if answered or pending is None:
                if pending:
                    raise _refused_call(pending, messages, original)
                pending, answered = {}, set()
            for position, call in enumerate(message.get("tool_calls") or ()):
                id = call["id"]
                if id in pending:
                    raise _refused_double(id, pending[id], (index, position), messages, original)
                pending[id] = index, position
        elif role == "user":
            if pending:
                raise _refused_call(pending, messages, original)
            pending = None
            if answered:
                answered = set()
    if pending:
        raise _refused_call(pending, messages, original)
    return has_parts


def _refused_result(
    pending: dict[str, Position] | None, answered: set[str], messages: list[Json], index: int, original: Json
) -> BadRequest:
    id, (result, id_field) = messages[index]["tool_call_id"], error_location.of_tool_result(original, messages, index)
    if pending is None:
        field = result if id_field == "tool_call_id" else f"{result}.{id_field}"
        return error_location.refused(field, "a tool result must follow the assistant's turn that made the call")
    field = f"{result}.{id_field}"
    if id in answered:
        return error_location.refused(field, f"the call {id[:64]!r} has a result already; send one for each call")
    known = ", ".join(repr(one[:64]) for one in list(pending)[:8]) or "none"
    return error_location.refused(
        field, f"the assistant's turn before it made no call {id[:64]!r}; its calls without a result: {known}"
    )


def _refused_double(id: str, first: Position, second: Position, messages: list[Json], original: Json) -> BadRequest:
    earlier, later = (error_location.of_tool_call(original, messages, *position) for position in (first, second))
    return error_location.refused(
        f"{later}.id", f"{id[:64]!r} is the id of {earlier} already; ids must be unique within a turn"
    )


def _refused_call(pending: dict[str, Position], messages: list[Json], original: Json) -> BadRequest:
    id, position = next(iter(pending.items()))
    return error_location.refused(
        error_location.of_tool_call(original, messages, *position),
        f"the tool call {id[:64]!r} has no result right after its turn; send one for each call",
    )
