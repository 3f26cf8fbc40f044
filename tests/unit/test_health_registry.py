"""The health registry: what each kind of outcome does to an endpoint, in one process."""

from __future__ import annotations

import random

import pytest

from gateway.health.registry import UNKNOWN, HealthRegistry, Observation
from tests.support.market import NOW, Clock

M, N, OTHER = "a/m@acme/m", "a/n@acme/n", "b/m@acme/m"
GOOD = Observation(ok=True, ttft_ms=200.0, tokens_per_s=50.0)
BAD = Observation(ok=False, kind="server_error", attributed_to="endpoint")
BUSY = Observation(ok=False, kind="rate_limited", attributed_to="capacity")
REFUSED = Observation(ok=False, kind="unauthorized", attributed_to="credential")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> HealthRegistry:
    return HealthRegistry(clock, rng=random.Random(7))


def see(registry: HealthRegistry, endpoint: str, observation: Observation, times: int = 1) -> None:
    for _ in range(times):
        registry.observe(endpoint, observation)


def test_an_endpoint_without_attempts(registry: HealthRegistry) -> None:
    """An endpoint without any attempt is available, with no numbers at all."""
    assert registry.view(M) == UNKNOWN
    assert registry.probe(M) is True
    assert registry.speeds(M) == (None, None)


def test_success(registry: HealthRegistry) -> None:
    """Successes give uptime, attempts and percentiles."""
    see(registry, M, GOOD, 20)
    health = registry.view(M)
    assert (health.state, health.available, health.recent_outage, health.band) == ("closed", True, False, 0)
    assert (health.uptime_5m, health.uptime_30m, health.uptime_1d, health.attempts) == (100.0, 100.0, 100.0, 20)
    assert health.ttft_ms is not None
    assert health.ttft_ms.p50 == pytest.approx(200, rel=0.03)
    assert health.throughput_tps is not None
    assert health.throughput_tps.p99 == pytest.approx(50, rel=0.03)


def test_a_closed_endpoint_is_looked_at_once_a_second(registry: HealthRegistry, clock: Clock) -> None:
    """Attempts and successes do not make the windows be added up again for every request."""
    see(registry, M, GOOD, 20)
    before = registry.view(M)
    assert registry.probe(M) is True
    see(registry, M, GOOD)
    assert registry.view(M) is before
    clock.now += 1
    assert registry.view(M).attempts == 21


def test_failures_open(registry: HealthRegistry, clock: Clock) -> None:
    """Five failures in a row take the endpoint out at once, and say until when."""
    see(registry, M, GOOD)
    assert registry.view(M).available
    see(registry, M, BAD, 5)
    health = registry.view(M)
    assert (health.state, health.available, health.reason, health.explicit) == ("open", False, "breaker", False)
    assert health.cooling_until == pytest.approx(NOW + 5, abs=1.01)
    assert registry.probe(M) is False
    clock.pass_(7)
    assert (registry.view(M).state, registry.view(M).available) == ("half_open", True)
    assert registry.probe(M) is True
    assert (registry.view(M).available, registry.view(M).cooling_until) == (False, clock.now + 1)
    see(registry, M, GOOD, 3)
    assert registry.view(M).state == "closed"


def test_recent_outage_ages(registry: HealthRegistry, clock: Clock) -> None:
    """A failure counts as a recent outage for thirty seconds."""
    see(registry, M, BAD)
    assert registry.view(M).recent_outage
    clock.pass_(29)
    assert registry.view(M).recent_outage
    clock.pass_(2)
    assert not registry.view(M).recent_outage


def test_one_failure_among_many_is_no_outage(registry: HealthRegistry) -> None:
    """A busy endpoint is not put last for one failure in a hundred."""
    see(registry, M, GOOD, 99)
    see(registry, M, BAD)
    assert not registry.view(M).recent_outage
    see(registry, M, BAD, 4)
    see(registry, M, GOOD)
    see(registry, M, BAD)
    assert registry.view(M).recent_outage


@pytest.mark.parametrize(("bad", "band"), [(0, 0), (5, 0), (6, 1), (20, 1), (21, 2), (60, 2)])
def test_bands(registry: HealthRegistry, clock: Clock, bad: int, band: int) -> None:
    """From a hundred attempts on: below 95 % uptime is degraded, below 80 % fallback only."""
    for number in range(100):
        registry.observe(M, BAD if number < bad else GOOD)
        clock.pass_(1)
    assert registry.view(M).band == band


def test_no_band_without_a_hundred_attempts(registry: HealthRegistry) -> None:
    """Three failures of four requests are too few to judge."""
    see(registry, M, BAD, 3)
    see(registry, M, GOOD)
    assert registry.view(M).band == 0


