"""A vendor that speaks the Responses API itself: its items and events pass unchanged, only what is ours is rewritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from tests.support import responseshape
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, charged, price
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
Json = dict[str, Any]
SEARCH: Json = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "tide", "queries": ["tide"]},
}
THOUGHT: Json = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
THOUGHT["summary"] = [{"type": "summary_text", "text": "Look it up."}]
PART: Json = {"type": "output_text", "text": "High at 9.", "annotations": [], "logprobs": []}
MESSAGE: Json = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [PART]}
USAGE: Json = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0, "their_own": 1},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 6},
    "total_tokens": 30,
}
THEIRS: Json = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 1.5,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "theirs-2026",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "user": "hashed",
    "service_tier": "default",
    "completed_at": None,
    "top_logprobs": None,
    "their_own": {"kept": [1, 2]},
}
WHOLE: Json = {
    **THEIRS,
    "status": "completed",
    "completed_at": 1_700_000_000,
    "output": [THOUGHT, SEARCH, MESSAGE],
    "usage": USAGE,
}


def events(end: str = "completed") -> list[Json]:
    """The vendor's stream; numbers and unknown events as a vendor may send them."""

    def part(name: str, index: int, **more: Any) -> Json:
        ids = ("rs_1", "ws_1", "msg_1")
        return {"type": f"response.{name}", "item_id": ids[index], "output_index": index, **more}

    def item(phase: str, index: int, value: Json) -> Json:
        return {"type": f"response.output_item.{phase}", "output_index": index, "item": value}

    bare = {"type": "summary_text", "text": ""}
    found: list[Json] = [
        {"type": "response.created", "response": THEIRS},
        {"type": "response.in_progress", "response": THEIRS},
        item("added", 0, {**THOUGHT, "summary": []}),
        part("reasoning_summary_part.added", 0, summary_index=0, part=bare),
        part("reasoning_summary_text.delta", 0, summary_index=0, delta="Look it up."),
        part("reasoning_summary_text.done", 0, summary_index=0, text="Look it up."),
        part("reasoning_summary_part.done", 0, summary_index=0, part=THOUGHT["summary"][0]),
        item("done", 0, THOUGHT),
        item("added", 1, {**SEARCH, "status": "in_progress"}),
        part("web_search_call.in_progress", 1),
        part("web_search_call.searching", 1),
        part("web_search_call.completed", 1),
        item("done", 1, SEARCH),
        item("added", 2, {**MESSAGE, "status": "in_progress", "content": []}),
        part("content_part.added", 2, content_index=0, part={**PART, "text": ""}),
        part("output_text.delta", 2, content_index=0, delta="High at 9.", logprobs=[]),
        part("output_text.done", 2, content_index=0, text="High at 9.", logprobs=[]),
        part("content_part.done", 2, content_index=0, part=PART),
        item("done", 2, MESSAGE),
    ]
    if end == "completed":
        found.append({"type": "response.completed", "response": WHOLE})
    return found


def frames(found: list[Json]) -> bytes:
    numbered = ({"sequence_number": number, **event} for number, event in enumerate(found))
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in numbered)


async def vendor(peer: Peer) -> None:
    """Whole, streamed, or (model ``cut``) broken off after the text."""
    while True:
        request = msgspec.json.decode(await peer.request())
        if not request.get("stream"):
            await peer.answer(msgspec.json.encode(WHOLE))
            continue
        await peer.begin()
        await peer.chunk(frames(events("cut" if request["model"] == "cut" else "completed")))
        await peer.end()


@pytest.fixture
async def server() -> Any:
    async with RawServer(vendor) as running:
        yield running


async def one(gateway: GatewayFactory, server: RawServer) -> tuple[Stage, Caller]:
    own = {"urls": {"own": f"{server.url}/v1"}, "provider": {"own": {"dialect": "responses"}}}
    stage = await gateway(Sale("t/own", "own", "theirs"), Sale("t/cut", "own", "cut"), **own)
    return stage, await stage.caller()


