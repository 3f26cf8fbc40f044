"""Figures made of counters: percentiles of histograms, uptime of attempts; and what bounds those who ask for them."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from gateway.analytics.counters import histogram_bucket
from gateway.analytics.event import FAILED, SERVED, result
from gateway.analytics.performance import merged, percentiles
from gateway.analytics.uptime import Attempts, added
from gateway.errors import Unavailable
from gateway.server import answer_cache, caller_limit
from gateway.server.answer_cache import Answer, AnswerCache
from gateway.server.caller_limit import CallerLimit, of_address


@pytest.mark.parametrize(
    ("mean", "spread", "count"), [(400, 0.8, 3000), (60, 0.3, 200), (9000, 1.2, 1000), (3, 0.1, 30)]
)
def test_percentiles_are_within_eight_percent(mean: float, spread: float, count: int) -> None:
    """Of log-normal times, in one histogram and in many that are added up."""
    rng = random.Random(mean)
    values = sorted(rng.lognormvariate(math.log(mean), spread) for _ in range(count))
    parts = [{histogram_bucket(max(value, 1)): 1} for value in values]
    found = percentiles(merged(parts))
    assert found is not None
    assert found.samples == count
    for percent in (50, 75, 90, 99):
        exact = values[math.ceil(count * percent / 100) - 1]
        assert abs(getattr(found, f"p{percent}") / max(exact, 1) - 1) <= 0.08, percent


def test_too_few_samples_are_no_percentile() -> None:
    assert percentiles({}) is None
    assert percentiles({5: 19}, least=20) is None
    assert percentiles({5: 20}, least=20) is not None


@pytest.mark.parametrize(
    ("kinds", "served", "failed"),
    [
        (["ok"] * 3, 3, 0),
        (["server_error", "connect_refused", "cut", "timeout_first_content", "credential", "payment"], 0, 6),
        (["rate_limited", "overloaded", "model_quota"], 0, 0),
        (["bad_request", "too_large", "context_length", "content_policy", "forbidden", "cancelled"], 0, 0),
    ],
)
def test_what_counts_for_uptime(kinds: list[str], served: int, failed: int) -> None:
    """Errors of the endpoint and of our credential do; refusals for load, and what may be the request's fault, do not."""
    results = [result(kind) for kind in kinds]
    assert (results.count(SERVED), results.count(FAILED)) == (served, failed)


@pytest.mark.parametrize(
    ("attempts", "percent", "status"),
    [
        (Attempts(99, 0), None, None),
        (Attempts(0, 99), None, None),
        (Attempts(100, 0), 100.0, "normal"),
        (Attempts(95, 5), 95.0, "normal"),
        (Attempts(949, 51), 94.9, "degraded"),
        (Attempts(80, 20), 80.0, "degraded"),
        (Attempts(799, 201), 79.9, "down"),
        (added([Attempts(50, 0), Attempts(49, 1)]), 99.0, "normal"),
    ],
)
def test_uptime(attempts: Attempts, percent: float | None, status: str | None) -> None:
    """Nothing is said of fewer than 100 attempts; 95 and 80 percent belong to the better side."""
    assert (attempts.percent, attempts.status) == (percent, status)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_callers_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty at once, then one every two seconds; others are not touched; of too many callers the oldest are forgotten."""
    monkeypatch.setattr(caller_limit, "CALLERS_MAX", 3)
    clock = Clock()
    limit = CallerLimit(30, clock)
    assert [limit.wait_s("a") for _ in range(30)] == [0.0] * 30
    assert limit.wait_s("a") == pytest.approx(2.0)
    assert limit.wait_s("b") == 0.0
    clock.now += 2
    assert [limit.wait_s("a"), limit.wait_s("a")] == [0.0, pytest.approx(2.0)]
    clock.now += 3600
    assert [limit.wait_s("a") for _ in range(31)][-1] > 0
    for name in "xyz":
        limit.wait_s(name)
    assert limit.wait_s("a") == 0.0


@pytest.mark.parametrize(
    ("host", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("/tmp/socket", "/tmp/socket"),
        (None, ""),
    ],
)
def test_which_caller_an_address_is(host: str | None, caller: str) -> None:
    """A customer of IPv6 has a whole network to choose addresses from."""
    assert of_address(host) == caller


async def test_answers_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, kept for their time, errors not at all, the oldest dropped; beyond the queue callers are sent away."""
    monkeypatch.setattr(answer_cache, "WAITING_MAX", 3)
    monkeypatch.setattr(answer_cache, "KEPT_MAX", 2)
    clock, made, running = Clock(), list[str](), 0
    cache = AnswerCache(60, clock)

    async def get(name: str, status: int = 200) -> Answer:
        async def make() -> Answer:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            made.append(name)
            running -= 1
            if status == 500:
                raise ValueError(name)
            return Answer(name.encode(), f'"{name}"', status)

        return await cache.get(name, make)

    assert [each.body for each in await asyncio.gather(*(get("a") for _ in range(3)))] == [b"a"] * 3
    assert made == ["a"]
    with pytest.raises(ValueError, match="broken"):
        await get("broken", 500)
    await asyncio.gather(get("missing", 404), get("missing", 404))
    assert made == ["a", "broken", "missing", "missing"]
    answers = await asyncio.gather(*(get(name) for name in "bcde"), return_exceptions=True)
    assert [type(each) for each in answers] == [Answer, Answer, Answer, Unavailable]
    await get("d")
    assert made[4:] == ["b", "c", "d"]
    clock.now += 61
    await get("d")
    assert made[-1] == "d"
    await get("a")
    assert made[-1] == "a"


async def test_old_answers_are_sent_while_they_are_made_anew() -> None:
    """Whoever asks gets the old one at once and it is made once; the next one gets the new one. One that is too old is waited for,
    and where the new one cannot be made the old one stays for its time."""
    clock, made, broken = Clock(), list[int](), False
    cache = AnswerCache(60, clock, stale_s=240)

    async def make() -> Answer:
        await asyncio.sleep(0)
        if broken:
            raise ValueError("broken")
        made.append(len(made))
        return Answer(b"%d" % made[-1], "")

    async def get() -> bytes:
        return (await cache.get("x", make)).body

    async def settled() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    assert await get() == b"0"
    clock.now += 61
    assert [await get(), await get()] == [b"0", b"0"]
    await settled()
    assert (made, await get()) == ([0, 1], b"1")
    clock.now += 301
    assert await get() == b"2", "too old to be sent"
    clock.now, broken = clock.now + 100, True
    assert await get() == b"2"
    await settled()
    assert await get() == b"2"
    await settled()
    clock.now += 201
    with pytest.raises(ValueError, match="broken"):
        await get()


async def test_some_rest_may_be_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is made without rest, then each answer waits for three times its time: on average a quarter of the time is worked."""
    clock, waits = Clock(), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(max(seconds, 0.0))
        clock.now += max(seconds, 0.0)

    monkeypatch.setattr(answer_cache.asyncio, "sleep", sleep)
    cache = AnswerCache(60, clock, burst_s=6.0)

    async def make() -> Answer:
        clock.now += 1.0
        return Answer(b"", "")

    for number in range(6):
        await cache.get(number, make)
    assert waits == [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]
