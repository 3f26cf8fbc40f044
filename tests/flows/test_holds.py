"""An answer without ``max_tokens`` is no longer than its hold, at every dialect and surface: the vendor is told where to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support.dialects import KEY, SOLD, VARIABLE
from tests.support.gateway import THOUGHTLESS, Caller, Sale, Stage, staged
from tests.support.invariants import calm
from tests.support.vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = "ok+tokens=9000+batch=500"
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/api/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "completions": ("/api/v1/completions", {"prompt": "hi"}),
    "messages": ("/api/v1/messages", {"messages": [{"role": "user", "content": "hi"}]}),
    "responses": ("/api/v1/responses", {"input": "hi"}),
}
CELLS = [
    *((slug, "chat") for slug in SOLD),
    *((slug, surface) for slug in ("openai", "responses", "anthropic") for surface in ASKED if surface != "chat"),
]
"""Dialects and surfaces: those that translate, and those that pass through."""
LEAST = 100
"""``GATEWAY_DEFAULT_MAX_TOKENS``."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(VARIABLE, KEY)
        patch.setenv("TEST_MATRIX_ID", "id")
        sims = {slug: await stack.enter_async_context(vendor(slug)) for slug in SOLD}
        sales = [Sale(f"m/{slug}", slug, SOLD[slug].label + LONG, completion="1000") for slug in SOLD]
        sales.append(Sale("m/steps", "openai", LONG, completion="1000", more=THOUGHTLESS))
        urls = {slug: SOLD[slug].base_url(sim) for slug, sim in sims.items()}
        rows = {slug.replace("-", "_"): SOLD[slug].row() for slug in SOLD} | {slug: SOLD[slug].row() for slug in SOLD}
        made = staged(
            tmp_path_factory.mktemp("holds"), valkey_server.url, *sales, urls=urls, provider=rows,
            default_max_tokens=LEAST, health_share_interval_s=3600,
        )  # fmt: skip
        running = await stack.enter_async_context(made)
        running.vendors.update(sims)
        yield running


async def ask(caller: Caller, surface: str, model: str, **more: Any) -> httpx.Response:
    path, body = ASKED[surface]
    content = msgspec.json.encode({"model": model, **body, **more})
    return await caller.gateway.client.post(path, content=content, headers=caller.headers)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(("slug", "surface"), CELLS)
async def test_a_hold_ends_the_answer(stage: Stage, slug: str, surface: str, stream: bool) -> None:
    """$3 cover 170 of 9,000 tokens at a sixteenth; what the vendor bills is within the hold, and the rest is given back."""
    caller = await stage.caller("3")
    response = await ask(caller, surface, f"m/{slug}", stream=stream)
    assert response.status_code == 200, response.text
    await calm(stage)
    entry = stage.vendors[slug].log.requests[-1]
    assert LEAST < entry.planned_tokens < 171
    (line,) = await caller.lines()
    assert line.loss_nano == 0
    assert 0.14 * 10**9 < line.user_nano < 3 * 10**9 // 16


@pytest.mark.parametrize(("slug", "surface"), CELLS[::3])
async def test_with_credit_nothing_is_cut(stage: Stage, slug: str, surface: str) -> None:
    """Where the hold covers what the model may write, the vendor is told no limit of ours."""
    caller = await stage.caller("1000000")
    response = await ask(caller, surface, f"m/{slug}")
    assert response.status_code == 200, response.text
    await calm(stage)
    assert stage.vendors[slug].log.requests[-1].planned_tokens >= 4096  # the default of Claude's dialect


async def test_many_requests_share_the_credit(stage: Stage) -> None:
    """Of one organisation: each holds a sixteenth of what is left, so the next one always fits."""
    caller = await stage.caller("8")
    for _ in range(5):
        assert (await ask(caller, "chat", "m/openai")).status_code == 200
    held = [line.user_nano for line in await caller.lines()]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1]
    await calm(stage)


@pytest.mark.parametrize("surface", ASKED)
async def test_the_hold_of_a_stream_without_secrets_grows(stage: Stage, surface: str) -> None:
    """It is held in steps as far as the credit goes, not to a share of it."""
    caller = await stage.caller("3")
    response = await ask(caller, surface, "m/steps", stream=True)
    assert response.status_code == 200
    await calm(stage)
    (line,) = await caller.lines()
    assert line.user_nano > 3 * 10**9 // 4


@pytest.mark.parametrize(("usd", "status"), [("0.12", 200), ("0.1", 402)])
async def test_the_least_is_held_or_refused(stage: Stage, usd: str, status: int) -> None:
    """And the refusal says how many tokens were asked for and can be afforded."""
    response = await ask(await stage.caller(usd), "chat", "m/openai")
    assert response.status_code == status
    if status == 402:
        assert f"You requested up to {LEAST} tokens, but can only afford 9" in response.json()["error"]["message"]
    await calm(stage)


async def test_a_thinking_budget_is_lowered_with_the_limit(stage: Stage) -> None:
    """Claude refuses a budget that is not below the limit, in the caller's own format as well."""
    caller = await stage.caller("30")
    thinking = {"type": "enabled", "budget_tokens": 9000}
    response = await ask(caller, "messages", "m/anthropic", thinking=thinking)
    assert response.status_code == 200, response.text
    await calm(stage)
