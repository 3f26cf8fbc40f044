"""Reconciliation: every balance is recomputed from the journal, exactly, while traffic runs.

The account and its last line carry the same sequence number, because one atomic call writes both. So the audit reads
the account, adds up the journal to exactly that number, and compares. Lines that are written meanwhile have higher
numbers and are not read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import redis.asyncio

from gateway.ledger.charged_once import ChargedOnce
from gateway.ledger.entries import AuditReport, Difference, Entry, OpenHold, parse_entry
from gateway.store import keys

PAGE = 1000
ReadHolds = Callable[[str, Sequence[str]], Awaitable[tuple[list[OpenHold], list[int]]]]


@dataclass
class _Sums:
    """Sums over the lines of one organisation."""

    org: str
    seq: int = 0
    balance: int = 0
    used: int = 0
    granted: int = 0
    cost: int = 0
    fee: int = 0
    loss: int = 0
    residue: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    by_provider: Counter[str] = field(default_factory=Counter)
    charges: ChargedOnce = field(default_factory=ChargedOnce)
    differences: list[Difference] = field(default_factory=list)

    def differ(self, what: str, detail: str, expected: object, found: object) -> None:
        if expected != found:
            self.differences.append(Difference(self.org, what, detail, expected, found))

    def add(self, line: Entry) -> None:
        """Check one more line (its place in the chain, its double entry) and add it to the sums."""
        self.differ("chain", f"sequence after {self.seq} at {line.cursor}", self.seq + 1, line.seq)
        self.balance -= line.user_nano
        self.differ("chain", f"balance of line {line.seq} ({line.generation_id})", self.balance, line.balance_nano)
        self.seq, self.balance = line.seq, line.balance_nano  # a broken link is reported once, not at every later line
        if line.type == "grant":
            self.granted -= line.user_nano
            return
        self.charges.add(line)
        residue = line.user_nano + line.loss_nano - line.total_nano
        self.differ("residue", f"user + loss - cost - fee of line {line.seq} ({line.generation_id})", 0, residue)
        self.used += line.user_nano
        self.cost += line.cost_nano
        self.fee += line.fee_nano
        self.loss += line.loss_nano
        self.residue += residue
        self.by_key[line.key_hash or ""] += line.user_nano
        self.by_provider[line.provider or ""] += line.cost_nano


async def _lines(client: redis.asyncio.Redis, sums: _Sums) -> AsyncIterator[Entry]:
    start = "-"
    while True:
        found = await client.xrange(keys.journal(sums.org), start, "+", count=PAGE)
        page: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", found)
        if not page:
            return
        for cursor, fields in page:
            try:
                line = parse_entry(sums.org, cursor, fields)
            except (KeyError, ValueError) as error:
                sums.differences.append(Difference(sums.org, "line", cursor.decode(), "a line of ours", repr(error)))
                continue
            yield line
        start = "(" + page[-1][0].decode()


async def _members(client: redis.asyncio.Redis, org: str) -> list[str]:
    """Hashes of all keys the organisation ever had."""
    found: list[bytes] = cast("Any", await client.zrange(keys.org_keys(org), 0, -1))
    return [key.decode() for key in found]


async def _add_up(client: redis.asyncio.Redis, org: str) -> _Sums:
    sums = _Sums(org)
    members = await _members(client, org)
    async with client.pipeline(transaction=True) as pipe:  # read account, last line and keys at one instant
        pipe.hmget(keys.organization(org), ["bal", "used", "seq"])
        pipe.xrevrange(keys.journal(org), count=1)
        for member in members:
            pipe.hget(keys.api_key(keys.tag(org), member), "ua")
        account, last, *used_by_key = await pipe.execute()
    balance, used, seq = (int(value or 0) for value in account)
    sums.differ("chain", "last line and the account", str(seq).encode(), last[0][1].get(b"q") if last else b"0")
    async for line in _lines(client, sums):
        if line.seq > seq:
            break
        sums.add(line)
    sums.differ("chain", "last sequence number", seq, sums.seq)
    sums.differences += await _charged_twice(client, sums, seq)
    sums.differ("balance", "sum of the journal and the account", sums.balance, balance)
    sums.differ("used", "usage in the journal and the account", sums.used, used)
    sums.differ("balance", "granted - used", sums.granted - sums.used, balance)
    for member, stored in zip(members, used_by_key, strict=True):
        sums.differ("key_used", f"usage of key {member}", sums.by_key.pop(member, 0), int(stored or 0))
    for member, amount in sums.by_key.items():
        sums.differ("key_used", f"usage of key {member}, which is not listed", 0, amount)
    return sums


async def _charged_twice(client: redis.asyncio.Redis, sums: _Sums, seq: int) -> list[Difference]:
    """The lines that charge an id which another line has charged. Digests may collide, so a suspicion is looked into."""
    suspects, lines = sums.charges.suspects(), Counter[tuple[str, bool]]()
    if not suspects:
        return []
    async for line in _lines(client, _Sums(sums.org)):
        if line.seq > seq:
            break
        if (key := ChargedOnce.key(line)) is not None and ChargedOnce.digest(*key) in suspects:
            lines[key] += 1
    return [
        Difference(sums.org, "twice", f"charges of {id}", 1, count) for (id, _), count in lines.items() if count > 1
    ]


async def _holds(
    client: redis.asyncio.Redis, orgs: Sequence[str], read_holds: ReadHolds
) -> tuple[list[OpenHold], int, list[Difference]]:
    """Sum of open holds == `hold` of each organisation and each key, bucket by bucket, each bucket at one instant."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for org in orgs:
        by_tag[keys.tag(org)].append(org)
    all_holds: list[OpenHold] = []
    held_total = 0
    differences: list[Difference] = []
    for tag, members in sorted(by_tag.items()):
        names = [keys.organization(org) for org in members]
        labels = [(org, "held", f"open holds of {org}") for org in members]
        for org in members:
            for key in await _members(client, org):
                names.append(keys.api_key(tag, key))
                labels.append((org, "key_held", f"open holds of key {key}"))
        holds, counters = await read_holds(tag, names)
        sums: Counter[str] = Counter()
        for hold in holds:
            sums[keys.organization(hold.org)] += hold.amount_nano
            sums[keys.api_key(tag, hold.key_hash)] += hold.amount_nano
        for name, (org, what, detail), found in zip(names, labels, counters, strict=True):
            held_total += found if what == "held" else 0
            if (expected := sums.pop(name, 0)) != found:
                differences.append(Difference(org, what, detail, expected, found))
        differences += [
            Difference(tag, "held", f"holds of {name}, which is not listed", 0, v) for name, v in sums.items() if v
        ]
        stale: dict[bytes, bytes] = cast("Any", await client.hgetall(keys.stale(tag)))
        for id, posting in stale.items():
            differences.append(Difference(tag, "stale", f"{id.decode()} waits for a decision", None, posting.decode()))
        all_holds += holds
    return all_holds, held_total, differences


