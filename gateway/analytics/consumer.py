"""From the stream to the counters: read a batch, add up in memory, write the rows in many small calls, each batch exactly once.

    plan    the batch's number, its end and its time are written, before anything else
    count   rows are written, some at a time: HSET of the new sums and, in the field ``_``, of the batch's number
    finish  the cursor moves to the batch's end, with what is known of writers, losses and revisions, in one step

A batch is as large as what has come, so that rows that many events change are written once; a call is small, as the ledger waits
for the same store. Why a batch is counted once, whatever happens:

- All that a row becomes follows from the row before, the plan, and the entries of the stream between its begin and its end. A
  process that finds a plan whose begin is the cursor repeats it, and gets the same values, so it does not matter who writes a
  row. A row with the batch's number, or a later one, is written already: it is neither added to nor overwritten. A HyperLogLog
  may be added to twice.
- A process that dies before ``plan`` has changed nothing. If it dies later, but before ``finish``, the next one repeats the
  batch. After ``finish`` the plan's begin is not the cursor any more: the plan is over, and the next one takes its place.
- A process that gets no reply to a call does not know what is in the store: it forgets its rows and begins like a new one.
- Of two processes at work on one batch, the second finds the first one's number in the rows; one of them finishes, the other is
  refused. A process that was held up for longer finds another plan, and later numbers. Rows kept in memory are those of the
  store as long as the cursor is where this process left it, for nobody else can have written between.
- Entries of a planned batch that the stream had to drop are lost, which the numbers of events show. The batch ends all the
  same; rows that were written before have them.
- Which apps are let in is part of the plan: a repetition finds rows of some of them, and must not decide anew.

``tokenway worker`` counts, and a gateway where no worker runs: a lease keeps the others from doing the same work for nothing. It
must not know: HTTP, how events come into the stream.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from gateway.analytics import stream
from gateway.analytics.buckets import today
from gateway.analytics.counters import (
    MAX_APPS,
    OTHER_APPS,
    Cell,
    Increments,
    People,
    Sums,
    Tally,
    bucket_expires_at,
)
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.fields import loaded, plus, stored
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.redis_functions import Argument, Library

EVENTS_AT_ONCE = {"gateway": 512, "worker": 4096}
"""A batch has about so many events, if so many have come. More of them cost less each, and hold the loop for longer: 512 that
have nothing in common for 2 ms at a time."""
ENTRIES_READ = 8
VALUES_WRITTEN = 400
"""Fields, values and users of one call; a row is not divided."""
WEEKS_KEPT = 8
"""Weeks of which a process remembers the apps."""
LEASE_MS = 10_000
SEEN_TTL_S = 8 * 86_400
ROWS_KEPT = {"gateway": 4_000, "worker": 40_000}
"""Rows that a process keeps, about 2 kB each; with more it begins anew."""
USERS_KEPT = {"gateway": 50_000, "worker": 500_000}
ROWS_READ = 64
START = b"0-0"
STEM = "tokenway_analytics_v1"
_NOBODY: frozenset[str] = frozenset()
Role = Literal["gateway", "worker"]

log = structlog.get_logger(__name__)


def library() -> Library:
    """The functions that write counters."""
    return Library(Path(__file__).with_name("functions.lua"), STEM)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One batch, as it was decided before its first row was written. In the store as JSON."""

    number: int
    """One more than that of the batch before."""
    begin: str
    """Id of the last entry of the stream before it; of its last one: ``end``."""
    end: str
    now: float
    """Unix seconds: what has expired, and which weeks are closed."""
    apps: dict[int, list[str]] = {}
    """Week → apps that it lets in."""


class _Changes(msgspec.Struct, array_like=True):
    """What ``finish`` does besides moving the cursor."""

    hashes: list[tuple[str, str, int]]
    seen: list[tuple[str, int]]
    seen_ttl_s: int = SEEN_TTL_S


class _Batch:
    """What was read of the stream."""

    def __init__(self) -> None:
        self.end = START
        self.tally = Tally()
        self.events = 0
        self.lost = 0
        self.seen: dict[str, int] = {}
        """Writer → how many of its events are dealt with."""


_encode = msgspec.msgpack.Encoder().encode


