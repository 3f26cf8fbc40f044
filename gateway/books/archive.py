"""Where closed books are: the files of the history, or its bucket, whichever the settings name.

An archive belongs to the books of one store, and each piece of it says to which. Two stores that shared one, or a new store beside
the archive of an old one, would else write lines of the same numbers there, and read each other's.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import Dataset
from gateway.analytics.history.source import Progress
from gateway.books.rows import JOURNAL, RECORDS
from gateway.settings import Settings
from gateway.store.objects import ObjectError, objects

Files = Archive | BucketArchive


class BookArchive(NamedTuple):
    """The two datasets."""

    journal: Files
    records: Files


def book_archive(settings: Settings) -> BookArchive | None:
    """None without DuckDB. Raises HistoryError for a location that cannot be used."""
    if not parquet.is_available():
        return None
    location = settings.files_location
    return BookArchive(_files(location, settings, JOURNAL), _files(location, settings, RECORDS))


def own_progress(files: Files, books: str) -> Progress:
    """How far it is written by the books of this name. Blocks. Raises HistoryError when it belongs to others."""
    progress = files.progress()
    if progress.writers and books not in progress.writers:
        raise HistoryError(
            f"the {files.dataset.name} in {files.name} belongs to the books of another store; give this one a GATEWAY_HISTORY_DIR "
            "or GATEWAY_HISTORY_URL of its own, or move the folders journal and records away"
        )
    return progress


def mark(books: str) -> dict[str, tuple[int, int]]:
    """What a piece says of whose it is, as the writers of its ``Facts``."""
    return {books: (0, 0)}


def _files(location: str, settings: Settings, dataset: Dataset) -> Files:
    if "://" not in location:
        return Archive(Path(location), dataset)
    try:
        return BucketArchive(objects(location), settings.data_dir / "history-copies", dataset)
    except (ValueError, ObjectError) as error:
        raise HistoryError(f"the URL of the history {error}" if isinstance(error, ValueError) else str(error)) from None
