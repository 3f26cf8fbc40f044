"""The ledger as a bank statement: tables of calls, and the lines and figures that must follow. Over both kinds of connection."""

from __future__ import annotations

import time

import pytest

from gateway.accounts import KeyChange
from gateway.errors import (
    BadRequest,
    Conflict,
    LedgerUnavailable,
    NotFound,
    PaymentRequired,
    Unauthorized,
    Unprocessable,
)
from gateway.ledger import Hold, Ledger, Posting, StalePolicy, StalePosting, generation_id
from gateway.money import MAX_NANO, NANO
from gateway.store import keys
from gateway.store.client import RedisCalls

ORG = "default"
MIDDAY_MS = 43_200_000


@pytest.fixture(params=["multiplexer", "redis-py"])
def ledger(request, store):
    """The same contract whatever sends the calls."""
    return Ledger(store, calls=None if request.param == "multiplexer" else RedisCalls(store.redis))


@pytest.fixture
async def policy(accounts, ledger):
    """A key without a limit, and ten dollars."""
    secret, _ = await accounts.create_key(name="test")
    await ledger.grant(ORG, 10 * NANO, id="opening", actor="test", reason="opening balance")
    return await accounts.authenticate(secret)


def new(age_s: float = 0) -> str:
    return generation_id(time.time() - age_s)


async def statement(ledger, org=ORG):
    """Lines as (type, provider, cost, fee, user, loss, balance), without the opening grant."""
    lines, _ = await ledger.journal(org, limit=1000)
    return [
        (line.type, line.provider, line.cost_nano, line.fee_nano, line.user_nano, line.loss_nano, line.balance_nano)
        for line in lines[1:]
    ]


async def clean(ledger):
    report = await ledger.audit()
    assert report.differences == []
    assert (report.clean, report.residue_nano) == (True, 0)
    return report


async def key_field(store, policy, field):
    return await store.redis.hget(keys.api_key(keys.tag(policy.org), policy.key_hash), field)


async def test_a_request_is_two_lines_of_a_statement(ledger, policy):
    """Hold, settle with a failed attempt before it: the attempt is our loss, the answer is the user's."""
    hold = await ledger.hold(new(), policy, NANO, 60)
    assert (await ledger.balances(ORG)).held_nano == NANO
    receipt = await ledger.settle(hold, Posting("beta", 1000, 50, 1050), losses=[Posting("alpha", 300, 0, 0)])
    assert (receipt.paid_nano, receipt.balance_nano, receipt.seq) == (1050, 10 * NANO - 1050, 3)
    assert (receipt.duplicate, receipt.late, receipt.held) == (False, False, True)
    assert await statement(ledger) == [
        ("loss", "alpha", 300, 0, 0, 300, 10 * NANO),
        ("settled", "beta", 1000, 50, 1050, 0, 10 * NANO - 1050),
    ]
    balances = await ledger.balances(ORG)
    assert (balances.held_nano, balances.used_nano, balances.granted_nano) == (0, 1050, 10 * NANO)
    report = await clean(ledger)
    assert (report.cost_nano, report.fee_nano, report.loss_nano, report.entries) == (1300, 50, 300, 3)
    assert report.cost_by_provider_nano == {"alpha": 300, "beta": 1000}


async def test_the_journal_names_everything_a_listing_needs(ledger, policy):
    """Generation id, part, key, time, actor and reason; pages by cursor in both directions."""
    id = new()
    hold = await ledger.hold(id, policy, 10, 60)
    await ledger.settle(hold, Posting("beta", 10, 1, 11), losses=[Posting("alpha", 3, 0, 0), Posting("gamma", 4, 0, 0)])
    first, cursor = await ledger.journal(ORG, limit=2)
    second, end = await ledger.journal(ORG, after=cursor, limit=2)
    assert end is None
    grant, loss, other, settled = [*first, *second]
    assert (grant.type, grant.actor, grant.reason, grant.key_hash) == ("grant", "test", "opening balance", None)
    assert (grant.generation_id, grant.user_nano) == ("opening", -10 * NANO)
    assert (loss.generation_id, loss.part, other.part, settled.part) == (id, 1, 2, None)
    assert (settled.generation_id, settled.key_hash, settled.total_nano) == (id, policy.key_hash, 11)
    assert abs(settled.time - time.time()) < 60
    backwards, _ = await ledger.journal(ORG, limit=10, newest_first=True)
    assert [line.seq for line in backwards] == [4, 3, 2, 1]
    for junk in ("0", "x-1", "1-1\r\n", "-", "1-" + "9" * 30):
        with pytest.raises(BadRequest):
            await ledger.journal(ORG, after=junk)


