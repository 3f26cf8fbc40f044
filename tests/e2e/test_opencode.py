"""opencode, the real program, against the gateway: a tool loop through each of the provider packages that it brings along.

It reaches nothing but the gateway: its list of models, its updates, its language servers and the plugin that it would fetch from
npm are turned off by its own settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import npm_clients
from tests.support.dialects import KEY, SOLD, VARIABLE
from tests.support.gateway import Caller, Sale
from tests.support.invariants import calm
from tests.support.vendor import vendor

pytestmark = pytest.mark.soak  # npm installs the client, which takes a minute

GatewayFactory = Callable[..., Any]
CALLS, TITLE = "t/reads", "t/title"
RUNS = (
    ("@ai-sdk/openai-compatible", "openai", {"reasoning": True, "interleaved": {"field": "reasoning_details"}}, 1),
    ("@openrouter/ai-sdk-provider", "anthropic", {}, 0),
    ("@ai-sdk/anthropic", "gemini", {}, 1),
)
"""Provider package, vendor, further facts of the model in opencode's settings, and how many of the reasoning texts the vendor gets
back. To the first package ``reasoning_details`` is a field for the text of the reasoning; the second one does not ask for reasoning."""
ALONE = {
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "npm_config_offline": "true",
}


async def opencode(home: Path, caller: Caller, package: str, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """One run of ``opencode run`` in a folder with one file: the parts of its conversation."""
    *_, command = sorted(
        npm_clients.installed("opencode-ai").glob("opencode-*/bin/opencode")
    )  # the one for any processor
    home.mkdir()
    (home / "sample").write_text("hello from the file")
    provider = {
        "npm": package,
        "options": {"baseURL": f"{caller.gateway.url}/api/v1", "apiKey": "{env:GATEWAY_KEY}"},
        "models": {CALLS: {"name": "calls", **facts}, TITLE: {"name": "title"}},
    }
    settings = {"provider": {"gw": provider}, "model": f"gw/{CALLS}", "small_model": f"gw/{TITLE}", "share": "disabled"}
    (home / "opencode.json").write_text(json.dumps(settings))
    words = [str(command), "run", "--format", "json", "Read the file sample."]
    printed = await npm_clients.run(words, cwd=home, env={"GATEWAY_KEY": caller.secret, **ALONE})
    return [json.loads(line)["part"] for line in printed.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(("package", "slug", "facts", "recalled"), RUNS, ids=[run[0] for run in RUNS])
async def test_a_tool_loop(
    gateway: GatewayFactory,
    package: str,
    slug: str,
    facts: dict[str, Any],
    recalled: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is read, its text goes to the model, the model's last word is shown; the vendor refuses nothing."""
    npm_clients.installed("opencode-ai")
    monkeypatch.setenv(VARIABLE, KEY)
    sold = SOLD[slug]
    scripts = {CALLS: "toolcall+tool=read+reasoning=4+recall", TITLE: "ok+tokens=3"}
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(vendor(slug, key=KEY))
        stage = await gateway(
            *(Sale(model, slug, sold.label + script) for model, script in scripts.items()),
            urls={slug: sold.base_url(sim)},
            provider={slug: sold.row()},
        )
        parts = await opencode(tmp_path / "home", await stage.caller("50"), package, facts)
        (read,) = [part for part in parts if part["type"] == "tool"]
        assert "hello from the file" in read["state"]["output"]
        assert [part["text"] for part in parts if part["type"] == "text"] == [f"recalled {recalled}"]
        assert [entry.status for entry in sim.log.requests] == [200, 200, 200]
        await calm(stage)
