"""The pictures of the pages in ``docs/images``: ``python -m tools.web_screenshots``, with playwright and a Chromium.

A gateway with the shipped catalogue, where every provider has a credential that opens nothing. No request is sent to a
provider: what the pages show as measured is what ``_measure`` reports to the health registry, drawn from a fixed seed, and
what they show as used is the synthetic year.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

import uvicorn
from playwright.async_api import Browser, async_playwright

from gateway.app import create_app
from gateway.catalog import load as catalog_files
from gateway.catalog.catalog import Catalog
from gateway.cli.demo.command import YEAR_SCALE
from gateway.cli.demo.year.attributes import FOLDER, write_attributes
from gateway.cli.demo.year.command import SEED, Year
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.load import default_shift, load
from gateway.health.registry import Observation
from gateway.services import Services
from gateway.settings import Settings, shipped_config_dir
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from providers import registry

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
HOST = "gateway.example"
PAGES = {"home": "/", "models": "/models", "model": "/models/deepseek/deepseek-v3.2", "rankings": "/rankings#top"}
LOOKS = {"light": (1440, 1000, 1.0), "dark": (390, 844, 1.5)}
"""Colour scheme → width and height of the window, pixels of the picture for each of it."""


def main() -> None:
    """Take every picture, into the folder that is named or into ``docs/images``."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_all(folder))


async def _all(folder: Path) -> None:
    catalog = catalog_files.load((shipped_config_dir(),), {}, dialects=registry.names())
    for provider in catalog.providers.values():
        for name in provider.lacking:
            os.environ[name] = "opens-nothing"
    with tempfile.TemporaryDirectory() as data, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        embedded = Embedded(Path(data))
        embedded.start()
        folders = (shipped_config_dir(), write_attributes(Path(data) / FOLDER))
        await _count_year(embedded.url, catalog)
        settings = Settings(
            config_dir=folders,
            data_dir=Path(data),
            redis_url=embedded.url,
            log_level="error",
            health_share_interval_s=3600,
            analytics=True,
            public_rankings=True,
        )
        router = create_app(settings)
        server = uvicorn.Server(uvicorn.Config(router, log_level="error"))
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.05)
        _measure(router.fastapi.state.services)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[
                    "--no-sandbox",
                    f"--host-resolver-rules=MAP {HOST}:80 127.0.0.1:{listening.getsockname()[1]}",
                    f"--unsafely-treat-insecure-origin-as-secure=http://{HOST}",
                ],
            )
            for scheme in LOOKS:
                await _pictures(browser, f"http://{HOST}", folder, scheme)
            await browser.close()
        server.should_exit = True
        await serving
        embedded.stop()


async def _pictures(browser: Browser, url: str, folder: Path, scheme: str) -> None:
    width, height, scale = LOOKS[scheme]
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    for name, path in PAGES.items():
        answer = await page.goto(url + path)
        assert answer is not None
        assert answer.ok, path
        assert await page.locator("main h1").first.is_visible()
        assert "cannot be read" not in await page.content(), path
        await page.screenshot(path=folder / f"{name}-{scheme}.png", full_page="--full" in sys.argv)
    await page.close()


async def _count_year(url: str, catalog: Catalog) -> None:
    """The synthetic year, moved so that its last week is the one that ended last."""
    store = await connect(url, timeout_s=5)
    year = Year(cube=cube(SEED), scale=YEAR_SCALE, shift_weeks=default_shift(time.time()))
    await load(store, year.recorded(catalog), lambda tokens: None)
    await store.aclose()


def _measure(services: Services) -> None:
    """Report some answers of most endpoints, and failures of a few."""
    rng = random.Random(2026)
    for endpoint in services.catalog.current.endpoints.values():
        if rng.random() < 0.08:
            continue
        ttft_ms, speed = rng.lognormvariate(6.2, 0.5), rng.lognormvariate(4.2, 0.5)
        for _ in range(25):
            good = Observation(
                ok=True, ttft_ms=ttft_ms * rng.uniform(0.8, 1.3), tokens_per_s=speed * rng.uniform(0.8, 1.2)
            )
            services.health.observe(endpoint.id, good)
        if rng.random() < 0.04:
            for _ in range(2):
                bad = Observation(ok=False, kind="server_error", attributed_to="endpoint")
                services.health.observe(endpoint.id, bad)


if __name__ == "__main__":
    main()
