"""``tokenway keys | credits | orgs | reconcile`` on a real Valkey: what they print, what they change, how they exit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from gateway.accounts import Accounts
from gateway.books.archive import book_archive
from gateway.cli import app
from gateway.ledger import Ledger
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support.books import Past

Run = Callable[..., Result]


@pytest.fixture
def run(valkey_server: Embedded, tmp_path: Path) -> Run:
    """The command on an empty store; ``code`` is the exit code that is expected."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    (tmp_path / "config").mkdir()
    environment = {
        "GATEWAY_REDIS_URL": valkey_server.url,
        "GATEWAY_CONFIG_DIR": str(tmp_path / "config"),
        "GATEWAY_DATA_DIR": str(tmp_path / "data"),
    }

    def invoke(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(words), env=environment)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    return invoke


def test_the_life_of_a_key(run: Run) -> None:
    """Created with its secret once, listed, shown by the beginning of its hash, changed, revoked, gone."""
    made = json.loads(run("keys", "create", "--name", "ci", "--limit", "2.50", "--reset", "weekly", "--json").stdout)
    hash = made["data"]["hash"]
    assert made["key"].startswith("sk-tw-v1-")
    assert (made["data"]["limit"], made["data"]["limit_reset"]) == (2.5, "weekly")
    listed = run("keys", "list").stdout
    assert hash[:12] in listed
    assert made["key"] not in listed
    assert "weekly" in run("keys", "show", hash[:8]).stdout
    run("keys", "update", hash[:10], "--limit", "none", "--name", "renamed", "--disable")
    shown = json.loads(run("keys", "show", hash, "--json").stdout)["data"]
    assert (shown["name"], shown["limit"], shown["disabled"], shown["limit_reset"]) == ("renamed", None, True, "weekly")
    assert hash[:12] not in run("keys", "list").stdout
    assert hash[:12] in run("keys", "list", "--all").stdout
    assert hash in run("keys", "revoke", hash[:12]).stdout
    run("keys", "show", hash, code=1)
    run("keys", "revoke", hash[:12], code=1)


def test_rate_limits(run: Run) -> None:
    """Of a key and of an organisation: set one by one, shown, taken away; a wrong one, or none at all, exits 2."""
    hash = json.loads(run("keys", "create", "--name", "ci", "--json").stdout)["data"]["hash"]
    for words, target in ((("keys", "limit"), hash[:8]), (("orgs", "limit"), "default")):
        run(*words, target, "--requests-per-minute", "60")
        text = run(*words, target, "--tokens-per-minute", "1000", "--max-concurrent", "5", "--json").stdout
        shown = json.loads(text).get("data") or json.loads(text)
        assert (shown["requests_per_minute"], shown["tokens_per_minute"], shown["max_concurrent"]) == (60, 1000, 5)
        assert "tokens per minute    -" in run(*words, target, "--tokens-per-minute", "none").stdout
        assert "say what to limit" in run(*words, target, code=2).stderr
        for wrong in ("0", "many", "-1", "1.5"):
            assert "max_concurrent" in run(*words, target, f"--max-concurrent={wrong}", code=2).stderr
    run("orgs", "limit", "nobody", "--max-concurrent", "5", code=1)
    run("keys", "limit", "*" * 8, "--max-concurrent", "5", code=1)


def test_wrong_options_are_named(run: Run) -> None:
    """A wrong option exits 2, an unknown key or organisation 1, each with one line that names it."""
    assert "limit" in run("keys", "create", "--name", "x", "--limit", "five", code=2).stderr
    assert "limit_reset" in run("keys", "create", "--name", "x", "--reset", "hourly", code=2).stderr
    assert "expires_at" in run("keys", "create", "--name", "x", "--expires", "tomorrow", code=2).stderr
    assert "organization" in run("keys", "create", "--name", "x", "--org", "nobody", code=1).stderr
    assert "8 characters" in run("keys", "show", "abc", code=2).stderr
    assert "amount_usd" in run("credits", "add", "1e3", code=2).stderr
    assert "organization" in run("credits", "add", "1", "--org", "nobody", code=1).stderr
    assert "organization" in run("credits", "show", "nobody", code=1).stderr
    assert "name" in run("orgs", "create", " ", code=2).stderr
    assert run("keys", "list", "--json").stdout.strip() == '{\n  "data": []\n}'


def test_credits_are_granted_once_per_id(run: Run) -> None:
    """The same id is one grant; negative amounts take away, but not what is not there."""
    assert "balance $5" in run("credits", "add", "5", "--id", "top-up").stdout
    assert "nothing changed" in run("credits", "add", "5", "--id", "top-up").stdout
    run("credits", "add", "6", "--id", "top-up", code=1)
    assert "balance $3.75" in run("credits", "add", "-1.25", "--reason", "correction").stdout
    run("credits", "add", "-100", code=1)
    assert json.loads(run("credits", "show", "--json").stdout)["balance_usd"] == "3.75"
    lines = json.loads(run("credits", "ledger", "--json").stdout)
    assert [line["amount_usd"] for line in lines["data"]] == ["5", "-1.25"]
    assert [line["reason"] for line in lines["data"]] == ["tokenway credits add", "correction"]
    page = run("credits", "ledger", "--limit", "1").stdout
    assert "more: --cursor" in page
    rest = run("credits", "ledger", "--cursor", page.split()[-1]).stdout
    assert "-1.25" in rest


