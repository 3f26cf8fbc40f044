"""The Responses API over real sockets, JSON and SSE, to the field: costs, ends of every kind, refusals, Codex's requests."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from tests.support import responseshape
from tests.support.gateway import THOUGHTLESS, Caller, Sale, Stage
from tests.support.invariants import calm, charged, price
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
Json = dict[str, Any]
PROMPT_TOKENS = 9
"""Of the text "hello": 3 for the prompt, 4 for the message, 2 for five bytes."""
FUNCTION = {
    "type": "function",
    "name": "find_book",
    "parameters": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    "strict": True,
}


async def one(gateway: GatewayFactory, *sales: Sale, **options: Any) -> tuple[Stage, Caller]:
    stage = await gateway(*sales, **options)
    return stage, await stage.caller()


async def ask(caller: Caller, model: str, input: Any = "hello", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await caller.gateway.client.post(
        "/api/v1/responses", json={"model": model, "input": input, **more}, headers={**caller.headers, **headers}
    )


def text_of(response: Json) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


@pytest.mark.parametrize("stream", [False, True])
async def test_text_and_cost(gateway: GatewayFactory, stream: bool) -> None:
    """Text, usage and the exact cost, on the ledger before the answer's end leaves; the id finds the generation."""
    sale = Sale("acme/fast-1", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage, caller = await one(gateway, sale)
    response = await ask(caller, "acme/fast-1", stream=stream)
    body = responseshape.stream(response)[-1]["response"] if stream else responseshape.answer(response)
    settled, _ = await charged(caller)
    assert (body["status"], body["model"], body["provider"]) == ("completed", "acme/fast-1", "Alpha")
    assert text_of(body) == "000 001 002 003 004 005 006 "
    bill = price(sale, PROMPT_TOKENS, 7)
    usage = body["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (PROMPT_TOKENS, 7)
    assert Decimal(str(usage["cost"])) * 10**9 == bill.total
    split = usage["cost_details"]
    whole = split["upstream_inference_input_cost"] + split["upstream_inference_output_cost"]
    assert whole * 10**9 == pytest.approx(bill.cost)
    assert (settled.generation_id, settled.user_nano) == (body["id"], bill.total)
    response = await stage.gateway.client.get("/api/v1/generation", params={"id": body["id"]}, headers=caller.headers)
    assert response.json()["data"]["model"] == "acme/fast-1"
    await calm(stage)


async def test_the_request_is_repeated(gateway: GatewayFactory) -> None:
    """The request's fields are in the answer as the caller sent them, and in every event that carries a response."""
    _, caller = await one(gateway, Sale("t/a", "alpha"))
    options = {
        "instructions": "Be short.",
        "max_output_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tools": [FUNCTION],
        "tool_choice": "none",
        "metadata": {"a": "b"},
        "user": "u-1",
        "prompt_cache_key": "k",
        "top_logprobs": 2,
        "store": False,
    }
    body = responseshape.answer(await ask(caller, "t/a", **options))
    assert {name: body[name] for name in options} == options
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["output"][0]["status"] == "incomplete"
    events = responseshape.stream(await ask(caller, "t/a", **options, stream=True))
    assert events[-1]["type"] == "response.incomplete"
    for event in (events[0], events[1], events[-1]):
        assert {name: event["response"][name] for name in options} == options


async def test_tools_there_and_back(gateway: GatewayFactory) -> None:
    """A call comes as an item, JSON and SSE alike; it is answered with its output, and the conversation goes on."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "toolcall"))
    body = responseshape.answer(await ask(caller, "t/a", tools=[FUNCTION]))
    (call,) = body["output"]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "find_book", '{"title":"sample"}')
    events = responseshape.stream(await ask(caller, "t/a", tools=[FUNCTION], stream=True))
    done = next(event for event in events if event["type"] == "response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("find_book", '{"title":"sample"}')
    turn = [
        {"role": "user", "content": "hello"},
        *body["output"],
        {"type": "function_call_output", "call_id": call["call_id"], "output": "found"},
    ]
    final = responseshape.answer(await ask(caller, "t/a", turn, tools=[FUNCTION]))
    assert text_of(final).startswith("000 ")
    await calm(stage)


async def test_reasoning_is_an_item_and_can_be_hidden(gateway: GatewayFactory) -> None:
    """Reasoning before the message, counted once, replayable; ``exclude`` leaves only the count."""
    _, caller = await one(gateway, Sale("t/a", "alpha", "ok+reasoning=5+tokens=3"))
    body = responseshape.answer(await ask(caller, "t/a"))
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert body["output"][0]["content"] == [{"type": "reasoning_text", "text": "000 001 002 003 004 "}]
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 5
    events = responseshape.stream(await ask(caller, "t/a", stream=True))
    assert "response.reasoning_text.delta" in {event["type"] for event in events}
    turn = [{"role": "user", "content": "hello"}, *body["output"], {"role": "user", "content": "again"}]
    responseshape.answer(await ask(caller, "t/a", turn))
    for stream in (False, True):
        hidden = await ask(caller, "t/a", reasoning={"exclude": True}, stream=stream)
        found = responseshape.stream(hidden)[-1]["response"] if stream else responseshape.answer(hidden)
        assert [item["type"] for item in found["output"]] == ["message"]
        assert found["usage"]["output_tokens_details"]["reasoning_tokens"] == 5


async def test_a_broken_stream_is_failed_not_silent(gateway: GatewayFactory) -> None:
    """After the first content a vendor's end is ``response.failed``, with what came, what it cost, and why."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "cut@3"))
    *_, last = responseshape.stream(await ask(caller, "t/a", stream=True))
    response = last["response"]
    assert last["type"] == "response.failed"
    assert response["error"]["code"] == "server_error"
    assert response["error_type"] == "provider_unavailable"
    assert text_of(response) == "000 001 002 "
    assert response["output"][0]["status"] == "incomplete"
    responseshape.usage(response["usage"])
    await calm(stage)


async def test_out_of_credit_is_incomplete(gateway: GatewayFactory) -> None:
    """A stream that outruns the caller's credit ends incomplete, and the error says that credit was the limit."""
    sale = Sale("t/a", "alpha", "ok+tokens=5000+batch=10+tps=20000", completion="1000", more=THOUGHTLESS)
    stage = await gateway(sale, default_max_tokens=50)
    caller = await stage.caller("0.1")
    *_, last = responseshape.stream(await ask(caller, "t/a", stream=True))
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["error_type"] == "payment_required"
    await calm(stage)


async def test_a_late_failure_is_an_error_and_a_failed_response(gateway: GatewayFactory) -> None:
    """Once a comment has sent the 200: an ``error`` event at which SDKs raise, then ``response.failed``, then the end."""
    stage, caller = await one(gateway, Sale("t/a", "alpha", "status=400+slowheaders=200"), keepalive_s=0.05)
    response = await ask(caller, "t/a", stream=True)
    assert response.status_code == 200
    assert response.text.startswith(": OPENROUTER PROCESSING\n\n")
    first, last = responseshape.events(response.text)
    assert (first["type"], first["code"], first["sequence_number"]) == ("error", "invalid_prompt", 0)
    assert first["error"]["type"] == first["error_type"] == "invalid_request"
    assert first["error"]["message"] == first["message"]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    responseshape.whole(last["response"])
    assert last["response"]["id"] == response.headers["x-generation-id"]
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


async def test_refusals_have_their_own_status(gateway: GatewayFactory) -> None:
    """Before the first byte an error is a status and one shape, for JSON and streams: field, key, credit, endpoint, vendor."""
    stage, caller = await one(
        gateway,
        Sale("t/a", "alpha"),
        Sale("t/down", "alpha", "status=500"),
        *(
            Sale(f"t/full-{stream:d}", "alpha", f"status=429+retry_after=7+tokens={stream:d}")
            for stream in (False, True)
        ),
    )
    poor = await stage.caller("0")
    for stream in (False, True):
        bad = await ask(caller, "t/a", previous_response_id="resp_1", stream=stream)
        responseshape.refused(bad, 400, "invalid_request", "previous_response_id")
        orphan = [{"type": "function_call_output", "call_id": "c", "output": "x"}]
        responseshape.refused(
            await ask(caller, "t/a", orphan, stream=stream), 400, "invalid_request", "input[0].call_id"
        )
        responseshape.refused(await ask(poor, "t/a", stream=stream), 402, "payment_required")
        responseshape.refused(await ask(caller, "t/down", stream=stream), 502, "provider_unavailable")
        full = await ask(caller, f"t/full-{stream:d}", stream=stream)
        responseshape.refused(full, 429, "rate_limit_exceeded")
        assert full.headers["retry-after"] == "7"
    unknown = await ask(caller, "t/a", headers={"authorization": "Bearer sk-or-v1-no"})
    responseshape.refused(unknown, 401, "authentication")
    got = await stage.gateway.client.get("/api/v1/responses", headers=caller.headers)
    responseshape.refused(got, 405, "invalid_request")
    await calm(stage)


async def test_metadata_only_on_request(gateway: GatewayFactory) -> None:
    """``openrouter_metadata`` is opt-in and stands in the last event only."""
    _, caller = await one(gateway, Sale("t/a", "alpha"))
    headers = {"X-OpenRouter-Metadata": "enabled"}
    assert "openrouter_metadata" not in responseshape.answer(await ask(caller, "t/a"))
    body = responseshape.answer(await ask(caller, "t/a", headers=headers))
    assert body["openrouter_metadata"]["requested"] == "t/a"
    events = responseshape.stream(await ask(caller, "t/a", stream=True, headers=headers))
    explained = ["openrouter_metadata" in event.get("response", {}) for event in events]
    assert explained == [False] * (len(events) - 1) + [True]


CLAUDE = {"format": "anthropic-claude-v1"}
THOUGHTS = [
    {"type": "reasoning.text", "text": "Look it up.", "signature": "c2ln", **CLAUDE, "index": 0},
    {"type": "reasoning.encrypted", "data": "cmVk", **CLAUDE, "index": 1},
]
PATCH = '{"input":"*** Begin Patch\\n*** End Patch"}'


def piece(delta: Json, finish: str | None = None) -> bytes:
    chunk = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def start(index: int, name: str) -> Json:
    call = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
    return {"tool_calls": [call]}


async def thinker(peer: Peer) -> None:
    """A vendor that thinks with signatures, says something, and then calls both of Codex's tools at once."""
    while True:
        await peer.request()
        await peer.begin()
        for thought in THOUGHTS:
            await peer.chunk(piece({"reasoning_details": [thought]}))
        await peer.chunk(piece({"content": "Editing."}))
        await peer.chunk(piece(start(0, "apply_patch")) + piece(start(1, "exec_command")))
        await peer.chunk(piece({"tool_calls": [{"index": 1, "function": {"arguments": '{"cmd":'}}]}))
        await peer.chunk(piece({"tool_calls": [{"index": 0, "function": {"arguments": PATCH}}]}))
        await peer.chunk(piece({"tool_calls": [{"index": 1, "function": {"arguments": '"ls"}'}}]}))
        await peer.chunk(piece({}, "tool_calls") + b"data: [DONE]\n\n")
        await peer.end()


GRAMMAR = 'start: begin_patch hunk end_patch\nbegin_patch: "*** Begin Patch" LF\n'
CODEX: Json = {
    "model": "t/a",
    "instructions": "You are Codex, a coding agent running in the Codex CLI.",
    "input": [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "<permissions instructions>..."}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>...</environment_context>"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix the bug."}]},
    ],
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs a command in a PTY.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"cmd": {"type": "string"}},
                "required": ["cmd"],
                "additionalProperties": False,
            },
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Use the `apply_patch` tool to edit files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
        },
        {"type": "local_shell"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0198e5a4-6f1c-7a30-9f6b-1f6a4e2d9c11",
    "text": {"verbosity": "medium"},
}
CODEX_HEADERS = {
    "originator": "codex_cli_rs",
    "session_id": "0198e5a4-6f1c-7a30-9f6b-1f6a4e2d9c11",
    "user-agent": "codex_cli_rs/0.60.1 (Ubuntu 24.4.0; x86_64) xterm-256color",
    "accept": "text/event-stream",
}
KEPT_BY_CODEX = {
    "message": ("type", "role", "content", "phase"),
    "reasoning": ("type", "summary", "content", "encrypted_content"),
    "function_call": ("type", "name", "arguments", "call_id"),
    "custom_tool_call": ("type", "call_id", "name", "input", "status"),
}
"""The fields of an item that Codex writes back (``ResponseItem`` of its protocol crate, github.com/openai/codex)."""


