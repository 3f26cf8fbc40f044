"""A hold lives as long as its request: heartbeats keep it, also before the first content."""

from __future__ import annotations

from typing import Any

from gateway.ledger.entries import Hold, Posting, PostingRefused
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


async def test_one_bad_checkpoint_stops_no_other_heartbeat(gateway) -> None:
    """An answer that cannot be priced: its own hold lives on without a checkpoint, and every other one is beaten as always."""
    stage = await gateway(
        Sale("t/slow", "alpha", "ok+ttft=6500+tokens=3"), hold_ttl_s=5, beat_interval_s=0.5, expire_interval_s=0.2
    )
    caller = await stage.caller()
    services = stage.gateway.services

    class Broken:
        """An open answer whose checkpoint cannot be made."""

        hold = Hold("gen-1-x", caller.org, "f" * 64, 0)

        def checkpoint(self) -> Posting:
            raise ValueError("a hundred million searches")

    broken: Any = Broken()
    services.background.open.add(broken)
    response, events = await caller.stream("t/slow")
    assert response.status_code == 200
    assert events[-1] == "[DONE]"
    assert [line.type for line in await caller.lines()] == ["settled"]
    services.background.open.discard(broken)
    await calm(stage)


async def test_a_posting_that_the_ledger_refuses_leaves_nothing_half_done(gateway, monkeypatch) -> None:
    """The answer is sent, its record is kept, its hold is released, and a person is told."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    ledger = stage.gateway.services.ledger

    async def refused(*args: Any, **more: Any) -> Any:
        raise PostingRefused("no")

    monkeypatch.setattr(type(ledger), "settle", refused)
    response = await caller.chat("t/a")
    assert response.status_code == 200
    assert (await caller.record(response.json()["id"])).outcome == "complete"
    assert (await caller.balances()).held_nano == 0
    assert await caller.lines() == []
    await calm(stage)
