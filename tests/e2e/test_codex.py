"""OpenAI's Codex, the real program, against the gateway: its turns with tools, whatever the vendor speaks.

Codex knows only the Responses API. It sends its tools as functions, free text tools and namespaces, an MCP server's as a
namespace of its own, and for the models it knows best as an item of the input.
"""

from __future__ import annotations

import json
import sys
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
DIALECTS = ("openai", "responses", "anthropic", "gemini")
SAMPLED = ("get_weather", "exec")
"""What is tried with each dialect; the first one gets everything."""
RUNS = (
    ("t/shell", "exec_command", '"type":"function_call_output"'),
    ("t/mcp", "get_weather", "Sunny in sample."),
    ("openai/gpt-5.5", "tool_search", '"type":"tool_search_output"'),
    ("openai/gpt-6-sol", "exec", "Script failed"),  # a script that says no more than "sample" has been run
)
"""Model, the tool that it calls, and what Codex's own log has of the result. Codex knows two of the models: to one it offers a
search for the MCP server's tools instead of the tools, to the other a free text tool in a namespace, in an item of the input."""
CONFIG = """
model_provider = "gateway"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.gateway]
name = "gateway"
base_url = "{url}/api/v1"
{key}
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
[mcp_servers.weather]
command = "{python}"
args = ["{server}"]
"""
IN_THE_ENVIRONMENT = 'env_key = "GATEWAY_KEY"'
BY_COMMAND = 'auth = {command = "printenv", args = ["GATEWAY_KEY"]}'
"""Where Codex finds the key. Only with a command does it ask a provider of the user's own for its models."""


async def codex(home: Path, url: str, key: str, model: str, found: str = IN_THE_ENVIRONMENT) -> tuple[str, str]:
    """One run of ``codex exec`` in an empty folder: what it printed, and its log of the conversation."""
    command = npm_clients.installed("@openai/codex") / ".bin/codex"
    server = npm_clients.CLIENTS / "mcp_weather.py"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG.format(url=url, key=found, python=sys.executable, server=server))
    words = [str(command), "exec", "--skip-git-repo-check", "-m", model, "Do what the test wants."]
    printed = await npm_clients.run(words, cwd=home, env={"CODEX_HOME": str(home), "GATEWAY_KEY": key})
    return printed, "".join(path.read_text() for path in home.glob("sessions/**/*.jsonl"))


@pytest.mark.parametrize("slug", DIALECTS)
async def test_a_tool_loop(gateway: GatewayFactory, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of tool is called, run and answered, and the model has the last word."""
    npm_clients.installed("@openai/codex")
    monkeypatch.setenv(VARIABLE, KEY)
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(vendor(slug, key=KEY))
        sold = SOLD[slug]
        stage = await gateway(
            *(Sale(model, slug, f"{sold.label}toolcall+tool={tool}") for model, tool, _ in RUNS),
            urls={slug: sold.base_url(sim)},
            provider={slug: sold.row()},
        )
        caller = await stage.caller()
        runs = [one for one in RUNS if slug == DIALECTS[0] or one[1] in SAMPLED]
        for run, (model, _, result) in enumerate(runs, 1):
            printed, log = await codex(tmp_path / f"home{run}", stage.gateway.url, caller.secret, model)
            assert result in log, printed + log[-3000:]
            assert "unsupported call" not in log
            assert "000 001 002" in printed, printed
            assert len(sim.log.requests) == 2 * run, printed
        await calm(stage)


async def test_the_list_of_models(gateway: GatewayFactory, tmp_path: Path) -> None:
    """Codex understands the answer, and goes on with the models and the instructions that it brings along."""
    npm_clients.installed("@openai/codex")
    stage = await gateway(Sale("t/text", "alpha", "ok+tokens=3"))
    caller, home = await stage.caller(), tmp_path / "home"
    printed, log = await codex(home, stage.gateway.url, caller.secret, "t/text", BY_COMMAND)
    assert "failed to refresh available models" not in printed
    assert json.loads((home / "models_cache.json").read_text())["models"] == []
    assert "You are a coding agent" in log
    assert "000 001 002" in printed
    await calm(stage)
