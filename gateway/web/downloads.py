"""A chart as a file: its figures as CSV, its drawing as an SVG that needs nothing else. Pure.

The SVG has its colours and type in attributes, in those of the light scheme: no style sheet goes with it, and a policy that forbids
styles shows it all the same. The script of the pages draws it on a canvas for a PNG. Names in it were chosen by strangers: in a CSV
a cell that a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from gateway.analytics.series import Chart
from gateway.web.charts import Scatter
from gateway.web.figures import Figure
from gateway.web.frame import WIDE, px
from gateway.web.markup import clean, escape
from gateway.web.paint import paint
from gateway.web.rendering import static_files
from gateway.web.row_charts import Rows

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8; header=present", "svg": "image/svg+xml"}
"""Ending of a file → its type."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MARGIN, HEAD, LINE_PX, KEY_PX = 20.0, 52.0, 20.0, 10.0
LETTER_PX = 6.6
LEGEND_MOST = 24
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_CLASS = re.compile(r'class="([^"]*)"')
_COLOR = re.compile(r'color="(#[0-9a-fA-F]{6})"')
_VIEW = re.compile(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"')


def file_of(figures: Iterable[Figure | None], wanted: str, source: str) -> bytes | None:
    """The file ``<name>.csv`` or ``<name>.svg`` of one of the charts of a page; None if there is none of that name. ``source``:
    where the page is, for the foot of a drawing."""
    name, _, kind = wanted.rpartition(".")
    found = next((each for each in figures if each is not None and each.name == name), None)
    if found is None or kind not in MEDIA_TYPES:
        return None
    return csv_file(found) if kind == "csv" else svg_file(found, source)


def csv_file(figure: Figure) -> bytes:
    """As in RFC 4180: UTF-8, a header, lines that end with CR LF; what was not measured is an empty field."""
    data = figure.data
    rows = (
        _of_chart(data) if isinstance(data, Chart) else _of_plot(data) if isinstance(data, Scatter) else _of_rows(data)
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue().encode(errors="replace")


def _of_chart(chart: Chart) -> Iterable[Sequence[object]]:
    """A line for each bucket, the oldest first."""
    yield ["date", "unit", "complete", *(each.label for each in chart.series)]
    last = len(chart.buckets) - 1
    for place, day in enumerate(chart.buckets):
        complete = "no" if chart.partial_last and place == last else "yes"
        yield [day, chart.unit, complete, *(each.values[place] for each in chart.series)]


def _of_plot(plot: Scatter) -> Iterable[Sequence[object]]:
    """A line for each dot, that with the largest second measure first."""
    yield ["name", "group", f"{plot.x_name} ({plot.x_unit})", f"{plot.y_name} ({plot.y_unit})"]
    for dot in sorted(plot.dots, key=lambda dot: (-dot.y, dot.label)):
        yield [dot.label, dot.group, dot.x, dot.y]


def _of_rows(chart: Rows) -> Iterable[Sequence[object]]:
    """A line for each bar or dot."""
    yield ["name", "group", f"{chart.name} ({chart.unit})", "low", "high", "remark"]
    for row in chart.rows:
        for mark in row.marks:
            yield [row.label, mark.group, mark.value, mark.low, mark.high, mark.words]


def _cell(value: object) -> str:
    """Numbers to the digit; text that no spreadsheet runs."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(round(value, 9)).removesuffix(".0")
    text = str(clean(value))
    return "'" + text if isinstance(value, str) and text.startswith(FORMULA) else text


def svg_file(figure: Figure, source: str) -> bytes:
    """The wide drawing with its title, its legend and where it comes from."""
    drawing = str(figure.draw(WIDE))
    seen = _VIEW.search(drawing)
    width, height = (float(each) for each in seen.groups()) if seen else (WIDE.width, WIDE.height)
    lines = "lines" in drawing.split('class="')[-1] or 'class="lines"' in drawing
    inner = _CLASS.sub(
        lambda found: _attributes(found[1], lines=lines),
        _COLOR.sub(lambda found: _colored(found[1], lines=lines), drawing),
    )
    keys, below = _legend(figure, width, HEAD + height + 26)
    whole = below + 22
    body = (
        f'<rect width="{px(width + 2 * MARGIN)}" height="{px(whole)}" fill="{_color("surface")}"/>'
        f'<text x="{px(MARGIN)}" y="32" font-size="17" font-weight="600" fill="{_color("text")}">{escape(figure.title)}</text>'
        + inner.replace("<svg ", f'<svg x="{px(MARGIN)}" y="{px(HEAD)}" width="{px(width)}" height="{px(height)}" ', 1)
        + keys
        + f'<text x="{px(MARGIN)}" y="{px(whole - 12)}" font-size="10.5">{escape(source)}</text>'
    )
    head = f'xmlns="http://www.w3.org/2000/svg" width="{px(width + 2 * MARGIN)}" height="{px(whole)}"'
    return f'<svg {head} font-family="{FONT}" font-size="11" fill="{_color("muted")}">{body}</svg>'.encode(
        errors="replace"
    )


def _legend(figure: Figure, width: float, y: float) -> tuple[str, float]:
    """Colours with their names, in lines; and where the next line would be."""
    parts, x = [], MARGIN
    keys = _keys(figure)
    shown = keys if len(keys) <= LEGEND_MOST else [*keys[: LEGEND_MOST - 1], *keys[-1:]]
    for color, label in shown:
        words = label if len(label) <= 40 else label[:39] + "…"
        length = KEY_PX + 6 + len(words) * LETTER_PX + 18
        if x > MARGIN and x + length > MARGIN + width:
            x, y = MARGIN, y + LINE_PX
        parts.append(
            f'<rect x="{px(x)}" y="{px(y - KEY_PX + 1)}" width="{px(KEY_PX)}" height="{px(KEY_PX)}" rx="2" fill="{color}"/>'
            f'<text x="{px(x + KEY_PX + 6)}" y="{px(y)}" font-size="12">{escape(words)}</text>'
        )
        x += length
    return "".join(parts), y + LINE_PX


def _keys(figure: Figure) -> list[tuple[str, str]]:
    """(colour, name) of what a drawing shows."""
    data = figure.data
    if isinstance(data, Chart):
        return [(_painted(paint(each, index)), each.label) for index, each in enumerate(data.series)]
    if isinstance(data, Scatter):
        return [(_painted(data.paint(group)), group) for group in data.groups]
    return [(_color(data.color(group)), group) for group in data.groups]


def _painted(attribute: str) -> str:
    """``color="#3B82F6"`` or ``class="c3"`` → the colour."""
    value = attribute.split('"')[1]
    return value if value.startswith("#") else _color(value)


def _colored(color: str, *, lines: bool) -> str:
    """Programs other than browsers know no ``currentColor`` that is inherited."""
    return f'color="{color}" {"stroke" if lines else "fill"}="{color}"'


def _attributes(names: str, *, lines: bool) -> str:
    """What the style sheet says of these classes, as attributes."""
    found: dict[str, str] = {}
    for name in names.split():
        if name in _PLAIN:
            found |= _PLAIN[name]
        elif name in _light():
            found |= {"color": _color(name), "stroke" if lines else "fill": _color(name)}
    return " ".join(f'{key}="{_color(value[2:]) if value.startswith("--") else value}"' for key, value in found.items())


_PLAIN: Mapping[str, Mapping[str, str]] = {
    "grid": {"stroke": "--line", "fill": "none"},
    "axis": {"stroke": "--muted", "fill": "none"},
    "marker": {"stroke": "--text", "fill": "none", "stroke-dasharray": "1.5 3", "stroke-opacity": ".6"},
    "guide": {"stroke": "--muted", "stroke-width": "1.25", "stroke-dasharray": "5 4"},
    "whisker": {"stroke": "--text", "fill": "none"},
    "bars": {"stroke": "--surface", "stroke-width": ".75"},
    "partial": {"opacity": ".6"},
    "hatch": {"fill": "--surface", "opacity": ".55"},
    "hover": {"fill-opacity": "0", "stroke": "none"},
    "unknown": {"fill": "--sunken", "stroke": "--line"},
    "lines": {"stroke-width": "2", "stroke-linejoin": "round", "stroke-linecap": "round"},
    "point": {"stroke-width": "4"},
    "dots": {"fill-opacity": ".75", "stroke": "--surface"},
    "name": {"fill": "--text", "font-size": "11.5"},
}
"""Class of a drawing → its attributes; ``--name``: a colour of the style sheet."""


def _color(name: str) -> str:
    return _light()[name]


@cache
def _light() -> Mapping[str, str]:
    """Name → colour of the style sheet's light scheme."""
    sheet = static_files()["tokenway.css"].body.decode()
    return dict(re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6})", sheet))
