"""Claude Code's billing header changes with every request: translated requests must be the same without it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.api.inference import billing_header
from gateway.api.inference.messages import request as messages_request
from gateway.api.inference.responses import request as responses_request

Json = dict[str, Any]
LINE = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"
TALK = [{"role": "user", "content": f"What is {LINE}?"}]
CACHED = {"type": "ephemeral"}


def chat(role: str, content: Any) -> Json:
    return {"model": "t/a", "messages": [{"role": role, "content": content}, *TALK]}


def messages(system: Any) -> Json:
    return messages_request.inner({"model": "t/a", "max_tokens": 9, "system": system, "messages": TALK})


def text(value: str, **more: Any) -> Json:
    return {"type": "text", "text": value, **more}


REQUESTS: dict[str, tuple[Json, Any]] = {
    "messages, a block of its own": (
        messages([text(LINE), text("Be brief."), text("Really.")]),
        "Be brief.\n\nReally.",
    ),
    "messages, before a breakpoint": (
        messages([text(LINE), text("Be brief.", cache_control=CACHED)]),
        [text("Be brief.", cache_control=CACHED)],
    ),
    "messages, one text": (messages(f"{LINE}\nBe brief."), "Be brief."),
    "messages, nothing else": (messages([text(LINE)]), None),
    "chat, one text": (chat("system", f"{LINE}\n\nBe brief.\nReally."), "Be brief.\nReally."),
    "chat, parts": (chat("system", [text(LINE), text("Be brief.")]), [text("Be brief.")]),
    "chat, in front of a part": (chat("developer", [text(f"{LINE}\nBe brief.")]), [text("Be brief.")]),
    "responses, instructions": (
        responses_request.inner({"model": "t/a", "instructions": f"{LINE}\nBe brief.", "input": TALK[0]["content"]}),
        "Be brief.",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_line_is_left_out(name: str) -> None:
    """On every surface: the instructions begin behind it, or are gone with it; the caller's request and its words stay."""
    body, system = REQUESTS[name]
    before = copy.deepcopy(body)
    found = billing_header.removed(body)["messages"]
    assert found[-1]["content"] == TALK[0]["content"]
    assert [message["content"] for message in found[:-1]] == ([] if system is None else [system])
    assert body == before


@pytest.mark.parametrize(
    "body",
    [
        chat("user", LINE),
        chat("assistant", LINE),
        chat("system", f"See {LINE}"),
        chat("system", [text("Be brief."), {"type": "text"}]),
        chat("system", [text("")]),
        {"model": "t/a", "messages": []},
        {"model": "t/a", "prompt": LINE},
    ],
    ids=["user", "assistant", "in the text", "other parts", "an empty part", "no messages", "another operation"],
)
def test_anything_else_stays(body: Json) -> None:
    """Only the opening of the system prompt is looked at; without the line the request is not even copied."""
    assert billing_header.removed(body) is body
