"""How long ended ids are remembered: the end of an hour's memory, in every case in which it is set, moved or left alone."""

from __future__ import annotations

import time

import pytest

from gateway.errors import Conflict, LedgerUnavailable
from gateway.ledger import Hold, Posting, StalePosting, generation_id
from gateway.ledger.entries import PostingRefused
from gateway.money import NANO
from gateway.store import keys

ORG = "default"
HOUR_S, WINDOW_S, SLACK_S = 3600, 7200, 60
POSTING = Posting("alpha", 90, 5, 95)


@pytest.fixture
async def policy(accounts, ledger):
    """A key without a limit, and a dollar."""
    secret, _ = await accounts.create_key(name="test")
    await ledger.grant(ORG, NANO, id="opening", actor="test", reason="opening balance")
    return await accounts.authenticate(secret)


def place(id: str) -> str:
    return keys.done(keys.tag(ORG), keys.hour(id))


def hour_end(id: str) -> int:
    return (int(keys.hour(id)) + 1) * HOUR_S


async def moved(store) -> int:
    """How many EXPIREAT commands the server has executed."""
    stats = await store.redis.info("commandstats")
    return stats.get("cmdstat_expireat", {"calls": 0})["calls"]


async def ended(ledger, store, policy, id: str) -> int:
    """Settle this id; unix second at which its hour's memory ends."""
    await ledger.settle(Hold(id, ORG, policy.key_hash, 0), POSTING)
    return await store.redis.expiretime(place(id))


async def test_the_first_id_of_an_hour_sets_the_end_and_the_others_leave_it(ledger, store, policy):
    """A new hash lives until two hours after its hour; the next ids find that end and write none."""
    now = time.time()
    first, *others = (generation_id(now) for _ in range(5))
    end = await ended(ledger, store, policy, first)
    assert end == hour_end(first) + WINDOW_S + SLACK_S
    before = await moved(store)
    for id in others:
        assert await ended(ledger, store, policy, id) == end
    assert await moved(store) == before
    assert await store.redis.hlen(place(first)) == 5


@pytest.mark.parametrize("way", ["settle", "settle without a hold", "void", "void without a hold", "expire"])
async def test_every_ending_sets_the_end(ledger, store, policy, way):
    """Whatever ends the first request of an hour: no memory without an end."""
    hold = Hold(generation_id(time.time()), ORG, policy.key_hash, 0)
    if "without" not in way:
        await ledger.hold(hold.id, policy, 100, 0)
    if way.startswith("settle"):
        await ledger.settle(hold, POSTING)
    elif way.startswith("void"):
        await ledger.void(hold)
    else:
        assert await ledger.expire() == 1
    assert await store.redis.expiretime(place(hold.id)) == hour_end(hold.id) + WINDOW_S + SLACK_S


async def test_a_memory_that_lost_its_end_gets_it_back(ledger, store, policy):
    """Restored without a time to live, or made by other hands: the next ending sets it."""
    now = time.time()
    end = await ended(ledger, store, policy, generation_id(now))
    assert await store.redis.persist(place(generation_id(now)))
    assert await ended(ledger, store, policy, generation_id(now)) == end


async def test_an_end_is_never_brought_forward(ledger, store, policy):
    """A later end stands, as one that was set before a clock was set back; an earlier one is moved."""
    now = time.time()
    first = generation_id(now)
    end = await ended(ledger, store, policy, first)
    await store.redis.expireat(place(first), end + 500)
    assert await ended(ledger, store, policy, generation_id(now)) == end + 500
    await store.redis.expireat(place(first), end - 1)
    assert await ended(ledger, store, policy, generation_id(now)) == end


