"""Charts as SVG: pure functions from data to text. Colours are classes of the style sheet, so a chart follows light and dark.

Every chart has a label for screen readers with its three largest, a ``<title>`` where a mouse may rest, and a table of the same
figures beside it (``figure``). A chart is drawn twice, for wide and for narrow screens, because type in an SVG shrinks with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2s

import msgspec
from markupsafe import Markup

from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import axes
from gateway.web.markup import escape
from gateway.web.numbers import dollars, exact, milliseconds, percent, short

COLORS = 10
"""Classes ``c0`` to ``c9`` of the style sheet."""
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
NOTHING = "No traffic in this range yet"
BAR_MAX_PX = 56.0
TIP_ROWS = 14


class Dot(msgspec.Struct, frozen=True):
    """One thing with two measures. Both must be above zero to lie on logarithmic axes; others are left out and counted."""

    label: str
    x: float
    y: float
    group: str


class Scatter(msgspec.Struct, frozen=True):
    """Dots over two logarithmic axes. Units as in ``FORMATS``."""

    dots: tuple[Dot, ...]
    groups: tuple[str, ...]
    """In the order of their colours; dots of other groups are grey."""
    x_name: str
    y_name: str
    x_unit: str
    y_unit: str


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
}
"""Unit → how a value is written on an axis and in a tooltip; other units are counts."""


def stacked_bars(chart: Chart, *, title: str, share: bool = False, size: Size = WIDE) -> Markup:
    """A bar for each bucket: ``others`` at the bottom, above it the largest series, then the next. ``share``: each bar is 100 %.

    A last bucket that is not over is hatched.
    """
    totals = bucket_totals(chart)
    most = 100.0 if share else float(max(totals, default=0))
    frame = _Frame(size, axes.round_values(most, size.rows), "percent" if share else chart.unit)
    if not any(totals):
        return frame.wrap(f"{title}. {NOTHING}.", frame.grid() + frame.message(NOTHING))
    centers, width = _slots(len(chart.buckets), size)
    body = [frame.grid(), '<g class="bars" fill="currentColor">']
    for place, total in enumerate(totals):
        scale = (100 / total if total else 0.0) if share else 1.0
        last = chart.partial_last and place == len(totals) - 1
        body.append(f'<g class="{"partial" if last else "whole"}"><title>{_tip(chart, place)}</title>')
        left, base = centers[place] - width / 2, 0.0
        for index, series in _upwards(chart.series):
            value = (series.values[place] or 0) * scale
            if value > 0:
                high, low = frame.y(base + value), frame.y(base)
                body.append(f"<rect {_paint(series, index)} {_box(left, high, width, low - high)}/>")
                base += value
        if last and total:
            body.append(
                f'<rect fill="url(#{frame.hatch(title)})" {_box(left, frame.y(base), width, size.floor - frame.y(base))}/>'
            )
        body.append("</g>")
    body.append("</g>")
    if chart.partial_last and totals[-1]:
        body.append(
            _text(
                min(centers[-1] + width / 2, size.width), frame.y(totals[-1] if not share else 100) - 5, "so far", "end"
            )
        )
        body.insert(0, _hatching(frame.hatch(title)))
    body += frame.below(axes.time_ticks(chart.buckets, centers))
    return frame.wrap(_spoken(chart, title), "".join(body))


def lines(chart: Chart, *, title: str, size: Size = WIDE) -> Markup:
    """A line for each series from zero; a bucket that was not measured is a gap, never bridged. A running last bucket is dashed."""
    measured = [value for series in chart.series for value in series.values if value is not None]
    frame = _Frame(size, axes.round_values(float(max(measured, default=0)), size.rows), chart.unit)
    if not measured:
        return frame.wrap(f"{title}. {NOTHING}.", frame.grid() + frame.message(NOTHING))
    centers, width = _slots(len(chart.buckets), size)
    body = [frame.grid(), '<g class="lines" fill="none" stroke="currentColor">']
    for index, series in reversed(list(enumerate(chart.series))):
        points = [
            None if value is None else (x, frame.y(value)) for x, value in zip(centers, series.values, strict=True)
        ]
        body.append(f"<g {_paint(series, index)}>{_runs(points, chart.partial_last)}</g>")
    body.append('</g><g class="hover" fill="transparent">')
    for place, x in enumerate(centers):
        tip = _tip(chart, place, total=False)
        body.append(f"<g><title>{tip}</title><rect {_box(x - width / 2, size.top, width, size.floor - size.top)}/></g>")
    body.append("</g>")
    body += frame.below(axes.time_ticks(chart.buckets, centers))
    return frame.wrap(_spoken(chart, title), "".join(body))


def scatter(plot: Scatter, *, title: str, size: Size = WIDE) -> Markup:
    """Dots over two logarithmic axes."""
    dots = [dot for dot in plot.dots if dot.x > 0 and dot.y > 0]
    size = Size(
        size.name, size.width, size.height, left=size.left + 14, bottom=size.bottom + 16, right=size.right + 10, top=32
    )
    if not dots:
        frame = _Frame(size, [0.0, 1.0], plot.y_unit)
        return frame.wrap(f"{title}. Nothing to show.", frame.message("Nothing to show"))
    across = axes.powers_of_ten(min(dot.x for dot in dots), max(dot.x for dot in dots))
    frame = _Frame(
        size, axes.powers_of_ten(min(dot.y for dot in dots), max(dot.y for dot in dots)), plot.y_unit, log=True
    )

    def x(value: float) -> float:
        return size.left + size.inner_width * _part(value, across[0], across[-1], log=True)

    body = [frame.grid()]
    body += [
        f'<line class="grid" x1="{_n(x(at))}" x2="{_n(x(at))}" y1="{_n(size.top)}" y2="{_n(size.floor)}"/>'
        for at in across[1:]
    ]
    body.append('<g class="dots" fill="currentColor">')
    for dot in dots:
        color = _class_of(plot.groups.index(dot.group)) if dot.group in plot.groups else "c-others"
        tip = "\n".join(
            (
                escape(dot.label),
                f"{escape(plot.x_name)}: {_figure(dot.x, plot.x_unit)}",
                f"{escape(plot.y_name)}: {_figure(dot.y, plot.y_unit)}",
            )
        )
        body.append(
            f'<circle class="{color}" cx="{_n(x(dot.x))}" cy="{_n(frame.y(dot.y))}" r="4.5"><title>{tip}</title></circle>'
        )
    body.append("</g>")
    body += frame.below([(x(at), _figure(at, plot.x_unit)) for at in across])
    body.append(_text(size.left + size.inner_width / 2, size.height - 4, escape(plot.x_name), "middle"))
    body.append(_text(2, 10, escape(plot.y_name), "start"))
    highest = ", ".join(
        f"{dot.label} {_figure(dot.y, plot.y_unit)}" for dot in sorted(dots, key=lambda dot: -dot.y)[:3]
    )
    return frame.wrap(f"{title}. {len(dots)} dots. Largest {plot.y_name}: {highest}.", "".join(body))


def sparkline(values: Sequence[int | None], *, title: str) -> Markup:
    """A word-sized line without axes, from zero; gaps as in ``lines``."""
    measured = [value for value in values if value is not None]
    most = max(measured, default=0) or 1
    step = 96 / max(len(values) - 1, 1)
    points = [
        None if value is None else (2 + place * step, 22 - 20 * value / most) for place, value in enumerate(values)
    ]
    said = f"{title}: last {short(measured[-1])}, highest {short(max(measured))}" if measured else f"{title}: no data"
    return Markup(  # noqa: S704 - made of numbers, and of text that `escape` has seen
        f'<svg class="spark" viewBox="0 0 100 24" role="img" aria-label="{escape(said)}"><g fill="none" stroke="currentColor">'
        f"{_runs(points, dashed=False)}</g></svg>"
    )


def table(chart: Chart, *, title: str) -> Markup:
    """The figures of a chart, exact: a row for each bucket, the newest first. What was not measured is a dash, not 0."""
    heads = "".join(f'<th scope="col" class="num">{escape(series.label)}</th>' for series in chart.series)
    rows = []
    for place in reversed(range(len(chart.buckets))):
        cells = "".join(f'<td class="num">{_exact(series.values[place])}</td>' for series in chart.series)
        so_far = " (so far)" if chart.partial_last and place == len(chart.buckets) - 1 else ""
        rows.append(f'<tr><th scope="row">{escape(chart.buckets[place])}{so_far}</th>{cells}</tr>')
    return Markup(  # noqa: S704
        f'<table><caption>{escape(title)} ({escape(chart.unit)})</caption><thead><tr><th scope="col">UTC</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def legend(chart: Chart) -> Markup:
    """The names of the series beside their colours, the largest first."""
    return _keys((_paint(series, index), series.label) for index, series in enumerate(chart.series))


def group_legend(plot: Scatter) -> Markup:
    """The groups of a scatter beside their colours; grey is all the rest."""
    names = [(_class_of(index), group) for index, group in enumerate(plot.groups)]
    if any(dot.group not in plot.groups for dot in plot.dots):
        names.append(("c-others", "others"))
    return _keys((f'class="{color}"', name) for color, name in names)


def hue(name: str) -> str:
    """The class of a colour that always belongs to the same name."""
    return _class_of(blake2s(name.encode(errors="replace"), digest_size=2).digest()[0])


def figure(drawing: Callable[[Size], Markup], *twins: Markup) -> Markup:
    """A drawing for wide and for narrow screens, then ``twins``: its legend, and its table folded away."""
    both = "".join(f'<div class="{size.name}">{drawing(size)}</div>' for size in (WIDE, NARROW))
    return Markup(f'<figure class="chart">{both}{"".join(twins)}</figure>')  # noqa: S704


def folded(rows: Markup) -> Markup:
    """A table that opens on demand."""
    return Markup(  # noqa: S704
        f'<details class="twin"><summary>View as table</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Table of the figures">{rows}</div></details>'
    )


def bucket_totals(chart: Chart) -> list[int]:
    """The sum of each bucket; what was not measured counts nothing."""
    return [sum(series.values[place] or 0 for series in chart.series) for place in range(len(chart.buckets))]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The vertical axis, and what surrounds every drawing."""

    size: Size
    ticks: list[float]
    unit: str
    log: bool = False

    def y(self, value: float) -> float:
        height = self.size.floor - self.size.top
        return self.size.floor - height * _part(value, self.ticks[0], self.ticks[-1], log=self.log)

    def grid(self) -> str:
        size, parts = self.size, []
        for at in self.ticks:
            y = _n(self.y(at))
            kind = "axis" if at == self.ticks[0] else "grid"
            parts.append(
                f'<line class="{kind}" x1="{_n(size.left)}" x2="{_n(size.width - size.right)}" y1="{y}" y2="{y}"/>'
            )
            parts.append(_text(size.left - 6, self.y(at) + 4, _figure(at, self.unit), "end"))
        return "".join(parts)

    def below(self, ticks: list[axes.Tick]) -> list[str]:
        low, high = self.size.left, self.size.width - self.size.right
        return [
            _text(min(max(x, low), high), self.size.floor + 18, escape(label, 24), _anchor(x, label, high))
            for x, label in ticks
        ]

    def message(self, text: str) -> str:
        return _text(self.size.left + self.size.inner_width / 2, self.size.floor / 2, escape(text), "middle")

    def hatch(self, title: str) -> str:
        """An id that no other chart of a page has."""
        return f"hatch-{self.size.name}-{blake2s(title.encode(errors='replace'), digest_size=4).hexdigest()}"

    def wrap(self, said: str, body: str) -> Markup:
        return Markup(  # noqa: S704 - numbers, constants, and text that `escape` has seen
            f'<svg viewBox="0 0 {_n(self.size.width)} {_n(self.size.height)}" role="img" '
            f'aria-label="{escape(said, 600)}">{body}</svg>'
        )


