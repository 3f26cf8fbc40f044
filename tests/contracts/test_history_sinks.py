"""One contract for everything that keeps the history: a directory, a bucket, ClickHouse (an old server and a new engine).

What was written is read back the same; a stretch that comes again is kept once; a process may die before and after each call, and
each call may come twice; counters are made again; an export is the same to the byte; trouble is named and loses nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gateway.analytics import stream
from gateway.analytics.consumer import Consumer
from gateway.analytics.counters import count
from gateway.analytics.event import Event
from gateway.analytics.fields import loaded
from gateway.analytics.history import archive as archives
from gateway.analytics.history import export as exports
from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.clickhouse import ClickHouse
from gateway.analytics.history.clickhouse_http import ClickHouseServer
from gateway.analytics.history.parquet import DamagedFile, HistoryError
from gateway.analytics.history.rebuild import rebuild
from gateway.analytics.history.schema import order
from gateway.analytics.history.sinks import HistorySink, Writable
from gateway.analytics.history.source import Batch, Progress
from gateway.analytics.history.writer import HistoryWriter
from gateway.analytics.report.build import build
from gateway.analytics.report.used_events import Window
from gateway.analytics.sessions import session_costs
from gateway.analytics.tables import NO_COUNTERS
from gateway.catalog.attributes import AttributeTable
from gateway.cli import app
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.objects import Address, objects
from gateway.telemetry import Telemetry
from tests.support.clickhouse import PASSWORD, chdb_server, debian_server
from tests.support.examples import LONG
from tests.support.history import DAY, DyingSystem, Killed, batch, event, read
from tests.support.objectstore import FaultyObjects, object_store
from tests.support.process import free_port

pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")


def kinds(*names: str, tail: tuple[str, ...] = ()) -> list[Any]:
    """Parameters; the tests of a kind run in one worker, which starts its server once."""
    group = pytest.mark.xdist_group
    return [
        pytest.param(each, marks=[group(f"history_{each}"), *([pytest.mark.tail] if each in tail else [])])
        for each in names
    ]


REMOTE = kinds("s3", "clickhouse", "chdb")
Step = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Any]]:
    """Kind of a sink → its server, started when it is first asked for."""
    started: dict[str, Any] = {}
    makers: dict[str, Callable[[], Any]] = {
        "s3": object_store,
        "clickhouse": lambda: debian_server(free_port()),
        "chdb": chdb_server,
    }
    with contextlib.ExitStack() as stack:

        def server(kind: str) -> Any:
            if kind not in started:
                started[kind] = stack.enter_context(makers[kind]())
            return started[kind]

        yield server


class Place:
    """A place that is empty at first; ``open`` gives it as a new process sees it."""

    numbers = itertools.count()

    def __init__(self, kind: str, folder: Path, servers: Callable[[str], Any]) -> None:
        self.kind, self._folder = kind, folder
        self.server = servers(kind) if kind != "directory" else None
        self._name, self._opened = f"p{next(self.numbers)}", list[ClickHouse]()
        if kind in ("clickhouse", "chdb"):
            self.run(f"CREATE DATABASE {self._name}", "default")

    @property
    def url(self) -> str:
        return self.server.url(prefix=self._name) if self.kind == "s3" else f"{self.server}/{self._name}"

    def run(self, sql: str, database: str = "") -> None:
        """In ClickHouse."""
        server = ClickHouseServer(f"{self.server}/{database or self._name}")
        server.run(sql)
        server.close()

    def close(self) -> None:
        for each in self._opened:
            each.close()

    def open(self, days: int = 0) -> Writable:
        if self.kind == "directory":
            return Archive(self._folder / self._name)
        if self.kind == "s3":
            return BucketArchive(objects(self.url), self._folder / "copies")
        self._opened.append(ClickHouse(self.url, days=days))
        return self._opened[-1]

    @contextlib.contextmanager
    def faulty(self, monkeypatch: pytest.MonkeyPatch, system: DyingSystem) -> Iterator[Callable[[], Writable]]:
        """``open``, with a system in which each call to the store is a step."""
        if self.kind == "directory":
            with monkeypatch.context() as patched:
                patched.setattr(archives, "os", system)
                patched.setattr(parquet, "os", system)
                yield self.open
        elif self.kind == "s3":
            faulty: Any = FaultyObjects(objects(self.url), system.step)
            yield lambda: BucketArchive(faulty, self._folder / "copies")
        else:
            real = ClickHouseServer.run
            with monkeypatch.context() as patched:
                patched.setattr(ClickHouseServer, "run", lambda *args, **more: system.step(lambda: real(*args, **more)))
                yield self.open


@pytest.fixture(params=["directory", *REMOTE])
def place(request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], Any]) -> Iterator[Place]:
    made = Place(request.param, tmp_path, servers)
    yield made
    made.close()


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], Any]) -> Iterator[Place]:
    made = Place(request.param, tmp_path, servers)
    yield made
    made.close()


@pytest.fixture
def bucket(tmp_path: Path, servers: Callable[[str], Any]) -> Place:
    return Place("s3", tmp_path, servers)


def by_prompt(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda each: each.prompt)


PARTS = [[event(0), event(1, DAY + 1)], [event(2), event(3)], [event(4, DAY + 1)]]
BATCHES = [batch(0, PARTS[0]), batch(2, PARTS[1]), batch(4, PARTS[2])]


def test_what_was_written_is_read_back(place: Place) -> None:
    """Rows, their order within a day, days, numbers, the view of DuckDB, and how far the stream is; also after a fold, and of another
    process."""
    history = place.open()
    assert (history.exists(), history.progress(), history.event_days()) == (False, Progress(), [])
    events = [event(n, DAY + n // 20, user=bytes([n % 3]) * 8) for n in range(60)]
    known = {"w": (40, 5), "~v": (2**53, 7)}
    for part in (0, 30):
        made = batch(part, events[part : part + 30])
        made.writers = known
        assert history.append(made) == Progress(f"{part + 30}-0", known)
        history.fold()
    late = [event(100), event(101, DAY + 2)]
    history.append(batch(60, late))
    history = place.open()
    assert (history.exists(), history.event_days(), history.count()) == (True, [DAY, DAY + 1, DAY + 2], 62)
    assert history.progress().position == "62-0"
    assert read(history, DAY, DAY) == [*events[:20], late[0]]
    assert by_prompt(read(history)) == [*events, *late]
    assert (read(history, DAY + 1, DAY + 1), history.count(DAY + 1, DAY + 1)) == (events[20:40], 20)
    with history.reading(DAY, DAY + 1) as opened:
        query = 'SELECT model, provider, dt, week, sum(prompt)::BIGINT, count(DISTINCT "user") FROM events GROUP BY ALL ORDER BY ALL'
        rows = [tuple(map(str, row)) for row in opened.execute(query).fetchall()]
    expected = (sum(range(20)) + 100, sum(range(20, 40)))
    assert rows == [
        ('acme/it\'s "fast"', "acme", "2025-11-30", "2025-11-24", str(expected[0]), "4"),
        ('acme/it\'s "fast"', "acme", "2025-12-01", "2025-12-01", str(expected[1]), "3"),
    ]


def test_a_stretch_that_comes_again_is_kept_once(place: Place) -> None:
    """The same, or a longer one with its beginning, of the same process or another: the first one stays, and says where it ends."""
    history = place.open()
    assert history.append(BATCHES[0]).position == "2-0"
    longer = batch(0, [*PARTS[0], *PARTS[1]])
    for again in (BATCHES[0], longer):
        assert history.append(again).position == "2-0"
        assert place.open().append(again).position == "2-0"
    assert by_prompt(read(place.open())) == PARTS[0]
    empty = Batch(after="2-0", upto="9-1", rows=0, lines=b"")
    assert history.append(empty).position == "9-1"
    assert (place.open().progress().position, place.open().count()) == ("9-1", 2)


def test_a_process_may_die_before_and_after_each_call(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: Any
) -> None:
    """While stretches are written and folded: what can be read then is there once; afterwards every event is."""
    at = steps = 0
    while steps >= at:
        at += 1 if LONG else 11
        here, system = Place(place.kind, tmp_path, servers), DyingSystem(at)
        with here.faulty(monkeypatch, system) as reopened, contextlib.suppress(Killed):
            for each in BATCHES:
                reopened().append(each)
                if each is not BATCHES[1]:
                    reopened().fold()
        steps = system.steps
        history = here.open()
        kept = [each.prompt for each in read(history)] if history.exists() and history.count() else []
        assert len(kept) == len(set(kept)), at
        for each in BATCHES:
            if order(each.after) >= order(history.progress().position):
                history.append(each)
        history.fold()
        assert by_prompt(read(history)) == [event for part in PARTS for event in part], at
        here.close()
    assert at > 15, "there are many steps"


def test_each_call_may_come_twice(remote: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a lost reply, or by a proxy that repeats requests."""

    class Repeating(DyingSystem):
        def step(self, real: Callable[..., Any], *args: Any) -> Any:
            with contextlib.suppress(Exception):
                real(*args)
            return real(*args)

    with remote.faulty(monkeypatch, Repeating(0)) as reopened:
        for each in BATCHES:
            try:
                reopened().append(each)
            except HistoryError as error:  # a server without deduplication tokens: the rows of this attempt came twice
                known = "read back" in str(error) and remote.kind == "clickhouse"
                if not known:
                    raise
            reopened().fold()
    for each in BATCHES:
        if order(each.after) >= order(remote.open().progress().position):
            remote.open().append(each)
    assert by_prompt(read(remote.open())) == [event for part in PARTS for event in part]


