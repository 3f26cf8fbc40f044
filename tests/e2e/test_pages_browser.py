"""The public pages in a real Chromium: nothing is refused, nothing is fetched from elsewhere, and everybody can use them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.analytics.buckets import today
from gateway.analytics.event import Event
from gateway.health.registry import Observation
from gateway.settings import shipped_config_dir
from gateway.store.embedded import Embedded
from tests.support import npm_clients
from tests.support.gateway import Gateway, running
from tests.support.report import publish, report
from tests.support.usage import busy_hours, count_events, crowd

async_api = pytest.importorskip("playwright.async_api", reason="needs playwright, which the development tools bring")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH (Debian: apt-get install chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]
PAGES = (
    "/",
    "/models",
    "/models?all=true&output_modalities=all&sort=pricing-high-to-low",
    "/models?max_price=cheap",
    "/models?q=nothing-like-it",
    "/models/deepseek/deepseek-v3.2",
    "/models/no/such-model",
    "/providers",
    "/rankings",
    "/rankings?by=origin&scale=share&series=fixed&view=month",
    "/rankings/requests",
    "/rankings/speed",
    "/rankings?releases=show",
    "/rankings/categories",
    "/rankings/categories?label=programming&releases=show",
    "/rankings/categories?label=legal",
    "/rankings/languages",
    "/rankings/programming-languages?label=Python",
    "/rankings/tasks",
    "/apps",
    "/apps/chat.example",
    "/models/openai/gpt-4.1-mini",
    "/state-of-ai",
    "/state-of-ai/part?releases=show",
    "/state-of-ai/F01",
    "/state-of-ai/all",
    "/state-of-ai?report=1999",
)
WIDTHS = {390: 844, 1440: 900}
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in WIDTHS]
SHORT = os.environ.get("SOAK") == "short"
SERIOUS = {"serious", "critical"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Gateway]:
    """The shipped catalogue, with a few measurements; three providers have a credential that opens nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DEEPSEEK_API_KEY", "DEEPINFRA_API_KEY", "OPENAI_API_KEY"):
            patch.setenv(name, "opens-nothing")
        data: Path = tmp_path_factory.mktemp("pages")
        settings = {"analytics": True, "public_rankings": True}
        async with running(shipped_config_dir(), data, valkey_server.url, **settings) as started:
            await started.services.store.redis.flushdb()
            await count_events(started.services.store, list(months_of_use()))
            publish(data, report())
            for endpoint in list(started.services.catalog.current.endpoints)[::3]:
                for _ in range(20):
                    started.services.health.observe(endpoint, Observation(ok=True, ttft_ms=300.0, tokens_per_s=60.0))
            yield started


def months_of_use() -> Iterator[Event]:
    """Thirty weeks of fifteen models and two apps, and a few busy hours of one of them."""
    models = ("openai/gpt-4.1-mini", "deepseek/deepseek-v3.2", "google/gemini-2.5-flash", "x-ai/grok-code-fast-1")
    slugs = [*models, *(f"lab-{number}/model-{number}" for number in range(11))]
    day = today(time.time())
    for week in range(30):
        for place, slug in enumerate(slugs):
            tokens = (40 - week) * (20 - place) * (3 if (week + place) % 7 == 0 else 2)
            app = (
                {"app": "chat.example", "app_name": "Chat"} if place % 2 else {"app": "~my tool", "app_name": "My tool"}
            )
            yield from crowd(day - 7 * week - 1, f"openai/{slug}@{slug}", tokens, finish="tool_calls", **app)
    for place, slug in enumerate(slugs[:6]):
        labels = {"category": "programming", "language": "English", "programming": "Python", "task": "debugging"}
        other = {"category": ("roleplay", "finance")[place % 2], "language": "French", "task": "extraction"}
        for each in (labels, other):
            for _ in range(4):
                yield from crowd(day - 9, f"openai/{slug}@{slug}", 90 + place, sampled_ppm=250_000, **each)
    yield from busy_hours("openai/gpt-4.1-mini@openai/gpt-4.1-mini", 4, failed=12)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with async_api.async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


