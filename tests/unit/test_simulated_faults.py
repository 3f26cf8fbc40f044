"""Each fault at byte level, and what the request log says about it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from simulator import SimulatedVendor
from simulator.bodies import GARBAGE
from tests.support.vendor import Line, events, line, text_of, until, vendor


async def ended(sim: SimulatedVendor) -> Any:
    """The only request's entry, once it has ended."""
    await until(lambda: sim.log.requests and sim.log.requests[0].ending)
    return sim.log.requests[0]


async def chunks_until_end(wire: Line) -> tuple[list[Any], bytes]:
    """Head and everything after it: the decoded events of the whole chunks, and the raw bytes."""
    status, _ = await wire.head()
    assert status == 200
    raw = await wire.rest()
    whole = [part for part in raw.split(b"\r\n") if part.startswith(b"data: ") and part.endswith(b"\n\n")]
    return events(b"".join(whole)), raw


@pytest.mark.parametrize("status", [400, 401, 402, 403, 413, 422, 429, 500, 502, 503, 529])
async def test_status_answers(status: int) -> None:
    """status=CODE gives that status with OpenAI's envelope, for streams too, and is not billed."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(f"status={status}+retry_after=soon+code=x_y", stream=True)
        found, headers, body = await wire.response()
        assert (found, headers["retry-after"], json.loads(body)["error"]["code"]) == (status, "soon", "x_y")
        entry = await ended(sim)
        assert (entry.ending, entry.status, entry.billed_prompt_tokens) == ("refused", status, 0)


async def test_html_error_of_a_proxy() -> None:
    """status=502+html is a page, not JSON."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("status=502+html")
        status, headers, body = await wire.response()
        assert (status, headers["content-type"], body[:6]) == (502, "text/html", b"<html>")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["stall@0", "stall@0+tps=5"])
async def test_stall_before_the_first_byte(model: str, stream: bool) -> None:
    """stall@0 sends nothing at all, not even headers; the prompt is billed once the client gives up."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(model, stream=stream)
        assert await wire.silent()
        wire.leave()
        entry = await ended(sim)
        assert (entry.ending, entry.sent_tokens, entry.billed_prompt_tokens, entry.billed_completion_tokens) == (
            "client_closed",
            0,
            10,
            0,
        )


async def test_stall_in_the_middle() -> None:
    """stall@7 sends seven tokens and then nothing; JSON: headers and half a body."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("stall@7", stream=True)
        await wire.head()
        seen = b"".join([await wire.chunk() for _ in range(8)])
        assert text_of(events(seen)) == "".join(f"00{n} " for n in range(7))
        assert await wire.silent()
        wire.leave()
        assert (await ended(sim)).billed_completion_tokens == 7
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("stall@7")
        _, headers = await wire.head()
        assert len(await wire.reader.readexactly(40)) < int(headers["content-length"])
        assert await wire.silent()


@pytest.mark.parametrize("stream", [False, True])
async def test_comments_only(stream: bool) -> None:
    """comments is a stream of comments (JSON: of blank lines) without end and without content."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("comments+every=1", stream=stream)
        await wire.head()
        assert {await wire.chunk() for _ in range(5)} == {b": PROCESSING\n\n" if stream else b"\n"}
        wire.leave()
        assert (await ended(sim)).billed_completion_tokens == 0


async def test_role_only() -> None:
    """roleonly sends the first event without content and falls silent."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("roleonly", stream=True)
        await wire.head()
        assert events(await wire.chunk())[0]["choices"][0]["delta"]["role"] == "assistant"
        assert await wire.silent()


@pytest.mark.parametrize(
    ("model", "tail"),
    [
        ("cut@3", b"\n\n\r\n"),
        ("cut@3+midline", b'{"content":"caf'),
        ("cut@3+midutf8", b'{"content":"caf\xc3'),
        ("cut@3+clean", b"0\r\n\r\n"),
        ("cut@3+midutf8+clean", b'"caf\xc3\r\n0\r\n\r\n'),
    ],
)
async def test_cut_streams(model: str, tail: bytes) -> None:
    """cut@3 delivers three tokens and ends exactly where the modifiers say, without finish and without end mark."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(model, stream=True, headers={"Connection": "close"})
        chunks, raw = await chunks_until_end(wire)
        assert text_of(chunks) == "000 001 002 "
        assert raw.endswith(tail)
        assert b"[DONE]" not in raw
        entry = await ended(sim)
        assert (entry.ending, entry.sent_tokens, entry.billed_completion_tokens) == ("failed", 3, 3)


async def test_cut_behind_the_last_token_and_before_usage() -> None:
    """cut@99 sends all the content but no finish; cutusage sends the finish but no usage."""
    for model, finishes in (("cut@99", 0), ("cutusage", 1)):
        async with vendor() as sim, line(sim) as wire:
            await wire.ask(model, stream=True, stream_options={"include_usage": True})
            chunks, raw = await chunks_until_end(wire)
            assert len(text_of(chunks)) == 64
            assert sum(chunk["choices"][0]["finish_reason"] is not None for chunk in chunks) == finishes
            assert b"[DONE]" not in raw
            assert b"prompt_tokens" not in raw


@pytest.mark.parametrize("model", ["cut@0", "cut@3", "cut@3+midutf8", "cutusage"])
async def test_cut_json(model: str) -> None:
    """A cut JSON body is shorter than its Content-Length promised."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(model)
        _, headers = await wire.head()
        body = await wire.rest()
        assert len(body) < int(headers["content-length"])
        assert body.endswith(b"\xc3") == ("midutf8" in model)
        assert (await ended(sim)).ending == "failed"