def test_capacity_cools_without_blame(registry: HealthRegistry, clock: Clock) -> None:
    """429 keeps requests away for its Retry-After, five seconds without one, and costs no uptime."""
    see(registry, M, GOOD)
    see(registry, M, BUSY, 10)
    health = registry.view(M)
    assert (health.available, health.reason, health.explicit, health.cooling_until) == (False, "cooling", True, NOW + 5)
    assert (health.uptime_5m, health.recent_outage, health.attempts) == (100.0, False, 1)
    clock.pass_(5)
    assert registry.view(M).available


def test_the_later_deadline_wins(registry: HealthRegistry, clock: Clock) -> None:
    """A shorter Retry-After never shortens a longer one."""
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=60))
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=2))
    registry.observe(M, BUSY)
    assert registry.view(M).cooling_until == NOW + 60
    clock.pass_(30)
    registry.observe(M, Observation(ok=False, attributed_to="endpoint", retry_after_s=50))
    assert registry.view(M).cooling_until == NOW + 80


def test_absurd_retry_after_is_bounded(registry: HealthRegistry) -> None:
    """No header takes an endpoint out for a year."""
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=10.0**9))
    assert registry.view(M).cooling_until == NOW + 3600


def test_retry_after_outlasts_the_breaker(registry: HealthRegistry, clock: Clock) -> None:
    """An open breaker and a Retry-After: both must be over."""
    see(registry, M, BAD, 4)
    registry.observe(M, Observation(ok=False, attributed_to="endpoint", retry_after_s=40))
    clock.pass_(20)
    assert (registry.view(M).state, registry.view(M).reason) == ("open", "cooling")
    clock.pass_(20)
    assert registry.view(M).state == "half_open"


def test_credential_takes_the_vendor_out(registry: HealthRegistry, clock: Clock) -> None:
    """A refused key takes every endpoint of that vendor out, also those never seen, and no other vendor's."""
    see(registry, OTHER, GOOD)
    registry.observe(M, REFUSED)
    for endpoint in (M, N):
        health = registry.view(endpoint)
        assert (health.available, health.reason, health.explicit, health.cooling_until) == (
            False,
            "credential",
            True,
            NOW + 60,
        )
        assert (health.uptime_5m, health.recent_outage) == (None, False)
    assert registry.view(OTHER).available
    clock.pass_(60)
    assert registry.view(N).available


def test_credential_pause_grows_until_it_works(registry: HealthRegistry, clock: Clock) -> None:
    """60, 120, 240 ... seconds; refusals still under way count once; a success starts anew."""
    pauses = []
    for _ in range(8):
        see(registry, M, REFUSED, 3)
        until = registry.view(M).cooling_until
        assert until is not None
        pauses.append(until - clock.now)
        clock.now = until
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    see(registry, M, GOOD)
    see(registry, M, REFUSED)
    assert registry.view(M).cooling_until == clock.now + 60


@pytest.mark.parametrize("attributed_to", ["caller", "nobody", None, "unknown"])
def test_failures_that_are_not_the_endpoints(registry: HealthRegistry, attributed_to: str | None) -> None:
    """The caller's errors and disconnects change no number."""
    see(registry, M, Observation(ok=False, attributed_to=attributed_to), 50)
    assert registry.view(M) == UNKNOWN


def test_disconnected_probe_frees_its_slot(registry: HealthRegistry, clock: Clock) -> None:
    """When the caller of a probe disconnects, the next request may probe."""
    see(registry, M, BAD, 5)
    clock.pass_(7)
    assert registry.probe(M)
    assert not registry.probe(M)
    registry.observe(M, Observation(ok=False, attributed_to="nobody"))
    assert registry.probe(M)


def test_numbers_age(registry: HealthRegistry, clock: Clock) -> None:
    """The windows hold five minutes, thirty minutes and a day; after that nothing is known again."""
    see(registry, M, BAD)
    see(registry, M, GOOD, 3)
    seen = []
    for wait_s in (0, 310, 1500, 80_000, 10_000):
        clock.pass_(wait_s)
        health = registry.view(M)
        seen.append((health.uptime_5m, health.uptime_30m, health.uptime_1d, health.ttft_ms is not None))
    assert seen == [
        (75.0, 75.0, 75.0, True),
        (None, 75.0, 75.0, True),
        (None, None, 75.0, False),
        (None, None, 75.0, False),
        (None, None, None, False),
    ]


def test_view_is_the_same_within_a_second(registry: HealthRegistry, clock: Clock) -> None:
    """A recovery is shared with the next flush, a failure at once."""
    see(registry, M, GOOD)
    first = registry.view(M)
    see(registry, M, GOOD)
    assert registry.view(M) is first
    clock.pass_(1)
    assert registry.view(M).attempts == 2
    see(registry, M, BAD, 5)
    assert not registry.view(M).available