def _keys(pairs: Iterable[tuple[str, str]]) -> Markup:
    items = "".join(
        '<li><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><g fill="currentColor">'
        f'<rect {paint} width="10" height="10" rx="2"/></g></svg>{escape(name)}</li>'
        for paint, name in pairs
    )
    return Markup(f'<ul class="legend">{items}</ul>')  # noqa: S704


def _anchor(x: float, label: str, right: float) -> str:
    return "end" if x + len(label) * axes.LETTER_PX / 2 > right + 8 else "middle"


def _part(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / (high - low)


def _slots(count: int, size: Size) -> tuple[list[float], float]:
    """The centre of each bucket, and the width of a bar."""
    step = size.inner_width / max(count, 1)
    return [size.left + step * (place + 0.5) for place in range(count)], min(step * 0.84, BAR_MAX_PX)


def _upwards(series: Sequence[Series]) -> list[tuple[int, Series]]:
    numbered = list(enumerate(series))
    return sorted(numbered, key=lambda pair: pair[1].key != OTHERS)


def _paint(series: Series, index: int) -> str:
    """The colour of a series as an attribute that ``currentColor`` follows; a colour that is none is replaced."""
    if series.color is not None and _COLOR.fullmatch(series.color):
        return f'color="{series.color}"'
    return 'class="c-others"' if series.key == OTHERS else f'class="{_class_of(index)}"'


def _class_of(index: int) -> str:
    return f"c{index % COLORS}"


def _runs(points: Sequence[tuple[float, float] | None], dashed: bool) -> str:
    """Lines through neighbouring points, dots for those without a neighbour; ``dashed``: the way to the last point."""
    parts: list[str] = []
    run: list[tuple[float, float]] = []
    for place, point in enumerate([*points, None]):
        if point is not None:
            run.append(point)
            continue
        if len(run) == 1:
            parts.append(f'<circle cx="{_n(run[0][0])}" cy="{_n(run[0][1])}" r="2" fill="currentColor"/>')
        elif run:
            solid = run[:-1] if dashed and place == len(points) else run
            parts.append(_polyline(solid) if len(solid) > 1 else "")
            parts.append(_polyline(run[-2:], ' stroke-dasharray="3 3"') if solid is not run else "")
        run = []
    return "".join(parts)


def _polyline(points: Sequence[tuple[float, float]], more: str = "") -> str:
    return f'<polyline points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}"{more}/>'


def _hatching(name: str) -> str:
    return (
        f'<defs><pattern id="{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch" width="3" height="6"/></pattern></defs>'
    )


def _tip(chart: Chart, place: int, *, total: bool = True) -> str:
    """What a mouse over a bucket reads: the day, the sum, each series with its share, the largest first."""
    known = [
        (value, series.label) for series in chart.series if (value := series.values[place]) is not None and value > 0
    ]
    known.sort(key=lambda pair: (-pair[0], pair[1]))
    whole = sum(value for value, _ in known)
    so_far = " (so far)" if chart.partial_last and place == len(chart.buckets) - 1 else ""
    rows = [escape(axes.day_label(chart.buckets[place])) + so_far]
    if total:
        rows.append(f"Total: {_figure(whole, chart.unit)}" if known else "Nothing")
    for value, label in known[:TIP_ROWS]:
        part = f" ({percent(100 * value / whole)})" if total else ""
        rows.append(f"{escape(label, 60)}: {_figure(value, chart.unit)}{part}")
    return "\n".join(rows)


def _spoken(chart: Chart, title: str) -> str:
    """What a screen reader says of the whole: the span, and the three largest."""
    sums = [(sum(value or 0 for value in series.values), series.label) for series in chart.series]
    top = ", ".join(
        f"{label[:80]} {_figure(value, chart.unit)}" for value, label in sorted(sums, key=lambda pair: -pair[0])[:3]
    )
    span = f"{axes.day_label(chart.buckets[0])} to {axes.day_label(chart.buckets[-1])}"
    return f"{title}, {span}. Largest: {top}."


def _figure(value: float, unit: str) -> str:
    return FORMATS.get(unit, short)(value)


def _exact(value: int | None) -> str:
    return "–" if value is None else exact(value)


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    """``text`` has been escaped."""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{text}</text>'


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