async def test_reset_instead_of_fin() -> None:
    """rst answers with a TCP reset; cut@2+rst delivers first and resets then; hangup is a plain FIN."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("rst")
        with pytest.raises(ConnectionResetError):
            await wire.rest()
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("cut@2+rst+tps=50", stream=True)
        with pytest.raises(ConnectionResetError):
            await wire.rest()
        assert (await ended(sim)).sent_tokens == 2
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("hangup")
        assert await wire.rest() == b""
        assert (await ended(sim)).ending == "refused"


@pytest.mark.parametrize("mutation", range(len(GARBAGE)))
async def test_garbage(mutation: int) -> None:
    """garbage@2 puts one bad event after two tokens and goes on; as JSON it is the whole body."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(f"garbage@2+tokens=4+mutation={mutation}", stream=True)
        _, _, body = await wire.response()
        before, bad, after = body.partition(b"data: " + GARBAGE[mutation] + b"\n\n")
        assert (text_of(events(before)), bad != b"", text_of(events(after))) == ("000 001 ", True, "002 003 ")
        await wire.ask(f"malformed+mutation={mutation}")
        assert (await wire.response())[2] == GARBAGE[mutation]


@pytest.mark.parametrize("stream", [False, True])
async def test_error_under_a_200(stream: bool) -> None:
    """error200 is a JSON error under 200 even for a stream; errorfirst is the stream's first event."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("error200", stream=stream)
        status, headers, body = await wire.response()
        assert (status, headers["content-type"], list(json.loads(body))) == (200, "application/json", ["error"])
        await wire.ask("errorfirst", stream=stream)
        status, headers, body = await wire.response()
        (error,) = events(body) if stream else [json.loads(body)]
        assert (status, list(error)) == (200, ["error"])
        assert [entry.ending for entry in sim.log.requests] == ["refused", "refused"]


async def test_error_in_the_middle() -> None:
    """erroratn@5: five tokens, an error event, the end; JSON: the five tokens with the error beside them."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("erroratn@5", stream=True)
        *chunks, error = events((await wire.response())[2])
        assert (text_of(chunks), list(error)) == ("000 001 002 003 004 ", ["error"])
        await wire.ask("erroratn@5")
        answer = json.loads((await wire.response())[2])
        assert answer["choices"][0]["message"]["content"] == "000 001 002 003 004 "
        assert (answer["choices"][0]["finish_reason"], "message" in answer["error"]) == ("error", True)
        assert [entry.billed_completion_tokens for entry in sim.log.requests] == [5, 5]


async def test_wrong_type_empty_body_and_broken_framing() -> None:
    """An HTML page, no body, a chunk size that is not a number, two lengths: the framing is the one that the fault names."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("wrongtype", stream=True)
        _, headers, body = await wire.response()
        assert headers["content-type"].startswith("text/html")
        assert body.startswith(b"<html>")
        await wire.ask("emptybody")
        assert (await wire.response())[2] == b""
        await wire.ask("emptybody", stream=True)
        assert (await wire.response())[2] == b""
        await wire.ask("badchunk")
        await wire.head()
        assert (await wire.rest()).startswith(b"zz\r\n")
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("doublelength")
        assert (await wire.rest()).count(b"content-length: ") == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_huge_line_and_gzip_bomb(stream: bool) -> None:
    """hugeline=1 is one line of a megabyte; gzipbomb=1 is a megabyte that travels as about a kilobyte."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("hugeline=1", stream=stream)
        body = (await wire.response())[2]
        assert max(len(part) for part in body.split(b"\n")) > 1 << 20
        content = text_of(events(body)) if stream else json.loads(body)["choices"][0]["message"]["content"]
        assert content.startswith("x" * (1 << 20))
        await wire.ask("gzipbomb=1", stream=stream)
        _, headers, body = await wire.response()
        assert (headers["content-encoding"], len(gzip.decompress(body)), len(body) < 4_096) == ("gzip", 1 << 20, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_endless_until_the_client_disconnects(stream: bool) -> None:
    """endless ignores max_tokens, waits for a slow reader without growing, and stops with the client."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("endless+batch=500", stream=stream, max_tokens=1)
        await wire.head()
        for _ in range(5):
            assert await wire.chunk()
        (entry,) = sim.log.requests
        wire.writer.transport.pause_reading()
        before = -1
        while entry.sent_tokens > before:
            before = entry.sent_tokens
            assert not await until_quiet(sim)
        wire.leave()
        assert (await ended(sim)).ending == "client_closed"
        assert entry.billed_completion_tokens == entry.sent_tokens >= 1_500


async def until_quiet(sim: SimulatedVendor) -> bool:
    """Gives the vendor's full socket time to fill; False as long as the request runs."""
    async with line(sim) as other:
        await other.ask("ok+ttft=100")
        await other.response()
    return sim.log.requests[0].ending is not None
