"""Strangers and slow senders: what is not yet paid for holds neither a slot nor a connection of somebody else."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.management import json_route
from gateway.server import connections
from tests.support.gateway import ADMIN_KEY, Sale, Stage, connected, write_catalog
from tests.support.invariants import calm
from tests.support.process import served, workers
from tests.support.vendor import Line, vendors

GatewayFactory = Callable[..., Any]
SECRET = "sk-tw-v1-aaaaaaaa-" + "A" * 43
HELLO = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}]}


def head(secret: str, size: int) -> bytes:
    return (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def unfinished(stage: Stage, secret: str, number: int, sent: bytes = b"{") -> AsyncIterator[list[Line]]:
    """So many requests whose bodies do not end."""
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connected(stage.gateway)) for _ in range(number)]
        for line in lines:
            await line.send(head(secret, len(sent) + 300) + sent)
        yield lines


async def answered(line: Line, wait_s: float = 0.3) -> tuple[int, dict[str, str], bytes] | None:
    """The response, if one comes soon."""
    try:
        return await asyncio.wait_for(line.response(), wait_s)
    except TimeoutError:
        return None


async def test_bodies_that_never_end(gateway: GatewayFactory) -> None:
    """They hold no slot: a key has its share of bodies under way, others are served although there are more of these than slots."""
    stage = await gateway(Sale("t/a", "alpha"), max_in_flight=5, max_incoming_bodies=40)
    slow, other = await stage.caller(), await stage.caller()
    async with unfinished(stage, slow.secret, 16) as lines:
        answers = [await answered(line) for line in lines]
        refused = [answer for answer in answers if answer is not None]
        assert len(refused) == 6  # a quarter of 40 wait
        for status, headers, body in refused:
            assert status == 429
            assert headers["retry-after"] == "1"
            assert b"bodies per key" in body
        assert stage.gateway.in_flight.now == 0
        for _ in range(3):
            assert (await other.chat("t/a")).status_code == 200
    await calm(stage)
    assert (await slow.chat("t/a")).status_code == 200


async def test_bodies_that_are_large_together(gateway: GatewayFactory) -> None:
    """What has arrived of one key's bodies is bounded, too; a single one may be as large as a body may be."""
    stage = await gateway(Sale("t/a", "alpha"), max_incoming_bytes=4 << 20)
    slow, other = await stage.caller(), await stage.caller()
    async with unfinished(stage, slow.secret, 1, b"{" + b" " * 1_500_000) as (single,):
        assert await answered(single) is None
        async with unfinished(stage, slow.secret, 1, b"{" + b" " * 700_000) as (second,):
            answer = await answered(second, 5)
            assert answer is not None
            assert answer[0] == 429
            assert b"body bytes per key" in answer[2]
        assert (await other.chat("t/a")).status_code == 200
    await calm(stage)


@pytest.mark.parametrize("secret", ["", SECRET])
async def test_without_a_key_no_body_is_waited_for(gateway: GatewayFactory, secret: str) -> None:
    """401 while the body is still to come; nothing is counted as under way."""
    stage = await gateway(Sale("t/a", "alpha"), max_incoming_bodies=4)
    async with unfinished(stage, secret, 8) as lines:
        for line in lines:
            answer = await answered(line, 5)
            assert answer is not None
            assert answer[0] == 401
    assert stage.gateway.in_flight.now == 0


MANAGED = [
    ("POST", "/api/v1/keys", "admin"),
    ("PATCH", "/api/v1/keys/" + "0" * 64, "admin"),
    ("POST", "/api/v1/admin/organizations", "admin"),
    ("PATCH", "/api/v1/admin/organizations/default", "admin"),
    ("POST", "/api/v1/admin/organizations/default/credits", "admin"),
    ("POST", "/v1/keys", "admin"),
    ("POST", "/api/v1/analytics/query", "any"),
]


