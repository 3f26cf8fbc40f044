"""The SDKs for Node that speak the Responses API, against the gateway, whatever the vendor speaks: streams, reasoning, tool loops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import npm_clients
from tests.support.dialects import KEY, SOLD, VARIABLE
from tests.support.gateway import Sale
from tests.support.invariants import calm
from tests.support.vendor import vendor

pytestmark = pytest.mark.soak  # npm installs the client, which takes a minute

GatewayFactory = Callable[..., Any]
DIALECTS = ("openai", "responses", "anthropic")
SCRIPTS = {"t/thinks": "ok+reasoning=3+tokens=2", "t/tools": "toolcall+reasoning=3+tokens=2"}
THOUGHT, TEXT = "000 001 002 ", "000 001 "


@pytest.fixture(params=DIALECTS)
async def run(
    gateway: GatewayFactory, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Runs a script of ``tests/e2e/clients`` against a gateway before one vendor; its result."""
    slug = request.param
    monkeypatch.setenv(VARIABLE, KEY)
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(vendor(slug, key=KEY))
        sold = SOLD[slug]
        sales = [Sale(model, slug, sold.label + script) for model, script in SCRIPTS.items()]
        stage = await gateway(*sales, urls={slug: sold.base_url(sim)}, provider={slug: sold.row()})
        caller = await stage.caller()

        async def start(package: str, script: str) -> Any:
            modules = npm_clients.installed(package)
            (tmp_path / "node_modules").symlink_to(modules)
            shutil.copy(npm_clients.CLIENTS / script, tmp_path)
            env = {"BASE_URL": f"{stage.gateway.url}/api/v1", "KEY": caller.secret}
            printed = await npm_clients.run(["node", script], cwd=tmp_path, env=env)
            await calm(stage)
            return slug, json.loads(printed.splitlines()[-1])

        yield start


async def test_openai_node(run: Callable[..., Any]) -> None:
    """Its accumulator of events, the reasoning as text or as a summary, and a second turn that sends ``output`` back."""
    slug, found = await run("openai", "openai_node.mjs")
    if slug != "responses":  # that vendor shows no more than a summary
        assert found["content"] == [{"type": "reasoning_text", "text": THOUGHT}]
    assert found["summary"] == [{"type": "summary_text", "text": THOUGHT}]
    assert (found["called"], found["text"]) == ("get_weather", TEXT)


async def test_ai_sdk(run: Callable[..., Any]) -> None:
    """Two steps, the tool's result between them, the summary of the reasoning in each."""
    _, found = await run("@ai-sdk/openai", "ai_sdk.mjs")
    steps = [["tool-calls", ["Sunny in sample."], THOUGHT], ["stop", [], THOUGHT]]
    assert found == {"whole": [TEXT, steps], "streamed": [TEXT, steps]}
