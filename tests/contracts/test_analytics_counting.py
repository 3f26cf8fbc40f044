"""From events to counters on a real store: the same sums whatever the portions, the crashes and the other consumers; losses counted."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.analytics import consumer as consumers
from gateway.analytics import stream, tables
from gateway.analytics.buckets import DAY_MS, bucket, start_ms
from gateway.analytics.consumer import Consumer
from gateway.analytics.counters import cells, count
from gateway.analytics.event import CANCELLED, FAILED, SERVED, STREAMED, Event, Measured, Tried, events_of
from gateway.analytics.fields import Value, by_name
from gateway.analytics.fields import stored as as_stored
from gateway.analytics.privacy import Cell as PrivateCell
from gateway.records import Record, Tokens
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from gateway.store.errors import StoreTimeout
from gateway.store.mux import Mux
from tests.support.examples import LONG

NOW = time.time()
"""The store expires keys by its own clock, so the week is the present one."""
MONDAY_MS = start_ms("w", bucket("w", int(NOW * 1000)))
ENDPOINTS = ("acme/f@acme/fast", "bolt/f@acme/fast", "bolt/s@zeta/slow:free", "@acme/fast")

EVENTS = st.builds(
    Event,
    at_ms=st.integers(MONDAY_MS - 30 * 3_600_000, MONDAY_MS + 3_600_000),
    endpoint=st.sampled_from(ENDPOINTS),
    org=st.sampled_from(("o1", "o2")),
    key=st.sampled_from(("k1", "k2")),
    user=st.sampled_from((b"", b"u1", b"u2", b"u3")),
    app=st.sampled_from(("unknown", "a.example", "~ünï 'app'\"->*")),
    app_name=st.sampled_from(("", "An App")),
    finish=st.sampled_from(("stop", "tool_calls", "error")),
    flags=st.integers(0, 15),
    ok=st.booleans(),
    prompt=st.integers(0, 200_000),
    completion=st.integers(0, 5_000),
    tools=st.integers(0, 2),
    ttft_ms=st.none() | st.integers(0, 5_000),
    total_ms=st.none() | st.integers(0, 60_000),
    charged_nano=st.integers(0, 10**12),
    category=st.sampled_from(("", "legal", "marketing/seo")),
    language=st.sampled_from(("", "Chinese (Simplified)")),
    sampled_ppm=st.sampled_from((0, 2_500, 1_000_000)),
    pictures=st.sampled_from((0, 0, 3)),
    audio_ms=st.sampled_from((0, 0, 61_500)),
    tried=st.lists(st.builds(Tried, st.sampled_from(ENDPOINTS[:3]), st.integers(0, 3)), max_size=2).map(tuple),
)


async def write(store: Store, events: list[Event], *, first: int = 0, writer: str = "w", id: str = "*") -> None:
    fields: dict[Any, Any] = {"w": writer, "a": 0, "f": first, "e": stream.pack(events)}
    await store.redis.xadd(keys.EVENTS, fields, id=id)


def consumer(store: Store) -> Consumer:
    return Consumer(store, "worker", clock=lambda: NOW)


async def stored(store: Store) -> dict[str, Any]:
    """All counters, and the estimates of users."""
    found: dict[str, Any] = {}
    async for raw in store.redis.scan_iter(match=f"{keys.PREFIX}:??:*"):
        key = raw.decode()
        kind = (await store.redis.type(raw)).decode()
        if kind == "hash":
            found[key] = {f.decode(): v.decode() for f, v in (await store.redis.hgetall(raw)).items()}
        else:
            found[key] = await (store.redis.smembers(raw) if kind == "set" else store.redis.pfcount(raw))
        assert await store.redis.ttl(raw) > 0, key
    return found


def expected(events: list[Event]) -> dict[str, dict[str, str]]:
    """A recount in one go; names of apps are in ``stored`` only."""
    counts = count(events, NOW).counts
    return {keys.row(*cell): {f: as_text(v) for f, v in row.items()} for cell, row in cells(counts)}


def as_text(value: Value) -> str:
    raw = as_stored(value)
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def without_names(found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {f: v for f, v in row.items() if f not in (keys.NAME, keys.BATCH)}
        for key, row in found.items()
        if isinstance(row, dict)
    }


@settings(max_examples=100 if LONG else 8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, min_size=1, max_size=30), data=st.data())
async def test_any_portions_give_the_same_counters(store: Store, events: list[Event], data: st.DataObject) -> None:
    """Entries of any size, counted by two processes by turns in any order: the counters of a recount, the sets name every row."""
    await store.redis.flushall()
    both = (consumer(store), consumer(store))
    at = 0
    while at < len(events):
        size = data.draw(st.integers(1, len(events) - at))
        await write(store, events[at : at + size], first=at)
        at += size
        for _ in range(data.draw(st.integers(0, 2))):
            await both[data.draw(st.integers(0, 1))].consume()
    while await both[0].consume():
        pass
    found = await stored(store)
    assert without_names(found) == expected(events)
    people = count(events, NOW).users
    assert {key: n for key, n in found.items() if isinstance(n, int)} == {
        keys.row(*cell): len(users) for cell, users in cells(people)
    }
    rows = {(key.split(":", 4)[2], key.split(":", 4)[3], key.split(":", 4)[4]) for key in found if key.count(":") > 3}
    listed = {
        (*key.split(":")[2:4], row.decode())
        for key, row_names in found.items()
        if isinstance(row_names, set)
        for row in row_names
    }
    assert listed == rows


Calls = Callable[..., Awaitable[Any]]


class Interrupted:
    """The calls of one consumer. At one of them, before it is made or after it has run, the consumer is held up until ``go``."""

    def __init__(self, mux: Mux, at: int, when: str) -> None:
        self._mux, self._at, self._when, self._number = mux, at, when, 0
        self.stopped, self.go = asyncio.Event(), asyncio.Event()

    def call(self, *args: Any) -> Awaitable[Any]:
        return self._mux.call(*args) if args[0] == "HGETALL" else self._one(args)

    async def _one(self, args: tuple[Any, ...]) -> Any:
        here = self._number == self._at
        self._number += 1
        if here and self._when == "before":
            await self._stop()
        reply = await self._mux.call(*args)
        if here and self._when == "after":
            await self._stop()
        return reply

    async def _stop(self) -> None:
        self.stopped.set()
        await self.go.wait()


async def everything(store: Store) -> dict[str, Any]:
    """What counting has left, with cursor, losses and revisions; without the numbers of batches."""
    names = sorted([key.decode() for key in await store.redis.keys(f"{keys.PREFIX}:*")])
    names = [name for name in names if name not in (keys.EVENTS, keys.PLAN)]
    async with store.redis.pipeline(transaction=False) as pipe:
        for name in names:
            kind, row = name.split(":")[2], name.count(":") > 3
            if kind in ("cursor", "seen"):
                pipe.get(name)
            elif kind in ("lost", "revisions") or (row and kind[1] != "n"):
                pipe.hgetall(name)
            elif row:
                pipe.pfcount(name)
            else:
                pipe.smembers(name)
        found = dict(zip(names, await pipe.execute(), strict=True))
    for value in found.values():
        if isinstance(value, dict):
            value.pop(keys.BATCH.encode(), None)
    return found


async def counted_by(*counting: Consumer) -> None:
    for each in counting:
        while await each.consume():
            pass


@pytest.mark.parametrize(
    ("how", "when"),
    [
        ("dies", "after"),
        ("is overtaken", "before"),
        ("is overtaken by one batch", "after"),
        pytest.param("dies", "before", marks=pytest.mark.tail),
        pytest.param("is overtaken", "after", marks=pytest.mark.tail),
        pytest.param("is overtaken by one batch", "before", marks=pytest.mark.tail),
    ],
)
async def test_interrupted_at_any_call(store: Store, monkeypatch: pytest.MonkeyPatch, how: str, when: str) -> None:
    """A process dies at any of its calls, or wakes up after another has gone on: the same counters, apps, losses and revisions."""
    monkeypatch.setattr(consumers, "VALUES_WRITTEN", 150)
    monkeypatch.setattr(consumers, "EVENTS_AT_ONCE", {"worker": 4})
    monkeypatch.setattr(consumers, "ENTRIES_READ", 2)
    monkeypatch.setattr(consumers, "MAX_APPS", 2)
    late = MONDAY_MS - 8 * DAY_MS
    events = [event(late + n % 2 * 7 * DAY_MS, prompt=2**n, app=f"a{n}.example", user=b"u%d" % n) for n in range(8)]

    async def written() -> None:
        await store.redis.flushall()
        for first in (0, 2, 4, 6):
            missing = first // 4 * 3
            await write(store, events[first : first + 2], first=first + missing, id=f"{first + 1}-0")

    await written()
    await counted_by(consumer(store))
    right, at = await everything(store), 0
    assert (right[keys.LOST], right[keys.REVISIONS]) != ({}, {})
    while True:
        await written()
        calls = Interrupted(store.mux, at, when)
        first = consumer(Store(store.redis, cast("Mux", calls)))
        task, stopped = asyncio.create_task(counted_by(first)), asyncio.create_task(calls.stopped.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            await task
            break
        second = consumer(store)
        if how == "is overtaken by one batch":
            await second.consume()
        else:
            await counted_by(second)
        if how == "dies":
            task.cancel()
        calls.go.set()
        await asyncio.wait({task})
        await counted_by(second, first)
        assert await everything(store) == right, at
        at += 1
    assert at > 12


async def test_a_planned_batch_that_the_stream_has_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process dies after the first rows, the stream drops its entries: the next one goes on behind it, the numbers show the loss."""
    monkeypatch.setattr(consumers, "VALUES_WRITTEN", 1)
    await write(store, [event(MONDAY_MS) for _ in range(5)])
    calls = Interrupted(store.mux, 5, "after")
    task = asyncio.create_task(counted_by(consumer(Store(store.redis, cast("Mux", calls)))))
    await calls.stopped.wait()
    task.cancel()
    await store.redis.xtrim(keys.EVENTS, maxlen=0)
    assert await store.redis.get(keys.CURSOR) is None
    assert len(await store.redis.keys("tw:a1:??:*:*")) in range(1, 5)
    await write(store, [event(MONDAY_MS)], first=5)
    await counted_by(consumer(store))
    assert await store.redis.hvals(keys.LOST) == [b"5"]
    last = (await store.redis.xrevrange(keys.EVENTS, count=1))[0][0]
    assert await store.redis.get(keys.CURSOR) == last