@pytest.mark.parametrize("asgi", [False, True])
async def test_a_management_body_is_not_waited_for_without_its_key(gateway: GatewayFactory, asgi: bool) -> None:
    """401 or 403 while the body is still to come, whatever the route; with the right key it is waited for, and not for ever."""
    stage = await gateway(Sale("t/a", "alpha"), asgi=asgi)
    inference = (await stage.caller()).secret
    for method, path, takes in MANAGED:
        for secret, status in (("", 401), (SECRET, 401), (inference, 403 if takes == "admin" else 0), (ADMIN_KEY, 0)):
            key = f"Authorization: Bearer {secret}\r\n" if secret else ""
            start = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{key}Content-Length: 300\r\n\r\n{{"
            async with connected(stage.gateway) as line:
                await line.send(start.encode())
                answer = await answered(line, 10 if status else 0.1)
                assert (answer[0] if answer else 0) == status, (method, path, secret)


async def test_a_management_body_has_a_clock_and_a_size(
    gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not end is refused with 408, one that is too long with 413 before it has all arrived."""
    monkeypatch.setattr(json_route, "BODY_S", 0.2)
    stage = await gateway(Sale("t/a", "alpha"))
    for sent, size, status in ((b"{", 300, 408), (b" " * 70_000, 1 << 30, 413)):
        async with connected(stage.gateway) as line:
            start = (
                "POST /api/v1/keys HTTP/1.1\r\nHost: gateway\r\n"
                f"Authorization: Bearer {ADMIN_KEY}\r\nContent-Length: {size}\r\n\r\n"
            )
            await line.send(start.encode() + sent)
            answer = await answered(line, 10)
            assert answer is not None
            assert answer[0] == status


async def test_idle_connections_give_way(gateway: GatewayFactory) -> None:
    """Whoever opens all connections and sends nothing loses the oldest to whoever sends a request."""
    stage = await gateway(Sale("t/a", "alpha"), max_connections=8)
    caller = await stage.caller()
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connected(stage.gateway)) for _ in range(20)]
        assert (await caller.chat("t/a")).status_code == 200
        ended = [await closed(line) for line in lines]
        assert ended[:10] == [True] * 10
        assert not ended[-1]


async def closed(line: Line) -> bool:
    """Whether the gateway has closed it."""
    try:
        return await asyncio.wait_for(line.reader.read(1), 0.1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


async def test_more_connections_than_there_may_be(gateway: GatewayFactory) -> None:
    """While all are at work a new one is refused in words, and can come again when one has ended."""
    stage = await gateway(Sale("t/a", "alpha", "ok+ttft=700+tokens=2"), max_connections=4)
    caller = await stage.caller()
    async with unfinished(stage, caller.secret, 4), connected(stage.gateway) as line:
        await asyncio.sleep(0.1)
        await line.send(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        answer = await answered(line, 5) if not line.reader.at_eof() else None
        assert answer is not None
        status, headers, body = answer
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert b"too many connections" in body
    assert (await caller.chat("t/a")).status_code == 200


async def test_a_list_that_nobody_reads(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger who asks for large lists and reads nothing loses the connection, also one that is being closed."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.1)
    stage = await gateway(Sale("t/a", "alpha"), gap_timeout_s=0.5)
    held = stage.gateway.server.config.app.connections
    before = len(held)
    for end in ("keep-alive", "close"):
        async with connected(stage.gateway) as line:
            line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.writer.transport.pause_reading()  # type: ignore[attr-defined]
            request = f"GET /openapi.json HTTP/1.1\r\nHost: gateway\r\nConnection: {end}\r\n\r\n".encode()
            await line.send(request * (1 if end == "close" else 40))
            async with asyncio.timeout(20):
                while len(held) == before:
                    await asyncio.sleep(0.02)
                while len(held) > before:
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize(("most", "least"), [(40, 30), pytest.param(1000, 0, marks=pytest.mark.tail)])
async def test_streams_without_files_for_them(tmp_path: Path, most: int, least: int) -> None:
    """Where files run out, each stream is served whole or refused with 503; no vendor is blamed for it. Callers have half of the files,
    so that those who are let in are served; where they may have more, all may be refused, and afterwards everything works.
    """
    async with vendors("alpha") as (alpha,):
        config = write_catalog(
            tmp_path / "config", {"alpha": alpha.base_url}, [Sale("t/a", "alpha", "ok+ttft=500+tokens=20")]
        )
        async with served(config, tmp_path / "data", max_connections=most) as process:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (140, 140))
            key = await process.key()
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=process.url, timeout=60, limits=limits) as client:
                answers = await asyncio.gather(*(streamed(client, key) for _ in range(90)))
                served_whole = sum(answer == (200, True) for answer in answers)
                refused = sum(answer[0] in (0, 503) for answer in answers)
                assert served_whole >= least
                assert served_whole + refused == 90
                await asyncio.sleep(0.5)
                assert await streamed(client, key) == (200, True)
            kinds = {line.get("kind") for line in process.lines() if "kind" in line}
            assert "connect_refused" not in kinds


async def streamed(client: httpx.AsyncClient, key: str) -> tuple[int, bool]:
    """Status (0: no connection), and whether the stream came to its end."""
    try:
        async with client.stream(
            "POST",
            "/api/v1/chat/completions",
            json={**HELLO, "stream": True},
            headers={"authorization": f"Bearer {key}"},
        ) as answer:
            return answer.status_code, "[DONE]" in (await answer.aread()).decode()
    except httpx.TransportError:
        return 0, False


@pytest.mark.tail
async def test_workers_follow_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL to the parent: workers and store end, the port is free, and what they wrote only their user may read."""
    async with vendors("alpha") as (alpha,):
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, [Sale("t/a", "alpha")])
        data = tmp_path / "data"
        async with served(config, data, workers=2, shutdown_grace_s=1) as process:
            key = await process.key()
            async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
                assert await streamed(client, key) == (200, True)
            async with asyncio.timeout(30):
                while len(pids := workers(process.pid)) < 2:
                    await asyncio.sleep(0.05)
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*"))}
            assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}
            os.kill(process.pid, signal.SIGKILL)
            async with asyncio.timeout(30):
                while any(Path(f"/proc/{pid}").exists() for pid in pids):
                    await asyncio.sleep(0.05)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", process.port)
