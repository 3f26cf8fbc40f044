"""Exchange of counters between processes, once a second, through hashes in Redis that expire by themselves.

Time is cut into buckets, one hash each. A process has one field for each endpoint there, and writes all its counts of that
bucket into it whenever they have grown. So a lost reply does no harm, nothing is counted twice, and readers process
only what changed. (One ``HINCRBY`` for each counter was measured at four times the work.) Endpoint ids contain no
spaces, so a space separates them from the writer. Hosts' clocks must agree within a few seconds, as with all deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple

from gateway.health.rolling_stats import JSON_LATENCY, TTFT
from gateway.store import health_keys
from gateway.store.client import Store

BATCH = 50
"""Fields processed before other tasks of the event loop get their turn."""
LATE_S = 3
"""Seconds into a bucket during which the previous one is still read."""
BACKLOG_PER_TURN = 6
"""After a start: how many old buckets are read in one turn until the history is complete."""
OF_JSON = "#json"
"""Behind an endpoint's id: the latencies of its JSON answers."""
FACTS_TTL_S = 3600
STALE_FACT_S = 600.0


class Kind(NamedTuple):
    """One series of buckets."""

    cell_s: int
    keep_s: int
    every_s: int
    """Seconds between two exchanges."""
    spans: tuple[int, ...]
    """Lengths in seconds of the windows that it feeds."""


SHORT = Kind(cell_s=10, keep_s=1800, every_s=1, spans=(30, 300, 1800))
DAY = Kind(cell_s=1800, keep_s=86_400, every_s=10, spans=(86_400,))


