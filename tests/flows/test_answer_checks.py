"""Calls of tools and structured outputs are looked at after they were sent, whichever surface asks and dialect answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from gateway.analytics import schema_check
from gateway.analytics import stream as stream_of
from gateway.analytics.event import events_of
from gateway.analytics.fields import by_name, loaded
from gateway.analytics.tables import NO_COUNTERS
from gateway.store import analytics_keys as keys
from tests.flows.test_analytics import counted
from tests.support.dialects import KEY, SOLD, VARIABLE
from tests.support.gateway import Sale, Stage
from tests.support.vendor import vendor

GatewayFactory = Callable[..., Any]
Json = dict[str, Any]
FITS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
"""The simulated vendors call with a sample of each property that is required: "sample", 1 ..."""
FITS_NOT = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 5}}, "required": ["days"]}
HELLO = [{"role": "user", "content": "hello"}]


def body(surface: str, model: str, schema: Json, *, stream: bool) -> tuple[str, Json]:
    """The path and the body of a request that offers a tool."""
    named = {"name": "get_weather", "description": "The weather."}
    if surface == "chat":
        tools = [{"type": "function", "function": {**named, "parameters": schema}}]
        return "/api/v1/chat/completions", {"model": model, "messages": HELLO, "tools": tools, "stream": stream}
    if surface == "messages":
        tools = [{**named, "input_schema": schema}]
        return "/api/v1/messages", {
            "model": model,
            "messages": HELLO,
            "tools": tools,
            "stream": stream,
            "max_tokens": 99,
        }
    tools = [{"type": "function", **named, "parameters": schema}]
    return "/api/v1/responses", {"model": model, "input": "hello", "tools": tools, "stream": stream}


async def counters(stage: Stage) -> dict[str, int]:
    """What was counted of answers that were looked at, over all endpoints."""
    await counted(stage)
    redis, found = stage.gateway.services.store.redis, dict.fromkeys(("kn", "kb", "jn", "jb", "tc"), 0)
    async for key in redis.scan_iter(match=keys.row("he", "*", "*")):  # type: ignore[arg-type]
        row = await redis.hgetall(key)
        counted_here = by_name(
            "e", {name.decode(): loaded(value) for name, value in row.items() if name not in NO_COUNTERS}
        )
        found = {name: number + counted_here.get(name, 0) for name, number in found.items()}
    return found


pytestmark = pytest.mark.skipif(
    not schema_check.is_available(), reason="schemas are checked with the extra `analytics`"
)


@pytest.mark.parametrize("slug", ["openai", "anthropic", "responses", "gemini", "bedrock"])
async def test_calls_of_every_dialect(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch, slug: str) -> None:
    """Three surfaces, JSON and streams, where the format passes through and where it is translated: a good call, a bad one, none."""
    monkeypatch.setenv(VARIABLE, KEY)
    sold = SOLD[slug]
    sales = [
        Sale(f"t/{name}", slug, f"{sold.label}{script}")
        for name, script in (("tool", "toolcall"), ("text", "ok+tokens=3"))
    ]
    async with vendor(slug, key=KEY) as sim:
        stage = await gateway(*sales, urls={slug: sold.base_url(sim)}, provider={slug: sold.row()}, analytics=True)
        caller = await stage.caller()
        for surface, stream in product(("chat", "messages", "responses"), (False, True)):
            for model, schema in (("t/tool", FITS), ("t/tool", FITS_NOT), ("t/text", FITS)):
                path, sent = body(surface, model, schema, stream=stream)
                answer = await caller.gateway.client.post(path, json=sent, headers=caller.headers)
                assert answer.status_code == 200, answer.text
        assert await counters(stage) == {"kn": 12, "kb": 6, "jn": 0, "jb": 0, "tc": 12}


async def test_structured_output_and_what_is_not_looked_at(gateway: GatewayFactory) -> None:
    """The vendor answers with what the caller said; plain answers and those that broke off are not looked at."""
    stage = await gateway(Sale("t/echo", "alpha", "echo"), Sale("t/short", "alpha", "ok+tokens=9"), analytics=True)
    caller = await stage.caller()
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": FITS}}
    for said, format in (
        (json.dumps({"city": "Rome"}), wanted),
        (json.dumps({"town": "Rome"}), wanted),
        ("Rome", wanted),
        ("Rome", {"type": "json_object"}),
        ("[1]", {"type": "json_object"}),
        ("Rome", {"type": "text"}),
    ):
        assert (await caller.chat("t/echo", said, response_format=format)).status_code == 200
        answer, _ = await caller.stream("t/echo", said, response_format=format)
        assert answer.status_code == 200
    await caller.chat("t/echo", "plain")
    await caller.chat("t/short", response_format=wanted, max_tokens=2)
    for effort in ("low", "none"):
        await caller.chat("t/echo", "plain", reasoning_effort=effort)
    assert await counters(stage) == {"kn": 0, "kb": 0, "jn": 10, "jb": 6, "tc": 0}
    entries = await stage.gateway.services.store.redis.xrange(keys.EVENTS)
    events = [event for _, fields in entries for event in events_of(stream_of.entry(fields).columns)]
    assert [event.asked_to_reason for event in events[-3:]] == [0, 1, 0]
    assert sum(event.structured > 0 for event in events) == 10
