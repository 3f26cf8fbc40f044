"""What vendors that constrain their output to a JSON Schema must know of one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.types import Json

_DEFINITIONS = ("$defs", "definitions")


def is_recursive(schema: Json) -> bool:
    """Whether the schema refers to itself, directly or by its definitions: constrained output is refused for such a schema
    (Claude: platform.claude.com/docs/build-with-claude/structured-outputs, 2026-11).
    """
    places = {"#": schema}
    for keyword in _DEFINITIONS:
        named = schema.get(keyword)
        if isinstance(named, dict):
            places |= {f"#/{keyword}/{name}": one for name, one in named.items()}
    direct = {place: set(_references(one, definitions=False)) for place, one in places.items()}
    return any(place in _reached(direct, place) for place in direct)


def _reached(direct: dict[str, set[str]], start: str) -> set[str]:
    """The places that can be reached by following references from ``start``."""
    found: set[str] = set()
    waiting = list(direct[start])
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting += direct.get(place, ())
    return found


def _references(schema: Any, *, definitions: bool = True) -> Iterator[str]:
    """The references within a schema; without ``definitions`` those of its own definitions are left out."""
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)
    elif isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference
        for name, value in schema.items():
            if definitions or name not in _DEFINITIONS:
                yield from _references(value)
