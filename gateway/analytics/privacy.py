"""Which figures may be shown to anybody: those in which no single account can be recognised.

A cell, which is one value of one bucket, needs so many different users, and no organisation may make up more than four fifths of
its tokens. What does not pass is shown within ``others``. It must not know: HTTP, who is asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.analytics import tables
from gateway.store.client import Store

LARGEST_PERCENT = 80
"""Of the tokens of a cell, the most that one organisation may have used."""
ROUNDED_TO = 10
"""Numbers of users are shown to the nearest ten."""


class Cell(NamedTuple):
    """One value of one bucket of a chart."""

    grain: str
    """``d`` or ``w``."""
    numbers: tuple[int, ...]
    """The days or weeks that the bucket consists of."""
    rows: tuple[str, ...]
    """What was added up: ``m <model>``, ``p <provider>``, ``a <app>``."""


async def shown(store: Store, cells: Sequence[Cell], least_users: int) -> list[bool]:
    """For each cell whether it may be shown to anybody. Apps are shown by users alone: they name themselves so as to be listed.

    Raises StoreError.
    """
    allowed = [False] * len(cells)
    for grain in ("d", "w"):
        places = [place for place, cell in enumerate(cells) if cell.grain == grain]
        if not places:
            continue
        mine = [cells[place] for place in places]
        people = await tables.users(store, grain, mine)
        parts = [(number, row) for cell in mine for row in cell.rows if row[0] != "a" for number in cell.numbers]
        read = iter(await tables.rows(store, grain + "o", parts))
        for place, cell, count in zip(places, mine, people, strict=True):
            of_organizations = [next(read) for row in cell.rows if row[0] != "a" for _ in cell.numbers]
            allowed[place] = count >= least_users and (cell.rows[0][0] == "a" or _no_giant(of_organizations))
    return allowed


def _no_giant(parts: Sequence[Mapping[str, int]]) -> bool:
    sums: dict[str, int] = {}
    for part in parts:
        for organization, tokens in part.items():
            sums[organization] = sums.get(organization, 0) + tokens
    return max(sums.values(), default=0) * 100 <= sum(sums.values()) * LARGEST_PERCENT


def rounded(users: int) -> int:
    """A number of users as it is shown to anybody."""
    return (users + ROUNDED_TO // 2) // ROUNDED_TO * ROUNDED_TO
