"""The files of the history in a directory, and which of their rows count.

    events/pieces/<position>.parquet             what was written since the last fold, one file for each stretch of the stream
    events/dt=2026-11-30/bucket-00.parquet       one day (UTC) of the organisations of a bucket
    events/position.json                         how far the stream had been written at the last fold

A piece holds the events of one stretch of the stream, ``(after, upto]``, and is named after its beginning: it takes its name with
a link, which fails when there is one, so a stretch is written once, whoever tries. ``fold`` puts the rows of the pieces into the
files of their days, each by a rename, and removes the pieces at the end. Every file says in its metadata which stretch it holds,
and a row of a piece counts unless the file of its day holds that stretch: so a process may die after each step, and no row is
lost or counts twice.

A fold has the directory's lock alone (``flock``); pieces are added without it. A reader shares the lock while it links what it
will read into a folder of its own, ``events/tmp/reading-...``: then folds go on, and what they replace or remove is there until
the reader has closed it. The folder is locked while it is read; one that is not is left of a process that died. Where no link can
be made, as in a copy that cannot be written to, a reader keeps the lock. Another dataset lies beside ``events`` in the same way. It
must not know: the store.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.analytics.buckets import DAY_MS, day_of, iso_day
from gateway.analytics.history import parquet
from gateway.analytics.history.parquet import DamagedFile, HistoryError
from gateway.analytics.history.schema import EVENTS, START, Dataset, Facts, order
from gateway.analytics.history.source import Batch, FileHistory, Progress
from gateway.store.keys import BUCKETS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

POSITION = "position.json"
PIECES_MAX = 64
"""Pieces are folded when there are so many."""
FOLD_AFTER_S = 15 * 60
"""A day's pieces are folded so long after its end."""
READING = "reading-"
"""How the folders of readers begin."""
LEFTOVER_S = 3600
"""Files of a process that was killed while it wrote are removed when they are so old."""


class Piece(NamedTuple):
    path: Path
    facts: Facts


class _Target(NamedTuple):
    """A file of a day, and the pieces with rows that belong into it."""

    day: int
    bucket: int
    pieces: list[Piece]


