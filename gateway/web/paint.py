"""Which colour a thing gets: one of its own, ``#rrggbb``, or a class of the style sheet, which follows light and dark. Pure."""

from __future__ import annotations

import re
from hashlib import blake2s

from gateway.analytics.series import OTHERS, Series

COLORS = 10
"""Classes ``c0`` to ``c9`` of the style sheet."""
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def paint(series: Series, index: int) -> str:
    """The colour of a series as an attribute that ``currentColor`` follows; a colour that is none is replaced."""
    if series.key != OTHERS and series.color is not None and _COLOR.fullmatch(series.color):
        return f'color="{series.color}"'
    return 'class="c-others"' if series.key == OTHERS else f'class="{color_class(index)}"'


def color_class(index: int) -> str:
    """The class of a place in a list."""
    return f"c{index % COLORS}"


def hue(name: str) -> str:
    """The class of a colour that always belongs to the same name."""
    return color_class(blake2s(name.encode(errors="replace"), digest_size=2).digest()[0])
