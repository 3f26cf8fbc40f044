"""Out of the history: its events, or sums of them by day or week, as CSV, lines of JSON or Parquet, with a description of each
column.

CSV as in RFC 4180, UTF-8, with a header, times as ``2026-01-05T00:20:11.123Z``, an empty field for what is missing; a text that a
spreadsheet would take for a formula has an apostrophe before it, in CSV only. Integers are exact up to 2^63; money is nano-USD.
What names an account is left out unless one asks for it. Whatever the size, some thousand rows are in memory.

It must not know: HTTP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.analytics.buckets import iso_day
from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.schema import EVENTS, PRIVATE, VERSION
from gateway.analytics.history.source import History
from gateway.analytics.history.sums import PERIODS, SUMS, Sums

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

Name = Literal["events", "daily", "weekly"]
Format = Literal["csv", "jsonl", "parquet"]
ROWS_AT_ONCE = 2_000
FORMULA = "'=', '+', '-', '@', chr(9), chr(13)"
"""What a text that a spreadsheet would take for a formula begins with. SQL."""
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class Export(NamedTuple):
    """What is asked for."""

    dataset: Name
    first: int | None = None
    """The first day and the last one, both included; None: without end."""
    last: int | None = None
    private: bool = False
    """With organisation, key, user and session."""


class Field(NamedTuple):
    """One column of an export."""

    name: str
    sql: str
    type: str
    description: str


MEANING = {
    "at_ms": "when the request came in, unix ms",
    "endpoint": "<provider>/<upstream id>@<model>; @<model> when none served",
    "org": "organisation",
    "key": "the first 16 characters of the API key's hash",
    "user": "stands for the end user, else for the key: a keyed hash",
    "app": "the app, as it says of itself; unknown",
    "app_name": "its name",
    "finish": "why the answer ended: stop, length, tool_calls, content_filter, error",
    "flags": "bits: 1 stream, 2 the caller left, 4 tokens are our own count, 8 a free model, 16 the caller's key at the vendor, "
    "32 nobody served because of the request itself",
    "ok": "an answer was delivered and did not end with an error",
    "prompt": "tokens of the vendor's tokenizer",
    "completion": "tokens, with reasoning",
    "reasoning": "tokens, within completion",
    "cache_read": "tokens, within prompt",
    "cache_write": "tokens, within prompt",
    "norm_prompt": "bytes / 4, comparable between models",
    "norm_completion": "bytes / 4",
    "tools": "tools that the request offered",
    "ttft_ms": "to the first content",
    "total_ms": "to the end",
    "cost_nano": "the provider's price, nano-USD",
    "fee_nano": "the fee, nano-USD",
    "charged_nano": "what the caller paid, nano-USD",
    "tried": "attempts: endpoint and result, 0 served, 1 failed, 2 refused for load, 3 not counted",
    "session": "stands for a conversation that the caller named",
    "api": "API surface",
    "calls": "calls of tools in the answer, where they were looked at",
    "country": "of the organisation, ISO 3166, where it is stated",
    "category": "what the request was about",
    "task": "a finer label",
    "language": "of the prompt",
    "programming": "programming language",
    "sampled_ppm": "chance, in millionths, with which it was chosen to be classified; 0: it was not",
    "tool_error": "the worst of the calls: 0 nothing, 1 arguments are no JSON, 2 a name that nobody offered, 3 not by the schema",
    "structured": "output that had to be JSON: 1 it is, 2 it is none, 3 not by the schema; 0: not asked for, or not looked at",
    "asked_to_reason": "1: the request named an effort other than none, or a budget, for reasoning",
    "pictures": "made by the model, where they are counted one by one",
    "audio_ms": "of sound that was transcribed, where its length is counted",
}
"""Field of ``Event`` → what it says."""


def fields(export: Export) -> list[Field]:
    """The columns of an export, in their order."""
    if export.dataset == "events":
        described = [
            Field("ts", "ts", "TIMESTAMP_MS", "at_ms as a time in UTC"),
            Field("model", "model", "VARCHAR", "the model that served, else the one that was asked for"),
            Field("provider", "provider", "VARCHAR", "who served; empty when nobody did"),
        ]
        kept = [each for each in EVENTS.columns if export.private or each.name not in PRIVATE]
        return described + [Field(each.name, each.quoted, each.type, MEANING.get(each.name, "")) for each in kept]
    name, _, meaning = PERIODS[export.dataset]
    groups = [Field(each, each, "VARCHAR", MEANING.get(each, each)) for each in _sums(export).groups]
    groups.insert(0, Field(name, f'"{name}"', "DATE", meaning))
    return groups + [Field(each.name, f'"{each.name}"', "BIGINT", each.meaning) for each in SUMS]


def _sums(export: Export) -> Sums:
    return Sums("weekly" if export.dataset == "weekly" else "daily", private=export.private)


def _text(field: Field) -> str:
    """SQL of a column as text, or as a number or truth value of JSON."""
    return {
        "TIMESTAMP_MS": f"strftime({field.sql}, '%Y-%m-%dT%H:%M:%S.%gZ')",
        "DATE": f"{field.sql}::VARCHAR",
        "BLOB": f"lower(hex({field.sql}))",
    }.get(field.type, field.sql)


@contextmanager
def _opened(history: History, export: Export) -> Iterator[Connection]:
    """A DuckDB with what ``_query`` selects from."""
    days = export.first, export.last
    with history.reading(*days) if export.dataset == "events" else history.summing(_sums(export), *days) as opened:
        yield opened


def _query(export: Export, values: str) -> str:
    """SQL of the rows; ``values`` of what is selected."""
    return f"SELECT {values} FROM " + ("events" if export.dataset == "events" else "sums ORDER BY ALL")  # noqa: S608


def lines(history: History, export: Export, format: Literal["csv", "jsonl"]) -> Generator[bytes]:
    """The export, some thousand rows at a time, as the history was when it began. Raises HistoryError."""
    columns = fields(export)
    with _opened(history, export) as opened:
        if format == "csv":
            yield _csv([[each.name for each in columns]])
            values = ", ".join(_in_csv(each) for each in columns)
        else:
            pairs = ", ".join(f"'{each.name}': {_text(each)}" for each in columns)
            values = f"to_json({{{pairs}}})::VARCHAR"
        rows = opened.execute(_query(export, values))
        while part := rows.fetchmany(ROWS_AT_ONCE):
            yield _csv(part) if format == "csv" else "".join([f"{row[0]}\n" for row in part]).encode()


def _in_csv(field: Field) -> str:
    if field.type == "VARCHAR":
        return f"CASE WHEN left({field.sql}, 1) IN ({FORMULA}) THEN '''' || {field.sql} ELSE {field.sql} END"
    return f"to_json({field.sql})::VARCHAR" if field.type.endswith("[]") else f"({_text(field)})::VARCHAR"


def _csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def write_parquet(history: History, export: Export, path: Path) -> None:
    """The whole export as one Parquet file. Raises HistoryError."""
    with _opened(history, export) as opened:
        options = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2"
        opened.execute(f"COPY ({_columnar(export)}) TO {parquet.literal(path)} ({options})")


def write_days(
    history: History, export: Export, directory: Path, advance: Callable[[int], object] = lambda rows: None
) -> None:
    """Events as Parquet, one file a day: with ``private`` an archive that counters can be made of. Raises HistoryError, OSError."""
    target, progress = Archive(directory), history.progress()
    for day in history.event_days():
        if (export.first is None or export.first <= day) and (export.last is None or day <= export.last):
            with history.reading(day, day) as opened:
                advance(target.put_day(opened, f"({_columnar(export)})", day, progress))


def _columnar(export: Export) -> str:
    """SQL of the rows with typed columns."""
    return _query(export, ", ".join(f'{each.sql} AS "{each.name}"' for each in fields(export)))


def dictionary(export: Export) -> dict[str, Any]:
    """The data dictionary: ``schema.json``."""
    return {
        "dataset": export.dataset,
        "version": VERSION,
        "from": iso_day(export.first) if export.first is not None else None,
        "to": iso_day(export.last) if export.last is not None else None,
        "private": export.private,
        "columns": [{"name": each.name, "type": each.type, "description": each.description} for each in fields(export)],
    }


def readme(export: Export, name: str) -> str:
    """The text that goes with the files."""
    kept = "with" if export.private else "without"
    rows = "".join([f"| {each.name} | {each.type} | {each.description} |\n" for each in fields(export)])
    return f"""# Export of {export.dataset}

`{name}`: usage counted by a Tokenway gateway, {kept} the columns that name an account. Weeks begin on Monday, times are UTC,
money is nano-USD (10^-9 USD), counts are integers of 64 bits. Tokens are those of each vendor's own tokenizer. No row is a total.

| column | type | meaning |
|---|---|---|
{rows}"""