async def test_repeated_calls_have_one_effect(ledger, policy):
    """Hold, settle, void, grant and extend repeated: same answers, one effect."""
    id = new()
    first = await ledger.hold(id, policy, 500, 60)
    assert await ledger.hold(id, policy, 500, 60) == first
    grown = await ledger.extend(first, 300)
    assert await ledger.extend(first, 300) == grown
    assert (await ledger.balances(ORG)).held_nano == 800
    posting = Posting("alpha", 100, 5, 105)
    once = await ledger.settle(grown, posting, losses=[Posting("beta", 7, 0, 0)])
    again = await ledger.settle(grown, Posting("alpha", 999, 99, 999), losses=[Posting("beta", 7, 0, 0)])
    assert (again.paid_nano, again.balance_nano, again.seq) == (once.paid_nano, once.balance_nano, once.seq)
    assert again.duplicate
    await ledger.void(grown)
    with pytest.raises(Conflict):
        await ledger.hold(id, policy, 500, 60)
    assert (await ledger.grant(ORG, 10 * NANO, id="opening", actor="x", reason="opening balance")).duplicate
    with pytest.raises(Conflict):
        await ledger.grant(ORG, 10 * NANO, id="opening", actor="x", reason="another reason")
    assert len(await statement(ledger)) == 2
    await clean(ledger)


async def test_a_void_charges_nothing_and_ends_the_id(ledger, policy):
    """A void releases; one that overtakes its hold forbids it; the record and the losses are kept."""
    hold = await ledger.hold(new(), policy, NANO, 60)
    await ledger.void(hold, record=b"nothing", losses=[Posting("alpha", 20, 0, 0)])
    assert await statement(ledger) == [("loss", "alpha", 20, 0, 0, 20, 10 * NANO)]
    kept = await ledger.record(ORG, hold.id)
    assert (kept.blob, kept.paid_nano) == (b"nothing", 0)
    early = Hold(new(), ORG, policy.key_hash, NANO)
    await ledger.void(early)
    with pytest.raises(Conflict):
        await ledger.hold(early.id, policy, NANO, 60)
    assert (await ledger.settle(early, Posting("alpha", 5, 0, 5))).paid_nano == 0
    assert (await ledger.balances(ORG)).held_nano == 0
    await clean(ledger)


async def test_the_user_never_pays_more_than_there_is(ledger, accounts, policy):
    """A bill beyond the hold takes free credit only; another request's hold and the key's limit stay; the rest is our loss."""
    other = await ledger.hold(new(), policy, 9 * NANO, 60)
    mine = await ledger.hold(new(), policy, 10, 60)
    receipt = await ledger.settle(mine, Posting("alpha", 2 * NANO, 0, 2 * NANO))
    assert receipt.paid_nano == NANO
    assert (await statement(ledger))[-1] == ("settled", "alpha", 2 * NANO, 0, NANO, NANO, 9 * NANO)
    await ledger.settle(other, Posting("alpha", 0, 0, 0))
    secret, _ = await accounts.create_key(name="small", limit_nano=100)
    small = await accounts.authenticate(secret)
    hold = await ledger.hold(new(), small, 100, 60)
    assert (await ledger.settle(hold, Posting("alpha", 150, 8, 158))).paid_nano == 100
    await clean(ledger)


