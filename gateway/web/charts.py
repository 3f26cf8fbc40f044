"""Charts as SVG: pure functions from data to text. Colours are classes of the style sheet, so a chart follows light and dark.

Every chart has a label for screen readers with its three largest, a ``<title>`` where a mouse may rest, and a table of the same
figures beside it (``figures``). A chart is drawn twice, for wide and for narrow screens, because type in an SVG shrinks with it;
the narrow drawing has its own axes and shows the shapes of the wide one again (``Frame.again``). A narrow screen has no mouse.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import msgspec
from markupsafe import Markup

from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import axes
from gateway.web.frame import NARROW, WIDE, Frame, Size, box, figure_text, px, slots, text_at
from gateway.web.markup import escape
from gateway.web.numbers import percent, short
from gateway.web.paint import color_class, paint

NOTHING = "No traffic in this range yet"
TOO_LITTLE = "Too little is known to show it"
MARKER_PX = 22.0
"""Markers that are nearer to each other share a number."""
TIP_ROWS = 14
DOT_PX = (3.5, 13.0)
"""Radius of the lightest and of the heaviest dot."""
NAMED_DOTS = 8
"""The heaviest dots of a scatter, which have their names beside them where there is room."""
LETTER_PX = 6.0
Marker = tuple[str, str]
"""(ISO day, what happened on it)."""


class Dot(msgspec.Struct, frozen=True):
    """One thing with two measures. Both must be above zero to lie on logarithmic axes; others are left out and counted."""

    label: str
    x: float
    y: float
    group: str
    weight: float = 0
    """What the size of the dot stands for; all zero: dots of one size."""


class Guide(msgspec.Struct, frozen=True):
    """A dashed line through a scatter. None: the end of that axis."""

    label: str
    points: tuple[tuple[float | None, float | None], ...]


class Scatter(msgspec.Struct, frozen=True):
    """Dots over two logarithmic axes. Units as in ``frame.FORMATS``."""

    dots: tuple[Dot, ...]
    groups: tuple[str, ...]
    """In the order of their colours; dots of other groups are grey."""
    x_name: str
    y_name: str
    x_unit: str
    y_unit: str
    guides: tuple[Guide, ...] = ()

    def paint(self, group: str) -> str:
        """The colour of a group as an attribute."""
        return f'class="{color_class(self.groups.index(group))}"' if group in self.groups else 'class="c-others"'


def stacked_bars(
    chart: Chart,
    *,
    title: str,
    share: bool = False,
    size: Size = WIDE,
    markers: Sequence[Marker] = (),
    unknown: Collection[int] = (),
) -> Markup:
    """A bar for each bucket: ``others`` at the bottom, above it the largest series, then the next. ``share``: each bar is 100 %.

    A last bucket that is not over is hatched. ``markers`` are days between the buckets, in their order. ``unknown``: places of
    buckets of which too little is known to show it; they are grey.
    """
    totals = bucket_totals(chart)
    most = 100.0 if share else float(max(totals, default=0))
    frame = Frame(size, axes.round_values(most, size.rows), "percent" if share else chart.unit)
    centers, width = slots(len(chart.buckets), size)
    grey = _unknown(chart, frame, [(place, centers[place]) for place in unknown], width)
    if not any(totals):
        nothing = TOO_LITTLE if unknown else NOTHING
        return frame.wrap(f"{title}. {nothing}.", frame.grid() + grey + frame.message(nothing))
    running = len(totals) - 1 if chart.partial_last and totals[-1] else None
    body = [_hatching(frame.hatch(title))] if running is not None else []
    body += [frame.grid(), grey]
    if size is NARROW:
        body.append(frame.again(title, axes.round_values(most, WIDE.rows)))
    else:
        body.append(_bars(chart, frame, title, share=share, running=running))
    if running is not None:
        top = frame.y(100.0 if share else float(totals[running]))
        body.append(_so_far(frame, title, (centers[-1] - width / 2, top, width)))
    body.append(_hovered(chart, frame, centers, share=share))
    body.append(_markers(markers, chart, frame, centers))
    body.append(frame.below(axes.time_ticks(chart.buckets, centers)))
    return frame.wrap(_spoken(chart, title), "".join(body))


def _bars(chart: Chart, frame: Frame, title: str, *, share: bool, running: int | None) -> str:
    """The bars: one path for each series. ``running``: the place of a bucket that is not over, whose bar stands apart."""
    totals = bucket_totals(chart)
    centers, width = slots(len(chart.buckets), frame.size)
    scales = [(100 / total if total else 0.0) if share else 1.0 for total in totals]
    whole: list[str] = []
    so_far: list[str] = []
    bases = [0.0] * len(totals)
    for index, series in _upwards(chart.series):
        parts: list[str] = []
        for place, value in enumerate(series.values):
            height = (value or 0) * scales[place]
            if height > 0:
                high, low = frame.y(bases[place] + height), frame.y(bases[place])
                bases[place] += height
                outline = f"M{px(centers[place] - width / 2)} {px(high)}h{width:.0f}v{px(low - high)}h-{width:.0f}z"
                (so_far if place == running else parts).append(
                    f'<path {paint(series, index)} d="{outline}"/>' if place == running else outline
                )
        if parts:
            whole.append(f'<path {paint(series, index)} d="{"".join(parts)}"/>')
    over = f'<g class="bars" fill="currentColor">{"".join(whole)}</g>'
    if so_far:
        over += f'<g class="bars partial" fill="currentColor">{"".join(so_far)}</g>'
    return f"<g{frame.shapes(title)}>{over}</g>"


def _unknown(chart: Chart, frame: Frame, at: Sequence[tuple[int, float]], width: float) -> str:
    """Grey bars. ``at``: places of their buckets with their centres."""
    size = frame.size
    return "".join(
        f'<rect class="unknown" {box(x - width / 2, size.top, width, size.floor - size.top)}>'
        f"<title>{escape(axes.day_label(chart.buckets[place]))}: {TOO_LITTLE}</title></rect>"
        for place, x in at
    )


def markers_within(chart: Chart, markers: Sequence[Marker]) -> tuple[Marker, ...]:
    """The markers of the days of a chart, in their order; those of one day once."""
    days = [day for each in (chart.buckets[:1], chart.buckets[-1:]) for bucket in each if (day := axes.day_of(bucket))]
    if len(days) < 2 or days[0] == days[1]:
        return ()
    step = (days[1] - days[0]).days / (len(chart.buckets) - 1)
    known = sorted(
        {
            each
            for each in markers
            if (day := axes.day_of(each[0])) and 0 <= (day - days[0]).days < step * len(chart.buckets)
        }
    )
    return tuple(known)


def _markers(markers: Sequence[Marker], chart: Chart, frame: Frame, centers: Sequence[float]) -> str:
    """Dotted lines at days, with their numbers above them; a bucket stands for the days from its own to the next one's."""
    first, last = (axes.day_of(each) for each in (chart.buckets[0], chart.buckets[-1]))
    if not markers or first is None or last is None or len(centers) < 2 or last <= first:
        return ""
    step, half = (centers[-1] - centers[0]) / (last - first).days, (centers[1] - centers[0]) / 2
    places = [
        centers[0] + step * ((day - first).days + 0.5) - half
        for at, _ in markers
        if (day := axes.day_of(at)) is not None
    ]
    drawn = [
        f'<path class="marker" d="M{px(x)} {px(frame.size.top - 4)}V{px(frame.size.floor)}">'
        f"<title>{escape(label)}, {escape(axes.day_label(day))}</title></path>"
        for x, (day, label) in zip(places, markers, strict=True)
    ]
    return "".join(drawn) + "".join(text_at(x, frame.size.top - 7, words, "middle") for x, words in _numbers(places))


