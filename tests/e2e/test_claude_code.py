"""Anthropic's Claude Code, the real program, against the gateway: a tool loop, whatever the vendor speaks, and a context that is
too small.

It knows only the Messages API. Models of Anthropic's format get its requests as it wrote them, the others a translation.
"""

from __future__ import annotations

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
DIALECTS = ("anthropic", "openai", "gemini", "bedrock", "mistral")
SCRIPT = "toolcall+reasoning=3+tokens=3"
TEXT = "000 001 002"


async def claude(home: Path, caller: Caller, model: str, *, fails: bool = False) -> str:
    """One run of ``claude -p`` in an empty folder with one file, which it may read: what it printed."""
    modules = npm_clients.installed("@anthropic-ai/claude-code")
    (program,) = (modules / "@anthropic-ai").glob("claude-code-*/claude")
    home.mkdir()
    (home / "sample").write_text("hello")
    env = {
        "ANTHROPIC_BASE_URL": f"{caller.gateway.url}/api",
        "ANTHROPIC_AUTH_TOKEN": caller.secret,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
    }
    words = [str(program), "-p", "Read the file sample.", "--tools", "Read", "--max-turns", "4"]
    if fails:
        words = ["sh", "-c", 'if "$0" "$@"; then exit 1; fi', *words]
    return await npm_clients.run(words, cwd=home, env=env)


@pytest.mark.parametrize("slug", DIALECTS)
async def test_a_tool_loop(gateway: GatewayFactory, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool is called, run and answered, and the text behind it is printed; the vendor refuses nothing."""
    npm_clients.installed("@anthropic-ai/claude-code")
    monkeypatch.setenv(VARIABLE, KEY)
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(vendor(slug, key=KEY))
        sold = SOLD[slug]
        stage = await gateway(
            Sale("t/reads", slug, sold.label + SCRIPT), urls={slug: sold.base_url(sim)}, provider={slug: sold.row()}
        )
        printed = await claude(tmp_path / "home", await stage.caller("50"), "t/reads")
        assert TEXT in printed, printed
        assert [entry.status for entry in sim.log.requests] == [200, 200]
        await calm(stage)


async def test_a_prompt_that_is_too_long(gateway: GatewayFactory, tmp_path: Path) -> None:
    """Claude Code knows by the words of the refusal that its conversation must become shorter."""
    npm_clients.installed("@anthropic-ai/claude-code")
    stage = await gateway(Sale("t/small", "alpha", SCRIPT, more={"context_length": 1000}))
    printed = await claude(tmp_path / "home", await stage.caller("50"), "t/small", fails=True)
    assert "Prompt is too long" in printed
    assert "(limit 1000)" in printed
    await calm(stage)