async def ask(caller: Caller, model: str = "t/own", **more: Any) -> httpx.Response:
    body = {"model": model, "input": "hello", "tools": [{"type": "web_search"}], "user": "me", **more}
    return await caller.gateway.client.post("/api/v1/responses", json=body, headers=caller.headers)


def ours(response: Json, served: str = "t/own") -> None:
    """What of the vendor's object is ours."""
    assert (response["model"], response["provider"], response["user"]) == (served, "Own", "me")
    assert response["id"].startswith("gen-")
    assert response["their_own"] == {"kept": [1, 2]}
    assert response["service_tier"] == "default"


async def test_a_whole_answer(gateway: GatewayFactory, server: RawServer) -> None:
    """Items of the vendor's own tools and unknown fields stay; id, model, provider and the cost are ours."""
    stage, caller = await one(gateway, server)
    body = responseshape.answer(await ask(caller))
    ours(body)
    assert body["output"] == WHOLE["output"]
    assert body["usage"]["input_tokens_details"]["their_own"] == 1
    settled, _ = await charged(caller)
    bill = price(stage.sale("t/own", "own"), 20, 10, searches=1)
    assert settled.user_nano == bill.total
    assert body["usage"]["cost"] * 10**9 == pytest.approx(bill.total)
    (_, sent) = server.peers[0].requests[0]
    wire = msgspec.json.decode(sent)
    assert (wire["model"], wire["input"], wire["tools"]) == ("theirs", "hello", [{"type": "web_search"}])
    assert wire["user"] != "me"
    await calm(stage)


async def test_a_stream(gateway: GatewayFactory, server: RawServer) -> None:
    """Every event of the vendor's comes through, in its order; the last one carries the usage as charged."""
    stage, caller = await one(gateway, server)
    found = responseshape.stream(await ask(caller, stream=True))
    assert [event["type"] for event in found] == [event["type"] for event in events()]
    for mine, theirs in zip(found, events(), strict=True):
        if "response" in theirs:
            ours(mine["response"])
        else:
            assert {k: v for k, v in mine.items() if k != "sequence_number"} == theirs
    assert found[-1]["response"]["output"] == WHOLE["output"]
    settled, _ = await charged(caller)
    assert found[-1]["response"]["usage"]["cost"] * 10**9 == pytest.approx(settled.user_nano)
    await calm(stage)


async def test_a_cut_stream_is_failed(gateway: GatewayFactory, server: RawServer) -> None:
    """A vendor that ends without its last event: ours is ``response.failed``, with the items that were done."""
    stage, caller = await one(gateway, server)
    found = responseshape.stream(await ask(caller, "t/cut", stream=True))
    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["output"] == [THOUGHT, SEARCH, MESSAGE]
    assert found[-1]["response"]["error_type"] == "provider_unavailable"
    await calm(stage)


@pytest.mark.parametrize("stream", [False, True])
async def test_hidden_reasoning(gateway: GatewayFactory, server: RawServer, stream: bool) -> None:
    """``exclude`` takes what could be read; what is encrypted stays, for the next turn."""
    _, caller = await one(gateway, server)
    response = await ask(caller, reasoning={"exclude": True}, stream=stream)
    body = responseshape.events(response.text)[-1]["response"] if stream else responseshape.answer(response)
    assert "Look it up." not in response.text
    assert body["output"][0] == {**THOUGHT, "summary": []}


async def test_other_surfaces_reach_the_same_vendor(gateway: GatewayFactory, server: RawServer) -> None:
    """The same vendor behind chat completions: the two shapes meet in the inner language."""
    _, caller = await one(gateway, server)
    body = (await caller.chat("t/own")).json()
    assert body["choices"][0]["message"]["content"] == "High at 9."
    assert body["choices"][0]["message"]["reasoning_details"][-1]["data"] == "gAAA"
