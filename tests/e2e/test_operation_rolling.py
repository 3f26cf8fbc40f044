"""The data that the released 0.1.0 gateway left in Redis is served by this one, and the other way round, both at once.

The released one is its source at the commit that was released, in a directory of its own: a process with the same Python and
the same libraries, but with the packages of that time. Between the two lies one real Valkey, as during a rolling upgrade.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store import analytics_keys
from gateway.store import keys as store_keys
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded
from simulator import SimulatedVendor
from tests.support.gateway import ADMIN_KEY, PATIENT_LEDGER_S, Sale, write_catalog
from tests.support.invariants import nano, price
from tests.support.process import ROOT, Process, command, ended
from tests.support.vendor import vendors

pytestmark = pytest.mark.soak  # each starts both versions, the released one from its own source

RELEASED = "64b808ba7abde90a659e86855a2c6de35cae8b06"
"""The commit of 0.1.0."""
PACKAGES = ("gateway", "providers")
SHOPS = ("alpha", "beta", "gamma", "delta")
SALES = [
    Sale("t/a", "alpha", "ok+tokens=5"),
    Sale("t/slow", "alpha", "ok+tokens=25+tps=50", completion="7"),
    Sale("t/cached", "alpha", "ok+tokens=9+reasoning=4+cached=2"),
    Sale("t/cut", "alpha", "cut@3"),
    Sale("t/empty", "alpha", "emptybody"),
    Sale("t/held", "alpha", "stall@7"),
    *[
        sale
        for model, provider, fault in (
            ("t/limited", "alpha", "status=429+retry_after=60"),
            ("t/limited-too", "alpha", "status=429+retry_after=60"),
            ("t/refused", "gamma", "status=401"),
            ("t/refused-too", "delta", "status=401"),
            ("t/broken", "alpha", "status=500"),
            ("t/broken-too", "alpha", "status=500"),
        )
        for sale in (
            Sale(model, provider, fault, prompt="0.001", completion="0.001"),
            Sale(model, "beta", "ok+tokens=6", prompt="10", completion="10"),
        )
    ],
]
HELLO = [{"role": "user", "content": "hello"}]
HOLD_TTL_S = 5
PATIENCE_S = 30
ADDED = {
    "category", "analytics", "next_cursor", "requests_per_minute", "tokens_per_minute", "max_concurrent",
    "abandoned_requests", "abandoned_usage",
}  # fmt: skip
"""Of keys and organisations: what requests are about, who may tell, and rate limits."""
ORGANIZATIONS = "/api/v1/admin/organizations"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released packages, out of the history, in an empty directory."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed: the released version is taken from the history")
    known = subprocess.run(
        [git, "cat-file", "-e", f"{RELEASED}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode != 0:
        pytest.skip(f"the commit of 0.1.0, {RELEASED[:7]}, is not in this clone: it is shallow, or no clone at all")
    root = tmp_path_factory.mktemp("released")
    archive = root / "source.tar"
    subprocess.run([git, "archive", "--output", archive, RELEASED, *PACKAGES], cwd=ROOT, check=True)
    with tarfile.open(archive) as source:
        source.extractall(root, filter="data")
    archive.unlink()
    return root


# -- one version, and the answers that it gave --------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """One generation, as its caller got it."""

    id: str
    org: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: int
    """Nano-dollars."""


@dataclass(frozen=True)
class Key:
    """An inference key and whose it is."""

    secret: str
    org: str

    @property
    def path(self) -> str:
        return f"/api/v1/keys/{sha256(self.secret.encode()).hexdigest()}"


@dataclass
class Side:
    """A running gateway of one version, its client, and the generations that it answered."""

    process: Process
    client: httpx.AsyncClient
    answered: list[Answered] = field(default_factory=list)

    async def admin(self, method: str, path: str, body: object = None, *, status: int = 200, **headers: str) -> Any:
        """One call of the management API; its answer, with exact amounts."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}", **headers}
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return json.loads(answer.text, parse_float=Decimal)

    async def org(self, name: str) -> str:
        """A new organisation."""
        made = await self.admin("POST", ORGANIZATIONS, {"name": name}, status=201)
        id: str = made["data"]["id"]
        return id

    async def grant(self, org: str, usd: str, id: str) -> None:
        """Credits, once per id."""
        body = {"amount_usd": usd, "reason": "test"}
        await self.admin("POST", f"{ORGANIZATIONS}/{org}/credits", body, status=201, **{"idempotency-key": id})

    async def key(self, org: str, **options: object) -> Key:
        """A new key."""
        made = await self.admin("POST", "/api/v1/keys", {"name": "test", "organization_id": org, **options}, status=201)
        return Key(made["key"], org)

    async def post(self, key: Key, model: str, surface: str = "chat/completions", **more: Any) -> httpx.Response:
        """One inference request."""
        headers = {"authorization": f"Bearer {key.secret}", "http-referer": "https://shop.test/", "x-title": "Shop"}
        body = {"model": model, **({} if {"input", "prompt"} & more.keys() else {"messages": HELLO}), **more}
        return await self.client.post(f"/api/v1/{surface}", json=body, headers=headers)

    async def status(self, key: Key, model: str = "t/a") -> int:
        """The status of one request. A successful one is added to ``answered``."""
        answer = await self.post(key, model)
        if answer.status_code == 200:
            self._keep(answer, key, model, json.loads(answer.text, parse_float=Decimal))
        return answer.status_code

    async def chat(self, key: Key, model: str = "t/a", *, stream: bool = False, **more: Any) -> dict[str, Any]:
        """One chat completion, whole or streamed, that must succeed; the document that carries its usage."""
        answer = await self.post(key, model, stream=stream, **more)
        assert answer.status_code == 200, answer.text
        text = answer.text
        if stream:
            data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            assert data[-1] == "[DONE]"
            text = next(each for each in reversed(data) if '"usage"' in each)
        document: dict[str, Any] = json.loads(text, parse_float=Decimal)
        self._keep(answer, key, model, document)
        return document

    def _keep(self, answer: httpx.Response, key: Key, model: str, document: Mapping[str, Any]) -> None:
        usage = document["usage"]
        counts = usage["prompt_tokens"], usage["completion_tokens"]
        assert document["id"] == answer.headers["x-generation-id"]
        self.answered.append(Answered(document["id"], key.org, model, *counts, nano(Decimal(usage["cost"]))))

    async def generation(self, key: Key, id: str) -> Any:
        """``GET /generation``, as the owner of the key sees it."""
        headers = {"authorization": f"Bearer {key.secret}"}
        answer = await self.client.get(f"/api/v1/generation?id={id}", headers=headers)
        assert answer.status_code == 200, answer.text
        seen = json.loads(answer.text, parse_float=Decimal)["data"]
        for attempt in seen["provider_responses"]:
            attempt.pop("message", None)  # the vendor's words, which the released version does not know
        return seen

    async def lines(self, org: str) -> list[Mapping[str, Any]]:
        """The organisation's journal without grants."""
        page = await self.admin("GET", f"{ORGANIZATIONS}/{org}/ledger?limit=1000")
        assert page["next_cursor"] is None
        return [line for line in page["data"] if line["type"] != "grant"]

    async def doubts(self, model: str, provider: str) -> bool:
        """Whether it keeps requests away from this provider's endpoint of the model, or would only try it."""
        plan = (await self.admin("GET", f"/api/v1/admin/routing?model={model}"))["data"]
        return (provider, "closed") not in {(each["provider"], each["state"]) for each in plan["candidates"]}

    def quiet(self) -> None:
        """It logged no error and no fault of its own."""
        loud = [line for line in self.process.lines() if line.get("level") in ("error", "critical")]
        assert not loud, loud


