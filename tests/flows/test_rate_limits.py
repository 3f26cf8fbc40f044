"""Rate limits of keys and organisations over HTTP: what is refused, in which words and headers, and what a refusal takes: nothing.

The arithmetic of the limits is compared with a model in ``tests/contracts/test_ledger_differential.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.accounts import KeyChange
from gateway.ledger import Ledger, Posting, generation_id
from gateway.store import keys
from gateway.store.policy import RateLimits
from tests.support.gateway import ADMIN_KEY, Caller, Sale, Stage
from tests.support.ledger_versions import previous

GatewayFactory = Callable[..., Awaitable[Stage]]
SALES = (Sale("t/a", "alpha", "ok+tokens=5"), Sale("t/slow", "alpha", "stall@3"))
LIMITS = [
    ("requests_per_minute", 2, {}),
    ("tokens_per_minute", 5_000, {"max_tokens": 2_000}),
    ("max_concurrent", 2, {}),
]


async def limit(caller: Caller, scope: str, **change: int | None) -> None:
    """Limit the caller's key or its organisation, by the API."""
    client = caller.gateway.client
    path = f"/api/v1/admin/organizations/{caller.org}"
    if scope == "key":
        listed = await client.get(f"/api/v1/keys?organization_id={caller.org}", headers=caller.gateway.admin)
        path = f"/api/v1/keys/{listed.json()['data'][0]['hash']}"
    answer = await client.patch(path, json=change, headers=caller.gateway.admin)
    assert answer.status_code == 200, answer.text
    assert {name: answer.json()["data"][name] for name in change} == change


async def taken(caller: Caller) -> Any:
    """Everything that a request could take: credit, places among those that run, and what the meters have counted."""
    store, tag = caller.gateway.services.store.redis, keys.tag(caller.org)
    names = [name async for name in store.scan_iter(f"{tag}:*") if b":d:" not in name]
    meters = [await store.hget(name, "meter") for name in sorted(names) if await store.type(name) == b"hash"]
    running = {name: await store.zrange(name, 0, -1) for name in names if b":c:" in name}
    return await caller.balances(), meters, running, await caller.gateway.services.ledger.open_hold_count()


def refused(answer: httpx.Response, name: str, scope: str, size: int) -> None:
    """A 429 that names the limit, in its body and in its headers."""
    assert answer.status_code == 429, answer.text
    error, headers = answer.json()["error"], answer.headers
    metadata = answer.json().get("metadata") or error["metadata"]
    assert (metadata["limit_name"], metadata["limit_source"], metadata["limit"]) == (name, scope, size)
    assert str(size) in error["message"]
    assert 1 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-limit"] == str(size)
    assert 0 <= int(headers["x-ratelimit-remaining"]) < size
    assert 0 < int(headers["x-ratelimit-reset"]) / 1000 - time.time() <= 60
    assert metadata["headers"]["X-RateLimit-Reset"] == headers["x-ratelimit-reset"]


@pytest.mark.parametrize("scope", ["key", "organization"])
@pytest.mark.parametrize(("name", "size", "more"), LIMITS, ids=[name for name, _, _ in LIMITS])
async def test_a_refused_request_takes_nothing(
    gateway: GatewayFactory, name: str, size: int, more: dict[str, Any], scope: str
) -> None:
    """Two requests run; a third is refused, as JSON and as a stream, and changes no figure. The limit taken away, it is served."""
    stage = await gateway(*SALES)
    caller = await stage.caller()
    await limit(caller, scope, **{name: size})
    running = [asyncio.create_task(caller.chat("t/slow", stream=True, **more)) for _ in range(2)]
    while len(stage.gateway.services.background.open) < 2:
        await asyncio.sleep(0.01)
    before = await taken(caller)
    for stream in (False, True):
        refused(await caller.chat("t/a", stream=stream, **more), name, scope, size)
    assert await taken(caller) == before
    await limit(caller, scope, **{name: None})
    assert (await caller.chat("t/a", **more)).status_code == 200
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await stage.gateway.settled()
    _, _, sets, holds = await taken(caller)
    assert (sets, holds) == ({}, 0)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("completions", {"prompt": "hello"}),
        ("responses", {"input": "hello"}),
        ("messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}),
    ],
)
async def test_each_surface_refuses_in_its_own_shape(gateway: GatewayFactory, path: str, more: dict[str, Any]) -> None:
    """On ``/messages`` with Anthropic's type and headers."""
    stage = await gateway(*SALES)
    caller = await stage.caller()
    await limit(caller, "key", requests_per_minute=1)
    answers = [
        await stage.gateway.client.post(f"/api/v1/{path}", json={"model": "t/a", **more}, headers=caller.headers)
        for _ in range(2)
    ]
    assert answers[0].status_code == 200, answers[0].text
    refused(answers[1], "requests_per_minute", "key", 1)
    if path == "messages":
        headers, error = answers[1].headers, answers[1].json()["error"]
        assert error["type"] == "rate_limit_error"
        assert headers["anthropic-ratelimit-requests-limit"] == "1"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


