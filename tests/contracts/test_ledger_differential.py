"""The Lua ledger against an independent Python model: random operations, every reply and every final figure compared."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.accounts import Accounts, KeyChange
from gateway.errors import Conflict, PaymentRequired, RateLimited, Unauthorized, Unprocessable
from gateway.ledger import Hold, Ledger, Posting, StalePolicy, generation_id
from gateway.ledger import ledger as ledger_module
from gateway.money import parse_usd
from gateway.store import keys
from gateway.store.client import Store
from gateway.store.policy import RATE_LIMITS, RateLimits
from tests.support.ledger_model import NEVER_MS, Account, Key, Model
from tests.support.ledger_versions import with_functions

OPERATIONS = int(os.environ.get("TOKENWAY_LEDGER_OPS", "20000"))
SOAK_OPERATIONS = int(
    os.environ.get("TOKENWAY_LEDGER_OPS") or ("20000" if os.environ.get("SOAK") == "short" else "100000")
)
NEVER_S = NEVER_MS / 1000
CLOCK = "{tw}:test-clock"
RATES = [(0, 0, 0), (0, 0, 0), (60, 0, 0), (7, 5_000, 3), (0, 3_000, 0), (0, 0, 2), (10**9, 10**9, 10**9), (1, 1, 1)]
RESETS = ("none", "daily", "weekly", "monthly")
PROVIDERS = ("alpha", "beta", "gamma")


async def answer(call) -> tuple:
    """One ledger call as a tuple of the model's vocabulary."""
    try:
        result = await call
    except PaymentRequired as refusal:
        meta = refusal.metadata
        return ("402", meta["limit_source"], parse_usd(meta["remaining"]))
    except RateLimited as refusal:
        meta = refusal.metadata
        name = {"requests_per_minute": "requests", "tokens_per_minute": "tokens", "max_concurrent": "concurrent"}[
            refusal.name
        ]
        wait_ms = math.inf if refusal.retry_after_s is None else round(refusal.retry_after_s * 1000)
        return ("429", meta["limit_source"], name, meta["limit"], meta["remaining"], wait_ms)
    except StalePolicy as stale:
        return ("stale", stale.policy.version)
    except Unauthorized:
        return ("401",)
    except Conflict:
        return ("conflict",)
    except Unprocessable:
        return ("422",)
    match result:
        case Hold():
            return ("held", result.amount_nano)
        case bool():
            return ("beat", result)
        case None:
            return ("voided",)
        case int():
            return ("expired", result)
    if hasattr(result, "paid_nano"):
        return ("receipt", result.paid_nano, result.balance_nano, result.seq, result.duplicate)
    return ("granted", result.balance_nano, result.duplicate)


