"""aider, the real program, against the gateway: it edits and commits a file, by a streamed answer and by a whole one.

It speaks through LiteLLM's SDK. The price lists that both would fetch are turned off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import npm_clients, pip_clients
from tests.support.gateway import Sale
from tests.support.invariants import calm

pytestmark = pytest.mark.soak  # pip installs the client, which takes minutes

GatewayFactory = Callable[..., Any]
OPTIONS = (
    "--yes-always",
    "--no-check-update",
    "--no-show-model-warnings",
    "--no-show-release-notes",
    "--no-gitignore",
    "--no-pretty",
    "--map-tokens=0",
    "--analytics-disable",
)
WANTED = "Change it.\n\nsample.txt\n```\ntwo\n```\n"
"""The model repeats it, and aider takes it for the model's listing of the changed file."""


async def git(repo: Path, *words: str) -> str:
    return await npm_clients.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", *words], cwd=repo, env={}
    )


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
async def test_an_edit(gateway: GatewayFactory, way: str, tmp_path: Path) -> None:
    """The file is changed and committed; the message of the commit is a second request, never streamed."""
    program = await asyncio.to_thread(pip_clients.program, "aider")
    stage = await gateway(Sale("t/echo", "alpha", "echo"))
    caller = await stage.caller("50")
    repo, prices = tmp_path / "repo", tmp_path / "repo/.aider/caches/model_prices_and_context_window.json"
    prices.parent.mkdir(parents=True)
    prices.write_text('{"none": {}}')
    (repo / "sample.txt").write_text("one\n")
    await git(repo, "init", "-q")
    await git(repo, "add", "sample.txt")
    await git(repo, "commit", "-qm", "start")
    env = {
        "OPENAI_API_BASE": f"{stage.gateway.url}/api/v1",
        "OPENAI_API_KEY": caller.secret,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    words = [str(program), "--model", "openai/t/echo", *OPTIONS, way, "--message", WANTED, "sample.txt"]
    printed = await npm_clients.run(words, cwd=repo, env=env)
    assert await git(repo, "show", "HEAD:sample.txt") == "two\n", printed
    assert len((await git(repo, "log", "--oneline")).splitlines()) == 2
    asked = [(entry.stream, entry.status) for entry in stage.vendors["alpha"].log.requests]
    assert asked == [(way == "--stream", 200), (False, 200)]
    await calm(stage)
