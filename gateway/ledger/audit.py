"""Reconciliation: every balance is recomputed from the journal, exactly, while traffic runs.

The account and its last line carry the same sequence number, because one atomic call writes both. So the audit reads
the account, adds up the journal to exactly that number, and compares. Lines that are written meanwhile have higher
numbers and are not read. It begins at the organisation's last closing, so its time is that of what is new, and of the number of
keys; the lines before it are in the archive, see ``gateway/books``. No single call keeps the store from others for long.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast

import redis.asyncio

from gateway.ledger.charged_once import ChargedOnce
from gateway.ledger.closing import Closing, Sums
from gateway.ledger.entries import AuditReport, Difference, Entry, OpenHold, parse_entry
from gateway.store import keys

LINES_AT_ONCE = 250
KEYS_AT_ONCE = 100
TRIES = 3
"""How often what differs is looked at again: what was created, or closed, between two reads looks like a difference."""
ReadHolds = Callable[[str, Sequence[str]], Awaitable[tuple[list[OpenHold], list[int]]]]


class _Key(NamedTuple):
    """What a key had used, in all and in the lines that are closed, when the organisation's last line was ``seq``."""

    seq: int
    used: int
    closed: int


async def _lines(client: redis.asyncio.Redis, org: str, after: str, sums: Sums | None = None) -> AsyncIterator[Entry]:
    """The organisation's lines behind a cursor. What is no line of ours is noted in ``sums``."""
    while True:
        found = await client.xrange(keys.journal(org), f"({after}", "+", count=LINES_AT_ONCE)
        page: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", found)
        for cursor, fields in page:
            try:
                line = parse_entry(org, cursor, fields)
            except (KeyError, ValueError) as error:
                if sums is not None:
                    sums.differ("line", cursor.decode(), "a line of ours", repr(error))
                continue
            yield line
        if len(page) < LINES_AT_ONCE:
            return
        after = page[-1][0].decode()


async def _members(client: redis.asyncio.Redis, org: str) -> AsyncIterator[list[str]]:
    """Hashes of all keys the organisation ever had, some at a time."""
    first = 0
    while True:
        found: list[bytes] = cast("Any", await client.zrange(keys.org_keys(org), first, first + KEYS_AT_ONCE - 1))
        if found:
            yield [key.decode() for key in found]
        if len(found) < KEYS_AT_ONCE:
            return
        first += KEYS_AT_ONCE


class _Account(NamedTuple):
    """The store's own sums of an organisation at one instant, and those of its keys not later than that."""

    balance: int
    used: int
    seq: int
    last: bytes | None
    """Number of the journal's last line; None when it has none."""
    keys: dict[str, _Key]


async def _read(client: redis.asyncio.Redis, org: str) -> _Account:
    known: dict[str, _Key] = {}
    members = _members(client, org)
    while True:
        page: list[str] = await anext(members, [])
        async with client.pipeline(transaction=True) as pipe:  # at one instant
            pipe.hmget(keys.organization(org), ["bal", "used", "seq"])
            pipe.xrevrange(keys.journal(org), count=1)
            for member in page:
                pipe.hmget(keys.api_key(keys.tag(org), member), ["ua", "cua"])
            account, last, *values = await pipe.execute()
        balance, used, seq = (int(value or 0) for value in account)
        for member, (used_by_key, closed) in zip(page, values, strict=True):
            known[member] = _Key(seq, int(used_by_key or 0), int(closed or 0))
        if len(page) < KEYS_AT_ONCE:
            return _Account(balance, used, seq, last[0][1].get(b"q") if last else None, known)


async def read_closed_usage(client: redis.asyncio.Redis, org: str) -> dict[str, int]:
    """What each key has used in the lines that are closed, by its hash."""
    return {name: key.closed for name, key in (await _read(client, org)).keys.items()}


async def read_closing(client: redis.asyncio.Redis, org: str) -> Closing:
    """The organisation's last closing. Raises KeyError or ValueError when it is not one of ours."""
    stored: dict[bytes, bytes] = cast("Any", await client.hgetall(keys.closing(org)))
    return Closing.parsed(stored)


async def _add_up(client: redis.asyncio.Redis, org: str) -> Sums:
    try:
        closing = await read_closing(client, org)
    except (KeyError, ValueError) as error:
        sums = Sums(org)
        sums.differ("closing", "the last closing", "a closing of ours", repr(error))
        return sums
    sums, account, by_key = Sums(org, closing), await _read(client, org), Counter[str]()
    last = str(closing.seq).encode() if account.last is None else account.last
    sums.differ("chain", "last line and the account", str(account.seq).encode(), last)
    async for line in _lines(client, org, closing.cursor, sums):
        if line.seq > account.seq:
            break
        sums.add(line)
        key = account.keys.get(line.key_hash or "")
        if line.key_hash is not None and (key is None or line.seq <= key.seq):
            by_key[line.key_hash] += line.user_nano
    sums.differ("chain", "last sequence number", account.seq, sums.seq)
    sums.differences += await _charged_twice(client, sums, closing, account.seq)
    sums.differ("balance", "sum of the journal and the account", sums.balance, account.balance)
    sums.differ("used", "usage in the journal and the account", sums.used, account.used)
    sums.differ("balance", "granted - used", sums.granted - sums.used, account.balance)
    for name, key in account.keys.items():
        sums.differ("key_used", f"usage of key {name}", key.closed + by_key.pop(name, 0), key.used)
    for name, amount in by_key.items():
        sums.differ("key_used", f"usage of key {name}, which is not listed", 0, amount)
    return sums


