"""Two versions of the ledger's functions on one server: they take turns on the same accounts, and store the same bytes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.accounts import KeyChange
from gateway.errors import Conflict, PaymentRequired
from gateway.ledger import Hold, Ledger, Posting, generation_id
from gateway.money import MAX_NANO, NANO
from gateway.store import keys
from tests.contracts.test_ledger_differential import OPERATIONS, Storm, storm
from tests.support.ledger_versions import Turns, previous

ORG = "default"
CLOCKED = {b"x", b"last", b"created", b"updated"}
"""Fields that say when."""


@pytest.fixture
async def before(store):
    """The ledger of the version before."""
    version = previous(store)
    await version.prepare()
    return version


@pytest.mark.timeout(600)
async def test_versions_that_take_turns_equal_the_model(store, accounts, ledger, before):
    """Every call of a storm goes to one version or the other: 0 mismatches with the model, the audit of both is clean."""
    await storm(20270, OPERATIONS // 4, Storm(20270, store, accounts, Turns(1, ledger, before)))
    for version in (ledger, before):
        report = await version.audit()
        assert (report.differences, report.residue_nano) == ([], 0)


async def test_each_version_ends_what_the_other_began(ledger, before, accounts):
    """Hold by one, settle by the other; both give the same receipt when settling is repeated; an ended id is ended for both."""
    await ledger.grant(ORG, NANO, id="g", actor="test", reason="")
    assert (await before.grant(ORG, NANO, id="g", actor="test", reason="")).duplicate
    secret, _ = await accounts.create_key(name="k", limit_nano=NANO, reset="daily")
    policy = await accounts.authenticate(secret)
    for one, other in ((ledger, before), (before, ledger)):
        hold = await one.hold(generation_id(time.time()), policy, 1000, 60)
        assert await other.hold(hold.id, policy, 1000, 60) == hold
        receipt = await other.settle(hold, Posting("alpha", 100, 5, 105), losses=[Posting("beta", 7, 0, 0)])
        again = await one.settle(hold, Posting("alpha", 900, 5, 905))
        assert (again.paid_nano, again.balance_nano, again.seq) == (105, receipt.balance_nano, receipt.seq)
        with pytest.raises(Conflict):
            await one.hold(hold.id, policy, 1000, 60)
        late = await one.hold(generation_id(time.time()), policy, 1000, 60)
        assert await other.beat(late, Posting("alpha", 400, 20, 420), 0)
        assert await one.expire() == 1
        assert (await other.settle(late, Posting("alpha", 100, 5, 105))).paid_nano == 105
        assert (await one.settle(late, Posting("alpha", 100, 5, 105))).duplicate
        gone = Hold(generation_id(time.time()), ORG, policy.key_hash, 5)
        await one.void(gone)
        with pytest.raises(Conflict):
            await other.hold(gone.id, policy, 5, 60)
    for version in (ledger, before):
        report = await version.audit()
        assert (report.differences, report.open_holds) == ([], 0)


async def stored(store) -> dict[bytes, Any]:
    """Everything on the server but the times in it."""
    client, found = store.redis, {}
    for name in sorted(await client.keys()):
        match await client.type(name):
            case b"hash":
                values = await client.hgetall(name)
                found[name] = {field: value for field, value in values.items() if field not in CLOCKED}
            case b"stream":
                found[name] = [fields for _, fields in await client.xrange(name)]
            case b"string":
                found[name] = await client.get(name)
            case b"zset":
                found[name] = sorted(await client.zrange(name, 0, -1))
            case b"set":
                found[name] = await client.smembers(name)
    return found


async def a_day(ledger: Ledger, policies, ids: list[str], store) -> list[Any]:
    """One call of every kind and ending, with figures on both sides of every limit. The answers."""
    free, limited = policies
    name = keys.api_key(keys.tag(ORG), limited.key_hash)
    answers: list[Any] = []
    for policy in policies:
        first, second, third, fourth, fifth, sixth = [await ledger.hold(ids.pop(), policy, NANO, 60) for _ in range(6)]
        answers.append(
            await ledger.settle(first, Posting("alpha", 10**15, 1, NANO), record=b"r", losses=[Posting("b", 3, 0, 0)])
        )
        answers.append(await ledger.settle(await ledger.extend(second, 7), Posting("alpha", 0, 0, 0)))
        await ledger.void(third, record=b"nothing")
        await ledger.void(fourth, losses=[Posting("alpha", 20, 1, 0), Posting("beta", 20, 0, 0)])
        for hold in (fifth, sixth):  # one by one: the sweeper's order within a millisecond is that of the ids
            await ledger.beat(hold, Posting("alpha", 400, 20, 420), 0)
            answers.append(await ledger.expire())
        await store.redis.hincrby(name, "day", -1)
        answers.append(await ledger.settle(fifth, Posting("alpha", 100, 5, 105), losses=[Posting("beta", 3, 0, 0)]))
        await ledger.void(sixth)
        answers.append(await ledger.settle(Hold(ids.pop(), ORG, policy.key_hash, 5), Posting("alpha", 90, 5, 95)))
        await ledger.void(Hold(ids.pop(), ORG, policy.key_hash, 5))
        answers.append(await ledger.settle(first, Posting("alpha", 5, 5, 5)))
        await ledger.hold(ids.pop(), policy, 12_345, 60)
    for policy, amount in ((free, MAX_NANO), (limited, 60 * NANO)):
        with pytest.raises(PaymentRequired) as refusal:
            await ledger.hold(ids.pop(), policy, amount, 60)
        answers.append(refusal.value.metadata)
    return answers


async def test_both_versions_store_the_same_bytes(store, accounts, ledger, before):
    """Each of them gets the same calls from the same start: every answer, field, line and record is equal, and how long
    each key lives."""
    await ledger.grant(ORG, MAX_NANO // 2, id="g", actor="test", reason="")
    secrets = [(await accounts.create_key(name="free"))[0]]
    secret, view = await accounts.create_key(name="limited")
    await accounts.update_key(view.hash, KeyChange(limit_nano=50 * NANO, reset="weekly"))
    policies = [await accounts.authenticate(secret) for secret in (*secrets, secret)]
    for policy in policies:  # lifetime usage beyond what a double counts
        await store.redis.hset(keys.api_key(keys.tag(ORG), policy.key_hash), "ua", 2**53 + 10**15 - 1)
    start = {name: await store.redis.dump(name) for name in await store.redis.keys()}
    now = time.time()
    ids = [generation_id(now) for _ in range(30)]
    days = []
    for version in (before, ledger):
        await store.redis.flushall()
        for name, value in start.items():
            await store.redis.restore(name, 0, value)
        answers = await a_day(version, policies, list(ids), store)
        found = await stored(store)
        days.append((answers, found, {name: await store.redis.ttl(name) for name in found}))
    (answers, found, lives), (answers_now, found_now, lives_now) = days
    assert answers_now == answers
    assert found_now == found
    assert len([name for name in found if b":j:" in name]) == 1
    assert all(abs(lives[name] - lives_now[name]) <= 5 for name in found)
