"""Read the counters back: whole buckets of a table, one call to the store for each.

It must not know: HTTP, what is shown to whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.analytics.fields import by_name, loaded, numbers, place_of
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors

BUCKETS_AT_ONCE = 16
"""Calls in flight: the store serves others between two of them."""
CELLS_AT_ONCE = 200
NO_COUNTERS = frozenset({keys.BATCH.encode(), keys.NAME.encode()})

Table = dict[str, tuple[int, ...]]
"""Row → the values of the fields that were asked for."""


async def read(store: Store, table: str, buckets: Sequence[int], fields: Sequence[str]) -> list[Table]:
    """Counters of every row of each bucket, by their names in ``fields.py``; 0 where a row lacks one. Raises StoreError."""
    found: list[Table] = []
    for start in range(0, len(buckets), BUCKETS_AT_ONCE):
        part = buckets[start : start + BUCKETS_AT_ONCE]
        found += await asyncio.gather(*(_bucket(store, table, number, fields) for number in part))
    return found


Reader = Callable[[Store, str, Sequence[int], Sequence[str]], Awaitable[list[Table]]]
"""What reads whole buckets: ``read``, or something that has read them before."""


async def _bucket(store: Store, table: str, number: int, fields: Sequence[str]) -> Table:
    places = [place_of(table[1:], field) for field in fields]
    asked = list(dict.fromkeys([*fields, *(place[0] for place in places if place)]))
    columns = [part for field in asked for part in ("GET", f"{keys.row(table, number, '*')}->{field}")]
    command = ("SORT", keys.rows(table, number), "BY", "nosort", "GET", "#", *columns)
    with store_errors():
        values: list[Any] = await store.redis.execute_command(*command)  # type: ignore[no-untyped-call]
    names, *found = [values[place :: 1 + len(asked)] for place in range(1 + len(asked))]
    stored = dict(zip(asked, found, strict=True))
    split = {place[0]: list(map(numbers, stored[place[0]])) for place in places if place}
    counts = []
    for field, place in zip(fields, places, strict=True):
        column = [int(value or 0) for value in stored[field]]
        if place:
            at = place[1]
            several = zip(column, split[place[0]], strict=True)
            column = [one + parts[at] if at < len(parts) else one for one, parts in several]
        counts.append(column)
    return dict(zip(map(bytes.decode, names), zip(*counts, strict=True), strict=True))


async def row_names(store: Store, table: str, buckets: Sequence[int]) -> list[set[str]]:
    """The rows of each bucket. Raises StoreError."""
    async with store.redis.pipeline(transaction=False) as pipe:
        for number in buckets:
            pipe.smembers(keys.rows(table, number))
        with store_errors():
            return [{name.decode() for name in found} for found in await pipe.execute()]


async def revisions(store: Store, weeks: Sequence[int]) -> int:
    """How often these weeks were changed after they had closed. Raises StoreError."""
    if not weeks:
        return 0
    with store_errors():
        found: list[Any] = await store.redis.hmget(keys.REVISIONS, [str(week) for week in weeks])
    return sum(int(number) for number in found if number is not None)


async def rows(store: Store, table: str, cells: Sequence[tuple[int, str]]) -> list[dict[str, int]]:
    """All counters of single rows, (bucket, row) each; empty where there is none. Raises StoreError."""
    found: list[dict[str, int]] = []
    for start in range(0, len(cells), CELLS_AT_ONCE):
        async with store.redis.pipeline(transaction=False) as pipe:
            for number, row in cells[start : start + CELLS_AT_ONCE]:
                pipe.hgetall(keys.row(table, number, row))
            with store_errors():
                answers: list[Mapping[bytes, bytes]] = await pipe.execute()
        values = [{f.decode(): loaded(v) for f, v in each.items() if f not in NO_COUNTERS} for each in answers]
        found += [by_name(table[1:], each) for each in values]
    return found


class Union(Protocol):
    """Rows of buckets whose users are united."""

    @property
    def numbers(self) -> Sequence[int]: ...

    @property
    def rows(self) -> Sequence[str]: ...


async def users(store: Store, grain: str, cells: Sequence[Union]) -> list[int]:
    """How many different users each union of rows had, about (0.8 %). Raises StoreError."""
    found: list[int] = []
    for start in range(0, len(cells), CELLS_AT_ONCE):
        async with store.redis.pipeline(transaction=False) as pipe:
            for cell in cells[start : start + CELLS_AT_ONCE]:
                pipe.pfcount(*[keys.row(grain + "n", number, row) for row in cell.rows for number in cell.numbers])
            with store_errors():
                found += await pipe.execute()
    return found


async def names(store: Store, grain: str, number: int, apps: Sequence[str]) -> dict[str, str]:
    """App → the name that it gave last in a bucket, where it gave one. Raises StoreError."""
    if not apps:
        return {}
    async with store.redis.pipeline(transaction=False) as pipe:
        for app in apps:
            pipe.hget(keys.row(grain + "a", number, app), keys.NAME)
        with store_errors():
            answers = await pipe.execute()
    return {app: name.decode() for app, name in zip(apps, answers, strict=True) if name}