async def test_what_is_refused_and_why(ledger, accounts, policy):
    """Credits, key limit, disabled, expired, gone, changed: each its own answer, and nothing is held."""
    with pytest.raises(PaymentRequired) as refusal:
        await ledger.hold(new(), policy, 10 * NANO + 1, 60)
    assert refusal.value.metadata["limit_source"] == "credits"
    assert refusal.value.metadata["remaining"] == "10"
    with pytest.raises(PaymentRequired):
        await ledger.hold(new(), policy, MAX_NANO + 1, 60)
    limited, _ = await accounts.create_key(name="limited", limit_nano=100)
    limited_policy = await accounts.authenticate(limited)
    await ledger.hold(new(), limited_policy, 60, 60)
    with pytest.raises(PaymentRequired) as refusal:
        await ledger.hold(new(), limited_policy, 41, 60)
    assert refusal.value.metadata["limit_source"] == "key_limit"
    assert refusal.value.metadata["remaining"] == "0.00000004"
    expiring, view = await accounts.create_key(name="expiring", expires_at=time.time() + 1000)
    expiring_policy = await accounts.authenticate(expiring)
    await accounts.update_key(view.hash, KeyChange(expires_at=time.time() - 1))
    with pytest.raises(StalePolicy) as stale:
        await ledger.hold(new(), expiring_policy, 1, 60)
    assert (stale.value.policy.version, stale.value.policy.name) == (2, "expiring")
    with pytest.raises(Unauthorized):
        await ledger.hold(new(), stale.value.policy, 1, 60)
    await accounts.update_key(view.hash, KeyChange(expires_at=None, disabled=True))
    with pytest.raises(StalePolicy) as stale:
        await ledger.hold(new(), expiring_policy, 1, 60)
    assert stale.value.policy.disabled
    with pytest.raises(Unauthorized):
        await ledger.hold(new(), stale.value.policy, 1, 60)
    await accounts.delete_key(view.hash)
    with pytest.raises(StalePolicy) as stale:
        await ledger.hold(new(), expiring_policy, 1, 60)
    assert stale.value.policy is None
    assert (await ledger.balances(ORG)).held_nano == 60


async def test_a_key_belongs_to_its_organization(ledger, accounts, store, policy):
    """A policy that names another organisation's account finds no key, even in the same bucket; nothing is charged there."""
    other = await accounts.create_org("other")
    await ledger.grant(other.id, NANO, id="g", actor="test", reason="")
    forged = type(policy)(policy.key_hash, other.id, 1, False, None, "none", None, "", "")
    with pytest.raises(StalePolicy):
        await ledger.hold(new(), forged, 1, 60)
    own = await store.redis.hgetall(keys.api_key(keys.tag(ORG), policy.key_hash))
    await store.redis.hset(
        keys.api_key(keys.tag(other.id), policy.key_hash), mapping=own
    )  # the bucket is right, the org is not
    with pytest.raises(StalePolicy):
        await ledger.hold(new(), forged, 1, 60)
    with pytest.raises(ValueError, match="refuses"):
        await ledger.settle(Hold(new(), other.id, policy.key_hash, 1), Posting("alpha", 5, 0, 5))
    assert (await ledger.balances(other.id)).balance_nano == NANO


async def test_a_deleted_key_still_ends_its_requests(ledger, accounts, policy):
    """The key is gone while its request runs: the answer is charged, the books agree."""
    secret, view = await accounts.create_key(name="short")
    hold = await ledger.hold(new(), await accounts.authenticate(secret), 100, 60)
    await accounts.delete_key(view.hash)
    assert (await ledger.settle(hold, Posting("alpha", 90, 5, 95))).paid_nano == 95
    await clean(ledger)


async def test_expiry_charges_the_checkpoint_and_the_late_truth_corrects_it_once(ledger, policy):
    """Beat, silence, sweep: the checkpoint is charged; the settlement that comes later posts the difference, once."""
    hold = await ledger.hold(new(), policy, NANO, 60)
    assert await ledger.beat(hold, Posting("alpha", 400, 20, 420), 0)
    assert await ledger.expire() == 1
    assert await ledger.expire() == 0
    assert not await ledger.beat(hold, Posting("alpha", 500, 25, 525), 60)
    with pytest.raises(Conflict):
        await ledger.extend(hold, 5)
    late = await ledger.settle(hold, Posting("alpha", 1000, 50, 1050), record=b"r", losses=[Posting("beta", 3, 0, 0)])
    assert (late.paid_nano, late.late, late.duplicate) == (1050, True, False)
    again = await ledger.settle(hold, Posting("alpha", 1000, 50, 1050))
    assert (again.paid_nano, again.duplicate) == (1050, True)
    assert await statement(ledger) == [
        ("expired", "alpha", 400, 20, 420, 0, 10 * NANO - 420),
        ("loss", "beta", 3, 0, 0, 3, 10 * NANO - 420),
        ("adjusted", "alpha", 600, 30, 630, 0, 10 * NANO - 1050),
    ]
    assert (await ledger.record(ORG, hold.id)).paid_nano == 1050
    await clean(ledger)


