"""The history in ClickHouse, for those who outgrow one machine: tables, inserts that count once, and the queries of ``History``.

    event_rows   the events, one row each, by month, with the attempt to keep a stretch of the stream that inserted them
    stretches    the stretches that are kept, and by which attempt
    events       view: the rows of those attempts, with model, provider and week

An attempt inserts the rows under a number of its own, reads them back and compares them, and then names itself in ``stretches``:
only that makes its rows count. So a process may die after each step, and an insert may come late: whatever belongs to an attempt
that is not named is not there. Of two attempts at one stretch the first one counts; a deduplication token, the beginning of the
stretch, keeps a second one out of the table. An insert of rows has its attempt as token, for a proxy that repeats requests.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.analytics.event import Event, Tried
from gateway.analytics.history import parquet
from gateway.analytics.history.clickhouse_http import NONE, PLAIN_NUMBERS, ClickHouseServer
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import DERIVED, EVENTS, Column, order
from gateway.analytics.history.source import EVENTS_AT_ONCE, Batch, Progress
from gateway.analytics.history.sums import SUMS, Sums

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

ROWS, STRETCHES, VIEW = "event_rows", "stretches", "events"
STRETCHES_KEPT_MORE_DAYS = 2
"""No row is younger than the stretch that it came with."""
_DEDUPLICATED = 10_000
"""Inserts whose tokens a table remembers."""
_KEY = ("attempt", "after_ms", "after_n", "number")
_TRIED = (("tried_endpoint", "Array(String)"), ("tried_result", "Array(UInt8)"))
_DERIVED = (
    "arrayElement(splitByChar('@', endpoint), -1) AS model",
    "if(substring(endpoint, 1, 1) = '@', '', arrayElement(splitByChar('/', endpoint), 1)) AS provider",
    "day",
    "toMonday(day) AS week",
)
_PLACES = {name: place for place, name in enumerate(Event.__struct_fields__)}
_USER, _SESSION, _OK, _TRIED_AT = (_PLACES[name] for name in ("user", "session", "ok", "tried"))


def _columns(column: Column) -> Sequence[tuple[str, str]]:
    """(name, type) of the columns for a field of ``Event``. Bytes are hexadecimal text."""
    if column.type == "BIGINT":
        return [(column.name, "Nullable(Int64)" if column.missing == "NULL" else "Int64")]
    if column.type == "BOOLEAN":
        return [(column.name, "UInt8")]
    return [(column.name, "String")] if column.type in ("VARCHAR", "BLOB") else _TRIED


COLUMNS = [each for column in EVENTS.columns for each in _columns(column)]
NAMES = ", ".join(f"`{name}`" for name, _ in COLUMNS)
_WITH_DERIVED = f"{NAMES}, {', '.join(_DERIVED)}"
_PYTHON = {"Int64": int, "Nullable(Int64)": int | None, "UInt8": int, "String": str, "Array(String)": list[str]}
_Row: Any = msgspec.defstruct(
    "_Row", [*[(name, int) for name in _KEY], *[(name, _PYTHON.get(kind, list[int])) for name, kind in COLUMNS]]
)
_decode_events = msgspec.json.Decoder(Event).decode_lines
_decode_rows = msgspec.json.Decoder(_Row).decode_lines
_encode_lines = msgspec.json.Encoder().encode_lines


class _Stretch(msgspec.Struct):
    """A row of ``stretches``."""

    attempt: int
    after_ms: int
    after_n: int
    upto: str
    rows: int
    writers: str
    """JSON of ``Batch.writers``."""


class ClickHouse:
    """The history in one database. Every method blocks, and raises HistoryError. ``days``: how long rows are kept, 0 for ever."""

    sink = "clickhouse"

    def __init__(self, url: str, *, days: int = 0, threads: int = 1) -> None:
        self._server, self._days = ClickHouseServer(url), days
        self._database = parquet.database(threads)
        self._is_prepared = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Its URL, without user and password."""
        return self._server.name

    def exists(self) -> bool:
        """Whether there are tables."""
        return STRETCHES in self._names("system.tables")

    def progress(self) -> Progress:
        """Where the last stretch ends."""
        if not self.exists():
            return Progress()
        return self._kept("ORDER BY after_ms DESC, after_n DESC, made, attempt LIMIT 1") or Progress()

    def append(self, batch: Batch) -> Progress:
        """Keep a stretch, unless one with its beginning is kept."""
        self._prepare()
        after_ms, after_n = order(batch.after)
        of_beginning = f"WHERE after_ms = {after_ms} AND after_n = {after_n} ORDER BY made, attempt LIMIT 1"
        kept = self._kept(of_beginning)
        if kept is None:
            attempt = secrets.randbits(63)
            rows = _rows(batch, attempt, after_ms, after_n)
            if rows:
                self._insert(ROWS, [*_KEY, *[name for name, _ in COLUMNS]], rows, token=f"attempt {attempt}")
                self._compare(rows)
            writers = msgspec.json.encode(batch.writers).decode()
            stretch = _Stretch(attempt, after_ms, after_n, batch.upto, batch.rows, writers)
            self._insert(STRETCHES, _Stretch.__struct_fields__, [stretch], token=f"stretch {batch.after}")
            kept = self._kept(of_beginning)
        if kept is None:
            raise HistoryError(f"{self.name}: the stretch {batch.after} is not there after its insert")
        return kept

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    def is_due(self, now: float) -> bool:
        """Never: ClickHouse merges by itself."""
        return False

    def fold(self) -> int:
        """Nothing."""
        return 0

    def remove_days_before(self, day: int) -> None:
        """On a server without TTLs: whole months."""
        if self.exists() and not self._server.is_modern:
            months = f"SELECT toYYYYMM(day) AS month FROM {ROWS} GROUP BY month HAVING max(day) < toDate({day})"  # noqa: S608
            for [month] in self._server.rows(months, list[int]):
                self._server.run(f"ALTER TABLE {ROWS} DROP PARTITION {month}")

    def event_days(self) -> list[int]:
        """The days that have rows."""
        return self._event_days(None, None) if self.exists() else []

    def count(self, first: int | None = None, last: int | None = None) -> int:
        """How many events there are."""
        query = f"SELECT count() FROM ({_counting('at_ms', first, last)})"  # noqa: S608 - SQL of ours
        [[number]] = self._server.rows(query, list[int])
        return number

    def events(self, first: int | None = None, last: int | None = None) -> Iterator[Sequence[Event]]:
        """A query a day, in the order in which they lie."""
        part: list[Event] = []
        for line in self._lines(first, last):
            part.append(_event(line))
            if len(part) == EVENTS_AT_ONCE:
                yield part
                part = []
        if part:
            yield part

    @contextmanager
    def reading(self, first: int | None = None, last: int | None = None) -> Iterator[Connection]:
        """The rows of these days in a table of DuckDB; what does not fit into its memory is on the disk."""
        kinds = ", ".join(f"'{name}': '{_duckdb_type(kind)}'" for name, kind in COLUMNS)
        select = ", ".join(_from_clickhouse(column) for column in EVENTS.columns)
        derived = ", ".join(f"{sql} AS {name}" for name, sql in DERIVED.items())
        with (
            self._database.connection() as opened,
            tempfile.TemporaryDirectory(prefix="tokenway-history-") as directory,
        ):
            path = Path(directory) / "rows.jsonl"
            source = f"read_json({parquet.literal(path)}, format='newline_delimited', columns={{{kinds}}})"
            path.touch()
            opened.execute(f"CREATE TEMP TABLE history AS SELECT {select} FROM {source}")  # noqa: S608 - SQL of ours
            for day in self._event_days(first, last):
                self._server.save(_of_day(day), path)
                opened.execute(f"INSERT INTO history SELECT {select} FROM {source}")  # noqa: S608
            opened.execute(f"CREATE TEMP VIEW events AS SELECT *, {derived} FROM history")  # noqa: S608
            yield opened

    @contextmanager
    def summing(self, sums: Sums, first: int | None = None, last: int | None = None) -> Iterator[Connection]:
        """ClickHouse adds up; a table of DuckDB has the sums."""
        date = "day" if sums.period == "daily" else "week"
        names = ["date" if sums.period == "daily" else "week", *sums.groups, *[each.name for each in SUMS]]
        values = [date, *[f"`{each}`" for each in sums.groups], *[each.clickhouse for each in SUMS]]
        selected = ", ".join(
            f"{sql} AS c{place}" for place, sql in enumerate(values)
        )  # an alias must not be that of a column
        groups = ", ".join(values[: len(sums.groups) + 1])
        query = f"SELECT {selected} FROM ({_counting(_WITH_DERIVED, first, last)}) GROUP BY {groups}"  # noqa: S608 - names of ours
        types = ["DATE", *["VARCHAR" for _ in sums.groups], *["BIGINT" for _ in SUMS]]
        kinds = ", ".join(f"'c{place}': '{kind}'" for place, kind in enumerate(types))
        select = ", ".join(f'c{place} AS "{name}"' for place, name in enumerate(names))
        with (
            self._database.connection() as opened,
            tempfile.TemporaryDirectory(prefix="tokenway-history-") as directory,
        ):
            path = Path(directory) / "sums.jsonl"
            self._server.save(query, path)
            source = f"read_json({parquet.literal(path)}, format='newline_delimited', columns={{{kinds}}})"
            opened.execute(f"CREATE TEMP TABLE sums AS SELECT {select} FROM {source}")  # noqa: S608
            yield opened

    def _lines(self, first: int | None, last: int | None) -> Iterator[bytes]:
        for day in self._event_days(first, last):
            yield from self._server.lines(_of_day(day))

    def _event_days(self, first: int | None, last: int | None) -> list[int]:
        query = f"SELECT DISTINCT toUInt16(day) AS number FROM ({_counting('day', first, last)}) ORDER BY number"  # noqa: S608
        return [number for [number] in self._server.rows(query, list[int])]

    def _kept(self, which: str) -> Progress | None:
        query = f"SELECT upto, writers FROM {STRETCHES} {which}"  # noqa: S608 - SQL of ours
        for upto, writers in self._server.rows(query, tuple[str, str]):
            return Progress(upto, msgspec.json.decode(writers, type=dict[str, tuple[int, int]]))
        return None

    def _insert(self, table: str, names: Sequence[str], rows: Sequence[Any], *, token: str) -> None:
        """One insert, of one block, which is there whole or not at all in each month."""
        tokens: Mapping[str, str | int] = {"insert_deduplication_token": token, "async_insert": 0}
        settings = tokens if self._server.is_modern else NONE
        columns = ", ".join(f"`{name}`" for name in names)
        self._server.run(f"INSERT INTO {table} ({columns}) FORMAT JSONEachRow", _encode_lines(rows), settings)

    def _compare(self, rows: Sequence[Any]) -> None:
        """Raises HistoryError when what can be read back is not what was inserted."""
        first = rows[0]
        which = (
            f"attempt = {first.attempt} AND after_ms = {first.after_ms} AND after_n = {first.after_n} ORDER BY number"
        )
        query = f"SELECT {', '.join(_KEY)}, {NAMES} FROM {ROWS} WHERE {which} FORMAT JSONEachRow"  # noqa: S608 - names of ours
        try:
            same = _decode_rows(self._server.run(query, settings=PLAIN_NUMBERS)) == rows
        except msgspec.MsgspecError:
            same = False
        if not same:
            raise HistoryError(f"{self.name}: what is read back of {len(rows)} rows is not what was inserted")

    def _prepare(self) -> None:
        """Make the tables, and the columns of a later version, where they lack: once in each process."""
        with self._lock:
            if self._is_prepared:
                return
            there = self._names("system.tables")
            for name, statement in _tables(modern=self._server.is_modern, days=self._days).items():
                if name not in there:
                    self._server.run(statement)
            columns = self._names(f"system.columns WHERE table = '{ROWS}' AND")
            lacking = [(name, kind) for name, kind in COLUMNS if name not in columns]
            for name, kind in lacking:
                self._server.run(f"ALTER TABLE {ROWS} ADD COLUMN `{name}` {kind}")
            if lacking and VIEW in there:
                self._server.run(f"DROP TABLE {VIEW}")
            if lacking or VIEW not in there:
                self._server.run(f"CREATE VIEW IF NOT EXISTS {VIEW} AS {_counting(_WITH_DERIVED, None, None)}")
            if self._server.is_modern:
                self._set_ttls()
            self._is_prepared = True

    def _names(self, table: str) -> set[str]:
        """Names that a table of the system has of this database; ``table`` may end with WHERE … AND."""
        condition = f"{table} {'' if table.endswith('AND') else 'WHERE'} database = currentDatabase()"
        return {name for [name] in self._server.rows(f"SELECT name FROM {condition}", list[str])}  # noqa: S608

    def _set_ttls(self) -> None:
        """Let the tables have the time to live that is set now."""
        for table, ttl in _ttls(self._days).items():
            query = (
                f"SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '{table}'"  # noqa: S608
            )
            [[made]] = self._server.rows(query, list[str])
            if ttl and f"TTL {ttl}" not in made:
                self._server.run(f"ALTER TABLE {table} MODIFY TTL {ttl}")
            elif not ttl and " TTL " in made:
                self._server.run(f"ALTER TABLE {table} REMOVE TTL")