def process(released: Path | None, config: Path, data: Path, url: str) -> Process:
    """A gateway, not yet started: the released version, or (None) this one."""
    settings = {
        "redis_url": url, "hold_ttl_s": HOLD_TTL_S, "beat_interval_s": 0.2, "expire_interval_s": 0.3,
        "health_share_interval_s": 0.2, "ledger_timeout_s": PATIENT_LEDGER_S,
    }  # fmt: skip
    made = Process(config, data, root=released or ROOT, **settings)
    made.env = environment_of(released, made.env)
    return made


def environment_of(released: Path | None, env: Mapping[str, str]) -> dict[str, str]:
    """This environment for a version's packages. The released ones make byte code, or each process would compile them again;
    their coverage is not measured."""
    if released is None:
        return {**env, "PYTHONPATH": str(ROOT)}
    kept = {name: text for name, text in env.items() if name != "PYTHONDONTWRITEBYTECODE" and "COVERAGE" not in name}
    return {**kept, "PYTHONPATH": str(released)}


@asynccontextmanager
async def up(*gateways: Process) -> AsyncIterator[list[Side]]:
    """Started together and ready; nothing of them is left behind."""
    async with AsyncExitStack() as stack:
        for gateway in gateways:
            stack.push_async_callback(ended, gateway)
        async with asyncio.TaskGroup() as starting:
            for gateway in gateways:
                starting.create_task(gateway.start())
        clients = [httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE_S) for gateway in gateways]
        yield [
            Side(gateway, await stack.enter_async_context(client))
            for gateway, client in zip(gateways, clients, strict=True)
        ]


