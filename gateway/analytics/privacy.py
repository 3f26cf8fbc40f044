"""Which figures may be shown to anybody: those in which no single account can be recognised.

A cell, which is one value of one bucket, needs so many different users, and no organisation may make up more than four fifths of
its tokens. What does not pass is shown within ``others``. The rows are looked at in the store (``privacy.lua``), in calls of some
two milliseconds. It must not know: HTTP, who is asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from gateway.analytics import tables
from gateway.analytics.counters import TOOLS
from gateway.errors import LedgerUnavailable
from gateway.store import analytics_keys as keys
from gateway.store.client import RedisCalls, Store
from gateway.store.errors import StoreError
from gateway.store.redis_functions import Argument, Library

LARGEST_PERCENT = 80
"""Of the tokens of a cell, the most that one organisation may have used."""
ROUNDED_TO = 10
"""Numbers of users are shown to the nearest ten."""
KEYS_AT_ONCE, KEYS_FIRST = 2_000, 500
"""Keys of one call, unless a single cell has more, and of the first one; others have as many as the store gets through."""
SMALL = 64
"""Rows of a cell that the store adds up in one go."""
T = TypeVar("T")
LIBRARY = Library(Path(__file__).with_name("privacy.lua"), "tokenway_privacy_v1")


class Cell(NamedTuple):
    """One value of one bucket of a chart."""

    grain: str
    """``d`` or ``w``."""
    numbers: tuple[int, ...]
    """The days or weeks that the bucket consists of."""
    rows: tuple[str, ...]
    """What was added up: ``m <model>``, ``p <provider>``, ``a <app>``."""
    of_tools: bool = False
    """Only of requests that ended with a call of tools: then no organisation may have most of their tokens, either, as an account
    that is a small part of a model may be nearly all of its calls."""


async def shown(store: Store, cells: Sequence[Cell], least_users: int) -> list[bool]:
    """For each cell whether it may be shown to anybody. Apps are shown by users alone: they name themselves so as to be listed.

    With ``least_users`` 1 everything is shown: then a single account is to be recognised. Raises StoreError.
    """
    if least_users <= 1:
        return [True] * len(cells)
    of_all = await _each(store, [cell._replace(of_tools=False) for cell in cells], least_users)
    of_tools = iter(await _each(store, [cell for cell in cells if cell.of_tools], least_users))
    called = [next(of_tools) if cell.of_tools else True for cell in cells]
    return [both[0] and both[1] for both in zip(of_all, called, strict=True)]


async def _each(store: Store, cells: Sequence[Cell], least_users: int) -> list[bool]:
    small = [place for place, cell in enumerate(cells) if len(cell.rows) * len(cell.numbers) <= SMALL]
    allowed = dict(zip(small, await _small(store, [cells[place] for place in small], least_users), strict=True))
    for place, cell in enumerate(cells):
        if place not in allowed:
            allowed[place] = await _large(store, cell, least_users)
    return [allowed[place] for place in range(len(cells))]


async def _small(store: Store, cells: Sequence[Cell], least_users: int) -> list[bool]:
    """Many cells in one call; the store says how many of them it has looked at."""
    asked = [_arguments(cell) for cell in cells]
    allowed: list[bool] = []
    keys_at_once = KEYS_FIRST
    while len(allowed) < len(cells):
        part = list(_together(asked[len(allowed) :], keys_at_once))
        packed = msgspec.msgpack.encode(
            [each for cell in part for each in cell]
        )  # hundreds of arguments cost more than their work
        arguments = (least_users, LARGEST_PERCENT, packed)
        try:
            found = await LIBRARY.call(RedisCalls(store.redis), LIBRARY.function("shown"), (), arguments)
        except LedgerUnavailable as error:
            raise (error.__cause__ if isinstance(error.__cause__, StoreError) else StoreError(str(error))) from error
        allowed += [each == 1 for each in found]
        done = sum(map(len, part[: len(found)]))
        keys_at_once = min(2 * done if len(found) == len(part) else done + done // 4, KEYS_AT_ONCE)
    return allowed


async def _large(store: Store, cell: Cell, least_users: int) -> bool:
    """A cell of so many rows that adding them up would hold the store: they are added up here."""
    users = 0
    for rows in _parts(cell.rows, SMALL):
        for numbers in _parts(cell.numbers, max(SMALL // len(rows), 1)):
            # the union of all has at least as many as that of any part
            users = max(users, *await tables.users(store, cell.grain, [Cell(cell.grain, numbers, rows)]))
            if users >= least_users:
                break
    if users < least_users:
        return False
    sums: dict[str, int] = {}
    of_organizations = [(number, row) for row in _of_organizations(cell) for number in cell.numbers]
    for counts in await tables.rows(store, cell.grain + "o", of_organizations):
        for organization, tokens in counts.items():
            sums[organization] = sums.get(organization, 0) + tokens
    return max(sums.values(), default=0) * 100 <= sum(sums.values()) * LARGEST_PERCENT


def _parts(of: tuple[T, ...], length: int) -> Iterator[tuple[T, ...]]:
    return (of[start : start + length] for start in range(0, len(of), length))


def _arguments(cell: Cell) -> list[Argument]:
    users = [keys.row(cell.grain + "n", number, row) for row in cell.rows for number in cell.numbers]
    organizations = [
        keys.row(cell.grain + "o", number, row) for row in _of_organizations(cell) for number in cell.numbers
    ]
    return [len(users), *users, len(organizations), *organizations]


def _of_organizations(cell: Cell) -> list[str]:
    """The rows of organisations of a cell."""
    return [TOOLS + row if cell.of_tools else row for row in cell.rows if row[0] != "a"]


def _together(cells: Sequence[list[Argument]], keys_at_once: int) -> Iterator[list[Argument]]:
    """The first cells, as many as have so many keys."""
    count = 0
    for cell in cells:
        if count and count + len(cell) > keys_at_once:
            return
        count += len(cell)
        yield cell


def rounded(users: int) -> int:
    """A number of users as it is shown to anybody."""
    return (users + ROUNDED_TO // 2) // ROUNDED_TO * ROUNDED_TO
