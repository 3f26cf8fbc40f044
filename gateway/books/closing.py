"""Closing the books: lines of the journal, and their records, go from the store to the archive.

    collect lines that are old enough, of many organisations, and their records
      -> append the records, then the lines, to the archive; each is durable, and was read back, when that returns
      -> organisation by organisation: the lines leave the store, and their sums stay (``Ledger.close``)

A process may die after each step, and each may be done twice. Records that were appended twice are the same ones. Lines that
were appended, and are in the store still, leave it when the next process begins, before it collects any; each organisation's
closing says which these are. A lease keeps two processes from doing this at once; if it happens all the same, the one whose
piece is not the one that was kept starts again.

Books that do not balance are not closed: their lines stay, and the audit names what is wrong. Nor is anything closed while the
clock of this machine jumps, nor until the time in which lines stay has passed after it, because lines that only look old may be
needed: by them a repeated charge is recognised.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import START, order
from gateway.analytics.history.sinks import in_thread
from gateway.analytics.history.source import Batch
from gateway.books.archive import BookArchive, Files, mark, own_progress
from gateway.books.rows import JOURNAL, LINE_COLUMNS, KeptRecord, at_ms, entry, line, living
from gateway.errors import LedgerUnavailable
from gateway.ledger.closing import Closing, Sums, digest_after
from gateway.ledger.entries import Entry, PostingRefused
from gateway.ledger.ledger import CLOSED_AT_ONCE, Ledger, parse_record
from gateway.money import MAX_NANO
from gateway.store import keys
from gateway.store.client import Store, store_errors
from gateway.store.errors import StoreReply
from gateway.store.lease import Lease, Role
from gateway.store.writes import set_when_full
from gateway.telemetry import Telemetry

LINES_OF_A_BATCH = 5_000
"""So many lines are held in memory, with their records: some 8 MB."""
ORGANIZATIONS_AT_ONCE = 100
LEASE_MS = 120_000
CLOCK_MAY_DIFFER_S = 300.0
"""More than a clock is ever corrected by in one step."""

log = structlog.get_logger(__name__)
_encode_lines = msgspec.json.Encoder().encode_lines


class NotKept(Exception):
    """Another process has written this stretch of the archive."""


class _Batch:
    """Lines that may leave, in their order, and their records; encoded some at a time, because the event loop waits for it."""

    def __init__(self) -> None:
        self.lines: list[Entry] = []
        self.rows = bytearray()
        self.records: dict[str, int] = {}
        """Id → bytes as it is stored."""
        self.record_rows = bytearray()

    def add(self, lines: Sequence[tuple[Entry, str]], records: Mapping[str, bytes]) -> None:
        """``lines`` with their digests, and what is stored as records of their requests."""
        self.rows += _encode_lines([line(each, digest) for each, digest in lines])
        self.lines += [each for each, _ in lines]
        newest = {each.generation_id: each for each, _ in lines}
        kept = []
        for id in records.keys() - self.records.keys():  # a record has several lines after failed attempts
            stored, of = records[id], newest[id]
            try:
                record = parse_record(stored)
            except ValueError:  # not one of ours: it stays until its time is over
                continue
            kept.append(
                KeptRecord(at_ms=at_ms(of.cursor), org=of.org, id=id, paid=record.paid_nano, record=record.blob)
            )
            self.records[id] = len(stored)
        self.record_rows += _encode_lines(kept)


class Retention(NamedTuple):
    """How old a line must be to leave the store, in s, and how many days the archive keeps records and lines; 0: for ever."""

    close_after_s: int
    record_days: int
    journal_days: int


class Closer:
    """One per process. ``clock`` and ``monotonic``: seconds."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        archive: BookArchive,
        telemetry: Telemetry,
        *,
        role: Role,
        retention: Retention,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._ledger, self._archive = store, ledger, archive
        self._retention, self._clock, self._monotonic = retention, clock, monotonic
        self._lease = Lease(store.redis, keys.CLOSING_LEASE, role, LEASE_MS)
        self._offset = clock() - monotonic()
        self._closes_from = monotonic()
        self._complete = False
        """Whether everything that is in the archive has left the store."""
        self._stuck: set[str] = set()
        """Organisations whose archived lines cannot leave the store: they are not archived again."""
        self._closed = telemetry.closed_lines
        self._errors = telemetry.closing_errors

    async def close_books(self) -> None:
        """Close what is old enough if this process holds the lease. One task calls it, every ``GATEWAY_CLOSE_INTERVAL_S``.

        An archive that cannot be written is logged and counted, and nothing leaves the store. Raises StoreError, LedgerUnavailable.
        """
        if not self._clock_is_steady():
            return
        try:
            with store_errors():
                if not await self._lease.held():
                    return
                await self._check_archive()
                if not self._complete:
                    await self._finish()
                await self._close_all()
                if await self._lease.held():
                    await in_thread(self._tidy)
                    await self._lease.release()
        except (HistoryError, NotKept) as error:
            self._complete = False
            self._errors.inc()
            log.error("the books cannot be closed", error=str(error))
        except BaseException:
            self._complete = False
            raise

    def _clock_is_steady(self) -> bool:
        before, self._offset = self._offset, self._clock() - self._monotonic()
        if abs(self._offset - before) > CLOCK_MAY_DIFFER_S:
            self._closes_from = self._monotonic() + self._retention.close_after_s
            log.warning(
                "the clock has jumped, so no books are closed for a while", seconds=round(self._offset - before)
            )
        return self._monotonic() >= self._closes_from

    async def _close_all(self) -> None:
        until_ms = int((self._clock() - self._retention.close_after_s) * 1000)
        batch = _Batch()
        async for org in self._organizations(until_ms):
            after = await self._closing(org) if org not in self._stuck else None
            while after is not None:
                after = await self._collect(batch, org, after, until_ms)
                if len(batch.lines) >= LINES_OF_A_BATCH:
                    if not await self._lease.held():
                        return
                    await self._move(batch)
                    batch = _Batch()
        if batch.lines and await self._lease.held():
            await self._move(batch)

    async def _organizations(self, until_ms: int) -> AsyncIterator[str]:
        """Those that have such old lines."""
        cursor = 0
        while True:
            found: Any = await self._store.redis.hscan(keys.ORGANIZATIONS, cursor, count=ORGANIZATIONS_AT_ONCE)
            cursor, names = found[0], [name.decode() for name in found[1]]
            async with self._store.redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.xrange(keys.journal(name), "-", str(until_ms), count=1)
                lines = await pipe.execute(raise_on_error=False)
            for name, old in zip(names, lines, strict=True):
                if isinstance(old, Exception):
                    self._refuse(name, str(old))
                elif old:
                    yield name
            if cursor == 0:
                return

    async def _closing(self, org: str) -> Closing | None:
        try:
            return await self._ledger.closing(org)
        except (ValueError, LedgerUnavailable) as error:
            if isinstance(error, LedgerUnavailable) and not _is_damage(error):
                raise
            self._refuse(org, str(error.__cause__ or error))
            return None

    def _refuse(self, org: str, reason: str) -> None:
        self._errors.inc()
        log.error("the books of an organization are not closed; run: tokenway reconcile", org=org, reason=reason)

    async def _collect(self, batch: _Batch, org: str, since: Closing, until_ms: int) -> Closing | None:
        """Add the next lines behind a closing. The closing behind them; None where there are no more."""
        found = await self._ledger.lines(org, since.cursor, until_ms=until_ms, limit=CLOSED_AT_ONCE)
        sums, digest, lines = Sums(org, since), since.digest, list[tuple[Entry, str]]()
        for each in found:
            sums.add(each)
            digest = digest_after(digest, each)
            lines.append((each, digest))
        if sums.differences:
            self._refuse(org, str(sums.differences[0]))
            return None
        ids = list({each.generation_id for each in found if each.type != "grant"})
        batch.add(lines, await self._ledger.stored_records(org, ids))
        return sums.closing(digest) if len(found) == CLOSED_AT_ONCE else None

    async def _move(self, batch: _Batch) -> None:
        """To the archive, and out of the store."""
        if batch.records:
            await self._append(self._archive.records, bytes(batch.record_rows), len(batch.records))
        upto = await self._append(self._archive.journal, bytes(batch.rows), len(batch.lines))
        for org, entries in _by_org(batch.lines).items():
            await self._leave(org, entries, batch.records)
        await set_when_full(self._store.redis, keys.CLOSED_UPTO, upto)

    async def _append(self, files: Files, lines: bytes, rows: int) -> str:
        """The position that they reach. Raises NotKept, HistoryError."""
        books = await self._ledger.books()
        progress = await in_thread(own_progress, files, books)
        number = order(progress.position)[0] + 1
        upto = f"{number}-{secrets.randbits(53)}"  # so that it is seen whose piece is kept
        batch = Batch(after=progress.position, upto=upto, rows=rows, lines=lines, writers=mark(books))
        if (await in_thread(files.append, batch)).position != upto:
            raise NotKept("another process closes them, too")
        return upto

    async def _leave(self, org: str, entries: Sequence[Entry], lengths: Mapping[str, int]) -> None:
        """Lines that are in the archive leave the store. ``lengths``: of the records that leave with them."""
        before = await self._closing(org)
        if before is None:
            return
        rest = [each for each in entries if each.seq > before.seq]
        while rest:
            some, after = _step(org, rest, before)
            ids = {each.generation_id for each in some} & lengths.keys()
            records = {id: lengths[id] for id in ids}
            if after is None or not await self._close(org, some, before, after, records):
                self._stuck.add(org)
                self._refuse(
                    org,
                    f"its lines {some[0].seq} to {some[-1].seq} are not those of the archive, or its keys are damaged",
                )
                return
            self._closed.inc(len(some))
            rest, before = rest[len(some) :], after

    async def _close(
        self, org: str, lines: Sequence[Entry], before: Closing, after: Closing, records: Mapping[str, int]
    ) -> bool:
        """False where the store refuses it: what is wrong with one organisation keeps no other's books open."""
        try:
            return await self._ledger.close(org, lines, before, after, records)
        except PostingRefused:
            return False
        except LedgerUnavailable as error:
            if _is_damage(error):
                return False
            raise

    async def _check_archive(self) -> None:
        """Raises HistoryError for an archive of another store, and for one that lacks what has been closed, as it is another
        directory, or an older copy.
        """
        books = await self._ledger.books()
        await in_thread(own_progress, self._archive.records, books)
        kept = (await in_thread(own_progress, self._archive.journal, books)).position
        stored: Any = await self._store.redis.get(keys.CLOSED_UPTO)
        closed = stored.decode() if stored else START
        if order(kept)[0] < order(closed)[0] or (order(kept)[0] == order(closed)[0] and kept != closed):
            raise HistoryError(
                f"the journal in {self._archive.journal.name} ends at {kept}, and books were closed until {closed}: "
                "all processes need the same GATEWAY_HISTORY_DIR or GATEWAY_HISTORY_URL"
            )

    async def _finish(self) -> None:
        """What was archived by a process that died, or failed, leaves the store. Its records stay until their time is over."""
        upto = (await in_thread(self._archive.journal.progress)).position
        if await self._store.redis.get(keys.CLOSED_UPTO) != upto.encode():
            await self._note_superseded()
            alive = living(await self._ledger.superseded())
            archived, behind = await in_thread(self._archived, alive), {}
            for org, seq in archived.items():
                closing = await self._closing(org)
                if closing is not None and closing.seq < seq:
                    behind[org] = closing.seq
            for org, entries in (await in_thread(self._lines_after, behind, alive)).items():
                await self._leave(org, entries, {})
            await set_when_full(self._store.redis, keys.CLOSED_UPTO, upto)
        self._complete = True

    async def _note_superseded(self) -> None:
        """The archive may have lines that came after the copy of the store that is in its place now: they are nobody's."""
        until = await in_thread(self._newest_ms)
        after = await self._last_until(until)
        if after < until:
            before = [pair for pair in await self._ledger.superseded() if pair[0] < after]
            await set_when_full(self._store.redis, keys.SUPERSEDED, msgspec.json.encode([*before, (after, until)]))
            log.warning("the store is older than the archive, whose lines since then count no more", after_ms=after)

    def _newest_ms(self) -> int:
        """The time of the newest line in the archive, 0 without any. Blocks."""
        files = self._archive.journal
        days = files.event_days() if files.exists() else []
        if not days:
            return 0
        with files.reading(days[-1], days[-1]) as opened:
            [newest] = opened.execute(f"SELECT max(at_ms) FROM {JOURNAL.name}").fetchall()  # noqa: S608 - names of ours
        return int(newest[0])

    async def _last_until(self, until_ms: int) -> int:
        """The time of the store's last line, closed ones included, that is not newer than this; 0 without any."""
        last, orgs = 0, await self._ledger.organizations()
        for first in range(0, len(orgs), ORGANIZATIONS_AT_ONCE):
            async with self._store.redis.pipeline(transaction=False) as pipe:
                for org in orgs[first : first + ORGANIZATIONS_AT_ONCE]:
                    pipe.xrevrange(keys.journal(org), str(until_ms), "-", count=1)
                    pipe.hget(keys.closing(org), "cur")
                found = await pipe.execute(raise_on_error=False)
            # what is damaged of an organisation is named when its lines are collected
            sound = [
                [each for each in kind if each and not isinstance(each, Exception)]
                for kind in (found[::2], found[1::2])
            ]
            cursors = [*(cursor for lines in sound[0] for cursor, _ in lines), *sound[1]]
            last = max([last, *(ms for cursor in cursors if (ms := at_ms(cursor.decode())) <= until_ms)])
        return last

    def _archived(self, alive: str) -> dict[str, int]:
        """Organisation → its last line of the days of which something was appended since the last fold."""
        files = self._archive.journal
        days = files.piece_days() if files.exists() else []
        if not days:
            return {}
        with files.reading(days[0], days[-1]) as opened:
            query = f"SELECT org, max(seq) FROM {JOURNAL.name} WHERE {alive} GROUP BY org"  # noqa: S608 - names of ours
            return dict(opened.execute(query).fetchall())

    def _lines_after(self, closed: Mapping[str, int], alive: str) -> dict[str, list[Entry]]:
        """Lines of these organisations behind their last closings. They were appended together, so they are not many."""
        if not closed:
            return {}
        query = f"""SELECT {LINE_COLUMNS} FROM {JOURNAL.name} WHERE org = ? AND seq > ? AND {alive}
            QUALIFY row_number() OVER (PARTITION BY seq ORDER BY at_ms DESC) = 1 ORDER BY seq"""  # noqa: S608 - names of ours
        files = self._archive.journal
        days = files.piece_days()
        with files.reading(days[0], days[-1]) as opened:
            found = {org: opened.execute(query, [org, seq]).fetchall() for org, seq in closed.items()}
        return {org: [entry(row)[0] for row in rows] for org, rows in found.items()}

    def _tidy(self) -> None:
        today = int(self._clock() // 86_400)
        kept = self._retention
        for files, days in ((self._archive.records, kept.record_days), (self._archive.journal, kept.journal_days)):
            if not files.exists():
                continue
            if files.is_due(self._clock()):
                files.fold()
            if days:
                files.remove_days_before(today - days)


def _is_damage(error: LedgerUnavailable) -> bool:
    """Whether the store has answered, and refuses: what is stored there is not of the kind that it should be."""
    return isinstance(error.__cause__, StoreReply) and not error.__cause__.full


def _by_org(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found = defaultdict(list)
    for each in entries:
        found[each.org].append(each)
    return found


def _step(org: str, entries: Sequence[Entry], before: Closing) -> tuple[Sequence[Entry], Closing | None]:
    """As many of the lines as one call may close, and the closing behind them; None where they do not follow the one before."""
    sums, digest, count = Sums(org, before), before.digest, 0
    for each in entries[:CLOSED_AT_ONCE]:
        if count and sum(abs(amount) for amount in sums.by_key.values()) + abs(each.user_nano) > MAX_NANO:
            break
        sums.add(each)
        digest, count = digest_after(digest, each), count + 1
    return entries[:count], None if sums.differences else sums.closing(digest)
