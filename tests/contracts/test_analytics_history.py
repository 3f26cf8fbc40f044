"""The history of analytics: every event once in the files, whenever a process dies; what is damaged is named; old files are read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.analytics import stream, tables
from gateway.analytics.buckets import bucket as bucket_of
from gateway.analytics.consumer import Consumer
from gateway.analytics.counters import cells, count
from gateway.analytics.event import Event
from gateway.analytics.fields import OWN, loaded
from gateway.analytics.history import archive as archives
from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load
from gateway.analytics.history.parquet import DamagedFile, HistoryError
from gateway.analytics.history.rebuild import rebuild
from gateway.analytics.history.schema import EVENTS, Facts, order
from gateway.analytics.history.sinks import HistorySink
from gateway.analytics.history.writer import HistoryWriter
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.keys import bucket
from gateway.telemetry import Telemetry
from tests.support.examples import LONG
from tests.support.history import DAY, DyingSystem, Killed, batch, event, read

pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")

NOW = time.time() + 2 * 86_400
"""What is in the stream is of days that are over."""


async def write(store: Store, events: list[Event], *, first: int = 0, writer: str = "w", settled: int = 0) -> None:
    fields: dict[Any, Any] = {"w": writer, "a": settled, "f": first, "e": stream.pack(events)}
    await store.redis.xadd(keys.EVENTS, fields)


def writer(store: Store, directory: Path, telemetry: Telemetry | None = None, days: int = 0) -> HistoryWriter:
    sink = HistorySink(Archive(directory), days=days)
    return HistoryWriter(store, sink, "worker", telemetry or Telemetry(), clock=lambda: NOW)


async def step(store: Store, directory: Path, **more: Any) -> None:
    """One step of a process that has just started."""
    await store.redis.delete(keys.history_lease("directory"))
    await writer(store, directory, **more).write_history()


def test_rows_are_events(tmp_path: Path) -> None:
    """Pieces, then days, then both: what is read is what was written, in its order; days select; late events join their day."""
    archive = Archive(tmp_path)
    events = [event(n, DAY + n // 20) for n in range(60)]
    assert load(archive, iter(events)) == 60
    assert (read(archive), archive.days()) == (events, [DAY, DAY + 1, DAY + 2])
    assert read(archive, DAY + 1, DAY + 1) == events[20:40]
    late = [event(100), event(101, DAY + 2)]
    archive.append(batch(100, late))
    assert sorted(read(archive), key=str) == sorted(events + late, key=str)
    assert archive.fold() == 2
    assert read(archive, DAY, DAY) == [*events[:20], late[0]]
    assert not list(tmp_path.glob("events/pieces/*")) + list(tmp_path.glob("events/tmp/*"))
    assert archive.progress().position == "102-0"
    with archive.reading() as opened:
        derived = opened.execute("SELECT DISTINCT model, provider, dt, week FROM events ORDER BY dt LIMIT 1").fetchall()
    assert [str(value) for value in derived[0]] == ['acme/it\'s "fast"', "acme", "2025-11-30", "2025-11-24"]


def test_a_reader_sees_the_files_as_they_were(tmp_path: Path) -> None:
    """While it reads, pieces are folded twice, days are replaced and removed: it has every row once, and the files go when it does.
    What a reader that died has left goes with the next fold, and what one that lives reads does not."""
    archive = Archive(tmp_path)
    events = [event(n, DAY + n % 2) for n in range(6000)]
    archive.append(batch(0, events[:3000]))
    archive.fold()
    archive.append(batch(3000, events[3000:]))
    dead = tmp_path / "events/tmp/reading-dead/events"
    dead.mkdir(parents=True)
    with archive.reading() as opened:
        rows = opened.execute("SELECT prompt FROM events")
        found = rows.fetchmany(10)
        assert archive.fold() == 2, "a fold does not wait for it"
        assert not dead.exists()
        archive.append(batch(6000, [event(6000)]))
        assert archive.fold() == 1
        assert archive.remove_days_before(DAY + 1) == [DAY]
        while part := rows.fetchmany(1000):
            found += part
        assert sorted(row[0] for row in found) == list(range(6000))
        assert len(list(tmp_path.glob("events/tmp/reading-*"))) == 1
    assert not list(tmp_path.glob("events/tmp/*"))
    assert len(read(archive)) == 3000


def test_a_copy_that_takes_no_links_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the reader keeps the directory's lock, and a fold comes later."""
    archive = Archive(tmp_path)
    archive.append(batch(0, [event(n) for n in range(5)]))

    def refuse(old: Path, new: Path) -> None:
        raise PermissionError(old)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        with archive.reading() as opened:
            assert opened.execute("SELECT count(*) FROM events").fetchall() == [(5,)]
            assert archive.fold() == 0
    assert archive.fold() == 1