@pytest.mark.parametrize("dataset", ["events", "daily", "weekly"])
@pytest.mark.parametrize("private", [pytest.param(False, marks=pytest.mark.tail), True])
def test_an_export_is_the_same_to_the_byte(remote: Place, tmp_path: Path, dataset: exports.Name, private: bool) -> None:
    """As that of a directory: CSV, JSON and Parquet, of some days."""
    events = [
        event(
            n,
            DAY + n // 20,
            user=bytes([n % 3]) * (8 if n % 5 else 0),
            app=f"a,{n % 4}\"'",
            finish=["stop", "tool_calls"][n % 2],
        )
        for n in range(60)
    ]
    local, history = Archive(tmp_path / "local"), remote.open()
    for each in (local, history):
        each.append(batch(0, [*events, event(61, DAY - 9, endpoint='@acme/it\'s "fast"')]))
    wanted = exports.Export(dataset, DAY, DAY + 1, private=private)
    for format in ("csv", "jsonl"):
        ours, theirs = (b"".join(exports.lines(each, wanted, format)) for each in (history, local))  # type: ignore[arg-type]
        assert ours == theirs
        assert ours.count(b"\n") > 2
    everything = exports.Export(dataset, private=private)
    with parquet.database().connection() as opened:
        tables = []
        for name, each in (("ours", history), ("theirs", local)):
            exports.write_parquet(each, everything, tmp_path / f"{name}.parquet")
            tables.append(opened.execute(f"SELECT * FROM '{tmp_path / name}.parquet' ORDER BY ALL").fetchall())
    assert tables[0] == tables[1]
    if dataset == "events" and private:
        exports.write_days(history, everything, tmp_path / "days")
        assert by_prompt(read(Archive(tmp_path / "days"))) == by_prompt(read(local))