def _numbers(places: Sequence[float]) -> Iterator[tuple[float, str]]:
    """(position, ``3`` or ``3-5``) of the numbers of markers; those that lie too near to each other share one."""
    runs: list[list[int]] = []
    for number, x in enumerate(places):
        if runs and x - places[runs[-1][-1]] < MARKER_PX:
            runs[-1].append(number)
        else:
            runs.append([number])
    for run in runs:
        middle = (places[run[0]] + places[run[-1]]) / 2
        yield middle, str(run[0] + 1) if len(run) == 1 else f"{run[0] + 1}–{run[-1] + 1}"


def _so_far(frame: Frame, title: str, bar: tuple[float, float, float]) -> str:
    """The hatching over the bar of a bucket that is not over. ``bar``: its left side, its top and its width."""
    (left, top, width), size = bar, frame.size
    return f'<rect fill="url(#{frame.hatch(title)})" {box(left, top, width, size.floor - top)}/>' + (
        text_at(min(left + width, size.width), top - 5, "so far", "end")
    )


def _hovered(chart: Chart, frame: Frame, centers: Sequence[float], *, total: bool = True, share: bool = False) -> str:
    """Where a mouse reads the figures of a bucket."""
    size = frame.size
    if size is NARROW:
        return ""
    step = size.inner_width / max(len(centers), 1)
    outline = f"h{px(step)}v{px(size.floor - size.top)}h-{px(step)}z"
    places = [
        f'<path d="M{px(x - step / 2)} {px(size.top)}{outline}">'
        f"<title>{_tip(chart, place, total=total, share=share)}</title></path>"
        for place, x in enumerate(centers)
    ]
    return f'<g class="hover">{"".join(places)}</g>'


