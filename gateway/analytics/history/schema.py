"""An event as a row of a table, and what a file of such rows says of itself. One row is one ``Event``.

The columns are the fields of ``Event`` by name, in their order: a field that is appended to it is a column of the files written
from then on, and older files, which lack the column, are read with the field's default. What changes the meaning of a column
needs another ``VERSION``; a file of a later version is refused.

    field of Event       column                       int64
    int, int | None      BIGINT                       tokens; times and ``at_ms`` (unix) in ms; money in nano-USD
    str                  VARCHAR, a dictionary        never NULL
    bytes                BLOB                         eight bytes or none
    bool                 BOOLEAN
    tried                list of (endpoint, result)   the attempts in their order

``org``, ``key``, ``user`` and ``session`` are private: they leave this machine only when somebody asks for them by name, or has the
history kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_type_hints

import msgspec

from gateway.analytics.event import Event, Tried

VERSION = 1
PRIVATE = ("org", "key", "user", "session")
METADATA_KEY = "tokenway"
"""Key of the file's metadata under which ``Facts`` are found, as JSON."""
START = "0-0"
"""The position before everything."""

_TRIED = "STRUCT(endpoint VARCHAR, result UTINYINT)[]"
_TYPES: dict[Any, tuple[str, str, str]] = {
    int: ("BIGINT", "BIGINT", "0"),
    int | None: ("BIGINT", "BIGINT", "NULL"),
    str: ("VARCHAR", "VARCHAR", "''"),
    bytes: ("BLOB", "VARCHAR", "''::BLOB"),
    bool: ("BOOLEAN", "BOOLEAN", "false"),
    tuple[Tried, ...]: (_TRIED, "VARCHAR[][]", "[]"),
}
"""Type of a field → (type of its column, its type in JSON, SQL of what stands for a value that is missing)."""
_DECODED = {
    "BLOB": "from_base64({})",
    _TRIED: "[{{'endpoint': x[1], 'result': x[2]::UTINYINT}} FOR x IN {}]",
}
"""Type of a column → SQL that makes it of the value in JSON."""


class Column(NamedTuple):
    """One field of a row. All are SQL of DuckDB."""

    name: str
    type: str
    json_type: str
    missing: str
    """What stands for the value in a file that lacks the column."""

    @property
    def quoted(self) -> str:
        return f'"{self.name}"'

    @property
    def from_json(self) -> str:
        """The column, made of the value in JSON."""
        return f"{_DECODED.get(self.type, '{}').format(self.quoted)} AS {self.quoted}"

    @property
    def filled(self) -> str:
        """The column of files some of which lack it."""
        return self.quoted if self.missing == "NULL" else f"coalesce({self.quoted}, {self.missing}) AS {self.quoted}"


class Dataset(NamedTuple):
    """Rows of one kind. Each has ``at_ms`` and ``org``, which say in which file of the archive it lies."""

    name: str
    columns: tuple[Column, ...]
    buckets: int
    """Files of a day: each has the organisations of so many of the ledger's 4,096 buckets, see ``gateway/store/keys.py``."""
    derived: Mapping[str, str] = {}
    """Columns that a view has besides: name → SQL of DuckDB."""
    sorted_by: str = ""
    """Columns by which the rows of a day's file are sorted; empty: in the order of the stream. What is looked up by the first of
    them is found without reading the whole file.
    """
    group_rows: int = 122_880
    """Rows of a file that are read together."""

    def with_all_columns(self, relation: str) -> str:
        """SQL of the rows of ``relation`` (SQL after FROM) with every column, whichever it lacks."""
        empty = ", ".join(f"NULL::{each.type} AS {each.quoted}" for each in self.columns)
        filled = ", ".join(each.filled for each in self.columns)
        return f"SELECT {filled} FROM (SELECT {empty} WHERE false UNION ALL BY NAME FROM {relation})"  # noqa: S608


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself, in its metadata."""

    dataset: str
    version: int = VERSION
    after: str = START
    upto: str
    """The file has the rows of all events at positions of the stream above ``after``, up to and including ``upto``; of its day
    only, if it lies in one.
    """
    rows: int
    checksum: str
    """Sum of a hash of each row, so independent of their order; see ``parquet.CHECKSUM``."""
    writers: dict[str, tuple[int, int]] = {}
    """Process → number of the event that comes next from it, and the unix ms at which it last wrote: what a repeated entry of the
    stream is recognised by, and what a lost one. Only pieces have it."""


def columns_of(row: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns of rows of this type."""
    hints = get_type_hints(row)
    found = []
    for field in msgspec.structs.fields(row):
        kind, json_kind, missing = _TYPES[hints[field.name]]
        if isinstance(field.default, bool | str):
            missing = f"'{field.default}'::{kind}"
        found.append(Column(field.name, kind, json_kind, missing))
    return tuple(found)


DERIVED: Mapping[str, str] = {
    "ts": "make_timestamp_ms(at_ms)",
    "model": "string_split(endpoint, '@')[-1]",
    "provider": "CASE WHEN starts_with(endpoint, '@') THEN '' ELSE string_split(endpoint, '/')[1] END",
    "dt": "make_timestamp_ms(at_ms)::DATE",
    "week": "date_trunc('week', make_timestamp_ms(at_ms))::DATE",
}
"""What the view ``events`` has besides the fields: the time (UTC), who answered, the day, the Monday of its week."""

EVENTS = Dataset("events", columns_of(Event), buckets=1, derived=DERIVED)
"""One file a day: 30 MB for a million events, and a year of few events is not cut into thousands of small files."""


def event(row: Sequence[Any]) -> Event:
    """The event of a row with every column."""
    values: dict[str, Any] = dict(zip(Event.__struct_fields__, row, strict=True))
    values["tried"] = tuple([Tried(each["endpoint"], each["result"]) for each in values["tried"]])
    return Event(**values)


def order(position: str) -> tuple[int, int]:
    """What positions of a stream are compared by. Raises ValueError for another text."""
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)
