"""A hold that takes what there is: a share of what is free, never less than it needs, in one call."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import PaymentRequired
from gateway.ledger import generation_id

ORG = "default"


async def policy_of(accounts, limit):
    secret, _ = await accounts.create_key(name="k", limit_nano=limit)
    return await accounts.authenticate(secret)


@pytest.mark.parametrize(
    ("credit", "limit", "wished", "least", "share", "held"),
    [
        (1600, None, 50, 10, 16, 50),
        (1600, None, 100, 10, 16, 100),
        (1600, None, 101, 10, 16, 100),
        (1600, None, 9000, 10, 16, 100),
        (1600, None, 9000, 500, 16, 500),
        (1600, None, 9000, 1600, 16, 1600),
        (1600, None, 9000, 0, 16, 100),
        (1600, 320, 9000, 10, 16, 20),
        (1600, 320, 9000, 320, 16, 320),
        (1600, 10**6, 9000, 10, 16, 100),
        (1615, None, 9000, 10, 16, 100),
        (15, None, 9000, 0, 16, 0),
        (1600, None, 9000, 10, 1, 1600),
        (1600, None, 9000, 1601, 16, "credits"),
        (1600, 320, 9000, 321, 16, "key_limit"),
    ],
)
async def test_what_is_held(accounts, ledger, *, credit, limit, wished, least, share, held):
    """Of the credit and of the key's limit, whichever is less; the reply to a repeated call is the same."""
    await ledger.grant(ORG, credit, id="g", actor="test", reason="")
    policy, id = await policy_of(accounts, limit), generation_id(time.time())
    ask = ledger.hold(id, policy, wished, 60, least_nano=least, share=share)
    if isinstance(held, str):
        with pytest.raises(PaymentRequired) as refused:
            await ask
        assert refused.value.metadata["limit_source"] == held
        return
    assert (await ask).amount_nano == held
    again = await ledger.hold(id, policy, wished, 60, least_nano=least, share=share)
    assert again.amount_nano == held
    assert (await ledger.balances(ORG)).held_nano == held
    assert (await ledger.audit()).clean


async def test_shares_of_many_at_once(accounts, ledger):
    """Each takes a share of what the others left, until the least no longer fits: never more than there is."""
    await ledger.grant(ORG, 1000, id="g", actor="test", reason="")
    policy = await policy_of(accounts, None)
    holds = [ledger.hold(generation_id(time.time()), policy, 900, 60, least_nano=20, share=10) for _ in range(60)]
    answers = await asyncio.gather(*holds, return_exceptions=True)
    held = [answer.amount_nano for answer in answers if not isinstance(answer, Exception)]
    assert all(isinstance(answer, PaymentRequired) for answer in answers if isinstance(answer, Exception))
    assert held[0] == 100
    assert min(held) == 20
    assert 980 < sum(held) <= 1000
    assert (await ledger.balances(ORG)).held_nano == sum(held)
