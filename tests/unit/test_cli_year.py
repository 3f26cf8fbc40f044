"""``tokenway demo-year``: whole files, the same bytes for the same seed, and refusals that name the option."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.demo.year import command
from gateway.cli.demo.year.events import YearEvent

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