async def soon(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until it holds, and what it then is."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := await condition()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)
    return found


async def reconciled(gateway: Process, *versions: Path | None) -> None:
    """``tokenway reconcile`` of these versions: the books balance, and all of them see the same books."""
    reports = []
    for done in await asyncio.gather(
        *(
            command("reconcile", "--json", env=environment_of(version, gateway.env), root=version or ROOT)
            for version in versions
        )
    ):
        assert done[0] == 0, done
        reports.append(json.loads(done[1]))
    assert all(report == reports[0] for report in reports)
    money = ("held_usd", "residue_usd")
    assert (reports[0]["clean"], reports[0]["open_holds"], *(Decimal(reports[0][name]) for name in money)) == (
        True,
        0,
        0,
        0,
    )


async def charged_as_answered(side: Side, answered: list[Answered]) -> dict[str, int]:
    """Every organisation's journal and account charge what its callers' answers say. Returns the costs of expired holds."""
    expired: dict[str, int] = {}
    for org in {each.org for each in answered}:
        mine = {each.id: each.cost for each in answered if each.org == org}
        lines = {line["generation_id"]: line for line in await side.lines(org)}
        settled = {id: nano(Decimal(line["paid_usd"])) for id, line in lines.items() if line["type"] == "settled"}
        overdue = {id: nano(Decimal(line["paid_usd"])) for id, line in lines.items() if line["type"] == "expired"}
        assert settled == mine
        expired |= overdue
        assert len(lines) == len(settled) + len(overdue)
        account = (await side.admin("GET", f"{ORGANIZATIONS}/{org}"))["data"]
        assert nano(Decimal(account["total_usage_usd"])) == sum(mine.values()) + sum(overdue.values())
        assert nano(Decimal(account["held_usd"])) == 0
    return expired


# -- what lies in Redis, without what differs from run to run ------------------------------------------------------------

ALIKE = [
    (re.compile(r"\{l\d+\}"), "{l}"),
    (re.compile(r"gen-\d{10}-\w{20}"), "<generation>"),
    (re.compile(r"org-[a-z0-9]{16}|(?<=[:gojk]:)default$|^default$"), "<organization>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<key hash>"),
    (re.compile(r"sk-\S+"), "<label>"),
    (re.compile(r"(?<=^\{l\}:d:)\d+$|(?<=:10:)\d+$|(?<=:1800:)\d+$"), "<span>"),
    (re.compile(r"^\S+ [0-9a-f]{8}$"), "<endpoint> <writer>"),
    (re.compile(r" [0-9a-f]{8}$"), " <writer>"),
    (re.compile(r"\b[0-9a-f]{40}$"), "<digest>"),
]
ADDED_FACT, ADDED_LEAF = b"limited ", ".attempts[].message: str"
"""What the released version neither writes nor reads: that a pause is one of a rate limit, and a vendor's words about an attempt."""
ADDED_KEYS = frozenset(
    name.encode()
    for name in (
        store_keys.READY,
        store_keys.CONVERSATIONS,
        store_keys.ORGANIZATIONS_BY_AGE,
        store_keys.DOUBTFUL_KEYS,
        store_keys.DOUBTFUL_KEYS_COMPLETE,
        store_keys.CLOSING_LEASE,
        store_keys.BOOKS,
    )
)
"""Keys that the released version does not have: they expire by themselves, or are made good when they are read."""
ADDED_PREFIX = analytics_keys.PREFIX.encode()
"""Use is counted by later versions only."""
ADDED_INDEX = re.compile(rb"\{l\d+\}:kd:")
"""As ``DOUBTFUL_KEYS``, of an organisation."""
NUMBER = re.compile(r"\d+")
COUNTS = re.compile(r"((ok|fail|[ts]-?\d+) \d+ ?)+")
"""Of an endpoint's health. Which spans of time and speed occur is up to the clock."""


def alike(text: bytes) -> str:
    """A key, field or value with its ids exchanged for what they are."""
    found = text.decode()
    for form, name in ALIKE:
        found = form.sub(name, found)
    return found


def form_of(value: bytes) -> str:
    """How a value is written: long numbers (times, balances) by their length, short ones as such, JSON by its fields."""
    text = alike(value)
    head, brace, _ = text.partition("{")
    if brace and text.endswith("}"):
        return plain(head) + ",".join(sorted(leaves(json.loads(text[len(head) :])) - {ADDED_LEAF}))
    return "counts" if COUNTS.fullmatch(text) else plain(text)


def plain(text: str) -> str:
    """A text with its numbers exchanged for their lengths."""
    return NUMBER.sub(lambda found: f"<{len(found[0])} digits>" if len(found[0]) >= 10 else "<number>", text)


def leaves(document: Any, path: str = "") -> set[str]:
    """The paths of a document's leaves, each with its type."""
    if isinstance(document, dict):
        return {leaf for name, each in document.items() for leaf in leaves(each, f"{path}.{name}")}
    if isinstance(document, list):
        return {leaf for each in document for leaf in leaves(each, f"{path}[]")}
    return {f"{path}: {type(document).__name__}"}


async def shape(store: Store) -> dict[str, tuple[str, dict[str, set[str]]]]:
    """Key pattern → its type, and of a hash or stream the fields with the forms of their values; of a zset or set its members."""
    client, found = store.redis, {}
    for name in set(await client.keys()) - ADDED_KEYS:
        if name.startswith(ADDED_PREFIX) or ADDED_INDEX.match(name):
            continue
        kind = (await client.type(name)).decode()
        match kind:
            case "hash":
                pairs = list((await client.hgetall(name)).items())
            case "stream":
                pairs = [pair for _, fields in await client.xrange(name) for pair in fields.items()]
            case "string":
                pairs = [(b"", await client.get(name))]
            case "zset":
                pairs = [(member, b"%d" % score) for member, score in await client.zrange(name, 0, -1, withscores=True)]
            case "set":
                pairs = [(member, b"") for member in await client.smembers(name)]
            case _:
                raise AssertionError(f"{name!r} is a {kind}")
        was, fields = found.setdefault(alike(name), (kind, {}))
        assert was == kind, name
        for field_name, value in pairs:
            if field_name.startswith(ADDED_FACT):
                continue
            fields.setdefault(alike(field_name), set()).add(form_of(value))
    return found


async def test_each_process_runs_its_own_packages(released: Path, tmp_path: Path) -> None:
    """The released gateway imports nothing of this checkout and this one nothing of the released: no false comparison."""
    script = "import gateway, providers, json; print(json.dumps([*gateway.__path__, *providers.__path__]))"
    for root, version in ((released, released), (ROOT, None)):
        gateway = process(version, tmp_path, tmp_path / "data", "unix:///none")
        probe = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script), env=gateway.env, cwd=gateway.root, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await probe.communicate()
        assert [Path(found) for found in json.loads(out)] == [root / package for package in PACKAGES]