class Archive(FileHistory):
    """The files of one dataset. Every method blocks; several processes may use the same directory. ``threads``: of DuckDB."""

    sink = "directory"

    def __init__(self, directory: Path, dataset: Dataset = EVENTS, *, threads: int = 1) -> None:
        self.directory, self.dataset = directory, dataset
        self._folder = directory / dataset.name
        self._pieces = self._folder / "pieces"
        self._temporary = self._folder / "tmp"
        self._position = self._folder / POSITION
        self._database = parquet.database(threads)

    @property
    def name(self) -> str:
        """The directory."""
        return str(self.directory)

    def exists(self) -> bool:
        """Whether something was ever written here."""
        return self._folder.is_dir()

    def progress(self) -> Progress:
        """Where the last piece ends, else the last fold. Raises DamagedFile."""
        folded, names = self._folded(), self._names()
        if not names:
            return folded
        with self._database.connection() as opened:
            last = parquet.facts(opened, names[-1], self.dataset)
        return Progress(last.upto, last.writers) if order(last.upto) > order(folded.position) else folded

    def append(self, batch: Batch) -> Progress:
        """Write a piece. Where its stretch begins there may be one already, whose process died before it could say so: then that
        one stays, and what is returned is where it ends. Raises HistoryError, OSError.
        """
        for folder in (self._pieces, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)
        path = self._pieces / f"{batch.after}.parquet"
        lines = self._temporary / f"{batch.after}-{os.getpid()}.jsonl"
        written = lines.with_suffix(".parquet")
        with self._database.connection() as opened:
            try:
                lines.write_bytes(batch.lines)
                table = parquet.load_lines(opened, self.dataset, lines)
                rows, checksum = parquet.sums(opened, table)
                if rows != batch.rows:
                    raise HistoryError(f"of {batch.rows} events {rows} were read for {path}")
                facts = self._facts(
                    after=batch.after, upto=batch.upto, rows=rows, checksum=checksum, writers=batch.writers
                )
                parquet.write(opened, table, written, facts)
                os.link(written, path)
            except FileExistsError:
                facts = parquet.facts(opened, path, self.dataset)
            finally:
                lines.unlink(missing_ok=True)
                written.unlink(missing_ok=True)
        _sync(self._pieces)
        return Progress(facts.upto, facts.writers)

    def is_due(self, now: float) -> bool:
        """Whether it is time to fold: there are many pieces, or some of yesterday. ``now``: unix seconds."""
        return is_due([path.stat().st_mtime for path in self._names()], now)

    def fold(self, advance: Callable[[int], object] = lambda rows: None) -> int:
        """Put the rows of the pieces into the files of their days; how many files were written. 0 also while another process
        does, or while a reader begins.

        ``advance`` is called with the rows of each file. Raises DamagedFile, HistoryError, OSError; nothing is lost by it.
        """
        if not self.exists():
            return 0
        with ExitStack() as stack:
            if not stack.enter_context(self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB)):
                return 0
            opened = stack.enter_context(self._database.connection())
            pieces = self._listed(opened)
            if not pieces:
                return 0
            for piece in pieces:
                parquet.check(opened, piece.path, piece.facts)
            targets = self._targets(opened, pieces)
            written = 0
            for target in targets:
                rows = self._write_day(opened, target, pieces[-1].facts.upto)
                written += rows > 0
                advance(rows)
            last = pieces[-1].facts
            _replace(self._position, msgspec.json.encode(Progress(last.upto, last.writers)))
            for piece in pieces:
                os.unlink(piece.path)
            self._remove_leftovers()
            return written

    def remove_days_before(self, day: int) -> list[int]:
        """Remove the files of days before this one; those days."""
        removed = [each for each in self.days() if each < day]
        for each in removed:
            shutil.rmtree(self._day(each))
        return removed

    def put_day(self, opened: Connection, relation: str, day: int, progress: Progress) -> int:
        """Write a day of another archive, which had the stream as far as ``progress``, from a relation (SQL after FROM); how many
        rows it has. Raises HistoryError, OSError.
        """
        rows = self._put(opened, relation, self._file(day, 0), after=START, upto=progress.position)
        _replace(self._position, msgspec.json.encode(progress))
        return rows

    def days(self) -> list[int]:
        """The days that have files, in their order."""
        found = []
        for path in self._folder.glob("dt=????-??-??"):
            try:
                found.append(day_of(date.fromisoformat(path.name[3:])))
            except ValueError:
                raise HistoryError(f"{path} is not a day") from None
        return sorted(found)

    def piece_days(self) -> list[int]:
        """The days of which pieces have rows."""
        with self._database.connection() as opened:
            return sorted({day for day, _ in self._places(opened, self._listed(opened))})

    def event_days(self) -> list[int]:
        """The days that have rows, in their order."""
        if not self.exists():
            return []
        with self._locked(fcntl.LOCK_SH), self._database.connection() as opened:
            return sorted({*self.days(), *(day for day, _ in self._places(opened, self._listed(opened)))})

    @contextmanager
    def reading(self, first: int | None = None, last: int | None = None) -> Iterator[Connection]:
        """A DuckDB with the view ``events``, named as the dataset: every column of the dataset, and those it derives; of the days
        from ``first`` to ``last``, both included, as the files are now. Rows of a day are in the order of the stream, or sorted.

        Raises HistoryError; DamagedFile when a file is noticed to be damaged, which may be later, by a query.
        """
        if not self.exists():
            raise HistoryError(f"there is no history in {self._folder}")
        begin, end = (-(10**6) if first is None else first), (10**6 if last is None else last)
        with self._snapshot(begin, end) as frozen, self._database.connection() as opened:
            derived = "".join(f", {sql} AS {name}" for name, sql in self.dataset.derived.items())
            rows = frozen._rows(opened, begin, end)
            opened.execute(f"CREATE TEMP VIEW {self.dataset.name} AS SELECT *{derived} FROM ({rows})")  # noqa: S608
            yield opened

    def check(self, advance: Callable[[Path], object] = lambda path: None) -> Iterator[DamagedFile]:
        """Read every file whole; those that are damaged. ``advance`` is called with each."""
        with self._locked(fcntl.LOCK_SH), self._database.connection() as opened:
            for path in [*self._names(), *(self._day_files(self.days()))]:
                try:
                    parquet.check(opened, path, parquet.facts(opened, path, self.dataset))
                except DamagedFile as error:
                    yield error
                advance(path)

    @contextmanager
    def _snapshot(self, begin: int, end: int) -> Iterator[Archive]:
        """The pieces and the days from ``begin`` to ``end`` as they are now. What it raises names the files themselves."""
        with ExitStack() as stack:
            lock = stack.enter_context(ExitStack())
            lock.enter_context(self._locked(fcntl.LOCK_SH))
            try:
                frozen = stack.enter_context(self._linked(begin, end))
            except OSError:
                frozen = self
            else:
                lock.close()
            try:
                yield frozen
            except DamagedFile as error:
                raise DamagedFile(self._folder / Path(error.path).relative_to(frozen._folder), error.why) from error
            except HistoryError as error:
                raise type(error)(str(error).replace(str(frozen._folder), str(self._folder))) from error

    @contextmanager
    def _linked(self, begin: int, end: int) -> Iterator[Archive]:
        """An archive of links, in a folder that is locked and goes when it is left. Raises OSError where there can be none."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=READING, dir=self._temporary))
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            frozen = Archive(folder, self.dataset)
            frozen._folder.mkdir()
            for path in [*self._names(), *self._day_files([day for day in self.days() if begin <= day <= end])]:
                link = frozen._folder / path.relative_to(self._folder)
                link.parent.mkdir(exist_ok=True)
                os.link(path, link)
            yield frozen
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)

    def _rows(self, opened: Connection, begin: int, end: int) -> str:
        """SQL of the rows that count, of the days from ``begin`` to ``end``."""
        pieces = self._listed(opened)  # before the days: what a fold has removed is in their files
        paths = self._day_files([day for day in self.days() if begin <= day <= end])
        parts = [self.dataset.with_all_columns(parquet.files(paths))] if paths else []
        within = f"at_ms BETWEEN {begin * DAY_MS} AND {(end + 1) * DAY_MS - 1}"
        for piece, places in self._folded_places(opened, pieces).items():
            rest = (
                f"({_DAY}, {self._bucket_of_row}) NOT IN ({', '.join(f'({day}, {bucket})' for day, bucket in places)})"
            )
            parts.append(f"{self.dataset.with_all_columns(parquet.files([piece]))} WHERE {within} AND {rest}")
            pieces = [each for each in pieces if each.path != piece]
        if pieces or not parts:
            relation = parquet.files([piece.path for piece in pieces]) if pieces else "(SELECT 0 AS at_ms WHERE false)"
            parts.append(f"{self.dataset.with_all_columns(relation)} WHERE {within}")
        return " UNION ALL ".join(parts)

    def _folded_places(self, opened: Connection, pieces: Sequence[Piece]) -> dict[Path, list[tuple[int, int]]]:
        """Pieces that a fold which broke off has put into some files already → (day, bucket) of these."""
        found: dict[Path, list[tuple[int, int]]] = {}
        for day, bucket in self._places(opened, pieces):
            upto = order(self._upto(opened, day, bucket))
            for piece in pieces:
                if order(piece.facts.upto) <= upto:
                    found.setdefault(piece.path, []).append((day, bucket))
        return found

    def _targets(self, opened: Connection, pieces: Sequence[Piece]) -> list[_Target]:
        """The files that lack rows of pieces, by day."""
        targets = []
        for day, bucket in self._places(opened, pieces):
            upto = order(self._upto(opened, day, bucket))
            lacking = [piece for piece in pieces if order(piece.facts.upto) > upto]
            if lacking:
                targets.append(_Target(day, bucket, lacking))
        return targets

    def _write_day(self, opened: Connection, target: _Target, upto: str) -> int:
        """Write the file of a day anew, with the rows of pieces; how many rows it has."""
        day, bucket, pieces = target
        path = self._file(day, bucket)
        within = f"{_DAY} = {day} AND {self._bucket_of_row} = {bucket}"
        new = self.dataset.with_all_columns(parquet.files([piece.path for piece in pieces]))
        relation, after = f"{new} WHERE {within}", pieces[0].facts.after
        if path.exists():
            before = parquet.facts(opened, path, self.dataset)
            parquet.check(opened, path, before)
            relation = f"{self.dataset.with_all_columns(parquet.files([path]))} UNION ALL {relation}"
            after = before.after
        return self._put(opened, f"({relation})", path, after=after, upto=upto)

    def _put(self, opened: Connection, relation: str, path: Path, *, after: str, upto: str) -> int:
        """Write the file of a day; how many rows it has."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        rows, checksum = parquet.sums(opened, relation)
        if self.dataset.sorted_by:
            relation = f"(FROM {relation} ORDER BY {self.dataset.sorted_by})"
        written = self._temporary / f"{path.parent.name}-{path.stem}-{os.getpid()}.parquet"
        facts = self._facts(after=after, upto=upto, rows=rows, checksum=checksum)
        parquet.write(opened, relation, written, facts, group_rows=self.dataset.group_rows)
        path.parent.mkdir(exist_ok=True)
        os.replace(written, path)
        _sync(path.parent)
        _sync(self._folder)
        return rows

    def _places(self, opened: Connection, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
        """(day, bucket) of all rows of pieces."""
        if not pieces:
            return []
        relation = parquet.files([piece.path for piece in pieces])
        query = f"SELECT DISTINCT {_DAY}, {self._bucket_of_row} FROM {relation} ORDER BY ALL"  # noqa: S608
        return opened.execute(query).fetchall()

    @property
    def _bucket_of_row(self) -> str:
        """SQL."""
        one = self.dataset.buckets == 1
        return "0" if one else f"{parquet.LEDGER_BUCKET}(org) * {self.dataset.buckets} // {BUCKETS}"

    def _upto(self, opened: Connection, day: int, bucket: int) -> str:
        """How far the file of a day goes."""
        path = self._file(day, bucket)
        return parquet.facts(opened, path, self.dataset).upto if path.exists() else START

    def _listed(self, opened: Connection) -> list[Piece]:
        """The pieces in the order of their stretches. Raises HistoryError when two hold the same."""
        pieces: list[Piece] = []
        for path in self._names():
            piece = Piece(path, parquet.facts(opened, path, self.dataset))
            if pieces and order(piece.facts.after) < order(pieces[-1].facts.upto):
                raise HistoryError(f"{path} and {pieces[-1].path} hold the same part of the stream; remove one of them")
            pieces.append(piece)
        return pieces

    def _names(self) -> list[Path]:
        return sorted(self._pieces.glob("*.parquet"), key=lambda path: order(path.stem))

    def _day(self, day: int) -> Path:
        return self._folder / f"dt={iso_day(day)}"

    def _file(self, day: int, bucket: int) -> Path:
        return self._day(day) / f"bucket-{bucket:02}.parquet"

    def _day_files(self, days: Sequence[int]) -> list[Path]:
        return [path for day in days for path in sorted(self._day(day).glob("bucket-*.parquet"))]

    def _folded(self) -> Progress:
        try:
            return msgspec.json.decode(self._position.read_bytes(), type=Progress)
        except FileNotFoundError:
            return Progress()
        except msgspec.MsgspecError as error:
            raise DamagedFile(self._position, str(error)) from None

    def _facts(self, **values: object) -> Facts:
        return Facts(dataset=self.dataset.name, **values)  # type: ignore[arg-type]

    @contextmanager
    def _locked(self, how: int) -> Iterator[bool]:
        """The directory's lock; False when another process has it and ``how`` says not to wait."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Called with the directory's lock, under which a reader makes and locks its folder."""
        for path in self._temporary.glob("*"):  # there may be no such directory
            if path.is_file() and path.stat().st_mtime < time.time() - LEFTOVER_S:
                path.unlink(missing_ok=True)
            elif path.name.startswith(READING):
                with suppress(OSError):  # BlockingIOError: somebody reads
                    descriptor = os.open(path, os.O_RDONLY)
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(path, ignore_errors=True)
                    finally:
                        os.close(descriptor)


def is_due(written: Sequence[float], now: float) -> bool:
    """Whether pieces that were written then are to be folded: there are many, or some of yesterday. In unix seconds."""
    midnight = (now - FOLD_AFTER_S) // 86_400 * 86_400
    return len(written) >= PIECES_MAX or any(each < midnight for each in written)


_DAY = f"at_ms // {DAY_MS}"
"""SQL."""


def _sync(folder: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync(path.parent)
