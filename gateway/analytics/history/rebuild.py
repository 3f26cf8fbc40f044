"""The counters in Redis again, from the files of the history and from what is in the stream but not in them yet.

Weeks are made one after the other: buckets of time do not reach over them. Each row is replaced in one step by what it has to be,
so readers never see nothing, and a process that dies leaves some weeks as they were; the next one makes all of them again. While
it runs nobody else counts or writes this history: it holds both leases, and counts first what waits, the last of it an entry of its
own, so that the others, whose cursor is older, forget the rows that they keep in memory.

A week of which more has been counted than the files have (they begin later, or lie elsewhere) is left alone unless one insists.
It must not know: HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, NamedTuple

from gateway.analytics import stream, tables
from gateway.analytics.buckets import bucket, monday, week_of
from gateway.analytics.consumer import LEASE_MS, Consumer
from gateway.analytics.counters import MAX_APPS, OTHER_APPS, Increments, Tally
from gateway.analytics.event import UNKNOWN_APP, Event, columns_of
from gateway.analytics.history.schema import order
from gateway.analytics.history.source import History, Progress
from gateway.analytics.history.writer import ENTRIES_AT_ONCE, fresh
from gateway.analytics.rows import replace_rows
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors

HELD_MS = 6 * LEASE_MS
"""How long nobody counts if this process dies."""
VALUES_AT_ONCE = 4000

Renew = Callable[[], Awaitable[None]]
Advance = Callable[[int], object]


class Week(NamedTuple):
    """What became of a week. Both numbers are requests; ``before`` are those that were counted in it."""

    week: int
    events: int
    before: int
    replaced: bool


async def rebuild(
    store: Store, history: History, *, replace: bool = False, advance: Advance = lambda events: None
) -> list[Week]:
    """Make the counters of every week of the history. ``replace``: also of those of which more has been counted. ``advance`` is
    called with the number of events that have been read.

    Raises DamagedFile, HistoryError, StoreError, LedgerUnavailable.
    """
    async with _nobody_else_counts(store, history.sink) as renew:
        upto = await _count_what_waits(store, renew)
        tail = await _tail(store, history.progress(), upto)
        weeks = {week_of(day) for day in history.event_days()} | tail.keys()
        found = []
        for week in sorted(weeks):
            tally, count = await _tallied(store, history, week, upto, advance=advance, renew=renew)
            found.append(await _rebuild_week(store, week, tally, count, replace=replace, renew=renew))
        return found


async def _count_what_waits(store: Store, renew: Renew) -> str:
    """Count the stream up to an entry that is made here; how far it is counted. No other process has a batch in work after it."""
    fields: dict[Any, Any] = {"w": f"rebuild:{secrets.token_hex(6)}", "a": 0, "f": 0, "e": stream.pack([])}
    with store_errors():
        made: Any = await store.redis.xadd(keys.EVENTS, fields)
    consumer = Consumer(store, "worker")
    while True:
        await consumer.consume()
        await renew()
        with store_errors():
            counted: Any = await store.redis.get(keys.CURSOR)
        if counted and order(counted.decode()) >= order(made.decode()):
            return str(counted.decode())
        await asyncio.sleep(0.02)  # another process is faster, and ends its batch


async def _tallied(
    store: Store, history: History, week: int, upto: str, *, advance: Advance, renew: Renew
) -> tuple[Tally, int]:
    """The events of a week, added up, and how many. A step of a writer that was under way may end meanwhile: what it has written is
    in the history and in the tail, so the week is read again.
    """
    while True:
        progress, tally, count = history.progress(), Tally(), 0
        tail = (await _tail(store, progress, upto)).get(week, [])
        for part in chain(history.events(monday(week), monday(week + 1) - 1), [tail]):
            tally.add(columns_of(part))
            count += len(part)
            advance(len(part))
            await renew()
        if history.progress() == progress:
            return tally, count


async def _rebuild_week(store: Store, week: int, tally: Tally, count: int, *, replace: bool, renew: Renew) -> Week:
    before = sum(row[0] for row in (await tables.read(store, "we", [week], ["rq"]))[0].values())
    if before > count and not replace:
        return Week(week, count, before, replaced=False)
    await _write(store, tally.increments(time.time(), without=_without(tally)), renew)
    return Week(week, count, before, replaced=True)


def _without(tally: Tally) -> set[tuple[int, str]]:
    """Apps for which their week has no room, when the first ones are let in, as ``Consumer`` does."""
    known: set[str] = set()
    without = set()
    for week, app in tally.apps():
        if len(known) < MAX_APPS or app in (UNKNOWN_APP, OTHER_APPS):
            known.add(app)
        else:
            without.add((week, app))
    return without


async def _tail(store: Store, progress: Progress, upto: str) -> dict[int, list[Event]]:
    """Week → events of the stream that are counted and not in the archive."""
    found: dict[int, list[Event]] = {}
    writers, after = dict(progress.writers), progress.position
    while order(after) < order(upto):
        with store_errors():
            entries: Any = await store.redis.xrange(keys.EVENTS, min=f"({after}", max=upto, count=ENTRIES_AT_ONCE)
        for position, fields in entries:
            after = position.decode()
            for each in fresh(writers, after, fields)[0]:
                found.setdefault(bucket("w", each.at_ms), []).append(each)
        if len(entries) < ENTRIES_AT_ONCE:
            break
    return found


async def _write(store: Store, increments: Increments, renew: Renew) -> None:
    """Replace the rows of all buckets that have some, and remove those that have none any more."""
    await replace_rows(store, increments, renew)
    for (table, number), expected in increments.rows().items():
        await _remove_others(store, table, number, expected)
        await renew()


async def _remove_others(store: Store, table: str, number: int, expected: Collection[str]) -> None:
    """Remove the rows of a bucket that are not among these."""
    [named] = await tables.row_names(store, table, [number])
    gone = list(named.difference(expected))
    async with store.redis.pipeline(transaction=False) as pipe:
        for start in range(0, len(gone), VALUES_AT_ONCE):
            part = gone[start : start + VALUES_AT_ONCE]
            pipe.unlink(*[keys.row(table, number, row) for row in part])
            pipe.srem(keys.rows(table, number), *part)
        with store_errors():
            await pipe.execute()


@asynccontextmanager
async def _nobody_else_counts(store: Store, sink: str) -> AsyncIterator[Renew]:
    """Hold the consumer's lease, and that of the history's writer, whoever has them; the value is to be awaited from time to time.
    A batch or a step that is begun may end.
    """
    name = f"rebuild:{secrets.token_hex(6)}".encode()
    leases = (keys.LEASE, keys.history_lease(sink))
    renewed = float("-inf")

    async def renew() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > HELD_MS / 4000:
            with store_errors():
                for lease in leases:
                    await store.redis.set(lease, name, px=HELD_MS)
            renewed = time.monotonic()

    await renew()
    try:
        yield renew
    finally:
        with store_errors():
            await store.redis.delete(*leases)
