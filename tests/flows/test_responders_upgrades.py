"""The rest of HTTP/1.1: requests to upgrade to another protocol, other protocols, trailers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.gateway import Caller, Stage, connected, events
from tests.support.invariants import calm
from tests.support.responders import Answer, chunked, closes, on_both, question, read, request
from tests.support.vendor import Line

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stages = tuple[Stage, ...]
WRONG = "sk-tw-v1-aaaaaaaa-" + "A" * 43


async def ask(line: Line, caller: Caller, *lines: str, **more: object) -> Answer:
    """One request and its answer."""
    await line.send(request(caller, *lines, body=question(**more)))
    return await read(line)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_an_upgrade_is_not_taken(servers: Stages, protocol: str) -> None:
    """A client that offers another protocol, as Java's does, is answered in HTTP/1.1, body and all; also when its requests are
    pipelined, come in pieces or have another path. (uvicorn alone loses the body.)
    """
    stage = servers[0]
    caller = await stage.caller()
    lines = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAAQ")
    async with connected(stage.gateway) as line:
        answer = await ask(line, caller, *lines)
        assert (answer.status, "upgrade" in answer.headers) == (200, False), answer.body
        assert events((await ask(line, caller, *lines, stream=True)).body.decode())[-1] == "[DONE]"
        assert (await ask(line, caller)).status == 200
        data = request(caller, *lines, body=question())
        for start in range(0, len(data), 50):
            await line.send(data[start : start + 50])
            await asyncio.sleep(0.001)
        assert (await read(line)).status == 200
        other = request(caller, *lines, method="GET", path="/api/v1/nothing")
        await line.send(data + other + data + request(caller, body=question()))
        answers = [await read(line) for _ in range(4)]
        assert [each.status for each in answers] == [200, 404, 200, 200]
        assert await line.silent()
    await calm(stage)


@pytest.mark.parametrize(
    "first", ["CONNECT gateway:443 HTTP/1.1", "PRI * HTTP/2.0", "POST / HTTP/3.0", "BREW / HTTP/1.1"]
)
async def test_other_protocols(servers: Stages, first: str) -> None:
    """400 and the end."""

    async def case(stage: Stage) -> int:
        async with connected(stage.gateway) as line:
            await line.send(f"{first}\r\nHost: gateway\r\n\r\n".encode())
            status, headers, _ = await line.response()
            assert headers["connection"] == "close"
            assert await closes(line)
        return status

    assert await on_both(servers, case) == 400


# -- trailers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("trailers", ["Authorization: Bearer x", "X-Api-Key: y", "Connection: Upgrade\r\nUpgrade: h2c"])
async def test_trailers_are_no_headers(servers: Stages, trailers: str, late: bool) -> None:
    """Trailers of a chunked body cannot change the caller's key, whether they come with the head or later. (uvicorn alone mixes them.)"""
    stage = servers[0]
    caller = await stage.caller()
    data = request(caller, "Transfer-Encoding: chunked", "Trailer: Authorization")
    async with connected(stage.gateway) as line:
        if late:
            await line.send(data)
            await asyncio.sleep(0.002)
            data = b""
        await line.send(data + chunked(question(), 20)[:-2] + trailers.encode() + b"\r\n\r\n")
        assert (await read(line)).status == 200
        assert (await ask(line, caller)).status == 200


@pytest.mark.parametrize("filler", [b"x: y\r\n" * 20_000, b"x" * 120_000], ids=["many", "one"])
async def test_trailers_without_end(servers: Stages, filler: bytes) -> None:
    """They are cut like a head without end, with a good key and with a wrong one."""
    stage = servers[0]
    caller = await stage.caller()
    for secret in (caller.secret, WRONG):
        head = request(caller, "Transfer-Encoding: chunked").replace(caller.secret.encode(), secret.encode())
        sent = 0
        async with connected(stage.gateway) as line:
            with contextlib.suppress(ConnectionError):
                await line.send(head + chunked(question(), 20)[:-2] + b"x: ")
                while sent < 100_000_000 and not line.writer.transport.is_closing():
                    await line.send(filler)
                    sent += len(filler)
                    await asyncio.sleep(0)
        assert sent < 20_000_000
    await calm(stage)
