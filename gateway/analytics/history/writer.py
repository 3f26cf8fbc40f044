"""From the stream of events to a sink of the history, with a cursor of its own beside the consumer's.

    read a stretch of the stream  ->  sink.append, durable when it returns  ->  the cursor in Redis moves  ->  sink.tidy

A stretch that was appended when the process died is appended again under the same beginning, which a sink recognises. The cursor
that counts is the later one of Redis and the sink: so neither an older copy of Redis nor a new, empty sink makes a row come
twice. With the cursor goes what is known of the processes that write the stream, by which a repeated entry is left out and a gap
is counted as lost.

``tokenway worker`` writes, and a gateway where no worker runs; a lease keeps others from doing the same. It must not know: HTTP,
what a sink is made of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog
from redis.exceptions import WatchError

from gateway.analytics import stream
from gateway.analytics.event import Event, events_of
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import order
from gateway.analytics.history.sinks import Sink
from gateway.analytics.history.source import Batch, Progress
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors
from gateway.store.lease import Lease, Role
from gateway.telemetry import Telemetry

ENTRIES = 512
"""Entries of a stretch, at most: some 32,000 events."""
ENTRIES_AT_ONCE = 32
"""The store serves others between two reads."""
LEASE_MS = 90_000
WRITERS_KEPT_MS = 8 * 86_400_000
"""A process that has written nothing for so long is forgotten."""

log = structlog.get_logger(__name__)
_encode_lines = msgspec.json.Encoder().encode_lines


class _Stretch(NamedTuple):
    batch: Batch
    lost: int
    full: bool
    """Another one can be read at once."""


class HistoryWriter:
    """One per process and sink. ``clock``: unix seconds."""

    def __init__(
        self, store: Store, sink: Sink, role: Role, telemetry: Telemetry, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._sink, self._clock = store, sink, clock
        self._reached = Progress()
        """Where this process has left off."""
        self._lease = Lease(store.redis, keys.history_lease(sink.name), role, LEASE_MS)
        self._written = telemetry.history_events.labels(sink.name, "written")
        self._lost = telemetry.history_events.labels(sink.name, "lost")
        self._errors = telemetry.history_errors.labels(sink.name)

    async def write_history(self) -> None:
        """Write what has come if this process holds the lease. One task calls it every ``GATEWAY_HISTORY_INTERVAL_S``.

        A sink that fails is logged and counted; nothing is lost while the stream holds it. Raises StoreError.
        """
        try:
            with store_errors():
                while await self._lease.held() and await self._write_stretch():
                    pass
                if await self._lease.held():
                    await self._sink.tidy(self._clock())
        except HistoryError as error:
            self._errors.inc()
            log.error("the history of analytics cannot be written", sink=self._sink.name, error=str(error))

    async def _write_stretch(self) -> bool:
        """Write one stretch; whether there is more."""
        stored: Any = await self._store.redis.hget(keys.HISTORY, self._sink.name)
        progress = msgspec.json.decode(stored, type=Progress) if stored else Progress()
        if not stored or progress != self._reached:
            kept = await self._sink.progress()
            progress = kept if order(kept.position) > order(progress.position) else progress
        stretch = await self._read(progress)
        if stretch is None:
            return False
        reached = await self._sink.append(stretch.batch)
        await self._move(stored, reached)
        self._reached = reached
        self._written.inc(stretch.batch.rows)
        if stretch.lost:
            self._lost.inc(stretch.lost)
            log.error("events are missing in the history of analytics", sink=self._sink.name, events=stretch.lost)
        return stretch.full

    async def _move(self, before: bytes | None, reached: Progress) -> None:
        """Move the cursor, unless another process has."""
        async with self._store.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(keys.HISTORY)
            found: Any = await pipe.hget(keys.HISTORY, self._sink.name)
            if found != before:
                log.warning("another process writes the history of analytics", sink=self._sink.name)
                return
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(keys.HISTORY, self._sink.name, msgspec.json.encode(reached))
            try:
                await pipe.execute()
            except WatchError:
                log.warning("another process writes the history of analytics", sink=self._sink.name)

    async def _read(self, progress: Progress) -> _Stretch | None:
        """The next stretch; None when there is none."""
        upto, count, rows, lost = progress.position, 0, 0, 0
        writers, lines = dict(progress.writers), []
        while count < ENTRIES:
            found: Any = await self._store.redis.xrange(keys.EVENTS, min=f"({upto}", max="+", count=ENTRIES_AT_ONCE)
            for position, fields in found:
                upto = position.decode()
                events, missing = fresh(writers, upto, fields)
                lines.append(_encode_lines(events))
                rows, lost, count = rows + len(events), lost + missing, count + 1
                await asyncio.sleep(0)
            if len(found) < ENTRIES_AT_ONCE:
                break
        if not count:
            return None
        oldest = order(upto)[0] - WRITERS_KEPT_MS
        writers = {name: known for name, known in writers.items() if known[1] >= oldest}
        batch = Batch(after=progress.position, upto=upto, rows=rows, lines=b"".join(lines), writers=writers)
        return _Stretch(batch, lost, count >= ENTRIES)


def fresh(writers: dict[str, tuple[int, int]], position: str, fields: dict[bytes, bytes]) -> tuple[list[Event], int]:
    """(events of an entry that are not known yet, events missing before them). ``writers``, as in ``Facts``, learns of it."""
    try:
        entry = stream.entry(fields)
    except ValueError as error:
        log.warning("an entry of analytics was left out of the history", error=str(error))
        return [], 0
    done = writers.get(entry.writer, (entry.settled, 0))[0]
    writers[entry.writer] = (max(done, entry.after), order(position)[0])
    return events_of(entry.events_from(done)), max(entry.first - done, 0)
