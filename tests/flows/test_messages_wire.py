"""Messages to the field, JSON and events, for models whose vendors speak something else; every cost computed a second time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support import messageshape
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, charged, price, truth_cost
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello"}]
PROMPT_TOKENS = 9
"""Of the text "hello": 3 for the prompt, 4 for the message, 2 for five bytes."""
TOOL = {
    "name": "find_book",
    "description": "Finds.",
    "input_schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
}


async def ask(caller: Caller, model: str | None, path: str = "/api/v1/messages", **more: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 1000, "messages": HELLO, **more}
    headers = {"x-api-key": caller.secret, "anthropic-version": "2023-06-01"}
    return await caller.gateway.client.post(path, json=body, headers=headers)


async def one(gateway: GatewayFactory, sale: Sale, **options: Any) -> tuple[Stage, Caller]:
    stage = await gateway(sale, **options)
    return stage, await stage.caller()


def sse(chunks: list[dict[str, Any]]) -> list[bytes]:
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def deltas(*given: dict[str, Any], finish: str = "stop", **more: Any) -> list[dict[str, Any]]:
    """Chunks of a vendor: one a delta, the finish reason, the usage."""
    chunks: list[dict[str, Any]] = [{"id": "x", "choices": [{"index": 0, "delta": delta}]} for delta in given]
    chunks.append({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": finish, **more}]})
    return [*chunks, {"id": "x", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}]


class Vendor:
    """Answers every request with one message, or with its chunks, and keeps what was asked."""

    def __init__(
        self, message: dict[str, Any], chunks: list[dict[str, Any]], *, finish: str = "stop", **more: Any
    ) -> None:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": None, **message},
            "finish_reason": finish,
            **more,
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
        self.body = {"id": "x", "object": "chat.completion", "created": 1, "choices": [choice], "usage": usage}
        self.chunks = chunks
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = json.loads(await peer.request())
            self.requests.append(request)
            if not request.get("stream"):
                await peer.answer(json.dumps(self.body).encode())
                continue
            await peer.begin()
            for data in sse(self.chunks):
                await peer.chunk(data)
            await peer.end()


async def both(
    gateway: GatewayFactory, script: Vendor, *, strict: bool = True, **more: Any
) -> tuple[dict[str, Any], list[messageshape.Event]]:
    """The same request whole and streamed."""
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        whole = messageshape.answer(await ask(caller, "t/a", **more), strict=strict)
        found = messageshape.stream(await ask(caller, "t/a", stream=True, **more), strict=strict)
        await calm(stage)
    return whole, found


async def test_json_to_the_field(gateway: GatewayFactory) -> None:
    """Id, provider, model, stop reason and usage; the cost is exact and on the ledger before the answer leaves."""
    sale = Sale("acme/fast-1", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage, caller = await one(gateway, sale)
    response = await ask(caller, "acme/fast-1")
    body = messageshape.answer(response)
    assert (body["model"], body["provider"], body["role"]) == ("acme/fast-1", "Alpha", "assistant")
    assert body["content"] == [{"type": "text", "text": "000 001 002 003 004 005 006 ", "citations": []}]
    assert (body["stop_reason"], body["stop_sequence"], body["stop_details"]) == ("end_turn", None, None)
    bill = price(sale, PROMPT_TOKENS, 7)
    usage = json.loads(response.text, parse_float=Decimal)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (PROMPT_TOKENS, 7)
    assert usage["cost"] == Decimal(bill.total) / 10**9
    settled, _ = await charged(caller)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (bill.cost, bill.fee, bill.total)
    assert settled.cost_nano == truth_cost(stage, sale)
    assert settled.generation_id == body["id"]
    await calm(stage)


async def test_events_to_the_field(gateway: GatewayFactory) -> None:
    """The protocol's order, real token counts and the cost on message_delta, no [DONE]; the same money as for JSON."""
    sale = Sale("acme/fast-1", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage, caller = await one(gateway, sale)
    response = await ask(caller, "acme/fast-1", stream=True)
    found = messageshape.stream(response)
    assert "[DONE]" not in response.text
    names = [name for name, _ in found]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names.count("content_block_delta") == 7
    assert messageshape.blocks(found)[0]["text"] == "000 001 002 003 004 005 006 "
    opened, last = found[0][1]["message"], found[-2][1]
    assert (opened["model"], opened["provider"], opened["content"]) == ("acme/fast-1", "Alpha", [])
    assert opened["usage"]["input_tokens"] == PROMPT_TOKENS
    assert last["delta"]["stop_reason"] == "end_turn"
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (PROMPT_TOKENS, 7)
    settled, _ = await charged(caller)
    assert round(last["usage"]["cost"] * 10**9) == settled.user_nano == price(sale, PROMPT_TOKENS, 7).total
    assert settled.cost_nano == truth_cost(stage, sale)
    await calm(stage)


async def test_prefixes_keys_and_query(gateway: GatewayFactory) -> None:
    """Both prefixes, both key headers, and the ``?beta=true`` that SDKs append."""
    _, caller = await one(gateway, Sale("t/a", "alpha"))
    body = {"model": "t/a", "max_tokens": 10, "messages": HELLO}
    for path in ("/v1/messages", "/api/v1/messages", "/v1/messages?beta=true"):
        for headers in (caller.headers, {"x-api-key": caller.secret}):
            messageshape.answer(await caller.gateway.client.post(path, json=body, headers=headers))


@pytest.mark.parametrize(
    ("upstream", "more", "reason"),
    [
        ("ok+tokens=30", {"max_tokens": 3}, "max_tokens"),
        ("ok+finish=content_filter", {}, "refusal"),
        ("toolcall", {"tools": [TOOL]}, "tool_use"),
        ("ok+finish=eos", {}, "end_turn"),
        ("ok+finish=stop_sequence", {"stop_sequences": ["END"]}, "stop_sequence"),
        ("ok+finish=model_context_window_exceeded", {}, "model_context_window_exceeded"),
    ],
)
async def test_stop_reasons(gateway: GatewayFactory, upstream: str, more: dict[str, Any], reason: str) -> None:
    """A vendor's finish reason is Anthropic's stop reason, whole and streamed."""
    _, caller = await one(gateway, Sale("t/a", "alpha", upstream))
    whole = messageshape.answer(await ask(caller, "t/a", **more))
    streamed = messageshape.stream(await ask(caller, "t/a", stream=True, **more))[-2][1]["delta"]
    assert whole["stop_reason"] == streamed["stop_reason"] == reason
    expected = "END" if reason == "stop_sequence" else None
    assert whole["stop_sequence"] == streamed["stop_sequence"] == expected
    details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
    assert whole["stop_details"] == streamed["stop_details"] == details


async def test_tools_there_and_back(gateway: GatewayFactory) -> None:
    """A call comes as tool_use with its input, its result goes back, the conversation goes on; streamed it is the same."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "toolcall"))
    whole = messageshape.answer(await ask(caller, "t/a", tools=[TOOL], tool_choice={"type": "auto"}))
    (block,) = whole["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "find_book", {"title": "sample"})
    found = messageshape.stream(await ask(caller, "t/a", tools=[TOOL], stream=True))
    (streamed,) = messageshape.blocks(found)
    assert (streamed["name"], streamed["input"]) == (block["name"], block["input"])
    talk = [
        *HELLO,
        {"role": "assistant", "content": whole["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "found"}]},
    ]
    final = messageshape.answer(await ask(caller, "t/a", tools=[TOOL], messages=talk))
    assert final["content"][0]["text"].startswith("000 ")
    assert final["stop_reason"] == "end_turn"
    await calm(stage)


async def test_thinking_is_shown_first_and_counted_once(gateway: GatewayFactory) -> None:
    """Reasoning of any vendor is a thinking block before the text, unsigned where it came without a signature."""
    sale = Sale("t/a", "alpha", "ok+reasoning=5+tokens=3")
    stage, caller = await one(gateway, sale)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    whole = messageshape.answer(await ask(caller, "t/a", thinking=thinking, max_tokens=2000))
    assert whole["content"] == [
        {"type": "thinking", "thinking": "000 001 002 003 004 ", "signature": ""},
        {"type": "text", "text": "000 001 002 ", "citations": []},
    ]
    assert whole["usage"]["output_tokens"] == 8
    assert whole["usage"]["output_tokens_details"] == {"thinking_tokens": 5}
    found = messageshape.stream(await ask(caller, "t/a", thinking=thinking, max_tokens=2000, stream=True))
    assert messageshape.blocks(found) == whole["content"]
    lines = await caller.lines()
    assert [line.cost_nano for line in lines] == [price(sale, PROMPT_TOKENS, 8).cost] * 2
    await calm(stage)


async def test_omitted_thinking_is_not_shown(gateway: GatewayFactory) -> None:
    """``display: omitted``: no text of what was thought, though it is made and billed."""
    _, caller = await one(gateway, Sale("t/a", "alpha", "ok+reasoning=5+tokens=3"))
    more = {"thinking": {"type": "adaptive", "display": "omitted"}}
    whole = messageshape.answer(await ask(caller, "t/a", **more))
    found = messageshape.stream(await ask(caller, "t/a", stream=True, **more))
    assert [block["type"] for block in whole["content"]] == ["text"]
    assert messageshape.blocks(found) == whole["content"]
    assert whole["usage"]["output_tokens_details"] == {"thinking_tokens": 5}


async def test_usage_with_caching(gateway: GatewayFactory) -> None:
    """What was read from a cache is not among the input tokens: their sum is the prompt."""
    _, caller = await one(gateway, Sale("t/a", "alpha", "ok+cached=4"))
    for stream in (False, True):
        response = await ask(caller, "t/a", stream=stream)
        usage = messageshape.stream(response)[-2][1]["usage"] if stream else messageshape.answer(response)["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (PROMPT_TOKENS - 4, 4)
        assert usage["cache_creation_input_tokens"] == 0
        assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}


async def test_interleaved_parallel_calls(gateway: GatewayFactory) -> None:
    """Two calls whose pieces come mixed are two blocks, one after the other; text behind them is a third."""

    def piece(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
        opening = {"id": f"c{index}", "type": "function"} if name else {}
        function = {"arguments": arguments, **({"name": name} if name else {})}
        return {"index": index, "function": function, **opening}

    chunks = deltas(
        {"role": "assistant", "content": "Let me see."},
        {"tool_calls": [piece(0, "", "one"), piece(1, "", "two")]},
        {"tool_calls": [piece(1, '{"b":')]},
        {"tool_calls": [piece(0, '{"a"')]},
        {"tool_calls": [piece(1, "2}"), piece(0, ":1}")]},
        {"content": " Done."},
        finish="tool_calls",
    )
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, name, arguments in ((0, "one", '{"a":1}'), (1, "two", '{"b":2}'))
    ]
    script = Vendor({"content": "Let me see.", "tool_calls": calls}, chunks, finish="tool_calls")
    whole, found = await both(gateway, script)
    streamed = messageshape.blocks(found)
    assert streamed[:3] == whole["content"]
    assert [(b["id"], b["name"], b["input"]) for b in streamed[1:3]] == [
        ("c0", "one", {"a": 1}),
        ("c1", "two", {"b": 2}),
    ]
    assert streamed[3]["text"] == " Done."
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


async def test_arguments_that_are_no_object(gateway: GatewayFactory) -> None:
    """What a vendor wrote instead of JSON is carried, and goes back as the object that servers' chat templates demand."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": tru'}}
    script = Vendor({"tool_calls": [call]}, deltas({"content": "x"}), finish="tool_calls")
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        whole = messageshape.answer(await ask(caller, "t/a"))
        assert whole["content"][0]["input"] == {"_unparsed_arguments": '{"a": tru'}
        result = {"type": "tool_result", "tool_use_id": "c", "is_error": True, "content": "not JSON"}
        talk = [*HELLO, {"role": "assistant", "content": whole["content"]}, {"role": "user", "content": [result]}]
        await ask(caller, "t/a", messages=talk)
        _, turn, answered = script.requests[-1]["messages"]
        assert [one["id"] for one in turn["tool_calls"]] == ["c"]
        assert json.loads(turn["tool_calls"][0]["function"]["arguments"]) == {"_unparsed_arguments": '{"a": tru'}
        assert answered["content"] == "Error: not JSON"


