"""The accounts: authenticate callers; create, list, change and delete keys; create organisations.

Order of writes: first the index entry, then the entry itself. A process that dies in between leaves an index entry
that points at nothing, which every reader skips; never a key that works without being listed.
"""

from __future__ import annotations

import secrets
import string
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import msgspec

from gateway.accounts import secret
from gateway.accounts.views import (
    DEFAULT_ORG,
    UNSET,
    KeyChange,
    KeyView,
    Organization,
    OrganizationAnalytics,
    key_view,
)
from gateway.errors import BadRequest, NotFound, Unauthorized
from gateway.money import MAX_NANO
from gateway.store import keys
from gateway.store.client import Calls, Store, store_errors
from gateway.store.policy import ACTIVE, DELETED, DISABLED, POLICY_FIELDS, RESET_CODES, KeyPolicy, parse_policy
from gateway.store.redis_functions import Library, ledger_unavailable

NO_SUCH_KEY = "No such API key, or it is disabled or expired."
"""One text for all three cases, so that an attacker cannot tell them apart."""
CACHE_MAX = 50_000
PAGE = 200


class Accounts:
    """One per process. Every method that calls Redis raises LedgerUnavailable when Redis does not answer."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time, calls: Calls | None = None) -> None:
        self._store = store
        self._calls: Calls = calls or store.mux
        self._clock = clock
        self._library = Library(Path(__file__).with_name("functions.lua"), "tokenway_accounts_v1")
        self._cache: OrderedDict[str, KeyPolicy] = OrderedDict()
        self._digests: dict[str, str] = {}
        """Key → its hash, for valid keys: parsing and hashing a key costs more than the rest of its authentication."""
        self.analytics: Mapping[str, OrganizationAnalytics] = {}
        """Organisation → what it lets analytics see, where that is not the default; as of the last ``learn_analytics``."""

    async def prepare(self) -> None:
        """Load the functions and create the default organisation."""
        await self._library.load(self._calls)
        await self.ensure_default()
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
        tag = keys.code_tag(code)
        policy = parse_policy(key_hash, await self._call("HMGET", keys.api_key(tag, key_hash), *POLICY_FIELDS))
        if policy is not None and keys.tag(policy.org) != tag:
            policy = None
        self.learn(policy, key_hash)
        if policy is None or not self._usable(policy):
            raise Unauthorized(NO_SUCH_KEY)
        if len(self._digests) >= CACHE_MAX:
            self._digests.clear()
        self._digests[key] = key_hash
        return policy

    def learn(self, policy: KeyPolicy | None, key_hash: str) -> None:
        """Update the cache with what a hold replied about a key: its newer policy, or None when it is gone."""
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
    ) -> tuple[str, KeyView]:
        """Create a key → (its secret, which is shown only once; its view). Raises NotFound (organisation), BadRequest."""
        await self.get_org(org)
        key = secret.mint(org)
        key_hash, tag, created_ms = secret.digest(key), keys.tag(org), int(self._clock() * 1000)
        sets, _ = _stored(
            {
                **{"name": name, "disabled": False, "limit_nano": limit_nano, "reset": reset},
                **{"expires_at": expires_at, "category": category},
            }
        )
        await self._call("HSET", keys.KEY_OWNERS, key_hash, org)
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
        found = (await self._views([(org, key_hash)]))[0]
        if found is None:
            raise NotFound("No such API key.")
        return found

    async def key_usage(self, policy: KeyPolicy) -> KeyView:
        """The view of an authenticated caller's own key. Raises Unauthorized when it is gone."""
        found = (await self._views([(policy.org, policy.key_hash)]))[0]
        if found is None:
            raise Unauthorized(NO_SUCH_KEY)
        return found

    async def list_keys(
        self, *, org: str | None = None, offset: int = 0, limit: int = 100, disabled: bool = True, expired: bool = True
    ) -> list[KeyView]:
        """Newest first; ``disabled`` and ``expired`` say whether such keys are included."""
        index = keys.KEYS_BY_AGE if org is None else keys.org_keys(org)
        found: list[KeyView] = []
        start, now = 0, self._clock()
        while len(found) < offset + limit:
            members = [m.decode() for m in await self._call("ZRANGE", index, start, start + PAGE - 1, "REV")]
            if not members:
                break
            start += PAGE
            owners = [org] * len(members) if org else await self._owners(members)
            views = await self._views([(o, m) for o, m in zip(owners, members, strict=True) if o is not None])
            for view in views:
                if view is None or (view.disabled and not disabled):
                    continue
                if expired or view.expires_at is None or view.expires_at > now:
                    found.append(view)
        return found[offset : offset + limit]

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

    async def _change(self, key_hash: str, sets: Mapping[str, str], unsets: Sequence[str]) -> None:
        org = await self._owner(key_hash)
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

    async def _owners(self, key_hashes: Sequence[str]) -> list[str | None]:
        found = await self._call("HMGET", keys.KEY_OWNERS, *key_hashes)
        return [None if owner is None else owner.decode() for owner in found]

    async def _views(self, owned: Sequence[tuple[str, str]]) -> list[KeyView | None]:
        calls = [self._call("HGETALL", keys.api_key(keys.tag(org), key_hash)) for org, key_hash in owned]
        now = self._clock()
        views: list[KeyView | None] = []
        for (_, key_hash), call in zip(owned, calls, strict=True):
            flat = [x.decode() for x in await call]
            views.append(key_view(key_hash, dict(zip(flat[::2], flat[1::2], strict=True)), now))
        return views

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
        """The organisation ``default``, created at the first start."""
        return await self._create_org(DEFAULT_ORG, "Default")

    async def _create_org(self, id: str, name: str) -> Organization:
        value = msgspec.json.encode({"name": name, "created_at": int(self._clock())})
        await self._call("SADD", keys.BUCKETS_IN_USE, keys.tag(id))
        await self._call("HSETNX", keys.ORGANIZATIONS, id, value)
        return await self.get_org(id)

    async def get_org(self, id: str) -> Organization:
        """Raises NotFound."""
        value = await self._call("HGET", keys.ORGANIZATIONS, id)
        if value is None:
            raise NotFound("No such organization.")
        return _organization(id, value, await self._call("HGET", keys.ORGANIZATION_ANALYTICS, id))

    async def list_orgs(self) -> list[Organization]:
        """Oldest first."""
        with ledger_unavailable(), store_errors():  # not on the hot connection: there may be many
            stored: dict[bytes, bytes] = cast("Any", await self._store.redis.hgetall(keys.ORGANIZATIONS))
            analytics: dict[bytes, bytes] = cast("Any", await self._store.redis.hgetall(keys.ORGANIZATION_ANALYTICS))
        found = [_organization(id.decode(), value, analytics.get(id)) for id, value in stored.items()]
        return sorted(found, key=lambda org: (org.created_at, org.id))

    async def set_analytics(self, id: str, analytics: OrganizationAnalytics) -> Organization:
        """Replace what an organisation lets analytics see: in this process at once, in others when they next look. Raises NotFound.

        One write, which may be repeated.
        """
        await self.get_org(id)
        if analytics == OrganizationAnalytics():
            await self._call("HDEL", keys.ORGANIZATION_ANALYTICS, id)
        else:
            await self._call("HSET", keys.ORGANIZATION_ANALYTICS, id, msgspec.json.encode(analytics))
        await self.learn_analytics()
        return await self.get_org(id)

    async def learn_analytics(self) -> None:
        """Read what organisations let analytics see. Only those that changed the default have an entry."""
        flat = await self._call("HGETALL", keys.ORGANIZATION_ANALYTICS)
        self.analytics = {id.decode(): _analytics(value) for id, value in zip(flat[::2], flat[1::2], strict=True)}

    async def _call(self, *args: str | bytes | int) -> Any:
        with ledger_unavailable():
            return await self._calls.call(*args)


def _organization(id: str, value: bytes, analytics: bytes | None) -> Organization:
    stored = msgspec.json.decode(value)
    return Organization(id, stored["name"], stored["created_at"], _analytics(analytics))


def _analytics(value: bytes | None) -> OrganizationAnalytics:
    return OrganizationAnalytics() if value is None else msgspec.json.decode(value, type=OrganizationAnalytics)


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
    return sets, unsets