async def test_an_id_of_an_hour_that_is_over_is_remembered_from_now(ledger, store, policy):
    """A stream that ran for hours ends: its id is known for two more hours, and for two hours after the next such id."""
    born = (time.time() // HOUR_S - 1) * HOUR_S - 60  # of the hour before the last
    first, second = generation_id(born), generation_id(born)
    for id in (first, second):  # accepted because their holds are still open
        await store.redis.hset(keys.hold(keys.tag(ORG), id), mapping={"a": 0, "x": 1, "o": ORG, "k": policy.key_hash})
    now = int(time.time())
    end = await ended(ledger, store, policy, first)
    assert now + WINDOW_S + SLACK_S <= end <= time.time() + WINDOW_S + SLACK_S
    assert end > hour_end(first) + WINDOW_S + SLACK_S
    await store.redis.expireat(place(first), end - 100)  # as if the first had ended a while ago
    assert await ended(ledger, store, policy, second) >= end
    assert (await ledger.settle(Hold(first, ORG, policy.key_hash, 0), POSTING)).duplicate


async def test_a_gateway_whose_clock_is_ahead_is_remembered_until_its_hour_is_over(ledger, store, policy):
    """An id from the next hour: the end follows the id's hour, not the server's."""
    id = generation_id(time.time() + HOUR_S - 30)
    await ledger.hold(id, policy, 100, 60)
    assert await ended(ledger, store, policy, id) == hour_end(id) + WINDOW_S + SLACK_S
    with pytest.raises(LedgerUnavailable):
        await ledger.hold(generation_id(time.time() + HOUR_S + 60), policy, 100, 60)


async def _forget(store, id: str) -> None:
    """As when the server's clock jumps for hours and comes back."""
    await store.redis.delete(place(id))
    assert not await store.redis.hexists(place(id), id)


@pytest.mark.parametrize("recorded", [True, False], ids=["with its record", "by its line"])
@pytest.mark.parametrize("other_lines", [0, 400])
async def test_a_forgotten_settlement_is_not_made_twice(ledger, store, policy, recorded, other_lines):
    """The retry of a settlement whose reply was lost, while the clock jumped: charged once, and the first payment is the reply."""
    hold = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    record = b"record" if recorded else b""
    await ledger.settle(hold, POSTING, record=record, losses=[Posting("beta", 7, 0, 0)])
    for _ in range(other_lines):
        await ledger.settle(Hold(generation_id(time.time()), ORG, policy.key_hash, 0), Posting("alpha", 1, 0, 1))
    balance = (await ledger.balances(ORG)).balance_nano
    await _forget(store, hold.id)
    for _ in range(3):
        receipt = await ledger.settle(hold, POSTING, record=record, losses=[Posting("beta", 7, 0, 0)])
        assert (receipt.duplicate, receipt.paid_nano) == (True, 95)
    await ledger.void(hold, record=record, losses=[Posting("beta", 7, 0, 0)])
    assert (await ledger.balances(ORG)).balance_nano == balance
    assert (await ledger.audit()).clean


async def test_a_forgotten_expiry_is_adjusted_once(ledger, store, policy):
    """The sweeper charged the checkpoint; the late settlement posts the difference, and its retry nothing."""
    hold = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    await ledger.beat(hold, Posting("alpha", 40, 2, 42), 0)
    assert await ledger.expire() == 1
    for paid in (95, 95, 95):
        await _forget(store, hold.id)
        receipt = await ledger.settle(hold, POSTING, record=b"r")
        assert receipt.paid_nano == paid
    assert (await ledger.balances(ORG)).used_nano == 95
    assert [line.type for line in (await ledger.journal(ORG))[0]] == ["grant", "expired", "adjusted"]
    assert (await ledger.audit()).clean


async def test_forgotten_losses_are_not_booked_twice(ledger, store, policy):
    """A request that delivered nothing has only the lines of its failed attempts."""
    hold = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    for _ in range(3):
        await ledger.void(hold, losses=[Posting("alpha", 20, 0, 0), Posting("beta", 5, 0, 0)])
        await _forget(store, hold.id)
    assert [line.type for line in (await ledger.journal(ORG))[0]] == ["grant", "loss", "loss"]


async def test_a_settlement_of_an_unknown_hold_is_still_posted(ledger, store, policy):
    """Among many lines of others: an id without a line of its own is new."""
    for _ in range(300):
        await ledger.settle(Hold(generation_id(time.time()), ORG, policy.key_hash, 0), Posting("alpha", 1, 0, 1))
    receipt = await ledger.settle(Hold(generation_id(time.time()), ORG, policy.key_hash, 0), POSTING)
    assert (receipt.paid_nano, receipt.duplicate, receipt.held) == (95, False, False)


async def test_abandoned_answers_are_counted_with_their_key(ledger, store, policy, accounts):
    """In the same call as the charge; a repeated call counts nothing, a refused posting is told apart from an absent ledger."""
    for cost in (100, 40):
        hold = await ledger.hold(generation_id(time.time()), policy, 500, 60)
        for _ in range(2):
            await ledger.settle(hold, Posting("alpha", cost, 0, cost), abandoned=True)
        await ledger.settle(await ledger.hold(generation_id(time.time()), policy, 500, 60), POSTING)
    view = await accounts.get_key(policy.key_hash)
    assert (view.abandoned, view.abandoned_nano, view.usage_nano) == (2, 140, 2 * 95 + 140)
    hold = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    with pytest.raises(PostingRefused):
        await ledger.settle(Hold(hold.id, ORG, "f" * 64, 500), POSTING)
    await ledger.void(hold)
    assert (await ledger.audit()).clean


@pytest.mark.parametrize("lost", ["the hold as well", "only its ending"])
async def test_what_a_store_has_lost_is_posted_again(ledger, store, policy, lost):
    """The store starts without its last second: what callers were told that they paid is what they paid, and nobody pays twice."""
    assert await ledger.repair() == 0
    early = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    kept = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    await ledger.settle(kept, POSTING, record=b"kept")
    assert await ledger.repair() == 0
    snapshot = {name: await store.redis.dump(name) for name in await store.redis.keys()}
    late = early
    if lost == "the hold as well":
        await ledger.void(early)
        snapshot = {name: await store.redis.dump(name) for name in await store.redis.keys()}
        late = await ledger.hold(generation_id(time.time()), policy, 500, 60)
    told = await ledger.settle(late, Posting("alpha", 200, 10, 210), record=b"late", losses=[Posting("beta", 3, 0, 0)])
    await store.redis.flushall()
    for name, value in snapshot.items():
        await store.redis.restore(name, 0, value)
    assert (await ledger.balances(ORG)).used_nano == 95
    ledger._tail._run = b"the server of before"
    await store.redis.function_flush("SYNC")
    assert await ledger.repair() == 1, "one of the two that it sends"
    balances = await ledger.balances(ORG)
    assert (balances.used_nano, balances.balance_nano, balances.held_nano) == (305, told.balance_nano, 0)
    assert (await ledger.record(ORG, late.id)).blob == b"late"
    ledger._tail._run = b"and another"
    assert await ledger.repair() == 0, "it is there now"
    assert (await ledger.audit()).clean


async def test_no_id_outlives_its_memory(ledger, store, policy):
    """At the moment an hour's memory leaves, the youngest id of that hour is one that is put aside."""
    youngest = generation_id(time.time() - WINDOW_S - 5)
    with pytest.raises(StalePosting):
        await ledger.settle(Hold(youngest, ORG, policy.key_hash, 0), POSTING)
    accepted = generation_id(time.time() - WINDOW_S + 30)
    end = await ended(ledger, store, policy, accepted)
    assert end >= int(accepted[4:14]) + WINDOW_S + SLACK_S
    with pytest.raises(Conflict):
        await ledger.hold(accepted, policy, 1, 60)
