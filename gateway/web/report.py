"""The report on the state of AI as a page, and as one file of HTML; both are made of the report's JSON, and draw nothing else.

The page is public like the rankings: where these are, and where the report was made for others than the operator.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from gateway.analytics.report import document, words
from gateway.analytics.report.document import Column, Figure, Panel, Plot, Report, Table, TimeChart
from gateway.analytics.report.markdown import scope_text
from gateway.settings import Settings
from gateway.web import charts, figures
from gateway.web.charts import Dot, Guide, Scatter
from gateway.web.frame import Size
from gateway.web.markup import escape
from gateway.web.rendering import environment, static_files
from gateway.web.site import Contents, Seen, Site

TABLE_ROWS, OPEN_ROWS = 60, 25
"""Rows of a table, and those of one that need not be opened."""
COMMAND = "tokenway analytics report --year {year}"
KEPT = 4
"""Reports that are kept drawn."""
NUMBERS = frozenset({"count", "percent", "interval", "usd_per_mtok", "number"})


def add_route(routes: APIRouter, site: Site) -> None:
    """The page ``/state-of-ai``; ``?report=`` names another one than the newest."""
    page = ReportPage()

    @routes.get("/state-of-ai")
    async def state_of_ai(request: Request) -> Response:
        settings, wanted = request.app.state.services.settings, request.query_params.get("report")
        return await site.answer(request, lambda seen, _: page.contents(settings, wanted, _year(seen)))


def _year(seen: Seen) -> int:
    return datetime.fromtimestamp(seen.now, UTC).year


class Drawn(NamedTuple):
    """A figure with its drawings."""

    figure: Figure
    panels: list[Markup]


class ReportPage:
    """What the page is made of. A report is drawn once and kept until its file changes: two hundred drawings take a while."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Mapping[str, Any]] = {}

    def contents(self, settings: Settings, wanted: str | None, year: int) -> Contents:
        """Template, values and status. ``wanted``: the name of a report, None for the newest; ``year``: the running one, for the
        example of a command. Reads files."""
        names = document.names(settings.data_dir)
        values: dict[str, Any] = {
            "report": None,
            "names": names,
            "command": COMMAND.format(year=year),
            "reason": "none",
        }
        if not settings.public_rankings:
            return "state_of_ai.html", values | {"reason": "private"}, 200
        if wanted is not None and wanted not in names:
            return "state_of_ai.html", values | {"reason": "unknown"}, 404
        for name in [wanted] if wanted is not None else names:
            found = self._read(document.file_of(settings.data_dir, name))
            if found is None:
                values["reason"] = "unreadable"
            elif found["report"].scope.least_users < settings.rankings_min_users:
                values["reason"] = "for the operator"
            else:
                return "state_of_ai.html", {**values, **found}, 200
        return "state_of_ai.html", values, 200

    def _read(self, path: Path) -> Mapping[str, Any] | None:
        try:
            told = path.stat()
            key = (path, told.st_mtime_ns, told.st_size)
            if key not in self._kept:
                while len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = drawn_values(document.decode(path.read_bytes()))
            return self._kept[key]
        except (OSError, msgspec.DecodeError):
            return None


def html(report: Report) -> bytes:
    """One file that needs no other: its style is within."""
    values = {**drawn_values(report), "css": Markup(static_files()["tokenway.css"].body.decode())}  # noqa: S704 - our own file
    return environment().get_template("report_file.html").render(values).encode(errors="replace")


def drawn_values(report: Report) -> Mapping[str, Any]:
    """What the templates show of a report."""
    sections = [
        (section, [Drawn(each, [drawn(each.id, panel) for panel in each.series]) for each in members])
        for section, members in groupby(report.figures, key=lambda each: each.section)
    ]
    return {"report": report, "sections": sections, "scope": scope_text(report), "amount": words.amount}


def drawn(of: str, panel: Panel) -> Markup:
    """A panel of the figure ``of``, with its legend and its table."""
    if isinstance(panel, Table):
        return _table(panel)
    title = f"{of}: {panel.title}"
    return _plot(panel, title) if isinstance(panel, Plot) else _chart(panel, title)


def _chart(panel: TimeChart, title: str) -> Markup:
    chart = panel.chart
    if panel.draw == "lines":
        return _titled(panel.title, figures.lined(chart, title))

    def bars(size: Size) -> Markup:
        return charts.stacked_bars(chart, title=title, share=panel.draw == "shares", size=size, markers=panel.markers)

    twins = (figures.legend(chart), _markers(panel), figures.folded(figures.table(chart, title=panel.title)))
    return _titled(panel.title, figures.figure(bars, *twins))


def _markers(panel: TimeChart) -> Markup:
    if not panel.markers:
        return Markup("")
    named = "; ".join(f"{escape(label)} {escape(day)}" for day, label in panel.markers)
    return Markup(f'<p class="small muted markers">Dotted lines are releases: {named}.</p>')  # noqa: S704 - escaped


def _plot(panel: Plot, title: str) -> Markup:
    plot = Scatter(
        dots=tuple(Dot(dot.label, dot.x, dot.y, dot.group, dot.y) for dot in panel.dots),
        groups=panel.groups,
        x_name=panel.x_name,
        y_name=panel.y_name,
        x_unit=panel.x_unit,
        y_unit=panel.y_unit,
        guides=tuple(Guide(guide.label, (guide.start, guide.end)) for guide in panel.guides),
    )
    guides = ", ".join(escape(guide.label) for guide in panel.guides)
    words_of_guides = Markup(f'<p class="small muted">Dashed: {guides}.</p>' if guides else "")  # noqa: S704 - escaped
    twins = (
        figures.group_legend(plot),
        words_of_guides,
        figures.folded(figures.scatter_table(plot, title=panel.title)),
    )
    return _titled(panel.title, figures.figure(lambda size: charts.scatter(plot, title=title, size=size), *twins))


def _titled(title: str, figure: Markup) -> Markup:
    return Markup(f"<h4>{escape(title)}</h4>{figure}")  # noqa: S704 - escaped


def _table(panel: Table) -> Markup:
    heads = "".join(f'<th scope="col"{_kind(column)}>{escape(column.name)}</th>' for column in panel.columns)
    rows = []
    for row in panel.rows[:TABLE_ROWS]:
        first, *rest = (
            escape(words.value(value, column.unit)) for value, column in zip(row, panel.columns, strict=True)
        )
        cells = "".join(f"<td{_kind(column)}>{text}</td>" for text, column in zip(rest, panel.columns[1:], strict=True))
        rows.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    more = len(panel.rows) - len(rows)
    note = f'<p class="small muted">{more} more rows in the JSON.</p>' if more else ""
    table = Markup(  # noqa: S704 - constants, numbers, and text that `escape` has seen
        f'<table><caption class="hidden">{escape(panel.title)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    if len(rows) > OPEN_ROWS:
        return _titled(panel.title, figures.folded(table) + Markup(note))  # noqa: S704 - a number
    label = escape(panel.title)
    shown = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>{note}'
    return _titled(panel.title, Markup(shown))  # noqa: S704 - escaped


def _kind(column: Column) -> str:
    return ' class="num"' if column.unit in NUMBERS else ""
