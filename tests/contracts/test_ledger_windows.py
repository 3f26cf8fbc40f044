"""Limits that reset: the windows of the functions against Python's calendar, and keys that live through a change of day."""

from __future__ import annotations

import calendar
import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.accounts import KeyChange
from gateway.accounts.views import month
from gateway.errors import PaymentRequired
from gateway.ledger import Posting, generation_id
from gateway.store import keys

ORG = "default"


async def window(ledger, store, ms):
    return await store.mux.call("FCALL_RO", ledger._library.function("window"), 0, ms)


async def test_windows_change_exactly_at_their_boundaries(ledger, store):
    """Every midnight, Monday and first of month from 1970 to 2100 that was drawn, one millisecond before and after."""
    rng = random.Random(1)
    moments = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2000, 2, 29, tzinfo=UTC), datetime(2100, 3, 1, tzinfo=UTC)]
    for _ in range(300):
        year, number = rng.randrange(1971, 2101), rng.randrange(1, 13)
        moments.append(datetime(year, number, 1, tzinfo=UTC))
        moments.append(datetime(year, number, rng.randrange(1, calendar.monthrange(year, number)[1] + 1), tzinfo=UTC))
    for moment in moments:
        ms = int(moment.timestamp()) * 1000
        for at_ms in (ms - 1, ms, ms + 86_399_999):
            if at_ms < 0:
                continue
            date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
            monday = (date - timedelta(days=date.weekday())).date().toordinal()
            day, week, number = await window(ledger, store, at_ms)
            assert day == date.date().toordinal() - datetime(1970, 1, 1).toordinal()
            assert week == (monday - datetime(1969, 12, 29).toordinal()) // 7
            assert number == date.year * 12 + date.month == month(day)


@pytest.mark.parametrize(("reset", "days"), [("daily", 1), ("weekly", 7), ("monthly", 31), ("none", 4000)])
async def test_a_used_up_limit_opens_with_its_window(store, accounts, ledger, reset, days):
    """The usage lies in an earlier window: the whole limit is free again; without reset it stays used for ever."""
    await ledger.grant(ORG, 10**9, id="g", actor="test", reason="")
    secret, view = await accounts.create_key(name="k", limit_nano=1000, reset=reset)
    policy = await accounts.authenticate(secret)
    hold = await ledger.hold(generation_id(time.time()), policy, 1000, 60)
    await ledger.settle(hold, Posting("alpha", 1000, 0, 1000))
    with pytest.raises(PaymentRequired):
        await ledger.hold(generation_id(time.time()), policy, 1, 60)
    name = keys.api_key(keys.tag(ORG), view.hash)
    await store.redis.hset(name, "day", int(time.time() // 86_400) - days)
    shown = await accounts.get_key(view.hash)
    assert shown.usage_nano == 1000
    if reset == "none":
        assert shown.limit_remaining_nano == 0
        with pytest.raises(PaymentRequired):
            await ledger.hold(generation_id(time.time()), policy, 1, 60)
        return
    assert shown.limit_remaining_nano == 1000
    hold = await ledger.hold(generation_id(time.time()), policy, 1000, 60)
    await ledger.settle(hold, Posting("alpha", 600, 0, 600))
    shown = await accounts.get_key(view.hash)
    assert (shown.usage_nano, shown.usage_daily_nano, shown.limit_remaining_nano) == (1600, 600, 400)
    assert (await ledger.audit()).clean


async def test_a_clock_set_back_reopens_nothing(store, accounts, ledger):
    """The stored day lies ahead of the server's clock: the limit stays used, usage goes on in that window."""
    await ledger.grant(ORG, 10**9, id="g", actor="test", reason="")
    secret, view = await accounts.create_key(name="k", limit_nano=1000, reset="daily")
    policy = await accounts.authenticate(secret)
    hold = await ledger.hold(generation_id(time.time()), policy, 900, 60)
    await ledger.settle(hold, Posting("alpha", 900, 0, 900))
    ahead = int(time.time() // 86_400) + 1
    await store.redis.hset(keys.api_key(keys.tag(ORG), view.hash), "day", ahead)
    with pytest.raises(PaymentRequired):
        await ledger.hold(generation_id(time.time()), policy, 101, 60)
    hold = await ledger.hold(generation_id(time.time()), policy, 100, 60)
    await ledger.settle(hold, Posting("alpha", 100, 0, 100))
    assert await store.redis.hget(keys.api_key(keys.tag(ORG), view.hash), "day") == str(ahead).encode()
    assert (await accounts.get_key(view.hash)).usage_daily_nano == 1000


async def test_a_change_of_limit_or_reset_counts_what_was_used(accounts, ledger):
    """Usage is kept for every window, so another limit or another reset starts from the truth."""
    await ledger.grant(ORG, 10**9, id="g", actor="test", reason="")
    secret, view = await accounts.create_key(name="k")
    policy = await accounts.authenticate(secret)
    hold = await ledger.hold(generation_id(time.time()), policy, 900, 60)
    await ledger.settle(hold, Posting("alpha", 900, 0, 900))
    changed = await accounts.update_key(view.hash, KeyChange(limit_nano=1000, reset="weekly"))
    assert (changed.limit_remaining_nano, changed.limit_reset, changed.version) == (100, "weekly", 2)
    policy = await accounts.authenticate(secret, fresh=True)
    with pytest.raises(PaymentRequired):
        await ledger.hold(generation_id(time.time()), policy, 101, 60)
    lowered = await accounts.update_key(view.hash, KeyChange(limit_nano=500))
    assert lowered.limit_remaining_nano == 0
