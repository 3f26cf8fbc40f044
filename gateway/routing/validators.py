"""Strict readers of single values of a caller's preferences: a refusal names the field and what would be right."""

from __future__ import annotations

from typing import Any, NoReturn

from gateway.catalog.catalog import MAX_WORD
from gateway.errors import BadRequest


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        refuse(name, f"must be one of {', '.join(allowed)}, not {kind(value)}")
    return value


def number(name: str, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(name, f"must be a number, not {kind(value)}")
    if isinstance(value, int) and abs(value) > 10**15:
        refuse(name, "is too large a number")
    return value


def kind(value: Any) -> str:
    if isinstance(value, str):
        return repr(cut(value)) if value else "an empty string"
    names = {type(None): "null", bool: "a boolean", dict: "an object", list: "a list"}
    return names.get(type(value), "a number")


def cut(word: str) -> str:
    return word if len(word) <= MAX_WORD else word[:MAX_WORD] + "..."


def refuse(name: str, problem: str) -> NoReturn:
    raise BadRequest(f"{name}: {problem}", field=name)
