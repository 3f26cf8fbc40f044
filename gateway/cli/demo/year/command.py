"""``tokenway demo-year``: the synthetic year as a file of events, or counted in a store so that rankings and charts show it."""

from __future__ import annotations

import contextlib
import gc
import gzip
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Annotated, Final, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.analytics.event import Event
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load as write_history
from gateway.analytics.history.parquet import HistoryError
from gateway.catalog.catalog import Catalog
from gateway.cli import configured
from gateway.cli.demo.year.attributes import FOLDER, write_attributes
from gateway.cli.demo.year.cube import Cube, cube
from gateway.cli.demo.year.events import YearEvent, events, weeks
from gateway.cli.demo.year.load import CountersInUse, default_shift, has_counters, load
from gateway.cli.demo.year.recorded import CLASSIFIED, Recorder
from gateway.cli.offline import with_store
from gateway.cli.output import refuse
from gateway.settings import Settings
from gateway.store.client import Store

SEED: Final = 2025
SCALE: Final = 1e-5
SUFFIXES: Final = (".jsonl", ".jsonl.gz")
_BATCH: Final = 1000
"""Events written, and shown in the progress bar, at a time."""


class Year(msgspec.Struct, frozen=True, kw_only=True):
    """Which year: its cube, what part of its tokens, and how a gateway recorded it."""

    cube: Cube
    scale: float = SCALE
    shift_weeks: int = 0
    classified: float = CLASSIFIED

    @property
    def tokens(self) -> int:
        return round(sum(map(self.cube.total, range(len(self.cube.weeks)))) * self.scale)

    @property
    def span(self) -> str:
        """``2024-11-04 to 2026-01-04``: first and last day, moved."""
        monday, last_monday = (self.cube.weeks[at] + timedelta(weeks=self.shift_weeks) for at in (0, -1))
        sunday = last_monday + timedelta(days=6)
        return f"{monday} to {sunday}"

    def recorded(self, catalog: Catalog) -> Iterator[list[Event]]:
        """The events of each week, as a gateway with this catalogue records them."""
        recorder = Recorder(catalog, shift_weeks=self.shift_weeks, classified=self.classified)
        for found in weeks(self.cube, self.scale, self.cube.seed):
            yield list(recorder.record(found))


def demo_year(
    *,
    to: Annotated[
        Literal["jsonl", "redis", "parquet"],
        typer.Option(
            help="redis: count it in the store of GATEWAY_REDIS_URL or GATEWAY_DATA_DIR, for rankings and charts; "
            "parquet: as a history of usage."
        ),
    ] = "jsonl",
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.jsonl or FILE.jsonl.gz, replaced once everything is written; parquet: a directory."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes another year.")] = SEED,
    scale: Annotated[
        float, typer.Option(help="Part of the year's 159 trillion tokens; 1e-5 makes some 360,000 events.")
    ] = SCALE,
    shift: Annotated[
        int | None,
        typer.Option(
            help="Weeks by which it is moved; default: none, with redis its last week is the one that ended last.",
            min=0,
        ),
    ] = None,
    classified: Annotated[
        float, typer.Option(help="redis, parquet: the part of the requests that are classified.", min=0, max=1)
    ] = CLASSIFIED,
    replace: Annotated[
        bool, typer.Option("--replace", help="redis: delete all counters first, also those of real use.")
    ] = False,
) -> None:
    """Make a synthetic year of traffic, November 2024 to December 2025: as a file, as a history, or counted in a store."""
    if not 0 < scale <= 1:
        refuse(f"--scale is {scale}; it must be above 0 and at most 1")
    if to == "redis":
        if out is not None:
            refuse("--out is for files; leave it out with --to redis")
        moved = default_shift(time.time()) if shift is None else shift
        year = Year(cube=cube(seed), scale=scale, shift_weeks=moved, classified=classified)
        settings = configured.settings()
        typer.echo(with_store(lambda services: counted(services.store, settings, year, replace=replace)))
        return
    if replace:
        refuse("--replace is for --to redis; leave it out")
    if to == "parquet":
        _write_history(Year(cube=cube(seed), scale=scale, shift_weeks=shift or 0, classified=classified), out)
        return
    if shift is not None:
        refuse("--shift is for --to redis and parquet; leave it out")
    _write_file(Year(cube=cube(seed), scale=scale), _checked(out))


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Millions of events and rows come and go, none of them in a cycle: looking for cycles among them takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def counted(store: Store, settings: Settings, year: Year, *, replace: bool = False) -> str:
    """Count the year in a store, with a progress bar; returns what was done.

    Exits 2 when the store is in use. Raises StoreError.
    """
    if not replace and await has_counters(store, time.time()):
        refuse(
            "the store has counters already, and those of the year would be added to them; use an empty store "
            "(another GATEWAY_DATA_DIR or GATEWAY_REDIS_URL), or delete all that was counted with --replace"
        )
    catalog = configured.catalog(settings)
    try:
        folder = write_attributes(settings.data_dir.resolve() / FOLDER)
    except OSError as error:
        refuse(f"cannot write the attributes of the year's models into {settings.data_dir}: {error.strerror or error}")
    try:
        with _no_collections(), _progress_bar("Counting the year", year.tokens) as advance:
            number = await load(store, year.recorded(catalog), advance, replace=replace)
    except CountersInUse as error:
        refuse(str(error))
    folders = os.pathsep.join(map(str, (*settings.catalog_dirs, folder)))
    return (
        f"{number:,} events, {year.tokens:,} tokens, counted as the weeks {year.span}.\n"
        f"Its made-up models have their attributes in a folder of their own: GATEWAY_CONFIG_DIR={folders}"
    )


