"""Routing preferences end to end: which providers are tried, which never, and the error when none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway.health.registry import Observation
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import PARAMETERS, Caller, Sale, Stage, staged
from tests.support.invariants import calm, forget_health

GatewayFactory = Callable[..., Any]
pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW = [name for name in PARAMETERS if name not in ("seed", "tools", "tool_choice")]
SALES = (
    Sale("t/a", "cheap", "c", "1", "1", {"quantization": "int4", "supported_parameters": FEW}),
    Sale("t/a", "middle", "m", "2", "2", {"quantization": "fp8", "tag": "middle/turbo"}),
    Sale("t/a", "dear", "d", "10", "10", {"quantization": "bf16", "max_completion_tokens": 4000}),
    Sale("t/b", "dear", "b", "4", "4"),
    Sale("t/small", "cheap", "s", "1", "1", {"context_length": 1000}),
    Sale("t/unpriced", "middle", "u", ""),
    Sale("t/keyless", "locked", "k"),
    Sale("t/keeps", "keeper", "r"),
    Sale("t/keeps", "dear", "r"),
)
MORE = {
    "keeper": {"data_policy": {"training": False, "retains_prompts": True}},
    "locked": {"api_key_env": "TEST_NO_SUCH_VARIABLE"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway; each upstream model answers with one token."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    sales = [
        Sale(s.model, s.provider, f"tokens=1+finish={s.upstream_id}", s.prompt, s.completion, s.more) for s in SALES
    ]
    directory = tmp_path_factory.mktemp("routing")
    async with staged(directory, valkey_server.url, *sales, provider=MORE, health_share_interval_s=3600) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def caller(shared: Stage) -> AsyncIterator[Caller]:
    """A caller, and vendors without any statistics yet."""
    forget_health(shared)
    yield await shared.caller("50")
    await calm(shared)


async def served(caller: Caller, model: str = "t/a", **more: Any) -> str:
    """The provider that answered."""
    return str(wireshape.answer(await caller.chat(model, **more))["provider"])


async def always(caller: Caller, who: str, model: str = "t/a", times: int = 12, **more: Any) -> None:
    """Assert that this provider answers every time: chance plays no part."""
    assert Counter([await served(caller, model, **more) for _ in range(times)]) == {who: times}


def spoil(stage: Stage, provider: str, *, failures: int = 1) -> None:
    """Record a failure of it in the health registry."""
    for endpoint in stage.gateway.services.catalog.current.endpoints.values():
        if endpoint.provider.slug == provider:
            for _ in range(failures):
                stage.gateway.services.health.observe(
                    endpoint.id, Observation(ok=False, kind="cut", attributed_to="endpoint")
                )


def measure(stage: Stage, provider: str, *, ttft_ms: float, tokens_per_s: float) -> None:
    """Record this speed of it, often enough to count."""
    for endpoint in stage.gateway.services.catalog.current.endpoints.values():
        if endpoint.provider.slug == provider and endpoint.model == "t/a":
            for _ in range(50):
                seen = Observation(ok=True, ttft_ms=ttft_ms, tokens_per_s=tokens_per_s)
                stage.gateway.services.health.observe(endpoint.id, seen)


async def test_default_is_weighted_by_price(shared: Stage, caller: Caller) -> None:
    """Prices 1, 2 and 10: chances 100 : 25 : 1, by the inverse square; none is always or never chosen but the dear one."""
    shared.gateway.pipeline.rng.seed(7)
    counts = Counter([await served(caller) for _ in range(300)])
    assert 210 <= counts["Cheap"] <= 265
    assert 35 <= counts["Middle"] <= 85
    assert counts["Dear"] <= 12


async def test_a_recent_outage_goes_last(shared: Stage, caller: Caller) -> None:
    """One failure in the last thirty seconds, and the cheapest is only a fallback."""
    spoil(shared, "cheap")
    counts = Counter([await served(caller) for _ in range(40)])
    assert counts["Cheap"] == 0
    assert counts["Middle"] > counts["Dear"]


@pytest.mark.parametrize("spelling", ["dear", "DEAR", "Dear"])
async def test_order(caller: Caller, spelling: str) -> None:
    """``order`` is obeyed, by slug or by display name, in any case; it switches balancing off."""
    await always(caller, "Dear", provider={"order": [spelling, "cheap"]})


async def test_order_by_tag(caller: Caller) -> None:
    """A full tag means one endpoint."""
    await always(caller, "Middle", provider={"order": ["middle/turbo"]})


async def test_order_without_fallbacks(shared: Stage, caller: Caller) -> None:
    """``allow_fallbacks: false`` tries only those in ``order``; their failure is the answer."""
    await shared.vendors["dear"].refuse()
    shared.vendors["dear"].kill()
    try:
        wishes = {"order": ["dear"], "allow_fallbacks": False}
        response = await caller.chat("t/a", provider=wishes)
        error = wireshape.refused(response, 502, "provider_unavailable")
        assert {attempt["provider"] for attempt in error["metadata"]["attempts"]} == {"dear"}
        forget_health(shared)
        assert await served(caller, provider={"order": ["dear"]}) == "Cheap"
    finally:
        await shared.vendors["dear"].accept()


async def test_no_fallbacks_without_order(shared: Stage, caller: Caller) -> None:
    """Without ``order`` only the first choice is asked."""
    await shared.vendors["cheap"].refuse()
    shared.vendors["cheap"].kill()
    try:
        response = await caller.chat("t/a", provider={"allow_fallbacks": False, "sort": "price"})
        error = wireshape.refused(response, 502, "provider_unavailable")
        assert {attempt["provider"] for attempt in error["metadata"]["attempts"]} == {"cheap"}
    finally:
        await shared.vendors["cheap"].accept()


async def test_only_and_ignore(caller: Caller) -> None:
    """``only`` admits, ``ignore`` removes."""
    await always(caller, "Dear", provider={"only": ["dear"]})
    await always(caller, "Dear", provider={"ignore": ["cheap", "middle"]})


@pytest.mark.parametrize("sort", ["price", {"by": "price"}, {"by": "price", "partition": "model"}])
async def test_sort_by_price(caller: Caller, sort: Any) -> None:
    """The cheapest always, without balancing."""
    await always(caller, "Cheap", provider={"sort": sort})


async def test_floor_is_sort_by_price(caller: Caller) -> None:
    """``:floor``; the answer carries the model's plain name."""
    body = wireshape.answer(await caller.chat("t/a:floor"))
    assert (body["model"], body["provider"]) == ("t/a", "Cheap")
    await always(caller, "Cheap", "t/a:floor")


