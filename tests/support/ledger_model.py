"""The ledger a second time, in plain Python with unbounded integers: what the Lua functions are compared with.

Written from the rules of the books, not from the functions. One model call = one ledger call; answers are plain tuples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Account:
    balance: int = 0
    held: int = 0
    used: int = 0
    lines: list[tuple] = field(default_factory=list)
    grants: dict[str, tuple[int, int]] = field(default_factory=dict)

    def write(self, kind, id, provider, cost, fee, user):
        self.balance -= user
        loss = 0 if kind == "grant" else cost + fee - user
        self.lines.append((len(self.lines) + 1, kind, id, provider, cost, fee, user, loss, self.balance))


@dataclass
class Key:
    org: str
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

    def room(self, today: int) -> int | None:
        return None if self.limit is None else self.limit - self.roll(today)[self.reset] - self.held


@dataclass
class Open:
    org: str
    key: str
    amount: int
    overdue: bool
    checkpoint: tuple[str, int, int, int] = ("none", 0, 0, 0)


class Model:
    """Answers: ("held", n) ("402", source, remaining) ("401",) ("stale",) ("conflict",) ("receipt", paid, balance, seq, dup) ..."""

    def __init__(self, today: int) -> None:
        self.today = today
        self.orgs: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.open: dict[str, Open] = {}
        self.done: dict[str, dict] = {}

    def hold(self, id, key_hash, version, amount, overdue):
        if id in self.open:
            return ("held", self.open[id].amount)
        if id in self.done:
            return ("conflict",)
        key = self.keys[key_hash]
        if key.version != version:
            return ("stale", key.version)
        if key.disabled:
            return ("401",)
        account, room = self.orgs[key.org], key.room(self.today)
        if room is not None and amount > room:
            return ("402", "key_limit", max(room, 0))
        if amount > account.balance - account.held:
            return ("402", "credits", account.balance - account.held)
        account.held += amount
        key.held += amount
        self.open[id] = Open(key.org, key_hash, amount, overdue)
        return ("held", amount)

    def _release(self, id):
        hold = self.open.pop(id, None)
        if hold is not None:
            self.orgs[hold.org].held -= hold.amount
            self.keys[hold.key].held -= hold.amount
        return hold

    def _end(self, id, org, key_hash, kind, posting, losses=()):
        """Release, losses, the line, the counters, the memory."""
        hold = self._release(id)
        provider, cost, fee, want = posting
        account, key = self.orgs[org], self.keys[key_hash]
        room = account.balance - account.held
        if key.room(self.today) is not None:
            room = min(room, key.room(self.today))
        pay = min(want, max(room, 0))
        for number, (loss_provider, loss_cost, loss_fee) in enumerate(losses, 1):
            account.write("loss", f"{id}/{number}", loss_provider, loss_cost, loss_fee, 0)
        if kind != "void":
            account.write(kind, id, provider, cost, fee, pay)
        account.used += pay
        if hold is not None or losses or kind != "void":
            usage = key.roll(self.today)
            key.day = max(key.day, self.today)
            key.usage = {name: max(n + pay, 0) for name, n in usage.items()}
        before = self.done.get(id, {"paid": 0, "cost": 0, "fee": 0})
        self.done[id] = {
            "kind": kind,
            "paid": before["paid"] + pay,
            "cost": before["cost"] + cost,
            "fee": before["fee"] + fee,
            "balance": account.balance,
            "seq": len(account.lines),
        }
        return self.done[id]

    @staticmethod
    def _receipt(done, duplicate):
        return ("receipt", done["paid"], done["balance"], done["seq"], duplicate)

    def settle(self, id, org, key_hash, posting, losses):
        was = self.done.get(id)
        if was is not None and was["kind"] != "expired":
            return self._receipt(was, True)
        if was is not None:
            provider, cost, fee, want = posting
            difference = (provider, cost - was["cost"], fee - was["fee"], want - was["paid"])
            return self._receipt(self._end(id, org, key_hash, "adjusted", difference, losses), False)
        return self._receipt(self._end(id, org, key_hash, "settled", posting, losses), False)

    def void(self, id, org, key_hash, losses):
        was = self.done.get(id)
        if was is not None and was["kind"] != "expired":
            return ("voided",)
        if was is not None and (was["paid"], was["cost"], was["fee"]) != (0, 0, 0):
            self._end(id, org, key_hash, "adjusted", ("none", -was["cost"], -was["fee"], -was["paid"]), losses)
        else:
            self._end(id, org, key_hash, "void", ("none", 0, 0, 0), losses)
        return ("voided",)

    def beat(self, id, posting, overdue):
        hold = self.open.get(id)
        if hold is None:
            return ("beat", False)
        hold.checkpoint, hold.overdue = posting, overdue
        return ("beat", True)

    def extend(self, id, total):
        hold = self.open.get(id)
        if hold is None:
            return ("conflict",)
        more = total - hold.amount
        if more <= 0:
            return ("held", hold.amount)
        account, key = self.orgs[hold.org], self.keys[hold.key]
        room = key.room(self.today)
        if room is not None and more > room:
            return ("402", "key_limit", max(room, 0))
        if more > account.balance - account.held:
            return ("402", "credits", account.balance - account.held)
        account.held += more
        key.held += more
        hold.amount = total
        return ("held", total)

    def expire(self, order):
        """``order``: ids as the sweeper meets them; who is swept first is not a rule of the books."""
        overdue = [id for id in order if self.open[id].overdue]
        for id in overdue:
            hold = self.open[id]
            self._end(id, hold.org, hold.key, "expired", hold.checkpoint)
        return ("expired", len(overdue))

    def grant(self, org, id, amount):
        account = self.orgs[org]
        if id in account.grants:
            before, balance = account.grants[id]
            return ("granted", balance, True) if before == amount else ("conflict",)
        balance = account.balance + amount
        if balance > 2**53 - 1 or balance < account.held:
            return ("422",)
        account.write("grant", id, None, 0, 0, -amount)
        account.grants[id] = (amount, balance)
        return ("granted", balance, False)