def test_organizations(run: Run) -> None:
    """A new organisation is printed as its id and listed beside ``default``."""
    id = run("orgs", "create", "Team Zürich").stdout.strip()
    run("credits", "add", "1", "--org", id)
    listed = {row["id"]: row for row in json.loads(run("orgs", "list", "--json").stdout)["data"]}
    assert set(listed) == {"default", id}
    assert (listed[id]["name"], listed[id]["balance_usd"]) == ("Team Zürich", "1")
    assert id in run("orgs", "list").stdout


def test_reconcile_finds_a_forged_balance(run: Run, valkey_server: Embedded) -> None:
    """Exit 0 and figures when the books balance; exit 1 and the difference when a balance was changed outside the ledger."""
    run("credits", "add", "7")
    clean = run("reconcile").stdout
    assert "the books balance" in clean
    with redis.Redis.from_url(valkey_server.url) as client:
        client.hset(keys.organization("default"), "bal", 8 * 10**9)
    forged = run("reconcile", code=1).stdout
    assert "default: balance" in forged
    assert json.loads(run("reconcile", "--json", code=1).stdout)["clean"] is False


def test_without_a_url_the_embedded_server_is_started(tmp_path: Path) -> None:
    """No URL, no gateway: the data directory's server is started, used and stopped; with one running, its socket is used."""
    (tmp_path / "config").mkdir()
    environment = {"GATEWAY_DATA_DIR": str(tmp_path / "data"), "GATEWAY_CONFIG_DIR": str(tmp_path / "config")}
    runner = CliRunner(env={"GATEWAY_REDIS_URL": None, **environment})
    assert runner.invoke(app, ["credits", "add", "3"]).exit_code == 0
    assert "balance $4" in runner.invoke(app, ["credits", "add", "1"]).stdout
    server = Embedded(tmp_path / "data")
    server.start()
    try:
        assert "balance $5" in runner.invoke(app, ["credits", "add", "1"]).stdout
    finally:
        server.stop()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "unix:///nowhere/valkey.sock", "http://x", "redis://:secret@127.0.0.1:1"]
)
def test_an_unreachable_store_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Exit 2, one line, no traceback, no password in it."""
    monkeypatch.setattr("gateway.cli.offline.CALL_TIMEOUT_S", 0.3)
    environment = {"GATEWAY_REDIS_URL": url, "GATEWAY_CONFIG_DIR": str(tmp_path)}
    result = CliRunner().invoke(app, ["keys", "list"], env=environment)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("tokenway: ")
    assert "Traceback" not in result.output
    assert "secret" not in result.output


def test_what_analytics_may_say(run: Run) -> None:
    """``orgs update`` changes what is given, keeps the rest, and names what is wrong; ``keys`` take a category."""
    shown = json.loads(run("orgs", "update", "default", "--categories", "declared", "--country", "DE", "--json").stdout)
    assert shown["analytics"] == {"categories": "declared", "sample": "auto", "country": "DE", "category": None}
    assert "0.25" in run("orgs", "update", "default", "--sample", "0.25", "--category", "legal").stdout
    listed = json.loads(run("orgs", "list", "--json").stdout)["data"][0]["analytics"]
    assert listed == {"categories": "declared", "sample": 0.25, "country": "DE", "category": "legal"}
    run(
        "orgs",
        "update",
        "default",
        "--sample",
        "auto",
        "--country",
        "none",
        "--category",
        "none",
        "--categories",
        "off",
    )
    assert "auto" in run("orgs", "list", "--json").stdout
    for words in (
        ("--sample", "2"),
        ("--sample", "nan"),
        ("--sample", "much"),
        ("--country", "Germany"),
        ("--category", "fun"),
        (),
    ):
        run("orgs", "update", "default", *words, code=2)
    run("orgs", "update", "nobody", "--country", "DE", code=1)
    made = json.loads(run("keys", "create", "--name", "ci", "--category", "finance", "--json").stdout)["data"]
    assert made["category"] == "finance"
    run("keys", "update", made["hash"][:12], "--category", "none")
    assert json.loads(run("keys", "show", made["hash"][:12], "--json").stdout)["data"]["category"] is None


def test_the_whole_history_is_audited(run: Run, tmp_path: Path, valkey_server: Embedded) -> None:
    """``reconcile --all`` reads what was closed, and names a day that is missing; ``credits ledger`` lists it, too."""
    pytest.importorskip("duckdb", reason="the archive needs the extra analytics")
    for number in range(3):
        run("credits", "add", "1", "--id", f"grant-{number}")
    settings = Settings(data_dir=tmp_path / "data", config_dir=tmp_path / "config")
    archive = book_archive(settings)
    assert archive is not None
    assert "archived entries  0" in run("reconcile", "--all").stdout

    async def close() -> None:
        store = await connect(valkey_server.url, timeout_s=5)
        await Past(store, Ledger(store), Accounts(store), archive).closer().close_books()
        await store.aclose()

    asyncio.run(close())
    run("credits", "add", "1")
    assert [line["seq"] for line in json.loads(run("credits", "ledger", "--json").stdout)["data"]] == [1, 2, 3, 4]
    assert "archived entries  3" in run("reconcile", "--all").stdout
    archive.journal.fold()
    [day] = (tmp_path / "data/history/journal").glob("dt=*")
    day.rename(tmp_path / "taken")
    output = run("reconcile", "--all", code=1).stdout
    assert f"lines 1 to 3 are missing in the files until {day.name.removeprefix('dt=')}" in output
    assert json.loads(run("reconcile", "--json").stdout)["clean"] is True
