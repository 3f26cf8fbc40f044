"""Messages where the endpoint speaks the same shape: what goes through unchanged, and the little that is ours in it.

The vendor is a scripted server that speaks Anthropic's protocol; its bodies follow the response types of Anthropic's SDK 2.12.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.api.inference.messages import thinking as messages_thinking
from tests.support import messageshape
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, charged, price
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello"}]
USAGE = {
    **{"input_tokens": 20, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    **{"service_tier": "standard", "inference_geo": "global", "iterations": [{"type": "message"}]},
}
BLOCKS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCk"},
    {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "x"},
        "caller": {"type": "direct"},
    },
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [], "caller": {"type": "direct"}},
    {"type": "text", "text": "Hi", "citations": None, "novelty": 1},
]
ANSWER = {
    **{"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x", "content": BLOCKS},
    **{"stop_reason": "pause_turn", "stop_sequence": None, "stop_details": None, "container": None, "usage": USAGE},
    "context_management": {"applied_edits": []},
}


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


STREAM = [
    event(
        "message_start", message={**ANSWER, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    ),
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("ping"),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQBCk"}),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": "", "citations": None}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Hi"}, novelty=1),
    event("content_block_stop", index=1),
    event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": 7},
        context_management={"applied_edits": []},
    ),
    event("message_stop"),
]


class Claude:
    """One scripted vendor: answers, streams and counts; keeps what was asked."""

    def __init__(self, stream: list[bytes] = STREAM) -> None:
        self.stream = stream
        self.heads: list[str] = []
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = json.loads(await peer.request())
            head = peer.requests[-1][0]
            self.requests.append(request)
            self.heads.append(head)
            if " /v1/messages/count_tokens " in head:
                await peer.answer(b'{"input_tokens": 4711}')
            elif not request.get("stream"):
                await peer.answer(json.dumps(ANSWER).encode())
            else:
                await peer.begin()
                for data in self.stream:
                    await peer.chunk(data)
                await peer.end()


@asynccontextmanager
async def served(gateway: GatewayFactory, claude: Claude, *more: Sale) -> AsyncIterator[tuple[Stage, Caller]]:
    async with RawServer(claude) as server:
        stage = await gateway(
            Sale("anthropic/claude-x", "claude", "claude-x-20261101", more={"options": {"mid_system": True}}),
            Sale("anthropic/claude-old", "claude", "claude-old"),
            *more,
            urls={"claude": f"{server.url}/v1"},
            provider={"claude": {"dialect": "anthropic"}},
        )
        yield stage, await stage.caller()
        await calm(stage)


async def ask(
    caller: Caller, path: str = "/v1/messages", headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    body = {"model": "anthropic/claude-x", "max_tokens": 1000, "messages": HELLO, **more}
    return await caller.gateway.client.post(path, json=body, headers={**caller.headers, **(headers or {})})


async def test_the_request_goes_out_as_it_was_written(gateway: GatewayFactory) -> None:
    """Every field of the shape, known to us or not, reaches the vendor; ours do not; the model and the end user are rewritten."""
    claude = Claude()
    native = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
                        "citations": {"enabled": True},
                    }
                ],
            },
            {"role": "assistant", "content": BLOCKS},
            {"role": "user", "content": [{"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}}]},
        ],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "novelty": {"a": [1]},
    }
    ours = {
        "session_id": "s",
        "provider": {"sort": "price"},
        "user": "ann",
        "trace": {"a": 1},
        "speed": "fast",
        "_x": 1,
    }
    headers = {
        "anthropic-beta": "context-management-2025-06-27, web-search-2025-03-05",
        "x-anthropic-beta": "new-thing-2027-01-01",
    }
    async with served(gateway, claude) as (_, caller):
        response = await ask(caller, headers=headers, **native, **ours)
        messageshape.answer(response)
        (got,) = claude.requests
        hidden = hashlib.sha256(f"{caller.org}\0ann".encode()).hexdigest()[:32]
        assert got == {**native, "model": "claude-x-20261101", "max_tokens": 1000, "metadata": {"user_id": hidden}}
        head = claude.heads[0].lower()
        assert "anthropic-beta: context-management-2025-06-27,web-search-2025-03-05,new-thing-2027-01-01\r\n" in head
        assert "anthropic-version: 2023-06-01\r\n" in head


async def test_the_answer_comes_back_as_it_was_written(gateway: GatewayFactory) -> None:
    """Blocks, stop reason and fields unknown to the gateway stay; id, model, provider, counts and cost are ours."""
    async with served(gateway, Claude()) as (stage, caller):
        body = messageshape.answer(await ask(caller))
        own = {"id", "model", "provider", "usage"}
        assert {k: v for k, v in body.items() if k not in own} == {k: v for k, v in ANSWER.items() if k not in own}
        assert (body["model"], body["provider"]) == ("anthropic/claude-x", "Claude")
        usage = body["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (20, 7)
        assert (usage["inference_geo"], usage["iterations"]) == ("global", [{"type": "message"}])
        settled, _ = await charged(caller)
        assert round(usage["cost"] * 10**9) == settled.user_nano == price(stage.sales[0], 20, 7).total


async def test_the_stream_comes_through_as_it_was_written(gateway: GatewayFactory) -> None:
    """Every event of the vendor's once and in order, with its unknown fields; the last usage is the one that was charged."""
    async with served(gateway, Claude()) as (stage, caller):
        response = await ask(caller, stream=True)
        found = messageshape.stream(response)
        given = messageshape.events(b"".join(STREAM).decode())
        assert [name for name, _ in found] == [name for name, _ in given]
        assert found[1:-2] == given[1:-2]
        opened, delta = found[0][1]["message"], found[-2][1]
        assert (opened["id"], opened["model"], opened["provider"]) == (
            response.headers["x-generation-id"],
            "anthropic/claude-x",
            "Claude",
        )
        assert opened["usage"]["input_tokens"] == 20
        assert delta["delta"] == given[-2][1]["delta"]
        assert delta["context_management"] == {"applied_edits": []}
        assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (20, 7)
        settled, _ = await charged(caller)
        assert round(delta["usage"]["cost"] * 10**9) == settled.user_nano == price(stage.sales[0], 20, 7).total


