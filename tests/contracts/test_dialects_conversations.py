"""What each dialect makes of a conversation that another vendor or client left: roles, pictures, ids, arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import registry
from providers.types import Target
from tests.support.conversations import CONVERSATIONS, PICTURE, TOOLS, USER, Json, call, calls, result


def roles(body: Json) -> list[str]:
    return [message["role"] for message in body["messages"]]


def vendor_body(dialect: str, messages: list[Json], **options: Any) -> Json:
    where = Target("acme", "http://127.0.0.1:1", "m", api_key="k", options=options)
    request = registry.dialect(dialect).request(where, {"model": "a/b", "messages": messages}, stream=False)
    made: Json = json.loads(request.content)
    return made


def test_pictures_stand_behind_all_results() -> None:
    """Compatible vendors refuse a user between the results of one turn; the pictures open the user's next words."""
    two = [result("a", [PICTURE]), result("b", [{"type": "text", "text": "see"}, PICTURE])]
    body = vendor_body("openai", [USER, calls(call("a"), call("b")), *two, {"role": "user", "content": "so"}])
    assert roles(body) == ["user", "assistant", "tool", "tool", "user"]
    assert body["messages"][-1]["content"] == [PICTURE, PICTURE, {"type": "text", "text": "so"}]
    assert roles(vendor_body("openai", [USER, calls(call("a"), call("b")), *two])) == roles(body)


@pytest.mark.parametrize(
    ("messages", "options", "expected"),
    [
        (CONVERSATIONS["instructions in the middle"], {}, ["system", "user", "assistant", "user"]),
        (
            CONVERSATIONS["instructions in the middle"],
            {"mid_system": True},
            ["system", "user", "assistant", "system", "user"],
        ),
        (
            CONVERSATIONS["instructions in the middle"],
            {"extended": True},
            ["developer", "user", "assistant", "system", "user"],
        ),
        (CONVERSATIONS["instructions before results"], {}, ["user", "assistant", "tool", "user"]),
        (CONVERSATIONS["instructions before results"], {"mid_system": True}, ["user", "assistant", "tool", "system"]),
        ([USER, {"role": "system", "content": "x"}, USER], {}, ["user"]),
        ([USER, {"role": "system", "content": ""}, USER], {}, ["user", "user"]),
    ],
)
def test_instructions_go_where_the_vendor_takes_them(
    messages: list[Json], options: dict[str, Any], expected: list[str]
) -> None:
    """Qwen's template refuses ``system, user, system``, DeepSeek ``developer``; OpenAI takes them anywhere but before results."""
    assert roles(vendor_body("openai", messages, **options)) == expected


def test_ids_stay_the_same_in_every_later_request() -> None:
    """A vendor's prompt cache sees the same beginning: what was renamed once is renamed alike again."""
    turn = [calls(call("f:0"), call("f:0")), result("f:0"), result("f:0")]
    bodies = [vendor_body("anthropic", [USER, *turn * count])["messages"] for count in (1, 2, 3)]
    assert bodies[2][: len(bodies[1]) - 1] == bodies[1][:-1]
    assert bodies[1][: len(bodies[0]) - 1] == bodies[0][:-1]
    used = [block["id"] for message in bodies[2] for block in message["content"] if block["type"] == "tool_use"]
    answered = [
        block["tool_use_id"] for message in bodies[2] for block in message["content"] if block["type"] == "tool_result"
    ]
    assert used == answered
    assert len(set(used)) == 6


def test_a_conversation_that_fits_is_not_copied() -> None:
    """Nearly all do, and they are long."""
    messages = [USER, calls(call("call_1"), call("call_2", "g")), result("call_1"), result("call_2")]
    body = {"messages": messages, "tools": TOOLS[:2], "tool_choice": "auto"}
    for name in ("openai", "anthropic", "bedrock", "gemini", "cohere", "ollama", "responses"):
        assert registry.dialect(name).tools.fitted(body) is body
