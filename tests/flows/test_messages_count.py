"""``/messages/count_tokens`` where no vendor counts: our own estimate, free of charge, and the same checks as ``/messages``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support import messageshape
from tests.support.gateway import Caller, Sale
from tests.support.invariants import calm

GatewayFactory = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello"}]


async def count(caller: Caller, **body: Any) -> httpx.Response:
    return await caller.gateway.client.post(
        "/v1/messages/count_tokens", json={"model": "t/a", "messages": HELLO, **body}, headers=caller.headers
    )


async def test_an_estimate(gateway: GatewayFactory) -> None:
    """A whole number that grows with system, tools and messages; no vendor is asked, nothing is held, charged or recorded."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller("0.000001")
    bare = (await count(caller)).json()
    assert bare == {"input_tokens": 9}
    tools = [{"name": "f", "description": "Finds.", "input_schema": {"type": "object"}}]
    for more in ({"system": "Be brief."}, {"tools": tools}, {"messages": [*HELLO, *HELLO]}):
        response = await count(caller, **more)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json().keys() == {"input_tokens"}
        assert response.json()["input_tokens"] > 9
    assert not stage.vendors["alpha"].log.requests
    assert await caller.lines() == []
    await calm(stage)


async def test_fields_of_an_answer_are_not_looked_at(gateway: GatewayFactory) -> None:
    """Fields that only shape the answer are ignored, whatever their value."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    response = await count(caller, max_tokens="many", stream=True, temperature=[], stop_sequences=1, metadata=3)
    assert response.json() == {"input_tokens": 9}


async def test_it_refuses_what_messages_refuses(gateway: GatewayFactory) -> None:
    """A broken conversation, an unknown model, no key: Anthropic's envelope."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    lone = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}]
    response = await count(caller, messages=lone)
    assert response.status_code == 400
    messageshape.error(response.json(), "invalid_request_error")
    assert response.json()["metadata"]["field"] == "messages[0].content[0].tool_use_id"
    unknown = await count(caller, model="t/none")
    assert unknown.status_code in (400, 404)
    messageshape.error(unknown.json(), "invalid_request_error" if unknown.status_code == 400 else "not_found_error")
    anonymous = await stage.gateway.client.post("/v1/messages/count_tokens", json={"model": "t/a", "messages": HELLO})
    assert anonymous.status_code == 401
    messageshape.error(anonymous.json(), "authentication_error")


@pytest.mark.parametrize("script", ["status=429+retry_after=60", "status=500", "status=404", "status=403"])
async def test_a_refused_count_says_nothing_of_chat(gateway: GatewayFactory, script: str) -> None:
    """Counting is free, so that whoever has a key could otherwise take an endpoint away from everybody."""
    anthropic = {"provider": {"alpha": {"dialect": "anthropic"}}}
    stage = await gateway(Sale("t/a", "alpha", script), **anthropic)
    caller = await stage.caller()
    for _ in range(6):
        assert (await count(caller)).status_code < 500
    asked = len(stage.vendors["alpha"].log.requests)
    assert asked >= 6
    (endpoint,) = stage.gateway.services.catalog.current.endpoints
    health = stage.gateway.services.health.view(endpoint)
    assert (health.available, health.band, health.state) == (True, 0, "closed")
