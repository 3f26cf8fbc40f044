"""Charts with a row for each name: bars from the left with their uncertainty, and dots along a line. Pure, as ``charts``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from gateway.web import axes
from gateway.web.frame import WIDE, Frame, Size, box, figure_text, px, text_at
from gateway.web.markup import escape
from gateway.web.paint import color_class

ROW_PX, GROUP_PX = 24.0, 30.0
BAR_PX = 12.0
DOT_PX = 5.0
LETTER_PX = 6.2
NAMES_PX = {"wide": 260.0, "narrow": 132.0}
"""Size of a drawing → width of the names on the left."""
LINES_MOST = 6


class Mark(msgspec.Struct, frozen=True):
    """One bar or dot."""

    group: str
    value: float
    low: float | None = None
    """Its interval, where it is an estimate."""
    high: float | None = None
    words: str = ""
    """What a tooltip and the table add."""


class Row(msgspec.Struct, frozen=True):
    """One line of a chart."""

    label: str
    marks: tuple[Mark, ...]
    heading: str = ""
    """What begins with this row."""


class Rows(msgspec.Struct, frozen=True):
    """A chart of rows. ``unit`` as in ``frame.FORMATS``; all values are above zero where ``log`` is set."""

    rows: tuple[Row, ...]
    groups: tuple[str, ...]
    """In the order of their colours."""
    name: str
    """Of what is measured."""
    unit: str
    log: bool = False

    def color(self, group: str) -> str:
        """The class of a group's colour."""
        return color_class(self.groups.index(group))


def row_bars(chart: Rows, *, title: str, size: Size = WIDE) -> Markup:
    """A bar for each row, from zero, with a whisker where its value is an estimate, and its value behind it."""
    most = max((mark.high or mark.value for row in chart.rows for mark in row.marks), default=0)
    frame, ticks = _framed(chart, size, axes.round_values(most, LINES_MOST if size is WIDE else 3))
    parts = [_grid(frame, ticks, chart.unit)]
    for row, y in _placed(chart, frame.size):
        parts += _heads(row, y, frame.size)
        for mark in row.marks:
            x, low, high = (_across(frame.size, value, ticks) for value in (mark.value, mark.low, mark.high))
            bar = box(frame.size.left, y - BAR_PX / 2, max(x - frame.size.left, 1), BAR_PX)
            parts.append(
                f'<g class="bars" fill="currentColor"><rect class="{chart.color(mark.group)}" {bar} rx="2">'
                f"<title>{_tip(chart, row, mark)}</title></rect></g>"
            )
            if mark.low is not None and mark.high is not None:
                parts.append(
                    f'<path class="whisker" d="M{px(low)} {px(y)}H{px(high)}M{px(low)} {px(y - 3)}v6M{px(high)} {px(y - 3)}v6"/>'
                )
            parts.append(text_at(max(x, high) + 6, y + 4, figure_text(mark.value, chart.unit), "start"))
    return frame.wrap(_spoken(chart, title), "".join(parts))


def dot_rows(chart: Rows, *, title: str, size: Size = WIDE) -> Markup:
    """A dot for each value of each row, on a logarithmic axis, joined by a line from the least to the most."""
    values = [mark.value for row in chart.rows for mark in row.marks]
    frame, ticks = _framed(chart, size, axes.log_values(min(values, default=1), max(values, default=10)))
    parts = [_grid(frame, ticks, chart.unit)]
    for row, y in _placed(chart, frame.size):
        parts += _heads(row, y, frame.size)
        places = [_across(frame.size, mark.value, ticks, log=True) for mark in row.marks]
        if len(places) > 1:
            parts.append(f'<path class="guide" fill="none" d="M{px(min(places))} {px(y)}H{px(max(places))}"/>')
        for mark, x in zip(row.marks, places, strict=True):
            circle = f'<circle class="{chart.color(mark.group)}" cx="{px(x)}" cy="{px(y)}" r="{DOT_PX}">'
            parts.append(
                f'<g class="dots" fill="currentColor">{circle}<title>{_tip(chart, row, mark)}</title></circle></g>'
            )
    return frame.wrap(_spoken(chart, title), "".join(parts))


def _framed(chart: Rows, size: Size, ticks: Sequence[float]) -> tuple[Frame, Sequence[float]]:
    """The frame, as high as the rows need, and the values of the axis above them."""
    height = sum(ROW_PX + (GROUP_PX if row.heading else 0) for row in chart.rows) + 36
    grown = Size(
        size.name,
        size.width,
        height,
        left=NAMES_PX.get(size.name, size.left),
        right=64 if not chart.log else 24,
        top=26,
        bottom=10,
    )
    return Frame(grown, [0.0, 1.0], chart.unit), ticks


def _placed(chart: Rows, size: Size) -> list[tuple[Row, float]]:
    """Each row with the y of its middle."""
    placed, y = [], size.top
    for row in chart.rows:
        y += GROUP_PX if row.heading else 0
        placed.append((row, y + ROW_PX / 2))
        y += ROW_PX
    return placed


def _heads(row: Row, y: float, size: Size) -> list[str]:
    """The name of a row, and the heading above it."""
    room = int((size.left - 14) / LETTER_PX)
    name = row.label if len(row.label) <= room else row.label[: room - 1] + "…"
    title = f"<title>{escape(row.label)}</title>" if name != row.label else ""
    parts = [text_at(size.left - 10, y + 4, escape(name) + title, "end")]
    if row.heading:
        heading = text_at(0, y - ROW_PX / 2 - 6, escape(row.heading), "start")
        parts.append(heading.replace("<text", '<text class="name"', 1))
    return parts


def _grid(frame: Frame, ticks: Sequence[float], unit: str) -> str:
    size, log = frame.size, ticks[0] > 0
    parts = []
    for place, at in enumerate(ticks):
        x = px(_across(size, at, ticks, log=log))
        kind = "grid" if place or log else "axis"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{px(size.top)}" y2="{px(size.floor)}"/>')
        parts.append(text_at(float(x), size.top - 8, figure_text(at, unit), "middle"))
    return "".join(parts)


def _across(size: Size, value: float | None, ticks: Sequence[float], *, log: bool = False) -> float:
    """The x of a value; of None the left end."""
    if value is None:
        return size.left
    if log:
        return Frame(size, [0.0, 1.0], "").x(value, ticks)
    return size.left + size.inner_width * (value - ticks[0]) / (ticks[-1] - ticks[0])


def _tip(chart: Rows, row: Row, mark: Mark) -> str:
    group = f" · {escape(mark.group)}" if chart.log else ""
    words = f"\n{escape(mark.words)}" if mark.words else ""
    return f"{escape(row.label)}{group}\n{escape(chart.name)}: {figure_text(mark.value, chart.unit)}{words}"


def _spoken(chart: Rows, title: str) -> str:
    every = [(mark.value, row.label, mark.group) for row in chart.rows for mark in row.marks]
    every.sort(key=lambda each: (-each[0], each[1]))
    top = ", ".join(
        f"{label[:80]}{f' ({group})' if chart.log else ''} {figure_text(value, chart.unit)}"
        for value, label, group in every[:3]
    )
    return f"{title}. {len(chart.rows)} rows. Largest: {top}." if top else f"{title}. Nothing to show."
