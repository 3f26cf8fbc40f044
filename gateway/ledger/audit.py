"""Reconciliation: every balance recomputed from the journal, exact while traffic runs.

The account and its last line carry the same sequence number, because one atomic call writes both. So the auditor reads
the account, then folds the journal up to exactly that number, and compares; lines that arrive meanwhile are simply
further on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import redis.asyncio

from gateway.ledger.entries import AuditReport, Difference, Entry, OpenHold, parse_entry
from gateway.store import keys

PAGE = 1000
ReadHolds = Callable[[str, Sequence[str]], Awaitable[tuple[list[OpenHold], list[int]]]]


@dataclass
class _Fold:
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
    differences: list[Difference] = field(default_factory=list)

    def differ(self, what: str, detail: str, expected: object, found: object) -> None:
        if expected != found:
            self.differences.append(Difference(self.org, what, detail, expected, found))

    def add(self, line: Entry) -> None:
        """One more line: its place in the chain, its double entry, the sums."""
        self.differ("chain", f"sequence after {self.seq} at {line.cursor}", self.seq + 1, line.seq)
        self.balance -= line.user_nano
        self.differ("chain", f"balance of line {line.seq} ({line.generation_id})", self.balance, line.balance_nano)
        self.seq, self.balance = line.seq, line.balance_nano  # a broken link is reported once, not at every later line
        if line.type == "grant":
            self.granted -= line.user_nano
            return
        residue = line.user_nano + line.loss_nano - line.total_nano
        self.differ("residue", f"user + loss - cost - fee of line {line.seq} ({line.generation_id})", 0, residue)
        self.used += line.user_nano
        self.cost += line.cost_nano
        self.fee += line.fee_nano
        self.loss += line.loss_nano
        self.residue += residue
        self.by_key[line.key_hash or ""] += line.user_nano
        self.by_provider[line.provider or ""] += line.cost_nano


async def _lines(client: redis.asyncio.Redis, fold: _Fold) -> AsyncIterator[Entry]:
    start = "-"
    while True:
        found = await client.xrange(keys.journal(fold.org), start, "+", count=PAGE)
        page: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", found)
        if not page:
            return
        for cursor, fields in page:
            try:
                line = parse_entry(fold.org, cursor, fields)
            except (KeyError, ValueError) as error:
                fold.differences.append(Difference(fold.org, "line", cursor.decode(), "a line of ours", repr(error)))
                continue
            yield line
        start = "(" + page[-1][0].decode()


async def _members(client: redis.asyncio.Redis, org: str) -> list[str]:
    """Hashes of all keys the organisation ever had."""
    found: list[bytes] = cast("Any", await client.zrange(keys.org_keys(org), 0, -1))
    return [key.decode() for key in found]


async def _fold_org(client: redis.asyncio.Redis, org: str) -> _Fold:
    fold = _Fold(org)
    members = await _members(client, org)
    async with client.pipeline(transaction=True) as pipe:  # account, last line and keys at one instant
        pipe.hmget(keys.organization(org), ["bal", "used", "seq"])
        pipe.xrevrange(keys.journal(org), count=1)
        for member in members:
            pipe.hget(keys.api_key(keys.tag(org), member), "ua")
        account, last, *used_by_key = await pipe.execute()
    balance, used, seq = (int(value or 0) for value in account)
    fold.differ("chain", "last line and the account", str(seq).encode(), last[0][1].get(b"q") if last else b"0")
    async for line in _lines(client, fold):
        if line.seq > seq:
            break
        fold.add(line)
    fold.differ("chain", "last sequence number", seq, fold.seq)
    fold.differ("balance", "sum of the journal and the account", fold.balance, balance)
    fold.differ("used", "usage in the journal and the account", fold.used, used)
    fold.differ("balance", "granted - used", fold.granted - fold.used, balance)
    for member, stored in zip(members, used_by_key, strict=True):
        fold.differ("key_used", f"usage of key {member}", fold.by_key.pop(member, 0), int(stored or 0))
    for member, amount in fold.by_key.items():
        fold.differ("key_used", f"usage of key {member}, which is not listed", 0, amount)
    return fold


async def _holds(
    client: redis.asyncio.Redis, orgs: Sequence[str], read_holds: ReadHolds
) -> tuple[list[OpenHold], int, list[Difference]]:
    """Sum of open holds == `hold` of each organisation and each key, bucket by bucket, each bucket at one instant."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for org in orgs:
        by_tag[keys.tag(org)].append(org)
    everything: list[OpenHold] = []
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
        everything += holds
    return everything, held_total, differences


async def _orgs(client: redis.asyncio.Redis) -> list[str]:
    found: list[bytes] = cast("Any", await client.hkeys(keys.ORGANIZATIONS))
    return sorted(org.decode() for org in found)


async def audit(client: redis.asyncio.Redis, read_holds: ReadHolds) -> AuditReport:
    """All organisations. Raises what redis-py raises.

    A key or an organisation founded between two reads would look like a difference, so what differs is looked at again.
    """
    orgs = await _orgs(client)
    folds: list[_Fold] = []
    for org in orgs:
        fold = await _fold_org(client, org)
        folds.append(await _fold_org(client, org) if fold.differences else fold)
    holds, held, differences = await _holds(client, orgs, read_holds)
    if differences:
        holds, held, differences = await _holds(client, await _orgs(client), read_holds)
    differences = [d for fold in folds for d in fold.differences] + differences
    providers: Counter[str] = Counter()
    for fold in folds:
        providers.update(fold.by_provider)
    return AuditReport(
        clean=not differences,
        differences=differences,
        organizations=len(orgs),
        entries=sum(fold.seq for fold in folds),
        open_holds=len(holds),
        balance_nano=sum(fold.balance for fold in folds),
        held_nano=held,
        granted_nano=sum(fold.granted for fold in folds),
        used_nano=sum(fold.used for fold in folds),
        cost_nano=sum(fold.cost for fold in folds),
        fee_nano=sum(fold.fee for fold in folds),
        loss_nano=sum(fold.loss for fold in folds),
        residue_nano=sum(fold.residue for fold in folds),
        cost_by_provider_nano=dict(providers),
    )
