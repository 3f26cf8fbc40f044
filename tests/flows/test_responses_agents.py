"""Agents on the Responses API, whatever the vendor speaks: Codex's own requests, tools that nobody runs, second turns without a store.

``tests/support/codex`` has the second requests of Codex 0.171 (recorded 2026-11-30, texts shortened): to a model that it does not
know (namespaces), to one with a search for tools, and to one whose tools stand in the input.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import responseshape
from tests.support.dialects import KEY, SOLD, VARIABLE, VARIANTS
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm
from tests.support.vendor import vendor

GatewayFactory = Callable[..., Any]
Json = dict[str, Any]
RECORDED = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parents[1] / "support/codex").iterdir()}
TEXT, CALL, THINKS = "ok+tokens=3", "toolcall", "toolcall+reasoning=4+recall"
SCRIPTS = {"t/text": TEXT, "t/call": CALL, "t/thinks": THINKS, "t/mcp": "toolcall+tool=get_weather"}
TOOLS: list[Json] = [
    {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
    {"type": "web_search"},
]
EXPLAINED = {"x-openrouter-metadata": "enabled"}


@pytest.fixture
async def stage_of(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """A factory: a gateway over these simulated vendors, each of which sells every model of ``SCRIPTS``."""
    monkeypatch.setenv(VARIABLE, KEY)
    async with AsyncExitStack() as stack:

        async def start(*slugs: str, sold_by: str = "", **options: Any) -> tuple[Stage, Caller]:
            sims = {slug: await stack.enter_async_context(vendor(slug, key=KEY)) for slug in slugs}
            stage: Stage = await gateway(
                *(Sale(model, slug, SOLD[slug].label + script) for model, script in SCRIPTS.items() for slug in slugs),
                *([Sale("t/alone", sold_by, SOLD[sold_by].label + TEXT)] if sold_by else []),
                urls={slug: SOLD[slug].base_url(sim) for slug, sim in sims.items()},
                provider={slug: {**SOLD[slug].row(), **options} for slug in slugs},
                health_share_interval_s=3600,
            )
            stage.vendors.update(sims)
            return stage, await stage.caller()

        yield start


async def ask(
    caller: Caller, model: str, input: Any = "hello", path: str = "/responses", **more: Any
) -> httpx.Response:
    headers = {**caller.headers, **more.pop("headers", {})}
    return await caller.gateway.client.post(
        f"/api/v1{path}", json={"model": model, "input": input, **more}, headers=headers
    )


async def answered(caller: Caller, model: str, input: Any = "hello", *, stream: bool = False, **more: Any) -> Json:
    """The finished Response object, whole or streamed, checked to the field."""
    response = await ask(caller, model, input, stream=stream, **more)
    if not stream:
        return responseshape.answer(response)
    found: Json = responseshape.stream(response)[-1]["response"]
    return found


def text_of(response: Json) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


@pytest.mark.parametrize("slug", [slug for slug in SOLD if slug not in (*VARIANTS, "bedrock-signed")])
async def test_codex_requests(stage_of: Callable[..., Any], slug: str) -> None:
    """Each recorded turn is answered by each vendor, which refuses what it does not know; calls carry their namespace."""
    stage, caller = await stage_of(slug)
    gone = {"model", "input", "stream"} | ({"reasoning"} if slug == "ollama" else set())  # its models here do not think
    for name, recorded in RECORDED.items():
        body = {field: value for field, value in recorded.items() if field not in gone}
        found = await answered(caller, "t/text", recorded["input"], stream=True, **body)
        assert text_of(found) == "000 001 002 ", name
    body = {field: value for field, value in RECORDED["fallback"].items() if field not in gone}
    first = RECORDED["fallback"]["input"][:-2]
    found = await answered(caller, "t/mcp", first, **body)
    (call,) = [item for item in found["output"] if item["type"] == "function_call"]
    assert (call["namespace"], call["name"]) == ("mcp__weather", "get_weather")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    found = await answered(caller, "t/mcp", [*first, *found["output"], result], **body)
    assert text_of(found).startswith("000 001 ")
    await calm(stage)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("slug", ["openai", "anthropic", "gemini", "mistral", "cohere", "ollama", "bedrock"])
async def test_a_tool_that_nobody_runs_is_left_out(stage_of: Callable[..., Any], slug: str, stream: bool) -> None:
    """Beside functions, and it is told; alone or demanded it is what the request is about, and refused by name."""
    stage, caller = await stage_of(slug)
    found = await answered(caller, "t/text", tools=TOOLS, stream=stream, headers=EXPLAINED)
    assert [tool["type"] for tool in found["tools"]] == ["function", "web_search"]
    (step,) = found["openrouter_metadata"]["pipeline"]
    assert (step["type"], step["data"]) == ("server_tools", {"tools": ["web_search"]})
    for more in ({"tools": TOOLS[1:]}, {"tools": TOOLS, "tool_choice": {"type": "web_search"}}):
        responseshape.refused(await ask(caller, "t/text", stream=stream, **more), 400, "invalid_request")
    await calm(stage)


async def test_a_tool_that_somebody_runs_stays(stage_of: Callable[..., Any]) -> None:
    """The vendor that runs it answers although another one is asked first; when it is out, the other one does without."""
    stage, caller = await stage_of("openai", "responses")
    order = {"order": ["openai", "responses"]}
    found = await answered(caller, "t/text", tools=TOOLS, provider=order, headers=EXPLAINED)
    assert (found["provider"], "pipeline" in found["openrouter_metadata"]) == ("Responses", False)
    await stage.vendors["responses"].refuse()
    stage.vendors["responses"].kill()
    found = await answered(caller, "t/text", tools=TOOLS, provider={"order": ["responses", "openai"]})
    assert found["provider"] == "Openai"


async def test_another_model_is_no_reason(stage_of: Callable[..., Any]) -> None:
    """The caller's first model answers without the tool although a vendor of the next one would run it."""
    _, caller = await stage_of("openai", "responses", sold_by="openai")
    found = await answered(caller, "t/alone", models=["t/alone", "t/text"], tools=TOOLS, headers=EXPLAINED)
    assert found["model"] == "t/alone"
    assert found["openrouter_metadata"]["pipeline"][0]["data"] == {"tools": ["web_search"]}