# -- one version alone, then the other ------------------------------------------------------------------------------------


@dataclass
class Running:
    """A stream whose vendor stalls after seven tokens."""

    id: str
    org: str
    reader: asyncio.Task[str]
    """Ends with what the caller got."""


async def hanging(side: Side, key: Key) -> Running:
    """One of them, once its seven tokens have arrived."""
    arrived = asyncio.Event()
    ids: list[str] = []

    async def read() -> str:
        got = ""
        headers = {"authorization": f"Bearer {key.secret}"}
        body = {"model": "t/held", "stream": True, "messages": HELLO}
        try:
            async with side.client.stream("POST", "/api/v1/chat/completions", json=body, headers=headers) as answer:
                ids.append(answer.headers["x-generation-id"])
                async for text in answer.aiter_text():
                    got += text
                    if got.count('"content":"') >= 7:
                        arrived.set()
        except httpx.TransportError:
            pass
        finally:
            arrived.set()
        return got

    reader = asyncio.create_task(read())
    async with asyncio.timeout(PATIENCE_S):
        await arrived.wait()
    assert not reader.done()
    return Running(ids[0], key.org, reader)


async def checkpoints(store: Store, running: list[Running]) -> dict[str, int]:
    """What each of them would be charged if its gateway died now, once that includes its seven tokens."""
    least = price(next(sale for sale in SALES if sale.model == "t/held"), 1, 7).total
    found: dict[str, int] = {}
    for each in running:
        (name,) = await store.redis.keys(f"*:h:{each.id}")
        found[each.id] = int(await store.redis.hget(name, "w") or 0)
    return found if min(found.values()) >= least else {}


