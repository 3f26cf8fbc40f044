"""The turn of a coding agent, about 450 KB: what most tokens of a gateway are sent for; and a question with pictures, 8 MB.

211 messages: instructions, ten questions, a hundred calls of twenty tools and their results. The sizes are those of recorded turns
of coding agents; the words mean nothing.
"""

from __future__ import annotations

import base64
import json
import random
from functools import cache
from typing import Any

Json = dict[str, Any]
CALLS, QUESTIONS, TOOLS = 100, 10, 20
_RESULT_BYTES = 3_650
_WORDS = (
    "the module",
    "returns",
    "a list of",
    "values",
    "when",
    "import",
    "from",
    "assert",
    "self.path",
    "def read",
    "None",
    "index",
)


def turn(form: str, model: str) -> bytes:
    """The whole body, as a request of chat completions (``chat``) or of the Messages API (``messages``)."""
    body = {"chat": _chat, "messages": _messages}[form]()
    return json.dumps({"model": model, **body}, separators=(",", ":")).encode()


@cache
def pictures(model: str) -> bytes:
    """The whole body of a question with four pictures of 2 MB in base64."""
    noise = random.Random(7).randbytes(1_500_000)
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + noise).decode()
    parts = [
        {"type": "text", "text": "What is the difference?"},
        *[{"type": "image_url", "image_url": {"url": url}}] * 4,
    ]
    messages = [{"role": "user", "content": parts}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 100}, separators=(",", ":")).encode()


@cache
def _chat() -> Json:
    rng = random.Random(7)
    messages: list[Json] = [{"role": "system", "content": _text(rng, 9_000)}]
    for number in range(CALLS):
        if number % (CALLS // QUESTIONS) == 0:
            messages.append({"role": "user", "content": _text(rng, 300)})
        arguments = json.dumps({"path": _text(rng, 60), "query": _text(rng, 60)})
        function = {"name": f"tool_{number % TOOLS}", "arguments": arguments}
        call = {"id": f"call_{number:05d}abcdefgh", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": _text(rng, 80), "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": _text(rng, _RESULT_BYTES)})
    tools = [{"type": "function", "function": _function(rng, number)} for number in range(TOOLS)]
    return {"messages": messages, "tools": tools, "max_tokens": 2_000}


@cache
def _messages() -> Json:
    """The same turn as Anthropic's SDK sends it: blocks, results in the user's turn."""
    chat = _chat()
    system, *rest = chat["messages"]
    tools = [
        {
            "name": function["name"],
            "description": function["description"],
            "input_schema": function["parameters"],
        }
        for function in (tool["function"] for tool in chat["tools"])
    ]
    return {
        "system": [{"type": "text", "text": system["content"]}],
        "messages": [_blocks(message) for message in rest],
        "tools": tools,
        "max_tokens": chat["max_tokens"],
    }


def _blocks(message: Json) -> Json:
    text = {"type": "text", "text": message["content"]}
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": [text]}
        return {"role": "user", "content": [result]}
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls", ())
    ]
    return {"role": message["role"], "content": [text, *calls]}


def _function(rng: random.Random, number: int) -> Json:
    properties = {
        name: {"type": "string", "description": _text(rng, 60)} for name in ("path", "query", "mode", "limit")
    }
    parameters = {"type": "object", "properties": properties, "required": ["path"], "additionalProperties": False}
    return {"name": f"tool_{number}", "description": _text(rng, 400), "parameters": parameters}


def _text(rng: random.Random, size: int) -> str:
    """About ``size`` bytes of something between prose and code."""
    words: list[str] = []
    while size > 0:
        word = rng.choice(_WORDS) + ("\n    " if rng.random() < 0.12 else " ")
        words.append(word)
        size -= len(word)
    return "".join(words)