@pytest.mark.parametrize("end", ["settle less", "void"])
async def test_a_late_ending_can_give_back(ledger, policy, end):
    """The checkpoint charged more than was due: the difference returns to the balance and to the key."""
    hold = await ledger.hold(new(), policy, NANO, 60)
    await ledger.beat(hold, Posting("alpha", 400, 20, 420), 0)
    await ledger.expire()
    if end == "void":
        await ledger.void(hold)
        expected = ("adjusted", "none", -400, -20, -420, 0, 10 * NANO)
    else:
        assert (await ledger.settle(hold, Posting("alpha", 100, 5, 105))).paid_nano == 105
        expected = ("adjusted", "alpha", -300, -15, -315, 0, 10 * NANO - 105)
    assert (await statement(ledger))[-1] == expected
    await ledger.void(hold)
    await clean(ledger)


async def test_a_hold_without_heartbeat_costs_nothing(ledger, policy):
    """What a dead gateway did not record, the user does not pay; a living hold is left alone."""
    await ledger.hold(new(), policy, NANO, 0)
    alive = await ledger.hold(new(), policy, NANO, 60)
    assert [hold.id for hold in await ledger.open_holds(limit=10)][1:] == [alive.id]
    assert await ledger.expire() == 1
    assert await statement(ledger) == [("expired", "none", 0, 0, 0, 0, 10 * NANO)]
    assert [hold.id for hold in await ledger.open_holds()] == [alive.id]
    await clean(ledger)


async def test_a_settlement_whose_hold_was_lost_is_posted(ledger, store, policy):
    """The store forgot the hold (a failover): the answer is charged all the same, and the receipt is marked."""
    receipt = await ledger.settle(Hold(new(), ORG, policy.key_hash, 100), Posting("alpha", 90, 5, 95))
    assert (receipt.paid_nano, receipt.held, receipt.duplicate) == (95, False, False)
    await clean(ledger)


async def test_an_old_id_is_never_charged_blindly(ledger, store, policy):
    """Beyond the dedupe memory a posting is put aside for a person; with its hold still open it is known to be new."""
    with pytest.raises(StalePosting):
        await ledger.settle(Hold(new(8000), ORG, policy.key_hash, 5), Posting("alpha", 90, 5, 95))
    assert await statement(ledger) == []
    report = await ledger.audit()
    assert [difference.what for difference in report.differences] == ["stale"]
    await ledger.void(Hold(new(8000), ORG, policy.key_hash, 5))
    with pytest.raises(StalePosting):
        await ledger.void(Hold(new(8000), ORG, policy.key_hash, 5), losses=[Posting("alpha", 1, 0, 0)])
    for age_s in (8000, -8000):
        with pytest.raises(Exception, match="clocks"):
            await ledger.hold(new(age_s), policy, 1, 60)
    running = await ledger.hold(new(), policy, 500, 60)
    old, tag = new(90_000), keys.tag(ORG)
    await store.redis.rename(
        keys.hold(tag, running.id), keys.hold(tag, old)
    )  # a stream that has been running for a day
    await store.redis.zadd(keys.holds_by_expiry(tag), {old: 2e12})
    await store.redis.zrem(keys.holds_by_expiry(tag), running.id)
    hold = Hold(old, ORG, policy.key_hash, 500)
    assert (await ledger.settle(hold, Posting("alpha", 90, 5, 95))).paid_nano == 95
    assert (await ledger.settle(hold, Posting("alpha", 90, 5, 95))).duplicate
    assert await store.redis.ttl(keys.done(tag, keys.hour(old))) > 7000


