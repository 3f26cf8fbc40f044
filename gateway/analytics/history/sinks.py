"""``Sink``: where ``HistoryWriter`` writes to. Kinds of histories as sinks: off the event loop, each call in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from gateway.analytics.buckets import today
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.clickhouse import ClickHouse
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.source import Batch, Progress

Writable = Archive | BucketArchive | ClickHouse
Result = TypeVar("Result")


class Sink(Protocol):
    """Where the history is kept."""

    @property
    def name(self) -> str:
        """A label of metrics, and the name of its cursor."""
        ...

    async def progress(self) -> Progress:
        """How far it has the stream, as far as it knows. Raises HistoryError."""
        ...

    async def append(self, batch: Batch) -> Progress:
        """Keep a stretch; it is durable when this returns. One that begins where another one begins is not kept twice, and what is
        returned is where the one that is kept ends. Raises HistoryError.
        """
        ...

    async def tidy(self, now: float) -> None:
        """What is due at times. ``now``: unix seconds. Raises HistoryError."""
        ...


class HistorySink:
    """A directory, a bucket or ClickHouse. ``days``: how long a day is kept, 0 for ever."""

    def __init__(self, history: Writable, *, days: int = 0) -> None:
        self._history, self._days = history, days
        self.name = history.sink

    async def progress(self) -> Progress:
        """Where the history ends."""
        return await in_thread(self._history.progress)

    async def append(self, batch: Batch) -> Progress:
        """Write it there."""
        return await in_thread(self._history.append, batch)

    async def tidy(self, now: float) -> None:
        """Fold when it is due, and remove what is too old."""
        await in_thread(self._tidy, now)

    def _tidy(self, now: float) -> None:
        if self._history.is_due(now):
            self._history.fold()
        if self._days:
            self._history.remove_days_before(today(now) - self._days)


async def in_thread(work: Callable[..., Result], *args: Any) -> Result:
    """The result of what blocks. Raises HistoryError also for what the system refuses, such as a full disk."""
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as error:
        raise HistoryError(f"{error.filename or 'a file'}: {error.strerror or error}") from error
