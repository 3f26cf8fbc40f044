"""The legacy completions to the field, JSON and SSE, by OpenAI's own types; what it cannot do is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion

from tests.flows.test_messages_wire import Vendor, deltas
from tests.support import wireshape
from tests.support.gateway import Caller, Sale, events
from tests.support.invariants import calm, charged, one_ending, price, truth_cost
from tests.support.rawserver import RawServer

GatewayFactory = Callable[..., Any]
PROMPT_TOKENS = 9
CHOICE = {"text", "index", "finish_reason", "native_finish_reason", "logprobs"}


async def ask(caller: Caller, **body: Any) -> httpx.Response:
    given = {"model": "t/a", "prompt": "hello", **body}
    return await caller.gateway.client.post("/api/v1/completions", json=given, headers=caller.headers)


def checked(response: httpx.Response) -> dict[str, Any]:
    """Assert that a JSON answer is to the field; its body."""
    assert response.status_code == 200, response.text
    Completion.model_validate_json(response.text)
    body: dict[str, Any] = response.json()
    assert body["object"] == "text_completion"
    assert body["id"] == response.headers["x-generation-id"]
    assert isinstance(body["created"], int)
    assert "error" not in body
    assert body["choices"][0].keys() >= CHOICE
    wireshape.usage(body["usage"])
    return body


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    """Assert that a stream is to the field, usage on its own last chunk; all its chunks."""
    assert response.status_code == 200, response.text
    found = events(response.text)
    one_ending(found)
    for chunk in found[:-1]:
        Completion.model_validate(
            chunk | {"choices": [{**c, "finish_reason": c["finish_reason"] or "stop"} for c in chunk["choices"]]}
        )
        assert chunk["object"] == "text_completion"
        assert chunk["id"] == response.headers["x-generation-id"]
        assert all(choice.keys() >= CHOICE for choice in chunk["choices"])
    assert found[-2]["choices"] == []
    wireshape.usage(found[-2]["usage"])
    return found[:-1]


async def test_json_and_stream_to_the_field(gateway: GatewayFactory) -> None:
    """Text, finish reason, provider, usage with the exact cost; the stream says the same in pieces."""
    sale = Sale("t/a", "alpha", "ok+tokens=7", prompt="0.123457", completion="3.456789")
    stage = await gateway(sale)
    caller = await stage.caller()
    response = await ask(caller)
    settled, _ = await charged(caller)
    body = checked(response)
    (choice,) = body["choices"]
    assert (choice["text"], choice["finish_reason"], choice["native_finish_reason"]) == (
        "000 001 002 003 004 005 006 ",
        "stop",
        "stop",
    )
    assert (body["model"], body["provider"], choice["logprobs"]) == ("t/a", "Alpha", None)
    bill = price(sale, PROMPT_TOKENS, 7)
    assert json.loads(response.text, parse_float=Decimal)["usage"]["cost"] == Decimal(bill.total) / 10**9
    assert settled.user_nano == bill.total
    assert settled.cost_nano == truth_cost(stage, sale)
    found = chunks(await ask(caller, stream=True))
    assert "".join(c["choices"][0]["text"] for c in found[:-1]) == choice["text"]
    assert [c["choices"][0]["finish_reason"] for c in found[:-1]][-2:] == [None, "stop"]
    assert found[-1]["usage"]["completion_tokens"] == 7
    await calm(stage)


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
async def test_what_the_vendor_gets(gateway: GatewayFactory, prompt: Any) -> None:
    """One message of the user; sampling fields go along, the legacy's own do not."""
    script = Vendor({"content": "x"}, [])
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd", "theirs"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        sampling = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.5, "stop": ["x"], "seed": 1}
        checked(await ask(caller, prompt=prompt, **sampling, best_of=1, n=1, echo=True, suffix="", user="ann"))
        (got,) = script.requests
        assert got.pop("user") != "ann"
        assert got.pop("n") == 1
        assert got == {"model": "theirs", "messages": [{"role": "user", "content": "hello"}], **sampling}


async def test_echo_and_suffix(gateway: GatewayFactory) -> None:
    """``echo`` puts the prompt before the answer, once; a ``suffix`` reaches the model as marked text."""
    stage = await gateway(Sale("t/a", "alpha", "ok+tokens=2"), Sale("t/echo", "alpha", "echo"))
    caller = await stage.caller()
    assert checked(await ask(caller, echo=True))["choices"][0]["text"] == "hello000 001 "
    found = chunks(await ask(caller, echo=True, stream=True))
    assert "".join(c["choices"][0]["text"] for c in found[:-1]) == "hello000 001 "
    text = checked(await ask(caller, model="t/echo", prompt="def {a}:", suffix="return {b}"))["choices"][0]["text"]
    assert "<prefix>def {a}:</prefix>" in text
    assert "<suffix>return {b}</suffix>" in text


