"""The cohorts of all models, made once a day from the history by whoever writes it, and kept in the store for every gateway.

Counting them event by event would need the first day of every user with every model at hand; read from the history they cost a
minute's work a day and nothing while requests are counted. It must not know: HTTP, pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from gateway.analytics import buckets
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.source import History
from gateway.analytics.privacy import LARGEST_PERCENT
from gateway.analytics.retention import Cohort, comes_back, is_foundational, of_history
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors

VERSION = 1
"""Of what is kept, and of how it is made: another one is made again."""
LEASE_MS = 900_000
"""So long nobody else tries, also after a failure."""
LEASE = "cohorts"
MADE = "_"
"""Field beside those of the models."""
NONE_YET = (
    "No cohorts were made yet. They are made once a day from the history of usage (GATEWAY_HISTORY, and the extra analytics: "
    "pip install 'tokenway[analytics]') by the process that writes it."
)

log = structlog.get_logger(__name__)


class Made(msgspec.Struct, frozen=True):
    """When cohorts were made. Days are numbers since 1970."""

    version: int
    day: int
    through: int
    """The last day of the last month that is in them."""
    models: int


class Kept(msgspec.Struct, frozen=True):
    """A cohort as it is kept, with what can only be said beside the other ones of its model."""

    cohort: Cohort
    stays: bool
    boomerang: int | None
    """The age at which more of it came back."""

    def shown(self, least_users: int | None) -> bool:
        """Whether it may be shown: of so many users, and not mostly those of one organisation. None: everything may."""
        if least_users is None or least_users <= 1:
            return True
        return self.cohort.size >= least_users and self.cohort.largest_percent <= LARGEST_PERCENT

    def percents(self, least_users: int | None) -> list[float | None]:
        """The part of it that came back at each age; None where so few did that they might be recognised, but for nobody at all."""
        least = least_users or 1
        return [
            round(100 * active / self.cohort.size, 1) if active == 0 or active >= least else None
            for active in self.cohort.active
        ]


async def read(store: Store, model: str) -> tuple[Made | None, Sequence[Kept]]:
    """When cohorts were made, None when they never were; and those of one model, the oldest first. Raises StoreError."""
    with store_errors():
        made, found = await store.redis.hmget(keys.COHORTS, [MADE, model])
    return (
        msgspec.json.decode(made, type=Made) if made else None,
        msgspec.json.decode(found, type=tuple[Kept, ...]) if found else (),
    )


async def write(store: Store, made: Made, found: Mapping[str, Sequence[Cohort]]) -> None:
    """Put these in the place of those that were kept, all at once. Raises StoreError."""
    fields: dict[str, bytes] = {MADE: msgspec.json.encode(made)}
    for model, of_model in found.items():
        fields[model] = msgspec.json.encode(
            [Kept(each, is_foundational(each, of_model), comes_back(each, of_model)) for each in of_model]
        )
    with store_errors():
        async with store.redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.COHORTS)
            pipe.hset(keys.COHORTS, mapping=fields)  # type: ignore[arg-type]
            await pipe.execute()


class CohortMaker:
    """One per process that may write the history. ``clock``: unix seconds."""

    def __init__(self, store: Store, history: History, clock: Callable[[], float] = time.time) -> None:
        self._store, self._history, self._clock = store, history, clock

    async def make_cohorts(self) -> None:
        """Make them, unless today's are there or another process is at it. One task calls it some times an hour.

        Raises StoreError.
        """
        if not await asyncio.to_thread(self._history.exists):
            return
        today, lease = buckets.today(self._clock()), keys.history_lease(LEASE)
        with store_errors():
            kept: Any = await self._store.redis.hget(keys.COHORTS, MADE)
            made = msgspec.json.decode(kept, type=Made) if kept else None
            if made is not None and (made.version, made.day) == (VERSION, today):
                return
            if not await self._store.redis.set(lease, b"1", nx=True, px=LEASE_MS):
                return
        try:
            found = await asyncio.to_thread(of_history, self._history, today)
        except (HistoryError, OSError) as error:
            log.error("cohorts cannot be made from the history of analytics", error=str(error))
            return
        through = buckets.first_day("month", today) - 1
        await write(self._store, Made(VERSION, today, through, len(found)), found)
        with store_errors():
            await self._store.redis.delete(lease)
