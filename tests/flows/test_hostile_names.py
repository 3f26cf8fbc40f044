"""Names that strangers choose, sent to the gateway in every field that takes one, and read back by every way out: they stay text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from gateway.analytics.consumer import Consumer
from gateway.analytics.history import export as exports
from gateway.analytics.history import parquet
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load
from gateway.analytics.report.markdown import markdown
from tests.support.gateway import Caller, Sale, Stage
from tests.support.history import event
from tests.support.pages import FORMULAS, HOSTILE, Parsed
from tests.support.report import report

GatewayFactory = Callable[..., Any]
HEADERS = ("http-referer", "x-title", "x-openrouter-title", "x-openrouter-categories", "x-session-id", "user-agent")
FIELDS = ("user", "session_id", "model")
JSON_ROUTES = (
    "rankings/chart?by=app", "rankings/chart", "rankings/leaderboard?by=app", "datasets/app-rankings", "activity", "rankings/discovery",
    "keys", "models?q={}", "models/a/{}/stats?kind=apps", "rankings/languages?tag={}", "rankings/chart?category={}", "analytics/meta",
)  # fmt: skip
PAGES = (
    "/", "/models?q={}", "/models?providers={}&sort={}", "/models/{}/{}", "/providers", "/rankings", "/rankings?by={}", "/rankings/requests?context={}",
    "/rankings/speed", "/apps", "/apps?view={}", "/apps/{}", "/apps/-?id={}", "/state-of-ai?report={}", "/state-of-ai/{}",
)  # fmt: skip


def as_header(name: str) -> Any:
    """What a client can send of it, as bytes; None: nothing."""
    return "".join(char for char in name if char.isprintable()).strip()[:1000].encode() or None


async def counted(stage: Stage) -> None:
    await stage.gateway.settled()
    assert stage.gateway.services.analytics is not None
    await stage.gateway.services.analytics.flush()
    while await Consumer(stage.gateway.services.store, "worker").consume():
        pass


async def send(caller: Caller, name: str, place: int) -> None:
    """A request with the name in every header, and some in the fields of the body: answered, or refused for what it is."""
    sent = as_header(name)
    headers = {each: sent[:256] if each == "x-session-id" else sent for each in HEADERS} if sent is not None else {}
    body = {"model": "t/a", "messages": [{"role": "user", "content": "hi"}]}
    answer = await caller.raw(json.dumps(body), **headers)
    assert answer.status_code == 200, answer.text
    for field in FIELDS if place % 3 == 0 else ():
        answer = await caller.raw(json.dumps({**body, field: name.encode(errors="replace").decode()}))
        assert answer.status_code in (200, 400, 404, 413), (field, answer.text[:300])
        assert answer.json()


async def test_names_in_requests_stay_text(gateway: GatewayFactory) -> None:
    """Sixty names and formulas in every header and field: each request is answered or refused by its rules, each route and page that
    shows apps or repeats what it was asked is well-formed, has the elements of ours alone, and links to no other host."""
    stage = await gateway(Sale("t/a", "alpha", "ok"), public_rankings=True, rankings_min_users=1)
    caller = await stage.caller()
    for place, name in enumerate((*HOSTILE, *FORMULAS)):
        await send(caller, name, place)
    await counted(stage)
    client, admin = stage.gateway.client, stage.gateway.admin
    for name in HOSTILE[::9]:
        made = await client.post(
            "/api/v1/keys", json={"name": name.encode(errors="replace").decode()[:100] or "x"}, headers=admin
        )
        assert made.status_code in (200, 201, 400), made.text[:300]
    for route in JSON_ROUTES:
        for name in HOSTILE[::9] if "{}" in route else ("",):
            answer = await client.get(f"/api/v1/{filled(route, name)}", headers=admin)
            assert answer.status_code in (200, 400, 404, 414), (route, answer.text[:200])
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()
    for path in ("/rankings.rss", "/api/v1/models?use_rss=true"):
        assert ElementTree.fromstring((await client.get(path, headers=admin)).content).tag == "rss"
    apps = (await client.get("/api/v1/datasets/app-rankings?limit=100", headers=admin)).json()["data"]
    assert len(apps) > 45, "the names have become apps"
    listed = Parsed((await client.get("/apps", headers={"accept": "text/html"})).text)
    links = [link for link in listed.values("href") if link.startswith("/apps/")]
    assert len(links) > 45
    for page in (*PAGES, *links):
        for name in HOSTILE[::11] if "{}" in page else ("",):
            answer = await client.get(filled(page, name), headers={"accept": "text/html"})
            assert answer.status_code in (200, 400, 404, 414), (page, answer.text[:200])
            if answer.headers["content-type"].startswith("text/html"):
                harmless(answer.text, page)


def filled(path: str, name: str) -> str:
    return path.replace("{}", quote(name[:300].encode(errors="replace"), safe=""))


def harmless(text: str, place: str) -> None:
    found = Parsed(text)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 1, place
    assert not set(tags) & {"iframe", "object", "base", "style", "embed"}, place
    assert not {
        name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"
    }, place
    for link in found.values("href", "src", "action"):
        assert link.startswith(("/", "#", "?", "https://", "http://")), (place, link[:80])
        assert "evil.example" not in link.partition("?")[0] or link.startswith("/"), (place, link[:80])
        assert not link.startswith("//"), (place, link[:80])


@pytest.mark.parametrize("dataset", ["events", "daily"])
def test_names_in_exports_stay_text(tmp_path: Path, dataset: exports.Name) -> None:
    """Every format has them exactly; in CSV a formula is text for a spreadsheet too, and no name adds a row or a column."""
    pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")
    names = [name.encode(errors="replace").decode() for name in (*HOSTILE, *FORMULAS)]
    archive = Archive(tmp_path / "history")
    load(
        archive,
        [
            event(n, app=name, app_name=name, endpoint=f"p{n}/x@m{n}{name}", category=name)
            for n, name in enumerate(names)
        ],
    )
    wanted = exports.Export(dataset)
    lines = [json.loads(line) for line in b"".join(exports.lines(archive, wanted, "jsonl")).splitlines()]
    assert sorted(row["app"] for row in lines) == sorted(names)
    text = b"".join(exports.lines(archive, wanted, "csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(names)
    assert {None} not in [set(row) & {None} for row in rows]
    for row in rows:
        cells = [value for key, value in row.items() if not value.lstrip("-").isdigit()]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    expected = sorted(f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name for name in names)
    assert sorted(row["app"] for row in rows) == expected
    exports.write_parquet(archive, wanted, tmp_path / "x.parquet")
    with parquet.database().connection() as opened:
        kept = opened.execute(f"SELECT app FROM '{tmp_path / 'x.parquet'}'").fetchall()
    assert sorted(row[0] for row in kept) == sorted(names)


def test_names_in_the_report_stay_text_in_markdown() -> None:
    """Read as CommonMark with HTML, tables and links of bare addresses on: the same elements as with a tame name, no HTML, no link."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")

    def shape(label: str) -> list[str]:
        tokens = [
            each for token in reader.parse(markdown(report(label=label))) for each in (token, *(token.children or ()))
        ]
        return [token.type for token in tokens]

    tame = shape("tame")
    for name in (*HOSTILE, *FORMULAS):
        name = name.encode(errors="replace").decode()
        found = shape(name or "x")
        assert not {"html_block", "html_inline", "link_open", "image", "autolink"} & set(found), name[:80]
        assert [each for each in found if each not in ("text", "text_special")] == [
            each for each in tame if each != "text"
        ], name[:80]
