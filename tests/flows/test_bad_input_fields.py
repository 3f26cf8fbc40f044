"""Every documented field of a chat request with every kind of wrong value: 400, the one error shape, the field named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway.api.inference.chat.schema import ChatRequest
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, staged
from tests.support.invariants import calm

pytestmark = pytest.mark.asyncio(loop_scope="module")
HUGE = 10**30
USER = {"role": "user", "content": "hello"}


def assistant(**call: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "tool_calls": [call]}]


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


WRONG: dict[str, list[tuple[Any, str]]] = {
    "model": [(1, ""), ("", ""), ([], ""), (True, ""), ("nope/nope", ""), ("x" * 300, ""), ("t/a:weird", "")],
    "models": [("t/a", ""), ([1], "[0]"), ([""], "[0]"), (["t/a"] * 33, ""), ([None], "[0]")],
    "messages": [
        *((value, "") for value in (None, "hi", {}, [], True)),
        *(([value], "[0]") for value in (1, None, {}, {"role": "user"}, {"content": "x"})),
        ([USER, {"role": "robot", "content": "x"}], "[1].role"),
        ([USER, {"role": ["user"], "content": "x"}], "[1].role"),
        ([{"role": "user", "content": 1}], "[0].content"),
        ([{"role": "user", "content": None}], "[0].content"),
        ([{"role": "system", "content": {}}], "[0].content"),
        ([{"role": "user", "content": "x", "name": 1}], "[0].name"),
        ([{"role": "user", "content": ["x"]}], "[0].content[0]"),
        ([{"role": "tool", "content": "x"}], "[0]"),
        ([{"role": "tool", "content": "x", "tool_call_id": 1}], "[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": "x"}], "[0].tool_calls"),
        (part(type="text"), "[0].content[0]"),
        (part(text="x"), "[0].content[0]"),
        (part(type="smell"), "[0].content[0].type"),
        (part(type="image_url", image_url="x"), "[0].content[0].image_url"),
        (part(type="image_url", image_url={"url": ""}), "[0].content[0].image_url.url"),
        (part(type="input_audio", input_audio={"data": "x"}), "[0].content[0].input_audio"),
        (assistant(id=1), "[0].tool_calls[0].id"),
        (assistant(id="a", function={"name": "f", "arguments": {}}), "[0].tool_calls[0].function.arguments"),
    ],
    "max_tokens": [(value, "") for value in (0, -1, True, HUGE, 2**31, "5", 1.5, 10.0, [], {})],
    "max_completion_tokens": [(value, "") for value in (0, -1, True, HUGE, "5", 1.5, [])],
    "temperature": [(value, "") for value in (-0.1, 2.1, "1", True, [], 10**400)],
    "top_p": [(value, "") for value in (-1, 1.1, "x", True)],
    "top_k": [(value, "") for value in (-1, 1.5, "x", True, HUGE)],
    "min_p": [(value, "") for value in (-1, 2, "x")],
    "top_a": [(value, "") for value in (-1, 2, "x")],
    "frequency_penalty": [(value, "") for value in (-2.1, 2.1, "x", True)],
    "presence_penalty": [(value, "") for value in (-2.1, 2.1, "x")],
    "repetition_penalty": [(value, "") for value in (-1, 2.5, "x")],
    "seed": [(value, "") for value in ("x", 1.5, True, HUGE)],
    "stop": [(1, ""), ({}, ""), ([1], "[0]"), (["a"] * 17, "")],
    "logit_bias": [([], ""), ("x", ""), ({"1": "x"}, "[...]"), ({"1": 101}, "[...]"), ({"1": True}, "[...]")],
    "logprobs": [(1, ""), ("true", "")],
    "top_logprobs": [(value, "") for value in (-1, 21, "x", True, 1.5)],
    "n": [(value, "") for value in (0, 2, "1", True)],
    "tools": [
        *(("x", ""), ({}, ""), ([1], "[0]"), ([{}], "[0]"), ([{"type": 1}], "[0].type")),
        ([{"type": "function", "function": {}}], "[0].function"),
        ([{"type": "function", "function": {"name": 1}}], "[0].function.name"),
        ([{"type": "function", "function": {"name": ""}}], "[0].function.name"),
        ([{"type": "function", "function": {"name": "f", "parameters": "x"}}], "[0].function.parameters"),
    ],
    "tool_choice": [(value, "") for value in ("always", 1, [], True)],
    "parallel_tool_calls": [(1, ""), ("x", "")],
    "response_format": [
        *(("json", ""), ({}, ""), ({"type": "xml"}, ".type")),
        ({"type": "json_schema", "json_schema": "x"}, ".json_schema"),
    ],
    "structured_outputs": [(1, "")],
    "reasoning": [
        *(("high", ""), (True, ""), ({"effort": "huge"}, ".effort"), ({"max_tokens": 0}, ".max_tokens")),
        *(({"exclude": 1}, ".exclude"), ({"effort": "low", "max_tokens": 5}, ""), ({"summary": "long"}, ".summary")),
    ],
    "reasoning_effort": [(1, ""), ([], ""), ("huge", "")],
    "include_reasoning": [(1, ""), ("x", "")],
    "verbosity": [(1, ""), ("loud", "")],
    "modalities": [("text", ""), (["smell"], "[0]"), ([1], "[0]")],
    "stream": [(value, "") for value in (1, "true", [])],
    "stream_options": [(True, ""), ([], ""), ({"include_usage": 1}, ".include_usage")],
    "usage": [(True, ""), ("x", "")],
    "user": [(1, ""), ({}, ""), ("x" * 600, "")],
    "session_id": [(1, ""), ("x" * 257, "")],
    "metadata": [
        *(("x", ""), ({"a": 1}, "[...]"), ({"a": "x" * 513}, "[...]"), ({str(n): "x" for n in range(17)}, "")),
        ({"k" * 65: "x"}, ""),
    ],
    "prompt_cache_key": [(1, "")],
    "cache_control": [("x", ""), ({}, ""), ({"type": "x"}, ".type")],
    "service_tier": [(1, "")],
    "transforms": [("x", ""), ([1], "[0]")],
    "plugins": [("x", ""), ([1], "[0]")],
    "route": [(1, ""), ("loop", "")],
    "provider": [
        *(("x", ""), ([], ""), (1, "")),
        *(({"order": value}, ".order") for value in ("alpha", {})),
        *(({"order": [value]}, ".order[0]") for value in (1, "", None)),
        ({"only": "alpha"}, ".only"),
        *(
            ({"only": ["nope"]}, ".only[0]"),
            ({"ignore": "x"}, ".ignore"),
            ({"ignore": ["alpha", 1]}, ".ignore[1]"),
        ),
        *(
            ({name: value}, f".{name}")
            for name in ("allow_fallbacks", "require_parameters", "zdr")
            for value in (1, "x")
        ),
        *(({"data_collection": value}, ".data_collection") for value in ("maybe", 1)),
        ({"quantizations": "x"}, ".quantizations"),
        ({"quantizations": ["int3"]}, ".quantizations[0]"),
        *(({"sort": value}, ".sort") for value in ("speed", 1, [])),
        *(({"sort": {"by": "x"}}, ".sort.by"), ({"sort": {"partition": "x"}}, ".sort.partition")),
        ({"max_price": 1}, ".max_price"),
        *(({"max_price": {"prompt": value}}, ".max_price.prompt") for value in (-1, "x", True, "1e999", [])),
        *(({"preferred_min_throughput": value}, ".preferred_min_throughput") for value in ("x", -1, True)),
        ({"preferred_max_latency": {"p50": "x"}}, ".preferred_max_latency.p50"),
        *(({"options": 1}, ".options"), ({"options": {"alpha": 1}}, ".options.alpha")),
        ({"enforce_distillable_text": "x"}, ".enforce_distillable_text"),
        # Wishes that no catalogue could meet.
        ({"only": ["alpha"], "ignore": ["alpha"]}, ".ignore"),
        ({"order": ["alpha"], "ignore": ["alpha"]}, ".ignore"),
        ({"order": ["alpha"], "only": ["beta"], "allow_fallbacks": False}, ".order"),
    ],
}
CASES = [(name, value, name + where) for name, values in WRONG.items() for value, where in values]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway with two vendors that would answer."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    sales = (Sale("t/a", "alpha"), Sale("t/a", "beta"))
    async with staged(tmp_path_factory.mktemp("fields"), valkey_server.url, *sales) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(stage: Stage) -> Caller:
    return await stage.caller("1000")


async def test_every_documented_field_is_in_the_table() -> None:
    """Every field of the request has wrong values here; a new field must be added."""
    assert {field.name for field in msgspec.structs.fields(ChatRequest)} == WRONG.keys()


@pytest.mark.parametrize(("name", "value", "field"), CASES, ids=[f"{n}={_short(v)}" for n, v, _ in CASES])
async def test_refused_by_name(stage: Stage, caller: Caller, name: str, value: Any, field: str) -> None:
    """400 that names the field; no vendor gets a request and nothing is held."""
    body = {"model": "t/a", "messages": [USER], name: value}
    if name == "models":
        del body["model"]
    error = wireshape.refused(await caller.raw(json.dumps(body)), 400, "invalid_request", field)
    assert len(error["message"]) < 500
    assert not any(sim.log.requests for sim in stage.vendors.values())


async def test_contradictions_between_fields(stage: Stage, caller: Caller) -> None:
    """Two fields that say different things are refused instead of one being chosen."""
    for more, field in (
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning_effort"),
    ):
        wireshape.refused(await caller.chat("t/a", **more), 400, "invalid_request", field)
    response = await caller.raw(json.dumps({"messages": [USER]}))
    wireshape.refused(response, 400, "invalid_request", "model")
    response = await caller.raw(json.dumps({"model": "t/a", "prompt": "hello"}))
    wireshape.refused(response, 400, "invalid_request", "messages")
    wireshape.refused(await caller.chat("t/a", models=["nope/nope"]), 400, "invalid_request", "model")


async def test_an_unknown_model_suggests(caller: Caller) -> None:
    """The refusal of an unknown model says what may have been meant, and that trying again is of no use."""
    error = wireshape.refused(await caller.chat("t/aa"), 400, "invalid_request", "model")
    assert "t/aa is not a valid model ID" in error["message"]
    assert error["availability"]["code"] == "model_not_found"
    assert error["availability"]["retryable"] is False


NULLABLE = sorted(WRONG.keys() - {"messages"})


async def test_null_is_absent(stage: Stage, caller: Caller) -> None:
    """``null`` in every optional field is the same as leaving it out."""
    body: dict[str, Any] = dict.fromkeys(NULLABLE) | {"model": "t/a", "messages": [USER]}
    wireshape.answer(await caller.raw(json.dumps(body)))
    await calm(stage)
    for sim in stage.vendors.values():
        sim.log.reset()
