"""A storm of everything that was ever billed above its hold: no answer costs more than was held, and none is cut without need.

The vendor counts with the formulas that vendors publish, at the highest rate of each kind, and always writes all that it may.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from gateway import money
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support.gateway import Caller, Sale, Stage, events, staged
from tests.support.invariants import calm
from tests.support.operations import wav
from tests.support.rawserver import Peer, RawServer
from tests.unit.test_media_tokens import file, film, pdf, sound, tree
from tests.unit.test_operations_sizes import flac, mp3, ogg
from tests.unit.test_picture_tokens import picture, png

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTEXT, WRITES = 64_000, 3_000
MODELS = {
    "openai/gpt-4o-mini": 36_835,
    "openai/gpt-4o": 1_105,
    "anthropic/claude-opus-4.8": 4_784,
    "google/gemini-2.5-pro": 1_548,
    "qwen/qwen3-vl-plus": 16_384,
    "mistralai/pixtral-12b": 4_160,
}
"""Model → the most that its vendor counts for the pictures of this storm."""
LIE = b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + (44_100 << 44 | 1 << 41 | 15 << 36 | 44_100).to_bytes(8) + bytes(30)  # fmt: skip
"""One second, as it says of itself."""
ALL = CONTEXT
PARTS: dict[str, tuple[Any, int]] = {
    "digits": ({"type": "text", "text": "1234567890" * 1_000}, 10_000),
    "punctuation": ({"type": "text", "text": "~}{^|" * 1_000}, 5_000),
    "a rare script": ({"type": "text", "text": "\u1210\u12ab\u1350" * 500}, 4_500),
    "letters that decompose": ({"type": "text", "text": "\U0001d160" * 500}, 4_500),
    "a picture": (picture(png(2048, 4096)), -1),
    "a picture by URL": (
        {"type": "image_url", "image_url": {"url": "https://93.184.215.14/a.png", "detail": "high"}},
        -1,
    ),
    "twenty pages that are one object": (file(pdf(tree(1))), ALL),
    "a document by URL": ({"type": "file", "file": {"file_data": "https://93.184.215.14/a.pdf"}}, ALL),
    "a vendor's file": ({"type": "file", "file": {"file_id": "file-1"}}, ALL),
    "sound": (sound(wav(20, 16_000), "wav"), 640 + 400),
    "an MP3": (sound(mp3(800, kbits=32), "mp3"), 669 + 400),
    "hours in a FLAC that says a second": (sound(LIE, "flac"), ALL),
    "hours in an Ogg that says a second": (sound(ogg(1), "ogg"), ALL),
    "a film": (film(flac(3)), ALL),
    "text as a file": (file("ሐካፐ".encode() * 500, "text/plain"), 4_500),
}
"""What is sent, and the tokens that the vendor counts of it: -1, as its model counts pictures."""
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"enum": [[n, n] for n in range(400)]}}}]


def truth(model: str, body: dict[str, Any]) -> int:
    """Tokens of the prompt as the vendor counts them: a token for a byte where it is not said otherwise."""
    text = json.dumps(body.get("tools", []), indent=4).split()
    total = 3 * sum(len(word) > 0 for word in text)
    for message in body["messages"]:
        for part in message["content"]:
            kind = next((count for sent, count in PARTS.values() if sent == part), len(part.get("text", "")))
            total += MODELS[model] if kind == -1 else kind
    return total


async def vendor(peer: Peer) -> None:
    """Counts the prompt, and writes as much as it may: ``max_tokens``, else its own limit."""
    while True:
        body = json.loads(await peer.request())
        prompt = truth(body["model"], body)
        if "gpt-4o-mini" not in body["model"]:
            prompt = min(prompt, CONTEXT)
        written = min(body.get("max_tokens") or body.get("max_completion_tokens") or WRITES, WRITES)
        usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        choice = {"index": 0, "finish_reason": "length"}
        if not body.get("stream"):
            choices = [{**choice, "message": {"role": "assistant", "content": "x" * 40}}]
            await peer.answer(json.dumps({**answer, "choices": choices}).encode())
            continue
        await peer.begin()
        answer["object"] = "chat.completion.chunk"
        chunks = [
            {**answer, "usage": None, "choices": [{"index": 0, "delta": {"content": "x" * 40}, "finish_reason": None}]}
        ]
        chunks.append({**answer, "choices": [{**choice, "delta": {}}]})
        for chunk in chunks:
            await peer.chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await peer.chunk(b"data: [DONE]\n\n")
        await peer.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    more = {
        "context_length": CONTEXT,
        "max_completion_tokens": WRITES,
        "input_modalities": ["text", "image", "audio", "file", "video"],
    }
    sales = [Sale(model, "alpha", model, "2", "8", more) for model in MODELS]
    async with RawServer(vendor) as server:
        made = staged(
            tmp_path_factory.mktemp("storm"), valkey_server.url, *sales, urls={"alpha": server.url},
            provider={"alpha": {"options": {"allows": ["files"]}}},
            default_max_tokens=200, health_share_interval_s=3600, max_attempts=1,
        )  # fmt: skip
        async with made as running:
            yield running


async def ask(caller: Caller, model: str, part: Any, **more: Any) -> tuple[int, Any]:
    """Status and usage of one request."""
    response = await caller.chat(model, messages=[{"role": "user", "content": [part]}], **more)
    if response.status_code != 200:
        return response.status_code, response.json()
    if not more.get("stream"):
        return 200, response.json()["usage"]
    return 200, next(
        event["usage"] for event in events(response.text)[::-1] if event != "[DONE]" and event.get("usage")
    )


@pytest.mark.parametrize("usd", ["0.3", "1", "1000"])
async def test_no_answer_costs_more_than_was_held(stage: Stage, usd: str) -> None:
    """Every kind at every model, JSON and SSE, with and without max_tokens, all at once: the operator loses nothing, whatever the
    credit is; with enough of it everything is answered, and nothing is cut.
    """
    caller = await stage.caller(usd)
    before = stage.gateway.services.telemetry.overruns._value.get()
    cases = [
        ask(caller, model, part, stream=stream, **({"max_tokens": 700} if limited else {}))
        for (part, _), model, stream, limited in product(PARTS.values(), MODELS, (False, True), (True, False))
    ]
    cases += [ask(caller, model, {"type": "text", "text": "hi"}, tools=TOOLS) for model in MODELS]
    gate = asyncio.Semaphore(60)

    async def one(case: Any) -> tuple[int, Any]:
        async with gate:
            found: tuple[int, Any] = await case
            return found

    answers = await asyncio.gather(*map(one, cases))
    await calm(stage)
    lines = await caller.lines()
    assert [line for line in lines if line.loss_nano] == []
    assert stage.gateway.services.telemetry.overruns._value.get() == before
    assert (await caller.balances()).balance_nano == money.parse_usd(usd) - sum(line.user_nano for line in lines) >= 0
    assert {status for status, _ in answers} <= {200, 402}
    served = [usage for status, usage in answers if status == 200]
    assert len(served) == len(lines)
    if usd == "1000":
        assert len(served) == len(answers)
        assert {usage["completion_tokens"] for usage in served} == {700, WRITES}
    print(f"\n${usd}: {len(served)} of {len(answers)} answered, 0 lost")


async def test_a_poor_caller_gets_a_shorter_answer(stage: Stage) -> None:
    """What the credit does not cover is not written, and no more than it was asked for: enough for a share of it, at least the setting."""
    for usd, least, most in (("0.005", 200, 200), ("0.1", 200, 800), ("100", WRITES, WRITES)):
        caller = await stage.caller(usd)
        status, usage = await ask(caller, "openai/gpt-4o", {"type": "text", "text": "hi"})
        assert status == 200
        assert least <= usage["completion_tokens"] <= most, usd
    status, refused = await ask(await stage.caller("0.001"), "openai/gpt-4o", {"type": "text", "text": "hi"})
    assert status == 402
    assert "You requested up to 200 tokens" in refused["error"]["message"]
    await calm(stage)
