"""Each tool call of a conversation has its result right after its turn, and each result its call. Pure.

The rules are OpenAI's and Anthropic's (refusals of their APIs, read 2026-11-21): neighbouring assistant messages are one turn,
all of its calls are answered before the user or the assistant continues, and instructions in between change nothing. Ids may
repeat or be missing, as some vendors make them: results are then matched in order, and ``providers.chat.tool_rules`` makes ids
that each vendor takes.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.validation import error_location
from gateway.errors import BadRequest

Json = dict[str, Any]
Position = tuple[int, int]
"""Index of an assistant message, and of the call among its ``tool_calls``."""


def check(messages: list[Json], original: Json) -> None:
    """Raises BadRequest for a call or a result without the other."""
    pending: dict[str, list[Position]] | None = None
    """Calls of the assistant's turn that have no result yet, by their id. None: no such turn is open."""
    answered: set[str] = set()
    """Ids of that turn that have their results."""
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            id = message.get("tool_call_id") or ""
            calls = pending.get(id) if pending is not None else None
            if not calls:
                raise _refused_result(pending, answered, messages, index, original)
            del calls[0]
            answered.add(id)
        elif role == "assistant":
            if answered or pending is None:
                if pending and any(pending.values()):
                    raise _refused_call(pending, messages, original)
                pending, answered = {}, set()
            for position, call in enumerate(message.get("tool_calls") or ()):
                pending.setdefault(call.get("id") or "", []).append((index, position))
        elif role == "user":
            if pending and any(pending.values()):
                raise _refused_call(pending, messages, original)
            pending = None
            if answered:
                answered = set()
    if pending and any(pending.values()):
        raise _refused_call(pending, messages, original)


def _refused_result(
    pending: dict[str, list[Position]] | None, answered: set[str], messages: list[Json], index: int, original: Json
) -> BadRequest:
    id = messages[index].get("tool_call_id") or ""
    result, id_field = error_location.of_tool_result(original, messages, index)
    if pending is None:
        field = result if id_field == "tool_call_id" else f"{result}.{id_field}"
        return error_location.refused(field, "a tool result must follow the assistant's turn that made the call")
    field = f"{result}.{id_field}"
    if id in answered:
        return error_location.refused(field, f"the call {id[:64]!r} has a result already; send one for each call")
    known = ", ".join(repr(one[:64]) for one in [id for id, calls in pending.items() if calls][:8]) or "none"
    return error_location.refused(
        field, f"the assistant's turn before it made no call {id[:64]!r}; its calls without a result: {known}"
    )


def _refused_call(pending: dict[str, list[Position]], messages: list[Json], original: Json) -> BadRequest:
    id, position = min(((id, calls[0]) for id, calls in pending.items() if calls), key=lambda found: found[1])
    return error_location.refused(
        error_location.of_tool_call(original, messages, *position),
        f"the tool call {id[:64]!r} has no result right after its turn; send one for each call",
    )
