"""The report that was last made, over HTTP: for the management key alone, in each format, and what is said where there is none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import date
from itertools import count
from pathlib import Path

import httpx
import pytest

from gateway.analytics.report import document
from gateway.analytics.series import Chart
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from gateway.web.report import charts_of, draw, html
from tests.support.gateway import ADMIN_KEY, running
from tests.support.management import Managed, bearer, refused, write_files
from tests.support.pages import HOSTILE, Parsed
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


HTML = {"accept": "text/html"}


@pytest.fixture
async def public(tmp_path: Path, valkey_server: Embedded, store: Store) -> AsyncIterator[Managed]:
    """A gateway whose rankings need no key."""
    config = write_files(tmp_path / "public-config", "http://127.0.0.1:1/v1")
    async with running(config, tmp_path / "public", valkey_server.url, public_rankings=True) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url) as anyone:
            yield Managed(gateway, anyone, anyone)


async def shown(gateway: Managed, path: str = "/state-of-ai", status: int = 200) -> Parsed:
    await asyncio.sleep(0.01)
    answer = await gateway.anyone.get(f"{path}{'&' if '?' in path else '?'}{next(UNIQUE)}", headers=HTML)
    assert answer.status_code == status, answer.text[:300]
    return Parsed(answer.text)


UNIQUE = (f"look={number}" for number in count())
"""Pages are kept for a few seconds: each look is at another address."""


async def test_the_page_says_what_is_missing(managed: Managed, public: Managed) -> None:
    """Not public, none made, unknown, for the operator alone, damaged: each with what to do; never a figure."""
    data = public.gateway.services.settings.data_dir
    publish(managed.gateway.services.settings.data_dir, report())
    assert "GATEWAY_PUBLIC_RANKINGS=true" in (await shown(managed)).words
    assert "tokenway analytics report --year" in (await shown(public)).words
    assert "There is no such report" in (await shown(public, "/state-of-ai?report=1999", 404)).words
    publish(data, report(least_users=1))
    private = (await shown(public)).words
    assert "for the operator alone" in private
    assert "Text of GPT" not in private
    document.save(document.file_of(data, "2025"), b'{"version": 9}')
    assert "cannot be read" in (await shown(public)).words


async def test_the_pages_show_the_newest_report(public: Managed) -> None:
    """The contents say what each figure says; its section draws it, its own page has its tables, one page has everything. Each with
    its definition and n, what the data lack, the limits; every link leads somewhere; ids are unique."""
    data = public.gateway.services.settings.data_dir
    publish(data, report("2024", label="Older"))
    publish(data, report())
    os.utime(document.file_of(data, "2024"), (1, 1))
    drawings = ("n = 40 events", "Not shown: this needs categories.", "GPT, 5 Mar 2025")
    expected = {
        "/state-of-ai": ("Text of GPT.", "A limit.", "Not shown: this needs categories."),
        "/state-of-ai/part": ("Text of GPT.", *drawings),
        "/state-of-ai/F01": ("Text of GPT.", "n = 40 events", "1,152,921,504,606,846,976"),
        "/state-of-ai/all": ("Text of GPT.", "A limit.", *drawings),
    }
    links: set[str] = set()
    for path, texts in expected.items():
        found = await shown(public, path)
        for text in texts:
            assert text in found.words, (path, text)
        ids = found.values("id")
        assert len(ids) == len(set(ids)), path
        assert {link.removeprefix("#") for link in found.values("href") if link.startswith("#")} <= set(ids), path
        assert not found.values("style"), path
        drawn = path != "/state-of-ai"
        assert found.values("class").count("marker") == 2 * drawn, "the release, on wide and on narrow screens"
        assert ("details" in [tag for tag, _ in found.tags]) == (path == "/state-of-ai/F01"), "tables are on one page"
        links |= {link for link in found.values("href") if link.startswith("/state-of-ai")}
    assert {"/state-of-ai/all", "/state-of-ai/part", "/state-of-ai/part#F07", "/state-of-ai/F01"} <= links
    for link in sorted(links):
        path, _, place = link.partition("#")
        assert not place or place in (await shown(public, path)).values("id"), link
    older = await shown(public, "/state-of-ai?report=2024")
    assert "Text of Older." in older.words
    inside = [link for link in older.values("href") if link.startswith("/state-of-ai/")]
    assert inside
    assert all("?report=2024" in link for link in inside)
    assert "Text of Older." in (await shown(public, inside[0])).words
    for wrong in ("nothing", "f01", "F99", "%3Cscript%3E", "x" * 3000):
        assert "The report has no such part" in (await shown(public, f"/state-of-ai/{wrong}", 404)).words
    answer = await public.anyone.get("/api/v1/report?format=html", headers=bearer(ADMIN_KEY))
    assert "Text of GPT." in Parsed(answer.text).words
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_releases_on_every_chart_of_time() -> None:
    """When asked for, those within the weeks of a chart are on its bars and lines, beside those of the report, each once."""
    releases = [("2025-03-05", "GPT"), ("2025-03-12", "New one"), ("2025-03-17", "After"), ("2025-03-02", "Before")]
    for asked, expected in (([], [1, 0]), (releases, [2, 2])):
        shown = [each for each in charts_of(draw(report().figures, "folded", asked)) if isinstance(each.data, Chart)]
        assert [len(each.markers) for each in shown] == expected
        assert [each.markup.count('class="marker"') for each in shown] == [2 * number for number in expected]
        assert ["New one, 12 Mar 2025" in each.markup for each in shown] == [bool(asked)] * 2
    assert b"New one" not in html(report())
    assert b"download=" not in html(report())


def test_hostile_names_stay_text_in_the_report() -> None:
    """Sixty names in every place where a model's may stand: the page has the same elements as with a tame one. Only how many names stand
    beside the dots of a scatter depends on their length."""

    def shape(label: str) -> list[tuple[str, tuple[str, ...]]]:
        return [each for each in Parsed(html(report(label=label)).decode()).shape if each[0] != "text"]

    tame = shape("tame")
    for name in HOSTILE:
        assert shape(name.encode(errors="replace").decode() or "x") == tame, name
