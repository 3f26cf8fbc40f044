"""Models that change: those that climb, those that break out, and those that are new. Complete weeks only.

It must not know: HTTP, who is asking: ``least_users`` says what may be shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.analytics import buckets, queries
from gateway.analytics.queries import Query, Standing, Window
from gateway.analytics.series import OTHERS, Chart
from gateway.store.client import Store

WEEK_DAYS = 7
CLIMBED_RANKS = 3
"""Places that a model must have gained in a week to climb."""
BROKE_OUT_TIMES = 2
"""So many times the mean of the three weeks before is an outbreak."""


class Rise(msgspec.Struct, frozen=True):
    """One model. ``standing``: its last 7 complete days among all; ``excess``: above the mean of the three weeks before."""

    standing: Standing
    excess: int = 0

    @property
    def climbed(self) -> int:
        """Places gained since the week before."""
        return self.standing.previous_rank - self.standing.rank if self.standing.previous_rank else 0

    @property
    def times(self) -> float | None:
        """This week over the mean of the three before; None when there was nothing."""
        mean = self.standing.tokens - self.excess
        return round(self.standing.tokens / mean, 2) if mean > 0 else None


class Discovery(msgspec.Struct, frozen=True):
    """Each list has its strongest first."""

    climbing: tuple[Rise, ...]
    """Gained at least ``CLIMBED_RANKS`` places."""
    breakouts: tuple[Rise, ...]
    """Used in the three weeks before, and now at least ``BROKE_OUT_TIMES`` their mean."""
    new: tuple[Rise, ...]
    """Not used at all in the three weeks before."""


async def discovery(store: Store, least_users: int | None, now: float) -> Discovery:
    """The last 7 complete days against the week, and the three weeks, before. Raises StoreError."""
    today = buckets.today(now)
    week = Window(today - WEEK_DAYS, today)
    standings = await queries.leaderboard(store, "model", week, trending=False, least_users=least_users, now=now)
    trending = await queries.leaderboard(store, "model", week, trending=True, least_users=least_users, now=now)
    excess = {each.key: each.excess for each in trending}
    rises = [Rise(each, excess.get(each.key, 0)) for each in standings]
    climbing = [each for each in rises if each.climbed >= CLIMBED_RANKS]
    breakouts = [each for each in rises if each.excess and (each.times or 0) >= BROKE_OUT_TIMES]
    new = [each for each in rises if each.excess and each.times is None]
    return Discovery(
        tuple(sorted(climbing, key=lambda each: (-each.climbed, each.standing.rank))),
        tuple(sorted(breakouts, key=lambda each: (-each.excess, each.standing.key))),
        tuple(sorted(new, key=lambda each: each.standing.rank)),
    )


class Entry(msgspec.Struct, frozen=True):
    """A model that was among the largest of a week for the first time."""

    monday: str
    """ISO date on which that week began."""
    model: str
    rank: int
    tokens: int


async def first_in_top(store: Store, least_users: int | None, now: float, *, top: int, weeks: int) -> list[Entry]:
    """First appearances among the ``top`` of a complete week, of the last ``weeks``; the latest first, by rank within a week.

    The oldest week only tells who was there before. Raises StoreError.
    """
    week = buckets.week_of(buckets.today(now))
    first, last = buckets.monday(week - weeks), buckets.monday(week) - 1
    query = Query(start=first, end=last, top=top, others=False, least_users=least_users)
    return list(reversed(_entries(await queries.chart(store, query, now))))


def _entries(chart: Chart) -> Sequence[Entry]:
    known: set[str] = set()
    found: list[Entry] = []
    begun = False
    for at, monday in enumerate(chart.buckets):
        values = {s.key: value for s in chart.series if s.key != OTHERS and (value := s.values[at]) is not None}
        order = sorted(values, key=lambda key, of=values: (-of[key], key))  # type: ignore[misc]
        new = [Entry(monday, key, rank, values[key]) for rank, key in enumerate(order, 1) if key not in known]
        if begun:
            found += reversed(new)
        begun = begun or bool(order)
        known.update(order)
    return found
