"""Errors of Messages: Anthropic's envelope for every refusal, an error event for every answer that breaks off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.api.inference.messages.response import ERROR_TYPES
from tests.support import messageshape
from tests.support.gateway import Caller, Sale
from tests.support.invariants import calm, charged

GatewayFactory = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello"}]


async def ask(caller: Caller, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 1000, "messages": HELLO, **more}
    return await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers)


@pytest.mark.parametrize(
    ("upstream", "status", "type_", "error_type"),
    [
        ("status=400", 400, "invalid_request_error", "invalid_request"),
        ("status=413", 413, "invalid_request_error", "payload_too_large"),
        ("status=422", 422, "invalid_request_error", "unprocessable"),
        ("status=429", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("status=500", 502, "api_error", "provider_unavailable"),
        ("status=503", 503, "overloaded_error", "provider_overloaded"),
        ("status=529", 503, "overloaded_error", "provider_overloaded"),
        ("hangup", 502, "api_error", "provider_unavailable"),
    ],
)
async def test_a_vendors_failure(
    gateway: GatewayFactory, upstream: str, status: int, type_: str, error_type: str
) -> None:
    """The last vendor's failure has its row's status and Anthropic's name, JSON and stream alike; nothing is charged."""
    stage = await gateway(Sale("t/a", "alpha", upstream), health_share_interval_s=3600)
    caller = await stage.caller()
    for stream in (False, True):
        response = await ask(caller, "t/a", stream=stream)
        assert response.status_code == status
        error = messageshape.error(response.json(), type_)
        assert error["error_type"] == error_type
        stage.gateway.services.health._endpoints.clear()
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


async def test_our_own_refusals(gateway: GatewayFactory) -> None:
    """No key, an account without credit, an unknown model, a broken body, the wrong method, too long a body: one envelope."""
    stage = await gateway(Sale("t/a", "alpha"), max_body_bytes=5000)
    caller, poor = await stage.caller(), await stage.caller("0")
    client = stage.gateway.client
    body = {"model": "t/a", "messages": HELLO, "max_tokens": 10}

    async def refused(response: httpx.Response, status: int, type_: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        return messageshape.error(response.json(), type_)

    await refused(await client.post("/v1/messages", json=body), 401, "authentication_error")
    await refused(
        await client.post("/v1/messages", json=body, headers={"x-api-key": "sk-or-v1-0"}), 401, "authentication_error"
    )
    await refused(await client.post("/v1/messages", json=body, headers=stage.gateway.admin), 403, "permission_error")
    await refused(await ask(poor, "t/a"), 402, "billing_error")
    unknown = await ask(caller, "t/none")
    assert unknown.status_code in (400, 404)
    messageshape.error(unknown.json(), "invalid_request_error" if unknown.status_code == 400 else "not_found_error")
    await refused(await client.post("/v1/messages", content=b"{", headers=caller.headers), 400, "invalid_request_error")
    await refused(await client.get("/v1/messages", headers=caller.headers), 405, "invalid_request_error")
    long = await ask(caller, "t/a", system="x" * 6000)
    await refused(long, 413, "invalid_request_error")
    nothing = await ask(caller, "t/a", provider={"only": ["nobody"]})
    assert nothing.status_code in (400, 404)
    messageshape.error(nothing.json(), "invalid_request_error" if nothing.status_code == 400 else "not_found_error")
    await calm(stage)


@pytest.mark.parametrize(
    ("upstream", "type_"),
    [("cut@3", "api_error"), ("erroratn@3", "overloaded_error"), ("garbage@3", "api_error")],
)
async def test_an_answer_that_breaks_off(gateway: GatewayFactory, upstream: str, type_: str) -> None:
    """After the first token: an error event with the generation's id and what was charged, then nothing more."""
    stage = await gateway(Sale("t/a", "alpha", upstream))
    caller = await stage.caller()
    response = await ask(caller, "t/a", stream=True)
    assert response.status_code == 200
    found = messageshape.events(response.text)
    names = [name for name, _ in found]
    assert names[0] == "message_start"
    assert names[-1] == "error"
    assert "message_stop" not in names
    assert "message_delta" not in names
    messageshape.error(found[-1][1], type_, id=response.headers["x-generation-id"])
    settled, _ = await charged(caller)
    assert round(found[-1][1]["usage"]["cost"] * 10**9) == settled.user_nano > 0
    await calm(stage)


async def test_a_failure_after_a_comment(gateway: GatewayFactory) -> None:
    """Once a comment has sent the 200, the failure of every endpoint is an error event with the type it would have had."""
    stage = await gateway(Sale("t/a", "alpha", "status=400+slowheaders=200"), keepalive_s=0.05)
    caller = await stage.caller()
    response = await ask(caller, "t/a", stream=True)
    assert response.status_code == 200
    assert response.text.startswith(": OPENROUTER PROCESSING\n\n")
    ((name, data),) = messageshape.events(response.text)
    assert name == "error"
    messageshape.error(data, "invalid_request_error", id=response.headers["x-generation-id"])
    await calm(stage)


async def test_comments_keep_a_waiting_stream_alive(gateway: GatewayFactory) -> None:
    """Comments before the first event and between events do not disturb the sequence."""
    stage = await gateway(Sale("t/a", "alpha", "ok+tokens=3+ttft=200+tps=8"), keepalive_s=0.04)
    caller = await stage.caller()
    response = await ask(caller, "t/a", stream=True)
    messageshape.stream(response)
    assert response.text.count(": OPENROUTER PROCESSING\n\n") >= 3
    await calm(stage)


async def test_credit_that_runs_out(gateway: GatewayFactory) -> None:
    """A stream that can no longer be paid ends with an error event of type billing_error; what was delivered is charged."""
    sale = Sale("t/a", "alpha", "endless+batch=50", prompt="1", completion="1000")
    stage = await gateway(sale, default_max_tokens=100)
    caller = await stage.caller("0.5")
    body = {"model": "t/a", "messages": HELLO, "stream": True}
    response = await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers)
    found = messageshape.events(response.text)
    assert found[-1][0] == "error"
    messageshape.error(found[-1][1], "billing_error", id=response.headers["x-generation-id"])
    await calm(stage)


async def test_the_caller_disconnects(gateway: GatewayFactory) -> None:
    """A connection that closes in the middle ends the generation; nothing is left open."""
    stage = await gateway(Sale("t/a", "alpha", "ok+tokens=500+tps=50"))
    caller = await stage.caller()
    body = {"model": "t/a", "messages": HELLO, "stream": True}
    async with caller.gateway.client.stream("POST", "/v1/messages", json=body, headers=caller.headers) as response:
        async for line in response.aiter_lines():
            if line == "event: content_block_delta":
                break
    await asyncio.sleep(0)
    await calm(stage)
    settled, _ = await charged(caller)
    assert settled.user_nano > 0


def test_every_error_type_has_anthropics_name() -> None:
    """Only names that Anthropic's SDK knows, and every one of our types that a client can act on is among them."""
    assert set(ERROR_TYPES.values()) < messageshape.ERROR_TYPES
    assert json.dumps(ERROR_TYPES)
    assert {"context_length_exceeded", "authentication", "payment_required", "timeout"} <= ERROR_TYPES.keys()