async def test_the_dedupe_memory_ends_by_itself(ledger, store, policy):
    """The bucket of the id's hour lives until no id of it can be accepted without a hold, then leaves."""
    hold = await ledger.hold(new(), policy, 5, 60)
    await ledger.settle(hold, Posting("alpha", 1, 0, 1))
    ttl_s = await store.redis.ttl(keys.done(keys.tag(ORG), keys.hour(hold.id)))
    end_of_hour_s = (int(keys.hour(hold.id)) + 1) * 3600 - time.time()
    assert end_of_hour_s + 7200 <= ttl_s <= end_of_hour_s + 7300


async def test_grants(ledger, accounts, policy):
    """Once per id for ever; held credit cannot be taken; a balance has a cap; unknown organisations have no account."""
    await ledger.hold(new(), policy, 4 * NANO, 60)
    with pytest.raises(Conflict):
        await ledger.grant(ORG, NANO, id="opening", actor="test", reason="")
    with pytest.raises(Unprocessable, match="held"):
        await ledger.grant(ORG, -6 * NANO - 1, id="take", actor="test", reason="")
    assert (await ledger.grant(ORG, -6 * NANO, id="take", actor="test", reason="")).balance_nano == 4 * NANO
    with pytest.raises(Unprocessable, match="at most"):
        await ledger.grant(ORG, MAX_NANO, id="huge", actor="test", reason="")
    assert (await ledger.grant(ORG, MAX_NANO - 4 * NANO, id="cap", actor="test", reason="")).balance_nano == MAX_NANO
    with pytest.raises(Unprocessable):
        await ledger.grant(ORG, 0, id="zero", actor="test", reason="")
    with pytest.raises(NotFound):
        await ledger.grant("nobody", 1, id="x", actor="test", reason="")
    with pytest.raises(BadRequest):
        await ledger.grant(ORG, 1, id="", actor="test", reason="")
    await clean(ledger)


async def test_figures_stay_exact_at_the_largest_balances(ledger, store, policy):
    """Above 10^14 and at 2^53 no figure is rounded or written as 1e+14; lifetime usage goes on beyond 2^53."""
    await ledger.grant(ORG, MAX_NANO - 10 * NANO, id="all", actor="test", reason="")
    paid = 0
    for _ in range(12):
        hold = await ledger.hold(new(), policy, 10**15 - 1, 60)
        assert (await ledger.settle(hold, Posting("alpha", 10**15 - 1, 0, 10**15 - 1))).paid_nano == 10**15 - 1
        paid += 10**15 - 1
        await ledger.grant(ORG, 10**15 - 1, id=f"refill-{paid}", actor="test", reason="")
    assert paid > 2**53
    assert int(await key_field(store, policy, "ua")) == paid
    balances = await ledger.balances(ORG)
    assert (balances.balance_nano, balances.used_nano) == (MAX_NANO, paid)
    hold = await ledger.hold(new(), policy, 10, 60)
    await ledger.beat(hold, Posting("alpha", 1000, 0, 1000), 0)
    await ledger.expire()
    await ledger.grant(ORG, 1000, id="fill", actor="test", reason="")
    await ledger.settle(hold, Posting("alpha", 0, 0, 0))  # a refund that would exceed the cap
    assert (await ledger.balances(ORG)).balance_nano == MAX_NANO
    await clean(ledger)


