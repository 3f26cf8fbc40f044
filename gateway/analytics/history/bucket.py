"""The files of the history as objects in a bucket: the layout of ``archive.py``, and the same rule of what counts.

Each step works on a local copy of the objects that it needs, with ``Archive``: so a piece is checked before it is sent, and a fold
is the fold of a directory, whose changed files are then stored one by one, those of days first, then the position, and at the
end the pieces are deleted. Every write is conditional on what was copied, so of two processes that fold one is refused before it
deletes anything; a piece is never overwritten, so a stretch is kept once, whoever tries. A process may die after each call, and a
call may come twice: the metadata of the files decide, as in a directory.

There is no lock. A reader copies pieces before days: what a fold deletes meanwhile is in the files of its days by then. Copies are
kept for a day of not being used, under a name with their etag. It must not know: S3, which is behind ``Objects``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.analytics.buckets import day_of
from gateway.analytics.history.archive import POSITION, Archive, is_due
from gateway.analytics.history.parquet import DamagedFile, HistoryError
from gateway.analytics.history.schema import EVENTS, Dataset, order
from gateway.analytics.history.source import Batch, FileHistory, Progress
from gateway.store.objects import Changed, Missing, ObjectError, Objects, Stored

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

COPIES_KEPT_S = 86_400
_SCRATCH = "step-"


class BucketArchive(FileHistory):
    """The files of one dataset in a bucket. ``copies``: a local directory, made when it is needed. ``threads``: of DuckDB."""

    sink = "s3"

    def __init__(self, objects: Objects, copies: Path, dataset: Dataset = EVENTS, *, threads: int = 1) -> None:
        self.dataset = dataset
        self._objects, self._threads = objects, threads
        self._copies = copies / hashlib.sha256(repr(objects.address).encode()).hexdigest()[:16]
        self._pieces = f"{dataset.name}/pieces/"
        self._days = f"{dataset.name}/dt="
        self._position = f"{dataset.name}/{POSITION}"

    @property
    def name(self) -> str:
        """The URL, without its options."""
        return str(self._objects.address)

    def exists(self) -> bool:
        """Whether there is an object of the dataset."""
        with self._errors():
            return bool(self._objects.list(f"{self.dataset.name}/"))

    def progress(self) -> Progress:
        """Where the last piece ends, else the last fold."""
        with self._step() as local:
            self._copy(local, self._listed_pieces()[-1:])
            self._copy(local, self._objects.list(self._position))  # has the piece, if it has been folded meanwhile
            return local.progress()

    def append(self, batch: Batch) -> Progress:
        """Store a piece, which is durable, and was read back, when this returns. Of one that is there already: where it ends."""
        with self._step() as local:
            progress = local.append(batch)
            key = f"{self._pieces}{batch.after}.parquet"
            try:
                self._objects.put(key, local.directory / key)
            except Changed:
                self._objects.fetch(key, local.directory / key)
                return local.progress()
            return progress

    def is_due(self, now: float) -> bool:
        """Whether it is time to fold. ``now``: unix seconds."""
        with self._errors():
            return is_due([each.modified for each in self._objects.list(self._pieces)], now)

    def fold(self, advance: Callable[[int], object] = lambda rows: None) -> int:
        """Put the rows of the pieces into the files of their days; how many files were written.

        Raises HistoryError; nothing is lost by it, also where another process folds.
        """
        with self._step() as local:
            pieces = self._copy(local, self._listed_pieces())
            if not pieces:
                return 0
            days = local.piece_days()
            listed = [each for each in self._objects.list(self._days) if self._day(each) in days]
            held = self._copy(local, [*listed, *self._objects.list(self._position)])
            before = {path: path.stat().st_ino for path in local.directory.glob(f"{self._days}*/*.parquet")}
            written = local.fold(advance)
            for path in sorted(local.directory.glob(f"{self._days}*/*.parquet")):
                if path.stat().st_ino != before.get(path):
                    self._put(local, path, held)
            self._put(local, local.directory / self._position, held)
            self._objects.delete(pieces)
            return written

    def remove_days_before(self, day: int) -> list[int]:
        """Remove the files of days before this one; those days."""
        with self._errors():
            old = [each for each in self._objects.list(self._days) if self._day(each) < day]
            self._objects.delete([each.key for each in old])
            return sorted({self._day(each) for each in old})

    def piece_days(self) -> list[int]:
        """The days of which pieces have rows."""
        with self._step() as local:
            self._copy(local, self._listed_pieces())
            return local.piece_days()

    def event_days(self) -> list[int]:
        """The days that have rows, in their order."""
        with self._step() as local:
            self._copy(local, self._listed_pieces())
            return sorted({*map(self._day, self._objects.list(self._days)), *local.piece_days()})

    @contextmanager
    def reading(self, first: int | None = None, last: int | None = None) -> Iterator[Connection]:
        """A DuckDB with the view ``events`` over copies of the files of these days."""
        with self._step() as local:
            self._copy_rows(local, first, last)
            with local.reading(first, last) as opened:
                yield opened

    def check(self) -> Iterator[DamagedFile]:
        """Read every file whole; those that are damaged."""
        with self._step() as local:
            self._copy_rows(local, None, None)
            for error in local.check():
                yield self._renamed(error, local.directory)

    def _copy_rows(self, local: Archive, first: int | None, last: int | None) -> None:
        pieces = self._copy(local, self._listed_pieces())
        days = self._objects.list(self._days)  # after the pieces
        if not pieces and not days:
            raise HistoryError(f"there is no history in {self.name}")
        begin, end = (-(10**6) if first is None else first), (10**6 if last is None else last)
        self._copy(local, [each for each in days if begin <= self._day(each) <= end])

    def _listed_pieces(self) -> list[Stored]:
        """In the order of their stretches."""
        found = [each for each in self._objects.list(self._pieces) if each.key.endswith(".parquet")]
        return sorted(found, key=lambda each: order(Path(each.key).stem))

    def _day(self, each: Stored) -> int:
        text = each.key.removeprefix(self._days).partition("/")[0]
        try:
            return day_of(date.fromisoformat(text))
        except ValueError:
            raise HistoryError(f"{self.name}/{each.key}: {text} is not a day") from None

    def _put(self, local: Archive, path: Path, held: dict[str, str]) -> None:
        key = path.relative_to(local.directory).as_posix()
        self._objects.put(key, path, replaces=held.get(key))

    def _copy(self, local: Archive, listed: Sequence[Stored]) -> dict[str, str]:
        """Put objects into the local directory, without those that have been deleted meanwhile; key → etag."""
        held = {}
        for each in listed:
            path = local.directory / each.key
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(Missing):
                held[each.key] = self._copy_one(each, path)
        return held

    def _copy_one(self, each: Stored, path: Path) -> str:
        kept = self._kept(each.key, each.etag)
        with suppress(FileNotFoundError):
            os.link(kept, path)
            os.utime(kept)
            return each.etag
        etag = self._objects.fetch(each.key, path)
        with suppress(FileExistsError):
            os.link(path, self._kept(each.key, etag))
        return etag

    def _kept(self, key: str, etag: str) -> Path:
        return self._copies / (hashlib.sha256(f"{key} {etag}".encode()).hexdigest()[:32] + Path(key).suffix)

    @contextmanager
    def _step(self) -> Iterator[Archive]:
        """An empty local archive, for one step; it is gone afterwards."""
        self._copies.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._copies) as name:
            directory = Path(name)
            (directory / self.dataset.name).mkdir()
            with self._errors(directory):
                yield Archive(directory, self.dataset, threads=self._threads)
        self._forget(time.time() - COPIES_KEPT_S)

    def _forget(self, before: float) -> None:
        """Remove copies that nobody has used since, and what killed processes have left."""
        for path in self._copies.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    if path.name.startswith(_SCRATCH):
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()

    @contextmanager
    def _errors(self, directory: Path | None = None) -> Iterator[None]:
        """Errors of the store as those of a history, and objects named instead of their copies."""
        try:
            yield
        except ObjectError as error:
            raise HistoryError(str(error)) from error
        except DamagedFile as error:
            raise self._renamed(error, directory) from error
        except HistoryError as error:
            raise HistoryError(str(error).replace(str(directory), self.name)) from error

    def _renamed(self, error: DamagedFile, directory: Path | None) -> DamagedFile:
        return DamagedFile(
            str(error.path).replace(str(directory), self.name), error.why.replace(str(directory), self.name)
        )