def _checked(out: Path | None) -> Path:
    """The path of a file to write. Exits 2 naming what is wrong with it."""
    if out is None:
        refuse(f"--out is missing; name a file that ends in {' or '.join(SUFFIXES)}, or use --to redis")
    if not out.name.endswith(SUFFIXES) or out.name in SUFFIXES:
        refuse(f"--out is {out}; the name must end in {' or '.join(SUFFIXES)}")
    if out.is_dir() or not out.parent.is_dir():
        refuse(f"--out is {out}; " + ("that is a folder" if out.is_dir() else f"there is no folder {out.parent}"))
    return out


def _write_history(year: Year, out: Path | None) -> None:
    """A history of the year, as a gateway keeps it, in a directory without one. Exits 2 when it cannot be written."""
    if out is None:
        refuse("--out is missing; name the directory of the history")
    catalog = configured.catalog(configured.settings())

    def recorded() -> Iterator[Event]:
        for week in year.recorded(catalog):
            yield from week
            advance(sum(each.prompt + each.completion for each in week))

    try:
        with _progress_bar("Writing the year", year.tokens) as advance:
            number = write_history(Archive(out, threads=2), recorded())
    except HistoryError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"cannot write {out}: {error.strerror or error}")
    typer.echo(f"{number:,} events, {year.tokens:,} tokens, {year.span}: {out}")


def _write_file(year: Year, out: Path) -> None:
    """The events as lines of JSON. Exits 2 when the file cannot be written."""
    try:
        with _replaced(out) as file, _progress_bar("Writing the year", year.tokens) as advance:
            count = write(year.cube, year.scale, file, advance)
    except OSError as error:
        refuse(f"cannot write {out}: {error.strerror or error}")
    typer.echo(f"{count:,} events, {year.tokens:,} tokens: {out}")


def write(year: Cube, scale: float, file: IO[bytes], advance: Callable[[int], None] = lambda _: None) -> int:
    """Writes one line of JSON an event; returns how many. ``advance`` is called with the tokens of each batch."""
    count = 0
    encoder = msgspec.json.Encoder()
    batch: list[YearEvent] = []
    for event in events(year, scale, year.seed):
        batch.append(event)
        if len(batch) == _BATCH:
            count += _flush(batch, file, encoder, advance)
            batch = []
    return count + _flush(batch, file, encoder, advance)


def _flush(
    batch: list[YearEvent], file: IO[bytes], encoder: msgspec.json.Encoder, advance: Callable[[int], None]
) -> int:
    file.write(encoder.encode_lines(batch))
    advance(sum(event.prompt + event.completion for event in batch))
    return len(batch)


@contextlib.contextmanager
def _replaced(out: Path) -> Iterator[IO[bytes]]:
    """A file beside ``out`` that takes its place at the end of the block; removed when the block fails. Raises ``OSError``.

    It is compressed where the name says so, with a fixed time inside, so that the same events are the same bytes.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as raw:
            if out.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress_bar(title: str, tokens: int) -> Iterator[Callable[[int], None]]:
    """A bar over the year's tokens on standard error; nothing when that is not a terminal."""
    columns = (TextColumn(title), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=tokens)
        yield lambda done: bar.advance(task, done)
