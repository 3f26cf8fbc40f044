"""Conversations as other vendors and clients leave them, in the inner language: each vendor has to take all of them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "go"}
PICTURE: Json = {
    "type": "image_url",
    "image_url": {
        "url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    },
}
CACHED: Json = {"type": "ephemeral"}
DOTTED, LONG, DIGIT = "files.read:now", "mcp__" + "x" * 90, "1st"


def call(id: str | None, name: str = "f", arguments: str = '{"x":1}') -> Json:
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if id is None else {"id": id, **made}


def calls(*made: Json, **more: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(made), **more}


def result(id: str | None, content: Any = "done") -> Json:
    made = {"role": "tool", "content": content}
    return made if id is None else {"tool_call_id": id, **made}


def tool(name: str) -> Json:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    }


CONVERSATIONS: dict[str, list[Json]] = {
    "ids that repeat from turn to turn": [USER, calls(call("f:0")), result("f:0"), calls(call("f:0")), result("f:0")],
    "an id twice in a turn": [USER, calls(call("a"), call("a")), result("a", "one"), result("a", "two")],
    "no ids": [USER, calls(call(None), call(None)), result(None, "one"), result(None, "two")],
    "odd ids": [USER, calls(call("functions.f:0"), call("é b"), call("x" * 200)), *map(result, ("functions.f:0", "é b", "x" * 200))],
    "odd names": [USER, calls(call("a", DOTTED), call("b", LONG), call("c", DIGIT)), *map(result, "abc")],
    "results in another order": [USER, calls(call("a"), call("b", "g")), result("b"), result("a")],
    "arguments that are no JSON": [USER, calls(call("a", arguments='{"x": tru')), result("a")],
    "arguments that are no object": [USER, calls(call("a", arguments="[1]")), result("a")],
    "empty arguments": [USER, calls(call("a", arguments="")), result("a")],
    "a user who interrupts the tools": [USER, calls(call("a")), result("a"), {"role": "user", "content": "stop"}],
    "instructions behind results": [USER, calls(call("a")), result("a"), {"role": "system", "content": "hurry"}],
    "instructions before results": [USER, calls(call("a")), {"role": "developer", "content": "hurry"}, result("a")],
    "instructions in the middle": [
        {"role": "developer", "content": "be kind"},
        USER,
        {"role": "assistant", "content": "yes"},
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "user", "content": "so"},
    ],
    "opencode, through the provider for any OpenAI-compatible API": [
        *({"role": "system", "content": "You are opencode."}, USER),
        {"role": "assistant", "content": "", "reasoning_details": "Hm.", "tool_calls": [call("a")]},
        *(result("a"), {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": [call("b")]}, result("b")),
    ],
    "opencode, through the provider for OpenRouter": [
        {"role": "system", "content": [{"type": "text", "text": "You are opencode.", "cache_control": CACHED}]},
        {"role": "user", "content": [{"type": "text", "text": "go", "cache_control": CACHED}]},
        {"role": "assistant", "content": "", "tool_calls": [call("a")], "cache_control": CACHED},
        {**result("a"), "name": "f", "cache_control": CACHED},
    ],
    "aider": [
        *({"role": "system", "content": "Act as an expert."}, {"role": "user", "content": "For example"}),
        *({"role": "assistant", "content": "Ok."}, {"role": "user", "content": "I switched."}),
        *({"role": "assistant", "content": "Ok."}, {"role": "user", "content": "This is `sample.txt`:\n```\none\n```\n"}),
    ],
    "an empty list of calls": [USER, {"role": "assistant", "content": "yes", "tool_calls": []}, {"role": "user", "content": "so"}],
}  # fmt: skip
TOOLS = [tool("f"), tool("g"), tool(DOTTED), tool(LONG), tool(DIGIT)]
