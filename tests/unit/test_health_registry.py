"""The health registry: what each kind of outcome does to an endpoint, in one process."""

from __future__ import annotations

import random

import pytest

from gateway.health.registry import UNKNOWN, HealthRegistry, Observation
from tests.support.market import Clock

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


def test_many_good_endings_in_a_second(registry: HealthRegistry, clock: Clock) -> None:
    """All of them count for uptime; of their speeds a sample does, in which the slow ones have their share, however regular they are."""
    for number in range(1000):
        clock.now += 0.0005
        see(registry, M, Observation(ok=True, ttft_ms=900.0 if number % 10 == 0 else 100.0 + number / 1000))
    clock.now += 2
    health = registry.view(M)
    assert (health.attempts, health.uptime_5m) == (1000, 100.0)
    assert 0 < health.speed_samples <= 200  # of two seconds
    assert health.ttft_ms is not None
    assert health.ttft_ms.p50 == pytest.approx(100, rel=0.03)
    assert health.ttft_ms.p99 == pytest.approx(900, rel=0.03)


def test_what_was_given_up_counts_as_slow(registry: HealthRegistry) -> None:
    """An endpoint whose slow answers are cut does not look like one whose answers are all quick."""
    see(registry, M, GOOD, 10)
    see(registry, M, Observation(ok=False, kind="timeout_first_content", attributed_to="endpoint", ttft_ms=60_000.0), 2)
    health = registry.view(M)
    assert health.ttft_ms is not None
    assert health.ttft_ms.p50 == pytest.approx(200, rel=0.03)
    assert health.ttft_ms.p99 == pytest.approx(60_000, rel=0.03)


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
    assert health.wait_s == pytest.approx(5, abs=1.01)
    assert registry.probe(M) is False
    clock.pass_(7)
    assert (registry.view(M).state, registry.view(M).available) == ("half_open", True)
    assert registry.probe(M) is True
    assert (registry.view(M).available, registry.view(M).wait_s) == (False, 1)
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


@pytest.mark.parametrize(("kind", "reason"), [("rate_limited", "rate_limit"), ("overloaded", "cooling")])
def test_capacity_cools_without_blame(registry: HealthRegistry, clock: Clock, kind: str, reason: str) -> None:
    """A full vendor is left alone for its Retry-After, five seconds without one, and that costs no uptime."""
    see(registry, M, GOOD)
    see(registry, M, Observation(ok=False, kind=kind, attributed_to="capacity"), 10)
    health = registry.view(M)
    assert (health.available, health.reason, health.explicit, health.wait_s) == (False, reason, True, 5)
    assert (health.uptime_5m, health.recent_outage, health.attempts) == (100.0, False, 1)
    clock.pass_(5)
    assert registry.view(M).available


def test_the_later_deadline_wins(registry: HealthRegistry, clock: Clock) -> None:
    """A shorter Retry-After never shortens a longer one."""
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=60))
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=2))
    registry.observe(M, BUSY)
    assert registry.view(M).wait_s == 60
    clock.pass_(30)
    registry.observe(M, Observation(ok=False, attributed_to="endpoint", retry_after_s=50))
    assert registry.view(M).wait_s == 50


def test_absurd_retry_after_is_bounded(registry: HealthRegistry) -> None:
    """No header takes an endpoint out for a year."""
    registry.observe(M, Observation(ok=False, attributed_to="capacity", retry_after_s=10.0**9))
    assert registry.view(M).wait_s == 3600


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
        assert (health.available, health.reason, health.explicit, health.wait_s) == (False, "credential", True, 60)
        assert (health.uptime_5m, health.recent_outage) == (None, False)
    assert registry.view(OTHER).available
    clock.pass_(60)
    assert registry.view(N).available


def test_credential_pause_grows_until_it_works(registry: HealthRegistry, clock: Clock) -> None:
    """60, 120, 240 ... seconds; refusals still under way count once; a success starts anew."""
    pauses = []
    for _ in range(8):
        see(registry, M, REFUSED, 3)
        wait_s = registry.view(M).wait_s
        assert wait_s is not None
        pauses.append(wait_s)
        clock.pass_(wait_s)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    see(registry, M, GOOD)
    clock.pass_(61)
    see(registry, M, REFUSED)
    assert registry.view(M).wait_s == 60


@pytest.mark.parametrize(("since_s", "reason"), [(0, None), (59, None), (60, "credential")])
def test_a_key_that_has_just_worked_is_not_refused(
    registry: HealthRegistry, clock: Clock, since_s: int, reason: str | None
) -> None:
    """One request's 401 says nothing about a key that another request was served with less than a minute ago."""
    see(registry, N, GOOD)
    clock.pass_(since_s)
    see(registry, M, REFUSED, 2)
    assert [registry.view(each).reason for each in (M, N)] == [reason, reason]


def test_quotas_of_a_model_and_of_a_vendor(registry: HealthRegistry, clock: Clock) -> None:
    """A model's quota pauses that model under all its names, a project's everything of the vendor; other vendors never."""
    same, other_model = "a/m@acme/m:free", N
    see(registry, M, Observation(ok=False, kind="model_quota", attributed_to="model", retry_after_s=34))
    assert [registry.view(each).reason for each in (M, same, other_model, OTHER)] == [
        "rate_limit",
        "rate_limit",
        None,
        None,
    ]
    assert registry.view(same).wait_s == 34
    see(registry, N, Observation(ok=False, kind="vendor_quota", attributed_to="vendor"))
    assert [registry.view(each).wait_s for each in (M, same, other_model, OTHER)] == [34, 34, 5, None]
    clock.pass_(34)
    assert all(registry.view(each).available for each in (M, same, other_model))
    see(registry, same, Observation(ok=False, kind="model_quota", attributed_to="model"))
    assert registry.view(M).wait_s == 10  # the second time in a row


