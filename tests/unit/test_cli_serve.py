"""``tokenway serve`` and ``worker`` as the processes that a user starts: ready, shared between workers, stopped with exit 0."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.accounts import Accounts
from gateway.ledger.entries import generation_id
from gateway.ledger.ledger import Ledger
from gateway.store.embedded import Embedded, ping
from tests.support.management import write_files

PATIENCE_S = 60
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``tokenway <words>`` with its own configuration and data directory; ends the processes that are left."""
    write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    running: list[subprocess.Popen[str]] = []

    def begin(*words: str, **settings: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environment |= {"GATEWAY_CONFIG_DIR": str(tmp_path / "config"), "GATEWAY_DATA_DIR": str(tmp_path / "data")}
        environment |= {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out, err


def _address(process: subprocess.Popen[str]) -> str:
    """The base URL, read from the line that ``serve`` prints; returned once it answers as ready."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+(?=/api/v1)", line)
    assert found, line + process.stderr.read()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if httpx.get(f"{found[0]}/readyz", timeout=PATIENCE_S).status_code == 200:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("never became ready")


def test_serve_from_start_to_stop(start: Start, tmp_path: Path) -> None:
    """Embedded Valkey, key file, a working API; SIGTERM or Ctrl-C ends everything with exit 0; data survives."""
    process = start("serve", "--port", "0")
    url = _address(process)
    key_file = tmp_path / "data" / "admin.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    admin = {"authorization": f"Bearer {key_file.read_text().strip()}"}
    made = httpx.post(f"{url}/api/v1/keys", json={"name": "x"}, headers=admin)
    assert made.status_code == 201
    own = httpx.get(f"{url}/api/v1/key", headers={"authorization": f"Bearer {made.json()['key']}"})
    assert own.status_code == 200
    _stopped(process, signal.SIGTERM)
    assert not ping(tmp_path / "data" / "valkey.sock")
    again = start("serve", "--port", "0")
    url = _address(again)
    listed = httpx.get(f"{url}/api/v1/keys", headers=admin).json()["data"]
    assert [key["hash"] for key in listed] == [made.json()["data"]["hash"]]
    _stopped(again, signal.SIGINT)


@pytest.mark.tail
def test_two_workers_share_port_keys_and_metrics(start: Start, tmp_path: Path, valkey_server: Embedded) -> None:
    """GATEWAY_WORKERS=2 on a given Redis: both answer, a deleted key is dead on both, the metrics directory is cleaned up."""
    (tmp_path / "tmp").mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(tmp_path / "tmp")
    try:
        process = start(
            "serve", port="0", workers="2", redis_url=valkey_server.url, admin_key="a-management-key-of-a-test"
        )
    finally:
        os.environ.pop("TMPDIR") if before is None else os.environ.__setitem__("TMPDIR", before)
    url = _address(process)
    admin = {"authorization": "Bearer a-management-key-of-a-test"}
    assert not (tmp_path / "data" / "admin.key").exists()
    made = httpx.post(f"{url}/api/v1/keys", json={"name": "x"}, headers=admin).json()

    def statuses() -> set[int]:
        headers = {"authorization": f"Bearer {made['key']}"}
        return {httpx.get(f"{url}/api/v1/key", headers=headers).status_code for _ in range(20)}

    assert statuses() == {200}
    assert len(list((tmp_path / "tmp").glob("tokenway-metrics-*"))) == 1
    assert httpx.get(f"{url}/metrics").status_code == 200
    httpx.delete(f"{url}/api/v1/keys/{made['data']['hash']}", headers=admin)
    assert statuses() == {401}
    _stopped(process)
    assert not list((tmp_path / "tmp").glob("tokenway-metrics-*"))


def test_an_application_that_cannot_start_is_an_error(start: Start) -> None:
    """A Redis URL of an unknown form: not exit 0, and the reason is on standard error."""
    process = start("serve", port="0", redis_url="carrier-pigeon://coop")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode not in (0, None)
    assert "carrier-pigeon" in err or "scheme" in err


async def test_worker_sweeps_overdue_holds(
    start: Start, valkey_server: Embedded, accounts: Accounts, ledger: Ledger
) -> None:
    """``tokenway worker`` releases a hold whose time is over, and ends on SIGTERM with exit 0."""
    secret, _ = await accounts.create_key(name="x")
    await ledger.grant("default", 10**9, id="g", actor="test", reason="test")
    await ledger.hold(generation_id(time.time()), await accounts.authenticate(secret), 10**8, 0)
    process = start("worker", redis_url=valkey_server.url, expire_interval_s="0.1")
    deadline = time.monotonic() + PATIENCE_S
    while await ledger.open_holds() and time.monotonic() < deadline and process.poll() is None:
        await asyncio.sleep(0.1)
    assert process.poll() is None, process.communicate()
    assert await ledger.open_holds() == []
    out, _ = _stopped(process)
    assert "worker started" in out


def test_simulate_serves_vendors_until_stopped(start: Start) -> None:
    """``tokenway simulate NAME=0`` prints where it listens and ends on SIGTERM with exit 0."""
    process = start("simulate", "sim-test=0")
    assert process.stdout is not None
    name, url = process.stdout.readline().split()
    assert name == "sim-test"
    assert httpx.get(f"{url}/models").status_code == 200
    _stopped(process)


@pytest.mark.tail
def test_a_worker_alone_says_what_it_needs(start: Start) -> None:
    """Without a store that runs, ``worker`` exits 2 naming the variables; it never takes a gateway's data directory."""
    process = start("worker")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "GATEWAY_REDIS_URL" in err
