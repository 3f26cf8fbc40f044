"""Numbers as sentences have them. Pure; nothing is calculated with afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = ((1e15, "Q"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def percent(value: float | None) -> str:
    """32.47 → ``32.5 %``."""
    return "an unknown share" if value is None else f"{value:.1f}\u202f%"


def points(value: float) -> str:
    """-3.21 → ``-3.2 points``."""
    return f"{value:+.1f} points"


def amount(value: float) -> str:
    """7.9e12 → ``7.90T``, 812 → ``812``."""
    for factor, letter in _UNITS:
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.2f}{letter}"
    return f"{value:,.0f}"


def usd(value: float) -> str:
    """34.068 → ``$34.07``; below a dollar three significant digits."""
    return f"${value:,.2f}" if value >= 0.9995 else f"${value:.3g}"


def day(value: date) -> str:
    """``24 Nov 2025``."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def week(value: date) -> str:
    """``the week of 24 Nov 2025``."""
    return f"the week of {day(value)}"


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 model``, ``1,204 models``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentences(parts: Sequence[str | None]) -> str:
    """Those that are there, joined."""
    return " ".join(part for part in parts if part)


FORMATS: dict[str, Callable[[float], str]] = {
    "count": lambda number: f"{number:,.0f}" if number < 10**6 else amount(number),
    "percent": percent,
    "permyriad": lambda number: percent(number / 100),
    "interval": lambda number: f"{number:.1f}",
    "usd_per_mtok": usd,
    "usd": usd,
    "number": lambda number: f"{number:,.2f}",
}
"""Unit → how a figure is written; others are amounts."""


def value(cell: str | int | float | None, unit: str) -> str:
    """A cell of a table; a dash for what was not measured."""
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else FORMATS.get(unit, amount)(cell)
