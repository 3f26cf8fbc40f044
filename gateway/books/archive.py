"""Where closed books are: the files of the history, or its bucket, whichever the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import Dataset
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


def _files(location: str, settings: Settings, dataset: Dataset) -> Files:
    if "://" not in location:
        return Archive(Path(location), dataset)
    try:
        return BucketArchive(objects(location), settings.data_dir / "history-copies", dataset)
    except (ValueError, ObjectError) as error:
        raise HistoryError(f"the URL of the history {error}" if isinstance(error, ValueError) else str(error)) from None