async def health_is_written(store: Store) -> bool:
    """Whether every kind of health state that ``a_day`` causes has been written for the other processes."""
    facts = {field.split(b" ")[0] for field in await store.redis.hkeys("tw:health:facts")}
    return facts >= {b"cooling", b"breaker", b"credential"}


@dataclass
class Day:
    """What a gateway that ran alone left behind when it was killed."""

    keys: list[Key]
    answered: list[Answered]
    checkpoints: dict[str, int]
    shape: dict[str, tuple[str, dict[str, set[str]]]]
    requests: int
    """Requests that the vendors saw."""


async def a_day(side: Side, store: Store, sims: tuple[SimulatedVendor, ...]) -> Day:
    """Everything that leaves something in Redis, while three streams run; then SIGKILL."""
    keys: list[Key] = []
    for org in ("default", await side.org("Shop")):
        await side.grant(org, "100", "first")
        await side.grant(org, "-1.5", "second")
        keys.append(await side.key(org))
        keys.append(await side.key(org, limit=50, limit_reset="weekly", expires_at="2099-01-01T00:00:00Z"))
        await side.admin("PATCH", keys[-1].path, {"name": "changed", "limit_reset": "daily"})
        await side.admin("DELETE", (await side.key(org)).path)
        for key in keys[-2:]:
            await side.chat(key, user="someone", session_id="one")
            await side.chat(key, "t/cached", stream=True)
    odd = await side.key(await side.org("Odd"))
    await side.grant(odd.org, "100", "first")
    for surface, more in (
        ("messages", {"max_tokens": 9}),
        ("responses", {"input": "hello"}),
        ("completions", {"prompt": "hello"}),
    ):
        answer = await side.post(odd, "t/a", surface, **more)
        assert answer.status_code == 200, answer.text
    assert '"error"' in (await side.post(odd, "t/cut", stream=True)).text
    assert (await side.post(odd, "t/empty")).status_code >= 500
    for _ in range(5):  # in a row: its breaker opens
        assert (await side.post(odd, "t/broken", provider={"only": ["alpha"]})).status_code >= 500
    for model in ("t/limited", "t/refused"):
        assert (await side.chat(odd, model))["provider"] == "Beta"
    side.answered = [each for each in side.answered if each.org != odd.org]
    running = [await hanging(side, key) for key in keys[:3]]
    charges = await soon(lambda: checkpoints(store, running))
    await soon(lambda: health_is_written(store))
    left = Day(keys, side.answered, charges, await shape(store), sum(len(sim.log.requests) for sim in sims))
    side.quiet()
    await side.process.kill()
    for each in running:
        assert "[DONE]" not in await each.reader
    return left


