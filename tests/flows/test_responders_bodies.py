"""Bodies that arrive in every way, over our own protocol and over ASGI: the same answers, and the connection stays usable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.gateway import Caller, Stage, connected
from tests.support.responders import Answer, chunked, on_both, question, read, request
from tests.support.vendor import Line

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stages = tuple[Stage, ...]
LIMIT = 8_000_000
WRONG = "sk-tw-v1-aaaaaaaa-" + "A" * 43


async def pause() -> None:
    """Long enough for what was sent to be read by itself."""
    await asyncio.sleep(0.002)


async def fine(line: Line, caller: Caller) -> None:
    """The connection is usable: a whole request gets its own answer, and nothing else comes."""
    await line.send(request(caller, body=question(max_tokens=2)))
    answer = await read(line)
    assert (answer.status, answer.chunks) == (200, None), answer.body
    assert answer.json()["usage"]["completion_tokens"] == 2
    assert await line.silent(0.02)


async def pieces(line: Line, data: bytes, size: int) -> None:
    """Send bytes so that each group arrives by itself."""
    for start in range(0, len(data), size):
        await line.send(data[start : start + size])
        await pause()


def taken(answer: Answer, *, stream: bool = False) -> None:
    """The body was understood."""
    assert answer.status == 200, answer.body
    assert (answer.chunks is not None) is stream
    assert b"004 " in answer.body


async def in_order(line: Line, head: bytes, body: bytes) -> None:
    """The head, then the body in groups of a few bytes."""
    await line.send(head)
    await pause()
    await pieces(line, body, 13)


async def torn(line: Line, head: bytes, body: bytes) -> None:
    """Everything in groups of a few bytes, head included."""
    await pieces(line, head + body, 29)


async def together(line: Line, head: bytes, body: bytes) -> None:
    """The end of the head and the start of the body in one piece."""
    await line.send(head[:-1])
    await pause()
    await line.send(head[-1:] + body[:10])
    await pause()
    await line.send(body[10:])


@pytest.mark.parametrize("way", [in_order, torn, together])
@pytest.mark.parametrize("coding", ["length", "chunked"])
async def test_a_body_in_pieces(servers: Stages, way: Callable[..., Awaitable[None]], coding: str) -> None:
    """However head and body are cut, JSON and streams."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen = []
        async with connected(stage.gateway) as line:
            for stream in (False, True):
                body = question(stream=stream)
                more = () if coding == "length" else ("Transfer-Encoding: chunked",)
                head = request(caller, *more or (f"Content-Length: {len(body)}",))
                await way(line, head, body if coding == "length" else chunked(body, 7))
                answer = await read(line)
                taken(answer, stream=stream)
                seen.append(answer.plain)
                await fine(line, caller)
        return seen

    await on_both(servers, case)


@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("size", [65_536, 65_537, 300_000, 5_000_000])
async def test_a_large_body(servers: Stages, size: int, coding: str) -> None:
    """Larger than what is read without a pause: whole, for JSON and streams, and the connection goes on."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen = []
        async with connected(stage.gateway) as line:
            for stream in (False, True):
                body = question(stream=stream).ljust(size)
                if coding == "length":
                    await line.send(request(caller, body=body))
                else:
                    await line.send(request(caller, "Transfer-Encoding: chunked") + chunked(body, 50_000))
                answer = await read(line)
                taken(answer, stream=stream)
                seen.append(answer.plain)
            await fine(line, caller)
        return seen

    await on_both(servers, case)


# -- 100-continue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_expect_continue(servers: Stages, stream: bool) -> None:
    """The 100 comes first, once, then the answer; a client that does not wait for it gets the answer as well."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        body = question(stream=stream)
        head = request(caller, "Expect: 100-Continue", f"Content-Length: {len(body)}")
        seen = []
        async with connected(stage.gateway) as line:
            for _ in range(2):
                await line.send(head)
                async with asyncio.timeout(20):
                    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                await pieces(line, body, 40)
                answer = await read(line)
                taken(answer, stream=stream)
                seen.append(answer.plain)
                await fine(line, caller)
        return seen

    await on_both(servers, case)


