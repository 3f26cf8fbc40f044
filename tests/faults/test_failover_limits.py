"""How many attempts are made, which endpoints are skipped, what the final error is, and that a model recovers with its vendors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import wireshape
from tests.support.gateway import Sale
from tests.support.invariants import calm, charged, forget_health, one_ending, our_tasks
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
NAMES = ("alpha", "beta", "gamma", "delta", "omega")


@BOTH
async def test_at_most_three_attempts(gateway: GatewayFactory, stream: bool) -> None:
    """Five broken endpoints: three are asked, each once; the last failure is the answer and names all three."""
    stage = await gateway(*(Sale("t/a", name, "hangup") for name in NAMES))
    caller = await stage.caller()
    response = await caller.chat("t/a", stream=stream, provider={"order": list(NAMES)})
    error = wireshape.refused(response, 502, "provider_unavailable")
    tried = [{"provider": name, "code": "cut", "status": None} for name in NAMES[:3]]
    assert error["metadata"]["attempts"] == tried
    assert "raw" not in error["metadata"]
    assert [len(stage.vendors[name].log.requests) for name in NAMES] == [1, 1, 1, 0, 0]
    assert {line.type for line in await caller.lines()} == {"loss"}
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


@BOTH
@pytest.mark.parametrize(
    ("script", "status", "error_type"),
    [
        ("status=401", 502, "provider_unavailable"),
        ("status=402", 502, "provider_unavailable"),
        ("status=403", 502, "provider_unavailable"),
        ("status=429+code=insufficient_quota", 502, "provider_unavailable"),
        ("status=404", 404, "not_found"),
        ("status=529", 503, "provider_overloaded"),
        ("status=504", 504, "timeout"),
        ("malformed", 502, "provider_unavailable"),
    ],
)
async def test_the_last_failure_is_the_answer(
    gateway: GatewayFactory, script: str, status: int, error_type: str, stream: bool
) -> None:
    """The error when every vendor fails; a vendor that refuses our key is never the caller's 401, 402 or 403."""
    stage = await gateway(Sale("t/a", "alpha", script), Sale("t/a", "beta", script))
    caller = await stage.caller()
    response = await caller.chat("t/a", stream=stream)
    error = wireshape.refused(response, status, error_type)
    assert len(error["metadata"]["attempts"]) == 2
    assert (await caller.balances()).used_nano == 0
    assert (await caller.record(response.headers["x-generation-id"])).finish_reason is None
    await calm(stage)


@pytest.mark.parametrize(("first", "second", "expected"), [("7", "3", "3"), ("7", None, "5"), ("0", "0", "1")])
async def test_a_429_says_when_to_come_back(
    gateway: GatewayFactory, first: str, second: str | None, expected: str
) -> None:
    """The shortest pause that the vendors named, or that the gateway makes where one named none."""
    later = f"status=429+retry_after={second}" if second else "status=429"
    stage = await gateway(Sale("t/a", "alpha", f"status=429+retry_after={first}"), Sale("t/a", "beta", later))
    caller = await stage.caller()
    response = await caller.chat("t/a", provider={"order": ["alpha", "beta"]})
    wireshape.refused(response, 429, "rate_limit_exceeded")
    assert response.headers["retry-after"] == expected
    await calm(stage)


@BOTH
async def test_an_endpoint_that_asked_for_a_pause_gets_one(gateway: GatewayFactory, stream: bool) -> None:
    """After a 429 with Retry-After the endpoint gets no request at all; when all are pausing the answer is 429 at once."""
    stage = await gateway(
        Sale("t/a", "alpha", "status=429+retry_after=60", prompt="0.001", completion="0.001"),
        Sale("t/a", "beta"),
        Sale("t/b", "gamma", "status=429+retry_after=60"),
        health_share_interval_s=3600,
    )
    caller = await stage.caller()
    for _ in range(6):
        response = await caller.chat("t/a", stream=stream, provider={"order": ["alpha", "beta"]})
        assert response.status_code == 200
    assert len(stage.vendors["alpha"].log.requests) == 1
    assert len(stage.vendors["beta"].log.requests) == 6
    wireshape.refused(await caller.chat("t/b", stream=stream), 429, "rate_limit_exceeded")
    response = await caller.chat("t/b", stream=stream)
    error = wireshape.refused(response, 429, "rate_limit_exceeded")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert error["availability"]["code"] == "capacity_exhausted"
    assert error["availability"]["affected_providers"] == ["Gamma"]
    assert error["metadata"]["dropped"][0]["filter"] == "rate_limit"
    assert len(stage.vendors["gamma"].log.requests) == 1
    await calm(stage)