class Look(msgspec.Struct, frozen=True):
    """What lines look like where they are not usual."""

    ranks: bool = False
    """Values are places, the first on top."""
    most: float | None = None
    """Where the axis ends; None: at the largest value."""
    thick: Collection[str] = ()
    """Keys of series whose lines stand out."""


USUAL = Look()


def lines(chart: Chart, *, title: str, size: Size = WIDE, look: Look = USUAL, markers: Sequence[Marker] = ()) -> Markup:
    """A line for each series from zero; a bucket that was not measured is a gap, never bridged. A running last bucket is dashed."""
    measured = [value for series in chart.series for value in series.values if value is not None]
    most = float(max(measured, default=0)) if look.most is None else look.most
    ticks = axes.places(int(most), size.rows) if look.ranks else axes.round_values(most, size.rows)
    frame = Frame(size, ticks, chart.unit)
    if not measured:
        return frame.wrap(f"{title}. {NOTHING}.", frame.grid() + frame.message(NOTHING))
    centers, _ = slots(len(chart.buckets), size)
    body = [frame.grid()]
    if size is NARROW:
        wide = axes.places(int(most), WIDE.rows) if look.ranks else axes.round_values(most, WIDE.rows)
        body.append(frame.again(title, wide))
    else:
        body.append(_lines(chart, frame, title, centers, look.thick))
    body.append(_hovered(chart, frame, centers, total=False))
    body.append(_markers(markers, chart, frame, centers))
    body.append(frame.below(axes.time_ticks(chart.buckets, centers)))
    return frame.wrap(_spoken(chart, title, last=True), "".join(body))


def _lines(chart: Chart, frame: Frame, title: str, centers: Sequence[float], thick: Collection[str]) -> str:
    parts = []
    for index, series in reversed(list(enumerate(chart.series))):
        points = [
            None if value is None else (x, frame.y(value)) for x, value in zip(centers, series.values, strict=True)
        ]
        width = ' stroke-width="4.5"' if series.key in thick else ""
        parts.append(f"<g {paint(series, index)}{width}>{_runs(points, chart.partial_last)}</g>")
    return f'<g{frame.shapes(title)} class="lines" fill="none" stroke="currentColor">{"".join(parts)}</g>'


