"""The mock vendor's chaos, dialect by dialect: failures before the first content are invisible, later ones are reported."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.aimock import VENDORS, Aimock, Start, chat_body, mock, post, sold, staged, streamed, vendor, whole
from tests.support.gateway import events
from tests.support.invariants import calm, charged, content, forget_health, one_ending, our_tasks, price

__all__ = ["mock", "vendor"]

pytestmark = pytest.mark.xdist_group("aimock")

PROMPT, COMPLETION = 21, 12
FAULTS = ("dropRate", "rateLimitRate", "malformedRate", "disconnectRate")


@pytest.mark.parametrize("dialect", list(VENDORS))
async def test_chaos_is_invisible(gateway: Start, vendor: Aimock, dialect: str) -> None:
    """500, 429, garbage, hang-up, JSON and stream: the caller sees the next vendor's answer, and pays for that alone."""
    stage = await staged(gateway, vendor, dialect, backup=True)
    tasks = our_tasks()
    for fault in FAULTS:
        for stream in (False, True):
            vendor.forget()
            vendor.chaos(**{fault: 1})
            forget_health(stage)
            caller = await stage.caller()
            body = chat_body("say hello", provider={"order": [f"by-{dialect}", "well"]})
            if stream:
                chunks = await streamed(caller, body)
                assert content(chunks), (fault, stream)
                provider = chunks[0]["provider"]
            else:
                answer = await whole(caller, body)
                assert answer["choices"][0]["message"]["content"], (fault, stream)
                provider = answer["provider"]
            assert provider == "Well", (fault, stream)
            assert vendor.journal() or fault == "disconnectRate"
            await calm(stage, tasks)
            line, _ = await charged(caller)
            assert line.provider == "well"


@pytest.mark.parametrize("dialect", list(VENDORS))
async def test_a_stream_that_breaks_off(gateway: Start, vendor: Aimock, dialect: str) -> None:
    """The vendor hangs up in the middle: what came stands, an error ends it, and no more is billed than the whole answer."""
    stage = await staged(gateway, vendor, dialect)
    caller = await stage.caller()
    tasks = our_tasks()
    found = events((await post(caller, chat_body("break off", stream=True))).text)
    text = content(found[:-1])
    assert text
    assert "One two three four five six seven eight nine ten eleven twelve thirteen".startswith(text)
    assert one_ending(found)["choices"][0]["finish_reason"] == "error"
    await calm(stage, tasks)
    line, _ = await charged(caller)
    assert 0 < line.cost_nano <= price(sold(dialect), 40, 30).cost


@pytest.mark.parametrize("dialect", list(VENDORS))
async def test_a_refusal_is_told(gateway: Start, vendor: Aimock, dialect: str) -> None:
    """The vendor's 400 is the caller's: its words come through, nothing is billed, no other endpoint is tried."""
    stage = await staged(gateway, vendor, dialect, backup=True)
    caller = await stage.caller()
    response = await post(caller, chat_body("fail for good", provider={"order": [f"by-{dialect}", "well"]}))
    assert response.status_code == 400, response.text
    assert "You asked for it" in response.text
    await calm(stage)
    assert not [line for line in await caller.lines() if line.type == "settled"]


@pytest.mark.tail
@pytest.mark.timeout(180)
async def test_a_storm_of_chaos(gateway: Start, vendor: Aimock) -> None:
    """240 requests to nine dialects at once, four of ten attempts failing in four ways: none fails, each is paid for once."""
    names = [name for name in VENDORS if name != "openrouter"]
    stage = await staged(gateway, vendor, *names, backup=True)
    tasks = our_tasks()
    vendor.chaos(dropRate=0.1, rateLimitRate=0.1, malformedRate=0.1, disconnectRate=0.1)
    caller = await stage.caller("50")
    numbers = iter(range(240))
    served: Counter[str] = Counter()

    async def ask() -> None:
        for number in numbers:
            order = [f"by-{names[(number + step) % len(names)]}" for step in range(2)]
            body = chat_body("say hello", provider={"order": [*order, "well"]})
            if number % 2:
                chunks = await streamed(caller, body)
                served[chunks[0]["provider"]] += 1
            else:
                served[(await whole(caller, body))["provider"]] += 1

    await asyncio.gather(*(ask() for _ in range(8)))
    await calm(stage, tasks)
    lines = [line for line in await caller.lines() if line.type == "settled"]
    assert len(lines) == len({line.generation_id for line in lines}) == 240
    assert len(served) > 5
    by_provider = Counter(line.provider for line in lines)
    assert sum(by_provider.values()) == sum(served.values()) == 240
    for line in lines:
        name = line.provider.removeprefix("by-")
        if name in VENDORS and VENDORS[name].counts:
            assert line.cost_nano == price(sold(name), PROMPT, COMPLETION).cost
    print(f"240 requests, failed 0, served by {dict(by_provider)}")
