"""What would use the operator's money, account or network is refused by name before anything is sent, on every surface.

Also where the caller's own format passes through; a catalogue opens it, and the recorded clients are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.gateway import Caller, Sale
from tests.support.invariants import charged
from tests.support.rawserver import Peer, RawServer

GatewayFactory = Callable[..., Any]
Json = dict[str, Any]
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "output_tokens": 2},
}
RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "x",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
}
COMPLETION: Json = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
ANSWERS = {"openai": COMPLETION, "anthropic": MESSAGE, "responses": RESPONSE}
SURFACES: dict[str, Json] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/responses": {"input": "hi"},
}
SEEING = {"input_modalities": ["text", "image", "file"]}


class Vendor:
    """Answers everything in the format of its dialect, and keeps what it got."""

    def __init__(self, dialect: str) -> None:
        self.dialect, self.requests = dialect, list[Json]()

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.requests.append(msgspec.json.decode(await peer.request()))
            await peer.answer(msgspec.json.encode(ANSWERS[self.dialect]))


async def ask(caller: Caller, path: str, **more: Any) -> Any:
    body = {"model": "t/x", **SURFACES[path], **more}
    return await caller.gateway.client.post(f"/api/v1{path}", json=body, headers=caller.headers)


async def sold(gateway: GatewayFactory, server: RawServer, dialect: str, **more: Any) -> Caller:
    options = more.pop("options", {})
    stage = await gateway(
        Sale("t/x", "own", "x", more=SEEING, **more),
        urls={"own": f"{server.url}/v1"},
        provider={"own": {"dialect": dialect, "options": options}},
    )
    return await stage.caller()


IMAGE = {"type": "image_url", "image_url": {"url": "gs://bucket/x.png"}}
REFUSED: dict[str, list[tuple[Json, str]]] = {
    "/chat/completions": [
        ({"api_base": "https://evil.example"}, "api_base"),
        ({"bestOf": 20}, "bestOf"),
        ({"store": True}, "store"),
        ({"extra_body": {"google": {"cached_content": "x"}}}, "extra_body.google.cached_content"),
        ({"provider": {"options": {"own": {"data_sources": [{"type": "azure_search"}]}}}}, "data_sources"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0].image_url.url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages[0].content[0].file.file_id",
        ),
    ],
    "/messages": [
        ({"container": "container_1"}, "container"),
        ({"mcp_servers": [{"type": "url", "url": "https://mcp.example.com", "name": "x"}]}, "mcp_servers"),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools[0] (code_execution_20250825)"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
            "messages[0].content[0].",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "container_upload", "file_id": "f"}]}, {"role": "user", "content": "hi"}]},
            "messages[0].content[0].file_id",
        ),
    ],
    "/responses": [
        (
            {"input": [{"role": "user", "content": "hi"},
                       {"type": "computer_call", "call_id": "c", "id": "cu_1", "action": {"type": "screenshot"}},
{"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "f"}}]},
            "input[2].output[0].file_id",
        ),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0] (code_interpreter)"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools (file_search)"),
        (
            {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com", "require_approval": "never"}]},
            "tools (mcp)",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": "hi"},
                       {"type": "additional_tools", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}]},
            "tools[0] (code_interpreter)",
        ),
    ],
}  # fmt: skip
"""Surface → what is added to a request, and how the refusal begins where the vendor has the same format."""
SAME_FORMAT = {"/chat/completions": "openai", "/messages": "anthropic", "/responses": "responses"}


@pytest.mark.parametrize("dialect", list(ANSWERS))
@pytest.mark.parametrize("path", list(SURFACES))
async def test_refused(gateway: GatewayFactory, path: str, dialect: str) -> None:
    """A 400 that names it where the vendor would get it; where the translation leaves it out, nothing of it leaves either way."""
    vendor = Vendor(dialect)
    async with RawServer(vendor) as server:
        caller = await sold(gateway, server, dialect)
        for more, field in REFUSED[path]:
            response = await ask(caller, path, **more)
            if SAME_FORMAT[path] == dialect:
                assert response.status_code == 400, (more, response.text)
                assert response.json()["error"]["message"].startswith(field), response.text
            if response.status_code == 200:
                sent = msgspec.json.encode(vendor.requests.pop()).decode()
                assert not any(word in sent for word in ("container", "mcp", "file_id", "code_execution", "evil")), sent
        assert vendor.requests == []
        assert (await ask(caller, path, a_new_parameter=1)).status_code == 200


@pytest.mark.parametrize("path", list(SURFACES))
async def test_opened_by_the_catalogue(gateway: GatewayFactory, path: str) -> None:
    dialect = SAME_FORMAT[path]
    opened, more = {
        "/chat/completions": ("cached_content", {"cached_content": "x"}),
        "/messages": ("containers", {"container": "container_1"}),
        "/responses": ("code_interpreter", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    }[path]
    vendor = Vendor(dialect)
    async with RawServer(vendor) as server:
        caller = await sold(gateway, server, dialect, options={"allows": [opened], "unknown_fields": "refuse"})
        assert (await ask(caller, path, **more)).status_code == 200
        (sent,) = vendor.requests
        assert more.items() <= sent.items()
        refused = await ask(caller, path, a_new_parameter=1)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith("a_new_parameter: is unknown")


@pytest.mark.parametrize(
    ("path", "search", "function"),
    [
        ("/responses", {"type": "web_search"}, {"type": "function", "name": "f", "parameters": {"type": "object"}}),
        (
            "/messages",
            {"type": "web_search_20250305", "name": "web_search"},
            {"name": "f", "input_schema": {"type": "object"}},
        ),
    ],
)
async def test_a_search_without_a_price(gateway: GatewayFactory, path: str, search: Json, function: Json) -> None:
    """Left out of the caller's own words beside functions, as Codex needs it; alone it is what was asked for, and refused."""
    vendor = Vendor(SAME_FORMAT[path])
    async with RawServer(vendor) as server:
        caller = await sold(gateway, server, SAME_FORMAT[path], web_search=None)
        assert (await ask(caller, path, tools=[function, search])).status_code == 200
        (sent,) = vendor.requests
        assert [tool["name"] for tool in sent["tools"]] == ["f"]
        refused = await ask(caller, path, tools=[search])
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith(f"tools[0] ({search['type']}): cannot be billed")
        assert len(vendor.requests) == 1
        await charged(caller)


async def test_a_search_is_held(gateway: GatewayFactory) -> None:
    """A caller who can pay the tokens, but not the searches, is refused before anything is sent."""
    vendor = Vendor("anthropic")
    async with RawServer(vendor) as server:
        caller = await sold(gateway, server, "anthropic", web_search="1000000")
        tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
        assert (await ask(caller, "/messages")).status_code == 200
        assert (await ask(caller, "/messages", tools=[tool])).status_code == 402
        assert len(vendor.requests) == 1


async def test_one_tenant_cannot_name_anothers_user(gateway: GatewayFactory) -> None:
    """``safety_identifier`` tells the vendor whom to block: it leaves as a hash that is the organisation's own, as ``user`` does."""
    for path, dialect in (("/chat/completions", "openai"), ("/responses", "responses")):
        vendor = Vendor(dialect)
        async with RawServer(vendor) as server:
            caller = await sold(gateway, server, dialect)
            assert (await ask(caller, path, safety_identifier="someone", user="someone")).status_code == 200
            (sent,) = vendor.requests
            assert sent["safety_identifier"] == sent["user"] != "someone"
