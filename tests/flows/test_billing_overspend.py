"""No organisation spends more than its credit, however many requests run at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway import money
from tests.support import wireshape
from tests.support.gateway import Sale, connected
from tests.support.invariants import calm, our_tasks, price

GatewayFactory = Callable[..., Any]
DOLLAR = money.NANO
PROMPT_TOKENS = 9


@pytest.mark.parametrize("limited_by", ["credits", "key_limit"])
@pytest.mark.parametrize("concurrent", [10, 100, 1000])
async def test_no_overspend(gateway: GatewayFactory, concurrent: int, limited_by: str) -> None:
    """Requests of one to five cents, all at once, JSON and SSE: what is spent never passes the dollar, each refusal is a 402."""
    dear = Sale("t/a", "alpha", "ok+tokens=500+ttft=100+batch=500", prompt="0", completion="100")
    stage = await gateway(dear)
    tasks = our_tasks()
    usd, limit = ("1", None) if limited_by == "credits" else ("500", DOLLAR)
    caller = await stage.caller(usd, limit_nano=limit)
    rng = random.Random(concurrent)
    sizes = [rng.choice((100, 200, 300, 400, 500)) for _ in range(concurrent)]

    async def ask(number: int, size: int) -> httpx.Response:
        async with connected(stage.gateway) as line:
            await line.send(caller.request("t/a", max_tokens=size, stream=number % 2 == 0))
            status, headers, body = await line.response()
        return httpx.Response(status, headers={"content-type": headers["content-type"]}, content=body)

    answers = await asyncio.gather(*(ask(number, size) for number, size in enumerate(sizes)))
    await calm(stage, tasks)
    served = [size for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 200]
    for answer in answers:
        if answer.status_code != 200:
            error = wireshape.refused(answer, 402, "payment_required")
            assert error["metadata"]["limit_source"] == limited_by
    lines = await caller.lines()
    spent = sum(line.user_nano for line in lines)
    assert spent == sum(price(dear, PROMPT_TOKENS, size).total for size in served)
    assert spent <= DOLLAR
    assert all(line.loss_nano == 0 for line in lines)
    balances = await caller.balances()
    assert (balances.used_nano, balances.held_nano) == (spent, 0)
    assert balances.balance_nano == money.parse_usd(usd) - spent >= 0
    print(
        f"\n{concurrent} at once on $1 ({limited_by}): spent ${money.format_usd(spent)}, refused {concurrent - len(served)}"
    )
    if concurrent > 10:
        assert len(served) < concurrent
        assert spent > DOLLAR // 2


async def test_the_first_requests_of_a_new_key(gateway: GatewayFactory) -> None:
    """Also when no process knows the key yet and all requests arrive at once, the limit is one for all of them."""
    dear = Sale("t/a", "alpha", "ok+tokens=100+batch=100", prompt="0", completion="1000")
    stage = await gateway(dear)
    caller = await stage.caller("0.2")
    assert not stage.gateway.services.accounts._cache
    answers = await asyncio.gather(*(caller.chat("t/a", max_tokens=100) for _ in range(30)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert (await caller.balances()).used_nano == price(dear, PROMPT_TOKENS, 100).total
    await calm(stage)


async def test_the_key_limit_is_counted_over_keys_of_one_organisation(gateway: GatewayFactory) -> None:
    """Keys of one organisation share its credit; each has its own limit; what one spent is not the other's."""
    dear = Sale("t/a", "alpha", "ok+tokens=100+batch=100", prompt="0", completion="1000")
    stage = await gateway(dear)
    cost = price(dear, PROMPT_TOKENS, 100).total
    caller = await stage.caller("1", limit_nano=cost * 2)
    other = await stage.gateway.key("0", org=caller.org)
    statuses = [(await caller.chat("t/a", max_tokens=100)).status_code for _ in range(3)]
    assert statuses == [200, 402, 402], "a hold has a margin above the cost, so the second one does not fit"
    assert (await stage.gateway.chat(other, "t/a", max_tokens=100)).status_code == 200
    assert (await caller.balances()).used_nano == 2 * cost
    await calm(stage)


async def test_every_hold_is_measured(gateway: GatewayFactory) -> None:
    """The ledger's latency counts the holds that were refused as well as those that were made, at the very next scrape."""
    stage = await gateway(Sale("t/a", "alpha"))
    rich, poor = await stage.caller("5"), await stage.caller("0")
    assert (await rich.chat("t/a")).status_code == 200
    assert (await poor.chat("t/a")).status_code == 402
    text = (await stage.gateway.client.get("/metrics")).text
    assert 'tokenway_ledger_seconds_count{call="hold"} 2.0' in text
    assert 'tokenway_ledger_seconds_count{call="settle"} 1.0' in text
    assert 'tokenway_attempts_total{kind="ok",provider="alpha"} 1.0' in text
