"""What the commands print: tables for people, JSON for programs, one line for a refusal.

On a terminal tables are drawn by rich. Anywhere else, whatever ``FORCE_COLOR`` says, they are plain text in a stable layout
for scripts.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def refuse(message: str, code: int = 2) -> NoReturn:
    """One line on standard error and the exit code. 2: could not be tried; 1: the answer is no."""
    typer.echo(f"tokenway: {message}", err=True)
    raise typer.Exit(code)


def as_json(value: Any) -> None:
    """Money given as ``msgspec.Raw`` keeps its exact text."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """One row a line; an absent value is a dash. Plain text: left-aligned columns, two spaces apart."""
    texts = [[_text(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        drawn = Table(*head, box=box.SIMPLE_HEAD)
        for column in drawn.columns:
            column.overflow = "fold"  # a hash or an id can be copied whole, however narrow the terminal is
        for row in texts:
            drawn.add_row(*map(Text, row))
        Console().print(drawn)
        return
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    for row in [list(head), *texts]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """One name and its value a line."""
    if sys.stdout.isatty():
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in pairs:
            grid.add_row(name, Text(_text(value)))
        Console().print(grid)
        return
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name.ljust(width)}  {_text(value)}")


@contextlib.contextmanager
def progress(message: str) -> Iterator[None]:
    """A spinner with the message on standard error while the block runs; nothing when that is not a terminal."""
    with Console(stderr=True).status(message) if sys.stderr.isatty() else contextlib.nullcontext():
        yield


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