async def test_citations_and_pictures(gateway: GatewayFactory) -> None:
    """Web citations become citations of the text, a picture the block in which this shape takes pictures."""
    cited = {"url": "https://e.test/a", "title": "A", "start_index": 0, "end_index": 4, "content": "cited"}
    note = {"type": "url_citation", "url_citation": cited}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    message = {"content": "text", "annotations": [note], "images": [picture]}
    script = Vendor(message, deltas({"content": "text"}, {"annotations": [note]}, {"images": [picture]}))
    whole, found = await both(gateway, script, strict=False)
    text, image = whole["content"]
    assert text["citations"] == [
        {
            **{"type": "web_search_result_location", "url": "https://e.test/a", "title": "A"},
            **{"cited_text": "cited", "encrypted_index": ""},
        }
    ]
    assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    assert messageshape.blocks(found) == whole["content"]


async def test_a_refusal_is_text(gateway: GatewayFactory) -> None:
    """A refusal is text, and the stop reason says what it is."""
    script = Vendor({"refusal": "I will not."}, deltas({"refusal": "I will"}, {"refusal": " not."}))
    whole, found = await both(gateway, script)
    assert whole["content"] == [{"type": "text", "text": "I will not.", "citations": []}]
    assert whole["stop_reason"] == "refusal"
    assert whole["stop_details"]["explanation"] == "I will not."
    assert messageshape.blocks(found) == whole["content"]
    assert found[-2][1]["delta"]["stop_details"] == whole["stop_details"]