def event(at_ms: int, **more: Any) -> Event:
    plain: dict[str, Any] = {"endpoint": ENDPOINTS[0], "org": "o1", "key": "k1", "user": b"u", "prompt": 1}
    return Event(at_ms=at_ms, **plain | more)


async def test_entries_that_come_twice_and_gaps(store: Store) -> None:
    """A repeated entry counts once, an overlapping one its new part; missing numbers are losses; an entry of another form is skipped."""
    numbered = [event(MONDAY_MS, prompt=2**n) for n in range(8)]
    await write(store, numbered[:3])
    await write(store, numbered[:3])
    await write(store, numbered[1:4], first=1)
    await store.redis.xadd(keys.EVENTS, {"w": "w", "a": "0", "f": "4", "e": b"\xc1 of a version to come"})
    await write(store, numbered[6:], first=6)
    counting = consumer(store)
    while await counting.consume():
        pass
    table = (await tables.read(store, "de", [bucket("d", MONDAY_MS)], ("pt", "rq")))[0]
    assert table == {ENDPOINTS[0]: (0b11001111, 6)}
    assert await store.redis.hgetall(keys.LOST) == {str(bucket("d", int(NOW * 1000))).encode(): b"2"}


async def test_weeks_end_on_sunday_and_late_events_reopen_them(store: Store) -> None:
    """23:59:59.999 of a Sunday and the next millisecond lie in different days and weeks; an event of a closed week raises its revision."""
    week = bucket("w", MONDAY_MS)
    await write(store, [event(MONDAY_MS - 1, prompt=5), event(MONDAY_MS, prompt=7)])
    early = Consumer(store, "worker", clock=lambda: MONDAY_MS / 1000 + 899)
    assert await early.consume() == 1
    found = await tables.read(store, "we", [week - 1, week], ("pt",))
    assert found == [{ENDPOINTS[0]: (5,)}, {ENDPOINTS[0]: (7,)}]
    day = bucket("d", MONDAY_MS)
    assert await tables.read(store, "de", [day - 1, day], ("pt",)) == found
    assert await store.redis.hgetall(keys.REVISIONS) == {}
    await write(store, [event(MONDAY_MS - 1, prompt=1)], first=2)
    late = Consumer(store, "worker", clock=lambda: MONDAY_MS / 1000 + 900)
    assert await late.consume() == 1
    assert await tables.read(store, "we", [week - 1], ("pt",)) == [{ENDPOINTS[0]: (6,)}]
    assert await store.redis.hgetall(keys.REVISIONS) == {str(week - 1).encode(): b"1"}


