"""The year's events → the counters of a store, without the stream: a year is too much for it, and its weeks are long over.

The events of a week are counted at once. Buckets do not reach over weeks, so each row is complete when it is written.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from gateway.analytics.buckets import day_of, today, week_of
from gateway.analytics.consumer import LEASE_MS
from gateway.analytics.counters import KEPT_S, WEEK_S, count
from gateway.analytics.event import Event
from gateway.analytics.rows import replace_rows
from gateway.cli.demo.year.targets import LAST_WEEK
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors

COMMANDS_AT_ONCE: Final = 2_000
LEASE_WAIT_MS: Final = 6 * LEASE_MS
"""How long nobody else counts if this process dies while it loads."""
KEPT_KEYS: Final = frozenset({keys.EVENTS, keys.CURSOR, keys.PLAN, keys.LEASE, keys.LOST, keys.SALT})
"""What ``replace`` leaves: events that wait to be counted, and the users' salt."""


class CountersInUse(Exception):
    """A gateway or a worker counts in this store, or it has counters already; the message says what to do."""


def default_shift(now: float) -> int:
    """Weeks by which the year has to be moved so that its last week is the one that ended last."""
    return week_of(today(now)) - 1 - week_of(day_of(LAST_WEEK))


@asynccontextmanager
async def _held(store: Store) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Keep others from counting in this store; the value has to be awaited from time to time.

    Raises CountersInUse where somebody counts: a process keeps rows in memory, and would write over those of the year.
    """
    name = f"worker:demo-year:{secrets.token_hex(6)}".encode()
    redis = store.redis
    with store_errors():
        if not await redis.set(keys.LEASE, name, nx=True, px=LEASE_WAIT_MS):
            raise CountersInUse("a gateway or a worker counts in this store; stop it, and try again ten seconds later")

    async def renew() -> None:
        with store_errors():
            await redis.set(keys.LEASE, name, px=LEASE_WAIT_MS)

    try:
        yield renew
    finally:
        with store_errors():
            await redis.delete(keys.LEASE)


async def has_counters(store: Store, now: float) -> bool:
    """Whether anything has been counted in one of the weeks that are kept. Raises StoreError."""
    last = week_of(today(now)) + 1
    weeks = range(last - KEPT_S["we"] // WEEK_S - 1, last + 1)
    with store_errors():
        return bool(await store.redis.exists(*[keys.rows("we", week) for week in weeks]))


async def _clear(store: Store) -> None:
    """Delete everything that was counted; events that wait to be counted stay. Raises StoreError."""
    with store_errors():
        found: list[bytes] = []
        async for key in store.redis.scan_iter(keys.PREFIX + ":*", count=10_000):
            if key.decode() not in KEPT_KEYS and not key.startswith(keys.seen("").encode()):
                found.append(key)
        for start in range(0, len(found), COMMANDS_AT_ONCE):
            await store.redis.unlink(*found[start : start + COMMANDS_AT_ONCE])


async def load(
    store: Store, weeks: Iterable[Sequence[Event]], advance: Callable[[int], None], *, replace: bool = False
) -> int:
    """Count the events of whole weeks in a store without counters, or after deleting those that it has; returns how many.

    When it fails, or is interrupted, nothing is left: half a year would look like a whole one. ``advance`` gets the tokens of each
    week. Raises CountersInUse, StoreError, LedgerUnavailable.
    """
    number = 0
    async with _held(store) as renew:
        if replace:
            await _clear(store)
        try:
            for events in weeks:
                await replace_rows(store, count(events, time.time()), renew)
                number += len(events)
                advance(sum(each.prompt + each.completion for each in events))
        except BaseException:
            await _clear(store)
            raise
    return number
