"""Claude Code against the gateway, by the shape of its requests: two generations of it, to vendors of both shapes.

The shapes are of Claude Code 2.0.76 and 2.1.293 as other gateways' sources describe them (header values, field names, display
and effort settings, tools of MCP servers defined in a system turn; read 2026-11-21). The words in them are ours.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.flows.test_messages_passthrough import Claude, served
from tests.flows.test_messages_wire import Vendor, deltas
from tests.support import messageshape
from tests.support.gateway import Caller, Sale
from tests.support.invariants import calm
from tests.support.rawserver import RawServer

GatewayFactory = Callable[..., Any]
BETAS = {
    "2.0.76": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "2.1.293": (
        "claude-code-20250219,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,context-management-2025-06-27,"
        "prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,per-turn-control-2026-07-01,"
        "mid-conversation-tool-changes-2026-07-01,inline-tools-2026-09-15,advisor-tool-2026-03-01,"
        "advanced-tool-use-2025-11-20,effort-2025-11-24,thinking-display-updates-2026-08-18,"
        "extended-cache-ttl-2025-04-11,cache-diagnosis-2026-04-07,message-threads-2026-08-12"
    ),
}
USER_ID = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "5f0c3e6e-0000-4000-8000-000000000000"})
CACHED = {"type": "ephemeral"}
NUMBERS = itertools.count(0x36EE5)


def tool(name: str, **properties: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"{name}. " * 40,
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {field: {"type": kind} for field, kind in properties.items()},
            "required": list(properties),
            "additionalProperties": False,
        },
    }


NAMES = (
    "Task",
    "Glob",
    "Grep",
    "Read",
    "Edit",
    "Write",
    "NotebookEdit",
    "WebFetch",
    "TodoWrite",
    "BashOutput",
    "KillShell",
)
TOOLS = [tool("Bash", command="string"), *(tool(name, path="string") for name in NAMES)]
MCP = tool("mcp__issues__search", query="string")


def headers(caller: Caller, version: str) -> dict[str, str]:
    return {
        **caller.headers,
        "anthropic-beta": BETAS[version],
        "anthropic-version": "2023-06-01",
        "anthropic-dangerous-direct-browser-access": "true",
        "user-agent": f"claude-cli/{version} (external, cli)",
        "x-app": "cli",
        "x-stainless-lang": "js",
        "x-stainless-helper-method": "stream",
        "accept": "application/json",
    }


def billing_header() -> str:
    """Another one with every request."""
    number = next(NUMBERS)
    return f"x-anthropic-billing-header: cc_version=2.1.293.{number % 4096:03x}; cc_entrypoint=cli; cch={number:05x};"


def turn(model: str, version: str, messages: list[Any]) -> dict[str, Any]:
    """One request of the main loop."""
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "system": [
            {
                "type": "text",
                "text": "You are Claude Code, Anthropic's official CLI for Claude.",
                "cache_control": CACHED,
            },
            {"type": "text", "text": "You help with software. " * 200, "cache_control": CACHED},
        ],
        "tools": TOOLS,
        "metadata": {"user_id": USER_ID},
        "stream": True,
    }
    if version == "2.0.76":
        return body | {
            "max_tokens": 32000,
            "temperature": 1,
            "thinking": {"type": "enabled", "budget_tokens": 31999},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        }
    added = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": MCP}}
    body["system"] = [{"type": "text", "text": billing_header()}, *body["system"]]
    return body | {
        "messages": [messages[0], {"role": "system", "content": [added]}, *messages[1:]],
        "tools": [{**one, "eager_input_streaming": True} for one in TOOLS],
        "max_tokens": 64000,
        "thinking": {"type": "adaptive", "display": "updates"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "diagnostics": {"previous_message_id": None},
        "thread": {"type": "create"},
    }


def first() -> list[Any]:
    reminder = "<system-reminder>\nToday is Saturday.\n</system-reminder>"
    blocks = [{"type": "text", "text": reminder}, {"type": "text", "text": "List the files.", "cache_control": CACHED}]
    return [{"role": "user", "content": blocks}]


def followed(answer: list[Any]) -> list[Any]:
    """The next request of the loop: what was answered goes back as it came, with the results of its tools."""
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "README.md\nsrc", "is_error": False}
        for block in answer
        if block["type"] == "tool_use"
    ]
    results[-1]["cache_control"] = CACHED
    return [*first(), {"role": "assistant", "content": answer}, {"role": "user", "content": results}]


async def send(caller: Caller, version: str, body: dict[str, Any]) -> httpx.Response:
    """``ANTHROPIC_BASE_URL=<gateway>/api``: the SDK inside appends the path and its query."""
    return await caller.gateway.client.post("/api/v1/messages?beta=true", json=body, headers=headers(caller, version))


def piece(index: int, name: str | None, arguments: str) -> dict[str, Any]:
    opening = {"id": f"call_{index}", "type": "function"} if name else {}
    return {"index": index, "function": {"arguments": arguments, **({"name": name} if name else {})}, **opening}


CALLS = deltas(
    {"reasoning_content": "They want"},
    {"reasoning_content": " a list."},
    {"content": "I will look."},
    {"tool_calls": [piece(0, "Bash", "")]},
    {"tool_calls": [piece(0, None, '{"command":')]},
    {"tool_calls": [piece(0, None, '"ls"}')]},
    {"tool_calls": [piece(1, "Read", '{"path":"README.md"}')]},
    finish="tool_calls",
)


@pytest.mark.parametrize("version", list(BETAS))
async def test_a_loop_on_a_model_of_another_vendor(gateway: GatewayFactory, version: str) -> None:
    """Thinking, text and parallel tool calls stream in; results go back; the vendor sees a plain chat with every tool."""
    script = Vendor({"content": "x"}, CALLS)
    async with RawServer(script) as server:
        extended = {"odd": {"options": {"extended": True}}}  # a vendor that takes reasoning back
        stage = await gateway(Sale("t/a", "odd", "theirs"), urls={"odd": f"{server.url}/v1"}, provider=extended)
        caller = await stage.caller("50")
        answer = messageshape.blocks(messageshape.stream(await send(caller, version, turn("t/a", version, first()))))
        assert [block["type"] for block in answer] == ["thinking", "text", "tool_use", "tool_use"]
        assert [block["input"] for block in answer[2:]] == [{"command": "ls"}, {"path": "README.md"}]
        messageshape.stream(await send(caller, version, turn("t/a", version, followed(answer))))
        opened, again = script.requests
        names = [one["function"]["name"] for one in again["tools"]]
        assert names == ["Bash", *NAMES] + (["mcp__issues__search"] if version == "2.1.293" else [])
        for known in ("context_management", "diagnostics", "thread", "metadata", "system", "thinking", "output_config"):
            assert known not in again
        assert again["user"] not in USER_ID
        assert again["reasoning_effort" if version == "2.1.293" else "max_tokens"] == (
            "high" if version == "2.1.293" else 32000
        )
        roles = [message["role"] for message in again["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "tool"]
        assert again["messages"][:2] == opened["messages"]
        answer = again["messages"][2]
        assert (answer["content"], answer["reasoning"]) == ("I will look.", "They want a list.")
        assert [call["function"]["arguments"] for call in answer["tool_calls"]] == [
            '{"command":"ls"}',
            '{"path":"README.md"}',
        ]
        assert [message["tool_call_id"] for message in again["messages"][3:]] == ["call_0", "call_1"]
        await calm(stage)


@pytest.mark.parametrize("version", list(BETAS))
async def test_a_request_to_claude_itself(gateway: GatewayFactory, version: str) -> None:
    """Everything goes through as it was written but what names our ids; beta headers go along."""
    claude = Claude()
    async with served(gateway, claude) as (_, caller):
        body = turn("anthropic/claude-x", version, first())
        messageshape.stream(await send(caller, version, body))
        (got,) = claude.requests
        kept = {
            name: value for name, value in body.items() if name not in ("model", "metadata", "diagnostics", "thread")
        }
        assert {name: value for name, value in got.items() if name not in ("model", "metadata")} == kept
        assert got["metadata"]["user_id"] not in USER_ID
        assert f"anthropic-beta: {BETAS[version]}\r\n" in claude.heads[0]
        counted = {name: body[name] for name in ("messages", "tools", "system")}
        response = await caller.gateway.client.post(
            "/api/v1/messages/count_tokens?beta=true",
            json={"model": "anthropic/claude-x", **counted},
            headers=headers(caller, version),
        )
        assert response.json() == {"input_tokens": 4711}


LATER: list[Any] = [{"role": "system", "content": "A file has changed.", "clear_at": "never"}]
USE = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "src"}]}
WORDS = {"role": "user", "content": "<system-reminder>\nA file has changed.\n</system-reminder>"}
SAID = [{"role": "assistant", "content": [USE]}]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([*first(), *LATER], [*first(), WORDS]),
        ([*first(), *LATER, *SAID, RESULT, *LATER], [*first(), WORDS, *SAID, RESULT, WORDS]),
        ([*first(), *SAID, *LATER, RESULT], [*first(), *SAID, RESULT, WORDS]),
        ([*first(), {**LATER[0], "clear_at": "next_user_message"}, *SAID, RESULT], [*first(), *SAID, RESULT]),
    ],
)
async def test_system_turns_of_a_model_that_takes_none(
    gateway: GatewayFactory, turns: list[Any], expected: list[Any]
) -> None:
    """Older Claudes get them as words of the user's, never between a call and its result; the rest passes as it was."""
    claude = Claude()
    async with served(gateway, claude) as (_, caller):
        body = {**turn("anthropic/claude-old", "2.0.76", turns), "context_management": {"edits": []}}
        messageshape.stream(await send(caller, "2.0.76", body))
        (got,) = claude.requests
        assert got["messages"] == expected
        assert (got["system"], got["tools"], got["context_management"]) == (body["system"], TOOLS, {"edits": []})


