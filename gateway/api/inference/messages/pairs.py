"""Every tool call of a Messages conversation has its result in the next turn, every result its call. Pure.

Anthropic's rules (its API's refusals, read 2026-11-21): neighbours of one role are one turn; all ids of a turn are answered in
the very next one, and only there. What a server ran itself (``server_tool_use``) is not asked for.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import BadRequest

Json = dict[str, Any]
Places = dict[str, str]


def check_pairs(turns: list[Json]) -> None:
    """Raises BadRequest naming the block that has no counterpart."""
    asked: Places = {}
    calls: Places = {}
    role = ""
    for index, turn in enumerate(turns):
        if turn["role"] == "system":  # may stand anywhere and parts nothing
            continue
        if turn["role"] != role:
            if turn["role"] == "assistant":
                _all_answered(asked)
                calls = {}
            else:
                asked = dict(calls)
            role = turn["role"]
        content = turn["content"]
        if isinstance(content, str):
            continue
        for position, block in enumerate(content):
            where = f"messages[{index}].content[{position}]"
            if block["type"] == "tool_use":
                _new(calls, block["id"], where)
            elif block["type"] == "tool_result":
                _answer(asked, calls, block["tool_use_id"], where)
    _all_answered(asked if role == "user" else calls)


def _new(calls: Places, id: str, where: str) -> None:
    if id in calls:
        raise BadRequest(
            f"{where}.id: {id!r} names two tool_use blocks of one turn; ids are unique.", field=f"{where}.id"
        )
    calls[id] = where


def _answer(asked: Places, calls: Places, id: str, where: str) -> None:
    if asked.pop(id, None) is None:
        why = "has a tool_result already" if id in calls else "has no tool_use block in the previous turn"
        raise BadRequest(f"{where}.tool_use_id: {id!r} {why}.", field=f"{where}.tool_use_id")


def _all_answered(asked: Places) -> None:
    for id, where in asked.items():
        raise BadRequest(
            f"{where}: the tool_use {id!r} has no tool_result in the next turn; send one for each call.", field=where
        )