@pytest.mark.parametrize(
    "junk",
    ["1.5", "1e3", "nan", "inf", "-1", "0x10", " 5", "5 ", "", "-0", "05", "5.0", "5\0", str(2**53), "9" * 30, "\n5"],
)
async def test_junk_amounts_are_refused_by_the_functions_themselves(ledger, store, policy, junk):
    """Whatever a client sends, nothing but a plain integer below 2^53 is an amount; nothing is written."""
    tag, id = keys.tag(ORG), new()
    account, key = keys.organization(ORG), keys.api_key(tag, policy.key_hash)
    names = [account, key, keys.hold(tag, id), keys.holds_by_expiry(tag), keys.done(tag, keys.hour(id))]
    ending = [*names, keys.journal(ORG), keys.record(tag, id), keys.stale(tag)]
    before = sorted(await store.redis.keys())
    for verb, keys_, args in [
        ("hold", names, [id, "1", junk, "1000"]),
        ("hold", names, [id, "1", "10", junk]),
        ("settle", ending, [id, "", "60", "alpha", junk, "0", "0"]),
        ("settle", ending, [id, "", "60", "alpha", "0", junk, "0"]),
        ("settle", ending, [id, "", "60", "alpha", "0", "0", junk]),
        ("settle", ending, [id, "", "60", "alpha", "1", "0", "0", "beta", junk, "0", "0"]),
        ("settle", ending, [id, "", junk, "alpha", "1", "0", "0"]),
        ("settle", ending, [id, "", "60", "alpha", "1", "0"]),
        ("settle", ending, [junk, "", "60", "alpha", "1", "0", "0"]),
        ("void", ending, [id, "", "60", "alpha", junk, "0", "0"]),
        ("beat", [names[2], names[3]], [id, "1000", "alpha", junk, "0", "0"]),
        ("extend", [account, key, names[2]], [junk]),
    ]:
        assert await store.mux.call("FCALL", ledger._library.function(verb), len(keys_), *keys_, *args) == [b"BADARG"]
    if junk != "-1":
        grant = [account, keys.grants(ORG), keys.journal(ORG)]
        reply = await store.mux.call("FCALL", ledger._library.function("grant"), 3, *grant, "id", junk, "a", "b")
        assert reply[0] == b"BADARG" or junk == "-0"
    assert sorted(await store.redis.keys()) == before
    assert (await ledger.balances(ORG)).balance_nano == 10 * NANO


async def test_a_zero_charge_is_written_as_zero(ledger, store, policy):
    """Usage of nothing charges nothing, and no figure is ever stored as -0."""
    hold = await ledger.hold(new(), policy, 0, 60)
    assert (await ledger.settle(hold, Posting("alpha", 0, 0, 0))).paid_nano == 0
    stored = [*await store.redis.hvals(keys.organization(ORG)), await key_field(store, policy, "ua")]
    for _, line in await store.redis.xrange(keys.journal(ORG)):
        stored += line.values()
    assert b"-0" not in stored
    await clean(ledger)


async def test_a_journal_that_cannot_be_written_changes_nothing(ledger, store, policy):
    """The journal's key has a wrong type: the settlement fails before its first write and works once that is repaired."""
    hold = await ledger.hold(new(), policy, 500, 60)
    before = [await store.redis.hgetall(keys.organization(ORG)), await store.redis.dump(keys.journal(ORG))]
    journal = await store.redis.dump(keys.journal(ORG))
    await store.redis.set(keys.journal(ORG), "not a stream")
    with pytest.raises(Exception, match="not reachable"):
        await ledger.settle(hold, Posting("alpha", 100, 5, 105))
    assert await store.redis.hgetall(keys.organization(ORG)) == before[0]
    assert len(await ledger.open_holds()) == 1
    await store.redis.restore(keys.journal(ORG), 0, journal, replace=True)
    assert (await ledger.settle(hold, Posting("alpha", 100, 5, 105))).paid_nano == 105
    await clean(ledger)


@pytest.mark.parametrize("field", ["bal", "hold", "seq", "used", "key: hold", "key: day", "key: uw", "key: ua"])
async def test_a_figure_that_is_none_stops_a_posting_before_its_first_write(ledger, store, policy, field):
    """A counter that holds text: nothing is computed from it, nothing is written; once repaired, calls succeed again."""
    hold = await ledger.hold(new(), policy, 500, 60)
    await ledger.settle(await ledger.hold(new(), policy, 5, 60), Posting("alpha", 100, 5, 105))
    name = keys.api_key(keys.tag(ORG), policy.key_hash) if field.startswith("key") else keys.organization(ORG)
    field = field.removeprefix("key: ")
    figure = await store.redis.hget(name, field)
    await store.redis.hset(name, field, "words")
    before = {key: await store.redis.dump(key) for key in sorted(await store.redis.keys())}
    with pytest.raises(LedgerUnavailable):
        await ledger.settle(hold, Posting("alpha", 100, 5, 105), record=b"r", losses=[Posting("beta", 1, 0, 0)])
    assert {key: await store.redis.dump(key) for key in sorted(await store.redis.keys())} == before
    await store.redis.hset(name, field, figure)
    assert (await ledger.settle(hold, Posting("alpha", 100, 5, 105))).paid_nano == 105
    await clean(ledger)


