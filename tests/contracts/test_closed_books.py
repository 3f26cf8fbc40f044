"""Closing the books: whatever dies or happens twice, each line is read once, in its order, wherever it is, and the audits agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.books.archive import BookArchive, book_archive
from gateway.books.reading import REST_MAX_S, RESTING_MAX, WAITING_MAX_OF_ONE, Books
from gateway.books.rows import JOURNAL, RECORDS
from gateway.books.whole_audit import WholeAudit, audit_archive
from gateway.errors import BadRequest, LedgerUnavailable, Unavailable
from gateway.ledger import Hold, Posting, generation_id
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.errors import StoreError
from gateway.store.objects import objects
from gateway.telemetry import Telemetry
from tests.support.books import DAY_S, Dying, Killed, Past, Step
from tests.support.objectstore import object_store, versity_store

pytest.importorskip("duckdb", reason="the archive needs the extra analytics")


@pytest.fixture(params=["directory", "s3", "versitygw"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookArchive]:
    if request.param == "directory":
        yield BookArchive(Archive(tmp_path, JOURNAL), Archive(tmp_path, RECORDS))
        return
    with object_store() if request.param == "s3" else versity_store(tmp_path / "objects") as server:
        bucket = objects(server if isinstance(server, str) else server.url())
        yield BookArchive(*(BucketArchive(bucket, tmp_path / "copies", dataset) for dataset in (JOURNAL, RECORDS)))


@pytest.fixture
async def past(store: Any, ledger: Any, accounts: Any, archive: BookArchive) -> Past:
    found = Past(store, ledger, accounts, archive)
    await found.open("default", "second")
    return found


async def whole(past: Past, *, keeps_all: bool = True) -> WholeAudit:
    return await audit_archive(past.ledger, past.archive.journal, keeps_all=keeps_all)


async def is_clean(past: Past) -> None:
    assert (await past.ledger.audit()).differences == []
    assert (await whole(past)).differences == []


async def pages(books: Books, org: str, limit: int, *, newest_first: bool) -> list[int]:
    """Numbers of all lines, page by page."""
    seqs: list[int] = []
    cursor: str | None = None
    while True:
        page, cursor = await books.journal(org, after=cursor, limit=limit, newest_first=newest_first)
        seqs += [line.seq for line in page]
        assert len(page) == limit or cursor is None
        if cursor is None:
            return seqs


async def test_lines_are_read_across_both(past: Past) -> None:
    """Six hundred lines leave, more come, are left and read: the same lines in every size of page and both orders."""
    (first, second), books = past.policies, past.books()
    await past.requests(first, 450)
    await past.requests(second, 3)
    before = {org: await past.lines(org) for org in past.policies}
    assert await past.lines(first, books) == before[first]
    await past.closer().close_books()
    for org in past.policies:
        assert await past.store.redis.xlen(keys.journal(org)) == 0
        assert await past.lines(org, books) == before[org]
        assert (await past.ledger.closing(org)).seq == len(before[org])
    await is_clean(past)
    await past.requests(first, 9)
    lines = await past.lines(first, books)
    assert lines[: len(before[first])] == before[first]
    seqs = [line.seq for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))
    closed = len(before[first])
    for limit in (1000, closed, closed + 1, 100):
        assert await pages(books, first, limit, newest_first=False) == seqs
        assert await pages(books, first, limit, newest_first=True) == seqs[::-1]
    assert await pages(books, second, 2, newest_first=True) == [line.seq for line in before[second]][::-1]
    await past.closer().close_books()
    assert await past.lines(first, books) == lines
    await is_clean(past)


async def test_a_full_store_closes_its_books(past: Past) -> None:
    """That is what gives memory back: lines and records leave while nothing else may be written."""
    first, books = next(iter(past.policies)), past.books()
    await past.requests(first, 40)
    before = await past.lines(first)
    await past.store.redis.config_set("maxmemory", "1mb")
    try:
        await past.closer().close_books()
        assert await past.store.redis.xlen(keys.journal(first)) == 0
        assert await past.lines(first, books) == before
    finally:
        await past.store.redis.config_set("maxmemory", "0")
    await is_clean(past)


async def test_records_are_found_across_both(past: Past) -> None:
    """By id, with and without the organisation; another organisation's are not there; what cost nothing stays in the store."""
    (first, second), books = past.policies, past.books()
    await past.requests(first, 30)
    found = {id: await past.ledger.record(org, id) for org, id in past.ids}
    assert None not in found.values()
    await past.closer().close_books()
    left = [id for org, id in past.ids if await past.ledger.record(org, id) is not None]
    assert left == []
    for id, record in found.items():
        assert await books.record(first, id) == record
        assert await books.find_record(id) == record
        assert await books.record(second, id) is None
    hold = await past.ledger.hold(generation_id(time.time()), past.policies[first], 10, 60)
    await past.ledger.void(hold, record=b"{}")
    await past.closer().close_books()
    assert (await books.record(first, hold.id)).blob == b"{}"
    assert 0 < await past.store.redis.ttl(keys.record(keys.tag(first), hold.id)) <= DAY_S
    assert await books.record(first, "gen-{l1}:o:default") is None
    assert await books.find_record(generation_id(time.time() - 9 * DAY_S)) is None


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
async def test_it_dies_at_every_step(past: Past) -> None:
    """Before and after each append and each call that lets lines leave: the next process goes on, and nothing is lost or twice."""
    (first, second), books = past.policies, past.books()
    number, survived = 0, False
    while not survived:
        number += 1
        await past.requests(first, 260 if number < 3 else 12)
        await past.requests(second, 2)
        before = {org: await past.lines(org, books) for org in past.policies}
        step = Step(number)
        dying = BookArchive(Dying(past.archive.journal, step, "append"), Dying(past.archive.records, step, "append"))  # type: ignore[arg-type]
        closer = past.closer(archive=dying, ledger=Dying(past.ledger, step, "close"))
        try:
            await closer.close_books()
            survived = step.calls < number
        except Killed:
            pass
        for org, lines in before.items():
            assert await past.lines(org, books) == lines, number
        assert (await past.ledger.audit()).differences == []
        await past.store.redis.delete(keys.CLOSING_LEASE)  # it would be over in two minutes
        await past.closer().close_books()
        for org, lines in before.items():
            assert await past.lines(org, books) == lines, number
            assert await past.store.redis.xlen(keys.journal(org)) == 0, number
        await is_clean(past)
        for org, id in past.ids[-14:]:
            assert await books.record(org, id) is not None, number
    assert number > 8


