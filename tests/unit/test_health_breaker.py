"""The breaker, step by step and with random sequences of events."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health.breaker import PROBE_TTL_S, Breaker
from tests.support.market import NOW


class Middle(random.Random):
    """A random number generator without jitter."""

    def random(self) -> float:
        return 0.5


def opened(at: float = NOW) -> Breaker:
    breaker = Breaker(Middle())
    for _ in range(5):
        breaker.fail(at)
    return breaker


def test_five_in_a_row_open() -> None:
    """Four failures do not, the fifth does; a success in between starts anew."""
    breaker = Breaker(Middle())
    for _ in range(4):
        assert breaker.fail(NOW) is False
    breaker.succeed(NOW)
    for _ in range(4):
        assert breaker.fail(NOW) is False
    assert breaker.fail(NOW) is True
    assert (breaker.state(NOW), breaker.available(NOW), breaker.open_until) == ("open", False, NOW + 5)


def test_rate_opens() -> None:
    """Half of twenty attempts within ten seconds open it although no five failed in a row."""
    breaker = Breaker(Middle())
    results = [breaker.succeed(NOW + n / 10) if n % 2 == 0 else breaker.fail(NOW + n / 10) for n in range(20)]
    assert results[-1] is True
    assert True not in results[:-1]


def test_old_failures_do_not_count_for_the_rate() -> None:
    """Twenty attempts spread over more than ten seconds are no rate of ten seconds."""
    breaker = Breaker(Middle())
    for n in range(60):
        breaker.succeed(NOW + 2 * n)
        breaker.fail(NOW + 2 * n)
    assert breaker.state(NOW + 120) == "closed"


def test_half_open_lets_one_probe_through() -> None:
    """After the pause one request goes, the next waits for its result; three good ones close."""
    breaker = opened()
    now = NOW + 5
    assert (breaker.state(now), breaker.available(now)) == ("half_open", True)
    for _ in range(2):
        assert breaker.probe(now) is True
        assert (breaker.probe(now), breaker.available(now)) == (False, False)
        breaker.succeed(now)
        assert breaker.state(now) == "half_open"
    assert breaker.probe(now) is True
    breaker.succeed(now)
    assert breaker.state(now) == "closed"
    assert breaker.probe(now) is True
    assert breaker.probe(now) is True


def test_failed_probes_double_the_pause() -> None:
    """5, 10, 20 ... seconds, at most 300."""
    breaker, now, pauses = opened(), NOW, []
    for _ in range(9):
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        assert breaker.probe(now)
        breaker.fail(now)
    assert pauses == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300, 300])


def test_results_of_the_past_change_nothing() -> None:
    """Requests that were under way when it opened neither lengthen the pause nor close it."""
    breaker = opened()
    for _ in range(10):
        assert breaker.fail(NOW + 1) is False
    for _ in range(10):
        breaker.succeed(NOW + 2)
    assert (breaker.state(NOW + 4), breaker.open_until) == ("open", NOW + 5)


def test_lost_probe_gives_its_slot_back() -> None:
    """A probe that says nothing about the endpoint, or never reports, does not keep the endpoint out for ever."""
    breaker = opened()
    assert breaker.probe(NOW + 6)
    breaker.release()
    assert breaker.probe(NOW + 7)
    assert not breaker.available(NOW + 8)
    assert breaker.available(NOW + 7 + PROBE_TTL_S)


def test_jitter() -> None:
    """Replicas do not all come back in the same moment: ± 20 %."""
    pauses = []
    for seed in range(300):
        breaker = Breaker(random.Random(seed))
        for _ in range(5):
            breaker.fail(NOW)
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - NOW)
    assert 4 <= min(pauses) < 4.2
    assert 5.8 < max(pauses) <= 6


def test_adopt_the_younger_edge() -> None:
    """Of the states of several processes the latest counts."""
    breaker = opened(NOW)
    breaker.adopt(NOW + 100, NOW - 1)
    assert breaker.open_until == NOW + 5
    breaker.adopt(NOW + 60, NOW + 2)
    assert breaker.open_until == NOW + 60
    breaker.adopt(None, NOW + 30)
    assert breaker.state(NOW + 31) == "closed"
    breaker.adopt(NOW + 90, NOW + 29)
    assert breaker.state(NOW + 31) == "closed"


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "probe", "release"]), st.floats(0, 30)), max_size=80))
def test_life(steps: list[tuple[str, float]]) -> None:
    """Whatever happens: open means a deadline within 360 s ahead, closed and half-open never keep all requests out for ever."""
    breaker, now = Breaker(random.Random(3)), NOW
    for what, wait_s in steps:
        now += wait_s
        if what == "ok":
            breaker.succeed(now)
        elif what == "fail":
            breaker.fail(now)
        elif what == "probe":
            assert breaker.probe(now) == (breaker.state(now) != "open") or breaker.state(now) == "half_open"
        else:
            breaker.release()
        state = breaker.state(now)
        if state == "open":
            assert breaker.open_until is not None
            assert now < breaker.open_until <= now + 360
            assert not breaker.available(now)
        elif state == "closed":
            assert breaker.available(now)
        else:
            assert breaker.available(now + PROBE_TTL_S)
