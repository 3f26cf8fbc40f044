"""A small report for tests of what shows it: two figures, one of which lacks its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gateway.analytics.report import document
from gateway.analytics.report.document import Column, Dot, Figure, Guide, Plot, Report, Scope, Table, TimeChart
from gateway.analytics.series import Chart, Series
from gateway.cli import report as command

SCOPE = Scope(
    start="2025-03-03", end="2025-03-16", first_event="2025-03-03", last_event="2025-03-16", requests=40, tokens=3 * 2**60, models=2,
    providers=1, authors=1, users=30, weeks=2, estimated_requests=1, spend_usd=None, least_users=5,
)  # fmt: skip


def report(name: str = "2025", label: str = "GPT", **scope: Any) -> Report:
    """Two figures, one without data."""
    series = (Series("a/b", label, None, (1, 2**60)), Series("others", "Others", None, (3, None)))
    chart = TimeChart(
        "Share", "shares", Chart(("2025-03-03", "2025-03-10"), series, "tokens", False, {}), (("2025-03-05", label),)
    )
    table = Table("Rows", (Column(label), Column("Share", "percent")), ((label, 12.5), ("x", None)))
    dots = tuple(Dot(f"{label} {number}", 0.1 * number, 1e6 * number, "Open") for number in range(1, 9))
    plot = Plot("Dots", dots, ("Open",), "Price", "Tokens", "usd", "tokens", (Guide(label, (0.1, 1e6), (0.8, 8e6)),))
    lines = TimeChart("Lines", "lines", Chart(("2025-03-03", "2025-03-10"), series[:1], "permyriad", False, {}))
    figures = (
        Figure(
            "F01", "Part", f"Title of {label}", "Σ", f"Text of {label}.", 40, "exact", None, (chart, table, plot, lines)
        ),
        Figure("F07", "Part", "Without", "Σ", "Not shown: this needs categories.", 0, "exact", "categories"),
    )
    return Report(1, name, "2026-11-30T12:00:00Z", msgspec.structs.replace(SCOPE, **scope), figures, ("A limit.",))


def publish(data_dir: Path, made: Report) -> None:
    """As the command does."""
    for kind in command.ORDER:
        document.save(document.file_of(data_dir, made.name, kind), command.WRITERS[kind](made))
