"""There and back with Anthropic: whatever answer it gives goes back block by block, with its signatures."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import dialectcases as cases
from tests.support.anthropicwire import DIALECT, STREAMS, sent
from tests.support.examples import examples

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


@examples(80)
@given(answers())
def test_a_whole_answer_goes_back_as_it_came(content: list[dict[str, Any]]) -> None:
    """Blocks of thinking with their signatures, text, and calls with ids and arguments are the vendor's own again."""
    document = {"type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use"}
    message = DIALECT.completion(json.dumps(document).encode()).body["choices"][0]["message"]
    assert replay(message) == content


def events_of(content: list[dict[str, Any]], cuts: int) -> bytes:
    """The stream in which the vendor would have sent ``content``, its strings in ``cuts`` pieces."""
    vendor_body: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "usage": {}}}]
    for index, block in enumerate(content):
        kind = block["type"]
        fields = {
            "text": ("text", "text_delta"),
            "thinking": ("thinking", "thinking_delta"),
            "tool_use": ("input", "input_json_delta"),
        }
        field, delta = fields.get(kind, ("", ""))
        empty = {"input": {}} if kind == "tool_use" else {field: "", "signature": ""} if field else {}
        vendor_body.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        words = json.dumps(block[field]) if kind == "tool_use" else block.get(field, "")
        size = len(words) // cuts + 1
        name = "partial_json" if kind == "tool_use" else field
        pieces = [{"type": delta, name: words[i : i + size]} for i in range(0, len(words), size)]
        if kind == "thinking":
            pieces.append({"type": "signature_delta", "signature": block["signature"]})
        vendor_body += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
        vendor_body.append({"type": "content_block_stop", "index": index})
    vendor_body.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}})
    vendor_body.append({"type": "message_stop"})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in vendor_body)


@examples(80)
@given(answers(), st.integers(1, 4), st.booleans())
def test_a_streamed_answer_goes_back_as_it_came(content: list[dict[str, Any]], cuts: int, joined: bool) -> None:
    """Also when a client keeps the reasoning in the fragments in which it came."""
    events, error = cases.decode(DIALECT, [events_of(content, cuts)])
    assert error is None
    message = cases.message_of(choice for event in events for choice in event.chunk["choices"])
    if joined:
        message["reasoning_details"] = cases.joined(message.get("reasoning_details", ()))
    assert replay(message) == content


def test_the_recorded_thinking_goes_back() -> None:
    """The recording with signed and hidden thinking around a tool call is the same turn again."""
    events, _ = cases.decode(DIALECT, [STREAMS["thinking-redacted-tool"].raw])
    content = replay(cases.message_of(choice for event in events for choice in event.chunk["choices"]))
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "thinking", "text", "tool_use"]
    assert content[0]["signature"].endswith("1")
    assert content[2] == {"type": "thinking", "thinking": "In Paris.", "signature": content[2]["signature"]}
    assert content[4]["input"] == {"city": "Paris"}
