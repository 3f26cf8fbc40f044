"""Where a history is, as the settings or a command name it: a directory, ``s3://bucket/prefix``, or the URL of ClickHouse."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.bucket import BucketArchive
from gateway.analytics.history.clickhouse import ClickHouse
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.sinks import HistorySink, Sink, Writable
from gateway.analytics.history.source import History
from gateway.settings import CLICKHOUSE_URL, Settings
from gateway.store.objects import ObjectError, objects


def history_of(settings: Settings, *, threads: int = 1) -> History:
    """The history that this gateway keeps. Raises HistoryError for a location that cannot be used."""
    return history_at(settings.history_location, settings, threads=threads)


def history_at(location: str, settings: Settings, *, threads: int = 1) -> History:
    """The history at a location. ``threads``: of DuckDB. Raises HistoryError for a location that cannot be used."""
    return _writable(location, settings, threads)


def _writable(location: str, settings: Settings, threads: int = 1) -> Writable:
    if location.startswith(("http://", "https://")):
        if not CLICKHOUSE_URL.match(location):
            raise HistoryError("the URL of ClickHouse must be http://user:password@host:8123/database")
        return _clickhouse(location, settings.history_days, threads)
    if "://" not in location:
        return Archive(Path(location), threads=threads)
    try:
        return BucketArchive(objects(location), settings.data_dir / "history-copies", threads=threads)
    except (ValueError, ObjectError) as error:
        raise HistoryError(f"the URL of the history {error}" if isinstance(error, ValueError) else str(error)) from None


def sinks_of(settings: Settings) -> list[Sink]:
    """What the history is written to. Raises HistoryError for a location that cannot be used."""
    if settings.history and settings.history_url and not parquet.is_available():
        raise HistoryError("GATEWAY_HISTORY_URL needs DuckDB: pip install 'tokenway[analytics,aws]'")
    locations = []
    if settings.history and parquet.is_available():
        locations.append(settings.files_location)
    if settings.history_clickhouse_url is not None:
        locations.append(settings.history_clickhouse_url.get_secret_value())
    return [HistorySink(_writable(each, settings), days=settings.history_days) for each in locations]


@cache
def _clickhouse(url: str, days: int, threads: int) -> ClickHouse:
    """One client, which keeps its connection."""
    return ClickHouse(url, days=days, threads=threads)
