"""The report that was last made, over HTTP: for the management key alone, in each format, and what is said where there is none."""

from __future__ import annotations

import os
from datetime import date

from gateway.analytics.report import document
from tests.support.management import Managed, bearer, refused
from tests.support.report import publish, report


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
