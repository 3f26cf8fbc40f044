"""Two health registries and a real Valkey: what one process records, the other knows a second later."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.health.registry import HealthRegistry, Observation
from gateway.health.shared_counters import BACKLOG_PER_TURN, BATCH, SHORT
from gateway.store import health_keys
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded
from gateway.store.errors import StoreError
from tests.support.market import Clock

M, N = "a/m@acme/m", "a/n@acme/n"
GOOD = Observation(ok=True, ttft_ms=200.0, tokens_per_s=50.0)
BAD = Observation(ok=False, kind="server_error", attributed_to="endpoint")


def registries(count: int, clock: Clock) -> list[HealthRegistry]:
    return [HealthRegistry(clock, rng=random.Random(number)) for number in range(count)]


async def beat(clock: Clock, store: Store, *all_of_them: HealthRegistry, seconds: int = 1) -> None:
    for _ in range(seconds):
        clock.pass_(1)
        for registry in all_of_them:
            await registry.share(store)


async def test_counts_add_up_once(store: Store) -> None:
    """After a few flushes every process shows the sum of all, and no flush counts anything twice."""
    clock = Clock()
    here, there, third = registries(3, clock)
    for registry, good in ((here, 10), (there, 20), (third, 5)):
        for _ in range(good):
            registry.observe(M, GOOD)
    there.observe(M, BAD)
    await beat(clock, store, here, there, third, seconds=12)
    for registry in (here, there, third):
        health = registry.view(M)
        assert health.attempts == 36
        assert health.uptime_5m == health.uptime_1d == pytest.approx(100 * 35 / 36, abs=0.001)
        assert health.ttft_ms is not None
        assert health.ttft_ms.p50 == pytest.approx(200, rel=0.03)


async def test_ongoing_traffic(store: Store) -> None:
    """With traffic in every second over several buckets, two processes agree on the total."""
    clock = Clock()
    here, there = registries(2, clock)
    for second in range(45):
        for _ in range(1 + second % 3):
            here.observe(M, GOOD)
        there.observe(M, GOOD if second % 5 else BAD)
        await beat(clock, store, here, there)
    await beat(clock, store, here, there)
    expected = sum(1 + second % 3 for second in range(45)) + 45
    assert here.view(M).attempts == there.view(M).attempts == expected
    assert here.view(M).uptime_30m == there.view(M).uptime_30m


async def test_breaker_edges_travel(store: Store) -> None:
    """An endpoint that opened here is avoided there; one that closed there is used here again."""
    clock = Clock()
    here, there = registries(2, clock)
    for _ in range(5):
        here.observe(M, BAD)
    await beat(clock, store, here, there)
    assert (there.view(M).state, there.view(M).reason) == ("open", "breaker")
    clock.pass_(6)
    for _ in range(3):
        assert there.probe(M)
        there.observe(M, GOOD)
    await beat(clock, store, there, here)
    assert here.view(M).state == "closed"
    await beat(clock, store, there, here, seconds=3)
    assert here.view(M).state == there.view(M).state == "closed"


async def test_cooling_travels_and_never_shrinks(store: Store) -> None:
    """The longest Retry-After of all processes holds everywhere, whichever process writes last."""
    clock = Clock()
    here, there = registries(2, clock)
    here.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=90))
    there.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=10))
    await beat(clock, store, here, there, seconds=2)
    assert here.view(M).wait_s == there.view(M).wait_s == 88


async def test_credential_travels(store: Store) -> None:
    """A key refused here keeps every endpoint of the vendor out there."""
    clock = Clock()
    here, there = registries(2, clock)
    here.observe(M, Observation(ok=False, attributed_to="credential"))
    await beat(clock, store, here, there)
    assert there.view(N).reason == "credential"


async def test_a_key_that_works_elsewhere_is_not_refused(store: Store) -> None:
    """A success in any process within the last minute speaks against one process's refusal, in both."""
    clock = Clock()
    here, there = registries(2, clock)
    there.observe(N, GOOD)
    await beat(clock, store, there, here)
    here.observe(M, Observation(ok=False, attributed_to="credential"))
    await beat(clock, store, here, there)
    assert [registry.view(each).reason for registry in (here, there) for each in (M, N)] == [None] * 4


async def test_a_hasty_process_is_not_believed(store: Store) -> None:
    """A process of an older version takes the vendor out although its key works here."""
    clock = Clock()
    [here] = registries(1, clock)
    here.observe(N, GOOD)
    clock.pass_(1)
    old = f"{clock.now + 60:.3f} {clock.now:.3f}"
    await store.redis.hset(health_keys.facts(), mapping={"credential a old": old, "credential b old": old})
    await beat(clock, store, here)
    assert [here.view(each).reason for each in (M, "b/m@acme/m")] == [None, "credential"]


