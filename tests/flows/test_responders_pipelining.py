"""Requests that are sent before the one ahead of them is answered (pipelining), through both responders."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.gateway import Caller, Stage, connected, events
from tests.support.invariants import calm, content
from tests.support.responders import Answer, closes, on_both, question, read, request
from tests.support.vendor import Line, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stages = tuple[Stage, ...]
TOGETHER, APART = "in one piece", "each by itself"


def one(caller: Caller, model: str = "t/a", *lines: str, **more: object) -> bytes:
    """One request."""
    return request(caller, *lines, body=question(model, **more))


async def put(line: Line, how: str, *requests: bytes) -> None:
    """Send requests without waiting for answers."""
    if how == TOGETHER:
        await line.send(b"".join(requests))
        return
    for data in requests:
        await line.send(data)
        await asyncio.sleep(0.01)


def tokens(answer: Answer) -> tuple[bool, int]:
    """Whether it was a stream, and its length in tokens: which request it belongs to."""
    assert answer.status == 200, answer.body
    if answer.chunks is None:
        return False, answer.json()["usage"]["completion_tokens"]
    found = events(answer.body.decode())
    assert found[-1] == "[DONE]"
    return True, found[-2]["usage"]["completion_tokens"]


@pytest.mark.parametrize("how", [TOGETHER, APART])
@pytest.mark.parametrize("first", [False, True], ids=["JSON first", "stream first"])
async def test_answers_in_order(servers: Stages, how: str, first: bool) -> None:
    """JSON and streams mixed, the slowest in front: each whole and in its place, and afterwards the connection serves on."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen: list[object] = []
        async with connected(stage.gateway) as line:
            for _ in range(2):
                requests = [
                    one(caller, "t/late", stream=first),
                    one(caller, stream=not first, max_tokens=1),
                    one(caller, stream=first, max_tokens=2),
                ]
                await put(line, how, *requests)
                answers = [await read(line) for _ in requests]
                assert [tokens(each) for each in answers] == [(first, 3), (not first, 1), (first, 2)]
                seen += [each.plain for each in answers]
                await line.send(one(caller, max_tokens=4))
                assert tokens(await read(line)) == (False, 4)
        assert len(await caller.lines()) == 8
        return seen

    await on_both(servers, case)


async def test_others_in_between(servers: Stages) -> None:
    """Refusals, lists, unknown paths and large bodies are answered in the same order."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        large = question(max_tokens=3).ljust(150_000)
        requests = [
            one(caller, "t/late"),
            request(caller, method="GET", path="/api/v1/nothing"),
            request(caller, body=b"["),
            request(caller, body=large),
            request(caller, method="GET"),
            one(caller, stream=True, max_tokens=1),
        ]
        async with connected(stage.gateway) as line:
            await line.send(b"".join(requests))
            answers = [await read(line) for _ in requests]
        assert [each.status for each in answers] == [200, 404, 400, 200, 405, 200]
        assert tokens(answers[3]) == (False, 3)
        return [each.plain for each in answers]

    await on_both(servers, case)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_served_behind_a_close(servers: Stages, stream: bool) -> None:
    """A request after one with ``Connection: close`` gets no answer and is not charged."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        requests = [one(caller, max_tokens=1), one(caller, "t/late", "Connection: close", stream=stream), one(caller)]
        async with connected(stage.gateway) as line:
            await line.send(b"".join(requests))
            answers = [await read(line), await read(line)]
            assert [tokens(each) for each in answers] == [(False, 1), (stream, 3)]
            assert answers[1].headers["connection"] == "close"
            assert await closes(line)
        assert len(stage.vendors["alpha"].log.requests) == 2
        assert len(await caller.lines()) == 2
        return [each.plain for each in answers]

    await on_both(servers, case)


async def middle(line: Line) -> None:
    """Read a stream up to its twentieth token."""
    await line.head()
    text = ""
    while len(content(events(text))) < 20:
        text += (await line.chunk()).decode()


@pytest.mark.parametrize("moment", ["in the first", "in the second"])
async def test_disconnect_with_pipelined_requests(servers: Stages, moment: str) -> None:
    """The request under way is stopped and settled once; those behind it never reach a vendor."""

    async def case(stage: Stage) -> tuple[int, list[str]]:
        caller = await stage.caller()
        sim = stage.vendors["alpha"]
        running = one(caller) if moment == "in the second" else one(caller, "t/talks", stream=True)
        behind = [one(caller, "t/talks", stream=True), one(caller, "t/waits"), one(caller, stream=True)]
        async with connected(stage.gateway) as line:
            await put(line, TOGETHER, running, *behind)
            if moment == "in the second":
                await read(line)
            await middle(line)
            await until(lambda: sim.log.in_flight == 1)
        await until(lambda: sim.log.in_flight == 0)
        await stage.gateway.settled()
        assert sim.log.requests[-1].client_closed_early
        return len(sim.log.requests), [each.type for each in await caller.lines()]

    started, lines = await on_both(servers, case)
    assert started == (2 if moment == "in the second" else 1)
    assert lines == ["settled"] * started


@pytest.mark.parametrize("how", [TOGETHER, APART])
@pytest.mark.parametrize("front", [False, True], ids=["the first", "the second"])
async def test_disconnect_while_further_requests_arrive(servers: Stages, front: bool, how: str) -> None:
    """A waiting request does not hide that the client of an answer has disconnected. (uvicorn alone does not notice.)"""
    stage = servers[0]
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    sim.log.reset()
    async with connected(stage.gateway) as line:
        if front:
            await line.send(one(caller, "t/late") + one(caller, "t/waits", stream=True))
            await read(line)
        else:
            await line.send(one(caller, "t/waits", stream=True))
        await until(lambda: sim.log.in_flight == 1)
        await put(line, how, *[one(caller)] * 5)
        await asyncio.sleep(0.01)
    await until(lambda: sim.log.in_flight == 0)
    await calm(stage)
    assert len(sim.log.requests) == 1 + front
    assert sim.log.requests[-1].client_closed_early
    assert len(await caller.lines()) == 1 + front


async def test_a_line_without_end(servers: Stages) -> None:
    """400 and the end, long before thousands wait in memory; the one under way is stopped and settled."""
    stage = servers[0]
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    sim.log.reset()
    async with connected(stage.gateway) as line:
        await line.send(one(caller, "t/waits", stream=True))
        await until(lambda: sim.log.in_flight == 1)
        await line.send(one(caller) * 150)
        status, headers, _ = await line.response()
        assert (status, headers["connection"]) == (400, "close")
    await calm(stage)
    assert len(sim.log.requests) == 1


async def test_garbage_in_line(servers: Stages) -> None:
    """What is not HTTP ends the connection; the request in front of it is stopped and settled."""

    async def case(stage: Stage) -> int:
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(one(caller, "t/waits", stream=True) + b"\x00\x01 garbage\r\n\r\n")
            status, headers, _ = await line.response()
            assert (status, headers["connection"]) == (400, "close")
            assert await closes(line)
        await stage.gateway.settled()
        return status

    await on_both(servers, case)