async def test_tools_that_change_in_a_system_turn(gateway: GatewayFactory) -> None:
    """A model without system turns gets the tools that are in force at the end; the answer is in Anthropic's words all the same."""
    claude = Claude()
    async with served(gateway, claude) as (_, caller):
        body = turn("anthropic/claude-old", "2.1.293", [*first(), *LATER])
        messageshape.stream(await send(caller, "2.1.293", body))
        (got,) = claude.requests
        assert [one["name"] for one in got["tools"]] == ["Bash", *NAMES, "mcp__issues__search"]
        assert [one["role"] for one in got["messages"]] == ["user"]
        assert f"anthropic-beta: {BETAS['2.1.293']}" in claude.heads[0]


async def test_its_small_requests(gateway: GatewayFactory) -> None:
    """The probe of one token, a title as JSON, and an answer begun for the model: none of them is refused."""
    stage = await gateway(Sale("t/a", "alpha", "ok+tokens=3"))
    caller = await stage.caller()
    probe = {
        "model": "t/a",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "quota"}],
        "metadata": {"user_id": USER_ID},
    }
    body = messageshape.answer(await send(caller, "2.0.76", probe))
    assert body["stop_reason"] == "max_tokens"
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    title = {
        **{"model": "t/a", "max_tokens": 32000, "stream": True, "tools": [], "temperature": 1},
        "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": schema}},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Name this session."}]}],
    }
    messageshape.stream(await send(caller, "2.1.293", title))
    begun = {**probe, "max_tokens": 100, "messages": [*probe["messages"], {"role": "assistant", "content": "{"}]}
    messageshape.answer(await send(caller, "2.0.76", begun))
    await calm(stage)
