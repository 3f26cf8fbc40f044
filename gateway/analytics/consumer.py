"""From the stream to the counters: read a batch, add up in memory, write everything with the cursor in one atomic function.

The function does nothing unless the cursor is where the batch began. So a batch is counted once, whatever happens: when the
process dies before the call, nothing was written; when the reply is lost, the cursor has moved; when two processes count at once,
one of them finds the cursor moved. And nobody else writes the rows between two calls, so a process keeps those it has written: it
adds up in memory and writes values, one ``HSET`` a row (one ``HINCRBY`` a field was measured at three times the work).

``tokenway worker`` counts, and a gateway where no worker runs: a lease keeps the others from doing the same work for nothing. It
must not know: HTTP, how events come into the stream.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from gateway.analytics import stream
from gateway.analytics.buckets import bucket, today
from gateway.analytics.counters import MAX_APPS, OTHER_APPS, Cell, Increments, count, expires_at
from gateway.analytics.event import UNKNOWN_APP, Event
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, store_errors
from gateway.store.redis_functions import Library

ENTRIES = 1
"""Entries of a batch, at most 64 events: neither the event loop nor the store is held for long."""
WEEKS_AT_ONCE = 8
"""Weeks of which a process remembers the apps."""
LEASE_MS = 10_000
SEEN_TTL_S = 8 * 86_400
ROWS_KEPT = {"gateway": 4_000, "worker": 40_000}
"""Rows that a process keeps, about 2 kB each; with more it begins anew."""
USERS_KEPT = {"gateway": 50_000, "worker": 500_000}
READ_AT_ONCE = 200
NAME = b"n"
"""Field of an app's name."""
STEM = "tokenway_analytics_v1"
Role = Literal["gateway", "worker"]

log = structlog.get_logger(__name__)


_Row = tuple[str, str, str, int, list[str], list[str]]
"""Key, key of the set of rows, name in it, unix seconds at which both expire or 0 when they know it, fields and values, users."""


class _Changes(msgspec.Struct, array_like=True):
    """What the function ``count`` does. Values are texts: numbers of Lua are exact up to 2^53 only."""

    rows: list[_Row]
    hashes: list[tuple[str, str, int]]
    seen: list[tuple[str, int]]
    seen_ttl_s: int = SEEN_TTL_S


_encode = msgspec.msgpack.Encoder().encode