async def test_amounts_beyond_the_integers_of_floats(store: Store) -> None:
    """2^53 + 1 tokens, twice, by two processes."""
    huge = 2**53 + 1
    for n in range(2):
        await write(store, [event(MONDAY_MS, prompt=huge)], first=n)
        await consumer(store).consume()
    assert await tables.read(store, "we", [bucket("w", MONDAY_MS)], ("pt",)) == [{ENDPOINTS[0]: (2 * huge,)}]


@pytest.mark.parametrize(
    ("table", "row", "before"),
    [
        ("de", ENDPOINTS[0], {"rq": 3, "pt": 2**60, "ae": 1}),
        ("da", "unknown", {"r": 3, "t": 9, "acme/fast r": 2, "acme/fast t": 8, "zeta/old r": 1, "zeta/old t": 1}),
        ("dk", "k1", {f"{ENDPOINTS[0]} r": 3, f"{ENDPOINTS[0]} p": 2**60, "b/x@z/old h": 4}),
        ("wx", "acme/fast", {"1K r": 3, "1K t": 9, "10M t": 10**9}),
        ("wi", "all", {"French n": 2, "French w": 2_000_000, "Greek n": 1}),
    ],
)
async def test_rows_of_an_older_form(store: Store, table: str, row: str, before: dict[str, int]) -> None:
    """A row in which each counter is a field by itself goes on in the present form: readers get the sums, of two processes by turns."""
    plain = event(MONDAY_MS, completion=1, language="French", sampled_ppm=500_000, tried=(Tried(ENDPOINTS[0], FAILED),))
    day = bucket("d", MONDAY_MS)
    number = day if table[0] == "d" else bucket("w", MONDAY_MS)
    await store.redis.hset(keys.row(table, number, row), mapping={**before, keys.BATCH: 0})
    await store.redis.sadd(keys.rows(table, number), row)
    for n in range(3):
        await write(store, [plain], first=n)
        await consumer(store).consume()
    added = by_name(table[1:], count([plain] * 3, NOW).counts[table, number][row])
    sums = {name: before.get(name, 0) + added.get(name, 0) for name in {**before, **added}}
    assert await tables.rows(store, table, [(number, row)]) == [sums]
    names = [*sums, "100K t"]
    [read] = await tables.read(store, table, [number], names)
    assert read[row] == tuple(sums.get(name, 0) for name in names)