class SharedCounters:
    """Counters of one kind: those of this process, and what is known of the others."""

    def __init__(self, kind: Kind, writer: str) -> None:
        self.kind, self._writer = kind, writer
        self._fresh: dict[str, dict[str, int]] = {}
        """Endpoint id → counts since the last flush."""
        self._bucket = 0
        self._sums: dict[str, dict[str, int]] = {}
        """Endpoint id → counts of this process in the present bucket, all of which are written each time."""
        self._unsent: set[str] = set()
        self._seen: dict[int, dict[str, str]] = {}
        """Bucket → field → its value when it was last read: these counts are added here already."""
        self._backlog: list[int] | None = None
        self._written_at = self._read_at = float("-inf")

    def add(self, endpoint_id: str, counts: Mapping[str, int]) -> None:
        _merge(self._fresh.setdefault(endpoint_id, {}), counts)

    async def flush(self, store: Store, now: float) -> None:
        """Write what this process has counted in the present bucket, where it changed."""
        if 0 <= now - self._written_at < self.kind.every_s * 0.9 or not (self._fresh or self._unsent):
            return
        self._written_at = now
        bucket = int(now // self.kind.cell_s)
        if bucket != self._bucket:
            self._bucket, self._sums, self._unsent = bucket, {}, set()
        fresh, self._fresh = self._fresh, {}
        for number, (endpoint_id, counts) in enumerate(fresh.items(), 1):
            _merge(self._sums.setdefault(endpoint_id, {}), counts)
            if number % BATCH == 0:
                await asyncio.sleep(0)
        self._unsent |= fresh.keys()
        key = health_keys.counts(self.kind.cell_s, bucket)
        waiting = iter(tuple(self._unsent))
        while batch := list(islice(waiting, BATCH)):
            packed: dict[Any, Any] = {f"{each} {self._writer}": _pack(self._sums[each]) for each in batch}
            await store.redis.hset(key, mapping=packed)
            self._unsent.difference_update(batch)
        await store.redis.expire(key, self.kind.keep_s + 2 * self.kind.cell_s)

    async def fetch(self, store: Store, now: float) -> AsyncIterator[tuple[float, str, dict[str, int]]]:
        """(unix seconds, endpoint id, counts) that other processes added since the last time."""
        if 0 <= now - self._read_at < self.kind.every_s * 0.9:  # less than 0: the clock was set back
            return
        self._read_at = now
        for bucket in self._due(now):
            when = (bucket + 0.5) * self.kind.cell_s
            seen = self._seen.setdefault(bucket, {})
            async for field, packed in _scan(store, health_keys.counts(self.kind.cell_s, bucket)):
                endpoint_id, _, writer = field.rpartition(" ")
                before = seen.get(field)
                if writer == self._writer or packed == before:
                    continue
                seen[field] = packed
                yield when, endpoint_id, _more(packed, before)

    def _due(self, now: float) -> list[int]:
        """The present bucket, in its first seconds also the previous one (late writers), and after a start some of the history."""
        present, into = divmod(int(now), self.kind.cell_s)
        if self._backlog is None:
            self._backlog = list(range(present - self.kind.keep_s // self.kind.cell_s, present - 1))
        due = [present, present - 1] if into < LATE_S + self.kind.every_s else [present]
        while self._backlog and len(due) < 2 + BACKLOG_PER_TURN:
            due.append(self._backlog.pop())
        for bucket in [each for each in self._seen if each < present - 2]:
            del self._seen[bucket]
        return due


def shared_form(endpoint_id: str, counts: Mapping[str, int]) -> Iterator[tuple[str, dict[str, int]]]:
    """(id, counts) as they are written. Latencies of JSON answers have an id of their own, since a process of version 0.1 would
    misread their kind of key.
    """
    answers = {TTFT + key[1:]: count for key, count in counts.items() if key[0] == JSON_LATENCY}
    if answers:
        yield endpoint_id + OF_JSON, answers
        counts = {key: count for key, count in counts.items() if key[0] != JSON_LATENCY}
    yield endpoint_id, dict(counts)


def kept_form(shared_id: str, counts: dict[str, int]) -> tuple[str, dict[str, int]]:
    """The reverse of ``shared_form``."""
    if not shared_id.endswith(OF_JSON):
        return shared_id, counts
    return shared_id.removesuffix(OF_JSON), {JSON_LATENCY + key[1:]: count for key, count in counts.items()}


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
    """The fields of a hash, page by page: each page is little work, and other tasks run between two pages."""
    cursor = 0
    while True:
        page: Any  # redis-py's stubs allow more shapes than HSCAN has
        cursor, page = await store.redis.hscan(key, cursor, count=BATCH)
        for position, (field, value) in enumerate(page.items(), 1):
            if position % BATCH == 0:  # Redis returns a small hash whole, whatever ``count`` is
                await asyncio.sleep(0)
            yield field.decode(), value.decode()
        if cursor == 0:
            return


FactKind = Literal["cooling", "limited", "breaker", "credential", "vendor", "model"]
"""A pause of an endpoint, that it is one of a rate limit, its breaker; a pause of a vendor's key, quota, or quota of a model."""
OVER = 0.0
"""``until`` of a breaker that has closed."""


class Fact(NamedTuple):
    """Something that holds until a time. Times in unix seconds of the process that said it."""

    kind: FactKind
    subject: str
    """An endpoint's id; a provider's slug (credential, vendor) or ``<provider>/<upstream id>`` (model)."""
    until: float
    at: float
    """When it was said."""


class SharedFacts:
    """Deadlines and breaker transitions. Every process writes its own fields, so that no process can shorten another's deadline.

    A process of another version may write kinds that this one does not know; they are handed on all the same.
    """

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._outbox: dict[Any, Any] = {}
        self._seen: dict[bytes, bytes] = {}
        """Fields as they were last read: a fact is news once, or it would begin anew whenever the wall clock steps back."""

    def publish(self, fact: Fact) -> None:
        self._outbox[f"{fact.kind} {fact.subject} {self._writer}"] = f"{fact.until:.3f} {fact.at:.3f}"

    async def flush(self, store: Store) -> None:
        if not self._outbox:
            return
        sent, self._outbox = self._outbox, {}
        try:
            await store.redis.hset(health_keys.facts(), mapping=sent)
            await store.redis.expire(health_keys.facts(), FACTS_TTL_S)
        except BaseException:
            self._outbox = sent | self._outbox  # these are absolute values, so writing them twice is harmless
            raise

    async def fetch(self, store: Store, now: float) -> list[Fact]:
        """What other processes say that is new since the last time. What is outdated is deleted."""
        news, stale = [], []
        every: dict[Any, Any] = await store.redis.hgetall(health_keys.facts())
        for field, value in every.items():
            try:
                kind, subject, writer = field.decode().split(" ")
                until, at = (float(part) for part in value.decode().split(" "))
            except ValueError:  # of a version to come
                continue
            if max(until, at) < now - STALE_FACT_S:
                stale.append(field)
            elif writer != self._writer and self._seen.get(field) != value:
                news.append(Fact(kind, subject, until, at))
        if stale:
            await store.redis.hdel(health_keys.facts(), *stale)
        self._seen = every  # last: what has not been returned is still news
        return news
