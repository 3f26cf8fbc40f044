"""The multiplexed connection: order, deadlines, reconnection, bounds, log-in and TLS. Against a real server on real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import trustme
import uvloop

from gateway.store import mux as mux_module
from gateway.store.client import RedisCalls, connect
from gateway.store.embedded import Embedded, find_server, ping
from gateway.store.errors import StoreRefused, StoreReply, StoreTimeout, StoreUnavailable
from gateway.store.mux import Address, Mux


@pytest.fixture
def own_server():
    """A server that a test may stop, freeze and kill."""
    with tempfile.TemporaryDirectory(prefix="tw-mux-") as directory:
        server = Embedded(Path(directory))
        server.start()
        yield server
        server.stop()


async def test_replies_belong_to_their_calls(store):
    """Thousands of calls of different sizes in one tick: each future gets its own reply, as hiredis types."""
    sizes = [1, 10, 1000, 100_000]
    replies = await asyncio.gather(*(store.mux.call("ECHO", f"{n}:" + "x" * sizes[n % 4]) for n in range(2000)))
    assert [reply.split(b":")[0] for reply in replies] == [str(n).encode() for n in range(2000)]
    assert await store.mux.call("GET", "nothing") is None
    assert await store.mux.call("INCRBY", "n", 5) == 5
    assert await store.mux.call("LRANGE", "none", 0, -1) == []
    assert await store.mux.call("SET", "b", bytes(range(256))) == b"OK"
    assert await store.mux.call("GET", "b") == bytes(range(256))


async def test_error_replies_are_errors_of_one_call(store):
    """An error reply fails its own call with its text and code, not its neighbours."""
    await store.mux.call("SET", "text", "x")
    ok, wrong, after = await asyncio.gather(
        store.mux.call("PING"), store.mux.call("HGET", "text", "f"), store.mux.call("PING"), return_exceptions=True
    )
    assert (ok, after) == (b"PONG", b"PONG")
    assert isinstance(wrong, StoreReply)
    assert wrong.code == "WRONGTYPE"
    with pytest.raises(StoreReply, match=r"wrong kind"):
        await RedisCalls(store.redis).call("HGET", "text", "f")


async def test_a_frozen_server_fails_calls_in_time_and_replies_never_shift(own_server):
    """SIGSTOP: every call under way fails within 300 ms; after SIGCONT old replies are dropped."""
    store = await connect(own_server.url, timeout_s=0.25)
    os.kill(own_server.pid, signal.SIGSTOP)
    start = time.monotonic()
    results = await asyncio.gather(*(store.mux.call("ECHO", f"old{n}") for n in range(50)), return_exceptions=True)
    first = time.monotonic() - start
    later = await asyncio.gather(store.mux.call("ECHO", "later"), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in [*results, *later])
    assert isinstance(results[0], StoreTimeout)
    assert 0.25 <= first < 2  # 0.28 on a quiet machine
    os.kill(own_server.pid, signal.SIGCONT)
    await until_answered(store.mux)
    replies = await asyncio.gather(*(store.mux.call("ECHO", f"new{n}") for n in range(50)))
    assert replies == [f"new{n}".encode() for n in range(50)]
    await store.aclose()


async def until_answered(mux, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await mux.call("PING")
        except (StoreUnavailable, StoreReply):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_a_late_loop_is_not_the_servers_fault(own_server):
    """A reply that arrived while this process was busy counts, although it was not read within the time-out."""
    store = await connect(own_server.url, timeout_s=0.1)
    try:
        await asyncio.sleep(0.05)  # the watchdog of the log-in has gone to sleep
        reply = store.mux.call("ECHO", "here")
        await asyncio.sleep(0)  # the call has left
        time.sleep(0.3)  # a burst of other work holds the loop up
        store.mux._check()  # and then the watchdog comes before the socket, as on a crowded loop
        assert await reply == b"here"
    finally:
        await store.aclose()


async def test_a_killed_server_is_found_again(own_server):
    """kill -9: calls under way fail at once, the supervisor restarts, the connection re-opens by itself, data is there."""
    store = await connect(own_server.url, timeout_s=0.5)
    assert await store.mux.call("SET", "kept", "1") == b"OK"
    old = own_server.pid
    blocked = store.mux.call("BLPOP", "never", 0)
    await asyncio.sleep(0.05)
    os.kill(old, signal.SIGKILL)
    with pytest.raises(StoreUnavailable):
        await blocked
    await until_answered(store.mux)
    assert own_server.pid != old
    assert await store.mux.call("GET", "kept") == b"1"
    await store.aclose()


async def test_an_unreachable_store_refuses_quickly_and_at_once_when_known(own_server):
    """The first calls wait for their deadline; once the store is known to be gone, calls fail without waiting."""
    store = await connect(own_server.url, timeout_s=0.25)
    own_server.stop()
    with pytest.raises(StoreUnavailable):
        await store.mux.call("PING")
    await asyncio.sleep(0.3)
    refused = store.mux.call("PING")
    assert refused.done()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await refused
    own_server.start()
    await until_answered(store.mux)
    await store.aclose()


async def test_a_demoted_server_is_disconnected(own_server):
    """READONLY fails the call and closes the connection, so that the next one goes to where the address leads now."""
    store = await connect(own_server.url, timeout_s=1)
    await store.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    line = store.mux._line
    with pytest.raises(StoreReply) as refusal:
        await store.mux.call("SET", "a", "1")
    assert refusal.value.code == "READONLY"
    assert store.mux._line is not line
    await store.redis.execute_command("REPLICAOF", "NO", "ONE")
    await until_answered(store.mux)
    assert await store.mux.call("SET", "a", "1") == b"OK"
    await store.aclose()


async def test_the_queue_is_bounded(own_server, monkeypatch):
    """More calls than the bound while the store is away: the surplus fails at once, memory stays."""
    monkeypatch.setattr(mux_module, "PENDING_MAX", 100)
    store = await connect(own_server.url, timeout_s=1)
    os.kill(own_server.pid, signal.SIGSTOP)
    calls = [store.mux.call("PING") for _ in range(150)]
    assert sum(call.done() for call in calls) == 50
    await asyncio.sleep(0)
    second = [store.mux.call("PING") for _ in range(10)]
    await asyncio.sleep(0)
    os.kill(own_server.pid, signal.SIGCONT)
    results = await asyncio.gather(*calls, *second, return_exceptions=True)
    assert results[:100] == [b"PONG"] * 100
    assert all("too many calls" in str(result) for result in results[100:])
    await store.aclose()


async def test_close_fails_what_is_under_way(own_server):
    """After aclose every call fails, the ones under way too, and no task is left."""
    store = await connect(own_server.url, timeout_s=1)
    blocked = store.mux.call("BLPOP", "never", 0)
    await asyncio.sleep(0.02)
    await store.aclose()
    with pytest.raises(StoreUnavailable):
        await blocked
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.mux.call("PING")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_idle_connection_keeps_no_timer(own_server):
    """The watchdog sleeps when nothing is under way."""
    store = await connect(own_server.url, timeout_s=0.1)
    await store.mux.call("PING")
    await asyncio.sleep(0.05)
    assert store.mux._watch is None
    await store.aclose()


async def test_a_store_that_never_comes_is_reported_with_the_reason(tmp_path):
    """connect gives up after its wait; a URL of another kind is a ValueError."""
    with pytest.raises(StoreUnavailable):
        await connect(f"unix://{tmp_path}/none.sock", timeout_s=0.1, wait_s=0.3)
    with pytest.raises(ValueError, match="scheme"):
        await connect("http://localhost", timeout_s=0.1)


def test_it_works_on_uvloop(own_server):
    """The production loop's transports are another class: calls, time-out and reconnection there too."""

    async def run():
        store = await connect(own_server.url, timeout_s=0.25)
        assert await store.mux.call("ECHO", "a") == b"a"
        os.kill(own_server.pid, signal.SIGSTOP)
        with pytest.raises(StoreTimeout):
            await store.mux.call("PING")
        os.kill(own_server.pid, signal.SIGCONT)
        await until_answered(store.mux)
        await store.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.fixture