def scatter(plot: Scatter, *, title: str, size: Size = WIDE) -> Markup:
    """Dots over two logarithmic axes."""
    dots = [dot for dot in plot.dots if dot.x > 0 and dot.y > 0]
    size = Size(
        size.name, size.width, size.height, left=size.left + 14, bottom=size.bottom + 16, right=size.right + 10, top=32
    )
    if not dots:
        frame = Frame(size, [0.0, 1.0], plot.y_unit)
        return frame.wrap(f"{title}. Nothing to show.", frame.message("Nothing to show"))
    across = axes.log_values(min(dot.x for dot in dots), max(dot.x for dot in dots))
    frame = Frame(size, axes.log_values(min(dot.y for dot in dots), max(dot.y for dot in dots)), plot.y_unit, log=True)
    places = [(frame.x(dot.x, across), frame.y(dot.y)) for dot in dots]
    body = [frame.grid()]
    columns = "".join(f"M{px(frame.x(at, across))} {px(size.top)}V{px(size.floor)}" for at in across[1:])
    body.append(f'<path class="grid" d="{columns}"/>')
    body += [_guide(guide, frame, across) for guide in plot.guides]
    body.append('<g class="dots" fill="currentColor">')
    heaviest = max(dot.weight for dot in dots) or 1
    order = sorted(range(len(dots)), key=lambda place: -dots[place].weight)
    for color, group in groupby(order, lambda place: plot.paint(dots[place].group)):
        circles = (_dot(dots[place], plot, places[place], heaviest, tip=size.name != NARROW.name) for place in group)
        body.append(f"<g {color}>{''.join(circles)}</g>")
    body.append("</g>")
    if heaviest > 1:
        body += _names_of(dots, order, places, size)
    body.append(frame.below([(frame.x(at, across), figure_text(at, plot.x_unit)) for at in across]))
    body.append(text_at(size.left + size.inner_width / 2, size.height - 4, escape(plot.x_name), "middle"))
    body.append(text_at(2, 10, escape(plot.y_name), "start"))
    highest = ", ".join(
        f"{dot.label} {figure_text(dot.y, plot.y_unit)}" for dot in sorted(dots, key=lambda dot: -dot.y)[:3]
    )
    return frame.wrap(f"{title}. {len(dots)} dots. Largest {plot.y_name}: {highest}.", "".join(body))


def _dot(dot: Dot, plot: Scatter, at: tuple[float, float], heaviest: float, *, tip: bool) -> str:
    least, most = DOT_PX
    radius = least + (most - least) * math.sqrt(dot.weight / heaviest) if dot.weight else 4.5
    circle = f'<circle cx="{px(at[0])}" cy="{px(at[1])}" r="{px(radius)}"'
    if not tip:
        return f"{circle}/>"
    measures = f"{figure_text(dot.x, plot.x_unit)} · {figure_text(dot.y, plot.y_unit)}"
    return f"{circle}><title>{escape(dot.label)}\n{measures}</title></circle>"


def _names_of(
    dots: Sequence[Dot], order: Sequence[int], places: Sequence[tuple[float, float]], size: Size
) -> list[str]:
    """Names beside the heaviest dots, each where it covers neither another name nor a dot."""
    taken: list[tuple[float, float, float]] = []
    found: list[str] = []
    for place in order[: 3 * NAMED_DOTS]:
        (x, y), name = places[place], dots[place].label[:28]
        length = len(name) * LETTER_PX
        for left in (x + 12, x - 12 - length):
            inside = left > size.left and left + length < size.width
            names = any(left < b and left + length > a and abs(y - other) < 14 for a, b, other in taken)
            covers = any(
                left - 6 < dx < left + length + 6 and abs(dy - y) < 10 for dx, dy in places if (dx, dy) != (x, y)
            )
            if inside and not names and not covers and len(found) < NAMED_DOTS:
                taken.append((left, left + length, y))
                found.append(text_at(left, y + 4, escape(name), "start").replace("<text", '<text class="name"', 1))
                break
    return found


def _guide(guide: Guide, frame: Frame, across: Sequence[float]) -> str:
    points = [
        (
            frame.x(min(max(across[-1 if number else 0] if x is None else x, across[0]), across[-1]), across),
            frame.y(min(max(frame.ticks[-1 if number else 0] if y is None else y, frame.ticks[0]), frame.ticks[-1])),
        )
        for number, (x, y) in enumerate(guide.points)
    ]
    line = _polyline(points, ' class="guide" fill="none"')
    return f"<g><title>{escape(guide.label)}</title>{line}</g>"