async def test_the_sequence_that_stopped(gateway: GatewayFactory) -> None:
    """vLLM names the stop sequence; it is passed on, but only when the caller had asked for it."""
    script = Vendor({"content": "x"}, deltas({"content": "x"}, stop_reason="END"), stop_reason="END")
    whole, found = await both(gateway, script, stop_sequences=["STOP", "END"])
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "END")
    assert found[-2][1]["delta"]["stop_sequence"] == "END"
    whole, _ = await both(gateway, script, stop_sequences=["STOP"])
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("end_turn", None)


async def test_what_the_vendor_gets(gateway: GatewayFactory) -> None:
    """The chat request behind a Messages request, and nothing of Anthropic's that an OpenAI vendor would refuse."""
    script = Vendor({"content": "x"}, [])
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd", "theirs"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        response = await ask(
            caller,
            "t/a",
            system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
            stop_sequences=["END"],
            temperature=0.5,
            top_p=0.9,
            tools=[TOOL],
            tool_choice={"type": "tool", "name": "find_book", "disable_parallel_tool_use": True},
            metadata={"user_id": "ann"},
            speed="fast",
            context_management={"edits": []},
            container="c",
        )
        messageshape.answer(response)
        (got,) = script.requests
        hidden = got.pop("user")
        assert "ann" not in hidden
        function = {"name": "find_book", "description": "Finds.", "parameters": TOOL["input_schema"]}
        assert got == {
            "model": "theirs",
            "messages": [{"role": "system", "content": "Be brief.\n\nBe kind."}, *HELLO],
            "max_tokens": 1000,
            "stop": ["END"],
            "temperature": 0.5,
            "top_p": 0.9,
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": "find_book"}},
        }


