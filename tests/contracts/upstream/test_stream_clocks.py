"""Signs of life, ends that never come, refusals whose body does not end, and headers that do not come; on both clients and loops."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import NamedTuple

import pytest

from providers.errors import ProviderError
from providers.transport import client, stream
from providers.transport.client import Upstream
from providers.types import Call, Clocks, Event, Target
from tests.support.rawserver import Peer, RawServer
from tests.support.streams import DONE, HEY, OPENAI, REQUEST, ROLE, STOP, begin, saying
from tests.support.upstream import QUICK, ask, refused

COMMENT, PING = b": PROCESSING\n\n", b'event: ping\ndata: {"type":"ping"}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
SILENT = Clocks(first_content_s=0.5, gap_s=0.5, total_s=30)
"""The pauses below are a tenth of it: a busy machine has to be very late to be taken for a silent vendor."""
PAUSE = 0.05


async def read(upstream: Upstream, server: RawServer, clocks: Clocks) -> tuple[list[Event], ProviderError | None]:
    opened = await begin(upstream, server, clocks)
    events: list[Event] = []
    try:
        while found := await opened.read():
            events += found
    except ProviderError as error:
        return events, error
    finally:
        await opened.aclose()
    return events, None


def signs(*kinds: bytes) -> list[bytes | float]:
    """Each of them for longer than the clocks allow silence."""
    return [piece for sign in kinds for _ in range(12) for piece in (sign, PAUSE)]


async def test_thinking_is_not_silence(upstream: Upstream) -> None:
    """Whatever shows that the vendor is alive keeps the stream alive, before the first content and behind it."""
    pieces = [*signs(COMMENT, ROLE, PING, b"\n"), HEY, *signs(COMMENT, PING), HEY, STOP, DONE]
    async with RawServer(saying(*pieces)) as server:
        events, error = await read(upstream, server, SILENT)
    assert error is None
    assert events[-1].finish == "stop"


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [([], "timeout_first_content"), ([ROLE], "timeout_first_content"), ([HEY], "timeout_gap")],
    ids=["before", "role", "within"],
)
async def test_thinking_has_an_end(upstream: Upstream, pieces: list[bytes], kind: str) -> None:
    """Comments for ever: the bound of thinking falls, though there was never silence; the connection is closed."""
    clocks = Clocks(first_content_s=0.5, gap_s=0.5, thinking_s=0.7, total_s=20)
    endless = [piece for _ in range(300) for piece in (COMMENT, PAUSE)]
    async with RawServer(saying(*pieces, *endless, then="hold")) as server:
        _, error = await read(upstream, server, clocks)
        assert error is not None
        assert (error.failure.kind, error.message.split("limit of ")[1]) == (kind, "0.7 s passed")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_headers_are_a_sign_of_life(upstream: Upstream) -> None:
    """A vendor that holds its headers back has begun to answer when they come: the first content may take as long again."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.4)
        await peer.begin()
        await asyncio.sleep(0.4)
        await peer.chunk(HEY + STOP + DONE)
        await peer.end()

    async with RawServer(script) as server:
        events, error = await read(upstream, server, SILENT)
    assert (error, events[-1].finish) == (None, "stop")


