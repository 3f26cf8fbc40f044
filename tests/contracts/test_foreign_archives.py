"""An archive belongs to the books of one store, and what was lost with an older copy of it is read by nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.source import Batch
from gateway.books.archive import BookArchive, mark
from gateway.books.reading import Books
from gateway.books.rows import JOURNAL, RECORDS, line
from gateway.books.whole_audit import audit_archive
from gateway.errors import LedgerUnavailable
from gateway.ledger import Entry
from gateway.ledger.closing import Sums, digest_after
from gateway.store import keys
from gateway.store.objects import objects
from gateway.telemetry import Telemetry
from tests.support.books import DAY_S, Past
from tests.support.objectstore import object_store

pytest.importorskip("duckdb", reason="the archive needs the extra analytics")
HOUR_MS = 3_600_000


@pytest.fixture(params=["directory", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookArchive]:
    if request.param == "directory":
        yield BookArchive(Archive(tmp_path, JOURNAL), Archive(tmp_path, RECORDS))
        return
    with object_store() as server:
        bucket = objects(server.url())
        yield BookArchive(*(BucketArchive(bucket, tmp_path / "copies", dataset) for dataset in (JOURNAL, RECORDS)))


@pytest.fixture
async def past(store: Any, ledger: Any, accounts: Any, archive: BookArchive) -> Past:
    found = Past(store, ledger, accounts, archive)
    await found.open("default")
    return found


async def another_store(past: Past) -> None:
    """A new one, which has the organisation ``default`` as every store has."""
    await past.store.redis.flushdb()
    await past.accounts.prepare()
    await past.open("default")
    await past.requests("default", 10)


async def test_a_store_beside_the_archive_of_another(past: Past) -> None:
    """Nothing is closed into it, and the error says why."""
    await past.requests("default", 30)
    await past.closer().close_books()
    await another_store(past)
    lines, telemetry = await past.lines("default"), Telemetry()
    await past.closer(telemetry=telemetry).close_books()
    assert telemetry.closing_errors._value.get() == 1
    assert await past.lines("default", past.books()) == await past.lines("default") == lines


async def test_two_stores_share_an_archive(past: Past) -> None:
    """The second one writes nothing there; the first one reads its own lines, and closes more of them."""
    await past.requests("default", 30)
    await past.closer().close_books()
    mine, policy = await past.lines("default", past.books()), past.policies["default"]

    async def the_other_one() -> None:
        await another_store(past)
        await past.closer().close_books()

    await past.put_an_older_copy_in_its_place(the_other_one)
    past.policies["default"] = policy
    assert await past.lines("default", past.books()) == mine
    await past.requests("default", 3)
    await past.store.redis.delete(keys.CLOSING_LEASE)
    await past.closer().close_books()
    assert await past.store.redis.xlen(keys.journal("default")) == 0
    found = await audit_archive(past.ledger, past.archive.journal, keeps_all=True)
    assert (found.differences, found.replaced) == ([], 0)


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
async def test_the_archive_of_another_is_not_read(past: Past, tmp_path: Path) -> None:
    """By a process whose settings name the wrong directory: not a line, and the audit says whose it is."""
    await past.requests("default", 5)
    await past.closer().close_books()
    own = BookArchive(Archive(tmp_path / "own", JOURNAL), Archive(tmp_path / "own", RECORDS))

    async def the_other_one() -> None:
        await another_store(past)
        await past.closer(archive=own).close_books()

    await past.put_an_older_copy_in_its_place(the_other_one)
    assert own.journal.exists()
    with pytest.raises(LedgerUnavailable):
        await Books(past.ledger, own, close_after_s=DAY_S).journal("default")
    found = await audit_archive(past.ledger, own.journal, keeps_all=True)
    assert ["belongs to the books of another store" in each.detail for each in found.differences] == [True]


def chain(before: Sequence[tuple[Entry, str]], first_ms: int, count: int, cost: int) -> list[tuple[Entry, str]]:
    """So many lines more behind others, one an hour, with their digests."""
    found = list(before)
    for seq in range(len(before) + 1, len(before) + count + 1):
        at_ms = first_ms + (seq - len(before) - 1) * HOUR_MS
        balance = (found[-1][0].balance_nano if found else 0) - cost
        values: dict[str, Any] = {"cursor": f"{at_ms}-0", "time": at_ms / 1000, "type": "settled", "seq": seq}
        values |= {"org": "default", "key_hash": "k", "generation_id": f"gen-{at_ms // 1000:010}-{cost:020}"}
        values |= {"part": None, "provider": "p", "actor": None, "reason": None, "balance_nano": balance}
        each = Entry(**values, cost_nano=cost, fee_nano=0, user_nano=cost, loss_nano=0)
        found.append((each, digest_after(found[-1][1] if found else "", each)))
    return found


@pytest.mark.parametrize("archive", ["directory"], indirect=True)
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("idle_days", [0, 1, 9])
async def test_what_was_lost_with_an_older_copy(past: Past, folded: bool, idle_days: int) -> None:
    """Lines of three days that nobody has any more, and the lines of other days that came instead of them: those are read."""
    journal, redis, books = past.archive.journal, past.store.redis, await past.ledger.books()
    start = int(time.time() // DAY_S - 20) * DAY_S * 1000
    common = chain([], start, 5, 10)
    lost = chain(common, start + 5 * HOUR_MS, 60, 11)
    alive = chain(common, start + (3 + idle_days) * DAY_S * 1000, 60, 12)

    async def close(lines: Sequence[tuple[Entry, str]], upto: str, closed: Sequence[tuple[Entry, str]]) -> None:
        rows = msgspec.json.Encoder().encode_lines([line(*each) for each in lines])
        batch = Batch(after=journal.progress().position, upto=upto, rows=len(lines), lines=rows, writers=mark(books))
        assert journal.append(batch).position == upto
        sums = Sums("default")
        for each, _ in closed:
            sums.add(each)
        closing: dict[str, Any] = {
            "seq": sums.seq,
            "cur": sums.cursor,
            "dig": closed[-1][1],
            "bal": sums.balance,
            "used": sums.used,
        }
        closing |= {"gr": 0, "cost": sums.cost, "fee": 0, "loss": 0, "p:p": sums.cost}
        await redis.hset(keys.closing("default"), mapping=cast("Any", closing))
        await redis.set(keys.CLOSED_UPTO, upto)

    await redis.delete(keys.journal("default"))
    await close(common, "1-1", common)
    older = await redis.hgetall(keys.closing("default"))
    await close(lost[5:], "2-2", lost)
    if folded:
        journal.fold()
    await redis.hset(keys.closing("default"), mapping=cast("Any", older))  # the copy of the store that is put in place
    await redis.set(keys.CLOSED_UPTO, "1-1")
    await past.closer().close_books()
    assert [each for each, _ in common] == await past.lines("default", past.books())
    await close(alive[5:], "3-3", alive)
    expected = [each for each, _ in alive]
    for limit in (7, 1000):
        for newest_first in (False, True):
            found: list[Entry] = []
            cursor: str | None = None
            while cursor is not None or not found:
                page, cursor = await past.books().journal(
                    "default", after=cursor, limit=limit, newest_first=newest_first
                )
                found += page
            assert found == (expected[::-1] if newest_first else expected)
    audit = await audit_archive(past.ledger, journal, keeps_all=True)
    assert audit.replaced == len(lost) - len(common)
