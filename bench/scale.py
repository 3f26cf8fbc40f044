"""``python -m bench.scale``: how long calls take, and what stops the store or the gateway, where there is much of everything.

A Valkey is filled with organisations, with the keys of one of them, and with open holds. A gateway and a worker run on it. Each
call of management is made a few times; meanwhile a second thread asks the same gateway for ``/healthz`` again and again, so the
longest answer to that is the longest stop of the event loop, and the store's slow log tells its longest command. Then the same is
watched for a time in which only the periodic loops run. Exit 1 when something took longer than ``--limit-ms``.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import redis

from bench.processes import CHECKOUT, cores, running
from bench.site import free_port
from bench.talk import Start, call, ready
from gateway.accounts import DEFAULT_ORG
from gateway.accounts.secret import digest, mask, mint
from gateway.ledger.entries import generation_id
from gateway.ledger.ledger import Ledger
from gateway.store import keys
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from gateway.store.policy import POLICY_FIELDS, parse_policy

ADMIN_KEY = "scale-" + secrets.token_hex(16)
BEGINNING_S = 1_700_000_000
"""When the first organisation and the first key were made; each one after it is a second younger."""
TIMES = 5
"""How often each call is made; the longest one counts."""
BATCH = 2_000
START_S = 60.0
CREDIT_NANO = 10**12


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is. The keys all belong to one organisation."""

    organizations: int
    keys: int
    holds: int


@dataclass(frozen=True, slots=True)
class Row:
    """The longest of some calls, the longest stop of the event loop meanwhile, and the store's longest command, in ms."""

    what: str
    call_ms: float
    loop_ms: float
    waited_ms: float
    """How long the gateway was ready to run meanwhile and had no core, in all: on a busy machine the times before are this."""
    store_ms: float
    command: str


def fill(client: redis.Redis, size: Size) -> tuple[list[str], list[str]]:
    """Organisations and keys as accounts write them → (ids of the organisations, hashes of the keys), oldest first."""
    ids = [f"org-{number:016d}" for number in range(size.organizations)]
    for first in range(0, len(ids), BATCH):
        pipe = client.pipeline(transaction=False)
        for number, id in enumerate(ids[first : first + BATCH], first):
            created = BEGINNING_S + number
            pipe.sadd(keys.BUCKETS_IN_USE, keys.tag(id))
            pipe.hset(
                keys.ORGANIZATIONS, id, msgspec.json.encode({"name": f"Customer {number}", "created_at": created})
            )
            pipe.zadd(keys.ORGANIZATIONS_BY_AGE, {id: created})
        pipe.execute()
    secrets_of_keys = [mint(ids[0]) for _ in range(size.keys)]
    hashes = [digest(secret) for secret in secrets_of_keys]
    for first in range(0, len(hashes), BATCH):
        pipe = client.pipeline(transaction=False)
        for number, key_hash in enumerate(hashes[first : first + BATCH], first):
            created_ms = (BEGINNING_S + number) * 1000
            pipe.hset(keys.KEY_OWNERS, key_hash, ids[0])
            pipe.zadd(keys.KEYS_BY_AGE, {key_hash: created_ms})
            pipe.zadd(keys.org_keys(ids[0]), {key_hash: created_ms})
            fields: list[str | int] = [
                "org",
                ids[0],
                "created",
                created_ms,
                "v",
                1,
                "st",
                1,
                "per",
                "n",
                "name",
                f"key {number}",
            ]
            fields += ["label", mask(secrets_of_keys[number])]
            pipe.hset(keys.api_key(keys.tag(ids[0]), key_hash), items=fields)
        pipe.execute()
    return ids, hashes


async def open_holds(url: str, org: str, hashes: Sequence[str], count: int) -> None:
    """So many requests that run, each with a key of its own as far as there are keys."""
    store = await connect(url, timeout_s=5)
    try:
        ledger, tag = Ledger(store), keys.tag(org)
        await ledger.prepare()
        await ledger.grant(org, CREDIT_NANO, id="scale", actor="bench", reason="bench")
        for number in range(count):
            key_hash = hashes[number % len(hashes)]
            policy = parse_policy(key_hash, await store.mux.call("HMGET", keys.api_key(tag, key_hash), *POLICY_FIELDS))
            if policy is None:
                raise RuntimeError(f"the key {key_hash} was not written")
            await ledger.hold(generation_id(time.time()), policy, 10_000, 3_600)
    finally:
        await store.aclose()


