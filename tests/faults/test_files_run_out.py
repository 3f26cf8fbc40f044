"""A process that may open no more files refuses in words, and works again without a restart when it has got them back."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from pathlib import Path

import httpx
import pytest

from gateway.store.client import Store
from gateway.store.embedded import Embedded
from tests.support.gateway import ADMIN_KEY, Sale, write_catalog
from tests.support.process import Process, served
from tests.support.vendor import vendors

HELLO = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}]}
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
REFUSED = (
    "This gateway process has no connection left for a provider; try again.",
    "Service Unavailable: too many connections.",
)
"""The one is said after the request was read, the other to its connection."""
GET_AGAIN = ["/readyz", "/healthz", "/metrics", "/v1/models", "/openapi.json", "/api/v1/providers", "/"]


async def asked(client: httpx.AsyncClient, key: str, *, stream: bool) -> int:
    """The status of a chat completion that was read to its end; 0: no connection, or one that broke."""
    try:
        answer = await client.post(
            "/api/v1/chat/completions", json={**HELLO, "stream": stream}, headers={"authorization": f"Bearer {key}"}
        )
    except httpx.TransportError:
        return 0
    whole = not stream or answer.status_code != 200 or "[DONE]" in answer.text
    return answer.status_code if whole else 0


async def works(process: Process, key: str) -> None:
    """Everything that needs a file: new connections, the store, the vendor, lists, the management API."""
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        for stream in (False, True):
            assert await asked(client, key, stream=stream) == 200
        for path in GET_AGAIN:
            assert (await client.get(path)).status_code == 200, path
        assert (await client.post("/api/v1/keys", json={"name": "new"}, headers=ADMIN)).status_code in (200, 201)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.tail)])
@pytest.mark.parametrize("lost", ["nothing", "store"])
async def test_files_come_back(tmp_path: Path, valkey_server: Embedded, store: Store, lost: str, workers: int) -> None:
    """Without files nothing new is opened; with them everything is as before. ``lost``: what must be opened anew afterwards."""
    async with vendors("alpha") as (alpha,):
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, [Sale("t/a", "alpha")])
        async with served(config, tmp_path / "data", redis_url=valkey_server.url, workers=workers) as process:
            key = await process.key()
            await works(process, key)
            pids = [process.pid, *children(process.pid)]
            before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
            async with httpx.AsyncClient(base_url=process.url, timeout=30) as old:
                assert await asked(old, key, stream=False) == 200
                for pid in pids:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[pid][1]))
                if lost == "store":
                    await store.redis.client_kill_filter(_type="normal", skipme=True)
                found = Counter([await asked(old, key, stream=bool(number % 2)) for number in range(6)])
                assert set(found) <= {0, 200, 503}, found
                async with httpx.AsyncClient(base_url=process.url, timeout=2) as new:
                    assert await asked(new, key, stream=True) in (0, 200, 503)
                for pid in pids:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, before[pid])
            await again(process, key)
            await works(process, key)


async def again(process: Process, key: str) -> None:
    """Wait until it is served as before: what failed is tried again after a pause."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=process.url, timeout=5) as client:
        while await asked(client, key, stream=True) != 200:
            await asyncio.sleep(0.1)


def children(pid: int) -> list[int]:
    """The processes that it has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.tail
@pytest.mark.parametrize(("most", "least"), [(1000, 250), (500, 450)])
async def test_honest_streams_under_a_usual_limit(tmp_path: Path, most: int, least: int) -> None:
    """700 streams at once with 1,024 files: each is served whole, or refused with 503 and a reason; afterwards all is well. With 500
    connections of callers, about half of the files, none of those that are let in lacks a file for the vendor.
    """
    async with vendors("alpha") as (alpha,):
        config = write_catalog(
            tmp_path / "config", {"alpha": alpha.base_url}, [Sale("t/a", "alpha", "ok+ttft=2000+tokens=20")]
        )
        async with served(config, tmp_path / "data", max_connections=most) as process:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
            keys = [await process.key() for _ in range(7)]  # one key may not have so many bodies under way
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=process.url, timeout=60, limits=limits) as client:
                found = Counter(await asyncio.gather(*(outcome(client, keys[number % 7]) for number in range(700))))
            assert set(found) <= {"whole", *REFUSED}, found
            assert found["whole"] >= least, found
            assert (REFUSED[0] in found) == (most == 1000), found
            await works(process, keys[0])


async def outcome(client: httpx.AsyncClient, key: str) -> str:
    """``whole``, or what the refusal says."""
    headers = {"authorization": f"Bearer {key}"}
    try:
        answer = await client.post("/api/v1/chat/completions", json={**HELLO, "stream": True}, headers=headers)
    except (httpx.ReadError, httpx.WriteError):  # the request was on its way when its connection was refused
        return REFUSED[1]
    if answer.status_code == 503:
        return str(answer.json()["error"]["message"])
    return "whole" if answer.status_code == 200 and "[DONE]" in answer.text else answer.text[-300:]