async def test_sort_by_speed(shared: Stage, caller: Caller) -> None:
    """``throughput``, ``latency`` and ``:nitro`` go by what was measured."""
    measure(shared, "cheap", ttft_ms=900, tokens_per_s=20)
    measure(shared, "middle", ttft_ms=80, tokens_per_s=60)
    measure(shared, "dear", ttft_ms=400, tokens_per_s=300)
    await always(caller, "Dear", times=5, provider={"sort": "throughput"})
    await always(caller, "Dear", "t/a:nitro", times=5)
    await always(caller, "Middle", times=5, provider={"sort": "latency"})


async def test_preferred_speeds_move_to_the_end(shared: Stage, caller: Caller) -> None:
    """A provider that is too slow goes last; it is not dropped."""
    measure(shared, "cheap", ttft_ms=900, tokens_per_s=20)
    measure(shared, "middle", ttft_ms=80, tokens_per_s=60)
    measure(shared, "dear", ttft_ms=400, tokens_per_s=300)
    await always(caller, "Dear", times=5, provider={"sort": "price", "preferred_min_throughput": 100})
    await always(caller, "Middle", times=5, provider={"sort": "price", "preferred_max_latency": {"p50": 0.2}})
    await always(caller, "Cheap", times=5, provider={"only": ["cheap"], "preferred_max_latency": 0.001})


async def test_sort_over_several_models(caller: Caller) -> None:
    """``partition: none`` compares the endpoints of all models; else the models' order comes first."""
    wishes = {"sort": {"by": "price", "partition": "none"}}
    body = wireshape.answer(await caller.chat("t/b", models=["t/a"], provider=wishes))
    assert (body["model"], body["provider"]) == ("t/a", "Cheap")
    body = wireshape.answer(await caller.chat("t/b", models=["t/a"], provider={"sort": "price"}))
    assert body["model"] == "t/b"


async def test_models_alone(caller: Caller) -> None:
    """``models`` without ``model``: the first one of the list."""
    body = {"models": ["t/b", "t/a"], "messages": [{"role": "user", "content": "hello"}]}
    assert wireshape.answer(await caller.raw(msgspec.json.encode(body)))["model"] == "t/b"


@pytest.mark.parametrize("price", [5, "5", 5.0])
async def test_max_price(caller: Caller, price: Any) -> None:
    """A cap in dollars per million tokens, as number or text, drops the dearer ones."""
    await always(caller, "Middle", provider={"max_price": {"prompt": price}, "ignore": ["cheap"]})


async def test_quantizations(caller: Caller) -> None:
    """Only endpoints of a wanted quantization stay."""
    await always(caller, "Dear", provider={"quantizations": ["bf16", "fp16"]})
    await always(caller, "Middle", provider={"quantizations": ["fp8"]})


