"""The audit of everything: every line in the archive, organisation by organisation, and what the store says of them.

It finds a file that is damaged or missing, a line that was changed, taken out or put in, a charge that was made twice however
long ago, and a closing in the store that says something else than the lines do. What came after the closings is for
``Ledger.audit``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from gateway.analytics.buckets import iso_day
from gateway.analytics.history.parquet import DamagedFile, HistoryError
from gateway.analytics.history.sinks import in_thread
from gateway.books.archive import Files, own_progress
from gateway.books.rows import JOURNAL, LINE_COLUMNS, at_ms, entry
from gateway.ledger.charged_once import ChargedOnce
from gateway.ledger.closing import Closing, Sums, digest_after
from gateway.ledger.entries import Difference, Entry
from gateway.ledger.ledger import Ledger

ROWS_AT_ONCE = 4_096
LIVE_AT_ONCE = 250
NEVER_MS = 10**15
MISSING_DAYS_MAX = 10
"""Days without a file that are listed, where lines are missing."""
DAY_MS = 86_400_000
Advance = Callable[[int], object]


@dataclass
class WholeAudit:
    """``lines`` were read of the archive. ``replaced``: lines of a store in whose place an older copy was put."""

    lines: int = 0
    replaced: int = 0
    differences: list[Difference] = field(default_factory=list)


class _Book:
    """The lines of one organisation up to its closing, as they are read."""

    def __init__(self, org: str, closing: Closing, *, may_begin: bool) -> None:
        """``may_begin``: the oldest lines are not kept, so the first one that there is need not be the first."""
        self.sums, self.closing, self._may_begin = Sums(org), closing, may_begin
        self.digest, self.last = "", cast("Entry | None", None)
        self.partial = False
        """Lines are missing, so nothing can be compared that is a sum of all."""
        self._gaps: list[tuple[int, int, int, int]] = []
        """First and last line that are missing, days of the lines around them."""

    def add(self, line: Entry, digest: str) -> None:
        """One more line, and the digest that was archived with it."""
        sums = self.sums
        if line.seq != sums.seq + 1:
            if self.last is not None or not self._may_begin:
                self._gaps.append((sums.seq + 1, line.seq - 1, self._last_day, _day(line)))
            self.partial = True
            sums.seq, sums.balance = line.seq - 1, line.balance_nano + line.user_nano
        elif (expected := digest_after(self.digest, line)) != digest:
            sums.differ("digest", f"line {line.seq} ({line.generation_id}) of {iso_day(_day(line))}", expected, digest)
        sums.add(line)
        self.digest, self.last = digest, line

    @property
    def _last_day(self) -> int:
        return 0 if self.last is None else _day(self.last)

    def finish(self, days: Sequence[int]) -> None:
        """Compare with the closing. ``days``: those that have files."""
        sums, closing = self.sums, self.closing
        if sums.seq < closing.seq:
            self._gaps.append((sums.seq + 1, closing.seq, self._last_day, at_ms(closing.cursor) // DAY_MS))
            self.partial = True
        else:
            found = sums.closing(self.digest)
            names = ("digest", "balance_nano") if self.partial else Closing.__struct_fields__
            for name in names:
                sums.differ("closing", f"{name} of line {closing.seq}", getattr(found, name), getattr(closing, name))
        for first, last, since, until in self._gaps:
            sums.differ("line", missing(first, last, since, until, days), "in the archive", None)


def missing(first: int, last: int, since: int, until: int, days: Sequence[int]) -> str:
    """Which lines there are none of, and which files could have them: of days from ``since`` to ``until`` without a file."""
    lines = f"line {first} is" if first == last else f"lines {first} to {last} are"
    there = set(days)
    without = [day for day in range(max(since, until - 366), until + 1) if day not in there]
    if not 0 < len(without) <= MISSING_DAYS_MAX:
        return f"{lines} missing in the files until {iso_day(until)}"
    return f"{lines} missing; there is no file of {', '.join(map(iso_day, without))}"


async def audit_archive(
    ledger: Ledger, files: Files, *, keeps_all: bool, advance: Advance = lambda lines: None
) -> WholeAudit:
    """``keeps_all``: no day was removed for its age. ``advance`` is called with the number of lines that were read.

    Raises LedgerUnavailable, HistoryError.
    """
    audit, books = WholeAudit(), dict[str, _Book]()
    for org in await ledger.organizations():
        try:
            closing = await ledger.closing(org)
        except ValueError as error:
            audit.differences.append(Difference(org, "closing", "the last closing", "a closing of ours", str(error)))
            continue
        if closing.seq:
            books[org] = _Book(org, closing, may_begin=not keeps_all)
    if books:
        await in_thread(_read, files, await ledger.books(), books, audit, advance)
    for book in books.values():
        if not book.partial:
            await _charged_twice(ledger, files, book)
            await _compare_keys(ledger, book)
        audit.differences += book.sums.differences
    return audit


def _read(files: Files, name: str, books: Mapping[str, _Book], audit: WholeAudit, advance: Advance) -> None:
    """Every line up to the closings. ``name``: whose archive it should be. Blocks."""
    days: list[int] = []
    try:
        if files.exists():
            days = files.event_days()
            own_progress(files, name)
            audit.differences += [_damaged(error) for error in files.check()]
        if days:
            _read_lines(files, books, audit, advance)
    except HistoryError as error:
        if not audit.differences:  # else the check has named it
            audit.differences.append(Difference("", "file", str(error), "readable", None))
        for book in books.values():
            book.partial = True
        return
    for book in books.values():
        book.finish(days)


def _damaged(error: DamagedFile) -> Difference:
    return Difference("", "file", str(error.path), "a whole file", error.why)


def _read_lines(files: Files, books: Mapping[str, _Book], audit: WholeAudit, advance: Advance) -> None:
    query = f"SELECT {LINE_COLUMNS} FROM {JOURNAL.name} ORDER BY org, seq, at_ms DESC"  # noqa: S608 - names of ours
    with files.reading() as opened:
        rows = opened.execute(query)
        while page := rows.fetchmany(ROWS_AT_ONCE):
            for line, digest in map(entry, page):
                book = books.get(line.org)
                if book is None or line.seq > book.closing.seq:
                    continue  # archived, and not yet closed
                if book.last is not None and line.seq == book.last.seq:
                    audit.replaced += digest != book.digest  # else it was written twice
                    continue
                book.add(line, digest)
                audit.lines += 1
            advance(len(page))


async def _compare_keys(ledger: Ledger, book: _Book) -> None:
    sums = book.sums
    closed = await ledger.closed_usage(sums.org, book.closing)
    if closed is None:  # books were closed meanwhile
        return
    for key, amount in closed.items():
        sums.differ("key_used", f"closed usage of key {key}", sums.by_key.pop(key, 0), amount)
    for key, amount in sums.by_key.items():
        sums.differ("key_used", f"closed usage of key {key}, which is not listed", 0, amount)


async def _charged_twice(ledger: Ledger, files: Files, book: _Book) -> None:
    """Charges of an id by more than one line, wherever these are."""
    sums, live, after = book.sums, list[Entry](), book.closing.cursor
    while page := await ledger.lines(sums.org, after, until_ms=NEVER_MS, limit=LIVE_AT_ONCE):
        for line in page:
            sums.charges.add(line)
        live += page
        after = page[-1].cursor
    suspects = sums.charges.suspects()
    if not suspects:
        return
    counts: Counter[tuple[str, bool]] = Counter()
    for line in [*await in_thread(_suspected, files, book, suspects), *live]:
        if (key := ChargedOnce.key(line)) is not None and ChargedOnce.digest(*key) in suspects:
            counts[key] += 1
    for (id, _), count in counts.items():
        sums.differ("twice", f"charges of {id}", 1, count)


def _suspected(files: Files, book: _Book, suspects: set[int]) -> list[Entry]:
    query = f"""SELECT {LINE_COLUMNS} FROM {JOURNAL.name} WHERE org = ? AND seq <= ?
        QUALIFY row_number() OVER (PARTITION BY seq ORDER BY at_ms DESC) = 1"""  # noqa: S608 - names of ours
    found = []
    with files.reading() as opened:
        rows = opened.execute(query, [book.sums.org, book.closing.seq])
        while page := rows.fetchmany(ROWS_AT_ONCE):
            for line, _ in map(entry, page):
                if (key := ChargedOnce.key(line)) is not None and ChargedOnce.digest(*key) in suspects:
                    found.append(line)
    return found


def _day(line: Entry) -> int:
    return at_ms(line.cursor) // DAY_MS
