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
        size, parts = self.size, []
        for at in self.ticks:
            y = px(self.y(at))
            kind = "axis" if at == self.ticks[0] else "grid"
            parts.append(
                f'<line class="{kind}" x1="{px(size.left)}" x2="{px(size.width - size.right)}" y1="{y}" y2="{y}"/>'
            )
            parts.append(text_at(size.left - 6, self.y(at) + 4, figure_text(at, self.unit), "end"))
        return "".join(parts)

    def below(self, ticks: list[axes.Tick]) -> list[str]:
        """Labels of the horizontal axis."""
        low, high = self.size.left, self.size.width - self.size.right
        return [
            text_at(min(max(x, low), high), self.size.floor + 18, escape(label, 24), _anchor(x, label, high))
            for x, label in ticks
        ]

    def message(self, text: str) -> str:
        """A sentence in the middle, in place of data."""
        return text_at(self.size.left + self.size.inner_width / 2, self.size.floor / 2, escape(text), "middle")

    def hatch(self, title: str) -> str:
        """An id that no other chart of a page has."""
        return f"hatch-{self.size.name}-{blake2s(title.encode(errors='replace'), digest_size=4).hexdigest()}"

    def wrap(self, said: str, body: str) -> Markup:
        """The whole drawing, with what a screen reader says of it."""
        return Markup(  # noqa: S704 - numbers, constants, and text that `escape` has seen
            f'<svg viewBox="0 0 {px(self.size.width)} {px(self.size.height)}" role="img" '
            f'aria-label="{escape(said, 600)}">{body}</svg>'
        )


def slots(count: int, size: Size) -> tuple[list[float], float]:
    """The centre of each bucket, and the width of a bar."""
    step = size.inner_width / max(count, 1)
    return [size.left + step * (place + 0.5) for place in range(count)], min(step * 0.84, BAR_MAX_PX)


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
    return "end" if x + len(label) * axes.LETTER_PX / 2 > right + 8 else "middle"


def _part(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / (high - low)