async def test_quotas_and_limits_travel(store: Store) -> None:
    """What is paused, and that it is for a rate limit, is known elsewhere a second later."""
    clock = Clock()
    here, there = registries(2, clock)
    here.observe("q/m@acme/m", Observation(ok=False, kind="model_quota", attributed_to="model"))
    here.observe("v/m@acme/m", Observation(ok=False, kind="vendor_quota", attributed_to="vendor"))
    here.observe("l/m@acme/m", Observation(ok=False, kind="rate_limited", attributed_to="capacity"))
    here.observe("o/m@acme/m", Observation(ok=False, kind="overloaded", attributed_to="capacity"))
    await beat(clock, store, here, there)
    seen = {
        each: (there.view(each).reason, there.view(each).wait_s)
        for each in ("q/m@acme/m:free", "q/other@acme/m", "v/other@acme/n", "l/m@acme/m", "o/m@acme/m")
    }
    assert seen == {
        "q/m@acme/m:free": ("rate_limit", 4),
        "q/other@acme/m": (None, None),
        "v/other@acme/n": ("rate_limit", 4),
        "l/m@acme/m": ("rate_limit", 4),
        "o/m@acme/m": ("cooling", 4),
    }


async def test_older_versions_understand_the_facts(store: Store) -> None:
    """Every field has three words and every value two numbers, and the endpoint itself is always among the pauses they know."""
    clock = Clock()
    [here] = registries(1, clock)
    here.observe("q/m@acme/m", Observation(ok=False, kind="model_quota", attributed_to="model"))
    here.observe("v/m@acme/m", Observation(ok=False, kind="vendor_quota", attributed_to="vendor"))
    here.observe("l/m@acme/m", Observation(ok=False, kind="rate_limited", attributed_to="capacity"))
    await beat(clock, store, here)
    facts = {
        key.decode().split(" ")[:-1][0] + " " + key.decode().split(" ")[1]: value.decode().split(" ")
        for key, value in (await store.redis.hgetall(health_keys.facts())).items()
    }
    assert facts.keys() == {
        "model q/m",
        "cooling q/m@acme/m",
        "vendor v",
        "cooling v/m@acme/m",
        "cooling l/m@acme/m",
        "limited l/m@acme/m",
    }
    for until, at in facts.values():
        assert float(until) - float(at) == pytest.approx(5)


@pytest.mark.parametrize("step_s", [-7200, 7200])
async def test_a_step_of_the_wall_clock_lengthens_nothing(store: Store, step_s: float) -> None:
    """Facts of before and after a step: none holds for longer than its own length, in any process, also a new one."""
    wall, steady = Clock(), Clock()
    here, there = (HealthRegistry(wall, monotonic=steady, rng=random.Random(n)) for n in range(2))

    async def second(*registries: HealthRegistry) -> None:
        wall.pass_(1)
        steady.pass_(1)
        for each in registries:
            await each.share(store)

    await second(here, there)
    here.observe(M, Observation(ok=False, kind="rate_limited", attributed_to="capacity", retry_after_s=30))
    for _ in range(5):
        here.observe(N, BAD)
    await second(here, there)
    wall.now += step_s
    for _ in range(30):
        await second(here, there)
    new = HealthRegistry(wall, monotonic=steady, rng=random.Random(3))
    await second(new)
    for each in (here, there):
        assert [each.view(endpoint).available for endpoint in (M, N)] == [True, True]
    assert all((new.view(endpoint).wait_s or 0) <= 30 for endpoint in (M, N))
    for _ in range(30):
        await second(here, there, new)
    assert [new.view(endpoint).available for endpoint in (M, N)] == [True, True]
    there.observe("c/m@acme/m", Observation(ok=False, attributed_to="credential"))
    await second(there)
    await second(here, new)
    assert [each.view("c/m@acme/m").reason for each in (here, new)] == ["credential"] * 2  # news still travel


async def test_restart(store: Store) -> None:
    """A new process finds the history of half an hour and the day, what cools, but no verdict on a key it may not have."""
    clock = Clock()
    [old] = registries(1, clock)
    for _ in range(60):
        old.observe(M, GOOD)
        await beat(clock, store, old, seconds=3)
    old.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=600))
    old.observe(N, Observation(ok=False, attributed_to="credential"))
    await beat(clock, store, old, seconds=10)
    [new] = registries(1, clock)
    turns = 1 + SHORT.keep_s // SHORT.cell_s // BACKLOG_PER_TURN
    await beat(clock, store, new, seconds=turns)
    assert new.view(M).attempts == 60
    assert new.view(M).uptime_1d == 100.0
    assert new.view(M).reason == "cooling"
    assert new.view(N).available


