"""Chat completions to the field, JSON and SSE, as the strictest clients read them; every cost computed a second time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, connected, events
from tests.support.invariants import calm, charged, content, one_ending, price, truth_cost
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
PROMPT_TOKENS = 9
"""Of the text "hello": 3 for the prompt, 4 for the message, 2 for five bytes."""


def exact(text: str) -> Any:
    """JSON with every number as the decimal that was written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def usd(nano: int) -> Decimal:
    return Decimal(nano) / 10**9


async def one(gateway: GatewayFactory, sale: Sale, **options: Any) -> tuple[Stage, Caller]:
    stage = await gateway(sale, **options)
    return stage, await stage.caller()


async def test_json_to_the_field(gateway: GatewayFactory) -> None:
    """Ids, provider, the model served, fingerprint and usage; the cost is exact and on the ledger before the answer leaves."""
    sale = Sale("acme/fast-1", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage, caller = await one(gateway, sale)
    response = await caller.chat("acme/fast-1")
    settled, losses = await charged(caller)
    body = wireshape.answer(response)
    assert re.fullmatch(wireshape.GENERATION_ID, body["id"])
    assert (body["model"], body["provider"], body["system_fingerprint"]) == ("acme/fast-1", "Alpha", None)
    assert body["choices"][0]["message"]["content"] == "000 001 002 003 004 005 006 "
    assert (body["choices"][0]["finish_reason"], body["choices"][0]["native_finish_reason"]) == ("stop", "stop")
    bill = price(sale, PROMPT_TOKENS, 7)
    usage = exact(response.text)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (PROMPT_TOKENS, 7)
    assert usage["cost"] == usd(bill.total)
    assert usage["cost_details"]["platform_fee"] == usd(bill.fee)
    split = usage["cost_details"]
    assert split["upstream_inference_prompt_cost"] + split["upstream_inference_completions_cost"] == usd(bill.cost)
    assert split["upstream_inference_prompt_cost"] == usd(price(sale, PROMPT_TOKENS, 0).cost)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano, settled.loss_nano) == (
        *(bill.cost, bill.fee, bill.total),
        0,
    )
    assert settled.generation_id == body["id"]
    assert not losses
    assert settled.cost_nano == truth_cost(stage, sale)
    await calm(stage)


async def test_sse_to_the_field(gateway: GatewayFactory) -> None:
    """Every chunk whole, usage with the cost on its own last chunk, then [DONE]; the same money as for JSON."""
    sale = Sale("acme/fast-1", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage, caller = await one(gateway, sale)
    response, found = await caller.stream("acme/fast-1")
    chunks = wireshape.stream(response, found)
    one_ending(found)
    assert content(chunks) == "000 001 002 003 004 005 006 "
    assert {(c["model"], c["provider"]) for c in chunks} == {("acme/fast-1", "Alpha")}
    assert "role" not in chunks[1]["choices"][0]["delta"]
    bill = price(sale, PROMPT_TOKENS, 7)
    usage = exact(response.text.split("data: ")[-2])["usage"]
    assert usage["cost"] == usd(bill.total)
    assert usage["cost_details"]["platform_fee"] == usd(bill.fee)
    settled, _ = await charged(caller)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (bill.cost, bill.fee, bill.total)
    assert settled.cost_nano == truth_cost(stage, sale)
    await calm(stage)


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}, {"usage": {"include": True}}])
async def test_usage_is_always_sent(gateway: GatewayFactory, options: dict[str, Any]) -> None:
    """No spelling of the request switches the usage off, and none is refused."""
    _, caller = await one(gateway, Sale("t/a", "alpha"))
    response, found = await caller.stream("t/a", **options)
    wireshape.stream(response, found)
    wireshape.answer(await caller.chat("t/a", **options))


async def test_both_prefixes_and_both_key_headers(gateway: GatewayFactory) -> None:
    """``/v1`` is ``/api/v1``, and ``x-api-key`` is as good as a bearer."""
    stage, caller = await one(gateway, Sale("t/a", "alpha"))
    body = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}]}
    for path in ("/v1/chat/completions", "/api/v1/chat/completions"):
        for headers in (caller.headers, {"x-api-key": caller.secret}, {"authorization": f"bEaReR {caller.secret}"}):
            wireshape.answer(await stage.gateway.client.post(path, json=body, headers=headers))


