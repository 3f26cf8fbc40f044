"""A simulated vendor that behaves: shapes, usage, pacing, keep-alive, key, routes."""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx
import pytest
import trustme
from openai import AsyncOpenAI

from simulator import WORDS
from simulator.prompt_cache import PromptCache
from tests.support.vendor import events, line, request_bytes, text_of, vendor, vendors

ASK_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


async def test_json_answer_to_the_field() -> None:
    """A JSON answer has OpenAI's shape, numbered tokens and the usage that the ledger says."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ok+tokens=3", headers={"X-Request-Id": "r-1"})
        status, headers, body = await wire.response()
        answer = json.loads(body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert answer["object"] == "chat.completion"
        assert answer["choices"][0]["message"]["content"] == "000 001 002 "
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["prompt_tokens"] == 3 + 4 + 3
        assert answer["usage"]["completion_tokens"] == 3
        (entry,) = sim.log.of("r-1")
        assert (entry.prompt_tokens, entry.sent_tokens, entry.finished) == (10, 3, True)
        assert (entry.billed_prompt_tokens, entry.billed_completion_tokens) == (10, 3)


async def test_streamed_answer_to_the_field() -> None:
    """A stream has the role first, one token an event, then finish, usage with no choices, and the end mark."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ok+tokens=3", user="r-2", **ASK_USAGE)
        _, headers, body = await wire.response()
        role, *tokens, finish, usage, done = events(body)
        assert headers["content-type"].startswith("text/event-stream")
        assert role["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
        assert [chunk["choices"][0]["delta"] for chunk in tokens] == [{"content": f"00{n} "} for n in range(3)]
        assert finish["choices"][0]["finish_reason"] == "stop"
        assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 3, "[DONE]")
        assert sim.log.of("r-2")[0].sent_tokens == 3


