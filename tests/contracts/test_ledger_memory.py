"""How long ended ids are remembered: the end of an hour's memory, in every case in which it is set, moved or left alone."""

from __future__ import annotations

import time

import pytest

from gateway.errors import Conflict, LedgerUnavailable
from gateway.ledger import Hold, Posting, StalePosting, generation_id
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
