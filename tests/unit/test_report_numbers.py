"""The arithmetic of the report: fitted lines against numpy, estimates against samples whose truth is known, archetypes, privacy."""

from __future__ import annotations

import math
import random
from datetime import date
from statistics import fmean

import pytest

from gateway.analytics.report import document, words
from gateway.analytics.report.estimates import Sample, share, together
from gateway.analytics.report.figures.prices import archetype
from gateway.analytics.report.statistics import Z95, concentration, fitted, quantile, rise_is_beyond_chance, theil_sen
from gateway.analytics.report.used_events import Window
from gateway.analytics.retention import Cohort, comes_back, is_foundational


@pytest.mark.parametrize("weighted", [False, True])
def test_fitted_line_is_that_of_the_matrices(weighted: bool) -> None:
    """Slope and HC1 interval, by White's matrices, of points whose errors grow with x."""
    np = pytest.importorskip("numpy", reason="numpy comes with the extra `classify`")
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 2, 60)
    y = 1 - 0.06 * x + rng.normal(0, 0.2 + 0.3 * np.abs(x))
    w = rng.uniform(0.1, 5, 60) if weighted else np.ones(60)
    design = np.column_stack([np.ones(60), x])
    bread = np.linalg.inv(design.T @ (design * w[:, None]))
    beta = bread @ design.T @ (w * y)
    meat = design.T @ (design * (((y - design @ beta) * w) ** 2)[:, None])
    error = np.sqrt((60 / 58 * bread @ meat @ bread)[1, 1])
    line = fitted(x.tolist(), y.tolist(), w.tolist() if weighted else None)
    assert line is not None
    assert (line.slope, line.high - line.low) == pytest.approx((beta[1], 2 * Z95 * error), rel=1e-9)


def test_small_and_degenerate_inputs() -> None:
    """What cannot be said is None, not an error."""
    assert fitted([1.0, 2.0], [1.0, 2.0]) is None
    assert fitted([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert theil_sen([None, 1.0, None]) is None
    assert theil_sen([0.0, None, 2.0, 3.0, 100.0]) == pytest.approx(1.0, abs=30)
    assert theil_sen([0.0, 1.0, 2.0, 90.0, 4.0, 5.0, 6.0]) == 1.0
    assert concentration([]) is None
    assert concentration([1, 1]) == 5000
    assert quantile([], 0.5) is None
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert share(Sample(0, 0, 0, 0, 0), together()) is None


def test_estimated_shares_hold_the_truth_in_95_of_100_samples() -> None:
    """Sampled with 5 %, then 20 %: the interval of a ratio holds the true share about as often as it says, without a jump."""
    rng = random.Random(2025)
    population = [(rng.lognormvariate(7, 1), rng.random() < 0.3) for _ in range(3000)]
    whole_truth = sum(tokens for tokens, _ in population)
    truth = 100 * sum(tokens for tokens, mine in population if mine) / whole_truth
    held, estimates = 0, []
    for _ in range(100):
        groups: dict[bool, list[Sample]] = {True: [], False: []}
        for place, (tokens, mine) in enumerate(population):
            p = 0.05 if place < 1500 else 0.2
            if rng.random() < p:
                groups[mine].append(Sample(1, tokens / p, tokens**2 * (1 - p) / p**2, 1 / p, 1 / p**2))
        part = together(*groups[True])
        found = share(part, together(part, together(*groups[False])))
        assert found is not None
        held += abs(found.percent - truth) <= found.half
        estimates.append(found.percent)
    assert 90 <= held <= 99
    assert fmean(estimates) == pytest.approx(truth, abs=1)


def test_too_small_a_sample_is_not_shown() -> None:
    """99 drawn events are too few, 99 that were all looked at are not."""
    drawn = Sample(99, 9900.0, 1e6, 990.0, 9900.0)
    exact = Sample(99, 9900.0, 0.0, 99.0, 99.0)
    assert share(drawn, drawn) is None
    assert str(share(exact, exact)) == "100.0\u202f%"
    mixed = Sample(4, 400.0, 2e4, 40.0, 1000.0)  # one event stands for thirty others
    assert mixed.effective == 1.6


@pytest.mark.parametrize(
    ("usd", "tokens", "kind"),
    [
        (0.147, 1e12, "efficient giant"), (0.394, 1e12, "efficient giant"), (0.40, 1e12, None), (1.963, 1e12, "premium leader"),
        (12.0, 1e12, "premium leader"), (34.0, 1e9, "premium specialist"), (0.052, 1e8, "long-tail model"), (0.052, 1e10, None),
        (2.0, 1e10, None),
    ],
)  # fmt: skip
def test_archetypes(usd: float, tokens: float, kind: str | None) -> None:
    """The thresholds of M20: the first that fits counts."""
    assert archetype(usd, tokens, much=1e11, little=1e9) == kind


def test_cohorts_that_stay_and_come_back() -> None:
    """Staying is judged against later cohorts, coming back against chance."""
    stays = Cohort("a/m", date(2025, 5, 1), (1000, 500, 440, 410, 405, 400))
    later = [Cohort("a/m", date(2025, month, 1), (1000, 300, 200, 150, 120, 100)) for month in (6, 7)]
    assert is_foundational(stays, [stays, *later])
    assert not is_foundational(later[0], [stays, *later])
    assert not is_foundational(stays, [stays]), "nothing to compare with"
    assert stays.kept(6) is None
    back = Cohort("a/m", date(2025, 4, 1), (1200, 300, 150, 210))
    steady = Cohort("a/m", date(2025, 2, 1), (1000, 300, 200, 150, 120, 118))
    assert comes_back(back, [steady, back]) == comes_back(back, [back]) == 3
    assert comes_back(Cohort("a/m", date(2025, 4, 1), (100, 25, 18, 21)), []) is None, (
        "21 against 18 of a hundred is chance"
    )
    assert comes_back(Cohort("a/m", date(2025, 4, 1), (40, 10, 5, 19)), []) is None, "so few say nothing"
    all_return = Cohort("a/m", date(2025, 2, 1), (1000, 300, 200, 150, 60, 120))
    assert comes_back(back, [all_return, back]) is None, "in June hardly anybody was there, in July everybody"
    assert not rise_is_beyond_chance(5, 5, 40)


def test_windows_are_whole_weeks() -> None:
    """The year 2025 lies in 53 weeks, from Monday, 30 December 2024."""
    window = Window.around(date(2025, 1, 1), date(2025, 12, 31))
    assert (window.first, window.last, len(window.weeks)) == (date(2024, 12, 30), date(2026, 1, 4), 53)
    with pytest.raises(ValueError, match="2025-02-01 is after 2025-01-01"):
        Window.around(date(2025, 2, 1), date(2025, 1, 1))


def test_numbers_as_words() -> None:
    """Short, with the digits that matter."""
    assert [words.amount(value) for value in (812, 1e6, 7.9e12, 999_600)] == ["812", "1.00M", "7.90T", "1.00M"]
    assert [words.usd(value) for value in (34.068, 1.963, 0.0521)] == ["$34.07", "$1.96", "$0.0521"]
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.value(None, "count") == "–"
    assert not math.isnan(float(words.value(1.234, "interval")))


def test_a_report_of_another_version_is_refused() -> None:
    """And so is anything that is no report."""
    for data in (b"{}", b"[]", b"no JSON", b'{"version": 2}'):
        with pytest.raises(Exception, match=r"missing|Expected|malformed|version|JSON"):
            document.decode(data)