@pytest.mark.parametrize("slow", ["ok+ttft=250", "ok+slowheaders=250"])
async def test_comments_keep_a_waiting_stream_alive(gateway: GatewayFactory, slow: str) -> None:
    """While nothing comes from the vendor the caller gets SSE comments, which every parser skips; a fast stream has none."""
    stage = await gateway(Sale("t/slow", "alpha", slow), Sale("t/fast", "alpha", "ok"), keepalive_s=0.05)
    caller = await stage.caller()
    response, found = await caller.stream("t/slow")
    wireshape.stream(response, found)
    before = response.text.partition("data: ")[0]
    assert set(before.split("\n\n")) == {": OPENROUTER PROCESSING", ""}
    assert before.count(": OPENROUTER PROCESSING") >= 2
    assert ": " not in (await caller.stream("t/fast"))[0].text.partition("data: ")[0]
    await calm(stage)


async def test_comments_between_events(gateway: GatewayFactory) -> None:
    """A stream that pauses longer than the interval gets a comment in between, never inside an event."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "ok+tokens=3+tps=6"), keepalive_s=0.04)
    response, found = await caller.stream("t/a")
    wireshape.stream(response, found)
    assert response.text.count(": OPENROUTER PROCESSING\n\n") >= 3
    await calm(stage)


async def test_a_failure_after_a_comment_is_a_whole_chunk(gateway: GatewayFactory) -> None:
    """Once a comment has sent the 200, the failure of every endpoint arrives as a chunk that the SDKs can read."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "status=400+slowheaders=200"), keepalive_s=0.05)
    response, found = await caller.stream("t/a")
    assert response.status_code == 200
    (chunk,) = found[:-1]
    wireshape.chunk(chunk, response.headers["x-generation-id"], failed=True)
    assert chunk["choices"][0]["finish_reason"] == "error"
    assert chunk["error"]["code"] == 400
    assert chunk["error"]["metadata"]["error_type"] == "invalid_request"
    assert chunk["model"] == "t/a"
    one_ending(found)
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


async def test_metadata_only_on_request(gateway: GatewayFactory) -> None:
    """``openrouter_metadata`` is opt-in; it names what was asked, tried and dropped, in the SDK's shape."""
    stage = await gateway(
        Sale("t/a", "alpha", "status=503", prompt="0.01", completion="0.01"),
        Sale("t/a", "beta"),
        Sale("t/a", "gamma", more={"quantization": "int4"}),
    )
    caller = await stage.caller()
    wishes = {"order": ["alpha", "beta"], "ignore": ["gamma"]}
    request = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}], "provider": wishes}
    plain = wireshape.answer(await caller.raw(msgspec.json.encode(request)))
    assert "openrouter_metadata" not in plain
    headers = {"X-OpenRouter-Metadata": "Enabled"}
    for stream in (False, True):
        stage.gateway.services.health._endpoints.clear()
        response = await caller.raw(msgspec.json.encode({**request, "stream": stream}), **headers)
        if stream:
            found = events(response.text)
            wireshape.stream(response, found, explained=True)
            metadata = found[-2]["openrouter_metadata"]
        else:
            metadata = wireshape.answer(response)["openrouter_metadata"]
        assert (metadata["requested"], metadata["strategy"], metadata["attempt"], metadata["is_byok"]) == (
            "t/a",
            "direct",
            2,
            False,
        )
        assert metadata["endpoints"]["total"] == 3
        assert metadata["endpoints"]["available"] == [
            {"provider": "Alpha", "model": "t/a", "selected": False},
            {"provider": "Beta", "model": "t/a", "selected": True},
        ]
        assert [(d["provider"], d["filter"]) for d in metadata["endpoints"]["dropped"]] == [
            ("Gamma", "allowed_providers")
        ]
        assert metadata["attempts"] == [
            {"provider": "Alpha", "model": "t/a", "status": 503},
            {"provider": "Beta", "model": "t/a", "status": 200},
        ]