def _ttls(days: int) -> dict[str, str]:
    """Table → when a row expires, as ClickHouse writes it."""
    if not days:
        return {ROWS: "", STRETCHES: ""}
    more = days + STRETCHES_KEPT_MORE_DAYS
    return {ROWS: f"day + toIntervalDay({days + 1})", STRETCHES: f"toDate(made) + toIntervalDay({more})"}


def _tables(*, modern: bool, days: int) -> dict[str, str]:
    """Table → the statement that makes it where there is none."""
    text = "LowCardinality(String) CODEC(ZSTD)" if modern else "String"
    plain = ("user", "session")
    kinds = [f"`{name}` {text if kind == 'String' and name not in plain else kind}" for name, kind in COLUMNS]
    settings = (
        f" SETTINGS non_replicated_deduplication_window = {_DEDUPLICATED}, fsync_after_insert = 1" if modern else ""
    )
    ttls = {table: f" TTL {ttl}" if modern and ttl else "" for table, ttl in _ttls(days).items()}
    rows = (
        f"CREATE TABLE IF NOT EXISTS {ROWS} (attempt UInt64, after_ms UInt64, after_n UInt64, number UInt32, {', '.join(kinds)}, "
        "day Date MATERIALIZED toDate(intDiv(at_ms, 86400000))) ENGINE = MergeTree PARTITION BY toYYYYMM(day) "
        f"ORDER BY (day, after_ms, after_n, number){ttls[ROWS]}{settings}"
    )
    stretches = (
        f"CREATE TABLE IF NOT EXISTS {STRETCHES} (attempt UInt64, after_ms UInt64, after_n UInt64, upto String, rows UInt64, "
        "writers String, made DateTime MATERIALIZED now()) ENGINE = MergeTree PARTITION BY toYYYYMM(made) "
        f"ORDER BY (after_ms, after_n){ttls[STRETCHES]}{settings}"
    )
    return {ROWS: rows, STRETCHES: stretches}


