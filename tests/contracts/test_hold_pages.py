"""Open holds in pages: each once, whatever the page's size, in several buckets, with equal expiries, while holds end."""

from __future__ import annotations

import time

import pytest

from gateway.accounts import Accounts
from gateway.errors import BadRequest
from gateway.ledger import hold_pages
from gateway.ledger.entries import Hold, generation_id
from gateway.ledger.hold_pages import page_of_holds
from gateway.ledger.ledger import Ledger
from gateway.store import keys
from gateway.store.client import Store


async def opened(accounts: Accounts, ledger: Ledger, count: int) -> list[Hold]:
    """Some holds of each of three organisations."""
    holds: list[Hold] = []
    for number in range(3):
        org = (await accounts.create_org(f"o{number}")).id
        await ledger.grant(org, 10**9, id="g", actor="test", reason="test")
        secret, _ = await accounts.create_key(name="k", org=org)
        policy = await accounts.authenticate(secret)
        holds += [await ledger.hold(generation_id(time.time()), policy, 1000, 60) for _ in range(count)]
    return holds


async def all_pages(store: Store, limit: int) -> list[str]:
    """Ids of the holds, page by page to the end."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await page_of_holds(store.mux, after=cursor, limit=limit)
        assert len(page) <= limit
        found += [hold.id for hold in page]
        if cursor is None:
            return found


@pytest.mark.parametrize("at_once", [2, 250])
@pytest.mark.parametrize("limit", [1, 2, 5, 12, 100])
async def test_each_once(
    store: Store, accounts: Accounts, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: int, at_once: int
) -> None:
    """Also those that expire in the same millisecond; and after some have ended, the rest."""
    monkeypatch.setattr(hold_pages, "HOLDS_AT_ONCE", at_once)
    holds = await opened(accounts, ledger, 4)
    for hold in holds[:3]:
        await store.redis.zadd(keys.holds_by_expiry(keys.tag(hold.org)), {hold.id: 4e12})
    found = await all_pages(store, limit)
    assert sorted(found) == sorted(hold.id for hold in holds)
    await ledger.void(holds[0])
    await ledger.void(holds[-1])
    assert sorted(await all_pages(store, limit)) == sorted(hold.id for hold in holds[1:-1])


async def test_a_page_goes_on_behind_a_hold_that_has_ended(store: Store, accounts: Accounts, ledger: Ledger) -> None:
    """The cursor is a place, not a hold."""
    await opened(accounts, ledger, 2)
    first, cursor = await page_of_holds(store.mux, limit=2)
    for hold in first:
        await ledger.void(Hold(hold.id, hold.org, hold.key_hash, hold.amount_nano))
    rest, end = await page_of_holds(store.mux, after=cursor, limit=100)
    assert ({hold.id for hold in rest} & {hold.id for hold in first}, len(rest), end) == (set(), 4, None)


@pytest.mark.parametrize("cursor", ["", "x", "1-2", "1-2-gen-x", "99999-1-gen-1800000000-aaaaaaaaaaaaaaaaaaaa"])
async def test_another_cursor_is_refused(store: Store, cursor: str) -> None:
    """As everywhere, with the name of the field."""
    with pytest.raises(BadRequest, match="cursor"):
        await page_of_holds(store.mux, after=cursor, limit=1)
