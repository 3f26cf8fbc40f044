"""``python -m bench.books``: what the ledger alone costs by the million requests: memory, append-only file, CPU, restart, audit.

Simulated callers drive ``Ledger.hold`` and ``Ledger.settle`` without HTTP, with records as the gateway writes them, over some
organisations with a key each. The store is an embedded one, so what it keeps is on this machine's disk. After the requests each
step of ``ENDINGS`` is done and timed. Run it alone on the machine: callers and store share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.talk import StartError
from gateway import records
from gateway.accounts import Accounts
from gateway.ledger.entries import Posting, generation_id
from gateway.ledger.ledger import Ledger
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from gateway.store.memory import default_limit
from gateway.store.policy import KeyPolicy

CREDIT_NANO = 10**15
HOLD_NANO, HOLD_S = 50_000_000, 120.0
CALL_TIMEOUT_S = 30.0
SEED = 1
MEGABYTE = 2**20
MODELS = (("openai/gpt-5-mini", "openai", "OpenAI"), ("anthropic/claude-sonnet-4.5", "anthropic", "Anthropic"))
AGENTS = ("OpenAI/Python 2.8.1", "ai-sdk/openai/3.0.0", None)


@dataclass(frozen=True, slots=True)
class Options:
    """How much is done, and after how many requests there is a row."""

    requests: int
    organizations: int
    callers: int
    row_every: int


def record(rng: random.Random, id: str, policy: KeyPolicy) -> tuple[bytes, Posting, int]:
    """A record of a plain answer of a chat as the gateway writes it, its posting, and its tokens."""
    model, provider, name = rng.choice(MODELS)
    tokens = records.Tokens(prompt=rng.randrange(50, 20_000), completion=rng.randrange(10, 2_000))
    cost = tokens.prompt * 250 + tokens.completion * 2_000
    fee = cost // 20
    endpoint = f"{model}@{provider}"
    made = records.Record(
        id=id,
        created_at=time.time(),
        organization=policy.org,
        key_hash=policy.key_hash,
        model_requested=model,
        outcome="complete",
        model=model,
        provider=provider,
        provider_name=name,
        endpoint=endpoint,
        upstream_id=f"chatcmpl-{rng.getrandbits(120):030x}",
        streamed=rng.random() < 0.7,
        finish_reason="stop",
        native_finish_reason="stop",
        attempts=(records.Attempt(endpoint, name, "ok", 200, rng.randrange(200, 3_000)),),
        tokens=tokens,
        cost_nano=cost,
        fee_nano=fee,
        total_nano=cost + fee,
        prices_femto={"prompt": 250_000_000, "completion": 2_000_000_000},
        latency_ms=rng.randrange(200, 3_000),
        generation_time_ms=rng.randrange(1_000, 60_000),
        user_agent=rng.choice(AGENTS),
        policy="balanced",
    )
    return records.encode(made), Posting(provider, cost, fee, cost + fee), tokens.prompt_total + tokens.completion_total


async def open_accounts(ledger: Ledger, accounts: Accounts, count: int) -> list[KeyPolicy]:
    """So many organisations with credit → the policy of the key of each."""
    policies: list[KeyPolicy] = []
    for number in range(count):
        organization = await accounts.create_org(f"Customer {number}")
        await ledger.grant(organization.id, CREDIT_NANO, id="bench", actor="bench", reason="bench")
        secret, _ = await accounts.create_key(name="bench", org=organization.id)
        policies.append(await accounts.authenticate(secret))
    return policies


class Facts:
    """What the store says of itself, as rows of what a stretch of requests has cost."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._before, self._since, self._done = self._read(), time.perf_counter(), 0

    def _read(self) -> dict[str, float]:
        info: Mapping[str, Any] = self._client.info()
        names = ("used_memory", "aof_current_size", "used_cpu_user", "used_cpu_sys")
        return {name: float(info[name]) for name in names}

    def row(self, done: int) -> None:
        """Print what the requests since the last row have cost; ``done``: how many there are by now."""
        now, at, count = self._read(), time.perf_counter(), done - self._done
        cpu_s = sum(now[name] - self._before[name] for name in ("used_cpu_user", "used_cpu_sys"))
        grown = now["used_memory"] - self._before["used_memory"]
        print(
            f"{done:>12,} {now['used_memory'] / MEGABYTE:>10,.0f} {grown / count:>10,.0f} "
            f"{now['aof_current_size'] / MEGABYTE:>10,.0f} {2 * count / (at - self._since):>10,.0f} {cpu_s / count * 1e6:>10.1f}",
            flush=True,
        )
        self._before, self._since, self._done = now, at, done


HEAD = f"{'requests':>12} {'memory MB':>10} {'B/request':>10} {'file MB':>10} {'calls/s':>10} {'store us':>10}"


async def drive(url: str, options: Options) -> None:
    """All requests, by so many callers at once; a row after every ``row_every``."""
    store = await connect(url, timeout_s=CALL_TIMEOUT_S)
    try:
        ledger, accounts = Ledger(store), Accounts(store)
        await ledger.prepare()
        await accounts.prepare()
        policies = await open_accounts(ledger, accounts, options.organizations)
        with redis.Redis.from_url(url) as client:
            facts = Facts(client)
            for first in range(0, options.requests, options.row_every):
                count = min(options.row_every, options.requests - first)
                shares = [count // options.callers + (n < count % options.callers) for n in range(options.callers)]
                callers = [
                    call(ledger, policies, random.Random(SEED + first + n), share) for n, share in enumerate(shares)
                ]
                await asyncio.gather(*callers)
                facts.row(first + count)
    finally:
        await store.aclose()


async def call(ledger: Ledger, policies: list[KeyPolicy], rng: random.Random, count: int) -> None:
    """One caller: so many requests, one after the other, each of some organisation."""
    for _ in range(count):
        policy = rng.choice(policies)
        id = generation_id(time.time())
        hold = await ledger.hold(id, policy, HOLD_NANO, HOLD_S)
        blob, posting, tokens = record(rng, id, policy)
        await ledger.settle(hold, posting, record=blob, tokens=tokens)


def restart(server: Embedded) -> None:
    """Stop the server and start it again: it loads everything."""
    server.stop()
    server.start()


def audit(server: Embedded) -> None:
    """The command that an operator runs. Raises StartError when the books do not balance."""
    environ = {**os.environ, "GATEWAY_REDIS_URL": server.url}
    command = [sys.executable, "-m", "gateway.cli", "reconcile"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"tokenway reconcile: exit code {done.returncode}: {(done.stdout + done.stderr)[-500:]}")


ENDINGS: Mapping[str, Callable[[Embedded], None]] = {"restart": restart, "audit (tokenway reconcile)": audit}
"""What is done and timed after the requests, in this order."""


def main() -> int:
    """Parses the command line, prints the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.books", description="Measures the ledger by the million requests."
    )
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--organizations", type=int, default=1_000)
    parser.add_argument("--callers", type=int, default=64, help="requests at once (default 64)")
    parser.add_argument("--row-every", type=int, default=1_000_000)
    parser.add_argument(
        "--dir", type=Path, help="where the store's directory is made (default: that of temporary files)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenway-books-", dir=args.dir) as directory:
        server = Embedded(Path(directory), max_memory_bytes=default_limit())
        server.start()
        try:
            print(HEAD, flush=True)
            asyncio.run(drive(server.url, Options(args.requests, args.organizations, args.callers, args.row_every)))
            for name, step in ENDINGS.items():
                since = time.perf_counter()
                step(server)
                print(f"{name}: {time.perf_counter() - since:.1f} s", flush=True)
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
