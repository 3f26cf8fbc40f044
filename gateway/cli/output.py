"""What the commands print: a table for people, JSON for programs, one line for a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import msgspec
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def refuse(message: str, code: int = 2) -> NoReturn:
    """One line on standard error and the exit code. 2: could not be tried; 1: the answer is no."""
    typer.echo(f"tokenway: {message}", err=True)
    raise typer.Exit(code)


def as_json(value: Any) -> None:
    """Money given as ``msgspec.Raw`` keeps its exact text."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Left-aligned columns, two spaces apart; an absent value is a dash."""
    texts = [[_text(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    for row in texts:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """One fact a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name.ljust(width)}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
