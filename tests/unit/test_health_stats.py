"""Windows and percentiles."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health.json_latency import JsonLatency, estimate
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
        speeds = stats.speeds(NOW + 2)
        assert speeds.ttft_ms == speeds.latency_ms == pytest.approx(Percentiles(200, 200, 200, 200), rel=0.0201)
        assert (speeds.throughput_tps, speeds.samples) == (None, 5)


def test_speeds_prefer_the_last_five_minutes() -> None:
    """The window of five minutes is used when it has ten samples; with fewer, the one of half an hour."""
    stats = RollingStats()
    for _ in range(50):
        stats.add(NOW, f"s{bucket(10)}")
    for _ in range(9):
        stats.add(NOW + 600, f"s{bucket(100)}")
    assert stats.speeds(NOW + 601).throughput_tps.p50 == pytest.approx(10, rel=0.03)  # type: ignore[union-attr]
    stats.add(NOW + 601, f"s{bucket(100)}")
    assert stats.speeds(NOW + 602).throughput_tps.p50 == pytest.approx(100, rel=0.03)  # type: ignore[union-attr]
    assert stats.speeds(NOW + 602, 1800).throughput_tps.p50 == pytest.approx(10, rel=0.03)  # type: ignore[union-attr]


def test_json_answers_stand_in_for_streams() -> None:
    """Estimates of JSON answers count until ten streams were measured in the window; then only what was measured does."""
    stats = RollingStats()
    for _ in range(20):
        stats.add(NOW, f"j{bucket(100)}")
    for _ in range(9):
        stats.add(NOW, f"t{bucket(400)}")
    few = stats.speeds(NOW + 1)
    assert (round(few.ttft_ms.p50, -1), round(few.latency_ms.p50, -1), few.samples) == (400, 100, 29)  # type: ignore[union-attr]
    stats.add(NOW, f"t{bucket(400)}")
    assert stats.speeds(NOW + 1).latency_ms == stats.speeds(NOW + 1).ttft_ms
    stats.add(NOW, "x12")  # of a later version
    assert stats.speeds(NOW + 1).samples == 30
    assert stats.speeds(NOW + 400).samples == 0


@pytest.mark.parametrize(
    ("first_ms", "tokens_per_s", "lengths", "estimates"),
    [
        (300, None, [60], (170, 300)),  # one length: part of the time is taken for the tokens'
        (300, None, [5], (280, 300)),
        (300, None, [20, 400, 1200], (260, 300)),  # several lengths: all of it is the first token's
        (100, 120, [20, 400, 1200], (95, 130)),
        (2000, 20, [50, 300], (1900, 2300)),
        (30, 300, [20, 60, 150, 400, 1200], (28, 45)),
        (500, 100, [0], (500, 500)),
        (500, 100, [100], (700, 800)),
    ],
)
def test_the_first_token_of_a_json_answer(
    first_ms: float, tokens_per_s: float | None, lengths: list[int], estimates: tuple[float, float]
) -> None:
    """Whatever the lengths of the answers, the estimate for each of them is near the same time, and never above its own."""
    known = JsonLatency()
    for turn in range(60):
        tokens = lengths[turn % len(lengths)]
        known.learn(first_ms + (tokens / tokens_per_s * 1000 if tokens_per_s else 0), tokens)
    for tokens in lengths:
        took = first_ms + (tokens / tokens_per_s * 1000 if tokens_per_s else 0)
        assert estimates[0] <= estimate(took, tokens, known.first_token_worth()) <= min(estimates[1], took)


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 200_000)), max_size=30),
    st.floats(0, 1e7),
    st.integers(0, 200_000),
)
def test_an_estimate_is_a_share_of_the_answer(answers: list[tuple[float, int]], ms: float, tokens: int) -> None:
    """Nothing that was learnt makes an estimate negative, or longer than its answer took."""
    known = JsonLatency()
    for took, count in answers:
        known.learn(took, count)
    assert 0 <= estimate(ms, tokens, known.first_token_worth()) <= ms


def test_streams_teach_where_the_first_token_is() -> None:
    """One stream's first token is enough for JSON answers that are all of one length."""
    known = JsonLatency()
    for _ in range(10):
        known.learn(900, 80)
        known.learn(100, 0)
    assert estimate(900, 80, known.first_token_worth()) == pytest.approx(100, rel=0.3)