class Consumer:
    """One per process. ``clock``: unix seconds."""

    def __init__(self, store: Store, role: Role, clock: Callable[[], float] = time.time) -> None:
        self._store, self._role, self._clock = store, role, clock
        self._name = f"{role}:{secrets.token_hex(6)}"
        self._library = library()
        self._cursor: bytes | None = None
        """Where this process has left off; where the stored one differs, another has counted since."""
        self._kept: Sums = {}
        """Rows as they are in the store, while nobody else counts."""
        self._people: People = {}
        """Users that this process has counted in a row."""
        self._apps: dict[int, set[str]] = {}
        """Week → apps that have a row."""

    async def step(self) -> None:
        """Count what is in the stream if this process holds the lease. One task calls it once a second.

        Raises StoreError, LedgerUnavailable; it goes on there the next time.
        """
        while await self._leads() and await self.consume():
            pass

    async def _leads(self) -> bool:
        """Take or renew the lease. A worker takes it from a gateway."""
        call, name = self._store.mux.call, self._name.encode()
        holder: bytes | None = await call("GET", keys.LEASE)
        if holder is None:
            return await call("SET", keys.LEASE, name, "PX", LEASE_MS, "NX") is not None
        if holder == name or (self._role == "worker" and holder.startswith(b"gateway:")):
            await call("SET", keys.LEASE, name, "PX", LEASE_MS)
            return True
        return False

    async def consume(self) -> bool:
        """Count one batch, unless another process is faster; False when nothing is left. Raises StoreError, LedgerUnavailable."""
        stored, written = await self._store.mux.call("MGET", keys.CURSOR, keys.PLAN)
        cursor: bytes = stored or START
        if cursor != self._cursor:
            self._kept, self._people, self._apps = {}, {}, {}
        self._cursor = None  # until it is known that the rows that are kept here are those of the store
        last = msgspec.json.decode(written, type=Plan) if written else None
        if last is not None and last.begin == cursor.decode():
            plan, raw = last, written
            batch = await self._read(cursor, last.end)
        else:
            batch = await self._read(cursor, "+")
            if batch.end == START:
                self._cursor = cursor
                return False
            plan = await self._planned(last.number + 1 if last is not None else 1, cursor, batch)
            raw = msgspec.json.encode(plan)
            if not await self._run("plan", (keys.CURSOR, keys.PLAN), cursor, written or b"", raw):
                return True
        increments = await self._increments(batch.tally, plan)
        done = await self._load(increments, plan.number)
        written_all = await self._count(raw, plan.number, done, increments)
        if written_all and await self._finish(raw, plan, batch, increments) and self._has_room():
            self._cursor = plan.end.encode()
        return True

    def _has_room(self) -> bool:
        people = sum(len(users) for rows in self._people.values() for users in rows.values())
        return sum(map(len, self._kept.values())) < ROWS_KEPT[self._role] and people < USERS_KEPT[self._role]

    async def _run(self, verb: str, names: tuple[str, ...], *arguments: Argument) -> bool:
        return bool(await self._library.call(self._store.mux, self._library.function(verb), names, arguments))

    async def _read(self, after: bytes, end: str) -> _Batch:
        """Entries after one up to another, added up; at most about ``EVENTS_AT_ONCE`` events when no end is given."""
        batch = _Batch()
        while end != "+" or batch.events < EVENTS_AT_ONCE[self._role]:
            range_ = ("XRANGE", keys.EVENTS, b"(" + after, end, "COUNT", ENTRIES_READ)
            found: list[tuple[bytes, list[bytes]]] = await self._store.mux.call(*range_)
            await self._add(batch, [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in found])
            if found:
                batch.end = after = found[-1][0]
            if len(found) < ENTRIES_READ:
                break
        return batch

    async def _add(self, batch: _Batch, found: list[dict[bytes, bytes]]) -> None:
        """Add entries up, without what is counted already."""
        new = list({fields.get(b"w", b"").decode() for fields in found} - batch.seen.keys())
        numbers = await self._store.mux.call("MGET", *[keys.seen(writer) for writer in new]) if new else ()
        batch.seen.update({writer: int(n) for writer, n in zip(new, numbers, strict=True) if n is not None})
        for fields in found:
            await asyncio.sleep(0)  # an entry holds the loop for a millisecond or two
            try:
                each = stream.entry(fields)
            except ValueError as error:
                log.warning("an entry of analytics was skipped", error=str(error))
                continue
            done = batch.seen.get(each.writer, each.settled)
            batch.lost += max(each.first - done, 0)
            events = each.events_from(done)
            batch.events += len(events[0])
            batch.tally.add(events)
            batch.seen[each.writer] = max(done, each.after)

    async def _planned(self, number: int, cursor: bytes, batch: _Batch) -> Plan:
        """The plan of a new batch: apps are let in as they come, while their week has room."""
        apps: dict[int, list[str]] = {}
        for week, app in batch.tally.apps():
            known = await self._apps_of(week)
            new = apps.setdefault(week, [])
            if app not in known and (len(known) + len(new) < MAX_APPS or app == UNKNOWN_APP):
                new.append(app)
        let_in = {week: new for week, new in apps.items() if new}
        return Plan(number=number, begin=cursor.decode(), end=batch.end.decode(), now=self._clock(), apps=let_in)

    async def _apps_of(self, week: int) -> set[str]:
        if week not in self._apps:
            members: list[bytes] = await self._store.mux.call("SMEMBERS", keys.rows("wa", week))
            if len(self._apps) >= WEEKS_KEPT:
                self._apps.clear()
            self._apps[week] = {name.decode() for name in members}
        return self._apps[week]

    async def _without(self, tally: Tally, plan: Plan) -> set[tuple[int, str]]:
        """Weeks and apps for which there is no room."""
        without = set()
        for week, app in tally.apps():
            known = await self._apps_of(week)
            known.update(plan.apps.get(week, ()))
            if app not in known and app != OTHER_APPS:
                without.add((week, app))
        return without

    async def _increments(self, tally: Tally, plan: Plan) -> Increments:
        """What the batch adds, with turns for others in between."""
        steps = tally.in_steps(plan.now, without=await self._without(tally, plan))
        while True:
            try:
                next(steps)
            except StopIteration as made:
                return made.value  # type: ignore[no-any-return]
            await asyncio.sleep(0)

    async def _load(self, increments: Increments, number: int) -> set[Cell]:
        """Read the rows that are not known yet; those of them that have this batch already."""
        missing = []
        for bucket, rows in increments.counts.items():
            kept = self._kept.setdefault(bucket, {})
            missing += [Cell(*bucket, row) for row in rows if row not in kept]
        done = set()
        for start in range(0, len(missing), ROWS_READ):
            part = missing[start : start + ROWS_READ]
            calls = [self._store.mux.call("HGETALL", keys.row(*cell)) for cell in part]
            for cell, found in zip(part, await asyncio.gather(*calls), strict=True):
                row = dict(zip(found[::2], found[1::2], strict=True))
                row.pop(keys.NAME.encode(), None)
                if int(row.pop(keys.BATCH.encode(), 0)) >= number:
                    done.add(cell)
                kept = self._kept[cell.table, cell.bucket]
                kept[cell.row] = {field.decode(): loaded(value) for field, value in row.items()}
        return done

    async def _count(self, raw: bytes, number: int, done: set[Cell], increments: Increments) -> bool:
        """Write what the changed rows are from now on, in small calls; False when the plan is not in force any more."""
        arguments: list[Argument] = []
        values, bucket, at, rows = 0, None, 0, 0
        for of, row, size in self._rows(done, increments):
            if arguments and values + size > VALUES_WRITTEN:
                if not await self._run("count", (keys.PLAN,), raw, number, *arguments):
                    return False
                arguments, values, bucket = [], 0, None
            if of is not bucket:
                bucket, at, rows = of, len(arguments) + len(of), 0
                arguments += (*of, 0)
            rows += 1
            arguments[at] = rows
            arguments += row
            values += size
        return not arguments or await self._run("count", (keys.PLAN,), raw, number, *arguments)

    def _rows(
        self, done: set[Cell], increments: Increments
    ) -> Iterator[tuple[tuple[str, int, str], list[Argument], int]]:
        """The arguments of each row, behind those of its bucket, and how many values it has."""
        for (table, bucket), rows in increments.counts.items():
            kept_rows = self._kept[table, bucket]
            of = keys.rows(table, bucket), bucket_expires_at(table, bucket), "HSET"
            named = table in ("da", "wa")
            for name, amounts in rows.items():
                if done and (table, bucket, name) in done:
                    continue
                kept = kept_rows[name]
                row: list[Argument] = [name, 0]
                for field, amount in amounts.items():
                    found = kept.get(field)
                    kept[field] = value = amount if found is None else plus(found, amount)
                    row += (field, value if type(value) is int else stored(value))
                if named and (label := increments.names.get(Cell(table, bucket, name))):
                    row += (keys.NAME, label)
                row[1] = size = len(row) - 2
                yield of, row, size
        for (table, bucket), people in increments.users.items():
            of = keys.rows(table, bucket), bucket_expires_at(table, bucket), "PFADD"
            known = self._people.setdefault((table, bucket), {})
            for name, users in people.items():
                new = users - known.get(name, _NOBODY)
                if new:
                    known.setdefault(name, set()).update(new)
                    yield of, [name, len(new), *new], len(new)

    async def _finish(self, raw: bytes, plan: Plan, batch: _Batch, increments: Increments) -> bool:
        """Move the cursor; False when another process has moved it."""
        changes = _Changes(
            hashes=[(keys.REVISIONS, str(week), 1) for week in increments.late_weeks],
            seen=[(keys.seen(writer), number) for writer, number in batch.seen.items()],
        )
        if batch.lost:
            changes.hashes.append((keys.LOST, str(today(plan.now)), batch.lost))
        return await self._run("finish", (keys.CURSOR, keys.PLAN), plan.begin, raw, plan.end, _encode(changes))