async def test_tokens_are_corrected_and_one_request_may_be_too_large(gateway: GatewayFactory) -> None:
    """Ten requests that reserve nearly all of a minute follow each other, as each uses few; one that would need more than a
    minute's is told to change itself, not to wait."""
    stage = await gateway(*SALES)
    caller = await stage.caller()
    await limit(caller, "key", tokens_per_minute=5_000)
    await limit(caller, "organization", tokens_per_minute=6_000)
    for _ in range(10):
        assert (await caller.chat("t/a", max_tokens=4_500)).status_code == 200
    answer = await caller.chat("t/a", max_tokens=5_500)
    assert answer.status_code == 429
    assert "lower max_tokens" in answer.json()["error"]["message"]
    assert "retry-after" not in answer.headers
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["metadata"]["limit_source"] == "key"


async def test_defaults_are_for_those_without_limits_of_their_own(gateway: GatewayFactory) -> None:
    """A setting limits every key; a key's own limit, smaller or larger, is in force in its place. ``GET /key`` says which."""
    stage = await gateway(*SALES, key_requests_per_minute=1, organization_requests_per_minute=3)
    one, two = await stage.caller(), await stage.caller()
    await limit(two, "key", requests_per_minute=5)
    assert [(await one.chat("t/a")).status_code for _ in range(2)] == [200, 429]
    assert [(await two.chat("t/a")).status_code for _ in range(4)] == [200, 200, 200, 429]
    for caller, size in ((one, 1), (two, 5)):
        told = (await stage.gateway.client.get("/api/v1/key", headers=caller.headers)).json()["data"]
        assert (told["requests_per_minute"], told["rate_limit"]["requests"], told["max_concurrent"]) == (
            size,
            size,
            None,
        )


@pytest.mark.parametrize("value", [0, -1, 10**9 + 1, 1.5, "60", True])
@pytest.mark.parametrize("path", ["/api/v1/keys", "/api/v1/admin/organizations"])
async def test_what_is_no_limit(gateway: GatewayFactory, path: str, value: object) -> None:
    """400 that names the field, on create and on update."""
    stage = await gateway(*SALES)
    for name in ("requests_per_minute", "tokens_per_minute", "max_concurrent"):
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer = await stage.gateway.client.post(path, json={"name": "x", name: value}, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["metadata"]["field"] == name


async def test_places_of_the_dead_are_given_again(store: Any, ledger: Ledger, accounts: Any) -> None:
    """Holds of a process that died, and those that a version without limits has ended, count no more once their time is over,
    also when no sweeper has run; those that a heartbeat keeps alive do."""
    await ledger.grant("default", 10**9, id="g", actor="test", reason="")
    secret, view = await accounts.create_key(name="k", limits=RateLimits(max_concurrent=2))
    policy = await accounts.authenticate(secret)
    before = previous(store)
    await before.prepare()

    async def hold(ttl_s: float) -> Any:
        return await ledger.hold(generation_id(time.time()), policy, 5, ttl_s)

    await hold(0)
    ended = await hold(0)
    await before.settle(ended, Posting("alpha", 1, 0, 1))
    alive = await hold(0)
    await ledger.beat(alive, Posting("alpha", 1, 0, 1), 60)
    last = await hold(60)
    with pytest.raises(Exception, match="2 requests at once"):
        await hold(60)
    await ledger.settle(last, Posting("alpha", 1, 0, 1))
    again = await hold(60)
    assert await ledger.hold(again.id, policy, 5, 60) == again  # its reply was lost
    for each in (again, alive):
        await ledger.void(each)
    await ledger.expire()
    assert await store.redis.zcard(keys.running(keys.tag("default"), f"k:{view.hash}")) == 0
    await accounts.update_key(view.hash, KeyChange(max_concurrent=None))
    assert (await accounts.get_key(view.hash)).limits == RateLimits()
