"""The export of the history: the same rows in every format, over HTTP and by the command; private columns only when asked for."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from gateway.analytics.buckets import iso_day
from gateway.analytics.event import Event
from gateway.analytics.fields import OWN, numbers
from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.export import MEANING, Export, lines
from gateway.analytics.history.load import load
from gateway.analytics.history.schema import PRIVATE
from gateway.cli import app
from gateway.store import analytics_keys as keys
from gateway.store.embedded import Embedded
from tests.support.history import DAY, batch, event, read
from tests.support.management import Managed, refused

pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")

TODAY = int(time.time()) // 86_400
EVENTS = [event(n, TODAY - n % 2) for n in range(20)]


def filled(directory: Path) -> Archive:
    """A history: the first events in files of days, the last ones in a piece."""
    archive = Archive(directory)
    load(archive, EVENTS[:15])
    archive.append(batch(15, EVENTS[15:]))
    return archive


def test_every_column_is_described() -> None:
    assert {name for name, text in MEANING.items() if text} == set(Event.__struct_fields__)


async def test_over_http(managed: Managed) -> None:
    """CSV, lines of JSON and Parquet have the same events in the same order; dates select; sums by day and week add up."""
    archive = filled(managed.gateway.services.settings.history_directory)
    expected = [each.prompt for each in read(archive)]
    rows: dict[str, list[dict[str, Any]]] = {}
    for kind in ("csv", "jsonl", "parquet"):
        answer = await managed.admin.get("/api/v1/export", params={"format": kind})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="events.{kind}"'
        if kind == "csv":
            rows[kind] = list(csv.DictReader(io.StringIO(answer.text, newline="")))
            assert answer.text.count("\r\n") == 21
        elif kind == "jsonl":
            rows[kind] = [json.loads(line) for line in answer.text.splitlines()]
        else:
            path = managed.gateway.services.settings.data_dir / "answer.parquet"
            path.write_bytes(answer.content)
            with parquet.database().connection() as opened:
                found = opened.execute(f"SELECT * FROM '{path}'")
                names = [each[0] for each in found.description]
                rows[kind] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        assert [int(row["prompt"]) for row in rows[kind]] == expected
        assert not set(PRIVATE) & set(rows[kind][0])
    first = EVENTS[expected[0]]
    for row in (rows["csv"][0], rows["jsonl"][0]):
        assert (row["model"], row["provider"], row["app_name"]) == (first.model, "acme", first.app_name)
        assert row["ts"].endswith("Z")
        assert int(row["charged_nano"]) == first.charged_nano
        assert (
            json.loads(row["tried"])
            if isinstance(row["tried"], str)
            else row["tried"] == [each._asdict() for each in first.tried]
        )
    day = (await managed.admin.get("/api/v1/export", params={"start_date": iso_day(TODAY), "format": "jsonl"})).text
    assert len(day.splitlines()) == 10
    for dataset in ("daily", "weekly"):
        answer = await managed.admin.get("/api/v1/export", params={"dataset": dataset, "format": "jsonl"})
        sums = [json.loads(line) for line in answer.text.splitlines()]
        assert sum(row["requests"] for row in sums) == 20
        assert sum(row["prompt"] for row in sums) == sum(expected)
        assert {"users", "cost_nano", "tool_requests", "app"} <= set(sums[0])


async def test_what_is_refused(managed: Managed) -> None:
    """No history, reversed dates, unknown formats, an inference key; a damaged file is named."""
    get = managed.admin.get
    assert "GATEWAY_HISTORY" in refused(await get("/api/v1/export"), 404)
    refused(await get("/api/v1/export?start_date=2026-02-01&end_date=2026-01-01"), 400, "end_date")
    refused(await get("/api/v1/export?format=xlsx"), 400, "format")
    refused(await get("/api/v1/export?dataset=events&start_date=2026-02-30"), 400, "start_date")
    refused(await managed.anyone.get("/api/v1/export"), 401)
    archive = filled(managed.gateway.services.settings.history_directory)
    broken = archive.directory / f"events/dt={iso_day(TODAY)}/bucket-00.parquet"
    broken.write_bytes(broken.read_bytes()[:300])
    assert str(broken) in refused(await get("/api/v1/export"), 503)


async def test_exports_at_once_are_bounded(managed: Managed) -> None:
    """Two run in a process; a third is told when to come back, and one that has ended, failed or been left makes room."""
    archive = filled(managed.gateway.services.settings.history_directory)
    archive.append(batch(20, [event(n, TODAY) for n in range(20, 30_000)]))
    for _ in range(2):
        async with AsyncExitStack() as stack:
            for _ in range(2):
                answer = await stack.enter_async_context(
                    managed.admin.stream("GET", "/api/v1/export?format=jsonl&private=true")
                )
                assert answer.status_code == 200
                assert archive.fold() >= 0, "a reader that does not read holds nothing up"
            third = await managed.admin.get("/api/v1/export?format=csv")
            assert "wait for one to end" in refused(third, 429)
            assert int(third.headers["retry-after"]) > 0
        for _ in range(200):
            if not list(archive.directory.glob("events/tmp/reading-*")):
                break
            await asyncio.sleep(0.05)
    assert (await managed.admin.get("/api/v1/export?format=csv&end_date=2001-01-01")).status_code == 200
    assert archive.fold() == 0
    assert not list(archive.directory.glob("events/pieces/*"))


@pytest.mark.tail
async def test_a_caller_may_leave(managed: Managed) -> None:
    """An export that its caller does not read to the end lets the files go."""
    archive = filled(managed.gateway.services.settings.history_directory)
    archive.append(batch(20, [event(n, TODAY) for n in range(20, 8_000)]))
    async with managed.admin.stream("GET", "/api/v1/export?format=jsonl&private=true") as answer:
        async for _ in answer.aiter_bytes():
            break
    for _ in range(100):
        if not list(archive.directory.glob("events/tmp/reading-*")):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the files are kept")


@pytest.fixture
def run(valkey_server: Embedded, tmp_path: Path) -> Callable[..., Result]:
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    environment = {"GATEWAY_REDIS_URL": valkey_server.url, "GATEWAY_DATA_DIR": str(tmp_path / "data")}

    def invoke(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["analytics", *words], env=environment)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    return invoke


def test_by_command(run: Callable[..., Result], tmp_path: Path, valkey_server: Embedded) -> None:
    """Exported with the private columns, counted elsewhere from the export: every request is there. The files are described."""
    run("rebuild", code=2)
    filled(tmp_path / "data/history")
    out = tmp_path / "out"
    run("export", "--out", str(out), "--format", "parquet", "--private")
    described = json.loads((out / "schema.json").read_text())
    assert [each["name"] for each in described["columns"]][:4] == ["ts", "model", "provider", "at_ms"]
    assert "| charged_nano |" in (out / "README.md").read_text()
    assert sorted(read(Archive(out)), key=str) == sorted(EVENTS, key=str)
    weeks = json.loads(run("rebuild", "--from", str(out), "--json").stdout)
    assert sum(week["events"] for week in weeks) == 20
    with redis.Redis.from_url(valkey_server.url) as client:
        rows = client.smembers(keys.rows("de", TODAY))
        counted = [client.hget(keys.row("de", TODAY, row.decode()), OWN) for row in rows]
        assert sum(numbers(counters)[0] for counters in counted) == 10
    run("export", "--out", str(out), code=2)
    run("export", "--out", str(tmp_path / "x"), "--dataset", "cats", code=2)
    run("export", "--out", str(tmp_path / "x"), "--from", "2026-02-01", "--to", "2026-01-01", code=2)
    run("export", "--out", str(tmp_path / "y"), "--dataset", "daily", "--to", iso_day(TODAY - 1))
    with (tmp_path / "y/daily.csv").open(newline="") as file:
        assert sum(int(row["requests"]) for row in csv.DictReader(file)) == 10


@pytest.mark.soak
def test_memory_is_flat(tmp_path: Path) -> None:
    """An export of 200,000 events holds a few thousand of them at a time."""
    archive = Archive(tmp_path)
    load(archive, (event(n, DAY + n // 50_000) for n in range(200_000)), fold=False)
    tracemalloc.start()
    size = sum(map(len, lines(archive, Export("events", private=True), "jsonl")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 25_000_000