class Prober(threading.Thread):
    """Asks for ``/healthz`` on one connection, again and again, and remembers the longest answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.ended = False
        self.longest_ms = 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.ended:
            since = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - since) * 1000)
            time.sleep(0.002)
        connection.close()


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway that is watched."""

    port: int
    pid: int

    def waited_ms(self) -> float:
        """How long its main thread has waited for a core since it started: proc(5), ``schedstat``, the second figure."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e6


@contextmanager
def watched(client: redis.Redis, target: Target, what: str, rows: list[Row]) -> Iterator[list[float]]:
    """Append a row about the block, which puts the times of its calls in ms into the list."""
    client.slowlog_reset()
    waited_ms = target.waited_ms()
    prober, times = Prober(target.port), list[float]()
    prober.start()
    try:
        yield times
    finally:
        prober.ended = True
        prober.join()
    slow: list[dict[str, Any]] = client.slowlog_get(128)
    worst = max(slow, key=lambda entry: int(entry["duration"]), default=None)
    name = "" if worst is None else b" ".join(worst["command"].split()[:2]).decode(errors="replace")[:60]
    store_ms = 0.0 if worst is None else int(worst["duration"]) / 1000
    waited_ms = target.waited_ms() - waited_ms
    row = Row(what, max(times, default=0.0), prober.longest_ms, waited_ms, store_ms, name)
    rows.append(row)
    print(f"{what:<62} {row.call_ms:8.1f} {row.loop_ms:8.1f} {waited_ms:9.1f} {store_ms:8.1f}  {name}", flush=True)


def calls_to_make(ids: Sequence[str], hashes: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Method, path and body of every call of management that may depend on how much there is."""
    org, key, other = ids[0], hashes[len(hashes) // 2], ids[len(ids) // 2]
    deep = f"{(BEGINNING_S + len(hashes) // 2) * 1000}-{key}"
    api, orgs = "/api/v1/keys", "/api/v1/admin/organizations"
    offsets = [offset for offset in (0, 100, 1_000, 5_000, len(hashes) // 2, len(hashes) - 50) if offset < len(hashes)]
    return [
        *[("GET", f"{api}?offset={offset}", None) for offset in offsets],
        ("GET", f"{api}?include_disabled=true&include_expired=true&offset=5000", None),
        *[
            ("GET", f"{api}?{scope}cursor={cursor}", None)
            for scope in ("", f"organization_id={org}&")
            for cursor in ("", deep)
        ],
        ("GET", f"{api}/{key}", None),
        ("POST", api, {"name": "one more", "organization_id": org}),
        ("PATCH", f"{api}/{key}", {"name": "renamed"}),
        ("DELETE", f"{api}/{hashes[0]}", None),
        ("GET", orgs, None),
        ("GET", f"{orgs}?limit=500", None),
        ("GET", f"{orgs}?cursor={other}", None),
        ("POST", orgs, {"name": "one more"}),
        ("GET", f"{orgs}/{org}", None),
        ("PATCH", f"{orgs}/{org}", {"requests_per_minute": 1_000_000}),
        ("POST", f"{orgs}/{org}/credits", {"amount_usd": "1", "reason": "bench"}),
        ("GET", f"{orgs}/{org}/ledger", None),
        ("GET", "/api/v1/admin/holds?limit=100", None),
        ("GET", "/api/v1/admin/holds", None),
        ("GET", "/api/v1/credits", None),
        ("GET", f"/api/v1/generation?id={generation_id(time.time())}", None),
        ("GET", "/api/v1/models", None),
        ("GET", "/api/v1/activity", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
    ]


def measure_calls(client: redis.Redis, target: Target, ids: Sequence[str], hashes: Sequence[str]) -> list[Row]:
    """One row for each call. Raises RuntimeError for an answer that is a fault."""
    rows: list[Row] = []
    for method, path, body in calls_to_make(ids, hashes):
        with watched(client, target, f"{method} {path.replace('/api/v1', '')[:55]}", rows) as times:
            for _ in range(TIMES):
                headers = {"authorization": f"Bearer {ADMIN_KEY}", "idempotency-key": secrets.token_hex(8)}
                since = time.perf_counter()
                status, answer = call(target.port, method, path, headers=headers, body=body)
                times.append((time.perf_counter() - since) * 1000)
                if status >= 500:
                    raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
    return rows


COMMANDS = (
    ("keys", "list", "--org", DEFAULT_ORG),
    ("keys", "list"),
    ("orgs", "list"),
    ("credits", "show"),
    ("reconcile",),
)


def measure_commands(client: redis.Redis, target: Target, environ: dict[str, str]) -> list[Row]:
    """The same of the command line. A command may take its time; it may not stop the store or the gateway."""
    rows: list[Row] = []
    for command in COMMANDS:
        with watched(client, target, "tokenway " + " ".join(command), rows) as times:
            since = time.perf_counter()
            program = [sys.executable, "-m", "gateway.cli", *command]
            done = subprocess.run(program, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
            times.append((time.perf_counter() - since) * 1000)
        if done.returncode:
            print(done.stderr.decode(errors="replace")[-500:], file=sys.stderr)
    return rows


def run(size: Size, quiet_s: float, *, commands: bool, started: Callable[[], None]) -> tuple[list[Row], list[Row]]:
    """Fill, start, measure → rows of the calls and loops, rows of the commands. ``started`` is called when the gateway is ready."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenway-scale-")))
        server = Embedded(scratch / "store")
        server.start()
        stack.callback(server.stop)
        client = stack.enter_context(redis.Redis.from_url(server.url))
        client.config_set("slowlog-log-slower-than", 1_000)
        ids, hashes = fill(client, size)
        asyncio.run(open_holds(server.url, ids[0], hashes, size.holds))
        port = free_port()
        environ = {
            **os.environ,
            **{"GATEWAY_REDIS_URL": server.url, "GATEWAY_DATA_DIR": str(scratch), "GATEWAY_PORT": str(port)},
            **{"GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_AUDIT_INTERVAL_S": "1000000", "GATEWAY_LOG_LEVEL": "warning"},
        }
        program, core = [sys.executable, "-m", "gateway.cli"], cores()
        log = scratch / "gateway.log"
        child = stack.enter_context(running([*program, "serve"], core=core.server, log=log, env=environ, cwd=CHECKOUT))
        target = Target(port, child.pid)
        Start(child, log, time.monotonic()).wait(lambda: ready(port, "/readyz"), START_S)
        worker_log = scratch / "worker.log"
        stack.enter_context(running([*program, "worker"], core=core.load, log=worker_log, env=environ, cwd=CHECKOUT))
        started()
        rows: list[Row] = []
        with watched(client, target, "the indexes of an earlier version are completed", rows):
            while not client.exists(keys.DOUBTFUL_KEYS_COMPLETE):
                time.sleep(0.1)
        rows += measure_calls(client, target, ids, hashes)
        with watched(client, target, f"periodic loops alone, {quiet_s:.0f} s", rows):
            time.sleep(quiet_s)
        return rows, measure_commands(client, target, environ) if commands else []


def main() -> int:
    """Parses the command line, prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description="Measures calls where there is much of everything."
    )
    parser.add_argument("--organizations", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=200_000, help="of one organisation (default 200000)")
    parser.add_argument("--holds", type=int, default=5_000, help="requests that run (default 5000)")
    parser.add_argument("--quiet-s", type=float, default=40.0, help="how long the loops alone are watched (default 40)")
    parser.add_argument("--no-commands", action="store_true", help="leave out the command line, which takes minutes")
    parser.add_argument("--limit-ms", type=float, default=50.0, help="what nothing may exceed (default 50)")
    args = parser.parse_args()

    def head() -> None:
        print(f"{'what':<62} {'call ms':>8} {'loop ms':>8} {'waited ms':>9} {'store ms':>8}  longest command")

    size = Size(args.organizations, args.keys, args.holds)
    rows, commands = run(size, args.quiet_s, commands=not args.no_commands, started=head)
    over = [row.what for row in rows if max(row.call_ms, row.loop_ms, row.store_ms) > args.limit_ms]
    over += [row.what for row in commands if max(row.loop_ms, row.store_ms) > args.limit_ms]
    print(f"over {args.limit_ms:.0f} ms: {', '.join(over) or 'nothing'}")
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
