"""The frame of a drawing: its size, its vertical axis, and how positions and figures are written. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2s

from markupsafe import Markup

from gateway.web import axes
from gateway.web.markup import escape
from gateway.web.numbers import dollars, milliseconds, percent, short

BAR_MAX_PX = 56.0
"""In a drawing of the full width; less in a narrow one, as all that lies between the axes."""


@dataclass(frozen=True, slots=True)
class Size:
    """The frame of a drawing, in pixels of its own coordinates."""

    name: str
    width: float
    height: float
    left: float = 48
    right: float = 12
    top: float = 18
    bottom: float = 28
    rows: int = 5

    @property
    def inner_width(self) -> float:
        """Of the area between the axes."""
        return self.width - self.left - self.right

    @property
    def floor(self) -> float:
        """The y of the horizontal axis."""
        return self.height - self.bottom


WIDE = Size("wide", 960, 340)
NARROW = Size("narrow", 400, 280, left=42, right=8, rows=4)
"""Bars and lines of a narrow drawing are those of the wide one with the same title, which stands beside it: see ``Frame.again``."""
HALF = Size("half", 400, 280, left=42, right=8, rows=4)
"""A drawing that shares a row with another one; it serves narrow screens as well."""

FORMATS: dict[str, Callable[[float], str]] = {
    "ms": milliseconds,
    "percent": percent,
    "usd": lambda value: dollars(Decimal(str(value))).removesuffix(".00"),
    "usd_nano": lambda value: dollars(Decimal(str(value)) / 10**9),
    "permyriad": lambda value: percent(value / 100),
    "place": lambda value: f"#{value:.0f}",
    "tps": lambda value: f"{short(value)}/s",
    "audio_ms": lambda value: f"{short(round(value / 3_600_000, 2))}\u202fh",
}
"""Unit → how a value is written on an axis and in a tooltip; other units are counts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The vertical axis, and what surrounds every drawing."""

    size: Size
    ticks: list[float]
    unit: str
    log: bool = False

    def y(self, value: float) -> float:
        """The place of a value on the vertical axis."""
        height = self.size.floor - self.size.top
        return self.size.floor - height * _part(value, self.ticks[0], self.ticks[-1], log=self.log)

    def x(self, value: float, ticks: Sequence[float]) -> float:
        """The place of a value on a logarithmic horizontal axis."""
        return self.size.left + self.size.inner_width * _part(value, ticks[0], ticks[-1], log=True)

    def grid(self) -> str:
        """The lines of the vertical axis with their values."""
        size = self.size
        across = f"h{px(size.inner_width)}"
        rows = "".join(f"M{px(size.left)} {px(self.y(at))}{across}" for at in self.ticks[1:])
        words = (
            f'<text x="{px(size.left - 6)}" y="{px(self.y(at) + 4)}">{figure_text(at, self.unit)}</text>'
            for at in self.ticks
        )
        return (
            f'<path class="grid" d="{rows}"/><path class="axis" d="M{px(size.left)} {px(self.y(self.ticks[0]))}{across}"/>'
            f'<g text-anchor="end">{"".join(words)}</g>'
        )

    def below(self, ticks: list[axes.Tick]) -> str:
        """Labels of the horizontal axis."""
        low, high, y = self.size.left, self.size.width - self.size.right, px(self.size.floor + 18)
        words = (
            f'<text x="{px(min(max(x, low), high))}" y="{y}"{_anchor(x, label, high)}>{escape(label, 24)}</text>'
            for x, label in ticks
        )
        return f'<g text-anchor="middle">{"".join(words)}</g>'

    def message(self, text: str) -> str:
        """A sentence in the middle, in place of data."""
        return text_at(self.size.left + self.size.inner_width / 2, self.size.floor / 2, escape(text), "middle")

    def hatch(self, title: str) -> str:
        """An id that no other chart of a page has."""
        return f"hatch-{self.size.name}-{_digest(title)}"

    def shapes(self, title: str) -> str:
        """The id of the bars or lines of a wide drawing, as an attribute; nothing for others."""
        return f' id="shapes-{_digest(title)}"' if self.size is WIDE else ""

    def again(self, title: str, ticks: list[float]) -> str:
        """The bars or lines of the wide drawing with this title, between the axes of this one: a page has them once. ``ticks``: of
        the vertical axis of the wide one."""
        wide = Frame(WIDE, ticks, self.unit, self.log)
        across = self.size.inner_width / WIDE.inner_width
        first, last = self.ticks[0], self.ticks[-1]
        down = (self.y(last) - self.y(first)) / (wide.y(last) - wide.y(first))
        move_x, move_y = self.size.left - WIDE.left * across, self.y(first) - wide.y(first) * down
        matrix = " ".join(f"{each:.4f}" for each in (across, 0, 0, down, move_x, move_y))
        return f'<use href="#shapes-{_digest(title)}" transform="matrix({matrix})"/>'

    def wrap(self, said: str, body: str) -> Markup:
        """The whole drawing, with what a screen reader says of it."""
        return Markup(  # noqa: S704 - numbers, constants, and text that `escape` has seen
            f'<svg viewBox="0 0 {px(self.size.width)} {px(self.size.height)}" role="img" '
            f'aria-label="{escape(said, 600)}">{body}</svg>'
        )


def slots(count: int, size: Size) -> tuple[list[float], float]:
    """The centre of each bucket, and the width of a bar."""
    step = size.inner_width / max(count, 1)
    widest = BAR_MAX_PX * size.inner_width / WIDE.inner_width
    return [size.left + step * (place + 0.5) for place in range(count)], min(step * 0.84, widest)


def figure_text(value: float, unit: str) -> str:
    """A value as an axis and a tooltip have it."""
    return FORMATS.get(unit, short)(value)


def box(x: float, y: float, width: float, height: float) -> str:
    """The attributes of a rectangle."""
    return f'x="{px(x)}" y="{px(y)}" width="{px(width)}" height="{px(height)}"'


def text_at(x: float, y: float, text: str, anchor: str) -> str:
    """``text`` has been escaped."""
    return f'<text x="{px(x)}" y="{px(y)}" text-anchor="{anchor}">{text}</text>'


def px(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def _anchor(x: float, label: str, right: float) -> str:
    """An attribute for a label that would stick out on the right."""
    return ' text-anchor="end"' if x + len(label) * axes.LETTER_PX / 2 > right + 8 else ""


def _digest(title: str) -> str:
    return blake2s(title.encode(errors="replace"), digest_size=4).hexdigest()


def _part(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / (high - low)
