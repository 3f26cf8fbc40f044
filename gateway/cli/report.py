"""``tokenway analytics report``: the report on the state of AI, made of the history of analytics."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from gateway.analytics.history.locations import history_at
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.report import document
from gateway.analytics.report.build import STEPS, build, window_of
from gateway.analytics.report.document import Report
from gateway.analytics.report.markdown import markdown
from gateway.analytics.report.used_events import THREADS, NoEvents
from gateway.cli import configured
from gateway.cli.output import refuse
from gateway.web.report import html

Format = Literal["json", "md", "html"]
WRITERS: dict[Format, Callable[[Report], bytes]] = {
    "json": document.encode,
    "md": lambda report: markdown(report).encode(),
    "html": html,
}
ORDER: tuple[Format, ...] = ("md", "html", "json")
"""JSON is written last: once it is there, all are."""


def report(
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Directory or URL of the history; the gateway's own when left out."),
    ] = None,
    year: Annotated[int | None, typer.Option(min=1970, max=9998, help="The year that the report is about.")] = None,
    start_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Or its first day ...")] = None,
    end_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="... and its last day.")] = None,
    format: Annotated[Format, typer.Option(help="Of --out.")] = "json",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; left out: where the gateway serves the report from, in all formats."),
    ] = None,
    least_users: Annotated[
        int | None,
        typer.Option(
            min=1, help="Users that a value needs; 1: for the operator alone. Default: GATEWAY_RANKINGS_MIN_USERS."
        ),
    ] = None,
) -> None:
    """Make the report on the state of AI: 38 figures on what was used. Weeks are whole: those that contain a day of the year."""
    settings = configured.settings()
    try:
        name, window = window_of(year, _day(start_date), _day(end_date))
    except ValueError as error:
        refuse(f"{error}: --year 2025, or --start-date and --end-date")
    targets = {format: out} if out else {each: document.file_of(settings.data_dir, name, each) for each in ORDER}
    attributes = configured.catalog(settings).attributes
    least = settings.rankings_min_users if least_users is None else least_users
    try:
        with _progress_bar() as advance:
            history = history_at(source or settings.history_location, settings, threads=THREADS)
            made = build(history, window, attributes, name=name, least_users=least, advance=advance)
        for kind, path in targets.items():
            document.save(path, WRITERS[kind](made))
    except (HistoryError, NoEvents) as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"cannot write {error.filename or 'the report'}: {error.strerror or error}")
    lacking = [figure.id for figure in made.figures if figure.needs]
    typer.echo(
        f"{', '.join(map(str, targets.values()))}: {len(made.figures) - len(lacking)} of {len(made.figures)} figures"
    )
    for figure in made.figures:
        if figure.needs:
            typer.echo(f"  {figure.id} needs {figure.needs}")


def _day(given: datetime | None) -> date | None:
    return given.date() if given is not None else None


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[str], None]]:
    """A bar over the figures on standard error; nothing when that is not a terminal."""
    columns = (TextColumn("Making the report"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=STEPS)
        yield lambda done: bar.update(task, advance=1, description=done)
