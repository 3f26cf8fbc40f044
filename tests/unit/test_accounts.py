"""Organisations, keys and authentication, against a real store."""

from __future__ import annotations

import re
import time

import pytest

from gateway.accounts import DEFAULT_ORG, Accounts, KeyChange, KeyChoice, key_lists
from gateway.accounts.secret import code, digest, mask, mint
from gateway.errors import BadRequest, LedgerUnavailable, NotFound, Unauthorized
from gateway.store import keys
from gateway.store.errors import StoreReply, StoreTimeout, StoreUnavailable


class Failing:
    """A connection on which everything fails in one way."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    async def call(self, *args):
        self.calls += 1
        raise self.error


async def test_a_key_is_shown_once_and_stored_as_its_digest(store, accounts):
    """The secret has the documented form; nothing of it but a mask is in the store."""
    secret, view = await accounts.create_key(name="laptop")
    assert re.fullmatch(r"sk-tw-v1-[0-9a-f]{8}-[0-9A-Za-z]{43}", secret)
    assert view.hash == digest(secret)
    assert (view.name, view.org, view.label, view.version) == ("laptop", DEFAULT_ORG, mask(secret), 1)
    assert (view.limit_nano, view.limit_remaining_nano, view.limit_reset, view.usage_nano) == (None, None, "none", 0)
    assert abs(view.created_at - time.time()) < 60
    assert (view.updated_at, view.last_used_at, view.expires_at) == (None, None, None)
    dump = b"".join([await store.redis.dump(name) + name for name in await store.redis.keys()])
    assert secret.encode() not in dump
    assert secret.rpartition("-")[2].encode() not in dump


async def test_authentication(accounts):
    """A valid key gives its policy; every other text is one and the same refusal."""
    secret, view = await accounts.create_key(name="k", limit_nano=5, reset="daily")
    policy = await accounts.authenticate(secret)
    assert (policy.key_hash, policy.org, policy.version) == (view.hash, DEFAULT_ORG, 1)
    assert (policy.limit_nano, policy.reset, policy.disabled, policy.name) == (5, "daily", False, "k")
    other_org = await accounts.create_org("other")
    disabled, disabled_view = await accounts.create_key(name="disabled")
    await accounts.update_key(disabled_view.hash, KeyChange(disabled=True))
    deleted, deleted_view = await accounts.create_key(name="deleted")
    await accounts.delete_key(deleted_view.hash)
    expired, _ = await accounts.create_key(name="expired", expires_at=time.time() - 1)
    foreign = secret.replace(keys.org_code(DEFAULT_ORG), keys.org_code(other_org.id))
    texts = set()
    for text in [
        mint(DEFAULT_ORG),
        disabled,
        deleted,
        expired,
        foreign,
        secret[:-1],
        secret + "x",
        "",
        "sk-or-v1-x",
        "\r\n{}",
    ]:
        with pytest.raises(Unauthorized) as refusal:
            await accounts.authenticate(text)
        texts.add(refusal.value.message)
    assert len(texts) == 1


@pytest.mark.parametrize(
    "text", ["", "x", "sk-tw-v1-", "sk-tw-v1-zzzzzzzz-" + "a" * 43, "sk-tw-v1-00000000-" + "a" * 42 + "\n"]
)
async def test_a_garbled_key_costs_no_round_trip(text, store):
    """The form is checked first: junk never reaches the store, not even as part of a key name."""
    line = Failing(StoreUnavailable("must not be asked"))
    with pytest.raises(Unauthorized):
        await Accounts(store, calls=line).authenticate(text)
    assert (line.calls, code(text)) == (0, None)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("gone"),
        StoreTimeout("late"),
        StoreReply("LOADING Redis is loading the dataset in memory"),
        StoreReply("MISCONF errors writing to the AOF file"),
        StoreReply("READONLY You can't write against a read only replica."),
        StoreReply("OOM command not allowed"),
        StoreReply("MASTERDOWN Link with MASTER is down"),
        StoreReply("NOAUTH Authentication required."),
    ],
)
async def test_trouble_is_never_a_wrong_key(error, store):
    """Whatever is wrong with the store, a caller reads 503 with Retry-After, never 401."""
    accounts = Accounts(store, calls=Failing(error))
    with pytest.raises(LedgerUnavailable) as refusal:
        await accounts.authenticate(mint(DEFAULT_ORG))
    assert refusal.value.status == 503
    assert refusal.value.headers()[0][0] == "retry-after"


async def test_the_cache_saves_the_round_trip_and_learns(store, accounts):
    """A known key is not read again until a hold says that its policy changed; a change here is seen here at once."""
    secret, view = await accounts.create_key(name="k")
    policy = await accounts.authenticate(secret)
    await store.redis.hset(keys.api_key(keys.tag(DEFAULT_ORG), view.hash), "name", "changed elsewhere")
    assert await accounts.authenticate(secret) is policy
    assert (await accounts.authenticate(secret, fresh=True)).name == "changed elsewhere"
    accounts.learn(None, view.hash)
    assert (await accounts.authenticate(secret)).name == "changed elsewhere"
    await accounts.update_key(view.hash, KeyChange(name="renamed"))
    assert (await accounts.authenticate(secret)).name == "renamed"
    await accounts.update_key(view.hash, KeyChange(disabled=True))
    with pytest.raises(Unauthorized):
        await accounts.authenticate(secret)


async def test_a_key_that_was_enabled_elsewhere_works_here(store, accounts):
    """This process remembers the key as disabled or expired: it asks again instead of refusing for ever."""
    secret, view = await accounts.create_key(name="k")
    await accounts.update_key(view.hash, KeyChange(disabled=True))
    with pytest.raises(Unauthorized):
        await accounts.authenticate(secret)
    other = Accounts(store)
    await other.update_key(view.hash, KeyChange(disabled=False))
    assert not (await accounts.authenticate(secret)).disabled


async def test_changes_of_a_key(accounts):
    """Each field alone; None removes; every change is a new version; junk is refused with its field."""
    _, view = await accounts.create_key(name="k", limit_nano=100, reset="monthly", expires_at=4e9)
    assert (view.limit_remaining_nano, view.expires_at) == (100, 4e9)
    changed = await accounts.update_key(view.hash, KeyChange(limit_nano=None))
    assert (changed.limit_nano, changed.limit_remaining_nano, changed.limit_reset) == (None, None, "monthly")
    changed = await accounts.update_key(view.hash, KeyChange(expires_at=None, name="new", reset="none"))
    assert (changed.expires_at, changed.name, changed.limit_reset, changed.version) == (None, "new", "none", 3)
    assert changed.updated_at is not None
    with pytest.raises(BadRequest):
        await accounts.update_key(view.hash, KeyChange(reset="hourly"))
    with pytest.raises(BadRequest):
        await accounts.create_key(name="k", limit_nano=2**53)
    with pytest.raises(BadRequest):
        await accounts.create_key(name="k", limit_nano=-1)
    assert (await accounts.get_key(view.hash)).version == 3


async def test_lists(accounts):
    """Newest first, pages by offset, filters, one organisation or all; a deleted key is not listed and cannot be read."""
    other = await accounts.create_org("other")
    made = []
    for number in range(7):
        _, view = await accounts.create_key(name=f"k{number}", org=other.id if number % 2 else DEFAULT_ORG)
        made.append(view)
    assert {view.hash for view in await accounts.list_keys()} == {view.hash for view in made}
    page = await accounts.list_keys(offset=2, limit=3)
    assert [view.hash for view in page] == [view.hash for view in await accounts.list_keys()][2:5]
    assert {view.org for view in await accounts.list_keys(org=other.id)} == {other.id}
    await accounts.update_key(made[0].hash, KeyChange(disabled=True))
    await accounts.update_key(made[1].hash, KeyChange(expires_at=time.time() - 1))
    await accounts.delete_key(made[2].hash)
    assert len(await accounts.list_keys()) == 6
    assert len(await accounts.list_keys(disabled=False)) == 5
    assert len(await accounts.list_keys(disabled=False, expired=False)) == 4
    assert len(await accounts.list_keys(org=DEFAULT_ORG)) == 3
    for key_hash in (made[2].hash, "0" * 64, "x", "", "{l1}:o:default"):
        with pytest.raises(NotFound):
            await accounts.get_key(key_hash)
        with pytest.raises(NotFound):
            await accounts.update_key(key_hash, KeyChange(name="x"))
        with pytest.raises(NotFound):
            await accounts.delete_key(key_hash)


async def test_a_creation_that_dies_half_way_leaves_no_usable_key(store, accounts):
    """After each of its writes the process dies: what is left is skipped by every reader and opens nothing."""

    class Dying:
        def __init__(self, line, writes):
            self.line, self.writes, self.secret = line, writes, None

        async def call(self, *args):
            if args[0] in ("HSET", "ZADD", "FCALL"):
                if self.writes == 0:
                    raise StoreUnavailable("the process died here")
                self.writes -= 1
            return await self.line.call(*args)

    for writes in range(3):
        with pytest.raises(LedgerUnavailable):
            await Accounts(store, calls=Dying(store.mux, writes)).create_key(name="half")
        assert await accounts.list_keys() == []
        for member in await store.redis.hkeys(keys.KEY_OWNERS):
            with pytest.raises(NotFound):
                await accounts.get_key(member.decode())
    secret, _ = await accounts.create_key(name="whole")
    assert len(await accounts.list_keys()) == 1
    await accounts.authenticate(secret)


async def test_organizations(accounts):
    """The default one exists from the start and is founded once; others have their own ids; unknown ones are not found."""
    first = await accounts.ensure_default()
    assert await accounts.ensure_default() == first
    made = await accounts.create_org("Example GmbH")
    assert re.fullmatch(r"org-[a-z0-9]{16}", made.id)
    assert await accounts.get_org(made.id) == made
    found, cursor = await accounts.list_orgs()
    assert ({org.id for org in found}, cursor) == ({DEFAULT_ORG, made.id}, None)
    assert {org.name for org in (await accounts.list_orgs())[0]} == {"Default", "Example GmbH"}
    with pytest.raises(NotFound):
        await accounts.get_org("nobody")
    with pytest.raises(NotFound):
        await accounts.create_key(name="k", org="nobody")


async def test_a_callers_own_key(accounts):
    """GET /key reads fresh, and a key that was just deleted is refused."""
    secret, view = await accounts.create_key(name="k")
    policy = await accounts.authenticate(secret)
    assert (await accounts.key_usage(policy)).hash == view.hash
    await accounts.delete_key(view.hash)
    with pytest.raises(Unauthorized):
        await accounts.key_usage(policy)


async def pages(accounts, which, **more):
    """All keys by cursor; each hash once, or the list shows it."""
    found, cursor = [], None
    while True:
        page, cursor = await accounts.page_of_keys(which, after=cursor, **more)
        found += [view.hash for view in page]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_keys_show_each_key_once(accounts, monkeypatch, limit):
    """By cursor and by offset, from the same process and from one that has listed nothing; also when a page may look at few keys,
    and when the last key of a page was deleted meanwhile."""
    monkeypatch.setattr(key_lists, "PAGE", 2)
    monkeypatch.setattr(key_lists, "LOOKED_AT", 4)
    other = await accounts.create_org("other")
    made = []
    for number in range(9):
        accounts._clock = lambda number=number: 1_800_000_000 + number // 2  # two in each second
        _, view = await accounts.create_key(name="k", org=other.id if number % 3 else DEFAULT_ORG)
        made.append(view)
        if number in (3, 4, 5, 7):
            await accounts.update_key(view.hash, KeyChange(disabled=True))
    for which in (KeyChoice(), KeyChoice(disabled=False), KeyChoice(other.id), KeyChoice(other.id, disabled=False)):
        rest = {"org": which.org, "disabled": which.disabled}
        wanted = [view.hash for view in await accounts.list_keys(**rest)]
        assert len(wanted) == len(set(wanted)) > 2
        assert await pages(accounts, which, limit=limit) == wanted
        fresh = Accounts(accounts._store, clock=accounts._clock)
        for lister in (accounts, fresh):
            by_offset = [await lister.list_keys(**rest, offset=offset, limit=limit) for offset in range(0, 10, limit)]
            assert [view.hash for page in by_offset for view in page] == wanted
        assert [view.hash for view in await fresh.list_keys(**rest, offset=2, limit=1)] == wanted[2:3]
    page, cursor = await accounts.page_of_keys(KeyChoice(), limit=3)
    await accounts.delete_key(page[-1].hash)
    behind, _ = await accounts.page_of_keys(KeyChoice(), after=cursor, limit=1)
    assert behind[0].hash not in {view.hash for view in page[:-2]}
    for wrong in ("x", "1-2", f"{cursor}0"):
        with pytest.raises(BadRequest):
            await accounts.page_of_keys(KeyChoice(), after=wrong)
    assert await accounts.hashes(made[0].hash[:8]) == [made[0].hash]


async def test_pages_of_organizations(accounts, store):
    """Oldest first, each once; those that a version without the index has made, too; another cursor is refused."""
    made = []
    for number in range(5):
        accounts._clock = lambda number=number: 4_000_000_000 + number // 2
        made.append((await accounts.create_org(f"o{number}")).id)
    await store.redis.delete(keys.ORGANIZATIONS_BY_AGE)
    await accounts.complete_indexes()
    found, cursor = [], None
    for _ in range(3):
        page, cursor = await accounts.list_orgs(after=cursor, limit=2)
        found += [org.id for org in page]
    assert cursor is None
    assert found == [DEFAULT_ORG, *sorted(made[:2]), *sorted(made[2:4]), made[4]]
    with pytest.raises(BadRequest):
        await accounts.list_orgs(after="org-nobody")


class Counting:
    """A line to the store that counts calls."""

    def __init__(self, line):
        self.line, self.calls = line, 0

    async def call(self, *args):
        self.calls += 1
        return await self.line.call(*args)


async def test_an_offset_is_found_by_the_doubtful_keys_alone(accounts, store, monkeypatch):
    """However many keys are skipped; and those that an earlier version has made, disabled or given an expiry are looked at once."""
    monkeypatch.setattr(key_lists, "PAGE", 10)
    made = [(await accounts.create_key(name=f"k{number}"))[1] for number in range(60)]
    await accounts.update_key(made[40].hash, KeyChange(disabled=True))
    await accounts.update_key(made[41].hash, KeyChange(expires_at=time.time() - 1))
    await accounts.update_key(made[42].hash, KeyChange(expires_at=4e9))
    await accounts.update_key(made[43].hash, KeyChange(disabled=True))
    await accounts.update_key(made[43].hash, KeyChange(disabled=False))
    await accounts.delete_key(made[44].hash)
    await store.redis.delete(keys.DOUBTFUL_KEYS, keys.doubtful_org_keys(DEFAULT_ORG))
    for completed in (False, True):
        for org in (None, DEFAULT_ORG):
            whole = [view.hash for view in await accounts.list_keys(org=org, disabled=False, expired=False)]
            assert len(whole) == 57
            for offset in range(0, 60, 7):
                lister = Counting(store.mux)
                page = await Accounts(store, calls=lister).list_keys(
                    org=org, offset=offset, limit=1, disabled=False, expired=False
                )
                assert [view.hash for view in page] == whole[offset : offset + 1]
                assert not completed or lister.calls < 40
        await accounts.complete_indexes()
    assert await store.redis.zcard(keys.doubtful_org_keys(DEFAULT_ORG)) == 4
    assert await store.redis.zcard(keys.DOUBTFUL_KEYS) == 3
