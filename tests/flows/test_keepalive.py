"""Silence while a vendor thinks: comments in a stream, and blanks before a JSON answer for clients that would give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm

GatewayFactory = Callable[..., Any]
OPENROUTER_PYTHON = {"user-agent": "speakeasy-sdk/python 1.3.84 2.914.0 1.0.0 openrouter"}
OTHERS = (
    "python-httpx/0.28",
    "speakeasy-sdk/typescript 1.0.0 2.9 1.0.0 @openrouter/sdk",
    "speakeasy-sdk/python 1.0 mistralai",
)
SLOW, LATE, FAILS = "ok+tokens=2+slowheaders=300", "ok+tokens=2+ttft=300", "status=400+slowheaders=300"
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/responses": {"input": "hi"},
    "/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/completions": {"prompt": "hi"},
}


@pytest.fixture
async def start(gateway: GatewayFactory) -> Callable[..., Any]:
    """A factory: a gateway that is silent for at most 50 ms, and a caller."""

    async def made(**options: Any) -> tuple[Stage, Caller]:
        sales = [Sale("t/slow", "alpha", SLOW), Sale("t/late", "alpha", LATE), Sale("t/fails", "alpha", FAILS)]
        sales.append(Sale("t/quick", "alpha", "ok+tokens=2"))
        stage = await gateway(*sales, **{"keepalive_s": 0.05, **options})
        return stage, await stage.caller()

    return made


async def ask(caller: Caller, path: str, model: str, headers: dict[str, str], **more: Any) -> httpx.Response:
    return await caller.gateway.client.post(
        f"/api/v1{path}", json={"model": model, **BODIES[path], **more}, headers={**caller.headers, **headers}
    )


def test_no_stream_is_silent_for_four_seconds() -> None:
    """OpenRouter's Python SDK gives up after five, and every try costs its operator."""
    assert 3 <= Settings(admin_key="k" * 32).keepalive_s < 4


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("model", ["t/slow", "t/late"])
async def test_a_stream_gets_comments(start: Callable[..., Any], path: str, model: str) -> None:
    """Before the vendor's headers as before its first token; the answer is whole behind them."""
    stage, caller = await start()
    answer = await ask(caller, path, model, {}, stream=True)
    assert answer.text.startswith(": OPENROUTER PROCESSING\n\n")
    assert answer.text.count(": OPENROUTER PROCESSING\n\n") > 1
    assert "000 " in answer.text
    await calm(stage)


@pytest.mark.parametrize("path", BODIES)
async def test_json_gets_blanks(start: Callable[..., Any], path: str) -> None:
    """For the one client that is known to give up: blanks that every JSON parser skips, then the answer, charged as always."""
    stage, caller = await start()
    answer = await ask(caller, path, "t/slow", OPENROUTER_PYTHON)
    assert answer.text.startswith(" ")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["usage"]["cost"] > 0
    assert answer.headers["x-generation-id"].startswith("gen-")
    quick = await ask(caller, path, "t/quick", OPENROUTER_PYTHON)
    assert quick.text.startswith("{")
    await calm(stage)


@pytest.mark.parametrize("path", BODIES)
async def test_an_error_behind_blanks_is_in_the_body(start: Callable[..., Any], path: str) -> None:
    """The status has been sent; the error stands in the body as it would with its own status, and nothing is charged."""
    stage, caller = await start()
    answer = await ask(caller, path, "t/fails", OPENROUTER_PYTHON)
    plain = await ask(caller, path, "t/fails", {})
    assert (answer.status_code, plain.status_code) == (200, 400)
    assert answer.text.startswith(" ")
    mine, own = answer.json(), plain.json()
    assert mine.keys() == own.keys()
    assert mine["error"]["message"] == own["error"]["message"]
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


@pytest.mark.parametrize(
    ("setting", "agent", "blanks"),
    [
        *(("known", agent, False) for agent in OTHERS),
        ("always", OTHERS[0], True),
        ("never", OPENROUTER_PYTHON["user-agent"], False),
    ],
)
async def test_who_gets_blanks(start: Callable[..., Any], setting: str, agent: str, blanks: bool) -> None:
    """A status is worth more than blanks to everybody else, unless the operator says otherwise."""
    _, caller = await start(json_keepalive=setting)
    answer = await ask(caller, "/chat/completions", "t/slow", {"user-agent": agent})
    assert answer.text.startswith(" ") is blanks
    assert answer.json()["choices"][0]["message"]["content"] == "000 001 "
