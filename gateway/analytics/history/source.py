"""``History``: a history as it is read, wherever it is kept: rebuild, export, report and the costs of sessions know nothing else.

``FileHistory`` is what those made of files share. It must not know: where they lie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.analytics.event import Event
from gateway.analytics.history.schema import START, Dataset, event
from gateway.analytics.history.sums import Sums

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

EVENTS_AT_ONCE = 2048


class Batch(msgspec.Struct, kw_only=True):
    """The events of a stretch of the stream, as lines of JSON."""

    after: str
    upto: str
    rows: int
    lines: bytes
    writers: dict[str, tuple[int, int]] = {}
    """As in ``Facts``, at the end of the stretch."""


class Progress(msgspec.Struct, frozen=True):
    """How far the stream is written, and what is known there of the processes that write to it."""

    position: str = START
    writers: dict[str, tuple[int, int]] = {}


class History(Protocol):
    """Events that were kept. Every method blocks. Days are UTC, numbered from 1970; ``first`` and ``last`` are included, None is
    without end.
    """

    @property
    def name(self) -> str:
        """Where it is, for messages: no secrets."""
        ...

    @property
    def sink(self) -> str:
        """Name of the sink that writes it."""
        ...

    def exists(self) -> bool:
        """Whether something was ever written. Raises HistoryError."""
        ...

    def progress(self) -> Progress:
        """How far it has the stream. Raises HistoryError."""
        ...

    def event_days(self) -> list[int]:
        """The days that have rows, in their order. Raises HistoryError."""
        ...

    def count(self, first: int | None = None, last: int | None = None) -> int:
        """How many events there are. Raises HistoryError."""
        ...

    def events(self, first: int | None = None, last: int | None = None) -> Iterator[Sequence[Event]]:
        """The events, some at a time, in the order of the stream within a day. Raises HistoryError."""
        ...

    def reading(self, first: int | None = None, last: int | None = None) -> AbstractContextManager[Connection]:
        """A DuckDB with the view ``events``: every column of the dataset, and ``DERIVED``. Raises HistoryError."""
        ...

    def summing(
        self, sums: Sums, first: int | None = None, last: int | None = None
    ) -> AbstractContextManager[Connection]:
        """A DuckDB with ``sums``, a table or view of them. Raises HistoryError."""
        ...


class FileHistory(ABC):
    """What follows from ``reading``."""

    dataset: Dataset

    @abstractmethod
    def reading(self, first: int | None = None, last: int | None = None) -> AbstractContextManager[Connection]:
        """As in ``History``."""

    def count(self, first: int | None = None, last: int | None = None) -> int:
        """By DuckDB, from the ends of the files where it can."""
        with self.reading(first, last) as opened:
            [(number,)] = opened.execute(f"SELECT count(*) FROM {self.dataset.name}").fetchall()  # noqa: S608
        return int(number)

    def events(self, first: int | None = None, last: int | None = None) -> Iterator[Sequence[Event]]:
        """Rows as DuckDB reads them."""
        names = ", ".join(column.quoted for column in self.dataset.columns)
        with self.reading(first, last) as opened:
            rows = opened.execute(f"SELECT {names} FROM {self.dataset.name}")  # noqa: S608 - names of ours
            while part := rows.fetchmany(EVENTS_AT_ONCE):
                yield [event(row) for row in part]

    @contextmanager
    def summing(self, sums: Sums, first: int | None = None, last: int | None = None) -> Iterator[Connection]:
        """A view."""
        with self.reading(first, last) as opened:
            opened.execute(f"CREATE TEMP VIEW sums AS {sums.duckdb()}")
            yield opened
