"""Where the caller wrote what turned out to be wrong after the translation. Only for refusals: it searches. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def place_of(sent: Json, value: Any, inner: str) -> str:
    """Where the caller wrote a value: the very object, an equal text, or the data of a data URL; else the inner language's name."""
    texts = {value, value.partition(",")[2]} - {""} if isinstance(value, str) else set()
    stack: list[tuple[str, Any]] = [("", sent)]
    while stack:
        where, here = stack.pop()
        if here is value or (isinstance(here, str) and here in texts):
            return where.removeprefix(".")
        if isinstance(here, dict):
            stack += [(f"{where}.{key}", one) for key, one in reversed(here.items())]
        elif isinstance(here, list):
            stack += [(f"{where}[{index}]", one) for index, one in reversed(list(enumerate(here)))]
    return inner