async def test_two_close_at_once(past: Past) -> None:
    """With and without the lease: each line is there once, and both say that it is done in the end."""
    first = next(iter(past.policies))
    books = past.books()
    for round in range(3):
        await past.requests(first, 40)
        before = await past.lines(first, books)
        closers = [past.closer(role=role) for role in ("gateway", "worker", "worker")]
        await asyncio.gather(*(closer.close_books() for closer in closers))
        assert await past.lines(first, books) == before
        await past.store.redis.delete(keys.CLOSING_LEASE)
        await past.closer().close_books()
        assert await past.store.redis.xlen(keys.journal(first)) == 0, round
        assert await past.lines(first, books) == before
        await past.store.redis.delete(keys.CLOSING_LEASE)
    await is_clean(past)


async def test_what_stays(past: Past, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that are young; everything while the clock jumps; books that do not balance, while others are closed."""
    first, second = past.policies
    await past.requests(first, 5)
    await past.requests(second, 5)
    redis, telemetry = past.store.redis, Telemetry()
    lengths = [await redis.xlen(keys.journal(org)) for org in (first, second)]
    await past.closer(days_later=0.9).close_books()
    begun, jump, passed = time.time() + 2 * DAY_S, [0.0], [0.0]
    jumping = past.closer(clock=lambda: begun + passed[0] + jump[0], monotonic=lambda: passed[0], telemetry=telemetry)
    jump[0] += 3600
    for later in (0, 300, DAY_S - 600):
        passed[0] += later
        await jumping.close_books()
        assert [await redis.xlen(keys.journal(org)) for org in (first, second)] == lengths
    passed[0] += 600
    [_, (cursor, _)] = await redis.xrange(keys.journal(first), count=2)
    await redis.xdel(keys.journal(first), cursor)
    await redis.delete(keys.CLOSING_LEASE)
    await jumping.close_books()
    assert [await redis.xlen(keys.journal(org)) for org in (first, second)] == [lengths[0] - 1, 0]
    assert telemetry.closing_errors._value.get() == 1
    assert {difference.org for difference in (await past.ledger.audit()).differences} == {first}


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
@pytest.mark.parametrize("damage", ["key", "record", "closing", "journal"])
async def test_damage_of_one_keeps_no_other_open(past: Past, damage: str) -> None:
    """A key, a record, a closing or a journal that is not one of ours; nothing is archived again and again for it."""
    first, second = past.policies
    redis, telemetry = past.store.redis, Telemetry()
    await past.requests(first, 5)
    await past.requests(second, 5)
    key = keys.api_key(keys.tag(first), past.policies[first].key_hash)
    place = {
        "key": key,
        "record": keys.record(keys.tag(first), past.ids[0][1]),
        "closing": keys.closing(first),
        "journal": keys.journal(first),
    }[damage]
    await redis.delete(place)
    await redis.set(place, b"junk")
    closer = past.closer(telemetry=telemetry)
    for _ in range(3):
        with suppress(StoreError, LedgerUnavailable):
            await closer.close_books()
        await redis.delete(keys.CLOSING_LEASE)
    assert await redis.xlen(keys.journal(second)) == 0
    rows = past.archive.journal.count()
    with suppress(StoreError, LedgerUnavailable):
        await closer.close_books()
    assert past.archive.journal.count() == rows
    if damage == "record":
        assert await redis.get(place) == b"junk"
        assert await redis.xlen(keys.journal(first)) == 0
    else:
        assert await redis.get(place) == b"junk"


async def test_an_archive_that_cannot_be_written(past: Past, tmp_path: Path) -> None:
    """Nothing leaves; it goes on when there is an archive again."""
    first = next(iter(past.policies))
    await past.requests(first, 3)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    telemetry = Telemetry()
    bad = BookArchive(Archive(blocked / "x", JOURNAL), Archive(blocked / "x", RECORDS))
    await past.closer(archive=bad, telemetry=telemetry).close_books()
    await past.store.redis.delete(keys.CLOSING_LEASE)
    assert telemetry.closing_errors._value.get() == 1
    assert await past.store.redis.xlen(keys.journal(first)) > 0
    await past.closer().close_books()
    assert await past.store.redis.xlen(keys.journal(first)) == 0
    broken = Books(past.ledger, bad, close_after_s=DAY_S)
    with pytest.raises(LedgerUnavailable):
        await broken.journal(first)
    with pytest.raises(LedgerUnavailable, match="needs DuckDB"):
        await Books(past.ledger, None, close_after_s=DAY_S).journal(first)


async def test_another_directory_is_refused(past: Past, tmp_path: Path) -> None:
    """A host whose archive is not the one into which books were closed closes nothing, and says why."""
    first = next(iter(past.policies))
    await past.requests(first, 3)
    await past.closer().close_books()
    await past.requests(first, 3)
    own, telemetry = tmp_path / "own", Telemetry()
    other = BookArchive(Archive(own, JOURNAL), Archive(own, RECORDS))
    await past.closer(archive=other, telemetry=telemetry).close_books()
    assert telemetry.closing_errors._value.get() == 1
    assert await past.store.redis.xlen(keys.journal(first)) > 0
    assert not other.journal.exists()
    await past.store.redis.delete(keys.CLOSING_LEASE)
    await past.closer().close_books()
    await is_clean(past)


@pytest.mark.parametrize(
    ("more", "closes"),
    [
        ({}, True),
        ({"close_books": False}, False),
        ({"redis_url": "redis://here"}, False),
        ({"redis_url": "redis://here", "history_url": "s3://bucket/prefix"}, True),
        ({"redis_url": "redis://here", "history_dir": "/kept"}, True),
        ({"redis_url": "redis://here", "close_books": True}, True),
    ],
)
def test_when_books_are_closed(tmp_path: Path, more: dict[str, Any], closes: bool) -> None:
    """Not into a directory that may go with its container, unless somebody says so."""
    assert Settings(data_dir=tmp_path, config_dir=tmp_path, **more).closes_books is closes


async def test_a_late_settlement_after_a_closing(past: Past) -> None:
    """An expired hold whose line is in the archive is put aside, not charged twice; a repeated settlement is recognised while it may come."""
    first = next(iter(past.policies))
    hold = await past.ledger.hold(generation_id(time.time()), past.policies[first], 1000, 60)
    receipt = await past.ledger.settle(hold, Posting("beta", 900, 45, 945), record=b"{}")
    await past.closer().close_books()
    again = await past.ledger.settle(
        Hold(hold.id, first, hold.key_hash, 0), Posting("beta", 900, 45, 945), record=b"{}"
    )
    assert (again.duplicate, again.paid_nano) == (True, receipt.paid_nano)
    await is_clean(past)


@pytest.mark.parametrize("hours", [-24, 3, 24, 400])
async def test_a_charge_is_repeated_after_the_clock_has_jumped(past: Past, hours: int) -> None:
    """The store has forgotten the ids of those hours, and its lines look old for as long as the clock is wrong: they stay."""
    first, books = next(iter(past.policies)), past.books()
    jump, passed = [0.0], [0.0]
    closer = past.closer(clock=lambda: time.time() + passed[0] + jump[0], monotonic=lambda: passed[0])
    hold = await past.ledger.hold(generation_id(time.time()), past.policies[first], 1000, 60)
    posting = Posting("beta", 900, 45, 945)
    receipt = await past.ledger.settle(hold, posting, record=b"{}")
    lines = await past.lines(first)
    for change in (hours * 3600, 0, 0, -hours * 3600, 0):
        jump[0] += change
        passed[0] += 60
        await closer.close_books()
    await past.store.redis.delete(keys.done(keys.tag(first), keys.hour(hold.id)))
    again = await past.ledger.settle(Hold(hold.id, first, hold.key_hash, 0), posting, record=b"{}")
    assert (again.duplicate, again.paid_nano) == (True, receipt.paid_nano)
    assert await past.lines(first, books) == lines
    await is_clean(past)


async def test_too_many_ask_for_old_lines(past: Past) -> None:
    """An organisation has two places of sixteen; whoever has none is told to come back, and others are served."""
    first, second = past.policies
    await past.requests(first, 3)
    await past.closer().close_books()
    books = past.books()
    answers = await asyncio.gather(
        *(books.journal(first) for _ in range(9)), books.journal(second), return_exceptions=True
    )
    assert sum(isinstance(answer, Unavailable) for answer in answers) == 7
    assert not isinstance(answers[-1], BaseException)
    assert await books.journal(first) == answers[0]


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
async def test_old_records_are_asked_for_in_a_loop(past: Past) -> None:
    """An organisation rests after each query, found or not; others, and the operator, do not rest for it."""
    first, second = past.policies
    await past.requests(first, 3)
    await past.requests(second, 1)
    await past.closer().close_books()
    books, loop = past.books(), asyncio.get_running_loop()
    (_, id), (_, of_second) = past.ids[0], past.ids[-1]
    for asked, is_there in ((id, True), (generation_id(time.time()), False)):
        assert (await books.record(first, asked) is not None) is is_there
        assert loop.time() < books._rests[first] <= loop.time() + REST_MAX_S
    books._rests[first] = loop.time() + 3600
    resting = [asyncio.create_task(books.record(first, id)) for _ in range(WAITING_MAX_OF_ONE)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await books.record(first, id)
    assert await books.record(second, of_second) is not None
    assert await books.find_record(id) is not None
    assert await past.lines(first, books) != []
    assert not any(task.done() for task in resting)
    for task in resting:
        task.cancel()
    await asyncio.gather(*resting, return_exceptions=True)
    assert not books._waiting
    books._rests = {f"org-{number}": 0.0 for number in range(RESTING_MAX)}
    await books.record(first, id)
    assert list(books._rests) == [first]


@pytest.mark.parametrize("cursor", ["0", "x-1", "1-1\r\n", "-", "1-" + "9" * 30, "1' OR 1=1 --"])
async def test_cursors_that_are_none(past: Past, cursor: str) -> None:
    first = next(iter(past.policies))
    await past.requests(first, 3)
    await past.closer().close_books()
    for newest_first in (False, True):
        with pytest.raises(BadRequest):
            await past.books().journal(first, after=cursor, newest_first=newest_first)


async def test_days_that_are_no_longer_kept(past: Past) -> None:
    """Lines and records of removed days are gone; the audit of what is left is clean, and says so when all should be there."""
    first, second = past.policies
    await past.requests(first, 5)
    await past.closer().close_books()
    await past.requests(first, 5)
    await past.closer(days_later=4, record_days=1, journal_days=1).close_books()
    assert past.archive.journal.event_days() in ([], [int(time.time() // DAY_S)])
    with suppress(LedgerUnavailable):
        page, _ = await past.books().journal(first, limit=5)
        assert page == [] or page[0].seq >= 1
    assert second in past.policies


def test_where_it_is(tmp_path: Path) -> None:
    """In the files of the history, or in its bucket."""
    settings = Settings(data_dir=tmp_path, config_dir=tmp_path)
    found = book_archive(settings)
    assert found is not None
    assert found.journal.name == str(tmp_path / "history")
    remote = book_archive(Settings(data_dir=tmp_path, config_dir=tmp_path, history_url="s3://bucket/prefix"))
    assert remote is not None
    assert remote.records.name == "s3://bucket/prefix"


# What somebody did to the archive or the closing, in SQL of the day's table or a field of the hash → what the audit names.
TAMPERED = {
    "a line is cheaper": ("UPDATE t SET paid = paid - 1, balance = balance + 1 WHERE seq = 7", "digest", "line 7 "),
    "another provider": ("UPDATE t SET provider = 'gamma' WHERE seq = 5", "digest", "line 5 "),
    "another time": ("UPDATE t SET cursor = '1-1' WHERE seq = 5", "digest", "line 5 "),
    "a digest": ("UPDATE t SET digest = repeat('0', 32) WHERE seq = 9", "digest", "line 9 "),
    "a line is gone": ("DELETE FROM t WHERE seq = 6", "line", "line 6 is missing"),
    "the first is gone": ("DELETE FROM t WHERE seq < 3", "line", "lines 1 to 2 are missing"),
    "the last is gone": ("DELETE FROM t WHERE seq = (SELECT max(seq) FROM t)", "line", " is missing"),
    "lines of another": ("UPDATE t SET org = 'other' WHERE seq BETWEEN 4 AND 6", "line", "lines 4 to 6 are missing"),
    "the last is changed": ("UPDATE t SET fee = fee + 1 WHERE seq = (SELECT max(seq) FROM t)", "digest", "line "),
    "a charge comes twice": (
        "UPDATE t SET id = (SELECT id FROM t WHERE seq = 3) WHERE seq = 5",
        "twice",
        "charges of gen-",
    ),
    "closing: balance": (("bal", "1"), "closing", "balance_nano"),
    "closing: digest": (("dig", "00"), "closing", "digest"),
    "closing: used": (("used", "1"), "closing", "used_nano"),
    "closing: provider": (("p:beta", "1"), "closing", "cost_by_provider_nano"),
    "closing: junk": (("fee", "x"), "closing", "the last closing"),
}


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
@pytest.mark.parametrize("case", TAMPERED)
async def test_what_the_whole_audit_finds(past: Past, case: str, tmp_path: Path) -> None:
    """A thief of the archive who knows its format, and writes sound files; and one of the store."""
    change, what, detail = TAMPERED[case]
    first = next(iter(past.policies))
    await past.requests(first, 10)
    await past.closer().close_books()
    assert (await whole(past)).differences == []
    if isinstance(change, tuple):
        await past.store.redis.hset(keys.closing(first), *change)
    else:
        rewrite(past.archive.journal, first, change)
    found = (await whole(past)).differences
    assert any(each.what == what and each.org == first and detail in each.detail for each in found), found


def rewrite(files: Any, org: str, sql: str) -> None:
    """Change an organisation's rows, and write the file of the day as the archive would have."""
    [day] = files.event_days()
    files.fold()
    with files.reading() as opened:
        opened.execute(f"CREATE TEMP TABLE t AS SELECT * FROM journal WHERE org = '{org}'")
        opened.execute(f"CREATE TEMP TABLE rest AS SELECT * FROM journal WHERE org <> '{org}'")
        opened.execute(sql)
        files.put_day(opened, "(FROM t UNION ALL FROM rest)", day, files.progress())


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
@pytest.mark.parametrize("fault", ["cut", "gone", "no files"])
async def test_files_that_are_damaged(past: Past, fault: str, tmp_path: Path) -> None:
    """The file is named; of one that is gone, its day."""
    first = next(iter(past.policies))
    await past.requests(first, 10)
    await past.closer().close_books()
    past.archive.journal.fold()
    [file] = (tmp_path / "journal").glob("dt=*/bucket-00.parquet")
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif fault == "gone":
        file.unlink()
        file.parent.rmdir()
    else:
        for path in sorted((tmp_path / "journal").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (tmp_path / "journal").rmdir()
    found = (await whole(past)).differences
    day = file.parent.name.removeprefix("dt=")
    named = {"cut": str(file), "gone": day, "no files": day}[fault]
    assert any(named in each.detail for each in found), found
    with pytest.raises(LedgerUnavailable) if fault != "gone" else nullcontext():
        await past.books().journal(first)


async def test_a_charge_long_after_the_first(past: Past) -> None:
    """An id that was charged in closed books, and again in open ones."""
    first = next(iter(past.policies))
    await past.requests(first, 3)
    await past.closer().close_books()
    _, id = past.ids[0]
    name = keys.done(keys.tag(first), keys.hour(id))
    await past.store.redis.delete(name)
    await past.ledger.settle(Hold(id, first, past.policies[first].key_hash, 0), Posting("beta", 900, 45, 945))
    assert [each.detail for each in (await whole(past)).differences if each.what == "twice"] == [f"charges of {id}"]


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
async def test_an_older_store_is_put_in_place(past: Past) -> None:
    """Lines that only the archive has are counted, are nobody's, and stop nothing; what came instead of them is read."""
    first = next(iter(past.policies))
    await past.requests(first, 5)
    await past.closer().close_books()
    await past.requests(first, 5)

    async def go_on() -> None:
        await past.requests(first, 20)
        await past.closer().close_books()

    await past.put_an_older_copy_in_its_place(go_on)
    await past.requests(first, 12)
    lines = await past.lines(first, past.books())
    for _ in range(2):
        await past.closer().close_books()
        assert await past.lines(first, past.books()) == lines
    assert await past.store.redis.xlen(keys.journal(first)) == 0
    found = await whole(past)
    assert (found.differences, found.replaced > 0) == ([], True)
    assert (await past.ledger.audit()).differences == []
