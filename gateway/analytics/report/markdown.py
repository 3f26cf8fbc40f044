"""A report as Markdown: text, definition and a table of each figure. Charts become tables of a few of their weeks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Figure, Panel, Plot, Report, Table, TimeChart

BUCKETS_SHOWN = 6
SERIES_SHOWN = 8
ROWS_SHOWN = 25
DOTS_SHOWN = 20
_HIDDEN = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x200B,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
)
_ESCAPED = str.maketrans(
    {chr(code): "\ufffd" for code in _HIDDEN}
    | {char: f"\\{char}" for char in "\\`*_{}[]<>|#&~"}
    | dict.fromkeys("\t\n\r", " ")
)
"""Markup, entities; and characters that hide or turn what follows them."""


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def scope_text(report: Report) -> str:
    """What the report is about, in one paragraph."""
    scope = report.scope
    counts = (
        words.counted(scope.models, "model"),
        words.counted(scope.authors, "author"),
        words.counted(scope.providers, "provider"),
        words.counted(scope.users, "user"),
    )
    estimated = (
        f" Of {words.counted(scope.estimated_requests, 'request')} the provider reported no usage; their tokens are "
        "this gateway's count."
        if scope.estimated_requests
        else ""
    )
    privacy = (
        f" Each value is that of at least {scope.least_users} users, and no organisation has more than four fifths of it; what "
        "does not pass is within others."
        if scope.least_users > 1
        else " This report is for the operator: it shows values of single accounts."
    )
    return (
        f"{words.amount(scope.tokens)} tokens in {scope.requests:,} requests, from {scope.first_event} to {scope.last_event}: "
        f"{words.counted(scope.weeks, 'week')}, {words.listed(counts)}.{estimated}{privacy}"
    )


def _lines(report: Report) -> Iterator[str]:
    yield f"# State of AI {report.name.replace('_', ' to ')}"
    yield ""
    yield f"{_text(scope_text(report))} Made at {report.made_at}."
    section = ""
    for figure in report.figures:
        if figure.section != section:
            section = figure.section
            yield from ("", f"## {_text(section)}")
        yield from _figure(figure)
    yield from ("", "## What this does not show", "")
    yield from (f"- {_text(limit)}" for limit in report.limits)


def _figure(figure: Figure) -> Iterator[str]:
    yield from ("", f"### {figure.id} {_text(figure.title)}", "", _text(figure.text), "")
    estimated = ", estimated from a sample" if figure.estimator == "sampled" else ""
    yield f"*Definition: {_text(figure.definition)}. n = {figure.n:,} events{estimated}.*"
    for panel in figure.series:
        yield from ("", f"**{_text(panel.title)}**", "")
        yield from _rows(*_table(panel))


def _table(panel: Panel) -> tuple[list[str], list[list[str]]]:
    if isinstance(panel, Table):
        heads = [column.name for column in panel.columns]
        return heads, [
            [words.value(value, column.unit) for value, column in zip(row, panel.columns, strict=True)]
            for row in panel.rows[:ROWS_SHOWN]
        ]
    if isinstance(panel, Plot):
        heads = ["", panel.x_name, panel.y_name]
        return heads, [
            [dot.label, words.value(dot.x, panel.x_unit), words.value(dot.y, panel.y_unit)]
            for dot in panel.dots[:DOTS_SHOWN]
        ]
    return _of_chart(panel)


def _of_chart(panel: TimeChart) -> tuple[list[str], list[list[str]]]:
    chart = panel.chart
    last = len(chart.buckets) - 1
    places = sorted({round(last * part / (BUCKETS_SHOWN - 1)) for part in range(BUCKETS_SHOWN)}) if last >= 0 else []
    totals = [sum(series.values[at] or 0 for series in chart.series) for at in range(last + 1)]
    rows = []
    for series in chart.series[:SERIES_SHOWN]:
        values: list[Cell] = [series.values[at] for at in places]
        unit = chart.unit
        if panel.draw == "shares":
            unit = "percent"
            values = [
                None if value is None or not totals[at] else 100 * float(value) / totals[at]
                for value, at in zip((series.values[at] for at in places), places, strict=True)
            ]
        rows.append([series.label, *(words.value(value, unit) for value in values)])
    return ["", *(chart.buckets[at] for at in places)], rows


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(_text, heads)) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(map(_text, row)) + " |"


def _text(value: str) -> str:
    """Text of others as text: nothing in it is markup."""
    return value.translate(_ESCAPED).replace("://", "\\://").replace("www.", "www\\.")  # no address becomes a link