@pytest.mark.parametrize(
    "pieces",
    [
        [HEY, STOP, USAGE],
        [HEY, USAGE, STOP],
        [HEY + STOP + USAGE],
        [HEY, STOP],
        [HEY, STOP, 0.02, USAGE],
        [HEY, STOP, USAGE, *signs(COMMENT)],
    ],
    ids=["usage last", "usage first", "at once", "no usage", "usage later", "comments for ever"],
)
async def test_an_end_that_nobody_says(
    upstream: Upstream, pieces: list[bytes | float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither [DONE] nor the end of the body after the finish reason: the answer is whole, and its connection is closed."""
    monkeypatch.setattr(stream, "END_S", 0.2)
    monkeypatch.setattr(stream, "USAGE_S", 0.4)
    async with RawServer(saying(*pieces, then="hold")) as server:
        events, error = await asyncio.wait_for(read(upstream, server, Clocks()), 10)
        assert error is None
        assert [event.finish for event in events if event.finish] == ["stop"]
        assert any(event.usage for event in events) == (USAGE in b"".join(p for p in pieces if isinstance(p, bytes)))
        await asyncio.wait_for(server.peers[0].gone.wait(), 5)
        await begin(upstream, server, QUICK)
        assert len(server.peers) == 2  # the connection was not used again


async def test_content_behind_the_finish_reason_counts(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the end begins anew with every event."""
    monkeypatch.setattr(stream, "END_S", 0.6)
    late = [piece for _ in range(16) for piece in (USAGE, PAUSE)]
    async with RawServer(saying(HEY, STOP, USAGE, *late, then="hold")) as server:
        events, error = await read(upstream, server, Clocks())
    assert (error, len([event for event in events if event.usage])) == (None, 17)


@pytest.mark.parametrize(
    ("status", "body", "then", "kind"),
    [
        (503, b'{"error": {"mess', "hold", "overloaded"),
        (500, b"", "hold", "server_error"),
        (429, b"", "hold", "rate_limited"),
        (502, b"<html>", "close", "server_error"),
        (401, b"{", "reset", "credential"),
    ],
)
@pytest.mark.parametrize("verb", ["complete", "stream"])
async def test_a_refusal_is_known_by_its_status(
    upstream: Upstream, status: int, body: bytes, then: str, kind: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its body may never end, or break off: after a moment the status is the answer, for JSON and streams alike."""
    monkeypatch.setattr(client, "REFUSAL_S", 0.1)

    async def script(peer: Peer) -> None:
        await peer.request()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
        await peer.send(head.encode() + body)
        if then == "hold":
            await peer.wait_gone()
        elif then == "reset":
            await asyncio.sleep(0.05)
            peer.reset()

    async with RawServer(script) as server:
        call = getattr(OPENAI, verb)(upstream, Target("acme", server.url, "m"), Call(REQUEST), Clocks())
        error = await asyncio.wait_for(refused(call), 10)
        assert (error.failure.kind, error.status) == (kind, status)
        await asyncio.wait_for(server.peers[0].gone.wait(), 5)


class Body(NamedTuple):
    """A JSON answer that comes in pieces, and the clock that falls behind the last of them; None: its rest comes."""

    pieces: list[bytes]
    pause_s: float = 0.0
    """Behind each piece."""
    clock: str | None = None
    clocks: Clocks = Clocks(gap_s=1, total_s=20)
    packed: bool = False


SHORT = Clocks(gap_s=9, total_s=0.5)
BODIES = {
    "blanks before it": Body([b"\n", b" \n"], 1.2),
    "blanks before it, gzip": Body([b"\n"], 1.2, packed=True),
    "a document that begins": Body([b'{"a": '], clock="gap"),
    "a document that begins, gzip": Body([b'{"a": '], clock="gap", packed=True),
    "blanks, then a document that begins": Body([b"\n", b'{"a": '], 1.2, "gap"),
    "a document, slowly": Body([bytes([byte]) for byte in b'{"a": '], 0.25),
    "blanks within it": Body([b'{"a": ', *[b"\n"] * 4], 0.25),
    "blanks without an end": Body([b"\n"], clock="total", clocks=SHORT),
    "a document without an end": Body([b'{"a": '], clock="total", clocks=SHORT),
}


async def answered(upstream: Upstream, body: Body) -> str | None:
    """The clock that fell; None when the whole answer came."""
    packer = zlib.compressobj(wbits=31)

    def sent(piece: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
        return packer.compress(piece) + packer.flush(flush) if body.packed else piece

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin(kind="application/json", headers="content-encoding: gzip\r\n" if body.packed else "")
        for piece in body.pieces:
            await peer.chunk(sent(piece))
            await asyncio.sleep(body.pause_s)
        if body.clock is None:
            began = any(piece.strip() for piece in body.pieces)
            await peer.chunk(sent(b"1}" if began else b'{"a": 1}', zlib.Z_FINISH))
            await peer.end()
        await peer.wait_gone()

    async with RawServer(script) as server:
        if body.clock is None:
            response = await upstream.send(ask(server.url), body.clocks)
            assert json.loads(response.content) == {"a": 1}
            return None
        error = await asyncio.wait_for(refused(upstream.send(ask(server.url), body.clocks)), 8)
        assert error.failure.kind == f"timeout_{error.clock}"
        await asyncio.wait_for(server.peers[0].gone.wait(), 5)
        return error.clock


async def test_the_clocks_of_a_json_answers_body(upstream: Upstream) -> None:
    """Once its document has begun, silence is a failure; before, and through blanks, the vendor has the whole time."""
    fell = await asyncio.gather(*(answered(upstream, body) for body in BODIES.values()))
    assert dict(zip(BODIES, fell, strict=True)) == {name: body.clock for name, body in BODIES.items()}


async def test_the_clock_of_a_json_answers_headers(upstream: Upstream) -> None:
    """Headers that do not come fall to the first clock; a body that takes long after them has the whole time."""

    async def script(peer: Peer) -> None:
        while True:
            how = await peer.request()
            if how == b"silent":
                await peer.wait_gone()
            await peer.begin(kind="application/json")
            for byte in b'{"a": 1}':
                await asyncio.sleep(0.1)
                await peer.chunk(bytes([byte]))
            await peer.end()

    clocks = Clocks(first_content_s=0.5, total_s=20)
    async with RawServer(script) as server:
        response = await upstream.send(ask(server.url, b"slow"), clocks)
        assert json.loads(response.content) == {"a": 1}
        error = await refused(upstream.send(ask(server.url, b"silent"), clocks))
        assert (error.failure.kind, error.clock) == ("timeout_first_content", "first_content")
        await asyncio.wait_for(server.peers[-1].gone.wait(), 2)