async def test_fallbacks(gateway: GatewayFactory) -> None:
    """``fallbacks`` is the list of models to try when the first one fails; the answer names the one that served."""
    stage = await gateway(Sale("t/down", "alpha", "status=500"), Sale("t/up", "alpha", "ok"))
    caller = await stage.caller()
    body = messageshape.answer(await ask(caller, "t/down", fallbacks=[{"model": "t/up"}]))
    assert body["model"] == "t/up"
    body = messageshape.answer(await ask(caller, None, models=["t/down", "t/up"]))
    assert body["model"] == "t/up"


async def test_metadata_only_on_request(gateway: GatewayFactory) -> None:
    """``openrouter_metadata`` is opt-in: on the message, or on message_stop."""
    _, caller = await one(gateway, Sale("t/a", "alpha"))
    headers = {**caller.headers, "X-OpenRouter-Metadata": "enabled"}
    body = {"model": "t/a", "messages": HELLO}
    for stream in (False, True):
        plain = await ask(caller, "t/a", stream=stream)
        assert "openrouter_metadata" not in plain.text
        response = await caller.gateway.client.post("/v1/messages", json={**body, "stream": stream}, headers=headers)
        document = messageshape.stream(response)[-1][1] if stream else messageshape.answer(response)
        assert document["openrouter_metadata"]["endpoints"]["total"] == 1


async def test_events_leave_as_they_arrive(gateway: GatewayFactory) -> None:
    """Nothing is held back: each token's delta is with the caller before the vendor has sent the next one."""
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        for word in ("one", "two", "three"):
            await peer.chunk(sse([{"choices": [{"index": 0, "delta": {"content": word}}]}])[0])
            await release.wait()
            release.clear()
        for data in sse(deltas()):
            await peer.chunk(data)
        await peer.end()

    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "slow"), urls={"slow": f"{server.url}/v1"})
        caller = await stage.caller()
        body = {"model": "t/a", "messages": HELLO, "stream": True}
        seen = ""
        async with caller.gateway.client.stream("POST", "/v1/messages", json=body, headers=caller.headers) as response:
            words = iter(("one", "two", "three"))
            expected = next(words)
            async for text in response.aiter_text():
                seen += text
                if f'"text":"{expected}"' in seen:
                    expected = next(words, "-")
                    release.set()
        assert [d["delta"]["text"] for n, d in messageshape.events(seen) if n == "content_block_delta"] == [
            "one",
            "two",
            "three",
        ]
        await calm(stage)
