"""The report that was last made, over HTTP: for the management key alone, in each format, and what is said where there is none."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from gateway.analytics.report import document
from gateway.analytics.report.document import Figure, Report, Scope, Table, TimeChart
from gateway.analytics.series import Chart, Series
from gateway.cli import report as command
from tests.support.management import Managed, bearer, refused

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
    table = Table("Rows", (document.Column(label), document.Column("Share", "percent")), ((label, 12.5), ("x", None)))
    figures = (
        Figure("F01", "Part", f"Title of {label}", "Σ", f"Text of {label}.", 40, "exact", None, (chart, table)),
        Figure("F07", "Part", "Without", "Σ", "Not shown: this needs categories.", 0, "exact", "categories"),
    )
    return Report(1, name, "2026-11-30T12:00:00Z", msgspec.structs.replace(SCOPE, **scope), figures, ("A limit.",))


def publish(data_dir: Path, made: Report) -> None:
    """As the command does."""
    for kind in command.ORDER:
        document.save(document.file_of(data_dir, made.name, kind), command.WRITERS[kind](made))


async def test_the_report_is_served_as_it_was_made(managed: Managed) -> None:
    """404 says how to make one; the newest is the default; each format is the file's bytes; others than the management key get nothing."""
    data = managed.gateway.services.settings.data_dir
    assert "tokenway analytics report --year 2025" in refused(await managed.admin.get("/api/v1/report?year=2025"), 404)
    assert "--year YYYY" in refused(await managed.admin.get("/api/v1/report"), 404)
    publish(data, report("2024"))
    publish(data, report())
    os.utime(document.file_of(data, "2024"), (1, 1))
    answer = await managed.admin.get("/api/v1/report")
    assert document.decode(answer.content) == report()
    assert answer.headers["cache-control"].startswith("private")
    assert (await managed.admin.get("/api/v1/report?year=2024")).json()["name"] == "2024"
    text = await managed.admin.get("/api/v1/report?year=2025&format=md")
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# State of AI 2025\n")
    days = report(document.name_of_days(date(2025, 3, 3), date(2025, 3, 16)))
    publish(data, days)
    found = await managed.admin.get("/api/v1/report?start_date=2025-03-03&end_date=2025-03-16")
    assert document.decode(found.content) == days
    refused(await managed.anyone.get("/api/v1/report"), 401)
    made = (await managed.admin.post("/api/v1/keys", json={"name": "caller"})).json()
    refused(await managed.anyone.get("/api/v1/report", headers=bearer(made["key"])), 403)


WRONG = [
    ("year=soon", "year"),
    ("year=0", "year"),
    ("year=2025/../../admin", "year"),
    ("format=pdf", "format"),
    ("start_date=2025-02-30&end_date=2025-03-01", "start_date"),
    ("start_date=2025-03-01", "end_date"),
    ("end_date=2025-03-01", "start_date"),
    ("start_date=2025-03-02&end_date=2025-03-01", "start_date"),
    ("year=2025&start_date=2025-03-01&end_date=2025-03-02", "year"),
]


async def test_bad_parameters_are_named(managed: Managed) -> None:
    """400, with the parameter that is wrong."""
    for query, field in WRONG:
        refused(await managed.admin.get(f"/api/v1/report?{query}"), 400, field)
