"""A hold lives as long as its request: heartbeats keep it, also before the first content."""

from __future__ import annotations

from tests.support.gateway import Sale
from tests.support.invariants import calm
from tests.support.vendor import until


async def test_a_slow_first_token_does_not_lose_its_hold(gateway) -> None:
    """The first content comes after the hold's time to live: the credit stays held and the answer is settled once."""
    stage = await gateway(
        Sale("t/slow", "alpha", "ok+ttft=6500+tokens=3"), hold_ttl_s=5, beat_interval_s=0.5, expire_interval_s=0.2
    )
    caller = await stage.caller()
    response, events = await caller.stream("t/slow")
    assert response.status_code == 200
    assert events[-1] == "[DONE]"
    assert [line.type for line in await caller.lines()] == ["settled"]
    await calm(stage)


async def test_credit_stays_held_while_the_vendor_thinks(gateway) -> None:
    """While nothing has come yet, the hold is on the account and is released by the ending."""
    stage = await gateway(Sale("t/mute", "alpha", "stall@0"), first_content_timeout_s=2, max_attempts=1)
    caller = await stage.caller()

    response, _ = await caller.stream("t/mute")
    assert response.status_code == 504
    await until(lambda: not stage.gateway.services.background.open)
    assert (await caller.balances()).held_nano == 0
    await calm(stage)