async def test_apps_have_room_for_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers choose the names of apps: those that a week has no room for are counted as ``other``."""
    monkeypatch.setattr(consumers, "MAX_APPS", 2)
    await write(store, [event(MONDAY_MS, app=f"app{n % 4}.example", app_name="An app") for n in range(12)])
    await write(store, [event(MONDAY_MS, app=name) for name in ("app0.example", "unknown", "new.example")], first=12)
    await counted_by(consumer(store))
    table = (await tables.read(store, "wa", [bucket("w", MONDAY_MS)], ("r",)))[0]
    assert table == {"app0.example": (4,), "app1.example": (3,), "other": (7,), "unknown": (1,)}


async def test_one_consumer_counts_and_a_worker_goes_first(store: Store) -> None:
    """The second gateway leaves the work to the first; a worker takes it over at once, and keeps it."""
    gateways = [Consumer(store, "gateway", clock=lambda: NOW) for _ in range(2)]
    worker = consumer(store)
    for n, (counting, counted) in enumerate(
        ((gateways[0], 1), (gateways[1], 1), (worker, 3), (gateways[0], 3), (worker, 5))
    ):
        await write(store, [event(MONDAY_MS)], first=n)
        await counting.step()
        table = (await tables.read(store, "de", [bucket("d", MONDAY_MS)], ("rq",)))[0]
        assert table == {ENDPOINTS[0]: (counted,)}


def measured(n: int = 0, **more: Any) -> Measured:
    fields: dict[str, Any] = {
        **{"id": f"gen-{n}", "created_at": MONDAY_MS / 1000 + n, "organization": "o1", "key_hash": "ab" * 32},
        **{"model_requested": "acme/fast", "outcome": "complete", "endpoint": ENDPOINTS[0], "finish_reason": "stop"},
        **{"tokens": Tokens(prompt=7, cache_read=3, completion=2, reasoning=4), "prices_femto": {"prompt": 1}},
    }
    return Measured(Record(**fields | more), 11, 1, 9, 5)


async def test_losses_of_the_writer_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away the queue fills and the rest is lost, by number; a call whose reply was lost is repeated and counts once."""
    lost: Counter[str] = Counter()
    writer = stream.EventWriter(store, most_events=1000, on_lost=lambda n: lost.update(lost=n), queue_max=5)
    call: Calls = store.mux.call
    replies = iter(("lost reply", "away"))

    async def unreliable(*args: Any) -> Any:
        if args[0] == "XADD" and (trouble := next(replies, None)):
            if trouble == "lost reply":
                await call(*args)
            raise StoreTimeout(trouble)
        return await call(*args)

    monkeypatch.setattr(store.mux, "call", unreliable)
    for n in range(3):
        writer.emit(measured(n))
    for _ in range(2):
        with pytest.raises(StoreTimeout):
            await writer.flush()
    for n in range(7):
        writer.emit(measured(n))
    await writer.flush()
    writer.emit(measured(9))
    await writer.flush()
    assert (writer.waiting, lost["lost"]) == (0, 2)
    counting = consumer(store)
    while await counting.consume():
        pass
    table = (
        await tables.read(store, "de", [bucket("d", MONDAY_MS)], ("rq", "pt", "ct", "rt", "cr", "us", "to", "ni"))
    )[0]
    assert table == {ENDPOINTS[0]: (9, 90, 54, 36, 27, 99, 9, 81)}
    assert await store.redis.hvals(keys.LOST) == [b"2"]


