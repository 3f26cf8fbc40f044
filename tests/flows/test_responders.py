"""Inference through both responders, our own protocol's and ASGI's: the client gets the same bytes."""

from __future__ import annotations

import re

import pytest

from tests.support.gateway import Caller, Stage, connected, events
from tests.support.responders import PATH, Answer, closes, on_both, question, read, request
from tests.support.vendor import Line, text_of
from tests.support.wireshape import GENERATION_ID

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stages = tuple[Stage, ...]
TEXT = "000 001 002 003 004 "


async def ask(line: Line, caller: Caller, *lines: str, **more: object) -> Answer:
    """One request and its answer."""
    await line.send(request(caller, *lines, body=question(**more)))
    return await read(line)


def whole(answer: Answer, *, text: str = TEXT) -> None:
    """A JSON answer as it must be."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.chunks is None
    body = answer.json()
    assert re.fullmatch(GENERATION_ID, body["id"])
    assert answer.headers["x-generation-id"] == body["id"]
    assert body["choices"][0]["message"]["content"] == text


def streamed(answer: Answer, *, text: str = TEXT) -> None:
    """A stream as it must be: whole events in every chunk, ended properly."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.chunks
    assert all(chunk.endswith(b"\n\n") for chunk in answer.chunks)
    found = events(answer.body.decode())
    assert found[-1] == "[DONE]"
    assert text_of(found) == text
    assert {each["id"] for each in found[:-1]} == {answer.headers["x-generation-id"]}


async def test_json_and_stream_on_one_connection(servers: Stages) -> None:
    """Many requests in turn on one connection, refusals in between; every answer is whole, and none closes the connection."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen = []
        async with connected(stage.gateway) as line:
            for number in range(8):
                answer = await ask(line, caller, stream=number % 2 == 1)
                (streamed if number % 2 else whole)(answer)
                seen.append(answer.plain)
                assert "connection" not in answer.headers
                if number % 3 == 0:
                    await line.send(request(caller, body=b"{"))
                    refusal = await read(line)
                    assert (refusal.status, "x-generation-id" in refusal.headers) == (400, False)
                    seen.append(refusal.plain)
            assert await line.silent()
        assert len(await caller.lines()) == 8
        return seen

    await on_both(servers, case)


@pytest.mark.parametrize("stream", [False, True])
async def test_connection_close(servers: Stages, stream: bool) -> None:
    """A client that sends it gets it back with the whole answer, and then the connection closes."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            answer = await ask(line, caller, "Connection: close", stream=stream)
            (streamed if stream else whole)(answer)
            assert answer.headers["connection"] == "close"
            assert await closes(line)
        return answer.plain

    await on_both(servers, case)


@pytest.mark.parametrize("path", [PATH, PATH + "?x=1"])
@pytest.mark.parametrize("stream", [False, True])
async def test_http_1_0(servers: Stages, stream: bool, path: str) -> None:
    """The client gets the answer without chunks, whatever it says about keeping the connection, and then the connection closes.
    ``Expect`` means nothing in this version. Under another protocol than ours this is up to the server."""
    stage = servers[0]
    caller = await stage.caller()
    lines = ("Connection: keep-alive", "Expect: 100-continue")
    async with connected(stage.gateway) as line:
        await line.send(request(caller, *lines, path=path, version="1.0", body=question(stream=stream)))
        answer = await read(line, version="1.0")
        assert await closes(line)
    assert answer.status == 200
    assert ("content-length" in answer.headers) is not stream
    if stream:
        found = events(answer.body.decode())
        assert (found[-1], text_of(found)) == ("[DONE]", TEXT)
    else:
        whole(answer)
    assert len(await caller.lines()) == 1


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/api/v1/models", 200), ("HEAD", "/healthz", None), ("GET", "/api/v1/nothing", 404), ("POST", PATH, 400)
])  # fmt: skip
async def test_http_1_0_beside_the_answers(servers: Stages, method: str, path: str, status: int | None) -> None:
    """Lists, refusals and whatever else there is, likewise."""
    stage = servers[0]
    caller = await stage.caller()
    async with connected(stage.gateway) as line:
        await line.send(request(caller, method=method, path=path, version="1.0"))
        answer = await read(line, method=method, version="1.0")
        assert status in (answer.status, None)
        assert await closes(line)
    if method != "HEAD":
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        "/v1/chat/completions",
        PATH + "?x=1",
        PATH + "?",
        "/v1/chat/%63ompletions?a=%20",
        "/%61pi/v1/chat/completions",
        f"http://gateway{PATH}",
    ],
)
async def test_every_spelling_of_a_path(servers: Stages, path: str) -> None:
    """A query, an escape or a whole address leads to the same surface, and the connection serves on."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen = []
        async with connected(stage.gateway) as line:
            for stream in (False, True, False):
                await line.send(request(caller, path=path, body=question(stream=stream)))
                answer = await read(line)
                (streamed if stream else whole)(answer)
                seen.append(answer.plain)
            whole(await ask(line, caller))
        return seen

    await on_both(servers, case)


@pytest.mark.parametrize("path", ["/api/v1/chat/completion", PATH + "/x", "//x", "/%ff"])
async def test_no_such_path(servers: Stages, path: str) -> None:
    """404 in the one error shape."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(request(caller, path=path, body=question()))
            answer = await read(line)
            assert (answer.status, answer.json()["error"]["metadata"]["error_type"]) == (404, "not_found")
            whole(await ask(line, caller))
        return answer.plain

    await on_both(servers, case)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_other_methods(servers: Stages, method: str) -> None:
    """405 in the one error shape, HEAD without a body; then the connection serves a POST."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(request(caller, method=method, body=question() if method in ("PUT", "PATCH") else b""))
            answer = await read(line, method=method)
            assert answer.status == 405
            assert answer.headers["content-type"] == "application/json"
            if method != "HEAD":
                assert answer.json()["error"]["metadata"]["error_type"] == "invalid_request"
            whole(await ask(line, caller))
        return answer.plain

    await on_both(servers, case)


async def test_refusals_are_alike(servers: Stages) -> None:
    """No key, a wrong key, a wrong model, a wrong field: status, headers and words, one after the other on one connection."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        good = request(caller, body=question())
        wrong = good.replace(caller.secret.encode(), b"sk-tw-v1-aaaaaaaa-" + b"A" * 43)
        bare = good.replace(b"Authorization: Bearer " + caller.secret.encode(), b"X-Nothing: x")
        requests = [
            bare,
            wrong,
            request(caller, body=question("t/none")),
            request(caller, body=question(temperature=9)),
        ]
        seen = []
        async with connected(stage.gateway) as line:
            for data, status in zip(requests, (401, 401, 400, 400), strict=True):
                await line.send(data)
                answer = await read(line)
                assert answer.status == status
                assert answer.json()["error"]["code"] == status
                seen.append(answer.plain)
            whole(await ask(line, caller))
        return seen

    await on_both(servers, case)
