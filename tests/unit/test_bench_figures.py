"""The bench's arithmetic and report: no process is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import figures, quiet, report, stats
from bench.figures import ROWS, Row
from bench.run import half_rate


def _row(sample: str) -> Row:
    return next(row for row in ROWS if row.sample == sample)


@pytest.fixture
def result() -> dict[str, Any]:
    """A run with three targets whose figures are easy to compute by hand."""
    return {
        "begun": "2026-11-21T10:00:00+00:00",
        "seconds": 40,
        "effort": {"name": "quick", "rounds": 2, "tls_rounds": 1},
        "machine": {
            "cpu": "Some CPU",
            "cores": 2,
            "kernel": "6",
            "python": "3.11",
            "nginx": "1.22",
            "wrk": "wrk",
            "commit": "abc",
            "changed": False,
        },
        "noise": {"busy_share_max": 0.02, "steal_share": 0.001},
        "settings": {"GATEWAY_SERVER": "uvicorn"},
        "targets": {name: {"title": name, "callers": 50} for name in ("bare", "nginx", "gateway")},
        "samples": {
            "bare": {
                "plain.at2000.latency_us_p50": [100.0],
                "plain.at1500.latency_us_p50": [120.0],
                "plain.transit_us_p50": [40.0, 60.0],
            },
            "nginx": {
                "plain.request_cpu_us": [14.0, 16.0],
                "plain.request_per_s": [50_000.0],
                "plain.busy_share": [0.6],
                "plain.half.rate_per_s": [2000.0, 1500.0],
                "plain.half.latency_us_p50": [150.0, 170.0],
            },
            "gateway": {
                "plain.request_cpu_us": [200.0, 400.0],
                "plain.request_per_s": [4000.0],
                "plain.busy_share": [0.99],
                "plain.half.rate_per_s": [2000.0, 1500.0],
                "plain.half.latency_us_p50": [600.0, 520.0],
                "plain.transit_us_p50": [140.0, 160.0],
                "plain.batched_share": [0.0, 0.5],
            },
        },
        "failed": {"gateway": 3},
        "books": {"gateway": {"audit_status": 200, "metrics_status": 200}},
        "notes": ["litellm was skipped: no network"],
    }


def test_percentile_is_the_nearest_rank() -> None:
    """p50 of 1..100 is 50, p99 is 99, and one value is all its percentiles."""
    ordered = [float(value) for value in range(1, 101)]
    assert (stats.percentile(ordered, 50), stats.percentile(ordered, 99)) == (50, 99)
    assert stats.percentile([7.0], 99) == 7
    assert stats.percentiles([]) == {"count": 0}
    assert stats.percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p90": 3.0, "p99": 3.0, "max": 3.0, "count": 3}


def test_figure_tells_how_far_the_repeats_lay_apart() -> None:
    """The spread is the range over the median; a median of zero has none."""
    assert stats.figure([90.0, 100.0, 130.0]) == stats.Figure(100.0, 0.4, (90.0, 100.0, 130.0))
    assert stats.figure([0.0, 0.0]).spread == 0.0


def test_slope_leaves_out_what_a_stream_costs_by_itself() -> None:
    """900 µs a stream and 40 µs an event are told apart exactly."""
    assert stats.slope((10, 900 + 10 * 40), (110, 900 + 110 * 40)) == 40


def test_added_latency_is_taken_against_the_bare_upstream_at_the_same_rate(result: dict[str, Any]) -> None:
    """Each round is compared with the bare upstream's of that round: (600-100, 520-120) µs → 0.45 ms."""
    row = _row("plain.half.latency_us_p50")
    found = figures.of(result, "gateway", row)
    assert found is not None
    assert found.value == pytest.approx(0.45)
    assert figures.ratio(result, "gateway", row) == pytest.approx(0.45 / 0.05)
    assert figures.of(result, "bare", row) is None
    assert figures.met(result, row) is True


def test_a_figure_that_does_not_depend_on_the_rate_is_taken_against_the_bare_one(result: dict[str, Any]) -> None:
    """Transit of an event: (140-40, 160-60) µs → 0.1 ms."""
    found = figures.of(result, "gateway", _row("plain.transit_us_p50"))
    assert found is not None
    assert found.value == pytest.approx(0.1)


def test_a_rate_without_a_bare_measurement_gives_no_added_latency(result: dict[str, Any]) -> None:
    """A missing floor is a missing figure, never a floor of zero."""
    result["samples"]["gateway"]["plain.half.rate_per_s"] = [1234.0]
    assert figures.of(result, "gateway", _row("plain.half.latency_us_p50")) is None


