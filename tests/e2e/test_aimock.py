"""Every chat dialect against a third-party mock vendor, over real sockets: texts, tools, reasoning, bills.

SDK-shaped answers come out of the gateway whatever the vendor speaks; what the vendor counts is what the ledger says.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.aimock import VENDORS, Aimock, Start, chat_body, mock, sold, staged, streamed, vendor, whole
from tests.support.gateway import Caller
from tests.support.invariants import calm, charged, content, price

__all__ = ["mock", "vendor"]

pytestmark = pytest.mark.xdist_group("aimock")

HELLO = "Hello from the other side of the wire. Grüße! 你好"
PROMPT, COMPLETION = 21, 12


def calls_of(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls of a stream, put together."""
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for piece in chunk["choices"][0]["delta"].get("tool_calls", ()):
            call = calls.setdefault(
                piece["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] += piece.get("id") or ""
            for name in ("name", "arguments"):
                call["function"][name] += piece["function"].get(name) or ""
    return [calls[index] for index in sorted(calls)]


async def assert_billed(caller: Caller, dialect: str, prompt: int = PROMPT, completion: int = COMPLETION) -> None:
    """One line in the journal of the ledger: the vendor's count at our price, or its own cost, or our estimate."""
    line, losses = await charged(caller)
    assert not losses
    if dialect == "openrouter":
        assert line.cost_nano == 321_000
    elif VENDORS[dialect].counts:
        assert line.cost_nano == price(sold(dialect), prompt, completion).cost
    else:
        assert line.cost_nano > 0


@pytest.mark.parametrize("dialect", list(VENDORS))
async def test_a_text(gateway: Start, vendor: Aimock, dialect: str) -> None:
    """JSON and stream: the same text to the last letter, the vendor's count, its price, the provider's key."""
    stage = await staged(gateway, vendor, dialect)
    caller = await stage.caller()
    body = await whole(caller, chat_body("say hello"))
    assert body["choices"][0]["message"]["content"] == HELLO
    assert body["choices"][0]["finish_reason"] == "stop"
    if VENDORS[dialect].counts:
        assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (PROMPT, COMPLETION)
    await calm(stage)
    await assert_billed(caller, dialect)
    caller = await stage.caller()
    chunks = await streamed(caller, chat_body("say hello"))
    assert content(chunks) == HELLO
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) > 1
    await calm(stage)
    await assert_billed(caller, dialect)
    assert len(vendor.journal()) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("dialect", list(VENDORS))
async def test_tools(gateway: Start, vendor: Aimock, dialect: str, stream: bool) -> None:
    """Two calls at once with their arguments, the results sent back, an answer from them: three vendors' turns in our shape."""
    stage = await staged(gateway, vendor, dialect)
    caller = await stage.caller()
    question = "weather here and there"
    if stream:
        chunks = await streamed(caller, chat_body(question, tools=True))
        finish, calls = chunks[-1]["choices"][0]["finish_reason"], calls_of(chunks)
    else:
        choice = (await whole(caller, chat_body(question, tools=True)))["choices"][0]
        finish, calls = choice["finish_reason"], choice["message"]["tool_calls"]
    assert finish == "tool_calls"
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_weather"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [
        {"city": "Paris"},
        {"city": "Zürich", "unit": "°C"},
    ]
    assert len({call["id"] for call in calls}) == 2
    await calm(stage)
    await assert_billed(caller, dialect, 64, 36)
    results = [{"role": "tool", "tool_call_id": call["id"], "content": '{"degrees": 21}'} for call in calls]
    turns = [{"role": "assistant", "content": None, "tool_calls": calls}, *results]
    after = chat_body(question, *turns, tools=True)
    if stream:
        assert content(await streamed(caller, after)) == "It is 21 degrees in Paris."
    else:
        assert (await whole(caller, after))["choices"][0]["message"]["content"] == "It is 21 degrees in Paris."
    await calm(stage)


@pytest.mark.parametrize("dialect", [name for name, vendor in VENDORS.items() if vendor.thinks])
async def test_reasoning(gateway: Start, vendor: Aimock, dialect: str) -> None:
    """Reasoning comes as ``reasoning`` and in ``reasoning_details``, whole and streamed, and the answer beside it."""
    stage = await staged(gateway, vendor, dialect)
    caller = await stage.caller()
    message = (await whole(caller, chat_body("think", reasoning={"effort": "low"}, max_tokens=4000)))["choices"][0][
        "message"
    ]
    assert message["content"] == "Forty-two."
    assert message["reasoning"] == "First I consider the question."
    chunks = await streamed(caller, chat_body("think", reasoning={"effort": "low"}, max_tokens=4000))
    assert content(chunks) == "Forty-two."
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("reasoning") or "" for delta in deltas) == "First I consider the question."
    await calm(stage)
