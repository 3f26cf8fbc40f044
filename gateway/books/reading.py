"""Reading lines and records wherever they are: in the store, or in the archive once the books are closed.

The store is asked first, so what is recent costs what it always did. Queries of the archive run in a thread, one at a time in a
process, and few may wait for it, of one organisation fewer: whoever asks for old lines all the time takes them from nobody else. An
organisation that asks for old records waits three times as long as its query took before the next one begins: what costs nothing to
ask must not take a core.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import pairwise
from typing import TypeVar

import structlog

from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.sinks import in_thread
from gateway.books.archive import BookArchive, own_progress
from gateway.books.rows import JOURNAL, LINE_COLUMNS, RECORDS, at_ms, entry, living
from gateway.errors import LedgerUnavailable, Unavailable
from gateway.ledger.closing import NOTHING, Closing
from gateway.ledger.entries import GENERATION_ID, Entry, Record
from gateway.ledger.ledger import Ledger

DAY_S = 86_400
WAITING_MAX, WAITING_MAX_OF_ONE = 16, 2
"""Callers that wait for a query of the archive: all, and those of one organisation."""
RESTS, REST_MAX_S, RESTING_MAX = 3, 5.0, 1_000
"""A query of a caller is followed by rest of so many times its own time, of so long at most; organisations that are remembered."""
DAYS_MAX = 256
"""Days of one query. The first one has one, each next one twice as many as the one before."""
TRIES = 3
LATER = f"{10**15}-0"
"""A cursor behind every line."""

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class Books:
    """One per process. ``archive``: None where there can be none. ``close_after_s``: what is younger is in the store.

    ``clock``: unix seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        archive: BookArchive | None,
        *,
        close_after_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._archive, self._close_after_s, self._clock = ledger, archive, close_after_s, clock
        self._place = asyncio.Lock()
        self._waiting: Counter[str] = Counter()
        """Organisation → its callers that wait or are served, the empty one stands for the operator; and ``rest <organisation>`` →
        those that rest before.
        """
        self._rests: dict[str, float] = {}
        """Organisation → the loop's time from which on its callers' next query may begin."""
        self._queued = 0
        """Callers that wait for the place or have it."""
        self._is_own = False
        """Whether it is known that the archive belongs to this store's books."""

    async def journal(
        self, org: str, *, after: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> tuple[list[Entry], str | None]:
        """A page of an organisation's lines, and the cursor of the next page, None at the end.

        Raises BadRequest (cursor), LedgerUnavailable, Unavailable.
        """
        page: tuple[list[Entry], str | None] = [], None
        for _ in range(TRIES):  # lines may leave the store between two calls
            closing = await self._closing(org)
            if newest_first:
                page = await self._newest(org, after, limit, closing)
            else:
                page = await self._oldest(org, after, limit, closing)
            if await self._closing(org) == closing:
                break
        return page

    async def record(self, org: str, id: str) -> Record | None:
        """The record of a generation. Raises LedgerUnavailable, Unavailable."""
        return await self._ledger.record(org, id) or await self._archived_record(id, org)

    async def find_record(self, id: str) -> Record | None:
        """The same when the organisation is not known."""
        return await self._ledger.find_record(id) or await self._archived_record(id)

    async def _closing(self, org: str) -> Closing:
        try:
            return await self._ledger.closing(org)
        except ValueError as error:
            log.error("a closing cannot be read", org=org, error=str(error))
            raise LedgerUnavailable("The books of this organization are damaged; the operator has to look.") from error

    async def _oldest(
        self, org: str, after: str | None, limit: int, closing: Closing
    ) -> tuple[list[Entry], str | None]:
        if closing.seq == 0 or (after is not None and (await self._checked(org, after)) >= _place(closing.cursor)):
            return await self._ledger.journal(org, after=after, limit=limit)
        alive = living(await self._ledger.superseded())
        found = await self._query(
            org, lambda: self._lines(org, closing, alive, after or NOTHING, limit + 1, newest_first=False)
        )
        if len(found) > limit:
            return found[:limit], found[limit - 1].cursor
        rest, cursor = await self._ledger.journal(org, limit=max(limit - len(found), 1))
        if len(found) == limit:
            return found, found[-1].cursor if rest else None
        return [*found, *rest], cursor

    async def _newest(
        self, org: str, after: str | None, limit: int, closing: Closing
    ) -> tuple[list[Entry], str | None]:
        found, cursor = await self._ledger.journal(org, after=after, limit=limit, newest_first=True)
        if closing.seq == 0 or cursor is not None:
            return found, cursor
        last = found[-1].cursor if found else after or LATER
        missing = limit - len(found) + 1
        alive = living(await self._ledger.superseded())
        found += await self._query(org, lambda: self._lines(org, closing, alive, last, missing, newest_first=True))
        return found[:limit], found[limit - 1].cursor if len(found) > limit else None

    async def _checked(self, org: str, after: str) -> tuple[int, int]:
        """The place of a cursor. Raises BadRequest."""
        await self._ledger.journal(org, after=after, limit=1)
        return _place(after)

    def _lines(
        self, org: str, closing: Closing, alive: str, after: str, limit: int, *, newest_first: bool
    ) -> list[Entry]:
        """Lines before a closing, behind a cursor: of the days that may have them, some at a time. ``alive``: SQL of those that
        count. Blocks.
        """
        assert self._archive is not None  # _query has looked
        files, place = self._archive.journal, _place(after)
        if not files.exists():
            raise HistoryError(
                f"there is no journal in {files.name}, and the lines of {org} up to {closing.seq} are in it"
            )
        day, end = place[0] // (DAY_S * 1000), at_ms(closing.cursor) // (DAY_S * 1000)
        days = [each for each in files.event_days() if each <= end and (each <= day if newest_first else each >= day)]
        direction, compared = ("DESC", "<") if newest_first else ("ASC", ">")
        query = f"""SELECT {LINE_COLUMNS} FROM {JOURNAL.name} WHERE org = ? AND seq <= ? AND {alive}
            AND (at_ms, split_part(cursor, '-', 2)::BIGINT) {compared} (?, ?)
            QUALIFY row_number() OVER (PARTITION BY seq ORDER BY at_ms DESC) = 1 ORDER BY seq {direction} LIMIT ?"""  # noqa: S608
        found: list[Entry] = []
        for some in _growing(sorted(days, reverse=newest_first)):
            with files.reading(min(some), max(some)) as opened:
                rows = opened.execute(query, [org, closing.seq, *place, limit - len(found)]).fetchall()
            found += [entry(row)[0] for row in rows]
            if len(found) >= limit:
                break
        if any(abs(one.seq - other.seq) != 1 for one, other in pairwise(found)):
            log.error("lines are missing in the archive; run: tokenway reconcile --all", org=org)
        return found

    async def _archived_record(self, id: str, org: str | None = None) -> Record | None:
        if self._archive is None or not GENERATION_ID.fullmatch(id):
            return None
        born = int(id[4:14])
        if born > self._clock() - self._close_after_s:
            return None
        work = partial(self._record, id, org, born // DAY_S)
        return await self._query("", work) if org is None else await self._after_rest(org, work)

    async def _after_rest(self, org: str, work: Callable[[], Result]) -> Result:
        """What a query for a caller finds, when the organisation has rested from the one before. Raises as ``_query``."""
        clock = asyncio.get_running_loop().time
        if self._waiting[f"rest {org}"] >= WAITING_MAX_OF_ONE:
            raise _busy()
        with self._counted(f"rest {org}"):
            await asyncio.sleep(self._rests.get(org, 0.0) - clock())
            begun = clock()
            try:
                return await self._query(org, work)
            finally:
                if len(self._rests) >= RESTING_MAX:
                    self._rests = {each: until for each, until in self._rests.items() if until > begun}
                self._rests[org] = clock() + min((clock() - begun) * RESTS, REST_MAX_S)

    def _record(self, id: str, org: str | None, day: int) -> Record | None:
        """Looked for on the day on which the request began, and the next one. Blocks."""
        assert self._archive is not None
        files = self._archive.records
        if not files.exists():
            return None
        query = f"SELECT record, paid FROM {RECORDS.name} WHERE id = ? AND org = coalesce(?, org) LIMIT 1"  # noqa: S608
        with files.reading(day, day + 1) as opened:
            row = opened.execute(query, [id, org]).fetchone()
        return None if row is None else Record(bytes(row[0]), row[1])

    async def _query(self, org: str, work: Callable[[], Result]) -> Result:
        """What a query of the archive finds. Raises LedgerUnavailable where it cannot be read, Unavailable when too many wait."""
        if self._archive is None:
            raise LedgerUnavailable(
                "These lines are in the archive, which needs DuckDB: pip install 'tokenway[analytics]'."
            )
        async with self._turn(org):
            try:
                if not self._is_own:
                    await in_thread(own_progress, self._archive.journal, await self._ledger.books())
                    self._is_own = True
                return await in_thread(work)
            except HistoryError as error:
                log.error("the archive cannot be read", error=str(error))
                raise LedgerUnavailable("The archive of the ledger cannot be read right now.") from error

    @asynccontextmanager
    async def _turn(self, org: str) -> AsyncIterator[None]:
        if self._waiting[org] >= WAITING_MAX_OF_ONE or self._queued >= WAITING_MAX:
            raise _busy()
        self._queued += 1
        try:
            with self._counted(org):
                async with self._place:
                    yield
        finally:
            self._queued -= 1

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        self._waiting[name] += 1
        try:
            yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name]


def _busy() -> Unavailable:
    return Unavailable("Others are reading old lines and generations; try again.", retry_after_s=1)


def _place(cursor: str) -> tuple[int, int]:
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)


def _growing(days: Sequence[int]) -> Iterator[Sequence[int]]:
    """One, two, four ... of them."""
    size = 1
    while days:
        yield days[:size]
        days, size = days[size:], min(size * 2, DAYS_MAX)
