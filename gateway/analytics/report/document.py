"""``Report``: figures with their definitions, numbers and sentences; and the file that it is kept in.

The file is JSON, with the same as Markdown and HTML beside it, written by ``tokenway analytics report`` and read by the API and the
pages, which never make one. What it may show is decided when it is made: see ``Scope.least_users``.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from gateway.analytics.series import Chart

Cell = str | int | float | None
"""What a table holds; None: not measured, or not shown."""
Draw = Literal["shares", "bars", "lines"]
"""Parts of 100 %, sums, or one line for each series."""
FOLDER = "reports"
"""Below the data directory: where the files are looked for."""
PREFIX = "state-of-ai-"


class TimeChart(msgspec.Struct, frozen=True, tag="chart"):
    """Values by week, or by age. ``permyriad`` as the chart's unit: hundredths of a percent."""

    title: str
    draw: Draw
    chart: Chart
    markers: tuple[tuple[str, str], ...] = ()
    """(ISO day, label) of releases."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table. ``unit``: text, count, percent, usd_per_mtok, number or interval (half the width of 95 %, in points)."""

    name: str
    unit: str = "text"


class Table(msgspec.Struct, frozen=True, tag="table"):
    """Rows in their order of importance."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Dot(msgspec.Struct, frozen=True):
    """One thing with two measures."""

    label: str
    x: float
    y: float
    group: str


class Guide(msgspec.Struct, frozen=True):
    """A straight line between two points, such as a median or a fitted law."""

    label: str
    start: tuple[float, float]
    end: tuple[float, float]


class Plot(msgspec.Struct, frozen=True, tag="plot"):
    """Dots over two logarithmic axes."""

    title: str
    dots: tuple[Dot, ...]
    groups: tuple[str, ...]
    x_name: str
    y_name: str
    x_unit: str
    y_unit: str
    guides: tuple[Guide, ...] = ()


Panel = TimeChart | Table | Plot


class Figure(msgspec.Struct, frozen=True):
    """One figure of the report."""

    id: str
    section: str
    title: str
    definition: str
    """What was added up and divided, in words near to SQL."""
    text: str
    """What the numbers say; made of them."""
    n: int
    """Events behind it."""
    estimator: Literal["exact", "sampled"]
    needs: str | None
    """What the data lack for this figure; then it has no series."""
    series: tuple[Panel, ...] = ()


class Scope(msgspec.Struct, frozen=True):
    """What the report is about."""

    start: str
    """First day, UTC. The weeks that contain it and ``end`` are whole."""
    end: str
    first_event: str
    last_event: str
    requests: int
    tokens: int
    models: int
    providers: int
    authors: int
    users: int
    """Rounded to the nearest ten where ``least_users`` is above 1."""
    weeks: int
    estimated_requests: int
    """Whose tokens the provider did not report."""
    spend_usd: str | None
    """Providers' prices, decimal; None where a report is for others than the operator."""
    least_users: int
    """Users that each value needs; where it is above 1, no organisation has more than four fifths of a value either."""


class Report(msgspec.Struct, frozen=True):
    """All of it."""

    version: int
    name: str
    """The year, or ``<first day>_<last day>``: the name of the file."""
    made_at: str
    scope: Scope
    figures: tuple[Figure, ...]
    limits: tuple[str, ...]
    """What the figures do not show."""

    def figure(self, wanted: str) -> Figure:
        """The figure of an id. Raises KeyError."""
        return next((each for each in self.figures if each.id == wanted), None) or _missing(wanted)


VERSION = 1


def encode(report: Report) -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def decode(data: bytes) -> Report:
    """The reverse. Raises msgspec.DecodeError for anything that is no report of this version."""
    report = msgspec.json.decode(data, type=Report)
    if report.version != VERSION:
        raise msgspec.ValidationError(f"this is version {report.version} of a report; this program reads {VERSION}")
    return report


def name_of_days(start: date, end: date) -> str:
    """The name of a report on some days; that of a year is the year."""
    return f"{start.isoformat()}_{end.isoformat()}"


def file_of(data_dir: Path, name: str, format: str = "json") -> Path:
    """Where the report of a name is kept; ``format``: json, md or html."""
    return data_dir / FOLDER / f"{PREFIX}{name}.{format}"


def names(data_dir: Path) -> list[str]:
    """The names of all reports that have been made, the newest first."""
    found = [(path.stat().st_mtime_ns, path) for path in (data_dir / FOLDER).glob(f"{PREFIX}*.json")]
    return [path.stem.removeprefix(PREFIX) for _, path in sorted(found, reverse=True)]


def save(path: Path, body: bytes) -> None:
    """Writes a file that takes its place when it is complete. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _missing(wanted: str) -> Figure:
    raise KeyError(wanted)