async def test_records_live_beside_what_was_paid(ledger, store, policy):
    """Stored by the settling call with a time to live, found by organisation or by asking all; binary safe."""
    hold = await ledger.hold(new(), policy, 500, 60)
    blob = bytes(range(256)) + b":\r\n"
    await ledger.settle(hold, Posting("alpha", 100, 5, 105), record=blob)
    found = await ledger.record(ORG, hold.id)
    assert (found.blob, found.paid_nano) == (blob, 105)
    assert await ledger.find_record(hold.id) == found
    assert 0 < await store.redis.ttl(keys.record(keys.tag(ORG), hold.id)) <= 2_592_000
    assert await ledger.record("another", hold.id) is None
    assert await ledger.find_record(new()) is None
    assert await ledger.record(ORG, "gen-{l1}:o:default") is None


async def test_audit_finds_an_id_that_was_charged_twice(ledger, store, policy):
    """Two lines that are right by themselves, in books that balance: by settlement, by expiry, by adjustment. Others are left alone."""
    for first, second in (("S", "S"), ("S", "X"), ("X", "X"), ("A", "A")):
        ids = [new() for _ in range(5)]
        for id in ids:
            await ledger.settle(Hold(id, ORG, policy.key_hash, 0), Posting("alpha", 100, 5, 105))
        lines = await store.redis.xrevrange(keys.journal(ORG), count=2)
        for (cursor, _), kind in zip(lines, (first, second), strict=True):  # the last two become lines of one id
            await _rewritten(store, cursor, {b"t": kind.encode(), b"h": ids[0].encode()})
        report = await ledger.audit()
        twice = [difference for difference in report.differences if difference.what == "twice"]
        assert {difference.what for difference in report.differences} == {"twice"}
        assert any(ids[0] in difference.detail for difference in twice)
        for cursor, fields in lines:
            await _rewritten(store, cursor, fields)
    await clean(ledger)


async def _rewritten(store, cursor: bytes, changed: dict[bytes, bytes]) -> None:
    """A journal in which one line has other fields."""
    lines = await store.redis.xrange(keys.journal(ORG))
    await store.redis.delete(keys.journal(ORG))
    for at, fields in lines:
        await store.redis.xadd(keys.journal(ORG), {**fields, **changed} if at == cursor else fields, id=at)


async def test_audit_sees_every_kind_of_tampering(ledger, store, policy):
    """A changed balance, counter, hold, line or a missing line: each is reported by name."""
    hold = await ledger.hold(new(), policy, 500, 60)
    await ledger.settle(await ledger.hold(new(), policy, 5, 60), Posting("alpha", 100, 5, 105))
    await ledger.settle(await ledger.hold(new(), policy, 5, 60), Posting("alpha", 100, 5, 105))
    account, key, tag = keys.organization(ORG), keys.api_key(keys.tag(ORG), policy.key_hash), keys.tag(ORG)
    snapshot = {name: await store.redis.dump(name) for name in await store.redis.keys()}

    async def found(change) -> set[str]:
        await change
        report = await ledger.audit()
        for name, value in snapshot.items():
            await store.redis.restore(name, 0, value, replace=True)
        assert not report.clean
        return {difference.what for difference in report.differences}

    lines = await store.redis.xrange(keys.journal(ORG))
    assert await found(store.redis.hset(account, "bal", 10**12)) == {"balance"}
    assert await found(store.redis.hset(account, "used", 1)) == {"used"}
    assert await found(store.redis.hset(account, "hold", 1)) == {"held"}
    assert await found(store.redis.hset(key, "hold", 1)) == {"key_held"}
    assert await found(store.redis.hset(key, "ua", 1)) == {"key_used"}
    assert await found(store.redis.hset(keys.hold(tag, hold.id), "a", 1)) == {"held", "key_held"}
    assert "chain" in await found(store.redis.xdel(keys.journal(ORG), lines[1][0]))
    assert "chain" in await found(store.redis.xdel(keys.journal(ORG), lines[-1][0]))
    forged = {**lines[1][1], b"q": b"4"}
    assert {"balance", "chain"} & await found(store.redis.xadd(keys.journal(ORG), forged))
    assert "line" in await found(store.redis.xadd(keys.journal(ORG), {"who": "me"}))
    await clean(ledger)