async def test_a_refused_credential_takes_the_whole_vendor_out(gateway: GatewayFactory) -> None:
    """Every endpoint of a vendor shares its key: after one 401 none of them is asked, and the caller notices nothing."""
    stage = await gateway(
        Sale("t/a", "alpha", "status=401"),
        Sale("t/b", "alpha", "ok+tokens=1"),
        *(Sale(model, "beta") for model in ("t/a", "t/b")),
    )
    caller = await stage.caller()
    for model in ("t/a", "t/b"):
        response = await caller.chat(model, provider={"order": ["alpha", "beta"]})
        assert response.json()["provider"] == "Beta"
    assert len(stage.vendors["alpha"].log.requests) == 1
    await calm(stage)


@BOTH
async def test_the_only_endpoint_is_tried_again(gateway: GatewayFactory, stream: bool) -> None:
    """Connection trouble of a model's only endpoint is tried again after a moment; the caller sees the answer."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    await sim.refuse()
    asking = asyncio.create_task(caller.chat("t/a", stream=stream))
    registry = stage.gateway.services.health
    while registry.view("alpha/ok@t/a").attempts == 0:
        await asyncio.sleep(0.001)
    await sim.accept()
    response = await asking
    assert response.status_code == 200
    record = await caller.record(response.headers["x-generation-id"])
    assert [a.kind for a in record.attempts] == ["connect_refused", "ok"]
    assert not (await charged(caller))[1]
    await calm(stage)


async def test_the_only_endpoint_is_not_tried_for_ever(gateway: GatewayFactory) -> None:
    """Three attempts, also at the same endpoint; then 502 with each of them named."""
    stage = await gateway(Sale("t/a", "alpha", "hangup"))
    caller = await stage.caller()
    error = wireshape.refused(await caller.chat("t/a"), 502, "provider_unavailable")
    assert [a["code"] for a in error["metadata"]["attempts"]] == ["cut"] * 3
    assert len([line for line in await caller.lines() if line.type == "loss"]) == 3
    await calm(stage)


async def test_a_storm_of_failures_does_not_become_a_storm_of_retries(gateway: GatewayFactory) -> None:
    """Retries beyond the budget are not made: the caller gets the first failure instead of three times the load."""
    stage = await gateway(
        Sale("t/a", "alpha", "status=500"),
        Sale("t/a", "beta", "status=500"),
        **{"retry_budget_percent": 10, "retry_budget_floor_per_s": 0.5, "health_share_interval_s": 3600},
    )
    caller = await stage.caller()
    for _ in range(40):
        stage.gateway.services.health._endpoints.clear()
        assert (await caller.chat("t/a")).status_code == 502
    made = sum(len(sim.log.requests) for sim in stage.vendors.values())
    assert 40 < made <= 40 + 4 + 5 + 1
    await calm(stage)


@BOTH
async def test_free_refusals_need_no_retry_budget(gateway: GatewayFactory, stream: bool) -> None:
    """Without any budget the next endpoint answers after refusals at once, but not after a failure."""
    refusing = (("alpha", "status=401"), ("beta", "status=429"), ("gamma", "status=403"))
    sales = [Sale("t/a", *each) for each in (*refusing, ("delta", "ok"))]
    sales += [Sale("t/b", "alpha", "hangup"), Sale("t/b", "delta")]
    nothing = {"retry_budget_percent": 0, "retry_budget_floor_per_s": 0, "health_share_interval_s": 3600}
    stage = await gateway(*sales, **nothing)
    caller = await stage.caller()
    order = {"order": ["alpha", "beta", "gamma", "delta"]}
    assert (await caller.chat("t/b", stream=stream, provider=order)).status_code == 502
    for _ in range(3):
        stage.gateway.services.health._endpoints.clear()
        assert (await caller.chat("t/a", stream=stream, provider=order)).status_code == 200
    await calm(stage)


@BOTH
async def test_all_down_and_back(gateway: GatewayFactory, stream: bool) -> None:
    """Every vendor refuses: each caller gets the error at once, with Retry-After; one attempt each until then; the first caller after
    the vendors are back is served."""
    stage = await gateway(Sale("t/a", "alpha"), Sale("t/a", "beta"), health_share_interval_s=3600)
    tasks = our_tasks()
    caller = await stage.caller()
    for sim in stage.vendors.values():
        await sim.refuse()
    for _ in range(6):
        response = await caller.chat("t/a", stream=stream)
        assert response.status_code in (502, 503)
    response = await caller.chat("t/a", stream=stream)
    error = wireshape.refused(response, 503, "provider_overloaded")
    assert int(response.headers["retry-after"]) >= 1
    assert len(error["metadata"]["attempts"]) == 1
    for sim in stage.vendors.values():
        await sim.accept()
    began = time.monotonic()
    response = await caller.chat("t/a", stream=stream)
    assert response.status_code == 200
    assert time.monotonic() - began < 5
    await calm(stage, tasks)


async def test_a_disconnect_during_the_probe_frees_the_slot(gateway: GatewayFactory) -> None:
    """A half-open endpoint whose probing caller hangs up is probed by the next one, not a minute later."""
    stage = await gateway(Sale("t/a", "alpha", "ok+ttft=100"), health_share_interval_s=3600)
    caller = await stage.caller()
    registry = stage.gateway.services.health
    breaker = registry._stats("alpha/ok+ttft=100@t/a").breaker
    breaker._open(time.monotonic() - 3600)
    assert breaker.state(time.monotonic()) == "half_open"
    probing = asyncio.create_task(caller.chat("t/a"))
    while not stage.vendors["alpha"].log.in_flight:
        await asyncio.sleep(0.002)
    assert not breaker.available(time.monotonic())
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    await stage.gateway.settled()
    assert breaker.available(time.monotonic())
    for _ in range(3):
        assert (await caller.chat("t/a")).status_code == 200
    assert breaker.state(time.monotonic()) == "closed"
    await calm(stage)


@BOTH
async def test_an_answer_too_large_to_carry(gateway: GatewayFactory, stream: bool) -> None:
    """One line of 20 MB, or a body of 65 MB, is cut before it can fill the memory; the next endpoint answers."""
    stage = await gateway(Sale("t/a", "alpha", "hugeline=20" if stream else "hugeline=65"), Sale("t/a", "beta"))
    caller = await stage.caller()
    response = await caller.chat("t/a", stream=stream, provider={"order": ["alpha", "beta"]})
    assert response.status_code == 200
    record = await caller.record(response.headers["x-generation-id"])
    assert [a.kind for a in record.attempts] == ["malformed", "ok"]
    await calm(stage)


async def test_a_model_may_fall_back_to_another_model(gateway: GatewayFactory) -> None:
    """``models``: when the first one's endpoints fail, the second one answers, at its own price and under its own name."""
    stage = await gateway(Sale("t/a", "alpha", "malformed"), Sale("t/b", "beta", "ok+tokens=4", "7", "9"))
    caller = await stage.caller()
    body = wireshape.answer(await caller.chat("t/a", models=["t/b"]))
    assert (body["model"], body["provider"]) == ("t/b", "Beta")
    settled, losses = await charged(caller)
    assert settled.cost_nano == 9 * 7000 + 4 * 9000
    assert [line.provider for line in losses] == ["alpha"]
    forget_health(stage)
    _, found = await caller.stream("t/a", models=["t/b"])
    assert found[0]["model"] == "t/b"
    one_ending(found)
    await calm(stage)


async def test_nothing_is_sent_twice_on_a_connection_that_died_idle(gateway: GatewayFactory) -> None:
    """A vendor that closes idle connections costs nothing: the next request takes a new one, in one attempt."""
    answer = b'{"id":"x","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'

    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.answer(answer)

    async with RawServer(once) as server:
        stage = await gateway(Sale("t/a", "short"), urls={"short": f"{server.url}/v1"})
        caller = await stage.caller()
        for _ in range(5):
            response = await caller.chat("t/a")
            assert len((await caller.record(response.json()["id"])).attempts) == 1
        assert len(server.peers) == 5
        await calm(stage)