@pytest.mark.parametrize(
    ("tail", "type_"),
    [
        ([event("error", error={"type": "overloaded_error", "message": "Overloaded"})], "overloaded_error"),
        ([], "api_error"),
    ],
)
async def test_a_vendor_that_breaks_off(gateway: GatewayFactory, tail: list[bytes], type_: str) -> None:
    """The vendor's error event, or its sudden end, is one error event of ours with what was charged."""
    async with served(gateway, Claude([*STREAM[:8], *tail])) as (_, caller):
        response = await ask(caller, stream=True)
        found = messageshape.events(response.text)
        assert [name for name, _ in found][-2:] == ["content_block_delta", "error"]
        messageshape.error(found[-1][1], type_, id=response.headers["x-generation-id"])
        assert found[-1][1]["usage"]["cost"] > 0


async def test_thinking_of_another_vendor_is_left_out(gateway: GatewayFactory) -> None:
    """Unsigned thinking and another vendor's packed reasoning would be refused: they are removed, and so is the demand to think
    in the middle of that other vendor's tool loop. Anthropic's own blocks go back untouched."""
    packed = packed_block({"type": "reasoning.encrypted", "data": "xyz", "format": "openai-responses-v1", "id": "rs_1"})
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    talk = [
        *HELLO,
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Own.", "signature": "EqQBCk"}, {"type": "text", "text": "A"}],
        },
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Foreign.", "signature": ""}, packed, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]},
    ]
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    claude = Claude()
    async with served(gateway, claude) as (_, caller):
        thinking = {"type": "enabled", "budget_tokens": 1024}
        messageshape.answer(await ask(caller, messages=talk, tools=tools, thinking=thinking, max_tokens=4000))
        (got,) = claude.requests
        assert got["messages"] == [*talk[:3], {"role": "assistant", "content": [use]}, talk[4]]
        assert got["thinking"] == {"type": "disabled"}
        messageshape.answer(await ask(caller, messages=talk[:3], thinking=thinking, max_tokens=4000))
        assert claude.requests[-1]["messages"] == talk[:3]
        assert claude.requests[-1]["thinking"] == thinking


def packed_block(detail: dict[str, Any]) -> dict[str, Any]:
    ((_, block),) = messages_thinking.blocks({"reasoning_details": [detail]})
    assert block["type"] == "redacted_thinking"
    return block


async def test_another_endpoint_gets_the_translation(gateway: GatewayFactory) -> None:
    """When the model falls back to a vendor of another shape, it is asked in that shape: nothing of the wire leaks."""
    async with RawServer(refusing) as server:
        stage = await gateway(
            Sale("t/claude", "claude"),
            Sale("t/other", "alpha", "ok+tokens=2"),
            urls={"claude": f"{server.url}/v1"},
            provider={"claude": {"dialect": "anthropic"}},
        )
        caller = await stage.caller()
        for stream in (False, True):
            response = await ask(caller, model="t/claude", fallbacks=[{"model": "t/other"}], stream=stream)
            if stream:
                (block,) = messageshape.blocks(messageshape.stream(response))
            else:
                (block,) = messageshape.answer(response)["content"]
            assert block["text"] == "000 001 "
        await calm(stage)