async def goes_on(side: Side, left: Day) -> None:
    """The other version, started on what was left: it knows the health, shows the records, serves the keys, ends the holds."""
    for model in ("t/limited", "t/broken"):
        await soon(lambda model=model: side.doubts(model, "alpha"))
    for each in left.answered:
        key = next(key for key in left.keys if key.org == each.org)
        seen = await side.generation(key, each.id)
        assert (nano(seen["total_cost"]), seen["model"]) == (each.cost, each.model)
        assert (seen["tokens_prompt"], seen["tokens_completion"]) == (each.prompt_tokens, each.completion_tokens)
    for key in left.keys:
        await side.grant(key.org, "100", "first")  # repeated: no second grant
        await side.chat(key)
        await side.chat(key, stream=True)

    async def nothing_held() -> bool:
        return not (await side.admin("GET", "/api/v1/admin/holds"))["data"]

    await soon(nothing_held)
    assert await charged_as_answered(side, left.answered + side.answered) == left.checkpoints
    assert (await side.admin("GET", "/api/v1/admin/audit"))["clean"]
    side.quiet()


async def test_each_version_goes_on_with_the_others_data(released: Path, tmp_path: Path) -> None:
    """Each version alone does the same day's work and is killed. Both left keys of the same names, types and fields with values
    of the same form; and the other version, started on them, serves the keys, shows the records, and charges what was held."""

    async def alone_then_other(name: str, first: Path | None, second: Path | None) -> Day:
        async with AsyncExitStack() as stack:
            valkey = Embedded(tmp_path / f"valkey-{name}")
            stack.callback(valkey.stop)
            valkey.start()
            sims = await stack.enter_async_context(vendors(*SHOPS))
            config = write_catalog(tmp_path / f"config-{name}", {sim.name: sim.base_url for sim in sims}, SALES)
            store = await connect(valkey.url, timeout_s=5)
            stack.push_async_callback(store.aclose)
            before, after = (
                process(version, config, tmp_path / f"{name}-{when}", valkey.url)
                for version, when in ((first, "before"), (second, "after"))
            )
            async with up(before) as (side,):
                left = await a_day(side, store, sims)
            async with up(after) as (side,):
                await goes_on(side, left)
                await reconciled(after, first)
                assert await after.stop() == 0
            return left

    async with asyncio.TaskGroup() as both:
        old = both.create_task(alone_then_other("old", released, None))
        new = both.create_task(alone_then_other("new", None, released))
    before, now = old.result(), new.result()
    assert now.shape == before.shape
    assert [each.cost for each in now.answered] == [each.cost for each in before.answered]
    assert list(now.checkpoints.values()) == list(before.checkpoints.values())
    assert now.requests == before.requests