class Consumer:
    """One per process. ``clock``: unix seconds."""

    def __init__(self, store: Store, role: Role, clock: Callable[[], float] = time.time) -> None:
        self._store, self._role, self._clock = store, role, clock
        self._name = f"{role}:{secrets.token_hex(6)}"
        self._library = Library(Path(__file__).with_name("functions.lua"), STEM)
        self._function = self._library.function("count")
        self._cursor: bytes | None = None
        """Where this process has left off; where the stored one differs, another has counted since."""
        self._kept: dict[Cell, dict[str, int]] = {}
        """Rows as they are in the store, while nobody else counts."""
        self._people: dict[Cell, set[bytes]] = {}
        """Users that this process has counted in a row."""
        self._apps: dict[int, set[str]] = {}
        """Week → apps that have a row."""

    async def step(self) -> None:
        """Count what is in the stream if this process holds the lease. One task calls it once a second.

        Raises StoreError, LedgerUnavailable; it goes on there the next time.
        """
        with store_errors():
            while await self._leads() and await self.consume():
                await asyncio.sleep(0)

    async def _leads(self) -> bool:
        """Take or renew the lease. A worker takes it from a gateway."""
        redis = self._store.redis
        holder: Any = await redis.get(keys.LEASE)
        name = self._name.encode()
        if holder is None:
            return bool(await redis.set(keys.LEASE, name, nx=True, px=LEASE_MS))
        if holder == name or (self._role == "worker" and holder.startswith(b"gateway:")):
            await redis.set(keys.LEASE, name, px=LEASE_MS)
            return True
        return False

    async def consume(self) -> int:
        """Count one batch; the number of its entries, 0 when nothing is left or another process was faster."""
        redis = self._store.redis
        stored: Any = await redis.get(keys.CURSOR)
        cursor: bytes = stored or b"0-0"
        if cursor != self._cursor:
            self._cursor, self._kept, self._people, self._apps = cursor, {}, {}, {}
        streams: dict[Any, Any] = {keys.EVENTS: cursor}
        found: Any = await redis.xread(streams, count=ENTRIES)
        if not found:
            return 0
        entries = found[0][1]
        seen, lost, events = await self._fresh([fields for _, fields in entries])
        increments = count(await self._with_few_apps(events), self._clock())
        await self._load(increments)
        changes = _Changes(
            rows=self._rows(increments),
            hashes=[(keys.REVISIONS, str(week), 1) for week in increments.late_weeks],
            seen=[(keys.seen(writer), number) for writer, number in seen.items()],
        )
        if lost:
            changes.hashes.append((keys.LOST, str(today(self._clock())), lost))
        return len(entries) if await self._write(cursor, entries[-1][0], changes) else 0

    async def _load(self, increments: Increments) -> None:
        """Read the rows that are not known yet."""
        missing = [cell for cell in increments.counts if cell not in self._kept]
        for start in range(0, len(missing), READ_AT_ONCE):
            part = missing[start : start + READ_AT_ONCE]
            async with self._store.redis.pipeline(transaction=False) as pipe:
                for cell in part:
                    pipe.hgetall(keys.row(*cell))
                for cell, found in zip(part, await pipe.execute(), strict=True):
                    self._kept[cell] = {f.decode(): int(v) for f, v in found.items() if f != NAME} if found else {}

    def _rows(self, increments: Increments) -> list[_Row]:
        """What the changed rows are from now on."""
        rows = []
        for cell in {**increments.counts, **increments.users}:
            fields: list[str] = []
            kept = self._kept.get(cell)
            expiry = 0 if kept or self._people.get(cell) else expires_at(cell)
            if kept is None:
                kept = self._kept[cell] = {}
            for field, amount in increments.counts.get(cell, {}).items():
                kept[field] = value = kept.get(field, 0) + amount
                fields += (field, str(value))
            if cell in increments.names:
                fields += (NAME.decode(), increments.names[cell])
            people = self._people.setdefault(cell, set())
            users = [user.hex() for user in increments.users.get(cell, ()) if user not in people]
            people |= increments.users.get(cell, set())
            if fields or users:
                name = (keys.row(*cell), keys.rows(cell.table, cell.bucket), cell.row)
                rows.append((*name, expiry, fields, users))
        return rows

    async def _write(self, before: bytes, after: bytes, changes: _Changes) -> bool:
        """Move the cursor and write everything, in one step; False when the cursor is not ``before`` any more."""
        self._cursor = None  # until it is known that the rows that are kept here are those of the store
        arguments = (before, after, _encode(changes))
        moved = await self._library.call(self._store.mux, self._function, (keys.CURSOR,), arguments)
        people = sum(map(len, self._people.values()))
        if moved and len(self._kept) < ROWS_KEPT[self._role] and people < USERS_KEPT[self._role]:
            self._cursor = after
        return bool(moved)

    async def _fresh(self, found: list[dict[bytes, bytes]]) -> tuple[dict[str, int], int, list[Event]]:
        """(writer → how many of its events are dealt with, events that are missing, events to count)."""
        entries = []
        for fields in found:
            try:
                entries.append(stream.entry(fields))
            except ValueError as error:
                log.warning("an entry of analytics was skipped", error=str(error))
        writers = list({each.writer for each in entries})
        stored = await self._store.redis.mget([keys.seen(writer) for writer in writers]) if writers else []
        seen = {writer: int(number) for writer, number in zip(writers, stored, strict=True) if number is not None}
        lost = 0
        events: list[Event] = []
        for each in entries:
            done = seen.get(each.writer, each.settled)
            lost += max(each.first - done, 0)
            events += each.events[max(done - each.first, 0) :]
            seen[each.writer] = max(done, each.first + len(each.events))
        return seen, lost, events

    async def _with_few_apps(self, events: list[Event]) -> list[Event]:
        """The events; those of apps for which a week has no room count for ``other``."""
        bounded = []
        for event in events:
            week = bucket("w", event.at_ms)
            known = self._apps.get(week)
            if known is None:
                members: Any = await self._store.redis.smembers(keys.rows("wa", week))
                known = self._apps[week] = {name.decode() for name in members}
            if event.app not in known:
                if len(known) >= MAX_APPS and event.app != UNKNOWN_APP:
                    event = msgspec.structs.replace(event, app=OTHER_APPS, app_name="")
                known.add(event.app)
            bounded.append(event)
        return bounded