async def refusing(peer: Peer) -> None:
    while True:
        await peer.request()
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        await peer.answer(json.dumps(error).encode(), status=529)


async def test_the_vendor_counts(gateway: GatewayFactory) -> None:
    """count_tokens asks the vendor, with only the fields that it takes, and costs nothing."""
    claude = Claude()
    async with served(gateway, claude) as (_, caller):
        tools = [{"name": "f", "input_schema": {"type": "object"}}]
        response = await ask(
            caller, "/v1/messages/count_tokens", system="Be brief.", tools=tools, stream=True, user="ann"
        )
        assert response.status_code == 200
        assert response.json() == {"input_tokens": 4711}
        (got,) = claude.requests
        assert got == {"model": "claude-x-20261101", "messages": HELLO, "system": "Be brief.", "tools": tools}
        assert await caller.lines() == []
        assert (await caller.balances()).used_nano == 0


LISTED = ["max_tokens", "stop", "tools", "tool_choice", "reasoning"]
"""What a shipped row of Claude lists: neither temperature nor effort nor parallel calls."""
FIND = {"name": "find", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {}),
        ({"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}}, {}),
        ({"output_config": {"effort": "high"}}, {}),
        ({"temperature": 1}, {"temperature": None}),
        ({"temperature": 0.2, "top_p": 0.9, "top_k": 3}, {"temperature": None, "top_p": None, "top_k": None}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, {}),
        ({"max_tokens": 32000}, {"max_tokens": 8000}),
        (
            {"max_tokens": 32000, "thinking": {"type": "enabled", "budget_tokens": 31999}},
            {"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 6400}},
        ),
        (
            {"provider": {"options": {"claude": {"container": "c_1", "speed": "fast"}}}},
            {"provider": None, "container": "c_1"},
        ),
    ],
    ids=["parallel", "adaptive", "effort", "temperature", "sampling", "format", "limit", "budget", "options"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_parameter_that_is_not_listed_costs_nothing_else(
    gateway: GatewayFactory, sent: dict[str, Any], changed: dict[str, Any], stream: bool
) -> None:
    """The request stays in the caller's words, with its beta headers and its context management."""
    claude = Claude()
    async with RawServer(claude) as server:
        more = {"supported_parameters": LISTED, "max_completion_tokens": 8000}
        stage = await gateway(
            Sale("t/claude", "claude", "claude-x", more=more),
            urls={"claude": f"{server.url}/v1"},
            provider={"claude": {"dialect": "anthropic", "options": {"allows": ["containers"]}}},
        )
        managed = {"edits": [{"type": "clear_tool_uses_20250919"}]}
        native = {"messages": HELLO, "tools": [FIND], "context_management": managed, "max_tokens": 1000, **sent}
        caller = await stage.caller()
        response = await ask(
            caller, model="t/claude", stream=stream, headers={"anthropic-beta": "context-1m-2025-08-07"}, **native
        )
        assert response.status_code == 200, response.text
        (got,) = claude.requests
        expected = {**native, "model": "claude-x", **({"stream": True} if stream else {}), **changed}
        assert got == {name: value for name, value in expected.items() if value is not None}
        assert "anthropic-beta: context-1m-2025-08-07" in claude.heads[0]
        await calm(stage)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
        ({"verbosity": "low"}, {"output_config": {"effort": "low"}}),
        (
            {"web_search_options": {}},
            {
                "tools": [
                    {**FIND, "input_schema": {"type": "object"}},
                    {"type": "web_search_20250305", "name": "web_search"},
                ]
            },
        ),
        ({"max_tokens": 32000}, {"max_tokens": 8000}),
        ({"max_completion_tokens": 32000}, {"max_tokens": 8000}),
    ],
)
async def test_chat_reaches_claude_with_what_the_dialect_expresses(
    gateway: GatewayFactory, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Parameters that the catalogue's row does not list, although the format has them."""
    claude = Claude()
    async with RawServer(claude) as server:
        more = {"supported_parameters": LISTED, "max_completion_tokens": 8000, "options": {"thinking": "adaptive"}}
        stage = await gateway(
            Sale("t/claude", "claude", "claude-x", more=more),
            urls={"claude": f"{server.url}/v1"},
            provider={"claude": {"dialect": "anthropic"}},
        )
        caller = await stage.caller()
        tools = [{"type": "function", "function": {"name": "find"}}]
        response = await caller.chat("t/claude", tools=tools, **sent)
        assert response.status_code == 200, response.text
        (got,) = claude.requests
        assert {name: got.get(name) for name in expected} == expected
        await calm(stage)