def test_budget_is_missed_when_the_median_is_above_it(result: dict[str, Any]) -> None:
    """300 µs a request against 250."""
    row = _row("plain.request_cpu_us")
    assert figures.met(result, row) is False
    assert report.cell(result, "gateway", row) == "~300 µs (20.0x)"
    assert "≤ 250 µs ✗ missed; ≤ 17.9x ✗ missed |" in report.table(result)


def test_a_slow_machine_may_keep_the_budget_as_a_multiple(result: dict[str, Any]) -> None:
    """300 µs are too many, but 17 times nginx are not; without nginx there is no ratio."""
    result["samples"]["nginx"]["plain.request_cpu_us"] = [17.6]
    assert "≤ 250 µs ✗ missed; ≤ 17.9x ✓ |" in report.table(result)
    result["samples"]["nginx"] = {}
    assert "≤ 250 µs ✗ missed |" in report.table(result)


def test_requests_a_second_below_a_full_core_are_a_lower_bound(result: dict[str, Any]) -> None:
    """nginx at 60 % of its core was limited by the load; the gateway at 99 % was not."""
    row = _row("plain.request_per_s")
    assert report.cell(result, "nginx", row) == "≥ 50,000 /s"
    assert report.cell(result, "gateway", row) == "4,000 /s (0.08x)"


def test_table_has_a_row_only_for_what_was_measured(result: dict[str, Any]) -> None:
    """Shares become percent, absent figures a dash, rows without any figure vanish."""
    table = report.table(result)
    assert "| events that arrived in a batch | - | - | 25.0 % |" in table
    assert "TLS upstream" not in table
    assert "| **Failed requests** | 0 | 0 | 3 | 0 |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_caption_names_machine_settings_books_and_notes(result: dict[str, Any]) -> None:
    """A reader of the table can tell where it comes from and what is missing in it."""
    caption = report.caption(result)
    for part in (
        "2 cores of Some CPU",
        "commit abc",
        "GATEWAY_SERVER=uvicorn",
        "after the run: clean",
        "litellm was skipped",
    ):
        assert part in caption
    result["books"]["gateway"]["audit_status"] = 409
    assert "NOT CLEAN" in report.caption(result)


def test_the_generated_section_is_replaced_between_its_markers(result: dict[str, Any]) -> None:
    """Text around the markers stays; a README without them is refused."""
    text = f"head\n{report.BEGIN}\nold\n{report.END}\ntail\n"
    new = report.replaced(text, report.section(result))
    assert new.startswith("head\n")
    assert new.endswith("\ntail\n")
    assert "old" not in new
    assert report.replaced(new, report.section(result)) == new
    with pytest.raises(ValueError, match="markers"):
        report.replaced("no markers", "body")


def test_readme_has_the_markers_and_a_result_survives_json(result: dict[str, Any]) -> None:
    """`--write` finds its place in the shipped README, and a stored run renders as the fresh one did."""
    readme = (Path(report.__file__).parent / "README.md").read_text()
    assert report.table(result) in report.replaced(readme, report.section(result))
    assert report.section(json.loads(json.dumps(result))) == report.section(result)


def test_numbers_have_three_digits() -> None:
    """12.345 → 12.3, 1234.5 → 1,234, 0.5 → 0.50."""
    assert [report.number(value) for value in (12.345, 1234.4, 0.5, -3.14159)] == ["12.3", "1,234", "0.50", "-3.14"]


def test_half_load_is_capped_and_nginx_follows_the_gateway() -> None:
    """nginx's own half would drown the client; a dead target has no rate; the bare upstream is not a target."""
    names = ("bare", "nginx", "gateway", "litellm", "portkey")
    assert half_rate("gateway", 4000, names) == (2000, ["gateway", "nginx"])
    assert half_rate("litellm", 60, names) == (30, ["litellm"])
    for name, per_s in (("bare", 40_000), ("nginx", 30_000), ("portkey", 0)):
        assert half_rate(name, per_s, names) == (0, [])
    assert half_rate("nginx", 30_000, names[:2]) == (3000, ["nginx"])


def test_busy_and_stolen_shares_come_from_ticks() -> None:
    """30 of 100 ticks were not idle, 5 of them stolen."""
    before = quiet.parse("cpu  100 0 50 800 40 0 10 0 7 0\ncpu0 ...\n")
    after = quiet.parse("cpu  120 0 55 865 45 0 10 5 9 0\ncpu0 ...\n")
    assert quiet.busy_share(before, after) == pytest.approx(0.3)
    assert quiet.steal_share(before, after) == pytest.approx(0.05)
    assert quiet.busy_share(before, before) == 0
