"""The accounts: authenticate callers; create, list, change and delete keys; create organisations.

Order of writes: first the index entry, then the entry itself. A process that dies in between leaves an index entry
that points at nothing, which every reader skips; never a key that works without being listed.
"""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import msgspec

from gateway.accounts import secret
from gateway.accounts.key_lists import KeyLists
from gateway.accounts.views import (
    DEFAULT_ORG,
    UNSET,
    KeyChange,
    KeyChoice,
    KeyView,
    Organization,
    OrganizationAnalytics,
)
from gateway.errors import BadRequest, NotFound, Unauthorized
from gateway.money import MAX_NANO
from gateway.settings import RATE_MAX
from gateway.store import keys
from gateway.store.client import Calls, Store
from gateway.store.policy import (
    ACTIVE,
    DELETED,
    DISABLED,
    POLICY_FIELDS,
    RATE_FIELDS,
    RATE_LIMITS,
    RESET_CODES,
    UNLIMITED,
    KeyPolicy,
    RateLimits,
    parse_policy,
    parse_rate,
)
from gateway.store.redis_functions import Library, ledger_unavailable

NO_SUCH_KEY = "No such API key, or it is disabled or expired."
"""One text for all three cases, so that an attacker cannot tell them apart."""
CACHE_MAX = 50_000
RECENT_S = 1.0
"""How old a policy may be where no hold checks its version."""
PAGE = 200
STEP_PAUSE_S = 0.002