async def test_expect_continue_and_not_waiting(servers: Stages) -> None:
    """A client that sends the body at once may or may not get the 100; then the answer follows."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(request(caller, "Expect: 100-continue", body=question()))
            async with asyncio.timeout(20):
                first = await line.reader.readexactly(12)
            if first == b"HTTP/1.1 100":
                await line.reader.readuntil(b"\r\n\r\n")
                answer = await read(line)
                taken(answer)
            else:
                assert first == b"HTTP/1.1 200"
                raw = await line.reader.readuntil(b"\r\n\r\n")
                (length,) = [each for each in raw.split(b"\r\n") if each.startswith(b"content-length: ")]
                assert b"004 " in await line.reader.readexactly(int(length[16:]))
            await fine(line, caller)
        return None

    await on_both(servers, case)


@pytest.mark.parametrize("why", ["key", "size"])
async def test_expect_continue_refused(servers: Stages, why: str) -> None:
    """A refusal comes without a 100; for a client that sends the body all the same the connection stays usable."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        body = question() if why == "key" else question().ljust(LIMIT + 1)
        head = request(caller, "Expect: 100-continue", f"Content-Length: {len(body)}")
        if why == "key":
            head = head.replace(caller.secret.encode(), WRONG.encode())
        async with connected(stage.gateway) as line:
            await line.send(head)
            answer = await read(line)
            assert answer.status == (401 if why == "key" else 413)
            await line.send(body)
            await fine(line, caller)
        return answer.plain

    await on_both(servers, case)


# -- refused before the body is there ----------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["length", "chunked"])
async def test_a_wrong_key_before_the_body(servers: Stages, coding: str) -> None:
    """401 at once; the body that follows is thrown away, though it looks like a request itself."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        hidden = request(caller, body=question())
        more = f"Content-Length: {len(hidden)}" if coding == "length" else "Transfer-Encoding: chunked"
        head = request(caller, more).replace(caller.secret.encode(), WRONG.encode())
        async with connected(stage.gateway) as line:
            await line.send(head)
            answer = await read(line)
            assert answer.status == 401
            await pieces(line, hidden if coding == "length" else chunked(hidden, 50), 100)
            assert await line.silent()
            await fine(line, caller)
        assert len(stage.vendors["alpha"].log.requests) == 1
        return answer.plain

    await on_both(servers, case)


async def test_too_large_by_its_length(servers: Stages) -> None:
    """413 when the head is in; the rest is thrown away and the next request is answered."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        body = question().ljust(LIMIT + 1)
        async with connected(stage.gateway) as line:
            await line.send(request(caller, f"Content-Length: {len(body)}") + body[:1000])
            answer = await read(line)
            assert (answer.status, answer.json()["error"]["metadata"]["error_type"]) == (413, "payload_too_large")
            await line.send(body[1000:])
            await fine(line, caller)
        return answer.plain

    await on_both(servers, case)


async def test_too_large_by_its_chunks(servers: Stages) -> None:
    """413 as soon as there is too much, in the middle of the body; what follows of it is thrown away."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        chunk = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
        async with connected(stage.gateway) as line:
            await line.send(request(caller, "Transfer-Encoding: chunked") + chunk * 81)
            answer = await read(line)
            assert answer.status == 413
            await line.send(chunk * 5 + b"0\r\n\r\n")
            await fine(line, caller)
        return answer.plain

    await on_both(servers, case)


async def test_a_body_that_never_comes(servers: Stages) -> None:
    """408 after its time; what arrives later belongs to the refused request and gets no answer."""

    async def case(stage: Stage) -> object:
        caller = await stage.caller()
        body = question()
        async with connected(stage.gateway) as line:
            await line.send(request(caller, body=body)[:-20])
            answer = await read(line)
            assert (answer.status, answer.json()["error"]["metadata"]["error_type"]) == (408, "timeout")
            await line.send(body[-20:])
            await fine(line, caller)
        return answer.plain

    await on_both(servers, case)


@pytest.mark.parametrize("reset", [False, True])
async def test_disconnect_inside_the_body(servers: Stages, reset: bool) -> None:
    """In its first bytes, in the middle of a large one, behind a 100: no vendor gets a request, nothing is left."""

    async def case(stage: Stage) -> int:
        caller = await stage.caller()
        body = question().ljust(500_000)
        head = request(caller, f"Content-Length: {len(body)}")
        expecting = request(caller, f"Content-Length: {len(body)}", "Expect: 100-continue")
        for data in (head, head + body[:10], head + body[:70_000], head + body[:-1], expecting):
            async with connected(stage.gateway) as line:
                await line.send(data)
                await pause()
                assert stage.gateway.in_flight.requests
                if not reset:
                    line.writer.write_eof()
                    assert await line.rest() in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
        await stage.gateway.settled()
        assert await caller.lines() == []
        return len(stage.vendors["alpha"].log.requests)

    assert await on_both(servers, case) == 0
