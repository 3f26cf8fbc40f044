"""Settings and URLs of the history: what is written where, what is read, and what is refused without showing a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.analytics.history.locations import history_of, sinks_of
from gateway.settings import Settings
from gateway.store.objects import objects

pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3:///prefix", "must be s3://"),
        ("http://bucket/", "must be s3://"),
        ("s3://key:secret@bucket/", "must not have credentials"),
        ("s3://bucket/?endpont=http://x", "unknown option endpont"),
        ("s3://bucket/?endpoint=x:9000", "endpoint that is not http"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        objects(url)
    assert "secret@" not in str(raised.value)


@pytest.mark.parametrize(
    ("set", "written", "read_from"),
    [
        ({}, ["directory"], "directory"),
        ({"history_url": "s3://books/x"}, ["s3"], "s3"),
        ({"history_clickhouse_url": "http://u:p@h:1/d"}, ["directory", "clickhouse"], "directory"),
        ({"history_clickhouse_url": "https://u:p%40@[::1]/d", "history": False}, ["clickhouse"], "clickhouse"),
        ({"history": False}, [], "directory"),
    ],
)
def test_settings_say_where_it_is(tmp_path: Path, set: dict[str, Any], written: list[str], read_from: str) -> None:
    settings = Settings(data_dir=tmp_path, **set)
    assert [sink.name for sink in sinks_of(settings)] == written
    history = history_of(settings)
    assert history.sink == read_from
    assert "p" not in history.name.partition("://")[2] or read_from == "directory"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history_url", "s3://key:s3cret@bucket/x"),
        ("history_url", "gs://bucket/x"),
        ("history_clickhouse_url", "http://u:s3cret@host:8123"),
        ("history_clickhouse_url", "clickhouse://u:s3cret@host/d"),
        ("history_clickhouse_url", "http://u:s3cret@host/d?x=y"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, name: str, value: str) -> None:
    """At the start, without the value, which may have a password."""
    with pytest.raises(ValidationError) as raised:
        Settings(data_dir=tmp_path, **{name: value})  # type: ignore[arg-type]
    assert name in str(raised.value)
    assert "s3cret" not in str(raised.value)
