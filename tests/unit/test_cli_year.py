"""``tokenway demo-year``: whole files, the same bytes for the same seed, and refusals that name the option."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.analytics.buckets import today, week_of
from gateway.analytics.event import Event
from gateway.catalog.load import load
from gateway.cli import app, configured
from gateway.cli.demo import command as demo_command
from gateway.cli.demo.year import command
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.events import FIRST_MS, WEEK_MS, YearEvent
from gateway.cli.demo.year.load import load as load_year
from gateway.store import analytics_keys as keys
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from providers import registry

SCALE = 3e-12


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["demo-year", *words])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_a_file_has_the_events_and_a_seed_is_its_bytes(tmp_path: Path) -> None:
    """Plain and compressed have the same lines; each is an event; another seed is another year."""
    plain, packed, other = (tmp_path / name for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl"))
    for path, seed in ((plain, "3"), (packed, "3"), (other, "4")):
        code, output = run("--out", str(path), "--scale", str(SCALE), "--seed", seed)
        assert code == 0, output
    assert plain.read_bytes() == gzip.decompress(packed.read_bytes())
    assert plain.read_bytes() != other.read_bytes()
    found = msgspec.json.Decoder(YearEvent).decode_lines(plain.read_bytes())
    assert len(found) > 10
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "b.jsonl.gz", "c.jsonl"}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full disk", "Ctrl-C"]
)
@pytest.mark.parametrize("name", ["year.jsonl", "year.jsonl.gz"])
def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    """When writing fails in the middle, the earlier file stays and nothing lies beside it."""

    def broken(*_: object) -> Iterator[YearEvent]:
        raise error
        yield

    out = tmp_path / name
    out.write_bytes(b"earlier")
    monkeypatch.setattr(command, "events", broken)
    code, output = run("--out", str(out), "--scale", str(SCALE))
    assert code != 0
    assert isinstance(error, KeyboardInterrupt) or "No space left" in output
    assert out.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scale", "0"), "--scale is 0.0; it must be above 0 and at most 1"),
        (("--scale", "-1e-5"), "--scale is -1e-05"),
        (("--scale", "1.01"), "--scale is 1.01"),
        (("--scale", "nan"), "--scale is nan"),
        (("--scale", "inf"), "--scale is inf"),
        (("--scale", "many"), "--scale"),
        (("--seed", "x"), "--seed"),
        (("--out", "year.csv"), "must end in .jsonl or .jsonl.gz"),
        (("--out", "year.gz"), "must end in .jsonl or .jsonl.gz"),
        (("--out", ".jsonl"), "must end in .jsonl or .jsonl.gz"),
        (("--out", "nowhere/year.jsonl"), "there is no folder nowhere"),
        (("--out", "folder.jsonl"), "that is a folder"),
        (("--to", "csv"), "--to"),
        (("--to", "redis"), "--out is for files"),
        (("--shift", "3"), "--shift is for --to redis and parquet"),
        (("--to", "parquet", "--replace"), "--replace is for --to redis"),
        (("--shift", "-1"), "--shift"),
        (("--replace",), "--replace is for --to redis"),
        (("--classified", "1.5"), "--classified"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_values_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    code, output = run("--out", "year.jsonl", *words)
    assert code == 2
    assert said in output
    assert [path.name for path in tmp_path.iterdir()] == ["folder.jsonl"]


def interrupted() -> Iterator[list[Event]]:
    yield [Event(at_ms=int(time.time() * 1000), endpoint="a/b@c/d", org="o", key="k", prompt=1)]
    raise KeyboardInterrupt


@pytest.mark.tail
async def test_a_year_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, valkey_server: Embedded
) -> None:
    """In an empty store; one with counters is refused, --replace begins anew and spares what waits to be counted; whoever counts at
    the moment is not disturbed. The last week is the one that ended last, and the made-up models have attributes."""
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_server.url)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    words = ("--to", "redis", "--scale", "3e-12")

    async def counted() -> tuple[int, int]:
        numbers = await store.redis.keys("tw:a1:we:*@*")
        last = keys.rows("we", week_of(today(time.time())) - 1)
        return len(numbers), await store.redis.scard(last)

    assert await asyncio.to_thread(run, *words, "--shift", "0") == (0, ANY)
    assert await counted() == (ANY, 0)
    await store.redis.set(keys.SALT, b"salt")
    code, output = await asyncio.to_thread(run, *words)
    assert code == 2
    assert "--replace" in output
    await store.redis.set(keys.LEASE, b"gateway:x")
    code, output = await asyncio.to_thread(run, *words, "--replace")
    assert (code, "counts in this store" in output) == (2, True)
    await store.redis.delete(keys.LEASE)
    with pytest.raises(KeyboardInterrupt):
        await load_year(store, interrupted(), lambda _: None, replace=True)
    assert set(await store.redis.keys("tw:a1:*")) == {keys.SALT.encode()}, "half a year is none"
    code, output = await asyncio.to_thread(run, *words)
    assert code == 0, output
    number, in_last_week = await counted()
    assert number > 10
    assert in_last_week > 0
    assert await store.redis.get(keys.SALT) == b"salt"
    assert not await store.redis.exists(keys.LEASE)
    folders = output.split("GATEWAY_CONFIG_DIR=")[1].strip().split(os.pathsep)
    table = load(tuple(map(Path, folders)), {}, dialects=registry.names()).attributes
    made_up = table.of("community-03/llama-finetune-020")
    assert (made_up.origin, made_up.name, made_up.size_class is None) == (
        "other_oss",
        "Community 03: Llama Finetune 020",
        False,
    )
    assert table.of("cn-lab-03/chat-002").origin == "closed"


@pytest.mark.tail
async def test_the_demo_adds_a_year_to_an_empty_store_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    valkey_server: Embedded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`demo --year`: at the first start it counts one, at the next it does not; its models' attributes are in force both times."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", "")
    monkeypatch.setattr(demo_command, "YEAR_SCALE", SCALE)
    settings = configured.settings()
    said = []
    for _ in range(2):
        os.environ["GATEWAY_CONFIG_DIR"] = ""
        await demo_command._with_year(valkey_server.url, settings)
        said.append(capsys.readouterr().err)
        assert os.environ["GATEWAY_CONFIG_DIR"].split(os.pathsep)[-1] == str(tmp_path.resolve() / "demo-year")
    assert "counted as the weeks" in said[0]
    assert "counted already" in said[1]
    assert await store.redis.exists(keys.rows("we", week_of(today(time.time())) - 1))


@pytest.mark.tail
def test_a_year_is_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--to parquet: the files of an archive have the tokens of the year, where it was; a history that is there is not added to."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    words = ("--to", "parquet", "--out", str(tmp_path / "history"), "--scale", "3e-12", "--classified", "1")
    code, output = run(*words)
    assert code == 0, output
    assert "2024-11-04 to 2026-01-04" in output
    files = str(tmp_path / "history" / "**" / "*.parquet")
    sums = "sum(prompt + completion), count(*) FILTER (category = ''), min(at_ms), max(at_ms)"
    tokens, unclassified, first, last = duckdb.sql(f"SELECT {sums} FROM read_parquet('{files}')").fetchall()[0]
    year = cube(2025)
    assert tokens == sum(round(each * 3e-12) for week in year.tokens for each in week)
    assert unclassified == 0
    assert FIRST_MS <= first < last < FIRST_MS + 61 * WEEK_MS
    code, output = run(*words)
    assert (code, "a history" in output) == (2, True)
    assert run("--to", "parquet")[0] == 2
