"""What a figure's function gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.analytics.report.document import Panel
from gateway.analytics.report.used_events import UsedEvents


class Made(NamedTuple):
    """Without ``needs`` a figure has series."""

    text: str
    n: int
    series: tuple[Panel, ...] = ()
    needs: str | None = None
    sampled: bool = False


def lacking(needs: str, n: int = 0) -> Made:
    """A figure that these data cannot have."""
    return Made(f"Not shown: this needs {needs}.", n, needs=needs)


class Spec(NamedTuple):
    """A row of the table of figures."""

    id: str
    section: str
    title: str
    definition: str
    make: Callable[[UsedEvents], Made]


CLASSIFIED = "category <> ''"
OPEN = "origin IN ('chinese_oss', 'other_oss')"
CATEGORIES_NEEDED = "events with a category: switch declared or local categories on for an organisation"
OPEN_NEEDED = "tokens of models with open weights"