async def test_tools_pass_through_unchanged(gateway: GatewayFactory) -> None:
    """Tools reach the vendor as they were sent; tool calls and their results come back and go out again whole."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "toolcall"))
    tools = [
        {
            "type": "function",
            "function": {
                "name": "find_book",
                "description": "Finds.",
                "strict": True,
                "parameters": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
            },
            "cache_control": {"type": "ephemeral"},
        }
    ]
    body = wireshape.answer(await caller.chat("t/a", tools=tools, tool_choice="auto"))
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "find_book", "arguments": '{"title":"sample"}'}
    response, found = await caller.stream("t/a", tools=tools)
    chunks = wireshape.stream(response, found)
    pieces = [piece for c in chunks for piece in c["choices"][0]["delta"].get("tool_calls", ())]
    assert pieces[0]["type"] == "function"
    assert pieces[0]["function"]["name"] == "find_book"
    assert {piece["index"] for piece in pieces} == {0}
    assert "".join(piece["function"].get("arguments", "") for piece in pieces) == '{"title":"sample"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "found"},
    ]
    body = {"model": "t/a", "messages": messages, "tools": tools}
    final = wireshape.answer(await caller.raw(msgspec.json.encode(body)))
    assert final["choices"][0]["message"]["content"].startswith("000 ")
    await calm(stage)


async def test_reasoning_is_shown_and_billed_once(gateway: GatewayFactory) -> None:
    """``reasoning_content`` of a vendor becomes ``reasoning``; its tokens are part of the completion and of one bill."""
    sale = Sale("t/a", "alpha", "ok+reasoning=5+tokens=3")
    stage, caller = await one(gateway, sale)
    body = wireshape.answer(await caller.chat("t/a"))
    assert body["choices"][0]["message"]["reasoning"] == "000 001 002 003 004 "
    assert body["usage"]["completion_tokens"] == 8
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    response, found = await caller.stream("t/a")
    chunks = wireshape.stream(response, found)
    assert "".join(c["choices"][0]["delta"].get("reasoning") or "" for c in chunks) == "000 001 002 003 004 "
    assert found[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    lines = await caller.lines()
    assert [line.cost_nano for line in lines] == [price(sale, PROMPT_TOKENS, 8).cost] * 2
    await calm(stage)


async def test_cached_tokens_at_their_own_price(gateway: GatewayFactory) -> None:
    """Without a cache price cached tokens cost what a prompt token costs, and are reported as cached."""
    sale = Sale("t/a", "alpha", "ok+cached=4")
    _, caller = await one(gateway, sale)
    body = wireshape.answer(await caller.chat("t/a"))
    assert body["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    settled, _ = await charged(caller)
    assert settled.cost_nano == price(sale, PROMPT_TOKENS, 16).cost


ODD_ANSWER = {
    **{
        "id": "x-1",
        "object": "chat.completion",
        "created": 1.5,
        "model": "theirs",
        "error": None,
        "system_fingerprint": "fp_9",
    },
    **{"service_tier": "default", "vendor_extra": {"kept": [1, 2]}},
    "choices": [
        {
            "message": {
                **{"role": "", "content": "hi", "tool_calls": None, "annotations": None, "reasoning_content": "why"},
                "vendor_says": True,
            },
            "finish_reason": "eos",
        }
    ],
    "usage": {"prompt_tokens": 9.0, "completion_tokens": 2, "total_tokens": 11, "vendor_joules": 3},
}
ODD_CHUNKS: list[dict[str, Any]] = [
    {"id": "x-1", "choices": [], "prompt_filter_results": []},
    {
        **{"id": "x-1", "created": 1.5, "system_fingerprint": None, "error": None, "usage": None},
        "choices": [{"index": 0, "delta": {"role": "", "content": "h", "tool_calls": None}}],
    },
    {
        **{"id": "x-1", "vendor_extra": {"kept": [1, 2]}, "system_fingerprint": "fp_9"},
        "choices": [{"index": 0, "delta": {"role": None, "content": "i", "vendor_says": 1}, "finish_reason": ""}],
    },
    {"id": "x-1", "choices": [{"index": 0, "delta": None, "finish_reason": "eos"}]},
    {"id": "x-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}},
]


async def odd_vendor(peer: Peer) -> None:
    """A compatible vendor with every oddity seen in the wild."""
    while True:
        request = json.loads(await peer.request())
        if not request.get("stream"):
            await peer.answer(json.dumps(ODD_ANSWER).encode())
            continue
        await peer.begin()
        for chunk in ODD_CHUNKS:
            await peer.chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await peer.chunk(b"data: [DONE]\n\n")
        await peer.end()


async def test_oddities_are_mended_and_the_unknown_is_kept(gateway: GatewayFactory) -> None:
    """Empty roles, null tool calls, missing indexes, null fingerprints: mended; unknown fields: passed on."""
    async with RawServer(odd_vendor) as server:
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        body = wireshape.answer(await caller.chat("t/a"))
        assert (body["system_fingerprint"], body["service_tier"]) == ("fp_9", "default")
        assert body["vendor_extra"] == {"kept": [1, 2]}
        (choice,) = body["choices"]
        assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "eos")
        assert choice["message"]["vendor_says"] is True
        assert choice["message"]["reasoning"] == "why"
        assert "tool_calls" not in choice["message"]
        assert "annotations" not in choice["message"]
        response, found = await caller.stream("t/a")
        chunks = wireshape.stream(response, found)
        assert content(chunks) == "hi"
        assert chunks[1]["vendor_extra"] == {"kept": [1, 2]}
        assert chunks[1]["system_fingerprint"] == "fp_9"
        assert chunks[1]["choices"][0]["delta"]["vendor_says"] == 1
        assert chunks[-1]["choices"][0]["native_finish_reason"] == "eos"
        await calm(stage)


async def test_what_the_vendor_gets(gateway: GatewayFactory) -> None:
    """The vendor sees its own model id, the caller's parameters and unknown fields, and none of the gateway's own fields; the end
    user's name goes out as a hash that says nothing about who it is."""
    seen: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(json.loads(await peer.request()))
            await peer.answer(json.dumps(ODD_ANSWER).encode())

    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "spy", "their-name"), urls={"spy": f"{server.url}/v1"})
        caller = await stage.caller()
        sent = {"temperature": 0.5, "seed": 7, "stop": ["x"], "max_tokens": 50, "vendor_mode": {"a": [1]}}
        options = {"spy": {"safe_prompt": True, "max_tokens": 9, "model": "x"}, "other": {"a": 1}}
        ours = {
            "provider": {"order": ["spy"], "options": options},
            "models": ["t/a"],
            "route": "fallback",
            "transforms": [],
            "usage": {},
        }
        wireshape.answer(await caller.chat("t/a", **sent, **ours, user="ann@example.test", top_k=None, logprobs=None))
        (got,) = seen
        messages = [{"role": "user", "content": "hello"}]
        hidden = hashlib.sha256(f"{caller.org}\0ann@example.test".encode()).hexdigest()[:32]
        assert got == {"model": "their-name", "messages": messages, **sent, "user": hidden, "safe_prompt": True}


async def test_events_leave_as_they_arrive(gateway: GatewayFactory) -> None:
    """Nothing is held back: each token is with the caller before the vendor has sent the next one."""
    release, sent = asyncio.Event(), json.dumps
    frames = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("one", "two", "three")]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        for frame in frames:
            await peer.chunk(b"data: " + sent(frame).encode() + b"\n\n")
            await release.wait()
            release.clear()
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        await peer.chunk(b"data: " + sent(end).encode() + b"\n\ndata: [DONE]\n\n")
        await peer.end()

    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "slow"), urls={"slow": f"{server.url}/v1"})
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(caller.request("t/a", stream=True))
            await line.head()
            for word in ("one", "two", "three"):
                (chunk,) = events((await line.chunk()).decode())
                assert chunk["choices"][0]["delta"]["content"] == word
                release.set()
            rest = b""
            while data := await line.chunk():
                rest += data
        found = events(rest.decode())
        assert found[-1] == "[DONE]"
        await calm(stage)