def password_server(tmp_path):
    """A server behind a password, on a unix socket; databases 0 to 15."""
    path = tmp_path / "p.sock"
    command = [str(find_server()), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--user", "default", "on", ">geheim", "~*", "&*", "+@all"], stdout=subprocess.DEVNULL
    )
    while not path.exists():
        time.sleep(0.01)
    yield path
    process.terminate()
    process.wait()


async def test_log_in_and_database(password_server):
    """The URL's password and database are used on every connection; a wrong password is reported at once."""
    assert not ping(password_server)
    store = await connect(f"unix://:geheim@{password_server}?db=3", timeout_s=1)
    await store.mux.call("SET", "here", "1")
    assert (await store.redis.info("keyspace"))["db3"]["keys"] == 1
    await store.aclose()
    start = time.monotonic()
    with pytest.raises(StoreRefused, match="WRONGPASS"):
        await connect(f"unix://:wrong@{password_server}", timeout_s=1, wait_s=30)
    assert time.monotonic() - start < 15


async def test_tls_is_verified(own_server, tmp_path):
    """rediss:// with our own authority works; without it the connection is refused, never downgraded."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def forward(reader, writer):
        up_reader, up_writer = await asyncio.open_unix_connection(str(own_server.socket_path))

        async def pump(source, sink):
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            finally:
                sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusted = Mux(Address.parse(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/ca.pem"), timeout_s=2)
    assert await trusted.call("ECHO", "secret") == b"secret"
    await trusted.aclose()
    strict = Mux(Address.parse(f"rediss://localhost:{port}"), timeout_s=0.3)
    with pytest.raises(StoreUnavailable):
        await strict.call("PING")
    await strict.aclose()
    server.close()
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", (None, "host", 6379, False, None, None, 0)),
        ("redis://u:p@host:7000/2", (None, "host", 7000, False, "u", "p", 2)),
        ("unix:///a/b.sock?db=1", ("/a/b.sock", "localhost", 6379, False, None, None, 1)),
        ("rediss://host/0?ssl_cert_reqs=none", (None, "host", 6379, True, None, None, 0)),
    ],
)
def test_urls_are_read_as_redis_py_reads_them(url, expected):
    """One URL, two clients: both must go to the same place."""
    found = Address.parse(url)
    assert (
        found.path,
        found.host,
        found.port,
        found.tls is not None,
        found.username,
        found.password,
        found.db,
    ) == expected