async def opened(browser: Any, path: str, url: str, **look: Any) -> tuple[Any, Any, list[str]]:
    """(context, page, complaints) of one page: what the console says, errors of scripts, requests to other hosts."""
    context = await browser.new_context(bypass_csp=False, **look)
    page = await context.new_page()
    said: list[str] = []
    page.on(
        "console",
        lambda message: (
            said.append(f"{message.type}: {message.text}") if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: said.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: (
            said.append(f"fetched {request.url}") if urlsplit(request.url).netloc != urlsplit(url).netloc else None
        ),
    )
    await page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('refused ' + e.violatedDirective + ' ' + e.blockedURI))"
    )
    answer = await page.goto(url + path, wait_until="load")
    expected = f"error: Failed to load resource: the server responded with a status of {answer.status}"
    return context, page, [line for line in said if answer.status < 400 or not line.startswith(expected)]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_quiet_and_fit(gateway: Gateway, browser: Any, path: str) -> None:
    """Light and dark, on a phone and on a desk: no error in the console, nothing refused by the policy, no other host, no sideways scrolling."""
    for scheme, width in LOOKS:
        look = {"color_scheme": scheme, "viewport": {"width": width, "height": WIDTHS[width]}}
        context, page, complaints = await opened(browser, path, gateway.url, **look)
        assert complaints == [], (scheme, width)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (max(map(int, ground[4:-1].split(","))) < 40) == (scheme == "dark"), ground
        await context.close()


@pytest.mark.parametrize("path", PAGES)
async def test_axe_finds_nothing_serious(gateway: Gateway, browser: Any, path: str) -> None:
    """The rules of axe-core, contrast among them, in both colour schemes and widths; in a short run light on a desk, dark on a phone."""
    axe = (npm_clients.installed("axe-core") / "axe-core/axe.min.js").read_text()
    for scheme, width in [("light", 1440), ("dark", 390)] if SHORT else LOOKS:
        look = {"color_scheme": scheme, "viewport": {"width": width, "height": WIDTHS[width]}}
        context, page, _ = await opened(browser, path, gateway.url, **look)
        await page.evaluate(axe)
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"][:3]], each["nodes"][0].get("failureSummary"))
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]
        assert serious == [], (scheme, width)
        await context.close()


async def test_the_switch_of_colours_holds(gateway: Gateway, browser: Any) -> None:
    """The choice is in force at once, on the next page and after a reload; without JavaScript it is in force on its page."""
    dark = "getComputedStyle(document.documentElement).colorScheme"
    context, page, _ = await opened(browser, "/", gateway.url, color_scheme="light")
    await page.locator("#theme-dark").check(force=True)
    assert await page.evaluate(dark) == "dark"
    await page.get_by_role("link", name="Providers", exact=True).first.click()
    await page.wait_for_url("**/providers")
    assert await page.evaluate(dark) == "dark"
    assert await page.locator("#theme-dark").is_checked()
    await page.locator("#theme-auto").check(force=True)
    await page.reload()
    assert await page.evaluate(dark) == "light dark"
    await context.close()
    context, page, _ = await opened(browser, "/", gateway.url, color_scheme="light", java_script_enabled=False)
    await page.locator("#theme-dark").check(force=True)
    picture = await page.screenshot(clip={"x": 0, "y": 400, "width": 4, "height": 4})
    await page.locator("#theme-light").check(force=True)
    assert await page.screenshot(clip={"x": 0, "y": 400, "width": 4, "height": 4}) != picture
    await context.close()


async def test_the_keyboard_reaches_everything(gateway: Gateway, browser: Any) -> None:
    """The first stop skips to the content; a filter can be typed and sent; the focus can be seen."""
    context, page, _ = await opened(browser, "/models", gateway.url)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.name") == "q"
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.type("deepseek-v3.2")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**q=deepseek-v3.2**")
    assert await page.get_by_role("link", name="DeepSeek V3.2", exact=True).count() == 1
    await context.close()


async def test_code_can_be_copied(gateway: Gateway, browser: Any) -> None:
    """The button copies the code as it is shown."""
    context, page, complaints = await opened(
        browser, "/", gateway.url, permissions=["clipboard-read", "clipboard-write"]
    )
    await page.get_by_role("button", name="Copy").first.click()
    await page.get_by_role("button", name="Copied").wait_for()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl {gateway.url}/api/v1/chat/completions \\\n")
    assert complaints == []
    await context.close()
