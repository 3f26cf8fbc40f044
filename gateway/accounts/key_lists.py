"""Lists of API keys: pages by cursor and by offset, each about as dear wherever it is and however many keys there are.

An index has every key by its age; a list leaves out keys that are deleted, disabled or expired, as it is asked to. Two further
sets, of all keys and of an organisation's, have the *doubtful* ones: at least all that a list may leave out. A key enters them
before it changes, so a key in neither is always listed, and the place of an offset follows from the doubtful keys before it alone.
It must not know: how a key is made or changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from gateway.accounts.views import KeyChoice, KeyView, key_view
from gateway.errors import BadRequest
from gateway.store import keys
from gateway.store.client import Calls
from gateway.store.policy import ACTIVE, DELETED
from gateway.store.redis_functions import ledger_unavailable

PAGE = 200
LOOKED_AT = 5 * PAGE
"""Keys that one page looks at at most."""
STEP_PAUSE_S = 0.002
NO_CURSOR = "cursor: not a cursor of this API; pass the one that the previous page gave."
CURSOR = re.compile(r"(\d{1,16})-([0-9a-f]{64})", re.ASCII)
"""Of a page of keys: creation time in ms and hash of its last key."""
Owned = Sequence[tuple[str, str]]
"""Organisation and hash of keys."""


class KeyLists:
    """Reads the indexes. Every method raises LedgerUnavailable when Redis does not answer."""

    def __init__(self, calls: Calls, clock: Callable[[], float]) -> None:
        self._calls, self._clock = calls, clock
        self._complete = False

    async def by_offset(self, which: KeyChoice, offset: int, limit: int) -> list[KeyView]:
        """So many keys behind ``offset`` others of the choice, newest first; fewer only at the end."""
        found: list[KeyView] = []
        rank: int | None = await self._rank(which, offset)
        while rank is not None and len(found) < limit:
            views, rank, _ = await self._page_from(which, rank, limit - len(found))
            found += views
        return found

    async def page(
        self, which: KeyChoice, *, after: str | None = None, limit: int = 100
    ) -> tuple[list[KeyView], str | None]:
        """Keys, newest first, and the cursor of the next page, None at the end. A page may be short, as it looks at a thousand.

        Raises BadRequest for a cursor of another form.
        """
        start = 0 if after is None else await self._place_behind(_index(which), after)
        views, rank, cursor = await self._page_from(which, start, limit)
        return views, None if rank is None else cursor

    async def _page_from(self, which: KeyChoice, start: int, limit: int) -> tuple[list[KeyView], int | None, str]:
        """A page that begins at this rank of the index, the rank behind it, None at the end, and the cursor of that place."""
        found: list[KeyView] = []
        flat: list[bytes] = []
        last = ""
        step = min(PAGE, max(limit + 1, PAGE // 4))  # most often all of them are wanted
        for first in range(start, start + LOOKED_AT, step):
            flat = await self._call("ZRANGE", _index(which), first, first + step - 1, "REV", "WITHSCORES")
            members = [member.decode() for member in flat[::2]]
            if not members:
                return found, None, ""
            chosen = await self._chosen(await self._owned(which, members), which)
            last = members[-1]
            if len(found) + len(chosen) >= limit:
                more = len(found) + len(chosen) > limit or len(members) == step
                chosen = chosen[: limit - len(found)]
                last = chosen[-1][1]
                found += [view for view in await self.views(chosen) if view is not None]
                at = members.index(last)
                more = more or last != members[-1]
                return found, first + at + 1 if more else None, _key_cursor(flat, at)
            found += [view for view in await self.views(chosen) if view is not None]
            if len(members) < step:
                return found, None, ""
        return found, first + step, _key_cursor(flat, len(flat) // 2 - 1)

    async def _place_behind(self, index: str, cursor: str) -> int:
        match = CURSOR.fullmatch(cursor)
        if match is None:
            raise BadRequest(NO_CURSOR, field="cursor")
        rank = await self._call("ZREVRANK", index, match[2])
        if rank is not None:
            return int(rank) + 1
        return int(await self._call("ZCOUNT", index, f"({match[1]}", "+inf"))  # deleted since: begin at its age

    async def _rank(self, which: KeyChoice, offset: int) -> int:
        """The rank in the index that has ``offset`` keys of the choice before it.

        It looks at the doubtful keys before it, or at all keys as long as nobody has looked at those of an earlier version. An
        entry whose creation died counts as listed, so behind it a page may begin one key early.
        """
        index, rank = _index(which), offset
        doubtful = _doubtful(which.org) if await self._is_complete() else index
        if offset == 0:
            return 0
        for first in count(0, PAGE):
            members = [x.decode() for x in await self._call("ZRANGE", doubtful, first, first + PAGE - 1, "REV")]
            if not members:
                return rank
            ranks: Sequence[int | None] = range(first, first + len(members))
            if doubtful != index:
                ranks = await asyncio.gather(*(self._call("ZREVRANK", index, member) for member in members))
            shown = {member for _, member in await self._chosen(await self._owned(which, members), which)}
            for member, at in zip(members, ranks, strict=True):
                if at is None:  # deleted meanwhile, or its creation died before it was indexed
                    continue
                if at >= rank:
                    return rank
                rank += member not in shown
        raise AssertionError("the loop has no end of its own")

    async def _chosen(self, owned: Owned, which: KeyChoice) -> list[tuple[str, str]]:
        """Those of the keys that exist and are wanted."""
        now_ms, found = self._clock() * 1000, []
        for each, (state, expires) in zip(owned, await self._states(owned), strict=True):
            if state is None or state.decode() == DELETED or (state.decode() != ACTIVE and not which.disabled):
                continue
            if which.expired or expires is None or int(expires) > now_ms:
                found.append(each)
        return found

    async def _states(self, owned: Owned) -> list[tuple[bytes | None, bytes | None]]:
        """State and expiry of each key."""
        calls = [self._call("HMGET", keys.api_key(keys.tag(org), key_hash), "st", "exp") for org, key_hash in owned]
        return [(state, expires) for state, expires in await asyncio.gather(*calls)]

    async def _owned(self, which: KeyChoice, members: Sequence[str]) -> list[tuple[str, str]]:
        if which.org is not None:
            return [(which.org, member) for member in members]
        owners = await self._call("HMGET", keys.KEY_OWNERS, *members)
        return [(owner.decode(), member) for owner, member in zip(owners, members, strict=True) if owner is not None]

    async def views(self, owned: Owned) -> list[KeyView | None]:
        """The view of each key, None where there is none."""
        calls = [self._call("HGETALL", keys.api_key(keys.tag(org), key_hash)) for org, key_hash in owned]
        now = self._clock()
        views: list[KeyView | None] = []
        for (_, key_hash), flat in zip(owned, await asyncio.gather(*calls), strict=True):
            texts = [x.decode() for x in flat]
            views.append(key_view(key_hash, dict(zip(texts[::2], texts[1::2], strict=True)), now))
        return views

    async def hashes(self, beginning: str) -> list[str]:
        """Hashes of all keys that begin like this."""
        if re.fullmatch(r"[0-9a-f]+", beginning) is None:
            return []
        found: list[str] = []
        cursor = b"0"
        while True:
            cursor, flat = await self._call(
                "ZSCAN", keys.KEYS_BY_AGE, cursor, "MATCH", f"{beginning}*", "COUNT", 5 * PAGE
            )
            found += [member.decode() for member in flat[::2]]
            if cursor == b"0":
                return sorted(set(found))

    # the doubtful keys

    async def doubt(self, org: str, key_hash: str, created_ms: int | None = None) -> None:
        """A list may leave this key out from now on. ``created_ms``: of a key that is in no index yet."""
        if created_ms is None:
            score = await self._call("ZSCORE", keys.org_keys(org), key_hash)
            if score is None:  # there is no such key
                return
            created_ms = int(float(score))
        await asyncio.gather(
            self._call("ZADD", _doubtful(None), created_ms, key_hash),
            self._call("ZADD", _doubtful(org), created_ms, key_hash),
        )

    async def complete(self) -> None:
        """Look for doubtful keys among those that a version without these sets has made, unless that was done."""
        if await self._is_complete():
            return
        cursor = b"0"
        while True:
            cursor, flat = await self._call("HSCAN", keys.KEY_OWNERS, cursor, "COUNT", PAGE)
            owned = [(org.decode(), key.decode()) for key, org in zip(flat[::2], flat[1::2], strict=True)]
            for (org, key_hash), (state, expires) in zip(owned, await self._states(owned), strict=True):
                if state is None or state.decode() != ACTIVE or expires is not None:
                    await self.doubt(org, key_hash)
                if state is not None and state.decode() == DELETED:
                    await self._call("ZREM", keys.DOUBTFUL_KEYS, key_hash)  # it is not in the index of all keys
            if cursor == b"0":
                break
            await asyncio.sleep(STEP_PAUSE_S)
        await self._call("SET", keys.DOUBTFUL_KEYS_COMPLETE, "1")

    async def _is_complete(self) -> bool:
        self._complete = self._complete or await self._call("GET", keys.DOUBTFUL_KEYS_COMPLETE) is not None
        return self._complete

    async def _call(self, *args: str | bytes | int) -> Any:
        with ledger_unavailable():
            return await self._calls.call(*args)


def _index(which: KeyChoice) -> str:
    return keys.KEYS_BY_AGE if which.org is None else keys.org_keys(which.org)


def _doubtful(org: str | None) -> str:
    return keys.DOUBTFUL_KEYS if org is None else keys.doubtful_org_keys(org)


def _key_cursor(flat: Sequence[bytes], at: int) -> str:
    """``flat``: members and scores in turns."""
    return f"{int(float(flat[2 * at + 1]))}-{flat[2 * at].decode()}"
