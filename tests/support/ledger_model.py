"""A second implementation of the ledger, in plain Python with unbounded integers, to compare the Lua functions with.

It was written from the ledger's rules, not from the functions. One call of the model is one call of the ledger; it returns
plain tuples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

NEVER_MS = 10**8
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Reply = tuple[Any, ...]
Posting = tuple[str, int, int, int]
"""Provider, cost, fee and what the user shall pay."""
Loss = tuple[str, int, int]
"""Provider, cost and fee of a failed attempt."""


MINUTE_MS = 60_000
Limits = tuple[int, int, int]
"""Requests a minute, tokens a minute, requests at once; 0 for none."""


@dataclass
class Subject:
    """What has rate limits: a key or an organisation. Levels are exact fractions of a bucket that leaks evenly."""

    rate: Limits = (0, 0, 0)
    level: list[Fraction] = field(default_factory=lambda: [Fraction(0), Fraction(0)])
    at_ms: int = 0
    running: dict[str, int] = field(default_factory=dict)
    """Hold → when it is looked at again."""

    def leaked(self, now_ms: int) -> list[Fraction]:
        since = max(now_ms - self.at_ms, 0)
        full = self.rate[:2]
        return [
            max(min(level - Fraction(since * limit, MINUTE_MS), Fraction(2 * limit)), Fraction(0))
            for level, limit in zip(self.level, full, strict=True)
        ]

    def refusals(self, tokens: int, now_ms: int) -> list[tuple[str, int, int, float]]:
        """(name, limit, left, wait in ms) of every rate that is in the way."""
        found: list[tuple[str, int, int, float]] = []
        wanted = (1, tokens)
        for name, level, limit, more in zip(
            ("requests", "tokens"), self.leaked(now_ms), self.rate, wanted, strict=False
        ):
            if limit and more > limit:
                found.append((name, limit, max(math.floor(limit - level), 0), math.inf))
            elif limit and level + more > limit:
                wait = math.ceil((level + more - limit) * MINUTE_MS / limit)
                found.append((name, limit, max(math.floor(limit - level), 0), wait))
        return found

    def is_full(self, open: Mapping[str, Open], now_ms: int) -> bool:
        """Whether as many run as may; holds whose time is over are looked at when it would be."""
        most = self.rate[2]
        if not most or len(self.running) < most:
            return False
        for id in [id for id, look_ms in self.running.items() if look_ms <= now_ms]:
            if id in open and open[id].expiry_ms > now_ms:
                self.running[id] = open[id].expiry_ms
            else:
                del self.running[id]
        return len(self.running) >= most

    def admit(self, id: str, tokens: int, now_ms: int, expiry_ms: int) -> None:
        if any(self.rate[:2]):
            wanted = [
                Fraction(more) if limit else Fraction(0) for more, limit in zip((1, tokens), self.rate, strict=False)
            ]
            levels = self.leaked(now_ms)
            self.level = [level + more for level, more in zip(levels, wanted, strict=True)]
            self.at_ms = now_ms
        if self.rate[2]:
            self.running[id] = expiry_ms

    def correct(self, difference: int) -> None:
        self.level[1] = max(self.level[1] + difference, Fraction(0))


@dataclass
class Account(Subject):
    balance: int = 0
    held: int = 0
    used: int = 0
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    grants: dict[str, tuple[int, int]] = field(default_factory=dict)

    def write(self, kind: str, id: str, provider: str | None, *, cost: int, fee: int, user: int) -> None:
        self.balance -= user
        loss = 0 if kind == "grant" else cost + fee - user
        self.lines.append((len(self.lines) + 1, kind, id, provider, cost, fee, user, loss, self.balance))


@dataclass
class Key(Subject):
    org: str = ""
    limit: int | None = None
    reset: str = "none"
    disabled: bool = False
    version: int = 1
    held: int = 0
    day: int = 0
    usage: dict[str, int] = field(default_factory=lambda: {"none": 0, "daily": 0, "weekly": 0, "monthly": 0})

    def roll(self, today: int) -> dict[str, int]:
        """Usage of the windows that contain today; time never runs backwards."""
        if today <= self.day:
            return self.usage
        was, now = EPOCH + timedelta(days=self.day), EPOCH + timedelta(days=today)
        return {
            "none": self.usage["none"],
            "daily": 0,
            "weekly": self.usage["weekly"] if was.isocalendar()[:2] == now.isocalendar()[:2] else 0,
            "monthly": self.usage["monthly"] if (was.year, was.month) == (now.year, now.month) else 0,
        }

    def remaining(self, today: int) -> int | None:
        return None if self.limit is None else self.limit - self.roll(today)[self.reset] - self.held


@dataclass
class Open:
    org: str
    key: str
    amount: int
    overdue: bool
    checkpoint: Posting = ("none", 0, 0, 0)
    expiry_ms: int = 0
    made_ms: int = 0
    tokens: int = 0
    metered: tuple[Subject, ...] = ()
    """Whose tokens it reserved."""


@dataclass(frozen=True)
class Ended:
    """What the ledger remembers of an ended generation; sums over its lines."""

    kind: str
    paid: int
    cost: int
    fee: int
    balance: int
    seq: int


class Model:
    """Returns ("held", n) ("402", source, remaining) ("401",) ("stale",) ("conflict",) ("receipt", paid, balance, seq, dup) ..."""

    def __init__(self, today: int) -> None:
        self.today = today
        self.orgs: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.open: dict[str, Open] = {}
        self.done: dict[str, Ended] = {}
        self.now_ms = 0

    def _expiry_ms(self, overdue: bool) -> int:
        return self.now_ms + (0 if overdue else NEVER_MS)

    def hold(self, id: str, key_hash: str, version: int, amount: int, overdue: bool, tokens: int = 0) -> Reply:
        if id in self.open:
            return ("held", self.open[id].amount)
        if id in self.done:
            return ("conflict",)
        key = self.keys[key_hash]
        if key.version != version:
            return ("stale", key.version)
        if key.disabled:
            return ("401",)
        account, remaining = self.orgs[key.org], key.remaining(self.today)
        if remaining is not None and amount > remaining:
            return ("402", "key_limit", max(remaining, 0))
        if amount > account.balance - account.held:
            return ("402", "credits", account.balance - account.held)
        if (refusal := self._rate_refusal(account, key, tokens)) is not None:
            return refusal
        account.held += amount
        key.held += amount
        expiry_ms = self._expiry_ms(overdue)
        metered = tuple(subject for subject in (account, key) if subject.rate[1])
        for subject in (account, key):
            subject.admit(id, tokens, self.now_ms, expiry_ms)
        self.open[id] = Open(
            key.org, key_hash, amount, overdue, expiry_ms=expiry_ms, made_ms=self.now_ms, tokens=tokens, metered=metered
        )
        return ("held", amount)

    def _rate_refusal(self, account: Account, key: Key, tokens: int) -> Reply | None:
        """The one that lasts longest; a full set of running requests is named when no rate is in the way."""
        scopes = {"organization": account, "key": key}
        full = [scope for scope, subject in scopes.items() if subject.is_full(self.open, self.now_ms)]
        found = [
            (scope, *refusal) for scope, subject in scopes.items() for refusal in subject.refusals(tokens, self.now_ms)
        ]
        if found:
            return ("429", *max(found, key=lambda refusal: refusal[-1]))
        if full:
            return ("429", full[0], "concurrent", scopes[full[0]].rate[2], 0, 1000)
        return None

    def _release(self, id: str, tokens: int | None) -> Open | None:
        hold = self.open.pop(id, None)
        if hold is not None:
            account, key = self.orgs[hold.org], self.keys[hold.key]
            account.held -= hold.amount
            key.held -= hold.amount
            difference = 0 if tokens is None else tokens - hold.tokens
            for subject in hold.metered:
                if difference > 0 or self.now_ms - hold.made_ms < MINUTE_MS:
                    subject.correct(difference)
            for subject in (account, key):
                subject.running.pop(id, None)
        return hold

    def _end(
        self,
        id: str,
        org: str,
        key_hash: str,
        kind: str,
        posting: Posting,
        losses: Sequence[Loss] = (),
        *,
        tokens: int | None = None,
    ) -> Ended:
        """Releases the hold, writes the losses and the line, updates the counters, remembers the end."""
        hold = self._release(id, tokens)
        provider, cost, fee, due = posting
        account, key = self.orgs[org], self.keys[key_hash]
        limits = (account.balance - account.held, key.remaining(self.today))
        pay = min(due, max(min(limit for limit in limits if limit is not None), 0))
        for number, (loss_provider, loss_cost, loss_fee) in enumerate(losses, 1):
            account.write("loss", f"{id}/{number}", loss_provider, cost=loss_cost, fee=loss_fee, user=0)
        if kind != "void":
            account.write(kind, id, provider, cost=cost, fee=fee, user=pay)
        account.used += pay
        if hold is not None or losses or kind != "void":
            usage = key.roll(self.today)
            key.day = max(key.day, self.today)
            key.usage = {name: max(n + pay, 0) for name, n in usage.items()}
        before = self.done.get(id)
        self.done[id] = Ended(
            kind,
            paid=pay + (before.paid if before else 0),
            cost=cost + (before.cost if before else 0),
            fee=fee + (before.fee if before else 0),
            balance=account.balance,
            seq=len(account.lines),
        )
        return self.done[id]

    @staticmethod
    def _receipt(ended: Ended, duplicate: bool) -> Reply:
        return ("receipt", ended.paid, ended.balance, ended.seq, duplicate)

    def settle(
        self, id: str, org: str, key_hash: str, posting: Posting, losses: Sequence[Loss], tokens: int = 0
    ) -> Reply:
        before = self.done.get(id)
        if before is not None and before.kind != "expired":
            return self._receipt(before, True)
        if before is not None:
            provider, cost, fee, due = posting
            difference = (provider, cost - before.cost, fee - before.fee, due - before.paid)
            return self._receipt(self._end(id, org, key_hash, "adjusted", difference, losses), False)
        return self._receipt(self._end(id, org, key_hash, "settled", posting, losses, tokens=tokens), False)

    def void(self, id: str, org: str, key_hash: str, losses: Sequence[Loss]) -> Reply:
        before = self.done.get(id)
        if before is not None and before.kind != "expired":
            return ("voided",)
        if before is not None and (before.paid, before.cost, before.fee) != (0, 0, 0):
            self._end(id, org, key_hash, "adjusted", ("none", -before.cost, -before.fee, -before.paid), losses)
        else:
            self._end(id, org, key_hash, "void", ("none", 0, 0, 0), losses, tokens=0)
        return ("voided",)

    def beat(self, id: str, posting: Posting, overdue: bool) -> Reply:
        hold = self.open.get(id)
        if hold is None:
            return ("beat", False)
        hold.checkpoint, hold.overdue, hold.expiry_ms = posting, overdue, self._expiry_ms(overdue)
        return ("beat", True)

    def extend(self, id: str, total: int) -> Reply:
        hold = self.open.get(id)
        if hold is None:
            return ("conflict",)
        more = total - hold.amount
        if more <= 0:
            return ("held", hold.amount)
        account, key = self.orgs[hold.org], self.keys[hold.key]
        remaining = key.remaining(self.today)
        if remaining is not None and more > remaining:
            return ("402", "key_limit", max(remaining, 0))
        if more > account.balance - account.held:
            return ("402", "credits", account.balance - account.held)
        account.held += more
        key.held += more
        hold.amount = total
        return ("held", total)

    def expire(self, order: Iterable[str]) -> Reply:
        """``order``: ids as the sweeper meets them; the ledger promises no order."""
        overdue = [id for id in order if self.open[id].overdue]
        for id in overdue:
            hold = self.open[id]
            self._end(id, hold.org, hold.key, "expired", hold.checkpoint)
        return ("expired", len(overdue))

    def grant(self, org: str, id: str, amount: int) -> Reply:
        account = self.orgs[org]
        if id in account.grants:
            before, balance = account.grants[id]
            return ("granted", balance, True) if before == amount else ("conflict",)
        balance = account.balance + amount
        if balance > 2**53 - 1 or balance < account.held:
            return ("422",)
        account.write("grant", id, None, cost=0, fee=0, user=-amount)
        account.grants[id] = (amount, balance)
        return ("granted", balance, False)