def _counting(names: str, first: int | None, last: int | None) -> str:
    """SQL of the rows that count. ``names``: what is selected of them."""
    first_ones = f"SELECT argMin(attempt, tuple(made, attempt)) FROM {STRETCHES} GROUP BY after_ms, after_n"  # noqa: S608
    conditions = [f"attempt IN ({first_ones})"]
    conditions += [f"day >= toDate({first})"] if first is not None else []
    conditions += [f"day <= toDate({last})"] if last is not None else []
    return f"SELECT {names} FROM {ROWS} WHERE {' AND '.join(conditions)}"  # noqa: S608 - names of ours


def _of_day(day: int) -> str:
    return _counting(NAMES, day, day) + " ORDER BY after_ms, after_n, number"


def _rows(batch: Batch, attempt: int, after_ms: int, after_n: int) -> list[Any]:
    """The rows of a stretch, in its order. Raises HistoryError."""
    found = []
    for number, event in enumerate(_decode_events(batch.lines)):
        values = list(msgspec.structs.astuple(event))
        values[_USER], values[_SESSION], values[_OK] = event.user.hex(), event.session.hex(), int(event.ok)
        values[_TRIED_AT : _TRIED_AT + 1] = (
            [each.endpoint for each in event.tried],
            [each.result for each in event.tried],
        )
        found.append(_Row(attempt, after_ms, after_n, number, *values))
    if len(found) != batch.rows:
        raise HistoryError(f"of {batch.rows} events {len(found)} were read")
    return found


