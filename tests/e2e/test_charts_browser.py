"""The geometry of charts in a real Chromium: bars that add up to what was counted, in both colour schemes and widths, full, alone, running
and empty; and a chart as a picture."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.analytics.buckets import monday, today, week_of
from gateway.analytics.event import Event
from gateway.store.embedded import Embedded
from tests.e2e.test_pages_browser import CHROMIUM, WIDTHS, async_api, opened
from tests.support.gateway import Gateway, running
from tests.support.management import write_files
from tests.support.usage import busy_hours, count_events, crowd

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH (Debian: apt-get install chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]
TODAY = today(time.time())
WEEK = week_of(TODAY)
FAST, SLOW = "acme/ok@acme/fast-1", "bolt/slow@acme/slow-2"
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in WIDTHS]
BARS = """() => {
  const svg = [...document.querySelectorAll('#top ~ .card figure.chart svg, #used ~ .card figure.chart svg')]
    .find(each => each.getClientRects().length);
  if (!svg) return null;
  const frame = svg.getBoundingClientRect();
  const at = box => ({left: box.left - frame.left, right: box.right - frame.left, top: box.top - frame.top, bottom: box.bottom - frame.top});
  const parts = [];
  for (const use of svg.querySelectorAll('use')) parts.push(at(use.getBoundingClientRect()));
  for (const path of svg.querySelectorAll('.bars path'))
    parts.push({...at(path.getBoundingClientRect()), color: getComputedStyle(path).fill, opacity: getComputedStyle(path.parentNode).opacity});
  const texts = [...svg.querySelectorAll('text')].map(each => ({...at(each.getBoundingClientRect()), words: each.textContent}));
  const axis = at(svg.querySelector('.axis').getBoundingClientRect());
  return {width: frame.width, height: frame.height, parts, texts, axis, page: document.documentElement.scrollWidth,
          hatched: svg.querySelectorAll('rect[fill^="url(#hatch"]').length, ink: getComputedStyle(svg.querySelector('text')).fill};
}"""
STRIPS = """() => [...document.querySelectorAll('svg.strip')].map(strip => {
  const frame = strip.getBoundingClientRect();
  return {width: frame.width, height: frame.height, bars: [...strip.querySelectorAll('rect')].map(each => {
    const box = each.getBoundingClientRect();
    return {left: box.left - frame.left, right: box.right - frame.left, height: box.height, tone: each.getAttribute('class'),
            color: getComputedStyle(each).fill};
  })};
})"""


def weeks(*back: int) -> Iterator[Event]:
    """Two models in some weeks, so many weeks ago; the first has three times as much."""
    for each in back:
        day = min(monday(WEEK - each), TODAY)
        yield from crowd(day, FAST, 3_000)
        yield from crowd(day, SLOW, 1_000)


STATES: dict[str, tuple[int, ...]] = {
    "full": tuple(range(1, 40)),
    "partial": (0, 1, 2, 3),
    "one bar": (1,),
    "only the running week": (0,),
    "empty": (),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with async_api.async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


@asynccontextmanager
async def counted(tmp_path: Path, valkey_server: Embedded, events: list[Event]) -> AsyncIterator[Gateway]:
    """A gateway of two models whose counters have these events and no others."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    settings = {"analytics": True, "public_rankings": True, "rankings_min_users": 5}
    async with running(config, tmp_path / "data", valkey_server.url, **settings) as gateway:
        await gateway.services.store.redis.flushdb()
        await count_events(gateway.services.store, events)
        yield gateway


@pytest.mark.parametrize("state", STATES)
async def test_bars_of_models(tmp_path: Path, valkey_server: Embedded, browser: Any, state: str) -> None:
    """R2: parts within the drawing and on the axis, their heights as three to one, words that do not cover each other; the running week
    is hatched and pale; ink follows the scheme, colours of models do not. Empty: no drawing, a request to copy."""
    inks = set()
    async with counted(tmp_path, valkey_server, list(weeks(*STATES[state]))) as gateway:
        for scheme, width in LOOKS:
            look = {"color_scheme": scheme, "viewport": {"width": width, "height": WIDTHS[width]}}
            context, page, complaints = await opened(browser, "/rankings", gateway.url, **look)
            assert complaints == []
            found = await page.evaluate(BARS)
            if state == "empty":
                assert found is None
                assert await page.locator("figure").count() == 0
                assert await page.get_by_text("No traffic yet").is_visible()
            else:
                _check_bars(found, width, running_week=0 in STATES[state], only_running=STATES[state] == (0,))
                inks.add((scheme, found["ink"]))
            await context.close()
    assert len({ink for _, ink in inks}) == len({scheme for scheme, _ in inks})