async def test_a_hold_that_was_beaten_in_time_is_not_swept(ledger, store, policy):
    """The sweeper read it as overdue, then its stream beat: the function itself looks at the clock again."""
    hold = await ledger.hold(new(), policy, NANO, 60)
    tag = keys.tag(ORG)
    await store.redis.zadd(keys.holds_by_expiry(tag), {hold.id: 1})  # what the sweeper saw is older than the hold
    assert await ledger.expire() == 0
    assert (await ledger.balances(ORG)).held_nano == NANO
    await store.redis.zadd(keys.holds_by_expiry(tag), {"gen-0000000001-gone": 1})  # a name without a hold
    assert await ledger.expire() == 0
    assert await store.redis.zcard(keys.holds_by_expiry(tag)) == 1


async def test_a_refund_in_a_later_window_does_not_make_its_usage_negative(ledger, accounts, store):
    """Charged yesterday, given back today: today's usage is nothing, not less than nothing, so the limit does not grow."""
    await ledger.grant(ORG, NANO, id="g", actor="test", reason="")
    secret, view = await accounts.create_key(name="daily", limit_nano=1000, reset="daily")
    daily = await accounts.authenticate(secret)
    hold = await ledger.hold(new(), daily, 500, 60)
    await ledger.beat(hold, Posting("alpha", 500, 0, 500), 0)
    await ledger.expire()
    name = keys.api_key(keys.tag(ORG), view.hash)
    await store.redis.hincrby(name, "day", -1)
    await ledger.void(hold)
    shown = await accounts.get_key(view.hash)
    assert (shown.usage_nano, shown.usage_daily_nano, shown.limit_remaining_nano) == (0, 0, 1000)
    with pytest.raises(PaymentRequired):
        await ledger.hold(new(), daily, 1001, 60)
    await clean(ledger)


async def test_a_refund_is_given_under_a_limit_that_was_lowered(ledger, accounts, policy):
    """The key has used more than its new limit, so nothing can be charged; what was charged too much goes back all the same."""
    secret, view = await accounts.create_key(name="lowered", limit_nano=NANO)
    hold = await ledger.hold(new(), await accounts.authenticate(secret), 500, 60)
    await ledger.beat(hold, Posting("alpha", 400, 20, 420), 0)
    await ledger.expire()
    await accounts.update_key(view.hash, KeyChange(limit_nano=10))
    assert (await ledger.settle(hold, Posting("alpha", 100, 5, 105))).paid_nano == 105
    assert (await statement(ledger))[-1] == ("adjusted", "alpha", -300, -15, -315, 0, 10 * NANO - 105)
    await clean(ledger)


async def test_an_id_belongs_to_one_key(ledger, accounts, policy):
    """Another key cannot hold or end a request under an id that is in use."""
    secret, _ = await accounts.create_key(name="other")
    other = await accounts.authenticate(secret)
    hold = await ledger.hold(new(), policy, 500, 60)
    with pytest.raises(ValueError, match="refuses"):
        await ledger.hold(hold.id, other, 500, 60)
    stolen = Hold(hold.id, ORG, other.key_hash, 500)
    with pytest.raises(ValueError, match="refuses"):
        await ledger.settle(stolen, Posting("alpha", 5, 0, 5))
    with pytest.raises(ValueError, match="refuses"):
        await ledger.void(stolen)
    with pytest.raises(ValueError, match="refuses"):
        await ledger.extend(stolen, 5)
    assert (await ledger.settle(hold, Posting("alpha", 5, 0, 5))).paid_nano == 5
    await clean(ledger)


async def test_open_holds_are_counted(ledger, policy):
    """The gauge's figure equals the list."""
    for _ in range(3):
        await ledger.hold(new(), policy, 5, 60)
    assert await ledger.open_hold_count() == len(await ledger.open_holds()) == 3
