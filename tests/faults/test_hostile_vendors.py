"""Vendors of every dialect that send what they should not, through the whole gateway.

Whatever comes: never a 500, never half an answer that looks whole, never a bill for what cannot be, and the books balance.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.store.embedded import Embedded
from providers.transport import client_response
from tests.support import wireshape
from tests.support.gateway import events
from tests.support.hostile import Answer, Rig, answer, dialects, rigged
from tests.support.invariants import calm, charged, content, forget_health, one_ending, price
from tests.support.rawserver import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")
DIALECTS = dialects()
ALWAYS = ("openai", "responses", "anthropic", "gemini", "bedrock", "ollama")
"""One dialect of each kind of framing and of usage; the others are asked in the long run."""
ASKED = [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.soak) for name in DIALECTS]
HTML = b"<!doctype html><html><title>502 Bad Gateway</title></html>"
UPSTREAM = {"provider_unavailable", "provider_overloaded", "timeout"}
"""The ``error_type`` of an answer when the vendor sent nonsense."""
NONSENSE = ["-5", "1" + "0" * 30, "1.5", '"12"', "null", "true", "[]", "{}", "-0.0", "1e308"]
NOTHING = ["null", "-0.0"]
"""Counts that say zero: a vendor may give an answer away."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Rig]:
    clocks = {"gap_timeout_s": 0.3, "first_content_timeout_s": 1.5, "total_timeout_s": 6.0, "answer_timeout_s": 3.0}
    async with rigged(tmp_path_factory.mktemp("hostile"), valkey_server.url, **clocks) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def books(rig: Rig) -> AsyncIterator[None]:
    """After every test nothing is left behind, and the books balance."""
    yield
    await calm(rig.stage)


def failed(response: Any) -> None:
    """A refusal in the vendor's name, never in ours."""
    assert response.status_code in (502, 503, 504), response.text
    assert response.json()["error"]["metadata"]["error_type"] in UPSTREAM


def whole_text(response: Any, found: list[Any]) -> str | None:
    """The text of a stream that ended properly; None for one that ended with an error event or never began."""
    if response.status_code != 200:
        failed(response)
        return None
    last = one_ending(found)
    if last["choices"][0]["finish_reason"] == "error":
        assert last["error"]["metadata"]["error_type"] in UPSTREAM
        assert last["error"]["code"] in (502, 503, 504)
        return None
    wireshape.stream(response, found)
    return content(found[:-1])