def test_costs_of_sessions_are_the_same(remote: Place, tmp_path: Path) -> None:
    events = [event(n, session=bytes([n % 3 + 1]) * 8, app=f"a{n % 2}") for n in range(30)]
    local, history = Archive(tmp_path / "local"), remote.open()
    for each in (local, history):
        each.append(batch(0, events))
    assert session_costs(history, DAY + 1) == session_costs(local, DAY + 1) != []


def test_the_report_is_the_same(remote: Place, tmp_path: Path) -> None:
    events = [event(n, DAY - n // 5, user=bytes([n % 7]) * 8, app=f"a{n % 2}") for n in range(60)]
    local, history = Archive(tmp_path / "local"), remote.open()
    window, made = Window.around(date(2025, 11, 20), date(2025, 11, 30)), []
    for each in (local, history):
        each.append(batch(0, events))
        attributes = AttributeTable()
        made.append(build(each, window, attributes, name="test", least_users=1, advance=lambda _: None))
    assert made[0].figures == made[1].figures
    assert made[0].scope == made[1].scope


def test_commands_take_a_url(remote: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``tokenway analytics export``; where there is nothing it says so, without the password."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("gateway.analytics.history.locations._clickhouse", lambda *_: remote.open())
    command = ["analytics", "export", "--history", remote.url, "--private", "--format", "parquet", "--out"]
    refused = CliRunner().invoke(app, [*command, str(tmp_path / "no")])
    assert (refused.exit_code, "there is no history in" in refused.stderr, "s3cret" in refused.output) == (
        2,
        True,
        False,
    )
    remote.open().append(BATCHES[0])
    done = CliRunner().invoke(app, [*command, str(tmp_path / "days")])
    assert (done.exit_code, done.stdout) == (0, f"2 events: {tmp_path / 'days'}\n")
    assert by_prompt(read(Archive(tmp_path / "days"))) == PARTS[0]


async def put(store: Store, events: list[Event], first: int) -> None:
    fields: dict[Any, Any] = {"w": "w", "a": 0, "f": first, "e": stream.pack(events)}
    await store.redis.xadd(keys.EVENTS, fields)


async def step(store: Store, place: Place, telemetry: Telemetry, days: int = 0) -> None:
    """One step of a process that has just started."""
    history = place.open(days)
    await store.redis.delete(keys.history_lease(history.sink))
    sink = HistorySink(history, days=days)
    await HistoryWriter(store, sink, "worker", telemetry, clock=lambda: time.time() + 2 * 86_400).write_history()


async def test_rebuilt_counters_are_the_same(store: Store, place: Place) -> None:
    """Of everything that was written, and of what is in the stream only."""
    today = int(time.time()) // 86_400
    parts = [[event(n + 10 * p, today - 9 * (n % 3), user=bytes([n % 7]) * 8) for n in range(10)] for p in range(3)]
    for number, part in enumerate(parts):
        await put(store, part, 10 * number)
        await put(store, part[:4], 10 * number)
        if number < 2:
            await step(store, place, Telemetry())
    await Consumer(store, "worker").step()
    async for raw in store.redis.scan_iter(match=f"{keys.PREFIX}:??:*"):
        await store.redis.delete(raw)
    weeks = await rebuild(store, place.open())
    assert (sum(week.events for week in weeks), {week.replaced for week in weeks}) == (30, {True})
    sums = count([each for part in parts for each in part], time.time())
    for bucket, rows in sums.counts.items():
        for name, row in rows.items():
            found = await store.redis.hgetall(keys.row(*bucket, name))
            assert {f.decode(): loaded(v) for f, v in found.items() if f not in NO_COUNTERS} == row, (bucket, name)
    for bucket, people in sums.users.items():
        for name, users in people.items():
            assert await store.redis.pfcount(keys.row(*bucket, name)) == len(users)


async def test_a_step_that_ends_during_a_rebuild_counts_once(
    store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer was in the middle of a stretch when the rebuild took its lease."""
    today = int(time.time()) // 86_400
    for number in range(2):
        await put(store, [event(n, today) for n in range(5 * number, 5 * number + 5)], 5 * number)
    await step(store, place, Telemetry())
    await put(store, [event(10, today)], 10)
    history, opened, more = place.open(), place.open(), [event(10, today)]
    real, last = history.events, history.progress()
    upto = (await store.redis.xrevrange(keys.EVENTS, count=1))[0][0].decode()

    def events(*days: int) -> Any:
        yield from real(*days)
        lines = batch(0, more).lines
        opened.append(
            Batch(after=last.position, upto=upto, rows=1, lines=lines, writers={"w": (11, int(time.time() * 1000))})
        )

    monkeypatch.setattr(history, "events", events)
    [week] = [week for week in await rebuild(store, history) if week.events]
    assert week.events == 11


async def test_days_are_kept_as_long_as_is_said(store: Store, place: Place) -> None:
    """ClickHouse removes rows when it merges (time to live), the old server whole months."""
    today = int(time.time() // 86_400) + 2
    await put(store, [event(0, today - 70), event(1, today - 2), event(2, today)], 0)
    for days in (0, 2):
        await step(store, place, Telemetry(), days)
        await put(store, [event(3 + days, today)], 3)
    if place.kind == "chdb":
        for _ in range(2):
            place.run("OPTIMIZE TABLE event_rows FINAL")
    assert place.open().event_days() == [today - 2, today]


async def trouble(store: Store, history: Writable) -> str:
    """The text of the log line of a step that fails; the failure is counted."""
    telemetry, lines = Telemetry(), []
    sink = HistorySink(history)
    await store.redis.delete(keys.history_lease(sink.name))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gateway.analytics.history.writer.log.error", lambda text, **more: lines.append(more["error"]))
        await HistoryWriter(store, sink, "worker", telemetry).write_history()
    assert f'tokenway_history_errors_total{{sink="{sink.name}"}} 1.0' in telemetry.scrape()[0].decode()
    [line] = lines
    return str(line)


TROUBLES = (
    ("s3", "down", "EndpointConnectionError"),
    ("s3", "bucket", "the bucket does not exist"),
    ("s3", "key", "InvalidAccessKeyId: the access key is unknown"),
    ("clickhouse", "down", "ConnectError"),
    ("clickhouse", "database", "code 81: Database nobody doesn't exist"),
    ("clickhouse", "key", "code 193: Wrong password for user default"),
    ("chdb", "database", "code 81: Database nobody does not exist"),
)


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [pytest.param(*row, marks=pytest.mark.xdist_group(f"history_{row[0]}")) for row in TROUBLES],
)
async def test_trouble_is_named_and_loses_nothing(
    store: Store, tmp_path: Path, servers: Any, caplog: pytest.LogCaptureFixture, kind: str, wrong: str, says: str
) -> None:
    """Nobody answers, a wrong key, no such bucket or database: the step does not raise; later everything is written. No secret is logged."""
    caplog.set_level(logging.DEBUG)
    place = Place(kind, tmp_path, servers)
    await put(store, [event(n) for n in range(5)], 0)
    closed = f"127.0.0.1:{free_port()}"
    if kind == "s3":
        url = {
            "down": f"s3://books/x?endpoint=http://{closed}",
            "bucket": place.server.url("nobody"),
            "key": place.url,
        }[wrong]
        if wrong == "key":
            place.server.knows_keys()
        history: Writable = BucketArchive(objects(url), tmp_path / "elsewhere")
    else:
        at = {
            "down": f"http://u:{PASSWORD}@{closed}/p",
            "database": f"{place.server}/nobody",
            "key": place.url.replace(PASSWORD, "s3cret-wrong"),
        }
        history = ClickHouse(at[wrong])
        place._opened.append(history)
    try:
        text = await trouble(store, history)
    finally:
        if kind == "s3":
            httpx.post(f"{place.server.endpoint}/moto-api/reset-auth", content="inf")
    assert says in text, text
    assert not [line for line in [text, caplog.text] if "s3cret" in line]
    await step(store, place, Telemetry())
    assert by_prompt(read(place.open())) == [event(n) for n in range(5)]
    place.close()


@pytest.mark.xdist_group("history_s3")
def test_an_object_that_was_cut_is_named(bucket: Place) -> None:
    """Half of a piece, or of a day: when it is read or folded; nothing is deleted, and with the whole object everything is there."""
    history = bucket.open()
    history.append(batch(0, [event(n) for n in range(500)]))
    history.fold()
    history.append(batch(500, [event(n) for n in range(500, 900)]))
    prefix = Address.of(bucket.url).prefix.strip("/")
    for key in ("events/pieces/500-0.parquet", "events/dt=2025-11-30/bucket-00.parquet"):
        url = bucket.server.path(key, prefix)
        whole = httpx.get(url, headers={"authorization": "AWS key:x"}).content
        assert whole[:4] == b"PAR1"
        httpx.put(url, content=whole[: len(whole) // 2], headers={"authorization": "AWS key:x"}).raise_for_status()
        for attempt in (lambda: read(bucket.open()), bucket.open().fold):
            with pytest.raises(DamagedFile, match=f"s3://books/{prefix}/{key}"):
                attempt()
        httpx.put(url, content=whole, headers={"authorization": "AWS key:x"}).raise_for_status()
    assert bucket.open().count() == 900
    assert bucket.open().fold() == 1
    assert by_prompt(read(bucket.open())) == [event(n) for n in range(900)]


@pytest.mark.xdist_group("history_s3")
def test_of_two_that_fold_at_once_one_is_refused(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has written the day meanwhile, with a piece more: that piece is not lost."""
    bucket.open().append(BATCHES[0])
    real, others = objects(bucket.url), []

    def meanwhile(call: Callable[[], Any]) -> Any:
        if len(others) == 3:  # pieces and days were copied
            bucket.open().append(BATCHES[1])
            bucket.open().fold()
        others.append(call)
        return call()

    slow: Any = FaultyObjects(real, meanwhile)
    with contextlib.suppress(HistoryError):
        BucketArchive(slow, bucket._folder / "other").fold()
    assert len(others) > 3
    assert by_prompt(read(bucket.open())) == [*PARTS[0], *PARTS[1]]


@pytest.mark.xdist_group("history_s3")
def test_a_store_that_ignores_conditions_is_refused(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that does not know the headers: the request is made without them."""
    url = bucket.url + "&region=elsewhere-1"
    client = objects(url)._opened()  # type: ignore[attr-defined]
    client.meta.events.register(
        "before-send.s3.PutObject",
        lambda request, **_: [request.headers.pop(name, None) for name in ("If-None-Match", "If-Match")] and None,
    )
    with pytest.raises(HistoryError, match="does not honour conditional writes"):
        BucketArchive(objects(url), bucket._folder / "copies").append(BATCHES[0])


@pytest.fixture(params=kinds("clickhouse", "chdb"))
def clickhouse(request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], Any]) -> Iterator[Place]:
    made = Place(request.param, tmp_path, servers)
    yield made
    made.close()


def test_of_two_attempts_at_one_stretch_the_first_counts(clickhouse: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either was there: by a token on a new server, by its time on an old one."""
    clickhouse.open().append(BATCHES[0])
    real, looked = ClickHouse._kept, []

    def late(self: ClickHouse, which: str) -> Progress | None:
        looked.append(which)
        return None if len(looked) == 1 else real(self, which)

    monkeypatch.setattr(ClickHouse, "_kept", late)
    if clickhouse.kind == "clickhouse":
        time.sleep(1.1)  # its clock has seconds
    assert clickhouse.open().append(batch(0, [*PARTS[0], *PARTS[1]])).position == "2-0"
    assert by_prompt(read(clickhouse.open())) == PARTS[0]


def test_tables_of_an_earlier_version_get_what_they_lack(clickhouse: Place) -> None:
    """Columns, and the view with them; rows of before have the defaults."""
    clickhouse.open().append(BATCHES[0])
    clickhouse.run("DROP TABLE events")
    clickhouse.run("ALTER TABLE event_rows DROP COLUMN app_name")
    clickhouse.open().append(BATCHES[1])
    events = by_prompt(read(clickhouse.open()))
    assert [each.app_name for each in events] == ["", "", *[each.app_name for each in PARTS[1]]]
    server = ClickHouseServer(clickhouse.url)
    found = server.rows("SELECT model, provider, app_name FROM events ORDER BY prompt DESC LIMIT 1", list[str])
    server.close()
    assert found == [['acme/it\'s "fast"', "acme", "~ünï 💥"]]