async def test_other_surfaces_leave_the_same_tools_out(stage_of: Callable[..., Any]) -> None:
    """A server tool in OpenAI's words on chat completions, in Anthropic's on messages."""
    stage, caller = await stage_of("openai")
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    chat = {"messages": [{"role": "user", "content": "hi"}], "tools": [function, {"type": "openrouter:web_search"}]}
    client = {"name": "f", "input_schema": {"type": "object"}}
    server = {"type": "web_search_20250305", "name": "web_search"}
    messages = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "tools": [client, server]}
    for path, body in (("/chat/completions", chat), ("/messages", messages)):
        answer = await caller.gateway.client.post(
            f"/api/v1{path}", json={"model": "t/text", **body}, headers=caller.headers
        )
        assert answer.status_code == 200, answer.text
    await calm(stage)


ENDED: Json = {"status": "completed"}
TURN: list[Json] = [
    {"role": "user", "content": "go"},
    {"type": "additional_tools", "role": "developer", "tools": TOOLS[:1]},
    {"type": "web_search_call", "action": {"type": "search", "query": "q"}, **ENDED},
    {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}, **ENDED},
    {
        "type": "shell_call_output",
        "call_id": "s",
        "output": [{"stdout": "", "stderr": "", "outcome": {"type": "timeout"}}],
    },
    {"type": "apply_patch_call", "call_id": "p", "operation": {"type": "delete_file", "path": "a"}, **ENDED},
    {"type": "apply_patch_call_output", "call_id": "p", **ENDED},
    {"type": "computer_call", "id": "cu_1", "call_id": "c", "actions": [], "pending_safety_checks": [], **ENDED},
    {
        "type": "computer_call_output",
        "call_id": "c",
        "output": {"type": "computer_screenshot"},
    },
    {"type": "tool_search_call", "call_id": "t", "execution": "client", "arguments": {}, **ENDED},
    {"type": "tool_search_output", "call_id": "t", "execution": "client", "tools": [], **ENDED},
    {"type": "mcp_approval_request", "id": "mcpr_1", "name": "n", "arguments": "{}", "server_label": "l"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "function_call", "id": None, "call_id": "f", "name": "f", "namespace": "n", "arguments": "{}", **ENDED},
    {"type": "function_call_output", "call_id": "f", "output": "x"},
]
"""What a client may send of earlier turns, without the ids that it has not kept."""


@pytest.mark.parametrize("slug", ["openai", "responses", "anthropic", "gemini"])
async def test_second_turns(stage_of: Callable[..., Any], slug: str) -> None:
    """Items of every kind of call are taken back; a compacted conversation only by a vendor that can read it."""
    stage, caller = await stage_of(slug)
    assert text_of(await answered(caller, "t/text", TURN)) == "000 001 002 "
    compacted = [{"type": "compaction", "encrypted_content": "E"}, {"role": "user", "content": "go on"}]
    response = await ask(caller, "t/text", compacted)
    if slug == "responses":
        assert text_of(responseshape.answer(response)) == "000 001 002 "
    else:
        error = responseshape.refused(response, 400, "invalid_request")
        assert "input[0]: compaction" in error["message"]
    await calm(stage)


REASONING: Json = {"reasoning": {"effort": "low"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("slug", "more", "options", "recalled"),
    [
        ("responses", {}, {}, 0),
        ("responses", {}, {"options": {"encrypted_reasoning": True}}, 1),
        ("responses", REASONING, {}, 1),
        ("responses", REASONING, {"options": {"encrypted_reasoning": False}}, 0),
        ("anthropic", REASONING, {}, 1),
        ("openai", REASONING, {}, 1),
        ("openai", {"reasoning": {"effort": "low", "summary": "auto"}}, {}, 1),
    ],
)
async def test_a_turn_is_sent_back_as_it_came(
    stage_of: Callable[..., Any], slug: str, more: Json, options: Json, recalled: int, stream: bool
) -> None:
    """``output`` goes into ``input``, without ``include`` and without a store: the next turn works, and where the vendor lets its
    reasoning travel, it is there again."""
    stage, caller = await stage_of(slug, **({"options": SOLD[slug].row().get("options", {})} | options))
    first = await answered(caller, "t/thinks", tools=TOOLS[:1], stream=stream, **more)
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "x"}
    turn = [{"role": "user", "content": "hello"}, *first["output"], result]
    assert (
        text_of(await answered(caller, "t/thinks", turn, tools=TOOLS[:1], stream=stream, **more))
        == f"recalled {recalled}"
    )
    await calm(stage)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("slug", ["openai", "responses", "anthropic", "gemini"])
async def test_a_summary_for_who_asks_for_one(stage_of: Callable[..., Any], slug: str, stream: bool) -> None:
    """``summary: auto`` gets a summary of every vendor that shows its reasoning, also of one that has only text."""
    _, caller = await stage_of(slug)
    found = await answered(
        caller, "t/thinks", tools=TOOLS[:1], reasoning={"effort": "low", "summary": "auto"}, stream=stream
    )
    item = next(item for item in found["output"] if item["type"] == "reasoning")
    assert item["summary"] == [{"type": "summary_text", "text": "000 001 002 003 "}]
    assert "content" not in item