def text_of(proper: Answer) -> str:
    """What the whole answer of a dialect says."""
    words = {
        "anthropic": lambda d: "".join(block["text"] for block in d["content"]),
        "responses": lambda d: "".join(part["text"] for part in d["output"][0]["content"]),
        "gemini": lambda d: "".join(part["text"] for part in d["candidates"][0]["content"]["parts"]),
        "vertex": lambda d: "".join(part["text"] for part in d["candidates"][0]["content"]["parts"]),
        "bedrock": lambda d: "".join(block["text"] for block in d["output"]["message"]["content"]),
        "cohere": lambda d: "".join(part["text"] for part in d["message"]["content"]),
        "ollama": lambda d: d["message"]["content"],
    }
    read = words.get(proper.dialect.removeprefix("vertex-"), lambda d: d["choices"][0]["message"]["content"])
    return str(read(json.loads(proper.document)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def texts(rig: Rig) -> dict[str, str]:
    """What each dialect's proper stream says, through the gateway."""
    found = {}
    for name, vendor in rig.vendors.items():
        vendor.plan = vendor.streams(vendor.proper.frames)
        response, chunks = await rig.streamed(name)
        found[name] = whole_text(response, chunks) or ""
        assert found[name], f"the proper stream of {name}: {response.text}"
    return found


# -- what must not disturb -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ASKED)
async def test_the_proper_answer(rig: Rig, dialect: str) -> None:
    """The rig itself: a whole answer arrives as it was sent and is charged as the vendor counts."""
    vendor = rig.vendors[dialect]
    vendor.plan = vendor.tells(vendor.proper.document.encode())
    caller = await rig.stage.caller()
    response = await rig.whole(dialect, caller)
    assert wireshape.answer(response)["choices"][0]["message"]["content"] == text_of(vendor.proper)
    settled, _ = await charged(caller)
    assert (await caller.record(settled.generation_id)).usage_source == "reported"


@pytest.mark.parametrize("dialect", ASKED)
async def test_bytes_in_any_portions(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """One byte at a time, three at a time, all at once: characters come through whole however they were cut."""
    vendor = rig.vendors[dialect]
    stream = b"".join(vendor.proper.frames)
    for size in (1, 3, len(stream)):
        vendor.plan = vendor.streams([stream[start : start + size] for start in range(0, len(stream), size)])
        response, found = await rig.streamed(dialect)
        assert whole_text(response, found) == texts[dialect]


@pytest.mark.parametrize("dialect", ASKED)
async def test_unknown_events(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """Before, between and after the known ones: passed over."""
    vendor = rig.vendors[dialect]
    odd = vendor.proper.odd()
    vendor.plan = vendor.streams([odd, *(piece for frame in vendor.proper.frames for piece in (frame, odd))])
    response, found = await rig.streamed(dialect)
    assert whole_text(response, found) == texts[dialect]


@pytest.mark.parametrize("dialect", ASKED)
async def test_missing_usage_is_estimated_and_marked(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """Our own count is billed, JSON and SSE alike, and the record says whose it is."""
    vendor = rig.vendors[dialect]
    silent = vendor.proper.silent()
    for plan, stream in ((vendor.streams(silent.frames), True), (vendor.tells(silent.document.encode()), False)):
        vendor.plan = plan
        caller = await rig.stage.caller("1000")
        if stream:
            response, found = await rig.streamed(dialect, caller)
            assert whole_text(response, found) == texts[dialect]
        else:
            response = await rig.whole(dialect, caller)
            wireshape.answer(response)
        settled, _ = await charged(caller)
        record = await caller.record(settled.generation_id)
        assert record.usage_source == "estimated"
        assert 0 < settled.user_nano < 10_000_000


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("dialect", ASKED)
async def test_nonsense_usage_is_not_billed(rig: Rig, texts: dict[str, str], dialect: str, nonsense: str) -> None:
    """Negative, absurd, fractional, text, lists: the answer is delivered and the charge is at most what it can have cost."""
    vendor = rig.vendors[dialect]
    wrong = vendor.proper.counting(nonsense)
    most = price(rig.stage.sale(f"m/{dialect}", dialect), 1000, 1000).total
    for plan, stream in ((vendor.streams(wrong.frames), True), (vendor.tells(wrong.document.encode()), False)):
        vendor.plan = plan
        caller = await rig.stage.caller("1000")
        if stream:
            response, found = await rig.streamed(dialect, caller)
            assert whole_text(response, found) in (texts[dialect], None)
        else:
            response = await rig.whole(dialect, caller)
            if response.status_code != 200:
                failed(response)
        for line in await caller.lines():
            assert 0 <= line.user_nano <= most
            assert line.cost_nano >= 0
        if nonsense in NOTHING or response.status_code != 200 or '"finish_reason":"error"' in response.text:
            continue
        settled, _ = await charged(caller)
        wireshape.usage(events(response.text)[-2]["usage"] if stream else response.json()["usage"])
        assert (await caller.record(settled.generation_id)).usage_source == "estimated"


# -- what must be reported -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ASKED)
async def test_cut_at_every_event(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """With a proper end of HTTP or without: the whole text or an error event, never a part that looks whole."""
    vendor = rig.vendors[dialect]
    frames = vendor.proper.frames
    for count in range(len(frames)):
        vendor.plan = vendor.streams(frames[:count], end=bool(count % 2))
        response, found = await rig.streamed(dialect)
        assert whole_text(response, found) in (None, texts[dialect])


@pytest.mark.parametrize("dialect", ASKED)
async def test_cut_inside_an_event(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """In the middle of a line, of a number, of a character."""
    vendor = rig.vendors[dialect]
    stream = b"".join(vendor.proper.frames)
    inside = [at for at in range(len(stream)) if stream[at] & 0xC0 == 0x80][:1] or [len(stream) // 2]
    for at in (*inside, 1, len(stream) // 3, len(stream) // 2, len(stream) - 30):
        vendor.plan = vendor.streams([stream[:at]], end=at % 2 == 0)
        response, found = await rig.streamed(dialect)
        assert whole_text(response, found) in (None, texts[dialect])


@pytest.mark.parametrize("dialect", ASKED)
async def test_bytes_that_are_no_text(rig: Rig, dialect: str) -> None:
    """Invalid UTF-8 inside the text, whole and streamed: replaced or refused, never a fault of ours."""
    vendor = rig.vendors[dialect]
    broken = [
        frame.replace("ü".encode(), b"\xc3\x28").replace(b"\xf0\x9f", b"\xf0\x28") for frame in vendor.proper.frames
    ]
    for frames in (broken, [b"\xff\xfe", *broken], [b"\x00" * 9, *broken]):
        vendor.plan = vendor.streams(frames)
        response, found = await rig.streamed(dialect)
        whole_text(response, found)
    vendor.plan = vendor.tells(vendor.proper.document.encode().replace("ü".encode(), b"\xc3\x28") + b"\xff")
    response = await rig.whole(dialect)
    failed(response)


@pytest.mark.parametrize("dialect", ASKED)
async def test_a_document_in_place_of_a_stream(rig: Rig, dialect: str) -> None:
    """A vendor that ignores ``stream``: its answer is streamed and charged as it counts, on the surface of its own shape too."""
    vendor = rig.vendors[dialect]
    vendor.plan = vendor.tells(vendor.proper.document.encode())
    caller = await rig.stage.caller()
    response, found = await rig.streamed(dialect, caller)
    assert whole_text(response, found) == text_of(vendor.proper)
    settled, losses = await charged(caller)
    assert losses == []
    assert (await caller.record(settled.generation_id)).usage_source == "reported"
    forget_health(rig.stage)
    sent = {
        "model": f"m/{dialect}",
        "max_tokens": 99,
        "stream": True,
        "input": "x",
        "messages": [{"role": "user", "content": "x"}],
    }
    for path, end in (("/api/v1/messages", "message_stop"), ("/api/v1/responses", "response.completed")):
        response = await rig.stage.gateway.client.post(path, json=sent, headers=caller.headers)
        deltas = [event["delta"] for event in events(response.text) if isinstance(event, dict) and "delta" in event]
        texts = [delta if isinstance(delta, str) else delta.get("text", "") for delta in deltas]
        assert "".join(texts) == text_of(vendor.proper)
        assert f"event: {end}\n" in response.text


@pytest.mark.parametrize("dialect", ASKED)
async def test_a_200_that_is_a_failure(rig: Rig, dialect: str) -> None:
    """A page of HTML, nothing, half a document, the wrong document, a stream in place of a document."""
    vendor = rig.vendors[dialect]
    document = vendor.proper.document.encode()
    bodies = [
        HTML,
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b'"ok"',
        b"0",
        document[:-1],
        document[: len(document) // 2],
        b"[" * 100_000,
    ]
    for body in bodies:
        for kind in ("application/json", "text/html", vendor.proper.kind):
            vendor.plan = vendor.tells(body, kind=kind)
            response = await rig.whole(dialect)
            failed(response)
            response, found = await rig.streamed(dialect)
            assert whole_text(response, found) is None
    vendor.plan = vendor.streams(vendor.proper.frames)
    response = await rig.whole(dialect)
    if len(vendor.proper.frames) > 1:
        failed(response)


@pytest.mark.parametrize("dialect", ASKED)
async def test_a_stream_under_another_name(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """Proper bytes with a careless content type: whole or refused."""
    vendor = rig.vendors[dialect]
    for kind in ("text/plain", "application/octet-stream", "text/event-stream; charset=latin-1", "x"):
        vendor.plan = vendor.streams(vendor.proper.frames, kind=kind)
        response, found = await rig.streamed(dialect)
        assert whole_text(response, found) in (None, texts[dialect])


@pytest.mark.parametrize("dialect", ASKED)
async def test_vendor_stalls(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """Headers and nothing more; some events and nothing more; all but the last: a timeout, and it is reported."""
    vendor = rig.vendors[dialect]
    frames = vendor.proper.frames
    for count in {0, 1, len(frames) // 2, len(frames) - 1}:
        vendor.plan = vendor.stalls(frames[:count])
        response, found = await rig.streamed(dialect)
        assert whole_text(response, found) in (None, texts[dialect])
        if count == 0:
            assert response.status_code == 504


@pytest.mark.parametrize("dialect", ASKED)
async def test_one_event_of_ten_megabytes(rig: Rig, texts: dict[str, str], dialect: str) -> None:
    """Junk before the stream, in one piece: refused or passed over, and memory is bounded by the clients' limits."""
    vendor = rig.vendors[dialect]
    filler = b"x" * (10 * 2**20)
    start = {".jsonl": b"", ".ndjson": b'{"model":"', ".sse": b'data: {"x":"'}[vendor.proper.suffix]
    end = {".jsonl": b"", ".ndjson": b'"}\n', ".sse": b'"}\n\n'}[vendor.proper.suffix]
    vendor.plan = vendor.streams([start + filler + end, *vendor.proper.frames])
    response, found = await rig.streamed(dialect)
    assert whole_text(response, found) in (None, texts[dialect])


@pytest.mark.parametrize(
    "status",
    [101, 201, 204, 206, 301, 302, 304, 400, 401, 402, 403, 404, 413, 418, 422, 429, 451, 500, 503, 529, 599],
)
async def test_statuses_without_body(rig: Rig, status: int) -> None:
    """Every dialect, every status, with an empty body and with a page: a vendor's refusal is never the caller's 401, 402 or 403."""
    caller = await rig.stage.caller()
    for dialect in DIALECTS:
        vendor = rig.vendors[dialect]
        for body in (b"", HTML):
            body = b"" if status in (101, 204, 304) else body
            vendor.plan = vendor.tells(body, status=status, kind="text/html")
            for stream in (False, True):
                forget_health(rig.stage)
                response = await caller.chat(f"m/{dialect}", stream=stream)
                assert response.status_code in (400, 404, 413, 422, 429, 502, 503, 504), (dialect, response.text)
    assert all(line.user_nano == 0 for line in await caller.lines())


# -- what happens on the connection ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [b"x", b" ", b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_behind_an_answer(rig: Rig, stream: bool, behind: bytes) -> None:
    """The answer ends at once where its length says, is charged, and the next one is whole."""
    vendor = rig.vendors["openai"]
    kind, body = "application/json", vendor.proper.document.encode()
    if stream:
        kind, body = vendor.proper.kind, b"".join(vendor.proper.frames)

    async def plan(peer: Peer) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        await peer.send(head.encode() + body + behind)

    vendor.plan = plan
    for _ in range(2):
        caller = await rig.stage.caller()
        if stream:
            response, found = await rig.streamed("openai", caller)
            assert whole_text(response, found)
        else:
            wireshape.answer(await rig.whole("openai", caller))
        settled, losses = await charged(caller)
        record = await caller.record(settled.generation_id)
        assert ([attempt.kind for attempt in record.attempts], losses) == (["ok"], [])


async def test_a_length_counted_in_characters(rig: Rig) -> None:
    """Half a document is the vendor's failure at once, and holds no credit."""
    vendor = rig.vendors["openai"]
    text = vendor.proper.document
    assert len(text) < len(text.encode())

    async def plan(peer: Peer) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        await peer.send(head.encode() + text.encode())

    vendor.plan = plan
    caller = await rig.stage.caller()
    response = await rig.whole("openai", caller)
    failed(response)
    assert response.json()["error"]["metadata"]["attempts"][0]["code"] == "malformed"
    assert (await caller.balances()).held_nano == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_kept_connections_that_are_dead(rig: Rig, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of them, used at once and one after the other: every request is answered in one attempt, without a loss or blame."""
    monkeypatch.setattr(client_response, "STALE_S", 60.0)
    vendor = rig.vendors["openai"]
    document, warm, all_warm = vendor.proper.document.encode(), set[Peer](), asyncio.Event()

    async def warm_up(peer: Peer) -> None:
        warm.add(peer)
        if len(warm) == 10:
            all_warm.set()
        await all_warm.wait()
        await peer.answer(document)

    async def die(peer: Peer) -> None:
        if peer not in warm:
            await peer.answer(document)
        elif how == "reset":
            peer.reset()
        else:
            peer.writer.close()

    caller = await rig.stage.caller("1000")
    forget_health(rig.stage)
    for plan in (warm_up, die):
        vendor.plan = plan
        responses = await asyncio.gather(*(caller.chat("m/openai", stream=bool(n % 2)) for n in range(10)))
        assert [response.status_code for response in responses] == [200] * 10
    warm.clear()
    all_warm.clear()
    vendor.plan = warm_up
    await asyncio.gather(*(caller.chat("m/openai") for _ in range(10)))
    vendor.plan = die
    for _ in range(3):
        assert (await caller.chat("m/openai")).status_code == 200
    await rig.stage.gateway.settled()
    lines = await caller.lines()
    assert [line.type for line in lines] == ["settled"] * 33
    for line in lines:
        assert [attempt.kind for attempt in (await caller.record(line.generation_id)).attempts] == ["ok"]


async def test_every_dialect_is_here() -> None:
    """A new dialect brings a text stream to its wire folder and is in this suite by itself."""
    for name in DIALECTS:
        assert len(answer(name).frames) > 1


@pytest.mark.parametrize("field", ["code", "type", "message"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
async def test_endless_words_of_an_error(rig: Rig, field: str, stream: bool) -> None:
    """An error of 8 MB in an answer that says 200: every pattern of ours would be looked for in it. Its beginning is kept."""
    vendor = rig.vendors["openai"]
    document = json.dumps({"error": {"code": "odd", "message": "no", field: "a" * (8 * 2**20)}}).encode()
    vendor.plan = vendor.streams([b"data: " + document + b"\n\n"]) if stream else vendor.tells(document)
    began = time.thread_time()
    response = (await rig.streamed("openai"))[0] if stream else await rig.whole("openai")
    print(f"\n{field}: {time.thread_time() - began:.2f} s of the loop")
    assert response.status_code >= 500
    assert len(response.content) < 20_000


async def test_an_endless_id_is_kept_short(rig: Rig) -> None:
    """What a vendor calls its answer and its end is stored with each record."""
    vendor = rig.vendors["openai"]
    answer = json.loads(vendor.proper.document)
    answer["id"] = answer["choices"][0]["finish_reason"] = "x" * 100_000
    vendor.plan = vendor.tells(json.dumps(answer).encode())
    caller = await rig.stage.caller()
    await rig.whole("openai", caller)
    await rig.stage.gateway.settled()
    (line,) = [line for line in await caller.lines() if line.generation_id]
    record = await caller.record(line.generation_id)
    assert len(record.upstream_id or "") <= 256
    assert len(record.native_finish_reason or "") <= 128


SAYS = "word " * 20_000
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": SAYS})}}
UNSEEN: dict[str, list[dict[str, Any]]] = {
    "calls without content": [
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
    "reasoning": [{"role": "assistant", "content": "a", "reasoning": SAYS}],
    "reasoning without content": [{"role": "assistant", "reasoning": SAYS}],
    "reasoning_content": [{"role": "assistant", "content": "a", "reasoning_content": SAYS}],
}


@pytest.mark.parametrize("what", UNSEEN)
async def test_what_stands_beside_the_contents_is_paid(rig: Rig, what: str) -> None:
    """The vendor counts 20,000 tokens of it: the caller pays them, and one who cannot is refused before the vendor is asked."""
    vendor = rig.vendors["openai"]
    answer = json.loads(vendor.proper.document)
    answer["usage"] = {"prompt_tokens": 20_000, "completion_tokens": 4, "total_tokens": 20_004}
    vendor.plan = vendor.tells(json.dumps(answer).encode())
    forget_health(rig.stage)
    messages = [{"role": "user", "content": "hi"}, *UNSEEN[what], {"role": "user", "content": "go on"}]
    caller = await rig.stage.caller("1000")
    response = await caller.chat("m/openai", messages=messages, max_tokens=9)
    assert response.status_code == 200, response.text
    settled, _ = await charged(caller)
    record = await caller.record(settled.generation_id)
    assert (record.tokens.prompt, record.usage_source) == (20_000, "reported")
    assert settled.loss_nano == 0
    poor = await rig.stage.caller("0.001")
    refused = await poor.chat("m/openai", messages=messages, max_tokens=9)
    assert refused.status_code == 402, refused.text


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("filled", [b": x\n\n", b'data: {"choices":[]}\n\n', b"data: x", b" "])
async def test_a_little_that_grows(rig: Rig, filled: bytes, whole: bool) -> None:
    """200 kB of gzip hold 180 MB, in one piece or in twelve: they are refused, and were once read for eleven seconds in one turn."""
    vendor = rig.vendors["openai"]
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packer.compress(b"".join(vendor.proper.frames[:2])) + packer.flush(zlib.Z_SYNC_FLUSH)]
    plain = filled * (15 * 2**20 // len(filled))
    pieces += [packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(12)]

    async def plan(peer: Peer) -> None:
        kind = "application/json" if whole else "text/event-stream"
        await peer.begin(kind=kind, headers="content-encoding: gzip\r\n")
        await peer.send(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))
        await peer.wait_gone()

    vendor.plan = plan
    if whole:
        failed(await rig.whole("openai"))
    else:
        response, found = await rig.streamed("openai")
        assert whole_text(response, found) is None
