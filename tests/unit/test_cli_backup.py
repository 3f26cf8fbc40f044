"""``tokenway backup`` and ``restore`` on the embedded store, while it runs and when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app
from gateway.store.backup import SNAPSHOT
from gateway.store.embedded import Embedded

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command on a data directory of its own; ``code`` is the exit code that is expected."""
    (tmp_path / "config").mkdir()

    def invoke(*words: str, code: int = 0, data: str = "data", **more: str) -> Result:
        environment = {"GATEWAY_CONFIG_DIR": str(tmp_path / "config"), "GATEWAY_DATA_DIR": str(tmp_path / data), **more}
        result = CliRunner().invoke(app, list(words), env=environment)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    return invoke


def test_there_and_back(run: Run, tmp_path: Path) -> None:
    """A backup of a running store has what it had at that moment; restored elsewhere it has the same keys, credits and books."""
    made = json.loads(run("keys", "create", "--name", "ci", "--json").stdout)["data"]
    run("credits", "add", "12.50", "--reason", "first")
    server = Embedded(tmp_path / "data")
    server.start()
    try:
        told = run("backup", str(tmp_path / "kept")).stdout
        assert "the books balance" in told
        assert "1 ledger lines" in told
        run("credits", "add", "1.00", "--reason", "afterwards")
        assert not (tmp_path / "data" / "dump.rdb").exists()
        run("backup", str(tmp_path / "kept"), code=2)  # never over another one
    finally:
        server.stop()
    for path in (tmp_path / "kept", *(tmp_path / "kept").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    assert "the books balance" in run("restore", str(tmp_path / "kept"), data="other").stdout
    assert "12.5" in run("credits", "show", data="other").stdout
    assert made["hash"][:12] in run("keys", "list", data="other").stdout
    run("reconcile", data="other")
    assert "has a store already" in run("restore", str(tmp_path / "kept"), data="other", code=2).stderr


def test_what_is_no_backup(run: Run, tmp_path: Path) -> None:
    """A damaged snapshot, a directory that is none, a Redis of one's own: exit 2, named, and nothing is laid."""
    run("credits", "add", "1.00", "--reason", "first")
    run("backup", str(tmp_path / "kept"))
    with (tmp_path / "kept" / SNAPSHOT).open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    assert "is not what was backed up" in run("restore", str(tmp_path / "kept"), data="other", code=2).stderr
    assert "is no backup" in run("restore", str(tmp_path), data="other", code=2).stderr
    assert not (tmp_path / "other" / "appendonlydir").exists()
    for words in (("backup", str(tmp_path / "more")), ("restore", str(tmp_path / "kept"))):
        assert "its own means" in run(*words, code=2, GATEWAY_REDIS_URL="redis://127.0.0.1:1").stderr


def test_books_that_do_not_balance(run: Run, tmp_path: Path) -> None:
    """A copy whose books do not balance is kept and told: exit 1."""
    run("credits", "add", "1.00", "--reason", "first")
    server = Embedded(tmp_path / "data")
    server.start()
    try:
        with redis.Redis(unix_socket_path=str(server.socket_path)) as client:
            account = next(client.scan_iter("*:o:default"))
            client.hincrby(account, "bal", 5)
        assert "its books have" in run("backup", str(tmp_path / "kept"), code=1).stderr
    finally:
        server.stop()