async def test_everything_expires(store: Store) -> None:
    """Nothing stays in the store for ever."""
    clock = Clock()
    [registry] = registries(1, clock)
    registry.observe(M, GOOD)
    registry.observe(M, Observation(ok=False, attributed_to="capacity"))
    await beat(clock, store, registry)
    keys = await store.redis.keys(f"{health_keys.PREFIX}*")
    assert len(keys) == 3
    for key in keys:
        assert await store.redis.ttl(key) > 0


async def test_old_facts_are_swept(store: Store) -> None:
    """Facts of processes that are gone leave the hash after a while."""
    clock = Clock()
    here, there = registries(2, clock)
    here.observe(M, Observation(ok=False, attributed_to="capacity"))
    await beat(clock, store, here, there)
    assert await store.redis.hlen(health_keys.facts()) == 1
    clock.pass_(700)
    await beat(clock, store, there)
    assert await store.redis.hlen(health_keys.facts()) == 0


async def test_alone_without_the_store(tmp_path: Path) -> None:
    """While the store is away a registry works with its own counts, and shares again afterwards."""
    clock = Clock()
    here, there = registries(2, clock)
    server = Embedded(tmp_path)
    server.start()
    opened = await connect(server.url, timeout_s=5)
    await beat(clock, opened, here, there)
    server.stop()
    here.observe(M, GOOD)
    here.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=100))
    for _ in range(2):
        with pytest.raises(StoreError):
            await beat(clock, opened, here)
    assert (here.view(M).attempts, here.view(M).reason) == (1, "cooling")
    await opened.aclose()
    server.start()
    opened = await connect(server.url, timeout_s=5)
    await beat(clock, opened, here, there)
    assert there.view(M).reason == "cooling"
    await opened.aclose()
    server.stop()


async def test_five_hundred_endpoints_in_small_portions(store: Store) -> None:
    """A flush of five hundred busy endpoints yields to the loop: other tasks run many times while it is under way."""
    clock = Clock()
    here, there = registries(2, clock)
    for number in range(500):
        for speed in range(4):
            seen = Observation(ok=True, ttft_ms=100.0 + 50 * speed, tokens_per_s=50)
            here.observe(f"p/m{number}@acme/m{number}", seen)
    breaths = 0

    async def breathe() -> None:
        nonlocal breaths
        while True:
            await asyncio.sleep(0)
            breaths += 1

    other = asyncio.create_task(breathe())
    await beat(clock, store, here, there)
    other.cancel()
    assert sum(there.view(endpoint).attempts for endpoint in there._endpoints) == 2000
    assert breaths > 2 * 500 / BATCH


async def test_latencies_of_json_answers_travel(store: Store) -> None:
    """Beside streams' and apart from them, under an id that a process of version 0.1 takes for another endpoint."""
    clock = Clock()
    here, there = registries(2, clock)
    for _ in range(20):
        here.observe(M, Observation(ok=True, answer_ms=400.0, tokens=0, tokens_per_s=30.0))
        here.observe(N, GOOD)
    await beat(clock, store, here, there, seconds=2)
    health = there.view(M)
    assert (health.ttft_ms, health.speed_samples, health.uptime_5m) == (None, 20, 100.0)
    assert health.latency_ms is not None
    assert health.latency_ms.p50 == pytest.approx(400, rel=0.03)
    assert there.view(N).ttft_ms == there.view(N).latency_ms == here.view(N).ttft_ms
    keys = [key async for key in store.redis.scan_iter(f"{health_keys.PREFIX}:counts:10:*")]
    fields = {field.decode().partition(" ")[0] for key in keys for field in await store.redis.hkeys(key)}
    assert fields == {M, N, M + "#json"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("news", "1 2"), ("breaker a/m w more", "1 2"), ("breaker a/m w", "soon"), ("breaker a/m w", "1 2 3")],
)
async def test_facts_of_a_version_to_come(store: Store, field: str, value: str) -> None:
    """A field that this version cannot read stops no exchange."""
    clock = Clock()
    here, there = registries(2, clock)
    await store.redis.hset(health_keys.facts(), field, value)
    here.observe(M, Observation(ok=False, kind="rate_limited", attributed_to="capacity", retry_after_s=30))
    await beat(clock, store, here, there, seconds=2)
    assert not there.view(M).available


async def test_news_survives_a_deletion_that_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read while outdated facts could not be deleted is applied the next time."""
    clock = Clock()
    here, there = registries(2, clock)
    await store.redis.hset(health_keys.facts(), f"cooling {N} gone", "1 1")
    here.observe(M, Observation(ok=False, kind="rate_limited", attributed_to="capacity", retry_after_s=60))
    clock.pass_(1)
    with monkeypatch.context() as broken:
        broken.setattr(type(store.redis), "hdel", lambda *_: (_ for _ in ()).throw(ConnectionError("lost")))
        for registry in (here, there):
            with pytest.raises((StoreError, ConnectionError)):
                await registry.share(store)
    await beat(clock, store, here, there)
    assert not there.view(M).available