@pytest.mark.tail
def test_days_have_files_by_organisation(tmp_path: Path) -> None:
    """A dataset with several buckets has the organisations of the ledger's in its files, and every row once."""
    archive = Archive(tmp_path, EVENTS._replace(buckets=16))
    events = [event(n, org=f"o{n}") for n in range(40)]
    archive.append(batch(0, events[:20]))
    archive.fold()
    archive.append(batch(20, events[20:]))
    assert sorted(read(archive), key=str) == sorted(events, key=str)
    archive.fold()
    assert len(list(tmp_path.glob("events/*/bucket-??.parquet"))) == len({bucket(f"o{n}") // 256 for n in range(40)})
    assert sorted(read(archive), key=str) == sorted(events, key=str)


def test_a_process_may_die_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or after each step that changes a file, while pieces are written, folded and folded again with late events: what can
    be read then is there once, and after the next start every event is in the files once."""
    parts = [[event(0), event(1, DAY + 1)], [event(2), event(3)], [event(4, DAY + 1)]]
    batches = [batch(0, parts[0]), batch(2, parts[1]), batch(4, parts[2])]
    at = steps = 0
    while steps >= at:
        at += 1 if LONG else 13
        directory, system = tmp_path / str(at), DyingSystem(at)
        with monkeypatch.context() as patched:
            patched.setattr(archives, "os", system)
            patched.setattr(parquet, "os", system)
            with contextlib.suppress(Killed):
                for each in batches:
                    Archive(directory).append(each)
                    if each is not batches[1]:
                        Archive(directory).fold()
        steps = system.steps
        archive = Archive(directory)
        kept = [each.prompt for each in read(archive)] if archive.exists() else []
        assert len(kept) == len(set(kept)), at
        for each in batches:
            if order(each.after) >= order(archive.progress().position):
                archive.append(each)
        archive.fold()
        assert sorted(each.prompt for each in read(archive)) == list(range(5)), at
        assert not list(archive.check())
        assert not list(directory.glob("events/pieces/*"))
    assert at > 30, "there are many steps"


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.tail)])
async def test_a_process_may_die_before_the_cursor_moves(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """A piece is written, its cursor is not moved, or nobody knows that it was: the next process goes on behind the piece."""
    await write(store, [event(0)])
    move = HistoryWriter._move

    async def dies(self: HistoryWriter, *args: Any) -> None:
        if not before:
            await move(self, *args)
        raise Killed

    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        patched.setattr(HistoryWriter, "_move", dies)
        await step(store, tmp_path)
    await write(store, [event(1)], first=1)
    await step(store, tmp_path)
    assert [each.prompt for each in read(Archive(tmp_path))] == [0, 1]


async def test_repetitions_and_gaps(store: Store, tmp_path: Path) -> None:
    """An entry that came twice, also to another process or after the loss of Redis, is written once; missing numbers are counted."""
    telemetry = Telemetry()
    await write(store, [event(0), event(1)])
    await write(store, [event(0), event(1)])
    await step(store, tmp_path, telemetry=telemetry)
    await write(store, [event(1), event(2)], first=1)
    await write(store, [event(5)], first=5)
    await store.redis.xadd(keys.EVENTS, {"w": "w", "a": 0, "f": 6, "e": b"nothing that anybody wrote"})
    await step(store, tmp_path, telemetry=telemetry)
    await store.redis.delete(keys.HISTORY)
    await step(store, tmp_path, telemetry=telemetry)
    assert [each.prompt for each in read(Archive(tmp_path))] == [0, 1, 2, 5]
    text = telemetry.scrape()[0].decode()
    assert 'tokenway_history_events_total{outcome="written",sink="directory"} 4.0' in text
    assert 'tokenway_history_events_total{outcome="lost",sink="directory"} 2.0' in text


@pytest.mark.tail
async def test_one_writes_at_a_time(store: Store, tmp_path: Path) -> None:
    """Two processes on one directory at once: every event once. A worker goes before a gateway."""
    gateway = HistoryWriter(store, HistorySink(Archive(tmp_path)), "gateway", Telemetry())
    first = writer(store, tmp_path)
    await gateway.write_history()
    for number in range(5):
        await write(store, [event(number)], first=number)
        await asyncio.gather(gateway.write_history(), first.write_history())
    assert (await store.redis.get(keys.history_lease("directory")) or b"").startswith(b"worker:")
    assert sorted(each.prompt for each in read(Archive(tmp_path))) == list(range(5))


async def test_days_are_kept_as_long_as_is_said(store: Store, tmp_path: Path) -> None:
    today = int(NOW // 86_400)
    await write(store, [event(0, today - 3), event(1, today - 2), event(2, today)])
    await step(store, tmp_path, days=2)
    assert Archive(tmp_path).days() == [today - 2, today]


@pytest.mark.parametrize(
    "what",
    ["half", "byte", *(pytest.param(each, marks=pytest.mark.tail) for each in ("empty", "foreign", "later", "other"))],
)
def test_a_damaged_file_is_named(tmp_path: Path, what: str) -> None:
    """A file cut in half or to nothing, with a changed byte, of another program, a later version or another dataset: an error says
    which file, when it is read or folded, and no piece is removed."""
    archive = Archive(tmp_path)
    archive.append(batch(0, [event(n) for n in range(500)]))
    archive.append(batch(500, [event(n) for n in range(500, 510)]))
    path = tmp_path / "events/pieces/0-0.parquet"
    data = bytearray(path.read_bytes())
    with parquet.database().connection() as opened:
        facts = parquet.facts(opened, path, EVENTS)
        wrong = {"later": {"version": 99}, "other": {"dataset": "ledger"}}.get(what)
        if wrong is not None:
            told = msgspec.json.encode(msgspec.structs.replace(facts, rows=1, **wrong)).decode()
            options = f"FORMAT parquet, KV_METADATA {{tokenway: '{told}'}}"
            opened.execute(f"COPY (SELECT 1 AS at_ms) TO '{path}' ({options})")
        elif what == "foreign":
            opened.execute(f"COPY (SELECT 1 AS at_ms) TO '{path}' (FORMAT parquet)")
        elif what == "byte":
            data[200] ^= 1
            path.write_bytes(data)
        else:
            path.write_bytes(data[: len(data) // 2 if what == "half" else 0])
    with pytest.raises(HistoryError, match=str(path)):
        archive.fold()
    assert [error.path for error in archive.check()] == [path]
    assert len(list(path.parent.iterdir())) == 2
    if what != "byte":
        with pytest.raises(DamagedFile, match=str(path)):
            read(archive)


def test_old_files_are_read(tmp_path: Path) -> None:
    """Files that lack columns, alone and beside newer ones, and one with a column of a later program: defaults stand for what is missing."""
    archive = Archive(tmp_path)
    archive.append(batch(0, [event(0)]))
    new, old = (tmp_path / f"events/pieces/{n}-0.parquet" for n in range(2))
    with parquet.database().connection() as opened:
        lacking = f"(SELECT at_ms, endpoint, org, 5 AS later FROM '{new}')"
        rows, checksum = parquet.sums(opened, lacking)
        parquet.write(
            opened, lacking, old, Facts(dataset="events", after="1-0", upto="2-0", rows=rows, checksum=checksum)
        )
    expected = Event(at_ms=event(0).at_ms, endpoint=event(0).endpoint, org="o0", key="")
    assert read(archive) == [event(0), expected]
    copy = tmp_path / "alone"
    shutil.copytree(tmp_path / "events", copy / "events")
    (copy / "events/pieces/0-0.parquet").unlink()
    for each, events in ((archive, [event(0), expected]), (Archive(copy), [expected])):
        assert read(each) == events
        each.fold()
        assert read(each) == events


async def test_a_full_disk_is_reported(store: Store, tmp_path: Path) -> None:
    """No file can be written: the failure is counted, the step does not raise, and when there is room again nothing is missing."""
    telemetry = Telemetry()
    await write(store, [event(n) for n in range(50)])
    await step(store, tmp_path, telemetry=telemetry)
    await write(store, [event(n) for n in range(50, 99)], first=50)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        await step(store, tmp_path, telemetry=telemetry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 'tokenway_history_errors_total{sink="directory"} 1.0' in telemetry.scrape()[0].decode()
    await step(store, tmp_path, telemetry=telemetry)
    assert [each.prompt for each in read(Archive(tmp_path))] == list(range(99))


async def counters(store: Store) -> dict[str, Any]:
    """All counters, as what they say; the estimates of users."""
    found: dict[str, Any] = {}
    async for raw in store.redis.scan_iter(match=f"{keys.PREFIX}:??:*"):
        kind = (await store.redis.type(raw)).decode()
        if kind == "hash":
            found[raw.decode()] = {
                f: v for f, v in (await store.redis.hgetall(raw)).items() if f != keys.BATCH.encode()
            }
        else:
            found[raw.decode()] = await (store.redis.smembers(raw) if kind == "set" else store.redis.pfcount(raw))
        assert await store.redis.ttl(raw) > 0
    return found


@pytest.mark.parametrize(
    "lost", ["everything", *(pytest.param(each, marks=pytest.mark.tail) for each in ("nothing", "counters"))]
)
async def test_rebuilt_counters_are_the_same(store: Store, tmp_path: Path, lost: str) -> None:
    """From the files, what is in the stream only and what was not counted yet: the counters of before, whatever was lost; a process
    that counted before and kept rows goes on rightly; again, the same."""
    day = int(time.time()) // 86_400
    parts = [[event(n + 10 * p, day - 9 * (n % 3), user=bytes([n % 7]) * 8) for n in range(10)] for p in range(3)]
    consumer = Consumer(store, "gateway")
    for number, part in enumerate(parts):
        await write(store, part, first=10 * number)
        await write(store, part[:4], first=10 * number)
        if number == 0:
            await step(store, tmp_path)
        if number == 1:
            await consumer.step()
    expected_events = [*parts[0], *parts[1], *parts[2]]
    archive = Archive(tmp_path)
    if lost == "everything":
        await step(store, tmp_path)
        await store.redis.flushall()
    elif lost == "counters":
        async for raw in store.redis.scan_iter(match=f"{keys.PREFIX}:??:*"):
            await store.redis.delete(raw)
    weeks = await rebuild(store, archive)
    assert [(week.replaced, week.events) for week in weeks] == [
        (True, sum(bucket_of("w", e.at_ms) == w.week for e in expected_events)) for w in weeks
    ]
    found = await counters(store)
    sums = count(expected_events, time.time())
    for cell, row in cells(sums.counts):
        stored = {f.decode(): loaded(v) for f, v in found.pop(keys.row(*cell)).items() if f != keys.NAME.encode()}
        assert stored == row, cell
    assert {name: n for name, n in found.items() if isinstance(n, int)} == {
        keys.row(*c): len(u) for c, u in cells(sums.users)
    }
    before = await counters(store)
    await rebuild(store, archive)
    assert await counters(store) == before
    more = [event(99, day)]
    await write(store, more, first=30 if lost != "everything" else 0, writer="w" if lost != "everything" else "v")
    await consumer.step()
    counters_of_day = loaded(await store.redis.hget(keys.row("de", day, more[0].endpoint), OWN))
    sums = count([*expected_events, *more], time.time())
    assert counters_of_day == sums.counts["de", day][more[0].endpoint][OWN]


async def test_weeks_that_the_files_lack_are_left_alone(store: Store, tmp_path: Path) -> None:
    """More was counted than the files have, since they begin later: those counters stay, unless one insists."""
    day = int(time.time()) // 86_400
    await write(store, [event(n, day) for n in range(5)])
    await Consumer(store, "worker").step()
    await store.redis.xtrim(keys.EVENTS, maxlen=0, approximate=False)
    await write(store, [event(n, day) for n in range(5, 8)], first=5)
    await step(store, tmp_path)
    [week] = await rebuild(store, Archive(tmp_path))
    assert (week.events, week.before, week.replaced) == (3, 8, False)
    [week] = await rebuild(store, Archive(tmp_path), replace=True)
    assert week.replaced
    assert sum([row[0] for row in (await tables.read(store, "de", [day], ["rq"]))[0].values()]) == 3