async def test_usage_in_a_stream_only_when_requested() -> None:
    """Without stream_options.include_usage no event carries usage, as with OpenAI."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ok", stream=True)
        assert b"usage" not in (await wire.response())[2]


async def test_batch_reasoning_and_max_tokens() -> None:
    """batch=N puts N tokens of one kind into an event; reasoning comes first; max_tokens cuts with reason length."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ok+tokens=9+reasoning=3+batch=2", max_tokens=6, **ASK_USAGE)
        chunks = events((await wire.response())[2])
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks[1:-3]]
        assert deltas == [
            {"reasoning_content": "000 001 "},
            {"reasoning_content": "002 "},
            {"content": "000 001 "},
            {"content": "002 "},
        ]
        assert chunks[-3]["choices"][0]["finish_reason"] == "length"
        assert chunks[-2]["usage"]["completion_tokens"] == 6
        assert chunks[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_call_and_its_result(stream: bool) -> None:
    """toolcall calls the request's first tool with arguments that fit its schema, and says something after the result."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "u": {"enum": ["C", "F"]}},
        "required": ["n", "u"],
    }
    tools = [{"type": "function", "function": {"name": "measure", "parameters": schema}}]
    async with vendor() as sim:
        client = AsyncOpenAI(base_url=sim.base_url, api_key="any")
        messages: list[Any] = [{"role": "user", "content": "go"}]
        if stream:
            name, arguments = "", ""
            async for chunk in await client.chat.completions.create(
                model="toolcall", messages=messages, tools=tools, stream=True
            ):
                for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                    name, arguments = name + (call.function.name or ""), arguments + call.function.arguments
        else:
            answer = await client.chat.completions.create(model="toolcall", messages=messages, tools=tools)
            function = answer.choices[0].message.tool_calls[0].function
            name, arguments = function.name, function.arguments
        assert (name, json.loads(arguments)) == ("measure", {"n": 1, "u": "C"})
        after = [*messages, {"role": "tool", "tool_call_id": "call_1", "content": "21"}]
        answer = await client.chat.completions.create(model="toolcall+tokens=2", messages=after, tools=tools)
        assert answer.choices[0].message.content == "000 001 "
        await client.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_echo_of_any_script(stream: bool) -> None:
    """echo gives back the last user message, characters of every width whole."""
    text = 'Grüße, 世界! 🙂 "quoted"\n\\ end'
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(
            "echo", messages=[{"role": "user", "content": text}, {"role": "assistant", "content": "no"}], stream=stream
        )
        body = (await wire.response())[2]
        content = text_of(events(body)) if stream else json.loads(body)["choices"][0]["message"]["content"]
        assert content == text


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("none", []),
        ("zero", [0]),
        ("twice", [2, 2]),
        ("afterdone", [2]),
        ("negative", [-2]),
        ("cumulative", [1, 2, 2]),
        ("absurd", [2_000_000]),
        ("text", ["2"]),
        ("onfinish", [2]),
    ],
)
async def test_usage_reports(kind: str, counts: list[Any]) -> None:
    """Each kind of wrong usage report says what it promises, while the ledger keeps the truth."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(f"ok+tokens=2+usage={kind}", **ASK_USAGE)
        chunks = events((await wire.response())[2])
        reports = [
            chunk["usage"]["completion_tokens"] for chunk in chunks if isinstance(chunk, dict) and chunk.get("usage")
        ]
        assert reports == counts
        assert (chunks[-1] == "[DONE]") == (kind != "afterdone")
        assert sim.log.requests[0].billed_completion_tokens == 2


async def test_cached_and_blank_finish() -> None:
    """cached=N reports at most the prompt; finish=blank with tokens=0 is the empty answer that must not be charged."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("tokens=0+finish=blank+cached=4")
        answer = json.loads((await wire.response())[2])
        assert answer["choices"][0]["finish_reason"] is None
        assert answer["choices"][0]["message"]["content"] == ""
        assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


async def test_comments_line_ends_and_slices_change_nothing() -> None:
    """keepalives, crlf, split and drip alter bytes and timing, never the events."""
    async with vendor() as sim, line(sim) as wire:
        for model in ("tokens=4", "tokens=4+crlf+keepalives", "tokens=4+split=7", "tokens=1+drip=0.1"):
            await wire.ask(model, **ASK_USAGE)
            body = (await wire.response())[2]
            assert text_of(events(body)) == "".join(f"00{n} " for n in range(1 if "drip" in model else 4))
            assert (b": PROCESSING\r\n\r\n" in body) == ("crlf" in model)


async def test_keep_alive_pipelining_and_close() -> None:
    """One connection serves many requests, also sent at once; close and Connection: close end it."""
    async with vendor() as sim, line(sim) as wire:
        await wire.send(request_bytes("tokens=1") * 3)
        assert [(await wire.response())[0] for _ in range(3)] == [200, 200, 200]
        assert sim.log.connections_accepted == 1
        await wire.ask("ok+close")
        _, headers, _ = await wire.response()
        assert (headers["connection"], await wire.rest()) == ("close", b"")
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ok", headers={"Connection": "close"})
        assert (await wire.rest()).startswith(b"HTTP/1.1 200")


async def test_request_in_pieces_and_in_chunks() -> None:
    """A request may come byte by byte, chunked, or after 100-continue."""
    body = b'{"model":"tokens=1","messages":[]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with vendor() as sim, line(sim) as wire:
        for byte in request_bytes("tokens=1"):
            await wire.send(bytes([byte]))
        assert (await wire.response())[0] == 200
        await wire.send(head + b"%x\r\n%b\r\n" % (10, body[:10]))
        await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 10, body[10:]))
        assert (await wire.response())[0] == 200
        await wire.ask("ok", headers={"Expect": "100-continue"})
        assert (await wire.head())[0] == 100
        assert (await wire.response())[0] == 200


async def test_key_check() -> None:
    """With a key only its bearer is served, without one everybody; the ledger keeps the refused request, unbilled."""
    async with vendors("locked", key="sk-sim") as (sim,), line(sim) as wire:
        for header, status in (
            ({}, 401),
            ({"Authorization": "Bearer no"}, 401),
            ({"Authorization": "Bearer sk-sim"}, 200),
        ):
            await wire.ask("ok", headers=header)
            assert (await wire.response())[0] == status
        assert [entry.status for entry in sim.log.requests] == [401, 401, 200]
        assert [entry.billed_prompt_tokens for entry in sim.log.requests] == [0, 0, 10]
        await wire.send(b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert (await wire.response())[0] == 401


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (request_bytes("no-such-model"), 404),
        (request_bytes("ok").replace(b'"messages"', b'"massages"'), 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 3\r\n\r\n{ab", 400),
        (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", 405),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"PUT /__truth HTTP/1.1\r\n\r\n", 405),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
    ],
)
async def test_bad_requests_get_an_answer(request_: bytes, status: int) -> None:
    """What the vendor does not take is answered with OpenAI's error envelope, never with silence."""
    async with vendor() as sim, line(sim) as wire:
        await wire.send(request_)
        found, _, body = await wire.response()
        assert found == status
        assert json.loads(body)["error"]["message"]


async def test_models_list_is_the_language() -> None:
    """GET /v1/models shows every word with what it does."""
    async with vendor() as sim, httpx.AsyncClient() as client:
        rows = (await client.get(f"{sim.base_url}/models")).json()["data"]
        assert {row["id"]: row["description"] for row in rows} == {word.form: word.doc for word in WORDS.values()}


async def test_flaky_is_seeded() -> None:
    """The same seed fails the same requests; about the asked share of them."""
    patterns = []
    for _ in range(2):
        async with vendor(seed=7) as sim, line(sim) as wire:
            statuses = []
            for _ in range(200):
                await wire.ask("flaky=0.3+status=500")
                statuses.append((await wire.response())[0])
            patterns.append(statuses)
    assert patterns[0] == patterns[1]
    assert 30 <= patterns[0].count(500) <= 90
    assert set(patterns[0]) == {200, 500}


async def test_pacing_is_at_least_what_the_model_name_says() -> None:
    """ttft and tps delay the first and every following token, measured on the ledger's own clock."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("ttft=60+tps=100+tokens=5", **ASK_USAGE)
        await wire.response()
        entry = sim.log.requests[0]
        assert entry.ended_at is not None
        assert entry.ended_at - entry.started_at >= 0.06 + 4 / 100 - 0.002


async def test_over_tls() -> None:
    """The same vendor over TLS, as real ones are."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with vendor(tls=context) as sim, httpx.AsyncClient(verify=trust) as client:
        answer = await client.post(f"{sim.base_url}/chat/completions", json={"model": "tokens=2", "messages": []})
        assert answer.json()["choices"][0]["message"]["content"] == "000 001 "


async def test_a_vendor_that_caches() -> None:
    """The messages of an earlier prompt are read from the cache, by model, from 1,024 tokens on, in every wire format."""
    history = [{"role": "system", "content": "x" * 4096}, {"role": "user", "content": "Hello"}]
    more = [*history, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}]
    other = [history[0], {"role": "user", "content": "Something else"}]
    short = [{"role": "user", "content": "Hello"}]
    system = 3 + 4 + 1024
    found = []
    async with vendor() as sim, httpx.AsyncClient(base_url=sim.base_url) as client:
        for model, messages in (
            ("tokens=1+caching", history), ("tokens=1+caching", more), ("tokens=1+caching", more),
            ("tokens=1+caching", other), ("tokens=2+caching", more), ("tokens=1+caching", short),
            ("tokens=1+caching", short), ("tokens=1", more),
        ):  # fmt: skip
            body = (await client.post("/chat/completions", json={"model": model, "messages": messages})).json()
            found.append(body["usage"]["prompt_tokens_details"]["cached_tokens"])
        asked = {"model": "tokens=1+caching", "max_tokens": 9, "messages": more[1:], "system": "x" * 4096}
        answer = (await client.post("/messages", json=asked, headers={"anthropic-version": "2023-06-01"})).json()
    assert found == [0, system + 6, system + 6 + 5 + 6, system, 0, 0, 0, 0]
    assert answer["usage"]["cache_read_input_tokens"] == system + 6 + 5 + 6


def test_a_cached_prompt_is_forgotten() -> None:
    """After five minutes in which nobody read it."""
    now = [0.0]
    cache, messages = PromptCache(lambda: now[0]), [{"role": "user", "content": "x" * 5000}]
    for when, known in ((0, False), (299, True), (598, True), (898, False)):
        now[0] = when
        assert bool(cache.read("m", messages)) == known