UNCLEAR = Observation(ok=False, kind="forbidden", attributed_to="unclear")


def test_refusals_of_requests_never_take_an_endpoint_out(registry: HealthRegistry, clock: Clock) -> None:
    """403 again and again: what nobody else was served by goes to the end of the line, for longer each time, and is never out."""
    see(registry, M, UNCLEAR, 2)
    assert registry.view(M) == UNKNOWN
    bands, waited = [], []
    for _ in range(8):
        see(registry, M, UNCLEAR)
        bands.append(registry.view(M).band)
        waited.append(0)
        while registry.view(M).band:
            clock.pass_(1)
            waited[-1] += 1
        assert registry.view(M).available
    assert bands == [2] * 8
    assert waited == [10, 20, 40, 80, 160, 320, 600, 600]
    assert registry.view(M).uptime_5m is None
    assert registry.view(N) == UNKNOWN
    see(registry, M, UNCLEAR)
    see(registry, M, GOOD)
    assert registry.view(M).band == 0


def test_a_served_endpoint_does_not_mind_refusals(registry: HealthRegistry, clock: Clock) -> None:
    """While others are served, one caller's refused requests change nothing, however many there are."""
    see(registry, M, GOOD)
    clock.pass_(1)
    before = registry.view(M)
    see(registry, M, UNCLEAR, 50)
    assert registry.view(M) == before


LIMITED_ALONE = Observation(ok=False, kind="rate_limited", attributed_to="capacity", alone=True)


def test_the_only_endpoint_is_left_alone_for_a_moment(registry: HealthRegistry, clock: Clock) -> None:
    """Without an alternative and without advice a 429 pauses for at most a second, and then one request goes first."""
    pauses = []
    for _ in range(6):
        see(registry, M, LIMITED_ALONE, 5)
        health = registry.view(M)
        assert (health.available, health.reason) == (False, "rate_limit")
        assert health.wait_s is not None
        pauses.append(health.wait_s)
        clock.pass_(health.wait_s + 0.001)
        assert (registry.view(M).available, registry.view(M).state) == (True, "half_open")
        assert registry.probe(M)
        assert not registry.probe(M)
        assert not registry.view(M).available
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1], abs=0.001)
    see(registry, M, GOOD)
    assert registry.view(M).state == "closed"
    assert all(registry.probe(M) for _ in range(3))
    see(registry, M, LIMITED_ALONE)
    assert registry.view(M).wait_s == pytest.approx(0.1, abs=0.001)


def test_a_trial_that_is_not_refused_frees_the_others(registry: HealthRegistry, clock: Clock) -> None:
    """An answer may take minutes; a refusal comes at once. So nobody waits for the trial's end."""
    see(registry, M, LIMITED_ALONE)
    clock.pass_(0.11)
    assert registry.probe(M)
    clock.pass_(0.25)
    assert registry.view(M).available
    assert all(registry.probe(M) for _ in range(3))


def test_advice_is_followed_to_the_second(registry: HealthRegistry, clock: Clock) -> None:
    """``Retry-After: 0`` means now, and after a pause that the vendor itself asked for nobody has to go first."""
    see(
        registry, M, Observation(ok=False, kind="rate_limited", attributed_to="capacity", retry_after_s=0.0, alone=True)
    )
    assert registry.view(M).available
    see(
        registry, M, Observation(ok=False, kind="rate_limited", attributed_to="capacity", retry_after_s=2.0, alone=True)
    )
    assert registry.view(M).wait_s == 2
    clock.pass_(2)
    assert registry.view(M).available
    assert all(registry.probe(M) for _ in range(3))


@pytest.mark.parametrize("step_s", [-7200, 7200])
@pytest.mark.parametrize(
    ("observation", "times", "length_s"),
    [
        (Observation(ok=False, kind="rate_limited", attributed_to="capacity"), 1, 5),
        (Observation(ok=False, kind="overloaded", attributed_to="capacity", retry_after_s=10.0**9), 1, 3600),
        (BAD, 5, 6),
        (REFUSED, 1, 60),
        (Observation(ok=False, kind="vendor_quota", attributed_to="vendor"), 1, 5),
    ],
)
def test_a_step_of_the_clock_changes_no_pause(
    observation: Observation, times: int, length_s: float, step_s: float
) -> None:
    """Pauses are counted by a clock that never steps."""
    wall, steady = Clock(), Clock()
    registry = HealthRegistry(wall, monotonic=steady, rng=random.Random(7))
    see(registry, M, observation, times)
    wall.now += step_s
    steady.pass_(1)
    wait_s = registry.view(M).wait_s
    assert wait_s is not None
    assert wait_s <= length_s
    steady.pass_(wait_s)
    assert registry.view(M).available


@pytest.mark.parametrize("attributed_to", ["caller", "request", "nobody", None, "unknown"])
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