def _event(line: bytes) -> Event:
    """The event of a row."""
    row: dict[str, Any] = msgspec.json.decode(line)
    tried = zip(row.pop("tried_endpoint"), row.pop("tried_result"), strict=True)
    row["tried"] = tuple([Tried(endpoint, result) for endpoint, result in tried])
    row["user"], row["session"], row["ok"] = bytes.fromhex(row["user"]), bytes.fromhex(row["session"]), bool(row["ok"])
    return Event(**row)


def _duckdb_type(kind: str) -> str:
    return {"Int64": "BIGINT", "Nullable(Int64)": "BIGINT", "UInt8": "UTINYINT", "String": "VARCHAR"}.get(
        kind, "VARCHAR[]" if kind == "Array(String)" else "UTINYINT[]"
    )


def _from_clickhouse(column: Column) -> str:
    """SQL of DuckDB that makes a column of ``events`` of those in ClickHouse."""
    if column.type == "BLOB":
        return f"unhex({column.quoted}) AS {column.quoted}"
    if column.type == "BOOLEAN":
        return f"{column.quoted} = 1 AS {column.quoted}"
    if column.type in ("BIGINT", "VARCHAR"):
        return column.quoted
    return f"[{{'endpoint': x[1], 'result': x[2]}} FOR x IN list_zip(tried_endpoint, tried_result)] AS {column.quoted}"