def strip(values: Sequence[float | None], buckets: Sequence[str], *, title: str) -> Markup:
    """A row of bars, each in the colour of its percentage: green from 95, yellow from 85, red below, grey where it is not known."""
    bars = []
    for place, (value, bucket) in enumerate(zip(values, buckets, strict=True)):
        tone = "unknown" if value is None else "ok" if value >= 95 else "warn" if value >= 85 else "bad"
        figure = "too few requests" if value is None else percent(value)
        bars.append(
            f'<rect class="{tone}" {box(place * 10, 0, 8, 28)}><title>{escape(axes.day_label(bucket))}: {figure}</title></rect>'
        )
    known = [value for value in values if value is not None]
    said = f"{title}: {len(known)} of {len(values)} measured" + (f", lowest {percent(min(known))}" if known else "")
    return Markup(  # noqa: S704 - made of numbers, and of text that `escape` has seen
        f'<svg class="strip" viewBox="0 0 {max(len(values), 1) * 10 - 2} 28" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(said)}">{"".join(bars)}</svg>'
    )


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


def bucket_totals(chart: Chart) -> list[int]:
    """The sum of each bucket; what was not measured counts nothing."""
    return [sum(series.values[place] or 0 for series in chart.series) for place in range(len(chart.buckets))]


def _upwards(series: Sequence[Series]) -> list[tuple[int, Series]]:
    numbered = list(enumerate(series))
    return sorted(numbered, key=lambda pair: pair[1].key != OTHERS)


def _runs(points: Sequence[tuple[float, float] | None], dashed: bool) -> str:
    """Lines through neighbouring points, dots for those without a neighbour; ``dashed``: the way to the last point."""
    parts: list[str] = []
    run: list[tuple[float, float]] = []
    for place, point in enumerate([*points, None]):
        if point is not None:
            run.append(point)
            continue
        if len(run) == 1:
            parts.append(f'<path class="point" d="M{px(run[0][0])} {px(run[0][1])}h0"/>')
        elif run:
            solid = run[:-1] if dashed and place == len(points) else run
            parts.append(_polyline(solid) if len(solid) > 1 else "")
            parts.append(_polyline(run[-2:], ' stroke-dasharray="3 3"') if solid is not run else "")
        run = []
    return "".join(parts)


def _polyline(points: Sequence[tuple[float, float]], more: str = "") -> str:
    return f'<polyline points="{" ".join(f"{px(x)},{px(y)}" for x, y in points)}"{more}/>'


def _hatching(name: str) -> str:
    return (
        f'<defs><pattern id="{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch" width="3" height="6"/></pattern></defs>'
    )


def _tip(chart: Chart, place: int, *, total: bool, share: bool) -> str:
    """What a mouse over a bucket reads: the day, the sum, each series as the bars have it, the largest first."""
    known = [
        (value, series.label) for series in chart.series if (value := series.values[place]) is not None and value > 0
    ]
    known.sort(key=lambda pair: (-pair[0], pair[1]))
    whole = sum(value for value, _ in known)
    so_far = " (so far)" if chart.partial_last and place == len(chart.buckets) - 1 else ""
    rows = [escape(axes.day_label(chart.buckets[place])) + so_far]
    if total:
        rows.append(f"Total: {figure_text(whole, chart.unit)}" if known else "Nothing")
    for value, label in known[:TIP_ROWS]:
        rows.append(f"{escape(label, 60)}: {percent(100 * value / whole) if share else figure_text(value, chart.unit)}")
    return "\n".join(rows)


def _spoken(chart: Chart, title: str, *, last: bool = False) -> str:
    """What a screen reader says of the whole: the span, and the three largest sums, or the last values of three."""
    span = f"{axes.day_label(chart.buckets[0])} to {axes.day_label(chart.buckets[-1])}"
    if last:
        ends = [([value for value in each.values if value is not None][-1:], each.label) for each in chart.series]
        said = ", ".join(f"{label[:80]} {figure_text(end[0], chart.unit)}" for end, label in ends[:3] if end)
        return f"{title}, {span}. Last: {said}."
    sums = [(sum(value or 0 for value in series.values), series.label) for series in chart.series]
    top = ", ".join(
        f"{label[:80]} {figure_text(value, chart.unit)}" for value, label in sorted(sums, key=lambda pair: -pair[0])[:3]
    )
    return f"{title}, {span}. Largest: {top}."