class Accounts:
    """One per process. Every method that calls Redis raises LedgerUnavailable when Redis does not answer."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time, calls: Calls | None = None) -> None:
        self._store = store
        self._calls: Calls = calls or store.mux
        self._clock = clock
        self._library = Library(Path(__file__).with_name("functions.lua"), "tokenway_accounts_v1")
        self._cache: OrderedDict[str, KeyPolicy] = OrderedDict()
        self._confirmed: dict[str, float] = {}
        """Key hash → until when ``confirm`` does not ask again, by the monotonic clock."""
        self._asking: dict[str, asyncio.Task[KeyPolicy | None]] = {}
        self._digests: dict[str, str] = {}
        """Key → its hash, for valid keys: parsing and hashing a key costs more than the rest of its authentication."""
        self._lists = KeyLists(self._calls, self._clock)
        self._analytics_stored: dict[bytes, bytes] = {}
        self.analytics: dict[str, OrganizationAnalytics] = {}
        """Organisation → what it lets analytics see, where that is not the default; as of the last ``learn_analytics``."""

    async def prepare(self) -> None:
        """Load the functions and create the default organisation."""
        await self._library.load(self._calls)
        await self.ensure_default()
        await self._index_orgs()  # before anything is listed
        await self.learn_analytics()

    # callers

    def known(self, key: str) -> KeyPolicy | None:
        """The policy of a key from this process's cache; the hold checks its version."""
        digest = self._digests.get(key)
        policy = None if digest is None else self._cache.get(digest)
        if policy is None or not self._usable(policy):
            return None
        self._cache.move_to_end(policy.key_hash)
        return policy

    async def authenticate(self, key: str, *, fresh: bool = False) -> KeyPolicy:
        """The policy of a key: from the cache when it is there and ``fresh`` is false, else from Redis.

        Raises Unauthorized only when Redis confirms that the key does not exist, is disabled or expired.
        """
        policy = None if fresh else self.known(key)
        if policy is not None:
            return policy
        code = secret.code(key)
        if code is None:
            raise Unauthorized(NO_SUCH_KEY)
        key_hash = secret.digest(key)
        policy = await self._read_policy(keys.code_tag(code), key_hash)
        if policy is None or not self._usable(policy):
            raise Unauthorized(NO_SUCH_KEY)
        if len(self._digests) >= CACHE_MAX:
            self._digests.clear()
        self._digests[key] = key_hash
        return policy

    async def confirm(self, policy: KeyPolicy) -> None:
        """For what is answered without a hold: ask whether the key is still good, once a second at most, however many want to know.

        Raises Unauthorized when it is deleted, disabled or expired, LedgerUnavailable.
        """
        key_hash, now = policy.key_hash, time.monotonic()
        if self._confirmed.get(key_hash, 0.0) > now:
            return
        asking = self._asking.get(key_hash)
        if asking is None:
            asking = asyncio.ensure_future(self._read_policy(keys.tag(policy.org), key_hash))
            self._asking[key_hash] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key_hash, None))
        found = await asyncio.shield(asking)  # one of those who ask may be cancelled
        if found is None or not self._usable(found):
            raise Unauthorized(NO_SUCH_KEY)

    async def _read_policy(self, tag: str, key_hash: str) -> KeyPolicy | None:
        """As Redis has it now; the cache learns it."""
        now = time.monotonic()
        policy = parse_policy(key_hash, await self._call("HMGET", keys.api_key(tag, key_hash), *POLICY_FIELDS))
        if policy is not None and keys.tag(policy.org) != tag:
            policy = None
        self.learn(policy, key_hash)
        if policy is not None and self._usable(policy):
            if len(self._confirmed) >= CACHE_MAX:
                self._confirmed.clear()
            self._confirmed[key_hash] = now + RECENT_S
        return policy

    def learn(self, policy: KeyPolicy | None, key_hash: str) -> None:
        """Update the cache with what a hold replied about a key: its newer policy, or None when it is gone."""
        self._confirmed.pop(key_hash, None)
        if policy is None:
            self._cache.pop(key_hash, None)
            return
        self._cache[key_hash] = policy
        self._cache.move_to_end(key_hash)
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)

    def _usable(self, policy: KeyPolicy) -> bool:
        return not policy.disabled and (policy.expires_at is None or policy.expires_at > self._clock())

    # keys

    async def create_key(
        self,
        *,
        name: str,
        org: str = DEFAULT_ORG,
        limit_nano: int | None = None,
        reset: str = "none",
        expires_at: float | None = None,
        category: str | None = None,
        limits: RateLimits = UNLIMITED,
    ) -> tuple[str, KeyView]:
        """Create a key → (its secret, which is shown only once; its view). Raises NotFound (organisation), BadRequest."""
        await self.get_org(org)
        key = secret.mint(org)
        key_hash, tag, created_ms = secret.digest(key), keys.tag(org), int(self._clock() * 1000)
        sets, _ = _stored(
            {
                **{"name": name, "disabled": False, "limit_nano": limit_nano, "reset": reset},
                **{"expires_at": expires_at, "category": category},
                **asdict(limits),
            }
        )
        await self._call("HSET", keys.KEY_OWNERS, key_hash, org)
        if "exp" in sets:
            await self._lists.doubt(org, key_hash, created_ms)
        await self._call("ZADD", keys.KEYS_BY_AGE, created_ms, key_hash)
        await self._library.call(
            self._calls,
            self._library.function("create"),
            (keys.api_key(tag, key_hash), keys.org_keys(org)),
            (key_hash, created_ms, "org", org, "label", secret.mask(key), *[x for pair in sets.items() for x in pair]),
        )
        return key, await self.get_key(key_hash)

    async def get_key(self, key_hash: str) -> KeyView:
        """Raises NotFound."""
        org = await self._owner(key_hash)
        found = (await self._lists.views([(org, key_hash)]))[0]
        if found is None:
            raise NotFound("No such API key.")
        return found

    async def key_usage(self, policy: KeyPolicy) -> KeyView:
        """The view of an authenticated caller's own key. Raises Unauthorized when it is gone."""
        found = (await self._lists.views([(policy.org, policy.key_hash)]))[0]
        if found is None:
            raise Unauthorized(NO_SUCH_KEY)
        return found

    async def list_keys(
        self, *, org: str | None = None, offset: int = 0, limit: int = 100, disabled: bool = True, expired: bool = True
    ) -> list[KeyView]:
        """Newest first; ``disabled`` and ``expired`` say whether such keys are included."""
        return await self._lists.by_offset(KeyChoice(org, disabled, expired), offset, limit)

    async def page_of_keys(
        self, which: KeyChoice, *, after: str | None = None, limit: int = 100
    ) -> tuple[list[KeyView], str | None]:
        """Keys, newest first, and the cursor of the next page, None at the end. A page may be short, as it looks at a thousand.

        Raises BadRequest for a cursor of another form.
        """
        return await self._lists.page(which, after=after, limit=limit)

    async def hashes(self, beginning: str) -> list[str]:
        """Hashes of all keys that begin like this."""
        return await self._lists.hashes(beginning)

    async def update_key(self, key_hash: str, change: KeyChange) -> KeyView:
        """Change the given fields. Running holds go on; the next hold uses the new policy. Raises NotFound, BadRequest."""
        given = {field.name: getattr(change, field.name) for field in fields(change)}
        sets, unsets = _stored({name: value for name, value in given.items() if value is not UNSET})
        await self._change(key_hash, sets, unsets)
        return await self.get_key(key_hash)

    async def delete_key(self, key_hash: str) -> None:
        """The key stops working at once; its journal stays. Raises NotFound."""
        await self._change(key_hash, {"st": DELETED}, ())
        await self._call("ZREM", keys.KEYS_BY_AGE, key_hash)
        await self._call("ZREM", keys.DOUBTFUL_KEYS, key_hash)

    async def _change(self, key_hash: str, sets: Mapping[str, str], unsets: Sequence[str]) -> None:
        org = await self._owner(key_hash)
        if "exp" in sets or sets.get("st", ACTIVE) != ACTIVE:
            await self._lists.doubt(org, key_hash)
        operations = [x for field, value in sets.items() for x in ("=", field, value)]
        operations += [x for field in unsets for x in ("-", field, "")]
        reply = await self._library.call(
            self._calls,
            self._library.function("change"),
            (keys.api_key(keys.tag(org), key_hash),),
            (int(self._clock() * 1000), *operations),
        )
        self.learn(None, key_hash)
        if reply[0] == b"NOKEY":
            raise NotFound("No such API key.")

    async def _owner(self, key_hash: str) -> str:
        if not secret.HASH_FORM.fullmatch(key_hash):
            raise NotFound("No such API key.")
        owner = await self._call("HGET", keys.KEY_OWNERS, key_hash)
        if owner is None:
            raise NotFound("No such API key.")
        return str(owner.decode())

    # organisations

    @property
    def with_categories(self) -> int:
        """How many organisations let their requests have categories, as of the last ``learn_analytics``."""
        return sum(each.categories != "off" for each in self.analytics.values())

    async def create_org(self, name: str) -> Organization:
        """Create an organisation with a new id and no credit."""
        id = "org-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(16))
        return await self._create_org(id, name)

    async def ensure_default(self) -> Organization:
        """The organisation ``default``, created at the first start. Later starts only read: a full store refuses writes."""
        try:
            return await self.get_org(DEFAULT_ORG)
        except NotFound:
            return await self._create_org(DEFAULT_ORG, "Default")

    async def _create_org(self, id: str, name: str) -> Organization:
        created = int(self._clock())
        value = msgspec.json.encode({"name": name, "created_at": created})
        await self._call("SADD", keys.BUCKETS_IN_USE, keys.tag(id))
        if await self._call("HSETNX", keys.ORGANIZATIONS, id, value):
            await self._call("ZADD", keys.ORGANIZATIONS_BY_AGE, "NX", created, id)
        return await self.get_org(id)

    async def get_org(self, id: str) -> Organization:
        """Raises NotFound."""
        value = await self._call("HGET", keys.ORGANIZATIONS, id)
        if value is None:
            raise NotFound("No such organization.")
        analytics, rate = await asyncio.gather(
            self._call("HGET", keys.ORGANIZATION_ANALYTICS, id), self._call("HGET", keys.organization(id), "rate")
        )
        return _organization(id, value, analytics, rate)

    async def list_orgs(self, *, after: str | None = None, limit: int = 100) -> tuple[list[Organization], str | None]:
        """A page, oldest first, and the cursor of the next one, None at the end. Raises BadRequest for another cursor."""
        start = 0
        if after is not None:
            rank = await self._call("ZRANK", keys.ORGANIZATIONS_BY_AGE, after)
            if rank is None:
                raise BadRequest(
                    "cursor: not a cursor of this API; pass the one that the previous page gave.", field="cursor"
                )
            start = rank + 1
        ids = [id.decode() for id in await self._call("ZRANGE", keys.ORGANIZATIONS_BY_AGE, start, start + limit)]
        return await self._orgs(ids[:limit]), ids[limit - 1] if len(ids) > limit else None

    async def _orgs(self, ids: Sequence[str]) -> list[Organization]:
        if not ids:
            return []
        values, analytics, *rates = await asyncio.gather(
            self._call("HMGET", keys.ORGANIZATIONS, *ids),
            self._call("HMGET", keys.ORGANIZATION_ANALYTICS, *ids),
            *(self._call("HGET", keys.organization(id), "rate") for id in ids),
        )
        return [_organization(*each) for each in zip(ids, values, analytics, rates, strict=True) if each[1] is not None]

    async def complete_indexes(self) -> None:
        """Add to the indexes of lists what a version before them, or a process that died, has left out. In small steps; any process
        may do it, also several at once. Raises LedgerUnavailable.
        """
        await self._index_orgs()
        await self._lists.complete()

    async def _index_orgs(self) -> None:
        known, indexed = await asyncio.gather(
            self._call("HLEN", keys.ORGANIZATIONS), self._call("ZCARD", keys.ORGANIZATIONS_BY_AGE)
        )
        cursor = b"0"
        while indexed < known:
            cursor, flat = await self._call("HSCAN", keys.ORGANIZATIONS, cursor, "COUNT", PAGE)
            ages = [
                x
                for id, value in zip(flat[::2], flat[1::2], strict=True)
                for x in (msgspec.json.decode(value)["created_at"], id)
            ]
            if ages:
                await self._call("ZADD", keys.ORGANIZATIONS_BY_AGE, "NX", *ages)
            if cursor == b"0":
                break
            await asyncio.sleep(STEP_PAUSE_S)

    async def set_analytics(self, id: str, analytics: OrganizationAnalytics) -> Organization:
        """Replace what an organisation lets analytics see: in this process at once, in others when they next look. Raises NotFound.

        One write, which may be repeated.
        """
        await self.get_org(id)
        if analytics == OrganizationAnalytics():
            await self._call("HDEL", keys.ORGANIZATION_ANALYTICS, id)
            self.analytics.pop(id, None)
            self._analytics_stored.pop(id.encode(), None)
        else:
            value = msgspec.json.encode(analytics)
            await self._call("HSET", keys.ORGANIZATION_ANALYTICS, id, value)
            self.analytics[id], self._analytics_stored[id.encode()] = analytics, value
        return await self.get_org(id)

    async def set_limits(self, id: str, change: Mapping[str, int | None]) -> Organization:
        """Change some of an organisation's `RateLimits`; None takes one away. The next hold of any of its keys obeys.

        Raises NotFound, BadRequest.

        One write, which may be repeated.
        """
        await self.get_org(id)
        for name, value in change.items():
            _check_rate(name, value)
        args = tuple((change[name] or 0) if name in change else "" for name in RATE_LIMITS)
        await self._library.call(self._calls, self._library.function("rate"), (keys.organization(id),), args)
        return await self.get_org(id)

    async def learn_analytics(self) -> None:
        """Read what organisations let analytics see. Only those that changed the default have an entry."""
        stored: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:  # in steps: there may be a hundred thousand, and requests wait behind each answer
            cursor, flat = await self._call("HSCAN", keys.ORGANIZATION_ANALYTICS, cursor, "COUNT", PAGE)
            stored.update(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0":
                break
            await asyncio.sleep(STEP_PAUSE_S)
        known, before = self.analytics, self._analytics_stored
        learnt: dict[str, OrganizationAnalytics] = {}
        for number, (id, value) in enumerate(stored.items()):
            name = id.decode()
            learnt[name] = known[name] if before.get(id) == value else _analytics(value)
            if number % PAGE == PAGE - 1:
                await asyncio.sleep(0)
        self.analytics, self._analytics_stored = learnt, stored

    async def _call(self, *args: str | bytes | int) -> Any:
        with ledger_unavailable():
            return await self._calls.call(*args)


def _organization(id: str, value: bytes, analytics: bytes | None, rate: bytes | None) -> Organization:
    stored = msgspec.json.decode(value)
    return Organization(id, stored["name"], stored["created_at"], _analytics(analytics), parse_rate(rate))


def _analytics(value: bytes | None) -> OrganizationAnalytics:
    return OrganizationAnalytics() if value is None else msgspec.json.decode(value, type=OrganizationAnalytics)


_RATES = dict(zip(RATE_LIMITS, RATE_FIELDS, strict=True))


def _check_rate(name: str, value: int | None) -> None:
    if value is not None and not 1 <= value <= RATE_MAX:
        raise BadRequest(f"{name} must be from 1 to {RATE_MAX}, or null for no limit.", field=name)


def _stored(given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Policy fields as they are stored: (to set, to unset). Raises BadRequest."""
    sets: dict[str, str] = {}
    unsets: list[str] = []
    for name, value in given.items():
        match name:
            case "name":
                sets["name"] = value
            case "disabled":
                sets["st"] = DISABLED if value else ACTIVE
            case "reset":
                if value not in RESET_CODES:
                    raise BadRequest(f"limit_reset is one of {', '.join(RESET_CODES)}.", field="limit_reset")
                sets["per"] = RESET_CODES[value]
            case "limit_nano" if value is None:
                unsets.append("lim")
            case "limit_nano":
                if not 0 <= value <= MAX_NANO:
                    raise BadRequest("The limit must lie between 0 and the cap of an account.", field="limit")
                sets["lim"] = str(value)
            case "expires_at" if value is None:
                unsets.append("exp")
            case "expires_at":
                sets["exp"] = str(int(value * 1000))
            case "category" if value is None:
                unsets.append("cat")
            case "category":
                sets["cat"] = value
            case _ if value is None:
                unsets.append(_RATES[name])
            case _:
                _check_rate(name, value)
                sets[_RATES[name]] = str(value)
    return sets, unsets