async def test_writers_do_not_take_each_others_events(store: Store) -> None:
    """The loop, and the last writing of a process that stops, may flush at once: each event is written once."""
    writer = stream.EventWriter(store, most_events=1000)
    for n in range(3):
        writer.emit(measured(n))
    await asyncio.gather(*(writer.flush() for _ in range(3)))
    assert await store.redis.xlen(keys.EVENTS) == 1
    counting = consumer(store)
    while await counting.consume():
        pass
    assert await tables.read(store, "de", [bucket("d", MONDAY_MS)], ("rq",)) == [{ENDPOINTS[0]: (3,)}]


async def test_a_new_salt_separates_users(store: Store) -> None:
    """The same user before and after a rotation: two different ones for the counters, one for each while the salt stays."""
    now = 0.0
    writer = stream.EventWriter(store, most_events=1000, clock=lambda: now)
    for _ in range(2):
        for _ in range(2):
            writer.emit(measured(user="somebody"))
        await writer.flush()
        await stream.rotate_salt(store)
        now += stream.SALT_TTL_S
    counting = consumer(store)
    while await counting.consume():
        pass
    day = bucket("d", MONDAY_MS)
    assert await tables.users(
        store, "d", [PrivateCell("d", (day,), (row,)) for row in ("all", "m acme/fast", "m other")]
    ) == [2, 2, 0]


