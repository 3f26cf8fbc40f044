"""Candidates whose dialect cannot express a request: they are skipped, and cost neither attempts nor money."""

from __future__ import annotations

import json

from tests.support.gateway import Sale
from tests.support.rawserver import RawServer

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
FOREIGN = {"type": "web_search_20250305", "name": "web_search"}


async def test_they_do_not_count(gateway):
    """Four endpoints that cannot take the tool come first; with one attempt allowed the fifth still answers."""
    plain = [Sale("t/m", f"plain-{n}", "ok", prompt="0.1", completion="0.1") for n in range(4)]
    stage = await gateway(
        *plain,
        Sale("t/m", "able", "ok+tokens=4", prompt="9", completion="9"),
        provider={"able": {"options": {"extended": True}}},
        max_attempts=1,
    )
    caller = await stage.caller()
    body = {"tools": [TOOL, FOREIGN], "provider": {"sort": "price"}}
    response = await caller.chat("t/m", **body)
    assert response.status_code == 200, response.text
    assert response.json()["provider"] == "Able"
    (line,) = [line for line in await caller.lines() if line.type != "granted"]
    assert line.provider == "able"


async def test_when_no_endpoint_can(gateway):
    """A 400 that says why, after all of them have been looked at; nothing is billed."""
    stage = await gateway(*[Sale("t/m", f"plain-{n}") for n in range(4)], max_attempts=1)
    caller = await stage.caller()
    response = await caller.chat("t/m", tools=[FOREIGN])
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert "tools[0]" in error["message"]
    assert [attempt["code"] for attempt in error["metadata"]["attempts"]] == ["unsupported"] * 4
    assert all(line.type == "granted" for line in await caller.lines())


ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


async def test_service_tiers_stay_here(gateway):
    """Another tier has another price, so it is never forwarded, whichever way it is asked for."""

    async def vendor(peer):
        while True:
            await peer.request()
            await peer.answer(json.dumps(ANSWER).encode())

    async with RawServer(vendor) as server:
        stage = await gateway(Sale("t/m", "spy"), urls={"spy": f"{server.url}/v1"})
        caller = await stage.caller()
        for more in ({"service_tier": "priority"}, {"provider": {"options": {"spy": {"service_tier": "flex"}}}}):
            response = await caller.chat("t/m", **more)
            assert response.status_code == 200, response.text
        requests = [json.loads(body) for peer in server.peers for _, body in peer.requests]
    assert len(requests) == 2
    assert all("service_tier" not in request for request in requests)