async def test_codex(gateway: GatewayFactory) -> None:
    """Codex's first turn and the next one, with only the fields that it keeps: tools, text and another vendor's signed
    reasoning reach the vendor again as it sent them."""
    async with RawServer(thinker) as server:
        extended = {"odd": {"options": {"extended": True}}}  # a vendor that takes reasoning back
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"}, provider=extended)
        stage.gateway.client.headers.update(CODEX_HEADERS)
        caller = await stage.caller()
        options = {name: value for name, value in CODEX.items() if name not in ("model", "input")}
        events = responseshape.stream(await ask(caller, "t/a", CODEX["input"], **options))
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        items.sort(key=lambda item: item["id"].rpartition("_")[2])
        kinds = [item["type"] for item in items]
        assert kinds == ["reasoning", "reasoning", "message", "custom_tool_call", "function_call"]
        assert items[3]["input"] == "*** Begin Patch\n*** End Patch"
        assert items[4]["arguments"] == '{"cmd":"ls"}'
        replayed = [{k: v for k, v in item.items() if k in KEPT_BY_CODEX[item["type"]]} for item in items]
        results = [
            {"type": "custom_tool_call_output", "call_id": "call_0", "output": "Success."},
            {"type": "function_call_output", "call_id": "call_1", "output": "main.py"},
        ]
        responseshape.stream(await ask(caller, "t/a", [*CODEX["input"], *replayed, *results], **options))
        first, second = (msgspec.json.decode(body) for peer in server.peers for _, body in peer.requests)
        assert [message["role"] for message in first["messages"]] == ["system", "developer", "user", "user"]
        assert [tool["function"]["name"] for tool in first["tools"]] == ["exec_command", "apply_patch", "local_shell"]
        assert first["prompt_cache_key"] == CODEX["prompt_cache_key"]
        assert not {"store", "include", "input", "instructions", "text"} & first.keys()
        turn, *answers = second["messages"][4:]
        assert (turn["content"], turn["reasoning_details"]) == ("Editing.", THOUGHTS)
        assert [call["function"]["name"] for call in turn["tool_calls"]] == ["apply_patch", "exec_command"]
        assert turn["tool_calls"][0]["function"]["arguments"] == PATCH
        assert [answer["content"] for answer in answers] == ["Success.", "main.py"]
        await calm(stage)
