"""The shape of what is drawn or listed: values over time. The API, the pages and the report share it."""

from __future__ import annotations

from typing import Any

import msgspec

OTHERS = "others"
"""Key of the series that sums what is too small, or too private, for a series of its own."""


class Series(msgspec.Struct, frozen=True):
    """One line, or one colour of the bars."""

    key: str
    label: str
    color: str | None
    """``#rrggbb``; None: the page chooses."""
    values: tuple[int | None, ...]
    """One for each bucket of the chart. None: not measured, which is not 0. May exceed 2^53."""


class Chart(msgspec.Struct, frozen=True):
    """Series over the same buckets."""

    buckets: tuple[str, ...]
    """ISO dates, oldest first; the Monday for weeks. All UTC."""
    series: tuple[Series, ...]
    """The largest total of the window first; ``others`` is the last and is drawn at the bottom."""
    unit: str
    partial_last: bool
    """The last bucket is not over yet."""
    meta: dict[str, Any]
