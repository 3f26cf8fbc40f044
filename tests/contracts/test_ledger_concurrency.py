"""The ledger under concurrency and lost replies: no overspend, exactly one winner, one effect."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, PaymentRequired
from gateway.ledger import Ledger, Posting, generation_id
from gateway.money import NANO
from gateway.store import keys
from gateway.store.client import connect
from tests.support.faultproxy import fault_proxy

ORG = "default"


async def caller(accounts, ledger, credit_nano, **key):
    secret, _ = await accounts.create_key(name="test", **key)
    await ledger.grant(ORG, credit_nano, id=f"credit-{time.time_ns()}", actor="test", reason="")
    return await accounts.authenticate(secret)


async def clean(ledger):
    report = await ledger.audit()
    assert report.differences == []
    return report


@pytest.mark.parametrize("bound", ["credits", "key limit"])
@pytest.mark.parametrize("concurrency", [10, 100, 1000])
async def test_a_dollar_is_never_overspent(accounts, ledger, concurrency, bound):
    """Requests of 1 to 5 cents at once on one dollar: spent + loss of the operator beyond the dollar = 0."""
    if bound == "credits":
        policy = await caller(accounts, ledger, NANO)
    else:
        policy = await caller(accounts, ledger, 100 * NANO, limit_nano=NANO, reset="daily")
    rng, refused, paid = random.Random(concurrency), 0, []

    async def request():
        nonlocal refused
        bill = rng.randrange(NANO // 100, NANO // 20)
        try:
            hold = await ledger.hold(generation_id(time.time()), policy, bill, 60)
        except PaymentRequired:
            refused += 1
            return
        await asyncio.sleep(rng.random() / 20)
        paid.append(await ledger.settle(hold, Posting("alpha", bill, 0, bill)))

    await asyncio.gather(*(request() for _ in range(concurrency)))
    spent = sum(receipt.paid_nano for receipt in paid)
    report = await clean(ledger)
    print(f"{concurrency} at once: {len(paid)} served, {refused} refused, overspend {max(0, spent - NANO)} n$")
    assert spent <= NANO
    assert (report.loss_nano, report.held_nano, report.used_nano) == (0, 0, spent)
    assert concurrency == 10 or refused > 0


async def test_settle_void_and_expire_race_and_one_wins(store, accounts, ledger):
    """1,000 holds, each settled, voided and swept at once by two replicas: charged as one of the endings says, once."""
    policy = await caller(accounts, ledger, 1000 * NANO)
    replica = await connect(f"unix://{store.redis.connection_pool.connection_kwargs['path']}", timeout_s=5)
    other = Ledger(replica)
    rng, id_of = random.Random(7), []

    async def fight(number):
        hold = await ledger.hold(generation_id(time.time()), policy, 1000, rng.choice([0, 60]))
        id_of.append(hold.id)
        await ledger.beat(hold, Posting("alpha", 300, 15, 315), rng.choice([0, 60]))
        calls = [
            rng.choice([ledger, other]).settle(hold, Posting("alpha", 600, 30, 630)),
            rng.choice([ledger, other]).settle(hold, Posting("alpha", 600, 30, 630)),
            rng.choice([ledger, other]).void(hold),
        ]
        rng.shuffle(calls)
        if number % 50 == 0:
            calls += [ledger.expire(), other.expire()]
        await asyncio.gather(*calls)

    for start in range(0, 1000, 100):
        await asyncio.gather(*(fight(n) for n in range(start, start + 100)))
    await ledger.expire(5000)
    assert await ledger.open_holds() == []
    totals: dict[str, int] = dict.fromkeys(id_of, 0)
    lines, _ = await ledger.journal(ORG, limit=100_000)
    for line in lines:
        if line.generation_id in totals:
            totals[line.generation_id] += line.user_nano
    assert set(totals.values()) <= {0, 630}
    assert len([total for total in totals.values() if total == 630]) > 100
    await clean(ledger)
    await replica.aclose()


async def test_a_lost_reply_is_not_a_second_effect(valkey_server, accounts, ledger):
    """The reply of each call is lost after its execution and the call is repeated: one hold, one charge, one grant."""
    policy = await caller(accounts, ledger, 10 * NANO)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "proxy.sock"
        async with fault_proxy(valkey_server.socket_path, path) as proxy:
            store = await connect(f"unix://{path}", timeout_s=1)
            far = Ledger(store)

            async def twice(call):
                proxy.drop_next = True
                with pytest.raises(LedgerUnavailable):
                    await call()
                return await call()

            hold = await twice(lambda: far.hold(id, policy, NANO, 60)) if (id := generation_id(time.time())) else None
            assert hold.amount_nano == NANO
            grown = await twice(lambda: far.extend(hold, 500))
            assert grown.amount_nano == NANO + 500
            assert (await ledger.balances(ORG)).held_nano == NANO + 500
            assert await twice(lambda: far.beat(grown, Posting("alpha", 100, 5, 105), 60))
            losses = [Posting("beta", 3, 0, 0)]
            receipt = await twice(lambda: far.settle(grown, Posting("alpha", 1000, 50, 1050), losses=losses))
            assert (receipt.paid_nano, receipt.duplicate) == (1050, True)
            voided = await far.hold(generation_id(time.time()), policy, 5, 60)
            await twice(lambda: far.void(voided, losses=losses))
            # a grant asks first whether the organisation exists: lose the second reply as well
            granted = await twice(lambda: far.grant(ORG, 7, id="again", actor="test", reason=""))
            assert granted.balance_nano == 10 * NANO - 1050 + 7
            assert proxy.dropped == 6
            await store.aclose()
    report = await clean(ledger)
    assert (report.entries, report.used_nano, report.held_nano) == (5, 1050, 0)


async def test_cancelled_callers_do_not_shift_replies(store):
    """10,000 calls, half of their callers cancelled at random moments: every reply is the one to its own call."""
    rng, wrong, answered = random.Random(3), 0, 0

    async def ask(number):
        nonlocal wrong, answered
        reply = await store.mux.call("ECHO", str(number))
        answered += 1
        wrong += reply != str(number).encode()

    tasks = []
    for number in range(10_000):
        task = asyncio.create_task(ask(number))
        tasks.append(task)
        if rng.random() < 0.5:
            asyncio.get_running_loop().call_later(rng.random() / 500, task.cancel)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(task.cancelled() for task in tasks)
    print(f"10,000 calls, {cancelled} cancelled, {answered} answered, {wrong} replies to another call")
    assert wrong == 0
    assert cancelled > 1000
    assert answered + cancelled == 10_000


async def test_cancelled_ledger_calls_leave_a_clean_ledger(accounts, ledger):
    """Callers that vanish between any two bytes: what they held is swept, the books agree."""
    policy = await caller(accounts, ledger, 100 * NANO)
    rng = random.Random(5)

    async def request():
        hold = await ledger.hold(generation_id(time.time()), policy, 1000, 0)
        await ledger.settle(hold, Posting("alpha", 500, 25, 525))

    tasks = []
    for number in range(2000):
        task = asyncio.create_task(request())
        tasks.append(task)
        asyncio.get_running_loop().call_later(rng.random() / 300, task.cancel)
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    await asyncio.gather(*tasks, return_exceptions=True)
    await ledger.expire(5000)
    report = await clean(ledger)
    assert (report.held_nano, report.open_holds) == (0, 0)


async def test_the_audit_is_exact_while_traffic_runs(accounts, ledger):
    """Reconciliation over and over during holds, settlements, grants and new keys: never a false difference."""
    policies = [await caller(accounts, ledger, 50 * NANO) for _ in range(3)]
    stop = asyncio.Event()
    rng = random.Random(11)

    async def traffic():
        while not stop.is_set():
            hold = await ledger.hold(generation_id(time.time()), rng.choice(policies), 1000, 60)
            await ledger.settle(hold, Posting("alpha", 500, 25, 525))

    async def founding():
        while not stop.is_set():
            org = await accounts.create_org("new")
            secret, _ = await accounts.create_key(name="new", org=org.id)
            await ledger.grant(org.id, NANO, id="g", actor="test", reason="")
            policies.append(await accounts.authenticate(secret))

    tasks = [asyncio.create_task(traffic()) for _ in range(20)] + [asyncio.create_task(founding())]
    for _ in range(6):
        report = await ledger.audit()
        assert report.differences == []
    stop.set()
    await asyncio.gather(*tasks)
    assert (await clean(ledger)).entries > 100


async def test_functions_come_back_when_the_server_forgot_them(store, accounts, ledger):
    """FUNCTION FLUSH (a new primary without the library): the next call loads it and succeeds."""
    policy = await caller(accounts, ledger, NANO)
    await store.redis.function_flush("SYNC")
    hold = await ledger.hold(generation_id(time.time()), policy, 10, 60)
    await store.redis.function_flush("SYNC")
    await ledger.settle(hold, Posting("alpha", 5, 0, 5))
    await store.redis.function_flush("SYNC")
    await accounts.create_key(name="another")
    await store.redis.function_flush("SYNC")
    assert await ledger.expire() == 0
    await clean(ledger)


async def test_two_versions_of_the_library_live_side_by_side(store, ledger):
    """Loading again is harmless; the name carries the digest of the text, so nothing is ever replaced."""
    await ledger.prepare()
    await Ledger(store).prepare()
    names = [library[1].decode() for library in await store.redis.function_list()]
    assert len([name for name in names if name.startswith("tokenway_ledger_v1_")]) == 1


async def test_bucket_of_organizations_is_shared_by_their_keys(accounts):
    """An API key spells the bucket of its organisation; all ledger keys of it carry that hash tag."""
    for org in ["default", *[(await accounts.create_org("x")).id for _ in range(20)]]:
        tag = keys.tag(org)
        assert keys.code_tag(keys.org_code(org)) == tag
        assert 0 <= keys.bucket(org) < 4096
        names = [keys.organization(org), keys.journal(org), keys.grants(org), keys.org_keys(org), keys.stale(tag)]
        assert all(name.startswith(tag) for name in names)
    assert keys.bucket("123456789") == 0x31C3 % 4096  # the published check value of CRC-16/XMODEM
