"""There and back with Anthropic: conversations keep roles, ids and arguments; answers go back with their signatures."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.anthropicwire import DIALECT, STREAMS, decoded, sent

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda t: bool(t.strip())
)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("tokenway")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=3)
THINKING = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(max_size=20), "signature": IDS})
HIDDEN = st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": IDS})
USES = st.lists(st.tuples(IDS, NAMES, ARGUMENTS), min_size=1, max_size=3, unique_by=lambda use: use[0])


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Questions, each with an answer in text or with calls and all their results."""
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        messages.append({"role": "user", "content": draw(WORDS)})
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(WORDS)})
            continue
        uses = draw(USES)
        calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for i, n, a in uses]
        messages.append({"role": "assistant", "content": draw(st.none() | WORDS), "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": i, "content": draw(WORDS)} for i, _, _ in uses]
        messages.append({"role": "assistant", "content": draw(WORDS)})
    return [*messages, {"role": "user", "content": "go on"}]


def flat(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """An inner conversation as a list of (role, what, ...)."""
    found: list[tuple[Any, ...]] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(("user", "result", message["tool_call_id"], message["content"]))
            continue
        if message["content"]:
            found.append((message["role"], "text", message["content"]))
        for call in message.get("tool_calls", ()):
            function = call["function"]
            found.append((message["role"], "call", call["id"], function["name"], json.loads(function["arguments"])))
    return found


def flat_turns(turns: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The vendor's turns as the same list."""
    found: list[tuple[Any, ...]] = []
    for turn in turns:
        for block in turn["content"]:
            if block["type"] == "text":
                found.append((turn["role"], "text", block["text"]))
            elif block["type"] == "tool_use":
                found.append((turn["role"], "call", block["id"], block["name"], block["input"]))
            else:
                found.append((turn["role"], "result", block["tool_use_id"], block["content"]))
    return found


@settings(max_examples=60, deadline=None)
@given(exchanges())
def test_a_conversation_keeps_roles_ids_arguments_and_order(messages: list[dict[str, Any]]) -> None:
    """Nothing said is lost, doubled or moved; neighbouring turns never have the same role."""
    turns = sent({"messages": messages})["messages"]
    assert flat_turns(turns) == flat(messages)
    roles = [turn["role"] for turn in turns]
    assert all(a != b for a, b in pairwise(roles))


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Content of an answer that calls tools, with thinking before."""
    thought = draw(st.lists(THINKING | HIDDEN, max_size=3))
    text = [{"type": "text", "text": words} for words in draw(st.lists(WORDS, max_size=1))]
    return [*thought, *text, *({"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in draw(USES))]


def replay(message: dict[str, Any]) -> list[dict[str, Any]]:
    """What the vendor gets when ``message`` is the last answer of a conversation."""
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in message.get("tool_calls", ())]
    follow = results or [{"role": "user", "content": "and?"}]
    content: list[dict[str, Any]] = sent({"messages": [{"role": "user", "content": "hi"}, message, *follow]})[
        "messages"
    ][1]["content"]
    return content


@settings(max_examples=80, deadline=None)
@given(answers())
def test_a_whole_answer_goes_back_as_it_came(content: list[dict[str, Any]]) -> None:
    """Blocks of thinking with their signatures, text, and calls with ids and arguments are the vendor's own again."""
    document = {"type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use"}
    message = DIALECT.completion(json.dumps(document).encode()).body["choices"][0]["message"]
    assert replay(message) == content


def events_of(content: list[dict[str, Any]], cuts: int) -> bytes:
    """The stream in which the vendor would have sent ``content``, its strings in ``cuts`` pieces."""
    told: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "usage": {}}}]
    for index, block in enumerate(content):
        kind = block["type"]
        fields = {
            "text": ("text", "text_delta"),
            "thinking": ("thinking", "thinking_delta"),
            "tool_use": ("input", "input_json_delta"),
        }
        field, delta = fields.get(kind, ("", ""))
        empty = {"input": {}} if kind == "tool_use" else {field: "", "signature": ""} if field else {}
        told.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        words = json.dumps(block[field]) if kind == "tool_use" else block.get(field, "")
        size = len(words) // cuts + 1
        name = "partial_json" if kind == "tool_use" else field
        pieces = [{"type": delta, name: words[i : i + size]} for i in range(0, len(words), size)]
        if kind == "thinking":
            pieces.append({"type": "signature_delta", "signature": block["signature"]})
        told += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
        told.append({"type": "content_block_stop", "index": index})
    told.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}})
    told.append({"type": "message_stop"})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in told)


def gathered(raw: bytes, *, joined: bool) -> dict[str, Any]:
    """The assistant message that a client makes of a stream; ``joined``: fragments of reasoning put together, as clients do."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [], "reasoning_details": []}
    events, error = decoded([raw])
    assert error is None
    for event in events:
        for choice in event.chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    message["tool_calls"].append(
                        {"id": call["id"], "type": "function", "function": {**call["function"]}}
                    )
                else:
                    message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            for detail in delta.get("reasoning_details", ()):
                last = message["reasoning_details"][-1:] if joined else []
                if last and last[0]["index"] == detail["index"]:
                    last[0].update({**detail, "text": last[0].get("text", "") + detail.get("text", "")})
                else:
                    message["reasoning_details"].append(dict(detail))
    return message


@settings(max_examples=80, deadline=None)
@given(answers(), st.integers(1, 4), st.booleans())
def test_a_streamed_answer_goes_back_as_it_came(content: list[dict[str, Any]], cuts: int, joined: bool) -> None:
    """Also when a client keeps the reasoning in the fragments in which it came."""
    assert replay(gathered(events_of(content, cuts), joined=joined)) == content


def test_the_recorded_thinking_goes_back() -> None:
    """The recording with signed and hidden thinking around a tool call is the same turn again."""
    content = replay(gathered(STREAMS["thinking-redacted-tool"][0], joined=True))
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "thinking", "text", "tool_use"]
    assert content[0]["signature"].endswith("1")
    assert content[2] == {"type": "thinking", "thinking": "In Paris.", "signature": content[2]["signature"]}
    assert content[4]["input"] == {"city": "Paris"}