# -- both at once ----------------------------------------------------------------------------------------------------------


def known_to_both(shown: Any) -> Any:
    """An answer without the fields that the released version does not have."""
    if isinstance(shown, list):
        return [known_to_both(each) for each in shown]
    if isinstance(shown, dict):
        return {name: known_to_both(value) for name, value in shown.items() if name not in ADDED}
    return shown


async def accounts_are_shared(one: Side, other: Side) -> None:
    """Organisations, credit and keys that one made, the other shows in the same words, grants once, and serves."""
    org = await one.org("Made here")
    await one.grant(org, "5", "a")
    key = await one.key(org, limit=3, limit_reset="monthly", expires_at="2099-01-01T00:00:00Z")
    assert await other.chat(key)
    await other.grant(org, "5", "a")  # again: no second one
    await other.admin(
        "POST",
        f"{ORGANIZATIONS}/{org}/credits",
        {"amount_usd": "6", "reason": "test"},
        status=409,
        **{"idempotency-key": "a"},
    )
    await other.grant(org, "2.5", "b")
    paths = (
        *("/api/v1/keys", key.path, ORGANIZATIONS, f"{ORGANIZATIONS}/{org}", f"{ORGANIZATIONS}/{org}/ledger"),
        *(f"/api/v1/credits?organization_id={org}", "/api/v1/admin/holds", "/api/v1/admin/audit"),
    )
    async with asyncio.timeout(PATIENCE_S):  # what the released version makes is in the index some seconds later
        while known_to_both(await one.admin("GET", ORGANIZATIONS)) != known_to_both(
            await other.admin("GET", ORGANIZATIONS)
        ):
            await asyncio.sleep(0.5)
    for path in paths:
        assert known_to_both(await one.admin("GET", path)) == known_to_both(await other.admin("GET", path)), path
    assert (await one.admin("GET", f"/api/v1/credits?organization_id={org}"))["data"]["total_credits"] == Decimal("7.5")


async def policies_are_obeyed(one: Side, other: Side) -> None:
    """Both know the key; what one then changes, the other obeys at its next request, and so does a key that is back."""
    org = await one.org("Changed")
    await one.grant(org, "5", "a")
    key = await other.key(org)
    for side in (one, other):
        assert await side.status(key) == 200
    for change, status in (
        ({"limit": 0.000001}, 402),
        ({"limit": None}, 200),
        ({"disabled": True}, 401),
        ({"disabled": False}, 200),
        ({"limit": 1, "limit_reset": "daily", "expires_at": "2099-01-01T00:00:00Z", "name": "back"}, 200),
        (None, 401),
    ):
        await one.admin("DELETE" if change is None else "PATCH", key.path, change)
        assert [await side.status(key) for side in (other, one)] == [status, status], change


async def health_is_shared(one: Side, other: Side, key: Key, models: tuple[str, str, str]) -> None:
    """An endpoint that one found limited, broken or refusing its key gets no request from the other."""
    limited, refused, broken = models
    for _ in range(5):
        assert (await one.post(key, broken, provider={"only": ["alpha"]})).status_code >= 500
    for model in (limited, refused):
        assert (await one.chat(key, model))["provider"] == "Beta"
    for model in models:
        provider = next(sale.provider for sale in SALES if sale.model == model)
        await soon(lambda model=model, provider=provider: other.doubts(model, provider))


async def traffic(old: Side, new: Side, keys: list[Key]) -> None:
    """Dozens of requests at once, whole and streamed, with every key at both, while each changes what the other serves."""

    async def changes(side: Side, key: Key) -> None:
        for number in range(4):
            await side.admin("PATCH", key.path, {"name": f"change {number}", "limit": 40 + number})
            await side.grant(key.org, "0.25", f"{key.path[-8:]} {number}")
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for key in keys:
            for side in (old, new):
                group.create_task(changes(side, key))
                for number in range(12):
                    model = ("t/a", "t/slow", "t/cached")[number % 3]
                    group.create_task(side.chat(key, model, stream=number % 2 == 0))