@pytest.mark.parametrize("wish", [{"data_collection": "deny"}, {"zdr": True}])
async def test_data_policy(caller: Caller, wish: dict[str, Any]) -> None:
    """A provider that keeps prompts is dropped."""
    await always(caller, "Dear", "t/keeps", provider=wish)


async def test_require_parameters(caller: Caller) -> None:
    """An endpoint that would ignore a parameter is dropped with ``require_parameters``, and used without."""
    counts = Counter([await served(caller, seed=1, provider={"require_parameters": True}) for _ in range(12)])
    assert counts["Cheap"] == 0
    await always(caller, "Cheap", seed=1, provider={"sort": "price"})


async def test_tools_go_where_they_are_understood(caller: Caller) -> None:
    """When some endpoints support tools, the others are dropped, also without ``require_parameters``."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    await always(caller, "Middle", tools=tools, provider={"sort": "price"})


async def test_max_tokens_beyond_an_endpoint(caller: Caller) -> None:
    """An endpoint with a lower output limit is dropped."""
    await always(caller, "Middle", max_tokens=5000, provider={"ignore": ["cheap"]})


async def test_too_long_for_every_endpoint(caller: Caller) -> None:
    """400 with the sizes, when only the length does not fit."""
    error = wireshape.refused(await caller.chat("t/small", "x" * 8000), 400, "context_length_exceeded")
    assert "1000 tokens" in error["message"]
    assert error["availability"]["excluded_by"] == ["context_length"]


@pytest.mark.parametrize(
    ("model", "wishes", "filters", "code"),
    [
        ("t/a", {"only": ["keeper"]}, ["allowed_providers"], "constraint_filtered"),
        ("t/a", {"ignore": ["cheap", "middle", "dear"]}, ["allowed_providers"], "constraint_filtered"),
        ("t/a", {"quantizations": ["fp4"]}, ["quantization"], "constraint_filtered"),
        ("t/a", {"max_price": {"prompt": 0.5}}, ["max_price"], "constraint_filtered"),
        (
            "t/a",
            {"max_price": {"completion": 1}, "ignore": ["cheap"]},
            ["allowed_providers", "max_price"],
            "constraint_filtered",
        ),
        (
            "t/keeps",
            {"data_collection": "deny", "ignore": ["dear"]},
            ["data_policy:training", "allowed_providers"],
            None,
        ),
        ("t/keeps", {"zdr": True, "only": ["keeper"]}, ["data_policy:zdr", "allowed_providers"], None),
        ("t/unpriced", {}, ["unpriced"], "no_endpoints"),
        ("t/keyless", {}, ["provider_key"], "no_endpoints"),
    ],
)
async def test_no_provider_is_left(
    caller: Caller, model: str, wishes: dict[str, Any], filters: list[str], code: str | None
) -> None:
    """404 that names each filter and each endpoint it dropped; nothing is held or charged."""
    error = wireshape.refused(await caller.chat(model, provider=wishes), 404, "not_found")
    assert error["message"].startswith(f"No endpoints found for {model}")
    assert set(error["availability"]["excluded_by"]) == set(filters)
    assert {drop["filter"] for drop in error["metadata"]["dropped"]} == set(filters)
    for name in filters:
        assert name in error["message"]
    if code is not None:
        assert error["availability"]["code"] == code
    assert error["availability"]["retryable"] is False
    assert await caller.lines() == []


async def test_an_unknown_parameter(caller: Caller) -> None:
    """``require_parameters`` with one that no endpoint supports: 404 that names it."""
    response = await caller.chat("t/b", top_a=0.5, provider={"require_parameters": True})
    error = wireshape.refused(response, 404, "not_found")
    assert error["availability"]["excluded_by"] == ["require_parameters"]
    assert "top_a" in error["message"]


async def test_an_image_for_a_model_that_reads_text(caller: Caller) -> None:
    """Input that no endpoint takes is refused by name, before any attempt."""
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    body = {"model": "t/a", "messages": [{"role": "user", "content": parts}]}
    error = wireshape.refused(await caller.raw(msgspec.json.encode(body)), 404, "not_found")
    assert error["availability"]["excluded_by"] == ["input_modalities"]
    assert "image" in error["message"]


async def test_the_record_keeps_the_decision(shared: Stage, caller: Caller) -> None:
    """Policy and drops are in the record: the choice can be explained later."""
    id = wireshape.answer(await caller.chat("t/a", provider={"sort": "price", "ignore": ["cheap"]}))["id"]
    record = await caller.record(id)
    assert record.policy == "price"
    assert [(drop.endpoint.partition("/")[0], drop.filter) for drop in record.drops] == [("cheap", "allowed_providers")]
