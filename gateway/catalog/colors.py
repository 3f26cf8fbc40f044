"""The colour of a model, author, family or origin: the same in every week, chart and page of one catalogue. Pure.

An author has a hue, its models are steps of lightness in it, in the order of their releases, so that models of the same time
differ most. A colour that is written in ``config/attributes/models.yaml`` wins. What nobody knows gets its place by a hash.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from zlib import crc32

from gateway.catalog.attributes import Attributes, AttributeTable
from gateway.catalog.catalog import Catalog

OTHERS, UNKNOWN = "#9CA3AF", "#6B7280"
"""The band of all models that are not shown one by one; and what has no known value. They are not the same."""
ORIGINS = {"closed": "#7F1D1D", "chinese_oss": "#F97316", "other_oss": "#14B8A6", "unknown": UNKNOWN}
LEAST_DISTANCE = 15.0
"""CIE76 distance in CIELAB below which neighbours need a gap between them."""
LIGHTNESS = (0.66, 0.80, 0.54, 0.73, 0.60, 0.85, 0.48)
"""OKLCH lightness of an author's models, one after the other; all of them read on white and on near black."""
SHIFTS = (0, 16, -16, 8, -8)
"""Degrees added to the hue when the lightnesses have been used up."""
CHROMA = 0.14

Rgb = tuple[float, float, float]


class Palette:
    """Colours of all models of a table; ``#RRGGBB``."""

    def __init__(self, table: AttributeTable) -> None:
        self._table = table
        self._steps = _numbered(table, lambda model: model.slug)
        self._families = _numbered(table, lambda model: model.family)
        self._author_of = {model.family: model.author for model in table if model.family}

    def color(self, kind: str, key: str) -> str:
        """The colour of one series; ``kind`` is model, author, family or origin, any other gets its hue by a hash of the key."""
        if key in ("others", "unknown"):
            return OTHERS if key == "others" else UNKNOWN
        if kind == "model":
            return self.model(key)
        if kind == "author":
            return oklch(LIGHTNESS[0], CHROMA, self._hue(key))
        if kind == "family":
            author = self._author_of.get(key, key)
            return _step(self._hue(author), self._families.get(key, crc32(key.encode())))
        if kind == "origin" and key in ORIGINS:
            return ORIGINS[key]
        return oklch(LIGHTNESS[0], CHROMA, crc32(key.encode()) % 360)

    def model(self, slug: str) -> str:
        """The colour of a model by slug or alias; a variant such as ``:free`` has that of its model."""
        facts = self._table.of(slug)
        if facts.color:
            return facts.color.upper()
        number = self._steps.get(facts.slug)
        if number is None:
            base = facts.slug.partition(":")[0]
            number = self._steps.get(base, crc32(base.encode()))
        return _step(self._hue(facts.author), number)

    def _hue(self, author: str) -> int:
        found = self._table.author(author)
        return crc32(found.slug.encode()) % 360 if found.hue is None else found.hue


def palette(catalog: Catalog) -> Palette:
    """The palette of a catalogue, made once."""
    found = catalog.memo.get(Palette)
    if not isinstance(found, Palette):
        found = catalog.memo[Palette] = Palette(catalog.attributes)
    return found


def gaps(colors: Sequence[str]) -> tuple[bool, ...]:
    """For each segment of a stack, the first one first: whether it needs a gap to the one before it."""
    return (False, *(distance(one, next_) < LEAST_DISTANCE for one, next_ in pairwise(colors)))[: len(colors)]


def distance(one: str, other: str) -> float:
    """CIE76: the Euclidean distance of two ``#RRGGBB`` in CIELAB (D65). 2.3 is just noticeable, 100 is black to white."""
    return math.dist(_lab(one), _lab(other))


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """``#RRGGBB`` of an OKLCH colour; a chroma that sRGB does not have is lowered until it does.

    The matrices are those of Björn Ottosson's Oklab (2020-12-23).
    """
    while True:
        a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
        long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        linear = (
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        )
        if all(-1e-4 <= part <= 1.0001 for part in linear) or chroma <= 0:
            return "#" + "".join(f"{round(255 * _encoded(min(max(part, 0.0), 1.0))):02X}" for part in linear)
        chroma -= 0.005


def _encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _decoded(encoded: float) -> float:
    return encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4


def _lab(color: str) -> Rgb:
    red, green, blue = (_decoded(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    x = _root((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047)
    y = _root(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _root((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(ratio: float) -> float:
    return ratio ** (1 / 3) if ratio > 216 / 24389 else (24389 / 27 * ratio + 16) / 116


def _step(hue: int, number: int) -> str:
    cycle, step = divmod(number, len(LIGHTNESS))
    return oklch(LIGHTNESS[step], CHROMA, hue + SHIFTS[cycle % len(SHIFTS)])


def _numbered(table: AttributeTable, key_of: Callable[[Attributes], str | None]) -> dict[str, int]:
    """Key → its number among those of its author, by the first release; models without a known one come last."""
    first: dict[str, dict[str, date]] = defaultdict(dict)
    for model in table:
        key = key_of(model)
        if key is not None:
            released = model.released or date.max
            first[model.author][key] = min(first[model.author].get(key, date.max), released)
    return {
        key: number
        for keys in first.values()
        for number, key in enumerate(sorted(keys, key=lambda key: (keys[key], key)))
    }