async def _charged_twice(client: redis.asyncio.Redis, sums: Sums, closing: Closing, seq: int) -> list[Difference]:
    """The lines that charge an id which another line has charged. Digests may collide, so a suspicion is looked into."""
    suspects, lines = sums.charges.suspects(), Counter[tuple[str, bool]]()
    if not suspects:
        return []
    async for line in _lines(client, sums.org, closing.cursor):
        if line.seq > seq:
            break
        if (key := ChargedOnce.key(line)) is not None and ChargedOnce.digest(*key) in suspects:
            lines[key] += 1
    return [
        Difference(sums.org, "twice", f"charges of {id}", 1, count) for (id, _), count in lines.items() if count > 1
    ]


class _Held(NamedTuple):
    """Open holds, how much they hold by the accounts, and what does not agree."""

    holds: list[OpenHold]
    total: int
    differences: list[Difference]


async def _holds(client: redis.asyncio.Redis, orgs: Sequence[str], read_holds: ReadHolds) -> _Held:
    """Sum of open holds == `hold` of each organisation and each key, bucket by bucket, each bucket at one instant."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for org in orgs:
        by_tag[keys.tag(org)].append(org)
    all_holds, total, differences = list[OpenHold](), 0, list[Difference]()
    for tag, members in sorted(by_tag.items()):
        held = await _held(client, tag, members, read_holds)
        all_holds += held.holds
        total += held.total
        differences += held.differences
    return _Held(all_holds, total, differences)


async def _held(client: redis.asyncio.Redis, tag: str, orgs: Sequence[str], read_holds: ReadHolds) -> _Held:
    """The same of one bucket. Only what holds something is read at the one instant; the rest is looked at before."""
    labels = {keys.organization(org): (org, "held", f"open holds of {org}") for org in orgs}
    for org in orgs:
        async for members in _members(client, org):
            for key in members:
                labels[keys.api_key(tag, key)] = (org, "key_held", f"open holds of key {key}")
    names = await _holding(client, list(labels))
    for _ in range(TRIES):
        holds, counters = await read_holds(tag, names)
        sums: Counter[str] = Counter()
        for hold in holds:
            sums[keys.organization(hold.org)] += hold.amount_nano
            sums[keys.api_key(tag, hold.key_hash)] += hold.amount_nano
        begun = [name for name in sums if name in labels and name not in names]
        if not begun:
            break
        names += begun
    total, differences = 0, []
    for name, found in zip(names, counters, strict=True):
        org, what, detail = labels[name]
        total += found if what == "held" else 0
        if (expected := sums.pop(name, 0)) != found:
            differences.append(Difference(org, what, detail, expected, found))
    differences += [
        Difference(tag, "held", f"holds of {name}, which is not listed", 0, v) for name, v in sums.items() if v
    ]
    stale: dict[bytes, bytes] = cast("Any", await client.hgetall(keys.stale(tag)))
    for id, posting in stale.items():
        differences.append(Difference(tag, "stale", f"{id.decode()} waits for a decision", None, posting.decode()))
    return _Held(holds, total, differences)


async def _holding(client: redis.asyncio.Redis, names: Sequence[str]) -> list[str]:
    """Those of the counters that hold something."""
    found = []
    for first in range(0, len(names), KEYS_AT_ONCE):
        some = names[first : first + KEYS_AT_ONCE]
        async with client.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.hget(name, "hold")
            values = await pipe.execute()
        found += [name for name, value in zip(some, values, strict=True) if int(value or 0)]
    return found


async def read_orgs(client: redis.asyncio.Redis) -> list[str]:
    """Ids of all organisations, sorted."""
    found: list[bytes] = cast("Any", await client.hkeys(keys.ORGANIZATIONS))
    return sorted(org.decode() for org in found)


async def audit(client: redis.asyncio.Redis, read_holds: ReadHolds) -> AuditReport:
    """All organisations. Raises what redis-py raises.

    A key or an organisation that is created between two reads would look like a difference, so every difference is checked again.
    """
    orgs = await read_orgs(client)
    all_sums: list[Sums] = []
    for org in orgs:
        for _ in range(TRIES):
            sums = await _add_up(client, org)
            if not sums.differences:
                break
        all_sums.append(sums)
    held = await _holds(client, orgs, read_holds)
    if held.differences:
        held = await _holds(client, await read_orgs(client), read_holds)
    differences = [*(d for sums in all_sums for d in sums.differences), *held.differences]
    providers: Counter[str] = Counter()
    for sums in all_sums:
        providers.update(sums.by_provider)
    return AuditReport(
        clean=not differences,
        differences=differences,
        organizations=len(orgs),
        entries=sum(sums.seq for sums in all_sums),
        open_holds=len(held.holds),
        balance_nano=sum(sums.balance for sums in all_sums),
        held_nano=held.total,
        granted_nano=sum(sums.granted for sums in all_sums),
        used_nano=sum(sums.used for sums in all_sums),
        cost_nano=sum(sums.cost for sums in all_sums),
        fee_nano=sum(sums.fee for sums in all_sums),
        loss_nano=sum(sums.loss for sums in all_sums),
        residue_nano=sum(sums.residue for sums in all_sums),
        cost_by_provider_nano=dict(providers),
    )