async def test_both_serve_at_once(released: Path, tmp_path: Path, store: Store, valkey_server: Embedded) -> None:
    """Keys, credits, policies, health and records of one are those of the other while both serve; the released one then leaves
    in order. Each charge is the cost in the caller's answer and that of the vendor's own count; both versions' audits agree."""
    async with AsyncExitStack() as stack:
        sims = {sim.name: sim for sim in await stack.enter_async_context(vendors(*SHOPS))}
        config = write_catalog(tmp_path / "config", {name: sim.base_url for name, sim in sims.items()}, SALES)
        gateways = [
            process(version, config, tmp_path / name, valkey_server.url)
            for name, version in (("old", released), ("new", None))
        ]
        old, new = await stack.enter_async_context(up(*gateways))
        for one, other in ((old, new), (new, old)):
            await accounts_are_shared(one, other)
            await policies_are_obeyed(one, other)
        keys = []
        for side in (old, new):
            org = await side.org("Traffic")
            await side.grant(org, "50", "first")
            keys.append(await side.key(org))
        await health_is_shared(old, new, keys[0], ("t/limited", "t/refused", "t/broken"))
        await health_is_shared(new, old, keys[1], ("t/limited-too", "t/refused-too", "t/broken-too"))
        counts = [len(sim.log.requests) for name, sim in sims.items() if name != "beta"]
        for side in (old, new):
            for model in ("t/limited", "t/limited-too", "t/refused", "t/refused-too"):
                assert (await side.chat(keys[0], model))["provider"] == "Beta"
        assert counts == [len(sim.log.requests) for name, sim in sims.items() if name != "beta"]
        await traffic(old, new, keys)
        for one, other in ((old, new), (new, old)):
            assert len(one.answered) > 30
            owner = {key.org: key for key in keys}
            for each in one.answered:
                if each.org in owner:
                    seen = await other.generation(owner[each.org], each.id)
                    assert seen == await one.generation(owner[each.org], each.id)
                    assert nano(seen["total_cost"]) == each.cost
        await leaves_in_order(old, keys)
        assert await new.chat(keys[0], stream=True)
        answered = old.answered + new.answered
        assert await charged_as_answered(new, answered) == {}
        costs_what_the_vendors_count(answered, sims)
        old.quiet()
        new.quiet()
        await reconciled(new.process, None, released)


async def leaves_in_order(side: Side, keys: list[Key]) -> None:
    """SIGTERM while streams run: they are served to their end, and then it exits with 0."""
    streams = [asyncio.create_task(side.chat(key, "t/slow", stream=True)) for key in keys]

    async def running() -> bool:
        holds = (await side.admin("GET", "/api/v1/admin/holds"))["data"]
        return len(holds) == len(keys) or all(stream.done() for stream in streams)

    await soon(running)
    assert await side.process.stop() == 0, side.process.output()
    await asyncio.gather(*streams)


def costs_what_the_vendors_count(answered: list[Answered], sims: Mapping[str, SimulatedVendor]) -> None:
    """The costs in the answers are the prices of the tokens that the vendor logged, model by model."""
    for sale in SALES[:3]:
        mine = [each for each in answered if each.model == sale.model]
        book = [entry for entry in sims[sale.provider].log.requests if entry.model == sale.upstream_id]
        assert sorted((each.prompt_tokens, each.completion_tokens) for each in mine) == sorted(
            (entry.billed_prompt_tokens, entry.billed_completion_tokens) for entry in book
        )
        if "cached" not in sale.model:
            assert all(each.cost == price(sale, each.prompt_tokens, each.completion_tokens).total for each in mine)