def test_events_survive_the_stream_in_any_case() -> None:
    """What is packed comes back the same; a row with more fields than this version knows, too."""
    events = [
        event(MONDAY_MS + 5, flags=STREAMED | CANCELLED, tried=(Tried("a", SERVED), Tried("b", FAILED))),
        event(MONDAY_MS),
    ]
    assert events_of(stream.unpack(stream.pack(events))) == events


COUNTING = """
import asyncio, os, signal, sys
from gateway.analytics.consumer import Consumer
from gateway.store.client import connect

async def main():
    store = await connect(sys.argv[1], timeout_s=5)
    counting = Consumer(store, "worker", clock=lambda: float(sys.argv[2]))
    print(os.getpid(), flush=True)
    while True:
        if not await counting.consume():
            await asyncio.sleep(0.003)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    if not os.fork():
        asyncio.run(main())
"""
"""Forks a process that counts for each line it reads. They do not ask for the lease, so two are at work on the same batches."""


@pytest.mark.soak
async def test_killed_twenty_times_under_load(store: Store, valkey_server: Embedded) -> None:
    """Two processes count at once, and one after the other is killed while events come: the counters of a recount, nothing lost."""
    rng = random.Random(5)
    events: list[Event] = []

    words = (sys.executable, "-c", COUNTING, valkey_server.url, str(NOW))
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, start_new_session=True)

    async def start() -> int:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(b"\n")
        return int(await parent.stdout.readline())

    async def load() -> None:
        while True:
            more = [
                event(
                    MONDAY_MS + rng.randrange(-3_600_000, 3_600_000),
                    prompt=rng.randrange(10_000),
                    endpoint=f"p{rng.randrange(2)}/u@a/m{rng.randrange(4)}",
                    key=f"k{rng.randrange(5)}",
                    app=f"a{rng.randrange(3)}.example",
                    tried=(Tried(ENDPOINTS[0], SERVED),),
                )
                for _ in range(20)
            ]
            await write(store, more, first=len(events))
            events.extend(more)
            await asyncio.sleep(0.05)

    loading = asyncio.create_task(load())

    async def planned() -> int:
        plan = await store.redis.get(keys.PLAN)
        return int(msgspec.json.decode(plan)["number"]) if plan else 0

    running = [await start()]
    for _ in range(20):
        running.append(await start())
        before = await planned()
        while await planned() <= before:
            await asyncio.sleep(0.002)
        await asyncio.sleep(rng.random() * 0.02)
        os.kill(running.pop(0), signal.SIGKILL)
    loading.cancel()
    await asyncio.wait({loading})
    os.killpg(parent.pid, signal.SIGKILL)
    await parent.wait()
    await counted_by(consumer(store))
    assert without_names(await stored(store)) == expected(events)
    assert await store.redis.hgetall(keys.LOST) == {}
