"""A streamed answer end to end over sockets: the four clocks, early closing, refusals, broken ends; on both clients and loops."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
import respx

from providers.base import Stream
from providers.errors import ProviderError
from providers.transport import stream as driver
from providers.transport.client import Upstream
from providers.transport.httpx_client import HttpxClient
from providers.types import Call, Clocks, Event, Target
from tests.support.rawserver import Peer, RawServer
from tests.support.streams import DONE, HEY, OPENAI, REQUEST, ROLE, STOP, begin, event, saying
from tests.support.upstream import QUICK


async def drain(stream: Stream) -> tuple[list[Event], ProviderError | None]:
    """All events; every other call asks to be waited for."""
    events: list[Event] = []
    calls = 0

    def take(found: list[Event]) -> bool:
        nonlocal calls
        assert found
        events.extend(found)
        calls += 1
        return calls % 2 == 0

    try:
        while not await stream.pump(take):
            assert calls % 2
    except ProviderError as error:
        return events, error
    finally:
        await stream.aclose()
    return events, None


async def run(
    upstream: Upstream, server: RawServer, clocks: Clocks = QUICK
) -> tuple[list[Event], ProviderError | None]:
    try:
        stream = await begin(upstream, server, clocks)
    except ProviderError as error:  # on a busy machine a clock may fall before the headers are in
        return [], error
    return await drain(stream)


async def test_a_good_stream(upstream: Upstream) -> None:
    """Events come in order, the end is proper, and the next stream uses the same connection."""
    async with RawServer(saying(ROLE, HEY, 0.01, HEY, STOP, DONE)) as server:
        for _ in range(3):
            events, error = await run(upstream, server)
            assert error is None
            assert [one.content for one in events] == [False, True, True, False]
            assert [one.finish for one in events] == [None, None, None, "stop"]
            await asyncio.sleep(0.02)
        assert len(server.peers) <= (1 if type(upstream).__name__ == "Client" else 3)


@pytest.mark.parametrize(
    "pieces",
    [(), (b": PROCESSING\n\n",), (ROLE, ROLE), tuple(x for _ in range(60) for x in (b": x\n\n", 0.02))],
    ids=["nothing", "a comment", "roles", "comments for ever"],
)
async def test_first_content_clock(upstream: Upstream, pieces: tuple[bytes | float, ...]) -> None:
    """Headers, comments and role-only deltas are not content: the time-out is raised by name and closes the connection."""
    async with RawServer(saying(*pieces, then="hold")) as server:
        _, error = await run(upstream, server, Clocks(first_content_s=0.2, gap_s=0.1))
        assert error is not None
        assert (error.failure.kind, error.clock) == ("timeout_first_content", "first_content")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


@pytest.mark.parametrize(
    "pieces", [(HEY,), (HEY, *(x for _ in range(60) for x in (b": x\n\n", 0.02)))], ids=["silence", "comments for ever"]
)
async def test_gap_clock(upstream: Upstream, pieces: tuple[bytes | float, ...]) -> None:
    """After content a silent vendor falls to the gap clock, and comments do not help it."""
    async with RawServer(saying(*pieces, then="hold")) as server:
        events, error = await run(upstream, server, Clocks(gap_s=0.15))
        assert error is not None
        assert (error.failure.kind, error.clock, len(events)) == ("timeout_gap", "gap", 1)
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_events_keep_the_gap_clock_up(upstream: Upstream) -> None:
    """A stream much longer than the gap clock lives as long as its events come."""
    async with RawServer(saying(*(x for _ in range(20) for x in (HEY, 0.03)), STOP, DONE)) as server:
        events, error = await run(upstream, server, Clocks(gap_s=0.4))
        assert (error, len(events)) == (None, 21)


async def test_total_clock(upstream: Upstream) -> None:
    """A stream that never ends falls to the total clock, also one that drips."""
    async with RawServer(saying(*(x for _ in range(200) for x in (HEY, 0.02)), then="hold")) as server:
        events, error = await run(upstream, server, Clocks(total_s=0.25))
        assert error is not None
        assert (error.failure.kind, error.clock) == ("timeout_total", "total")
        assert events
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_a_slow_reader_is_not_the_vendors_fault(upstream: Upstream) -> None:
    """Time in which nothing is read is not a gap."""
    async with RawServer(saying(HEY, 0.05, HEY, STOP, DONE)) as server:
        stream = await begin(upstream, server, Clocks(gap_s=0.15))
        assert await stream.read()
        await asyncio.sleep(0.4)
        _, error = await drain(stream)
        assert error is None


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_cut(upstream: Upstream, then: str) -> None:
    """A stream that breaks off before its finish reason is ``cut``; after it, it is whole."""
    async with RawServer(saying(HEY, HEY[:20], then=then)) as server:
        events, error = await run(upstream, server)
        assert error is not None
        assert (error.failure.kind, len(events)) == ("cut", 1)
    async with RawServer(saying(HEY, STOP, 0.02, then=then)) as server:
        events, error = await run(upstream, server)
        assert (error, len(events)) == (None, 2)


async def test_body_that_ends_without_finish_is_cut(upstream: Upstream) -> None:
    """A proper end of the body is no proper end of the answer; a body without any event is ``empty``."""
    async with RawServer(saying(HEY)) as server:
        _, error = await run(upstream, server)
        assert error is not None
        assert error.failure.kind == "cut"
    async with RawServer(saying(b": hm\n\n")) as server:
        _, error = await run(upstream, server)
        assert error is not None
        assert error.failure.kind == "empty"


@pytest.mark.parametrize("then", ["end", "close"])
async def test_cut_in_the_middle_of_an_events_end(upstream: Upstream, then: str) -> None:
    """The last event lacks its blank line and there is no finish: it is delivered, and the cut is raised after it."""
    async with RawServer(saying(ROLE, HEY, event("you").rstrip(b"\n") + b"\n", then=then)) as server:
        events, error = await run(upstream, server)
    assert [e.chunk["choices"][0]["delta"].get("content") for e in events if e.content] == ["hey", "you"]
    assert error is not None
    assert error.failure.kind == "cut"


async def test_error_event_behind_content(upstream: Upstream) -> None:
    """Content that arrived in one piece with an error is delivered before the error is raised."""
    async with RawServer(saying(HEY + b'data: {"error":{"code":529,"message":"x"}}\n\n', then="hold")) as server:
        stream = await begin(upstream, server)
        assert len(await stream.read()) == 1
        with pytest.raises(ProviderError) as caught:
            await stream.read()
        assert caught.value.failure.kind == "overloaded"
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_done_ends_it_even_when_the_vendor_holds_the_connection(upstream: Upstream) -> None:
    """After [DONE] the reader waits for nothing, and a connection that never ends is closed soon after."""
    async with RawServer(saying(HEY, STOP + DONE, then="hold")) as server:
        events, error = await asyncio.wait_for(run(upstream, server), 3)
        assert (error, len(events)) == (None, 2)
        await asyncio.wait_for(server.peers[0].gone.wait(), 5)


async def test_closing_early(upstream: Upstream) -> None:
    """A cancelled reader gets its CancelledError, and closing the stream closes the vendor's connection."""
    async with RawServer(saying(HEY, then="hold")) as server:
        stream = await begin(upstream, server)
        assert await stream.read()
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stream.aclose()
        await stream.aclose()
        assert await stream.read() == []
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_cancelled_by_the_caller_and_by_a_clock_at_once(upstream: Upstream) -> None:
    """The clock ends the read with its own error; it never swallows or fakes the caller's cancellation."""
    async with RawServer(saying(HEY, then="hold")) as server:
        stream = await begin(upstream, server, Clocks(gap_s=0.05))
        assert await stream.read()
        try:
            async with asyncio.timeout(5):
                with pytest.raises(ProviderError):
                    await stream.read()
        finally:
            await stream.aclose()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_refusal(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status other than 200 is classified by status and body, also when its body never ends or breaks off."""
    monkeypatch.setattr(driver, "REFUSAL_S", 0.1)

    async def script(peer: Peer) -> None:
        while True:
            how = json.loads(await peer.request())["user"]
            if how == "whole":
                await peer.answer(b'{"error":{"code":"insufficient_quota"}}', status=429, headers="retry-after: 7\r\n")
                continue
            await peer.begin(status=503, kind="text/html")
            await peer.chunk(b"<html>")
            if how == "never ends":
                await peer.wait_gone()
            return

    async with RawServer(script) as server:
        for how, kind, retry in (
            ("whole", "quota_exhausted", 7.0),
            ("never ends", "overloaded", None),
            ("breaks off", "overloaded", None),
        ):
            with pytest.raises(ProviderError) as caught:
                await OPENAI.stream(upstream, Target("acme", server.url, "m"), Call({**REQUEST, "user": how}), QUICK)
            assert (caught.value.failure.kind, caught.value.retry_after_s) == (kind, retry)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":{"code":503,"message":"x"}}', "overloaded"),
        (b'{"choices":[{"message":{}}]}', "empty"),
        (b'{"choices":[{"message":{"content":"hey"', "malformed"),
        (b"<html>", "empty"),
    ],
)
async def test_json_where_a_stream_was_requested(upstream: Upstream, body: bytes, kind: str) -> None:
    """A 200 with one JSON document that is no answer is the error inside it, else empty or malformed."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(body)

    async with RawServer(script) as server:
        _, error = await run(upstream, server)
        assert error is not None
        assert error.failure.kind == kind


async def test_complete(upstream: Upstream) -> None:
    """The JSON verb: a whole answer is read, a refusal is classified."""

    async def script(peer: Peer) -> None:
        while True:
            if b'"bad"' in await peer.request():
                await peer.answer(b'{"error":{"message":"no"}}', status=401)
            else:
                await peer.answer(b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}')

    async with RawServer(script) as server:
        target = Target("acme", server.url, "m")
        answer = await OPENAI.complete(upstream, target, Call(REQUEST), QUICK)
        assert answer.body["choices"][0]["message"]["content"] == "hi"
        with pytest.raises(ProviderError) as caught:
            await OPENAI.complete(upstream, target, Call({**REQUEST, "user": "bad"}), QUICK)
        assert caught.value.failure.kind == "credential"


async def test_the_adapter_as_an_http_user_sees_it() -> None:
    """Through httpx with a replaced transport: exactly one request, with the URL, headers and body of the dialect."""
    router = respx.MockRouter(assert_all_called=True)
    route = router.post("https://vendor.example/v1/chat/completions", headers={"authorization": "Bearer k"}).mock(
        side_effect=[
            httpx.Response(200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}),
            httpx.Response(200, headers={"content-type": "text/event-stream"}, content=ROLE + HEY + STOP + DONE),
            httpx.Response(
                429, headers={"retry-after": "2"}, json={"error": {"message": "slow", "code": "rate_limit_exceeded"}}
            ),
            httpx.ConnectError("refused"),
        ]
    )
    client = HttpxClient(transport=httpx.MockTransport(router.async_handler))
    target = Target("vendor", "https://vendor.example/v1", "big-1", api_key="k")
    assert (await OPENAI.complete(client, target, Call(REQUEST), QUICK)).body["choices"][0]["finish_reason"] == "stop"
    events, error = await drain(await OPENAI.stream(client, target, Call(REQUEST), QUICK))
    assert (error, len(events)) == (None, 3)
    for kind, retry in (("rate_limited", 2.0), ("connect_refused", None)):
        with pytest.raises(ProviderError) as caught:
            await OPENAI.complete(client, target, Call(REQUEST), QUICK)
        assert (caught.value.failure.kind, caught.value.retry_after_s) == (kind, retry)
    assert [json.loads(call.request.content)["model"] for call in route.calls] == ["big-1"] * 4
    await client.aclose()
