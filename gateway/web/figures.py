"""What stands around a drawing: its two sizes, its legend, and the table of the same figures. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import axes
from gateway.web.charts import USUAL, Look, Marker, Scatter, bucket_totals, lines, markers_within, scatter, stacked_bars
from gateway.web.frame import HALF, NARROW, WIDE, Size, figure_text
from gateway.web.markup import escape
from gateway.web.numbers import exact
from gateway.web.paint import paint
from gateway.web.row_charts import Mark, Rows, dot_rows, row_bars

LEGEND_MOST = 16
"""Names in a legend; those of more series are in the tooltips and in the table."""
RANKED_FROM = 12
"""With more series that change from bucket to bucket a table has a ranking in each row."""
FILE_NAME_MAX = 60
NO_NOTE = Markup("")
Twin = Literal["folded", "open", "apart"]
"""Where the table of a chart is: it opens on demand, it is open, or another page has it."""
UNIT_WORDS = {
    "tokens_native": "tokens",
    "nano_usd": "billionths of a dollar",
    "ms": "milliseconds",
    "permyriad": "percent",
    "tps": "tokens a second",
    "audio_ms": "milliseconds of sound",
}
"""Unit → how the caption of a table names it."""
EXACT_UNITS = frozenset({"tokens_native", "tokens", "requests", "users", "nano_usd", "pictures", "audio_ms"})
"""Units of whole numbers, which a table shows to the digit."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart on a page, and what ``downloads`` makes files of."""

    title: str
    """No two charts of a page have the same."""
    markup: Markup
    data: Chart | Scatter | Rows
    draw: Callable[[Size], Markup]
    markers: tuple[Marker, ...] = ()

    def __html__(self) -> str:
        return self.markup

    @property
    def name(self) -> str:
        """Of its files: letters, digits and hyphens of its title."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:FILE_NAME_MAX].rstrip("-") or "chart"


def figure(drawing: Callable[[Size], Markup], *twins: Markup, half: bool = False) -> Markup:
    """A drawing for wide and for narrow screens, then ``twins``: its legend, its table folded away. ``half``: it shares a row."""
    sizes = (HALF,) if half else (WIDE, NARROW)
    drawn = "".join(f'<div class="{size.name}">{drawing(size)}</div>' for size in sizes)
    return Markup(f'<figure class="chart">{drawn}{"".join(twins)}</figure>')  # noqa: S704


def folded(rows: Markup, *, unfolded: bool = False) -> Markup:
    """A table that opens on demand. ``unfolded``: it is open already."""
    opened = " open" if unfolded else ""
    return Markup(  # noqa: S704
        f'<details class="twin"{opened}><summary>View as table</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Table of the figures">{rows}</div></details>'
    )


def _twin(rows: Callable[[], Markup], twin: Twin) -> Markup:
    return Markup("") if twin == "apart" else folded(rows(), unfolded=twin == "open")


def legend(chart: Chart, link: Callable[[Series], str | None] = lambda _: None) -> Markup:
    """The names of the series beside their colours, the largest first. ``link``: the page of a series, if it has one."""
    rows = [(paint(each, index), each.label, link(each)) for index, each in enumerate(chart.series)]
    shown = rows if len(rows) <= LEGEND_MOST + 1 else [*rows[:LEGEND_MOST], *rows[-1:]]
    others = chart.series[-1:] and chart.series[-1].key == OTHERS
    if len(rows) > len(shown) and not others:
        shown = rows[:LEGEND_MOST]
    return _keys(shown, len(rows) - len(shown))


def group_legend(plot: Scatter) -> Markup:
    """The groups of a scatter beside their colours; grey is all the rest."""
    rows: list[tuple[str, str, str | None]] = [(plot.paint(group), group, None) for group in plot.groups]
    if any(dot.group not in plot.groups for dot in plot.dots):
        rows.append(('class="c-others"', "others", None))
    return _keys(rows)


def _keys(rows: Iterable[tuple[str, str, str | None]], more: int = 0) -> Markup:
    items = []
    for color, name, address in rows:
        words = escape(name) if address is None else f'<a href="{escape(address, 600)}">{escape(name)}</a>'
        items.append(
            '<li><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><g fill="currentColor">'
            f'<rect {color} width="10" height="10" rx="2"/></g></svg>{words}</li>'
        )
    if more:
        items.append(f"<li>and {more} more in the table</li>")
    return Markup(f'<ul class="legend">{"".join(items)}</ul>')  # noqa: S704


def table(chart: Chart, *, title: str) -> Markup:
    """The figures of a chart, exact: a row for each bucket, the newest first. What was not measured is a dash, not 0."""
    heads = "".join(f'<th scope="col" class="num">{escape(series.label)}</th>' for series in chart.series)
    rows = []
    for place in reversed(range(len(chart.buckets))):
        cells = "".join(f'<td class="num">{_cell(series.values[place], chart.unit)}</td>' for series in chart.series)
        rows.append(f"<tr>{_day(chart, place)}{cells}</tr>")
    return _table(_caption(title, chart.unit), f'<th scope="col">UTC</th>{heads}', rows)


def ranked_table(chart: Chart, *, title: str) -> Markup:
    """The figures of a chart whose series change from bucket to bucket: in each row the largest first, each with its name."""
    totals = bucket_totals(chart)
    named = [series for series in chart.series if series.key != OTHERS]
    rest = next((series for series in chart.series if series.key == OTHERS), None)
    width, rows = 0, []
    for place in reversed(range(len(chart.buckets))):
        known = [(value, each.label) for each in named if (value := each.values[place])]
        known.sort(key=lambda pair: (-pair[0], pair[1]))
        width = max(width, len(known))
        cells = [f"<td>{escape(label, 48)} <b>{_cell(value, chart.unit)}</b></td>" for value, label in known]
        if rest is not None:
            cells.insert(0, f'<td class="num">{_cell(rest.values[place], chart.unit)}</td>')
        rows.append(
            f'<tr>{_day(chart, place)}<td class="num">{_cell(totals[place], chart.unit)}</td>{"".join(cells)}</tr>'
        )
    heads = ['<th scope="col">UTC</th>', '<th scope="col" class="num">Total</th>']
    if rest is not None:
        heads.append('<th scope="col" class="num">Others</th>')
    heads += [f'<th scope="col">{number}.</th>' for number in range(1, width + 1)]
    return _table(_caption(title, chart.unit), "".join(heads), rows)


def scatter_table(plot: Scatter, *, title: str) -> Markup:
    """The dots of a scatter, those with the largest second measure first."""
    heads = "".join(f'<th scope="col" class="num">{escape(name)}</th>' for name in (plot.x_name, plot.y_name))
    rows = [
        f'<tr><th scope="row">{escape(dot.label)}</th><td class="num">{figure_text(dot.x, plot.x_unit)}</td>'
        f'<td class="num">{figure_text(dot.y, plot.y_unit)}</td></tr>'
        for dot in sorted(plot.dots, key=lambda dot: (-dot.y, dot.label))
    ]
    return _table(escape(title), f'<th scope="col">Name</th>{heads}', rows)


def rows_table(chart: Rows, *, title: str) -> Markup:
    """A line for each bar or dot, as they are drawn."""
    lines = [
        f'<tr><th scope="row">{escape(row.label)}</th><td>{escape(mark.group)}</td>'
        f'<td class="num">{figure_text(mark.value, chart.unit)}</td><td class="num">{_interval(mark, chart.unit)}</td>'
        f"<td>{escape(mark.words)}</td></tr>"
        for row in chart.rows
        for mark in row.marks
    ]
    heads = f'<th scope="col">Name</th><th scope="col">Group</th><th scope="col" class="num">{escape(chart.name)}</th>'
    return _table(escape(title), f'{heads}<th scope="col" class="num">Between</th><th scope="col">Of</th>', lines)


def _interval(mark: Mark, unit: str) -> str:
    if mark.low is None or mark.high is None:
        return "–"
    return f"{figure_text(mark.low, unit)} – {figure_text(mark.high, unit)}"


def _table(caption: str, heads: str, rows: list[str]) -> Markup:
    return Markup(  # noqa: S704 - constants, numbers, and text that `escape` has seen
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _caption(title: str, unit: str) -> str:
    return f"{escape(title)} ({escape(UNIT_WORDS.get(unit, unit))})"


def _day(chart: Chart, place: int) -> str:
    so_far = " (so far)" if chart.partial_last and place == len(chart.buckets) - 1 else ""
    return f'<th scope="row">{escape(chart.buckets[place])}{so_far}</th>'


def _cell(value: int | None, unit: str) -> str:
    if value is None:
        return "–"
    return (
        exact(value)
        if unit in EXACT_UNITS or unit not in ("ms", "percent", "permyriad", "tps")
        else figure_text(value, unit)
    )


def marked(markers: Sequence[Marker]) -> Markup:
    """What the dotted lines of a chart stand for, by their numbers; nothing where there are none."""
    if not markers:
        return Markup("")
    named = "".join(f"<li>{escape(label)}, {escape(axes.day_label(day))}</li>" for day, label in markers)
    return Markup(f'<ol class="markers" aria-label="Releases, the dotted lines">{named}</ol>')  # noqa: S704 - escaped


def bars(
    chart: Chart,
    title: str,
    link: Callable[[Series], str | None] = lambda _: None,
    *,
    share: bool = False,
    markers: Sequence[Marker] = (),
    unknown: Collection[int] = (),
    twin: Twin = "folded",
) -> Figure:
    """Stacked bars, as in ``charts.stacked_bars``, with their legend and their table; where the series change from bar to bar, each
    row has its own ranking."""
    changing = chart.meta.get("membership") == "per_bucket" and len(chart.series) > RANKED_FROM
    rows = _twin(lambda: (ranked_table if changing else table)(chart, title=title), twin)
    shown = markers_within(chart, markers)

    def draw(size: Size) -> Markup:
        return stacked_bars(chart, title=title, share=share, size=size, markers=shown, unknown=unknown)

    return Figure(title, figure(draw, legend(chart, link), marked(shown), rows), chart, draw, shown)


def lined(
    chart: Chart,
    title: str,
    link: Callable[[Series], str | None] = lambda _: None,
    *,
    look: Look = USUAL,
    markers: Sequence[Marker] = (),
    half: bool = False,
    twin: Twin = "folded",
) -> Figure:
    """Lines, as in ``charts.lines``, with their table, and their legend where there are several."""
    names = [legend(chart, link)] if len(chart.series) > 1 else []
    shown = markers_within(chart, markers)

    def draw(size: Size) -> Markup:
        return lines(chart, title=title, size=size, look=look, markers=shown)

    rows = _twin(lambda: table(chart, title=title), twin)
    return Figure(title, figure(draw, *names, marked(shown), rows, half=half), chart, draw, shown)


def dotted(plot: Scatter, title: str, note: Markup = NO_NOTE, *, twin: Twin = "folded") -> Figure:
    """A scatter with its groups, a note and its table."""

    def draw(size: Size) -> Markup:
        return scatter(plot, title=title, size=size)

    twins = (group_legend(plot), note, _twin(lambda: scatter_table(plot, title=title), twin))
    return Figure(title, figure(draw, *twins), plot, draw)


def rowed(chart: Rows, title: str, note: Markup = NO_NOTE) -> Figure:
    """Bars or dots in rows with what their colours are, a note and their table."""

    def draw(size: Size) -> Markup:
        return (dot_rows if chart.log else row_bars)(chart, title=title, size=size)

    names = _keys([(f'class="{chart.color(group)}"', group, None) for group in chart.groups])
    return Figure(title, figure(draw, names, note, folded(rows_table(chart, title=title))), chart, draw)