async def test_log_probabilities_in_columns(gateway: GatewayFactory) -> None:
    """``logprobs: n`` asks the chat for them and brings them back in the old form, offsets counted through a stream."""

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": [{"token": "z", "logprob": -3.0}]}

    entries = [entry("a", -0.1), entry(" b", -0.2)]
    script = Vendor({"content": "a b"}, [], logprobs={"content": entries})
    pieces = zip(("a", " b"), entries, strict=True)
    content = [{"choices": [{"index": 0, "delta": {"content": t}, "logprobs": {"content": [e]}}]} for t, e in pieces]
    script.chunks = [*content, *deltas()]
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        whole = checked(await ask(caller, logprobs=1, echo=True))["choices"][0]["logprobs"]
        assert whole == {
            "tokens": ["a", " b"],
            "token_logprobs": [-0.1, -0.2],
            "top_logprobs": [{"z": -3.0}] * 2,
            "text_offset": [5, 6],
        }
        found = chunks(await ask(caller, logprobs=1, stream=True))
        columns = [c["choices"][0]["logprobs"] for c in found[:2]]
        assert [c["tokens"] for c in columns] == [["a"], [" b"]]
        assert [c["text_offset"] for c in columns] == [[0], [1]]
        await calm(stage)


async def test_reasoning(gateway: GatewayFactory) -> None:
    """Reasoning comes beside the text, unless the caller excludes it."""
    stage = await gateway(Sale("t/a", "alpha", "ok+reasoning=2+tokens=2"))
    caller = await stage.caller()
    (choice,) = checked(await ask(caller))["choices"]
    assert (choice["reasoning"], choice["text"]) == ("000 001 ", "000 001 ")
    found = chunks(await ask(caller, stream=True))
    assert "".join(c["choices"][0].get("reasoning", "") for c in found[:-1]) == "000 001 "
    hidden = checked(await ask(caller, include_reasoning=False))["choices"][0]
    assert "reasoning" not in hidden


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": None, "messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"model": None}, "model"),
        ({"best_of": 2}, "best_of"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"suffix": 1}, "suffix"),
        ({"echo": "yes"}, "echo"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"stop": [1]}, "stop[0]"),
    ],
)
async def test_what_cannot_be(gateway: GatewayFactory, body: dict[str, Any], field: str) -> None:
    """400 in the one error shape, the field named."""
    stage = await gateway(Sale("t/a", "alpha"))
    response = await ask(await stage.caller(), **body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["code"] == 400
    assert error["metadata"]["field"] == field


async def test_an_answer_that_breaks_off(gateway: GatewayFactory) -> None:
    """One chunk with the error, the finish reason and what was charged, then [DONE]; after a comment the same without a charge."""
    stage = await gateway(
        Sale("t/a", "alpha", "cut@3"), Sale("t/late", "alpha", "status=400+slowheaders=200"), keepalive_s=0.05
    )
    caller = await stage.caller()
    found = events((await ask(caller, stream=True)).text)
    one_ending(found)
    last = found[-2]
    assert last["choices"][0]["finish_reason"] == "error"
    assert last["choices"][0].keys() >= CHOICE
    assert last["error"]["code"] == 502
    settled, _ = await charged(caller)
    assert round(last["usage"]["cost"] * 10**9) == settled.user_nano
    found = events((await ask(caller, model="t/late", stream=True)).text)
    assert found[-2]["error"]["code"] == 400
    assert found[-2]["model"] == "t/late"
    await calm(stage)


async def test_the_official_sdk(gateway: GatewayFactory) -> None:
    """``openai.completions``: whole, streamed, and its typed errors, by base URL alone."""
    stage = await gateway(Sale("t/a", "alpha", "ok+tokens=3"), Sale("t/rate", "alpha", "status=429"))
    caller = await stage.caller()
    async with openai.AsyncOpenAI(
        api_key=caller.secret, base_url=f"{caller.gateway.url}/api/v1", max_retries=0
    ) as client:
        whole = await client.completions.create(model="t/a", prompt="hello", max_tokens=2)
        assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("000 001 ", "length")
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (PROMPT_TOKENS, 2)
        stream = await client.completions.create(model="t/a", prompt="hello", stream=True)
        pieces = [chunk async for chunk in stream]
        assert "".join(c.choices[0].text for c in pieces if c.choices) == "000 001 002 "
        assert pieces[-1].usage is not None
        with pytest.raises(openai.BadRequestError):
            await client.completions.create(model="t/a", prompt=["a", "b"])
        with pytest.raises(openai.RateLimitError):
            await client.completions.create(model="t/rate", prompt="a")
    await calm(stage)
