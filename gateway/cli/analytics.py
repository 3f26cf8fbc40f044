"""``tokenway analytics``: the history of analytics: make the counters again from it, export it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.analytics.buckets import day_of, iso_day, monday
from gateway.analytics.history import export as exports
from gateway.analytics.history.locations import history_at
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.rebuild import Week
from gateway.analytics.history.rebuild import rebuild as rebuild_counters
from gateway.analytics.history.source import History
from gateway.cli import configured
from gateway.cli.offline import STORE_HELP, StoreServices, with_store
from gateway.cli.output import AsJson, as_json, refuse, table

app = typer.Typer(no_args_is_help=True)

LOCATION = "Directory or URL of the history; that of the settings when left out."
Source = Annotated[str | None, typer.Option("--from", metavar="DIR|URL", help=LOCATION)]


@app.command(help=f"Make the counters again from the history. {STORE_HELP}")
def rebuild(
    source: Source = None,
    replace: Annotated[
        bool, typer.Option(help="Also of weeks of which more has been counted than the history has.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Exit 0 when every week of the history is counted, 1 when some were left alone."""
    with failures():
        history = opened(source)
        events = history.count()

        async def work(services: StoreServices) -> list[Week]:
            with progress_bar("Counting the history", events) as advance:
                return await rebuild_counters(services.store, history, replace=replace, advance=advance)

        weeks = with_store(work)
    if json:
        as_json([{**week._asdict(), "week": iso_day(monday(week.week))} for week in weeks])
    else:
        rows = [[iso_day(monday(week.week)), week.events, week.before, week.replaced] for week in weeks]
        table(["WEEK", "EVENTS", "COUNTED BEFORE", "REBUILT"], rows)
    if not all(week.replaced for week in weeks):
        refuse("of some weeks more has been counted than the history has; they were left alone (--replace)", code=1)


@app.command()
def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the files; it must not exist yet.")],
    *,
    dataset: Annotated[str, typer.Option(help="events, daily or weekly.")] = "events",
    format: Annotated[str, typer.Option(help="csv, jsonl or parquet.")] = "csv",
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC).")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day (UTC).")] = None,
    private: Annotated[bool, typer.Option("--private", help="With organisation, key, user and session.")] = False,
    history: Annotated[str | None, typer.Option(metavar="DIR|URL", help=LOCATION)] = None,
) -> None:
    """Write the history, or sums of it by day or week, with a description of each column.

    Events as Parquet are one file a day; with --private counters can be made of them elsewhere (analytics rebuild --from).
    """
    if dataset not in get_args(exports.Name) or format not in exports.MEDIA_TYPES:
        refuse(
            f"--dataset is {dataset}, --format is {format}; they must be events, daily or weekly; csv, jsonl or parquet"
        )
    if first is not None and last is not None and last < first:
        refuse("--to is before --from")
    begin, end = (day_of(each.date()) if each is not None else None for each in (first, last))
    wanted = exports.Export(cast("exports.Name", dataset), begin, end, private=private)
    with failures():
        found = opened(history)
        events = found.count(begin, end)
        out.mkdir(parents=True)
        _export(found, wanted, out, format, events)
    typer.echo(f"{events:,} events: {out}")


def _export(history: History, wanted: exports.Export, out: Path, format: exports.Format, events: int) -> None:
    by_day = format == "parquet" and wanted.dataset == "events"
    name = wanted.dataset if by_day else f"{wanted.dataset}.{format}"
    with progress_bar("Exporting", events) as advance:
        if by_day:
            exports.write_days(history, wanted, out, advance)
        elif format == "parquet":
            exports.write_parquet(history, wanted, out / name)
        else:
            with (out / name).open("wb") as file:
                for part in exports.lines(history, wanted, format):
                    file.write(part)
                    advance(part.count(b"\n") if wanted.dataset == "events" else 0)
    (out / "schema.json").write_bytes(msgspec.json.format(msgspec.json.encode(exports.dictionary(wanted))))
    (out / "README.md").write_text(exports.readme(wanted, name), encoding="utf-8")


def opened(source: str | None) -> History:
    """The history that is asked for. Exits 2 when there is none. Raises HistoryError."""
    settings = configured.settings()
    history = history_at(source or settings.history_location, settings, threads=2)
    if not history.exists():
        refuse(f"there is no history in {history.name}; name its directory with --from (GATEWAY_HISTORY_DIR)")
    return history


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Exits 2 with the reason, and the file's name, when the history cannot be read."""
    try:
        yield
    except HistoryError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename or 'the history'}: {error.strerror or error}")


@contextlib.contextmanager
def progress_bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; nothing when that is not a terminal."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)
