"""Names to dialects: what a catalogue writes after ``dialect:``."""

from __future__ import annotations

from typing import Final

from providers.base import Dialect
from providers.openai import OpenAI

_DIALECTS: Final[dict[str, Dialect]] = {one.name: one for one in (OpenAI(),)}


def dialect(name: str) -> Dialect:
    """The one instance of a dialect. Raises ``KeyError`` whose text lists the known names."""
    try:
        return _DIALECTS[name]
    except KeyError:
        raise KeyError(f"unknown dialect {name!r}; known are: {', '.join(names())}") from None


def names() -> list[str]:
    """Every known dialect."""
    return sorted(_DIALECTS)
