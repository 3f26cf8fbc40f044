"""Books with a past: requests that were paid, failed, expired or adjusted, in several organisations; and closers of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from gateway.accounts import Accounts
from gateway.books.archive import BookArchive
from gateway.books.closing import Closer, Retention
from gateway.books.reading import Books
from gateway.ledger import Entry, Hold, Ledger, Posting, generation_id
from gateway.money import NANO
from gateway.store.client import Store
from gateway.store.policy import KeyPolicy
from gateway.telemetry import Telemetry

DAY_S = 86_400


class Killed(BaseException):
    """The process is gone."""


class Past:
    """One store with its ledger, and an archive."""

    def __init__(self, store: Store, ledger: Ledger, accounts: Accounts, archive: BookArchive) -> None:
        self.store, self.ledger, self.accounts, self.archive = store, ledger, accounts, archive
        self.policies: dict[str, KeyPolicy] = {}
        self.ids: list[tuple[str, str]] = []
        """Organisation and id of every request with a record."""

    async def open(self, *orgs: str) -> None:
        """Make organisations with a key and a thousand dollars each; ``default`` is there already."""
        for name in orgs:
            org = name if name == "default" else (await self.accounts.create_org(name)).id
            secret, _ = await self.accounts.create_key(org=org, name=name)
            await self.ledger.grant(org, 1000 * NANO, id="opening", actor="test", reason="opening, “balance”")
            self.policies[org] = await self.accounts.authenticate(secret)

    async def requests(self, org: str, count: int) -> None:
        """Settled ones, every fifth of them after a failed attempt, and some that failed for good at the operator's cost."""
        policy = self.policies[org]
        for number in range(count):
            id = generation_id(time.time())
            hold = await self.ledger.hold(id, policy, NANO, 60)
            losses = [Posting("alpha", 7, 0, 0)] if number % 5 == 0 else []
            if number % 11 == 10:
                await self.ledger.void(hold, losses=[Posting("beta", 3, 0, 0)], record=b'{"id":"%s"}' % id.encode())
            else:
                cost = 1000 + number
                posting = Posting("beta", cost, cost // 20, cost + cost // 20)
                await self.ledger.settle(hold, posting, losses=losses, record=b'{"id":"%s"}' % id.encode() * 3)
            self.ids.append((org, id))

    async def lines(self, org: str, books: Books | None = None) -> list[Entry]:
        """All of them, oldest first."""
        found: list[Entry] = []
        cursor: str | None = None
        while True:
            page, cursor = await (books or self.ledger).journal(org, after=cursor, limit=1000)
            found += page
            if cursor is None:
                return found

    def closer(self, *, days_later: float = 2, ledger: Any = None, archive: Any = None, **more: Any) -> Closer:
        """One whose clock is so much later, so that everything is old."""
        retention = Retention(
            close_after_s=DAY_S, record_days=more.pop("record_days", 0), journal_days=more.pop("journal_days", 0)
        )
        return Closer(
            *(self.store, ledger or self.ledger, archive or self.archive, more.pop("telemetry", None) or Telemetry()),
            role=more.pop("role", "worker"),
            retention=retention,
            **{"clock": lambda: time.time() + days_later * DAY_S, **more},
        )

    def books(self) -> Books:
        """As a gateway reads them two days later."""
        return Books(self.ledger, self.archive, close_after_s=DAY_S, clock=lambda: time.time() + 2 * DAY_S)

    async def put_an_older_copy_in_its_place(self, change: Callable[[], Awaitable[Any]]) -> None:
        """What the ledger's keys are now, ``change``, and then again what they were."""
        redis = self.store.redis
        before = {name: await redis.dump(name) for name in await redis.keys("{*")}
        await change()
        await redis.flushdb()
        for name, value in before.items():
            assert value is not None
            await redis.restore(name, 0, value)


class Step:
    """Counts calls, and dies before (odd) or after the call of a number."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.calls, self._dies_at = 0, dies_at

    def __call__(self) -> None:
        """Called before and after each call."""
        self.calls += 1
        if self.calls == self._dies_at:
            raise Killed


class Dying:
    """Stands before ``real``: calls of these methods pass ``step`` before and after."""

    def __init__(self, real: Any, step: Step, *names: str) -> None:
        self._real, self._step, self._names = real, step, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._names:
            return found

        def call(*args: Any, **more: Any) -> Any:
            self._step()
            result = found(*args, **more)
            if hasattr(result, "__await__"):
                return self._finish(result)
            self._step()
            return result

        return call

    async def _finish(self, result: Awaitable[Any]) -> Any:
        value = await result
        self._step()
        return value


def steps(limit: int) -> Iterator[int]:
    """1, 2, ... ``limit``."""
    yield from range(1, limit + 1)


def late(hold: Hold) -> Posting:
    """What a settlement charges that comes after its hold has expired."""
    return Posting("beta", 500 + hold.amount_nano % 7, 25, 525)
