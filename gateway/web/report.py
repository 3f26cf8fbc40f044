"""The report on the state of AI as a page, and as one file of HTML; both are made of the report's JSON, and draw nothing else.

The page is public like the rankings: where these are, and where the report was made for others than the operator.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from gateway.analytics.report import document, words
from gateway.analytics.report.document import Column, Panel, Plot, Report, Table, TimeChart
from gateway.analytics.report.markdown import scope_text
from gateway.settings import Settings
from gateway.web import figures
from gateway.web.charts import Dot, Guide, Marker, Scatter
from gateway.web.figures import Figure
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
        releases = request.query_params.get("releases") == "show"
        return await site.answer(request, lambda seen, _: page.contents(settings, wanted, seen, releases=releases))


class Shown(NamedTuple):
    """A panel of a figure: a chart, or a table."""

    title: str
    chart: Figure | None
    table: Markup = Markup("")


class Drawn(NamedTuple):
    """A figure of the report with its panels."""

    figure: document.Figure
    panels: list[Shown]


class ReportPage:
    """What the page is made of. A report is drawn once and kept until its file changes: two hundred drawings take a while."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Mapping[str, Any]] = {}

    def contents(self, settings: Settings, wanted: str | None, seen: Seen, *, releases: bool) -> Contents:
        """Template, values and status. ``wanted``: the name of a report, None for the newest; ``releases``: of models, on every
        chart of time. Reads files."""
        markers = [(each.day.isoformat(), each.label) for each in seen.catalog.attributes.releases] if releases else []
        names = document.names(settings.data_dir)
        values: dict[str, Any] = {
            "report": None,
            "names": names,
            "command": COMMAND.format(year=datetime.fromtimestamp(seen.now, UTC).year),
            "reason": "none",
            "releases": releases,
        }
        if not settings.public_rankings:
            return "state_of_ai.html", values | {"reason": "private"}, 200
        if wanted is not None and wanted not in names:
            return "state_of_ai.html", values | {"reason": "unknown"}, 404
        for name in [wanted] if wanted is not None else names:
            found = self._read(document.file_of(settings.data_dir, name), markers)
            if found is None:
                values["reason"] = "unreadable"
            elif found["report"].scope.least_users < settings.rankings_min_users:
                values["reason"] = "for the operator"
            else:
                return "state_of_ai.html", {**values, **found}, 200
        return "state_of_ai.html", values, 200

    def _read(self, path: Path, markers: Sequence[Marker]) -> Mapping[str, Any] | None:
        try:
            told = path.stat()
            key = (path, told.st_mtime_ns, told.st_size, *markers)
            if key not in self._kept:
                while len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = drawn_values(document.decode(path.read_bytes()), markers)
            return self._kept[key]
        except (OSError, msgspec.DecodeError):
            return None


def html(report: Report) -> bytes:
    """One file that needs no other: its style is within."""
    values = {**drawn_values(report), "here": None, "css": Markup(static_files()["tokenway.css"].body.decode())}  # noqa: S704 - our own file
    return environment().get_template("report_file.html").render(values).encode(errors="replace")


def drawn_values(report: Report, releases: Sequence[Marker] = ()) -> Mapping[str, Any]:
    """What the templates show of a report. ``releases`` are marked on every chart of time, beside those that the report marks."""
    sections = [
        (section, [Drawn(each, [drawn(each.id, panel, releases) for panel in each.series]) for each in members])
        for section, members in groupby(report.figures, key=lambda each: each.section)
    ]
    shown = [panel.chart for _, members in sections for each in members for panel in each.panels if panel.chart]
    values = {"report": report, "sections": sections, "scope": scope_text(report), "amount": words.amount}
    return {**values, "charts": shown}


def drawn(of: str, panel: Panel, releases: Sequence[Marker] = ()) -> Shown:
    """A panel of the figure ``of``, with its legend and its table."""
    if isinstance(panel, Table):
        return Shown(panel.title, None, _table(panel))
    title = f"{of}: {panel.title}"
    return Shown(panel.title, _plot(panel, title) if isinstance(panel, Plot) else _chart(panel, title, releases))


def _chart(panel: TimeChart, title: str, releases: Sequence[Marker]) -> Figure:
    markers = [*panel.markers, *releases]
    if panel.draw == "lines":
        return figures.lined(panel.chart, title, markers=markers)
    return figures.bars(panel.chart, title, share=panel.draw == "shares", markers=markers)


def _plot(panel: Plot, title: str) -> Figure:
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
    return figures.dotted(plot, title, Markup(f'<p class="small muted">Dashed: {guides}.</p>' if guides else ""))  # noqa: S704


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
        return figures.folded(table) + Markup(note)  # noqa: S704 - a number
    label = escape(panel.title)
    shown = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>{note}'
    return Markup(shown)  # noqa: S704 - escaped


def _kind(column: Column) -> str:
    return ' class="num"' if column.unit in NUMBERS else ""