def _check_bars(found: dict[str, Any], width: int, *, running_week: bool, only_running: bool) -> None:
    assert found["page"] <= width
    for part in found["parts"]:
        assert part["left"] >= -1
        assert part["right"] <= found["width"] + 1
        assert part["top"] >= -1
        assert part["bottom"] <= found["axis"]["bottom"] + 1.5
    lowest = max(part["bottom"] for part in found["parts"])
    assert abs(lowest - found["axis"]["top"]) < 3, "the bars stand on the axis"
    colored = [part for part in found["parts"] if "color" in part and part["color"] != "none"]
    heights: dict[str, float] = {}
    for part in colored:
        if part["opacity"] == "1":
            heights[part["color"]] = max(heights.get(part["color"], 0), part["bottom"] - part["top"])
    if width == max(WIDTHS) and not only_running:  # the narrow drawing may show the shapes of the wide one again
        small, large = sorted(heights.values())
        assert large / small == pytest.approx(3, rel=0.15)
    assert found["hatched"] == (1 if running_week else 0)
    assert any(part["opacity"] == "0.6" for part in colored) == running_week or not colored
    for place, one in enumerate(found["texts"]):
        assert one["left"] >= -1, one
        assert one["right"] <= found["width"] + 1, one
        for other in found["texts"][place + 1 :]:
            apart = one["right"] <= other["left"] + 1 or other["right"] <= one["left"] + 1
            assert apart or one["bottom"] <= other["top"] + 2 or other["bottom"] <= one["top"] + 2, (one, other)


@pytest.mark.parametrize("hours", [0, 1, 5])
async def test_bars_of_uptime(tmp_path: Path, valkey_server: Embedded, browser: Any, hours: int) -> None:
    """P5: 72 bars of one width for each line, side by side from the left to the right end; grey where nothing was measured, the tones of
    the schemes differ; without a measurement there is no block."""
    tones: dict[str, set[str]] = {}
    events = list(busy_hours(FAST, hours, failed=30)) if hours else list(weeks(1))
    async with counted(tmp_path, valkey_server, events) as gateway:
        for scheme, width in LOOKS:
            look = {"color_scheme": scheme, "viewport": {"width": width, "height": WIDTHS[width]}}
            context, page, complaints = await opened(browser, "/models/acme/fast-1?range=3d", gateway.url, **look)
            assert complaints == []
            strips = await page.evaluate(STRIPS)
            assert len(strips) == (2 if hours else 0)
            for strip in strips:
                bars = strip["bars"]
                assert len(bars) == 72
                assert bars[0]["left"] == pytest.approx(0, abs=1)
                assert bars[-1]["right"] == pytest.approx(strip["width"], abs=1)
                assert {round(bar["height"]) for bar in bars} == {round(strip["height"])}
                widths = {round(bar["right"] - bar["left"], 1) for bar in bars}
                assert max(widths) - min(widths) <= 0.2
                assert all(one["right"] <= other["left"] for one, other in pairwise(bars))
                assert sum(bar["tone"] != "unknown" for bar in bars) == hours
                tones.setdefault(scheme, set()).update(f"{bar['tone']} {bar['color']}" for bar in bars)
            await context.close()
    if hours:
        assert {tone.partition(" ")[0] for tone in tones["light"]} == {"ok", "bad", "unknown"}
        assert not tones["light"] & tones["dark"]


async def test_a_chart_becomes_a_picture(tmp_path: Path, valkey_server: Embedded, browser: Any) -> None:
    """The button makes a PNG of the SVG, twice its size and not blank, under a policy that allows no blob; without a script there are
    the other two files."""
    async with counted(tmp_path, valkey_server, list(weeks(*range(6)))) as gateway:
        context, page, complaints = await opened(browser, "/rankings", gateway.url, accept_downloads=True)
        async with page.expect_download() as waiting:
            await page.get_by_role("button", name="PNG of Tokens by model").click()
        download = await waiting.value
        assert download.suggested_filename == "tokens-by-model.png"
        data = Path(await download.path()).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        assert width == 2000
        assert height > 700
        assert len(data) > 20_000
        assert complaints == []
        await context.close()
        context, page, _ = await opened(
            browser, "/rankings", gateway.url, java_script_enabled=False, accept_downloads=True
        )
        assert await page.get_by_role("button", name="PNG of Tokens by model").count() == 0
        for kind in ("CSV", "SVG"):
            async with page.expect_download() as waiting:
                await page.get_by_role("link", name=f"{kind} of Tokens by model").click()
            assert (await waiting.value).suggested_filename == f"tokens-by-model.{kind.lower()}"
        await context.close()
