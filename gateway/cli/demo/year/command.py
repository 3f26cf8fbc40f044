"""``tokenway demo-year``: the events of the synthetic year, written to a file."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.cli.demo.year.cube import Cube, cube
from gateway.cli.demo.year.events import YearEvent, events
from gateway.cli.output import refuse

SEED: Final = 2025
SCALE: Final = 1e-5
SUFFIXES: Final = (".jsonl", ".jsonl.gz")
_BATCH: Final = 1000
"""Events written, and shown in the progress bar, at a time."""


def demo_year(
    out: Annotated[Path, typer.Option(help="FILE.jsonl or FILE.jsonl.gz; replaced once everything is written.")],
    seed: Annotated[int, typer.Option(help="Another seed makes another year.")] = SEED,
    scale: Annotated[
        float, typer.Option(help="Part of the year's 159 trillion tokens; 1e-5 makes some 360,000 events.")
    ] = SCALE,
) -> None:
    """Write the events of a synthetic year, November 2024 to December 2025, as lines of JSON."""
    if not 0 < scale <= 1:
        refuse(f"--scale is {scale}; it must be above 0 and at most 1")
    if not out.name.endswith(SUFFIXES) or out.name in SUFFIXES:
        refuse(f"--out is {out}; the name must end in {' or '.join(SUFFIXES)}")
    if out.is_dir() or not out.parent.is_dir():
        refuse(f"--out is {out}; " + ("that is a folder" if out.is_dir() else f"there is no folder {out.parent}"))
    year = cube(seed)
    tokens = round(sum(map(year.total, range(len(year.weeks)))) * scale)
    try:
        with _replaced(out) as file, _progress_bar(tokens) as advance:
            count = write(year, scale, file, advance)
    except OSError as error:
        refuse(f"cannot write {out}: {error.strerror or error}")
    typer.echo(f"{count:,} events, {tokens:,} tokens: {out}")


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
def _progress_bar(tokens: int) -> Iterator[Callable[[int], None]]:
    """A bar over the year's tokens on standard error; nothing when that is not a terminal."""
    columns = (TextColumn("Writing the year"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=tokens)
        yield lambda done: bar.advance(task, done)
