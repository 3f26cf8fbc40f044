"""Rows of counters replaced by what they have to be, whatever they were: for whoever makes whole buckets at once.

A row is replaced in one step, so readers never see half of one. Nobody else may count meanwhile; see ``consumer.py`` for counting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

from gateway.analytics.consumer import VALUES_WRITTEN, library
from gateway.analytics.counters import Cell, Increments, bucket_expires_at
from gateway.analytics.fields import stored
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.redis_functions import Argument

CALLS_AT_ONCE = 16


async def replace_rows(store: Store, increments: Increments, between: Callable[[], Awaitable[None]]) -> None:
    """Write all rows, in many small calls; ``between`` is awaited after some of them. Raises LedgerUnavailable."""
    functions = library()
    name = functions.function("replace")
    calls = _calls(increments)
    while part := list(islice(calls, CALLS_AT_ONCE)):
        await asyncio.gather(*[functions.call(store.mux, name, (), tuple(arguments)) for arguments in part])
        await between()


def _calls(increments: Increments) -> Iterator[list[Argument]]:
    """The arguments of each call. A row is not divided."""
    arguments: list[Argument] = []
    values, at, bucket = 0, 0, None
    for of, row in _rows(increments):
        if arguments and values + len(row) > VALUES_WRITTEN:
            yield arguments
            arguments, values, bucket = [], 0, None
        if of is not bucket:
            bucket, at = of, len(arguments) + len(of)
            arguments += (*of, 0)
        arguments[at] += 1  # type: ignore[operator]
        arguments += row
        values += len(row)
    if arguments:
        yield arguments


def _rows(increments: Increments) -> Iterator[tuple[tuple[str, int, str], list[Argument]]]:
    """Each row with the number of its values in front of them, behind the arguments of its bucket."""
    for (table, number), rows in increments.counts.items():
        of = keys.rows(table, number), bucket_expires_at(table, number), "HSET"
        for name, amounts in rows.items():
            row: list[Argument] = [name, 0]
            for field, value in amounts.items():
                row += (field, value if type(value) is int else stored(value))
            if label := increments.names.get(Cell(table, number, name)):
                row += (keys.NAME, label)
            row[1] = len(row) - 2
            yield of, row
    for (table, number), people in increments.users.items():
        of = keys.rows(table, number), bucket_expires_at(table, number), "PFADD"
        for name, users in people.items():
            yield of, [name, len(users), *users]
