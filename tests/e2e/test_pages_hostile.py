"""Names that strangers choose, in a real Chromium: on every page they are text, and no page is wider than its window for them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from gateway.analytics.buckets import today
from gateway.analytics.event import Event, app_of
from gateway.analytics.report.document import Report
from gateway.store.embedded import Embedded
from tests.support.gateway import Gateway, running
from tests.support.management import write_files
from tests.support.pages import FORMULAS, HOSTILE
from tests.support.report import publish, report
from tests.support.usage import busy_hours, count_events, crowd

async_api = pytest.importorskip("playwright.async_api", reason="needs playwright, which the development tools bring")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH (Debian: apt-get install chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]
NAMES = [name.encode(errors="replace").decode() for name in (*HOSTILE, *FORMULAS)]
TODAY = today(time.time())
FAST = "acme/ok@acme/fast-1"
PAGES = (
    "/", "/rankings", "/rankings?by=family&scale=share", "/rankings?by=provider", "/rankings?by=author&metric=users", "/rankings/requests",
    "/rankings/speed", "/apps", "/models/acme/fast-1", "/state-of-ai", "/state-of-ai/all",
)  # fmt: skip
WIDTHS = {390: 844, 1440: 900}
STEP = 6 if os.environ.get("SOAK") == "short" else 1
WATCH = """
for (const name of ['alert', 'confirm', 'prompt', 'open']) window[name] = () => console.error('executed ' + name);
addEventListener('securitypolicyviolation', event => console.error('refused ' + event.violatedDirective + ' ' + event.blockedURI));
"""


def used() -> Iterator[Event]:
    """Each name as that of an app by its title, of a model, of a provider and of labels; enough users that all of it is shown."""
    for place, name in enumerate(NAMES):
        app, app_name = app_of(None, name)
        slug = name.replace("@", "a")[:200]
        tokens = 9_000 + 40 * place
        for week in range(2):
            day = TODAY - 1 - 7 * week
            yield from crowd(
                day, f"{slug.replace('/', '')}/x@{slug}/{place}", tokens, app=app, app_name=app_name, finish=name[:60]
            )
            yield from crowd(day, FAST, tokens, app=app, app_name=app_name, category=name[:60], language=name[:60])
    yield from busy_hours(FAST, 2)


def whole_report() -> Report:
    """A figure for each name, in a section, with a title, text and labels of that name."""
    figures = [
        msgspec.structs.replace(report(label=name or "x").figures[0], id=f"F{place:02}", section=f"{place} {name[:60]}")
        for place, name in enumerate(NAMES)
    ]
    return msgspec.structs.replace(report(label=NAMES[0]), figures=tuple(figures), limits=tuple(NAMES))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    config = write_files(folder / "config", "http://127.0.0.1:1/v1")
    async with running(config, folder / "data", valkey_server.url, public_rankings=True, history=False) as started:
        await started.services.store.redis.flushdb()
        await count_events(started.services.store, list(used()))
        publish(folder / "data", whole_report())
        yield started


async def test_names_stay_text_in_a_browser(gateway: Gateway) -> None:
    """Nothing runs and nothing is fetched from elsewhere, the console is silent, and nothing makes a page wider than its window, on
    the pages of all, of each app, of each section and figure of a report."""
    listed = await gateway.client.get("/apps", headers={"accept": "text/html"})
    apps = [f"/apps/-?id={quote(app_of(None, name)[0], safe='')}" for name in NAMES[::STEP]]
    figures = [f"/state-of-ai/F{place:02}" for place in range(0, len(NAMES), STEP)]
    assert listed.text.count('href="/apps/') > 40
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, height in WIDTHS.items():
            context = await browser.new_context(viewport={"width": width, "height": height})
            await context.add_init_script(WATCH)
            for path in (*PAGES, *apps, *figures) if width == 390 else PAGES:
                await quiet(context, gateway.url, path, width)
            await context.close()
        await browser.close()


WIDE = """[...document.querySelectorAll('main *')]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll, pre, .tabs'))
    .slice(0, 3).map(each => each.outerHTML.slice(0, 160))"""
"""What makes a page wider than its window."""


async def quiet(context: Any, url: str, path: str, width: int) -> None:
    page, said = await context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(f"script: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on(
        "request", lambda request: None if request.url.startswith(url + "/") else said.append(f"fetched {request.url}")
    )
    page.on(
        "framenavigated", lambda frame: None if frame.url.startswith(url + "/") else said.append(f"went to {frame.url}")
    )
    answer = await page.goto(url + path, wait_until="load")
    said = [line for line in said if "status of 404" not in line]
    assert answer.status in (200, 404), (path, answer.status)
    assert said == [], path
    fits = await page.evaluate("document.documentElement.scrollWidth") <= width
    assert fits, (path, await page.evaluate(WIDE))
    await page.close()
