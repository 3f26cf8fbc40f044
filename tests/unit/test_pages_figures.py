"""What pages calculate themselves: fixed sets of series, a line through dots, axes of ranks, how changes are written."""

from __future__ import annotations

import math

import pytest

from gateway.analytics.membership import chart_of, fixed
from gateway.analytics.overview import ModelWeek, places
from gateway.analytics.regression import LEAST_POINTS, log_line
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import axes, charts, figures, numbers
from gateway.web.usage import app_path

WEEKS = ("2025-11-03", "2025-11-10", "2025-11-17")


def test_a_fixed_set_keeps_every_sum() -> None:
    """The largest of the window in all bars, the rest within others; no value is lost, None stays None."""
    series = (
        Series("a", "A", None, (5, None, 7)),
        Series("b", "B", None, (4, 4, None)),
        Series("c", "C", None, (None, 3, 1)),
        Series(OTHERS, "Others (9)", None, (10, 20, 30)),
    )
    chart = Chart(WEEKS, series, "tokens_native", True, {"membership": "per_bucket"})
    kept = fixed(chart, 2)
    assert [(each.key, each.values) for each in kept.series] == [
        ("a", (5, None, 7)),
        ("b", (4, 4, None)),
        (OTHERS, (10, 23, 31)),
    ]
    assert charts.bucket_totals(kept) == charts.bucket_totals(chart)
    assert fixed(chart, 99).series[:3] == series[:3]


def test_a_chart_of_rows_adds_up() -> None:
    """Ties by name, others always last, also when they are among the rows."""
    rows = [{"b": 2, "a": 2, OTHERS: 9}, {"c": 1}, {}]
    chart = chart_of(WEEKS, rows, top=2, unit="tokens", partial_last=False)
    assert [(each.key, each.values) for each in chart.series] == [
        ("a", (2, 0, 0)),
        ("b", (2, 0, 0)),
        (OTHERS, (9, 1, 0)),
    ]
    assert chart_of(WEEKS, [{}, {}, {}], top=2, unit="tokens", partial_last=False).series == ()


def test_places_of_models() -> None:
    """By tokens, ties by name, without tokens no place."""
    week = {name: ModelWeek(tokens, 0, 0, 0, 1, 0, 0, 0) for name, tokens in (("b", 5), ("a", 5), ("c", 9), ("d", 0))}
    assert places(week) == {"c": 1, "a": 2, "b": 3}


def test_the_line_through_dots() -> None:
    """An exact power law is found to the digit; noise has an interval; few dots or one price have no line."""
    exact = [(10 ** (n / 10), 10 ** (3 - 0.06 * n / 10)) for n in range(LEAST_POINTS)]
    line = log_line(exact)
    assert line is not None
    assert line.slope == pytest.approx(-0.06)
    assert line.at(1.0) == pytest.approx(1000)
    assert line.interval == pytest.approx(0, abs=1e-9)
    noisy = log_line([(x, y * (2.0 if n % 2 else 0.5)) for n, (x, y) in enumerate(exact)])
    assert noisy is not None
    assert noisy.interval > 0.05
    assert abs(noisy.slope + 0.06) < noisy.interval
    assert log_line(exact[:-1]) is None
    assert log_line([(2.0, float(n + 1)) for n in range(40)]) is None


RANKS = [(1, [2, 1]), (5, [5, 4, 3, 2, 1]), (9, [10, 8, 6, 4, 2, 1]), (294, [300, 200, 100, 1])]


def test_ranks_have_the_first_on_top() -> None:
    """The axis reaches the last place and ends at the first."""
    for last, expected in RANKS:
        assert axes.places(last, 5) == expected, last
    chart = Chart(WEEKS, (Series("x", "x", None, (6, 2, None)),), "place", False, {})
    drawn = charts.lines(chart, title="Place", look=charts.Look(ranks=True))
    (points,) = [part.split('"')[0] for part in drawn.split('points="')[1:]]
    (_, low), (_, high) = (tuple(map(float, point.split(","))) for point in points.split())
    assert low > high, "the second place is above the sixth"
    assert "Last: x #2." in drawn


def test_logarithmic_axes_are_fine_where_there_is_room() -> None:
    """1, 2, 5 over a decade or two, powers of ten over many; the ends enclose all values."""
    assert axes.log_values(210, 1_900) == [200, 500, 1000, 2000]
    assert axes.log_values(0.02, 150) == pytest.approx([0.01, 0.1, 1, 10, 100, 1000])
    for least, most in ((5, 5), (0.003, 0.004), (1, 10), (9.99, 10.01), (1e-6, 1e12)):
        found = axes.log_values(least, most)
        assert len(found) >= 2
        assert found[0] <= least * 1.001
        assert found[-1] >= most * 0.999
        assert all(math.isfinite(each) for each in found)


WRITTEN = [
    (numbers.signed, 0.1234, "+12.3\u202f%"),
    (numbers.signed, -0.5, "−50\u202f%"),
    (numbers.signed, 0.0, "+0\u202f%"),
    (numbers.signed, 11.2, "×12"),
    (numbers.points, 1.26, "+1.3\u202fpp"),
    (numbers.points, -0.04, "−0.0\u202fpp"),
    (numbers.usd, 0.07512, "$0.0751"),
    (numbers.usd, 3.4, "$3.40"),
]


def test_changes_as_people_read_them() -> None:
    for write, value, expected in WRITTEN:
        assert write(value) == expected, (write.__name__, value)


def test_a_strip_tells_what_it_knows() -> None:
    """A bar an hour in the colour of its percentage; too few requests are grey, and said."""
    drawn = charts.strip((100.0, 94.9, 84.0, None), [f"2026-11-30T0{n}:00" for n in range(4)], title="Uptime")
    assert [part.split('"')[0] for part in drawn.split('<rect class="')[1:]] == ["ok", "warn", "bad", "unknown"]
    assert 'aria-label="Uptime: 3 of 4 measured, lowest 84\u202f%"' in drawn
    assert "30 Nov 2026, 03:00: too few requests" in drawn


def test_a_ranked_table_has_the_largest_first() -> None:
    """One row a bar, each with its own order, its sum, and the rest."""
    series = (Series("a", "A", None, (5, 1)), Series("b", "B", None, (None, 9)), Series(OTHERS, "Others", None, (2, 0)))
    rows = figures.ranked_table(Chart(WEEKS[:2], series, "tokens_native", False, {}), title="T")
    assert "<caption>T (tokens)</caption>" in rows
    newest, oldest = rows.split("<tbody>")[1].split("</tr>")[:2]
    assert newest.index("B <b>9</b>") < newest.index("A <b>1</b>")
    assert 'num">7</td>' in oldest
    assert 'num">2</td>' in oldest


def test_names_of_apps_as_addresses() -> None:
    """What a path would change is a parameter."""
    assert app_path("chat.example") == "/apps/chat.example"
    assert app_path("github.com/me/tool") == "/apps/github.com/me/tool"
    for name in ("~my tool", "~a//b", "~a/../b", "..", "a?b", "~<script>", "~\n"):
        assert app_path(name).startswith("/apps/-?id="), name
