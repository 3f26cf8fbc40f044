"""The report on the state of AI as pages, and as one file of HTML; all are made of the report's JSON, and draw nothing else.

    /state-of-ai                the contents, with what each figure says
    /state-of-ai/<section>      the figures of a section
    /state-of-ai/F04            one figure, with its tables
    /state-of-ai/all            everything, to print

The pages are public like the rankings: where these are, and where the report was made for others than the operator.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from gateway.analytics.report import document, words
from gateway.analytics.report.document import Column, Figure, Panel, Plot, Report, Table, TimeChart
from gateway.analytics.report.markdown import scope_text
from gateway.settings import Settings
from gateway.web import figures
from gateway.web.charts import Dot, Guide, Marker, Scatter
from gateway.web.figures import Twin as Tables
from gateway.web.markup import escape
from gateway.web.rendering import environment, static_files
from gateway.web.site import Contents, Seen, Site

TABLE_ROWS, OPEN_ROWS = 60, 25
"""Rows of a table, and those of one that need not be opened."""
COMMAND = "tokenway analytics report --year {year}"
WHOLE = "all"
KEPT = 4
"""Reports that are kept decoded."""
PARTS_KEPT = 64
"""Parts of reports that are kept drawn."""
NUMBERS = frozenset({"count", "percent", "interval", "usd_per_mtok", "number"})
T = TypeVar("T")


def add_route(routes: APIRouter, site: Site) -> None:
    """The pages; ``?report=`` names another report than the newest."""
    pages = ReportPages()

    @routes.get("/state-of-ai")
    async def state_of_ai(request: Request) -> Response:
        return await answer(request, None)

    @routes.get("/state-of-ai/{part}")
    async def part_of_report(request: Request, part: str) -> Response:
        return await answer(request, part)

    async def answer(request: Request, part: str | None) -> Response:
        settings, wanted = request.app.state.services.settings, request.query_params.get("report")
        asked = Asked(wanted, part, request.query_params.get("releases") == "show")
        return await site.answer(request, lambda seen, _: pages.contents(settings, asked, seen))


class Asked(NamedTuple):
    """What an address names: a report, None for the newest; a part of its pages, None for the contents; whether releases of models
    are marked on every chart of time."""

    report: str | None
    part: str | None
    releases: bool


class Shown(NamedTuple):
    """A panel of a figure: a chart, or a table."""

    title: str
    chart: figures.Figure | None
    table: Markup = Markup("")


class Drawn(NamedTuple):
    """A figure with its drawings."""

    figure: Figure
    panels: list[Shown]
    apart: bool
    """It has tables on a page of its own."""


class Section(NamedTuple):
    """A section of the report; ``slug`` names its page."""

    slug: str
    title: str
    figures: list[Figure]


def sections(report: Report) -> list[Section]:
    """The sections in their order."""
    return [
        Section(re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-") or "section", title, list(members))
        for title, members in groupby(report.figures, key=lambda each: each.section)
    ]


class ReportPages:
    """What the pages are made of. A part of a report is drawn when it is first asked for and kept until the file changes."""

    def __init__(self) -> None:
        self._reports: OrderedDict[Hashable, Report] = OrderedDict()
        self._parts: OrderedDict[Hashable, list[Drawn]] = OrderedDict()

    def contents(self, settings: Settings, asked: Asked, seen: Seen) -> Contents:
        """Template, values and status. Reads files."""
        wanted, year = asked.report, datetime.fromtimestamp(seen.now, UTC).year
        names = document.names(settings.data_dir)
        missing: dict[str, Any] = {"names": names, "command": COMMAND.format(year=year), "reason": "none"}
        if not settings.public_rankings:
            return "report_missing.html", missing | {"reason": "private"}, 200
        if wanted is not None and wanted not in names:
            return "report_missing.html", missing | {"reason": "unknown"}, 404
        for name in [wanted] if wanted is not None else names:
            key, report = self._read(document.file_of(settings.data_dir, name))
            if report is None:
                missing["reason"] = "unreadable"
            elif report.scope.least_users < settings.rankings_min_users:
                missing["reason"] = "for the operator"
            else:
                releases = [(each.day.isoformat(), each.label) for each in seen.catalog.attributes.releases]
                more = {"names": names, "link": _linking(wanted), "releases": asked.releases}
                return self._shown(key, report, asked.part, more, releases if asked.releases else [])
        return "report_missing.html", missing, 200

    def _shown(
        self, key: Hashable, report: Report, part: str | None, more: Mapping[str, Any], releases: Sequence[Marker]
    ) -> Contents:
        every = sections(report)
        values = {"report": report, "sections": every, "scope": scope_text(report), "amount": words.amount, **more}
        if part is None:
            return "report_contents.html", values, 200
        place = next((place for place, section in enumerate(every) if section.slug == part), None)
        of = every[place].figures if place is not None else [each for each in report.figures if each.id == part]
        tables: Tables = "open" if place is None and part != WHOLE else "apart"
        if part == WHOLE:
            of = list(report.figures)
        if not of:
            return "report_missing.html", values | {"reason": "part", "command": ""}, 404
        figures_of = self._drawn((key, part, *releases), of, tables, releases)
        values["charts"] = charts_of(figures_of)
        if part == WHOLE:
            return "report_whole.html", values | {"drawn": by_section(figures_of)}, 200
        around = [None, *every, None]
        before, after = (around[place], around[place + 2]) if place is not None else (None, None)
        section = every[place] if place is not None else None
        values |= {"section": section, "drawn": figures_of, "before": before, "after": after}
        return "report_part.html", values, 200

    def _drawn(self, key: Hashable, of: list[Figure], tables: Tables, releases: Sequence[Marker]) -> list[Drawn]:
        if key not in self._parts:
            self._parts[key] = draw(of, tables, releases)
        return _kept(self._parts, key, PARTS_KEPT)

    def _read(self, path: Path) -> tuple[Hashable, Report | None]:
        try:
            told = path.stat()
            key = (path, told.st_mtime_ns, told.st_size)
            if key not in self._reports:
                self._reports[key] = document.decode(path.read_bytes())
            return key, _kept(self._reports, key, KEPT)
        except (OSError, msgspec.DecodeError):
            return path, None


def _kept(of: OrderedDict[Hashable, T], key: Hashable, most: int) -> T:
    """What is kept under this key; what was not used for longest is dropped. Pages are made one at a time."""
    of.move_to_end(key)
    while len(of) > most:
        of.popitem(last=False)
    return of[key]


def _linking(wanted: str | None) -> Callable[..., str]:
    """What makes the address of a part, of the report that is looked at."""
    query = f"?{urlencode({'report': wanted})}" if wanted is not None else ""
    return lambda part="", place="": f"/state-of-ai{'/' + part if part else ''}{query}{'#' + place if place else ''}"


def html(report: Report) -> bytes:
    """One file that needs no other: its style is within."""
    values = {
        "report": report,
        "scope": scope_text(report),
        "amount": words.amount,
        "drawn": by_section(draw(report.figures, "folded")),
        "css": Markup(static_files()["tokenway.css"].body.decode()),  # noqa: S704 - our own file
    }
    return environment().get_template("report_file.html").render(values).encode(errors="replace")


def by_section(drawn: list[Drawn]) -> list[tuple[str, list[Drawn]]]:
    """Figures by the title of their section."""
    return [(section, list(members)) for section, members in groupby(drawn, key=lambda each: each.figure.section)]


def charts_of(drawn: list[Drawn]) -> list[figures.Figure]:
    """The charts of figures, which can be downloaded."""
    return [panel.chart for each in drawn for panel in each.panels if panel.chart is not None]


def draw(of: Sequence[Figure], tables: Tables, releases: Sequence[Marker] = ()) -> list[Drawn]:
    """Figures with their drawings. ``releases`` are marked on every chart of time, beside those that the report marks."""
    return [
        Drawn(
            each,
            [drawn(each.id, panel, tables, releases) for panel in each.series],
            tables == "apart" and any(not isinstance(panel, Table) for panel in each.series),
        )
        for each in of
    ]


def drawn(of: str, panel: Panel, tables: Tables, releases: Sequence[Marker] = ()) -> Shown:
    """A panel of the figure ``of``, with its legend and its table."""
    if isinstance(panel, Table):
        return Shown(panel.title, None, _table(panel))
    title = f"{of}: {panel.title}"
    if isinstance(panel, Plot):
        return Shown(panel.title, _plot(panel, title, tables))
    return Shown(panel.title, _chart(panel, title, tables, releases))


def _chart(panel: TimeChart, title: str, tables: Tables, releases: Sequence[Marker]) -> figures.Figure:
    markers = [*panel.markers, *releases]
    if panel.draw == "lines":
        return figures.lined(panel.chart, title, markers=markers, twin=tables)
    return figures.bars(panel.chart, title, share=panel.draw == "shares", markers=markers, twin=tables)


def _plot(panel: Plot, title: str, tables: Tables) -> figures.Figure:
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
    note = Markup(f'<p class="small muted">Dashed: {guides}.</p>' if guides else "")  # noqa: S704 - escaped
    return figures.dotted(plot, title, note, twin=tables)


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
