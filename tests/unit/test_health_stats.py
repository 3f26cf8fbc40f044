"""Windows and percentiles."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health.rolling_stats import FAIL, OK, Percentiles, RollingStats, Window, bucket, middle, percentiles
from tests.support.market import NOW


@given(st.floats(min_value=0.02, max_value=1e8))
def test_bucket_is_two_percent_right(value: float) -> None:
    """The value that stands for a bucket is within 2 % of what fell into it."""
    assert math.isclose(middle(bucket(value)), value, rel_tol=0.0201)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300, 1e300, math.inf, math.nan])
def test_bucket_of_nonsense_is_bounded(value: float) -> None:
    """An absurd measurement cannot make an endless number of buckets."""
    assert -120 <= bucket(value) <= 520


@given(st.lists(st.floats(min_value=1, max_value=1e6), min_size=1, max_size=300))
def test_percentiles_against_sorting(values: list[float]) -> None:
    """Each percentile is within 2 % of the exact one by nearest rank."""
    exact = sorted(values)
    found = percentiles(Counter(bucket(value) for value in values))
    assert found is not None
    for share, value in zip((0.5, 0.75, 0.9, 0.99), found, strict=True):
        assert math.isclose(value, exact[math.ceil(share * len(exact)) - 1], rel_tol=0.0201)


def test_percentiles_of_nothing() -> None:
    """Without samples there is no number, rather than a zero."""
    assert percentiles({}) is None


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=400), st.sampled_from(["a", "b"])), max_size=60))
def test_window_against_a_list(events: list[tuple[float, str]]) -> None:
    """A window's count is exactly what happened in its span."""
    window, now = Window(60, 2), NOW + 400
    for offset, key in events:
        window.add(NOW + offset, key)
    first = (int((now - 60) // 2) + 1) * 2
    expected = Counter(key for offset, key in events if (NOW + offset) // 2 * 2 >= first)
    assert window.expire(now) == expected


def test_window_forgets_everything() -> None:
    """After a pause longer than the window nothing is left, neither counts nor memory."""
    window = Window(300, 10)
    for second in range(300):
        window.add(NOW + second, second % 7)
    assert sum(window.expire(NOW + 300).values()) >= 290
    assert window.expire(NOW + 1000) == {}


def test_tally_merges_by_addition() -> None:
    """Counts added one by one or in sums, in any order, give the same picture."""
    one, other = RollingStats(), RollingStats()
    for _ in range(5):
        one.add(NOW, OK)
        one.add(NOW, f"t{bucket(200)}")
    one.add(NOW + 1, FAIL)
    other.add(NOW + 1, FAIL, 1)
    other.add(NOW, f"t{bucket(200)}", 5)
    other.add(NOW, OK, 5)
    for stats in (one, other):
        assert stats.success(300, NOW + 2) == (5, 6)
        ttft, throughput = stats.speeds(NOW + 2)
        assert ttft == pytest.approx(Percentiles(200, 200, 200, 200), rel=0.0201)
        assert throughput is None


def test_speeds_prefer_the_last_five_minutes() -> None:
    """The window of five minutes is used when it has ten samples; with fewer, the one of half an hour."""
    stats = RollingStats()
    for _ in range(50):
        stats.add(NOW, f"s{bucket(10)}")
    for _ in range(9):
        stats.add(NOW + 600, f"s{bucket(100)}")
    assert stats.speeds(NOW + 601)[1].p50 == pytest.approx(10, rel=0.03)  # type: ignore[union-attr]
    stats.add(NOW + 601, f"s{bucket(100)}")
    assert stats.speeds(NOW + 602)[1].p50 == pytest.approx(100, rel=0.03)  # type: ignore[union-attr]
    assert stats.speeds(NOW + 602, 1800)[1].p50 == pytest.approx(10, rel=0.03)  # type: ignore[union-attr]
