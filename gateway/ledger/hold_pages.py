"""Open holds in pages, for people who look: bucket by bucket, in small steps, so that no caller waits behind them."""

from __future__ import annotations

import asyncio
import re
from itertools import islice

from gateway.errors import BadRequest
from gateway.ledger.entries import GENERATION_ID, OpenHold
from gateway.store import keys
from gateway.store.client import Calls
from gateway.store.redis_functions import ledger_unavailable

CURSOR = re.compile(rf"(\d{{1,4}})-(\d{{1,16}})-({GENERATION_ID.pattern})", re.ASCII)
"""Of a page: bucket, expiry in ms and id of its last hold."""
BUCKETS_AT_ONCE, HOLDS_AT_ONCE = 512, 250


async def page_of_holds(calls: Calls, *, after: str | None = None, limit: int) -> tuple[list[OpenHold], str | None]:
    """Holds that have not ended, soonest expiry first within a bucket, and the cursor of the next page, None at the end.

    Raises BadRequest for a cursor of another form, LedgerUnavailable.
    """
    bucket, since, last = 0, 0, ""
    if after is not None:
        match = CURSOR.fullmatch(after)
        if match is None:
            raise BadRequest(
                "cursor: not a cursor of this API; pass the one that the previous page gave.", field="cursor"
            )
        bucket, since, last = int(match[1]), int(match[2]), match[3]
    found: list[OpenHold] = []
    place = ""
    with ledger_unavailable():
        for number in await _buckets(calls, bucket):
            while True:
                scope = (since, last) if number == bucket else (0, "")
                entries = await _entries(calls, number, *scope, min(limit + 1 - len(found), HOLDS_AT_ONCE))
                if not entries:
                    break
                room = limit - len(found)
                found += await _read(calls, keys.bucket_tag(number), entries[:room])
                if entries[:room]:
                    place = f"{number}-{entries[:room][-1][1]}-{entries[:room][-1][0]}"
                if len(entries) > room:
                    return found, place
                bucket, (last, since) = number, entries[-1]
    return found, None


async def _buckets(calls: Calls, first: int) -> list[int]:
    """Numbers of the buckets from ``first`` on that have open holds."""
    in_use = sorted(int(tag.decode()[2:-1]) for tag in await calls.call("SMEMBERS", keys.BUCKETS_IN_USE))
    rest, found = iter(number for number in in_use if number >= first), []
    while numbers := list(islice(rest, BUCKETS_AT_ONCE)):
        names = [keys.holds_by_expiry(keys.bucket_tag(number)) for number in numbers]
        if await calls.call("EXISTS", *names):  # most have none
            held = await asyncio.gather(*(calls.call("EXISTS", name) for name in names))
            found += [number for number, has in zip(numbers, held, strict=True) if has]
    return found


async def _entries(calls: Calls, bucket: int, since: int, last: str, limit: int) -> list[tuple[str, int]]:
    """Ids and expiries behind this place of a bucket's list."""
    name, found, skipped = keys.holds_by_expiry(keys.bucket_tag(bucket)), list[tuple[str, int]](), 0
    while len(found) < limit:
        flat = await calls.call("ZRANGEBYSCORE", name, since, "+inf", "WITHSCORES", "LIMIT", skipped, limit)
        each = [(id.decode(), int(float(score))) for id, score in zip(flat[::2], flat[1::2], strict=True)]
        found += [(id, expiry) for id, expiry in each if (expiry, id) > (since, last)]
        skipped += len(each)
        if len(each) < limit:
            break
    return found[:limit]


async def _read(calls: Calls, tag: str, entries: list[tuple[str, int]]) -> list[OpenHold]:
    """The holds of these ids that are still there."""
    replies = await asyncio.gather(*(calls.call("HMGET", keys.hold(tag, id), "o", "k", "a", "x") for id, _ in entries))
    return [
        OpenHold(id, org.decode(), key.decode(), int(amount), int(expiry) / 1000)
        for (id, _), (org, key, amount, expiry) in zip(entries, replies, strict=True)
        if org is not None
    ]
