"""Telling other processes and hearing from them, once a second, through hashes in Redis that expire by themselves.

Time is cut into buckets, one hash each. A process has one field for each endpoint there and writes all its counts of that
bucket into it, again whenever they grow: so a reply that got lost does no harm, nothing is counted twice, and readers
take only what changed. (One ``HINCRBY`` for each counter was measured at four times the work.) Endpoint ids hold no
blanks, hence the blank before the writer. Hosts' clocks must agree within a few seconds, as with all deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from gateway.store import health_keys
from gateway.store.client import Store

PORTION = 50
"""Fields dealt with between two breaths of the event loop."""
LATE_S = 3
"""How long into a bucket the one before it is still read."""
BACKLOG_PER_TURN = 6
"""After a start: how many old buckets are read in one turn until the history is complete."""
FACTS_TTL_S = 3600
STALE_FACT_S = 600.0


class Kind(NamedTuple):
    """One series of buckets."""

    cell_s: int
    keep_s: int
    every_s: int
    """Seconds between two exchanges."""
    spans: tuple[int, ...]
    """Which windows it feeds."""


SHORT = Kind(cell_s=10, keep_s=1800, every_s=1, spans=(30, 300, 1800))
DAY = Kind(cell_s=1800, keep_s=86_400, every_s=10, spans=(86_400,))


class SharedCounters:
    """Counters of one kind, out and in."""

    def __init__(self, kind: Kind, writer: str) -> None:
        self.kind, self._writer = kind, writer
        self._fresh: dict[str, dict[str, int]] = {}
        """Endpoint id → counts since the last flush."""
        self._bucket = 0
        self._sums: dict[str, dict[str, int]] = {}
        """Endpoint id → counts of this process in the present bucket: what it writes is always the whole truth so far."""
        self._unsent: set[str] = set()
        self._heard: dict[int, dict[str, str]] = {}
        """Bucket → field → what it packed when it was last read: all of that is counted here already."""
        self._backlog: list[int] | None = None
        self._told_at = self._read_at = float("-inf")

    def add(self, endpoint_id: str, counts: Mapping[str, int]) -> None:
        _merge(self._fresh.setdefault(endpoint_id, {}), counts)

    async def flush(self, store: Store, now: float) -> None:
        """Writes what this process has counted in the present bucket, as far as it changed."""
        if now - self._told_at < self.kind.every_s * 0.9 or not (self._fresh or self._unsent):
            return
        self._told_at = now
        bucket = int(now // self.kind.cell_s)
        if bucket != self._bucket:
            self._bucket, self._sums, self._unsent = bucket, {}, set()
        fresh, self._fresh = self._fresh, {}
        for number, (endpoint_id, counts) in enumerate(fresh.items(), 1):
            _merge(self._sums.setdefault(endpoint_id, {}), counts)
            if number % PORTION == 0:
                await asyncio.sleep(0)
        self._unsent |= fresh.keys()
        key = health_keys.counts(self.kind.cell_s, bucket)
        waiting = iter(tuple(self._unsent))
        while portion := list(islice(waiting, PORTION)):
            packed: dict[Any, Any] = {f"{each} {self._writer}": _pack(self._sums[each]) for each in portion}
            await store.redis.hset(key, mapping=packed)
            self._unsent.difference_update(portion)
        await store.redis.expire(key, self.kind.keep_s + 2 * self.kind.cell_s)

    async def fetch(self, store: Store, now: float) -> AsyncIterator[tuple[float, str, dict[str, int]]]:
        """(unix seconds, endpoint id, counts) that other processes added since the last time."""
        if now - self._read_at < self.kind.every_s * 0.9:
            return
        self._read_at = now
        for bucket in self._due(now):
            when = (bucket + 0.5) * self.kind.cell_s
            heard = self._heard.setdefault(bucket, {})
            async for field, packed in _scan(store, health_keys.counts(self.kind.cell_s, bucket)):
                endpoint_id, _, writer = field.rpartition(" ")
                before = heard.get(field)
                if writer == self._writer or packed == before:
                    continue
                heard[field] = packed
                yield when, endpoint_id, _more(packed, before)

    def _due(self, now: float) -> list[int]:
        """The present bucket, at its beginning the one before it (late writers), and after a start some of the history."""
        present, into = divmod(int(now), self.kind.cell_s)
        if self._backlog is None:
            self._backlog = list(range(present - self.kind.keep_s // self.kind.cell_s, present - 1))
        due = [present, present - 1] if into < LATE_S + self.kind.every_s else [present]
        while self._backlog and len(due) < 2 + BACKLOG_PER_TURN:
            due.append(self._backlog.pop())
        for bucket in [each for each in self._heard if each < present - 2]:
            del self._heard[bucket]
        return due


def _merge(into: dict[str, int], counts: Mapping[str, int]) -> None:
    for key, count in counts.items():
        into[key] = into.get(key, 0) + count


def _pack(counts: Mapping[str, int]) -> str:
    """``ok 12 t133 4``."""
    return " ".join(f"{key} {count}" for key, count in counts.items())


def _unpack(packed: str) -> dict[str, int]:
    words = packed.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _more(packed: str, before: str | None) -> dict[str, int]:
    """What was added between two readings of a field."""
    counts = _unpack(packed)
    known = _unpack(before) if before else {}
    return {key: count - known.get(key, 0) for key, count in counts.items() if count > known.get(key, 0)}


async def _scan(store: Store, key: str) -> AsyncIterator[tuple[str, str]]:
    """The fields of a hash page by page: each page is little work, and between two pages others have their turn."""
    cursor = 0
    while True:
        page: Any  # redis-py's stubs allow more shapes than HSCAN has
        cursor, page = await store.redis.hscan(key, cursor, count=PORTION)
        for position, (field, value) in enumerate(page.items(), 1):
            if position % PORTION == 0:  # a small hash comes whole, whatever was asked for
                await asyncio.sleep(0)
            yield field.decode(), value.decode()
        if cursor == 0:
            return


class SharedFacts:
    """Deadlines and breaker edges. Every process writes its own fields, so that none can shorten another's deadline."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._outbox: dict[Any, Any] = {}

    def publish(self, kind: str, subject: str, until: float, at: float) -> None:
        """``kind``: cooling, breaker (until 0 = closed) or credential (subject = provider). Times in unix seconds."""
        self._outbox[f"{kind} {subject} {self._writer}"] = f"{until:.3f} {at:.3f}"

    async def flush(self, store: Store) -> None:
        if not self._outbox:
            return
        sent, self._outbox = self._outbox, {}
        try:
            await store.redis.hset(health_keys.facts(), mapping=sent)
            await store.redis.expire(health_keys.facts(), FACTS_TTL_S)
        except BaseException:
            self._outbox = sent | self._outbox  # absolute values: telling them twice is harmless
            raise

    async def fetch(self, store: Store, now: float) -> list[tuple[str, str, float, float]]:
        """(kind, subject, until, at) from the others, still of interest."""
        facts, stale = [], []
        every: dict[Any, Any] = await store.redis.hgetall(health_keys.facts())
        for field, value in every.items():
            kind, subject, writer = field.decode().split(" ")
            until, at = (float(part) for part in value.decode().split(" "))
            if max(until, at) < now - STALE_FACT_S:
                stale.append(field)
            elif writer != self._writer:
                facts.append((kind, subject, until, at))
        if stale:
            await store.redis.hdel(health_keys.facts(), *stale)
        return facts