async def _orgs(client: redis.asyncio.Redis) -> list[str]:
    found: list[bytes] = cast("Any", await client.hkeys(keys.ORGANIZATIONS))
    return sorted(org.decode() for org in found)


async def audit(client: redis.asyncio.Redis, read_holds: ReadHolds) -> AuditReport:
    """All organisations. Raises what redis-py raises.

    A key or an organisation that is created between two reads would look like a difference, so every difference is checked again.
    """
    orgs = await _orgs(client)
    all_sums: list[_Sums] = []
    for org in orgs:
        sums = await _add_up(client, org)
        all_sums.append(await _add_up(client, org) if sums.differences else sums)
    holds, held, differences = await _holds(client, orgs, read_holds)
    if differences:
        holds, held, differences = await _holds(client, await _orgs(client), read_holds)
    differences = [d for sums in all_sums for d in sums.differences] + differences
    providers: Counter[str] = Counter()
    for sums in all_sums:
        providers.update(sums.by_provider)
    return AuditReport(
        clean=not differences,
        differences=differences,
        organizations=len(orgs),
        entries=sum(sums.seq for sums in all_sums),
        open_holds=len(holds),
        balance_nano=sum(sums.balance for sums in all_sums),
        held_nano=held,
        granted_nano=sum(sums.granted for sums in all_sums),
        used_nano=sum(sums.used for sums in all_sums),
        cost_nano=sum(sums.cost for sums in all_sums),
        fee_nano=sum(sums.fee for sums in all_sums),
        loss_nano=sum(sums.loss for sums in all_sums),
        residue_nano=sum(sums.residue for sums in all_sums),
        cost_by_provider_nano=dict(providers),
    )