class Storm:
    """Draws operations, plays them to both ledgers, compares."""

    def __init__(self, seed: int, store: Store, accounts: Accounts, ledger: Ledger) -> None:
        self.rng = random.Random(seed)
        self.store, self.accounts, self.ledger = store, accounts, ledger
        self.model = Model(today=int(time.time() // 86_400))
        self.policies: dict[str, list] = {}
        self.ids: list[tuple[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.limited = False
        """Whether keys and organisations get rate limits."""

    async def set_up(self) -> None:
        orgs = ["default", (await self.accounts.create_org("second")).id, (await self.accounts.create_org("third")).id]
        for number, org in enumerate(orgs):
            self.model.orgs[org] = Account()
            for reset in RESETS:
                limit = self.rng.choice([None, 10**9, 5 * 10**9]) if number else 3 * 10**9
                secret, view = await self.accounts.create_key(name=reset, org=org, limit_nano=limit, reset=reset)
                self.policies[view.hash] = [await self.accounts.authenticate(secret)]
                self.model.keys[view.hash] = Key(org=org, limit=limit, reset=reset, day=0)

    def time_s(self) -> float:
        return time.time()

    def posting(self) -> tuple[str, int, int, int]:
        cost = self.rng.choice([0, 1, self.rng.randrange(10**6), self.rng.randrange(5 * 10**8)])
        fee = self.rng.choice([0, (cost * 500 + 5000) // 10_000])
        return self.rng.choice(PROVIDERS), cost, fee, self.rng.choice([cost + fee, cost + fee, 0, cost // 2])

    def losses(self) -> list[tuple[str, int, int]]:
        count = self.rng.choice([0, 0, 0, 1, 2])
        return [(self.rng.choice(PROVIDERS), self.rng.randrange(10**6), 0) for _ in range(count)]

    def operation(self):
        """(call to the ledger, answer of the model)."""
        kind = self.rng.choices(("hold", "settle", "void", "beat", "extend"), (40, 30, 9, 9, 7))[0]
        model, ledger = self.model, self.ledger
        if kind == "hold":
            if self.ids and self.rng.random() < 0.1:
                id, key_hash = self.rng.choice(self.ids[-200:])
            else:
                id, key_hash = generation_id(self.time_s()), self.rng.choice(list(self.policies))
                self.ids.append((id, key_hash))
            known = self.policies[key_hash]
            policy = known[-1] if self.rng.random() < 0.9 else self.rng.choice(known)
            amount, ttl_s = self.rng.choice([0, 10**5, self.rng.randrange(10**8)]), self.rng.choice([0.0, NEVER_S])
            tokens = self.rng.choice([0, 1, 90, self.rng.randrange(3000)])
            return (
                ledger.hold(id, policy, amount, ttl_s, tokens),
                model.hold(id, key_hash, policy.version, amount, ttl_s == 0, tokens),
            )
        if self.ids and self.rng.random() < 0.97:
            id, key_hash = self.rng.choice(self.ids[-60:])
        else:
            id, key_hash = generation_id(self.time_s()), self.rng.choice(list(self.policies))  # a hold that got lost
            self.ids.append((id, key_hash))
        org = model.keys[key_hash].org
        hold = Hold(id, org, key_hash, self.rng.randrange(10**8))
        if kind == "beat":
            posting, ttl_s = self.posting(), self.rng.choice([0.0, NEVER_S])
            return ledger.beat(hold, Posting(*posting), ttl_s), model.beat(id, posting, ttl_s == 0)
        if kind == "extend":
            more = self.rng.randrange(10**8)
            return ledger.extend(hold, more), model.extend(id, hold.amount_nano + more)
        losses = self.losses()
        lines = [Posting(provider, cost, fee, 0) for provider, cost, fee in losses]
        if kind == "void":
            return ledger.void(hold, losses=lines), model.void(id, org, key_hash, losses)
        posting, tokens = self.posting(), self.rng.choice([0, 100, self.rng.randrange(5000)])
        return (
            ledger.settle(hold, Posting(*posting), losses=lines, tokens=tokens),
            model.settle(id, org, key_hash, posting, losses, tokens),
        )

    async def batch(self, size: int) -> None:
        """Operations that travel in one write: the order of sending is the order of execution."""
        pairs = [self.operation() for _ in range(size)]
        replies = await asyncio.gather(*(answer(call) for call, _ in pairs))
        for reply, (_, expected) in zip(replies, pairs, strict=True):
            assert reply == expected
            self.seen[expected[0]] += 1

    async def interlude(self) -> None:
        """What takes more than one round trip: sweeping, granting, key changes, the passing of days."""
        kind = self.rng.choice(("expire", "grant", "grant", "change", "midnight"))
        if kind == "expire":
            tags = sorted({keys.tag(org) for org in self.model.orgs})
            order = [id.decode() for t in tags for id in await self.store.redis.zrange(keys.holds_by_expiry(t), 0, -1)]
            assert await answer(self.ledger.expire(10_000)) == self.model.expire(order)
        elif kind == "grant":
            org = self.rng.choice(list(self.model.orgs))
            amount = self.rng.choice([10**9, 2 * 10**9, -(10**8), -(10**10), 2**53 - 1])
            id = f"grant-{self.rng.randrange(300)}"
            call = self.ledger.grant(org, amount, id=id, actor="storm", reason="")
            expected = self.model.grant(org, id, amount)
            assert await answer(call) == expected
            self.seen[expected[0]] += 1
        elif kind == "change":
            key_hash = self.rng.choice(list(self.policies))
            key = self.model.keys[key_hash]
            key.limit = self.rng.choice([None, 0, 10**9, 5 * 10**9])
            key.reset, key.disabled = self.rng.choice(RESETS), self.rng.random() < 0.3
            key.version += 1
            rates = RateLimits()
            if self.limited:
                key.rate = self.rng.choice(RATES)
                rates = RateLimits(*[value or None for value in key.rate])
                await self.limit_organization()
            change = KeyChange(limit_nano=key.limit, reset=key.reset, disabled=key.disabled, **asdict(rates))
            await self.accounts.update_key(key_hash, change)
            raw = await self.accounts._call("HMGET", self.name(key_hash), "v")
            latest = self.policies[key_hash][-1]
            self.policies[key_hash].append(
                replace(
                    latest,
                    version=int(raw[0]),
                    disabled=key.disabled,
                    limit_nano=key.limit,
                    reset=key.reset,
                    limits=rates,
                )
            )
        else:
            key_hash = self.rng.choice(list(self.policies))
            key = self.model.keys[key_hash]
            key.day = self.model.today - self.rng.choice([-1, 0, 1, 3, 8, 40])
            await self.store.redis.hset(self.name(key_hash), "day", key.day)
        self.seen[kind] += 1

    async def limit_organization(self) -> None:
        org = self.rng.choice(list(self.model.orgs))
        rate = self.model.orgs[org].rate = self.rng.choice(RATES)
        await self.accounts.set_limits(
            org, {name: value or None for name, value in zip(RATE_LIMITS, rate, strict=True)}
        )

    def name(self, key_hash: str) -> str:
        return keys.api_key(keys.tag(self.model.keys[key_hash].org), key_hash)

    async def compare(self) -> None:
        """Every figure of both ledgers."""
        for org, account in self.model.orgs.items():
            balances = await self.ledger.balances(org)
            assert (balances.balance_nano, balances.held_nano) == (account.balance, account.held)
            assert (balances.used_nano, balances.seq) == (account.used, len(account.lines))
            lines, cursor = await self.ledger.journal(org, limit=10**7)
            assert cursor is None
            assert [
                (
                    line.seq,
                    line.type,
                    line.generation_id if line.part is None else f"{line.generation_id}/{line.part}",
                    line.provider,
                    line.cost_nano,
                    line.fee_nano,
                    line.user_nano,
                    line.loss_nano,
                    line.balance_nano,
                )
                for line in lines
            ] == account.lines
        for key_hash, key in self.model.keys.items():
            stored = await self.store.redis.hgetall(self.name(key_hash))
            found = {
                field.decode(): int(stored.get(field, b"0")) for field in (b"hold", b"day", b"ud", b"uw", b"um", b"ua")
            }
            usage = key.usage
            assert found == {
                "hold": key.held,
                "day": key.day,
                **{"ud": usage["daily"], "uw": usage["weekly"], "um": usage["monthly"], "ua": usage["none"]},
            }
        open_holds = {hold.id: hold.amount_nano for hold in await self.ledger.open_holds(limit=10**6)}
        assert open_holds == {id: hold.amount for id, hold in self.model.open.items()}


async def storm(seed: int, operations: int, run: Storm) -> None:
    await run.set_up()
    done = 0
    while done < operations:
        size = run.rng.randrange(1, 60)
        await run.batch(size)
        await run.interlude()
        done += size + 1
    await run.compare()
    report = await run.ledger.audit()
    assert report.clean, report.differences[:5]
    assert report.residue_nano == 0
    assert operations < 4000 or set(run.seen) >= {
        "held",
        "402",
        "401",
        "stale",
        "conflict",
        "receipt",
        "voided",
        "beat",
        "granted",
        "422",
    } | ({"429"} if run.limited else set())
    print(
        f"seed {seed}: {done} operations, 0 mismatches, residue {report.residue_nano}, {report.entries} lines, {dict(run.seen)}"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
async def test_replies_and_books_equal_the_model(part, store, accounts, ledger):
    """Random operations, duplicates, late settles, expiries, key changes and day changes: 0 mismatches, residue 0."""
    await storm(20261 + part, OPERATIONS // 4, Storm(20261 + part, store, accounts, ledger))


class Clocked(Storm):
    """A storm with rate limits. The functions read a clock that only the storm moves, so that every wait can be compared."""

    async def set_up(self) -> None:
        self.model.now_ms = (self.model.today * 24 + 6) * 3_600_000
        await self.store.redis.set(CLOCK, self.model.now_ms)
        await super().set_up()
        self.limited = True

    def time_s(self) -> float:
        return self.model.now_ms / 1000

    async def interlude(self) -> None:
        kind = self.rng.random()
        if kind < 0.6:
            self.model.now_ms += self.rng.choice([1, 40, 7_001, 59_999, 60_000, 130_000, -5_000])
            await self.store.redis.set(CLOCK, self.model.now_ms)
        else:
            for hold in self.model.open.values():
                hold.overdue = hold.expiry_ms <= self.model.now_ms
            await super().interlude()

    async def compare(self) -> None:
        await super().compare()
        for subject, name, short in [
            *((account, keys.organization(org), "o:" + org) for org, account in self.model.orgs.items()),
            *((key, self.name(hash), "k:" + hash) for hash, key in self.model.keys.items()),
        ]:
            members = await self.store.redis.zrange(name.partition(":")[0] + ":c:" + short, 0, -1)
            assert {id.decode() for id in members} == subject.running.keys()
            meter = await self.store.redis.hget(name, "meter")
            if meter is not None:
                requests, tokens, at = meter.decode().split(":")
                assert [int(requests), int(tokens)] == [level * 60_000 for level in subject.level]
                assert int(at) == subject.at_ms


@pytest.fixture
async def clocked(store, tmp_path):
    """A ledger whose functions read their time from a key."""
    text = (Path(ledger_module.__file__).with_name("functions.lua")).read_text()
    server_time = "local t = call('TIME'); return t[1] * 1000 + floor(t[2] / 1000)"
    assert server_time in text
    (tmp_path / "functions.lua").write_text(text.replace(server_time, f"return n(call('GET', '{CLOCK}'))"))
    ledger = with_functions(store, tmp_path / "functions.lua")
    await ledger.prepare()
    return ledger


@pytest.mark.timeout(600)
async def test_rate_limits_equal_the_model(store, accounts, clocked):
    """The same with limits of keys and organisations that come and go: each refusal names the same limit and the same wait."""
    await storm(20280, OPERATIONS // 4, Clocked(20280, store, accounts, clocked))


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_replies_and_books_equal_the_model_for_long(store, accounts, ledger):
    """The same with another seed each run and at least 100,000 operations; the seed is printed for a replay."""
    seed = int(os.environ.get("TOKENWAY_SEED") or time.time())
    print(f"TOKENWAY_SEED={seed}")
    await storm(seed, SOAK_OPERATIONS, Storm(seed, store, accounts, ledger))
