"""Reasoning of any vendor through the one opaque text that a thinking block has: it comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference.messages import surface, thinking
from gateway.api.inference.messages.thinking import NATIVE, PACKED, details, without_foreign_thinking
from tests.support.examples import examples


def blocks(message: dict[str, Any], *, hidden: bool = False) -> list[dict[str, Any]]:
    return [block for _, block in thinking.blocks(message, hidden=hidden)]


FORMATS = ["openai-responses-v1", "google-gemini-v1", "xai-responses-v1", "unknown"]
TEXTS = st.text(min_size=1, max_size=20)
KEPT = {"id": TEXTS, "index": st.integers(0, 9)}
FOREIGN = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("reasoning.text"), "text": TEXTS, "format": st.sampled_from(FORMATS)},
        optional={**KEPT, "signature": TEXTS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("reasoning.summary"), "summary": TEXTS, "format": st.sampled_from(FORMATS)}, optional=KEPT
    ),
    st.fixed_dictionaries(
        {"type": st.just("reasoning.encrypted"), "data": TEXTS, "format": st.sampled_from(FORMATS)}, optional=KEPT
    ),
)
OWN = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("reasoning.text"),
            "text": TEXTS,
            "signature": st.text("abc+/=", min_size=1),
            "format": st.just(NATIVE),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("reasoning.encrypted"), "data": st.text("abc+/=", min_size=1), "format": st.just(NATIVE)}
    ),
)


@examples(200)
@given(st.lists(st.one_of(FOREIGN, OWN), max_size=6))
def test_details_come_back_as_they_were(given_details: list[dict[str, Any]]) -> None:
    """Types, formats, ids, signatures, encrypted texts and their order; an index is added where there was none."""
    made = blocks({"reasoning_details": given_details})
    again, text = details(made)
    expected = [{**one, "index": one.get("index", number)} for number, one in enumerate(given_details)]
    assert again == expected
    assert text == "".join(thinking.text_of(one) for one in given_details)


@examples(100)
@given(st.lists(st.one_of(FOREIGN, OWN), min_size=1, max_size=6))
def test_only_anthropics_own_is_passed_on(given_details: list[dict[str, Any]]) -> None:
    """Of a turn's thinking what Anthropic signed goes out, untouched; the rest of the turn stays."""
    text = {"type": "text", "text": "x"}
    made = blocks({"reasoning_details": given_details})
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [*made, text]}]
    kept, _ = without_foreign_thinking(turns)
    own = [block for block, one in zip(made, given_details, strict=True) if one["format"] == NATIVE]
    assert kept == [turns[0], {"role": "assistant", "content": [*own, text]}]


def test_plain_reasoning() -> None:
    """Text without a signature is an unsigned block; encrypted details beside it stay beside it."""
    assert blocks({"reasoning": "Hm."}) == [{"type": "thinking", "thinking": "Hm.", "signature": ""}]
    both = {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.encrypted", "data": "D", "format": NATIVE}]}
    assert [block["type"] for block in blocks(both)] == ["thinking", "redacted_thinking"]
    twin = {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}
    assert blocks(twin) == [{"type": "thinking", "thinking": "Hm.", "signature": ""}]


@pytest.mark.parametrize("format", [NATIVE, *FORMATS])
def test_hidden_thinking_comes_back_whole(format: str) -> None:
    """The caller sees no text, but the vendor needs what it signed: it is packed; what has no signature is gone."""
    signed = {"type": "reasoning.text", "text": "Hm.", "signature": "S", "format": format, "index": 0}
    (block,) = blocks({"reasoning_details": [signed]}, hidden=True)
    assert (block["type"], block["thinking"]) == ("thinking", "")
    again, text = details([block])
    assert (again, text) == ([signed], "Hm.")
    assert blocks({"reasoning": "Hm."}, hidden=True) == []
    turns, _ = without_foreign_thinking([{"role": "assistant", "content": [block, {"type": "text", "text": "Yes."}]}])
    own = [{"type": "thinking", "thinking": "Hm.", "signature": "S"}] if format == NATIVE else []
    assert turns == [{"role": "assistant", "content": [*own, {"type": "text", "text": "Yes."}]}]


@pytest.mark.parametrize(
    "hostile",
    [
        5,
        "x",
        {},
        [5, None, "x", {}],
        [{"type": "reasoning.text", "text": 5}],
        [{"type": ["x"]}],
        [{"type": "reasoning.encrypted", "data": 5}],
    ],
)
def test_hostile_details(hostile: Any) -> None:
    """Whatever a vendor sends under the name, nothing breaks."""
    assert isinstance(blocks({"reasoning_details": hostile, "reasoning": "x"}), list)


@pytest.mark.parametrize("packed", ["", "%%%", "bm90IGpzb24", "WzFd", "eyJhIjoxfQ", "e" * 9])
def test_a_damaged_packing_is_plain_thinking(packed: str) -> None:
    """A packed text that was changed does no harm: the reasoning is kept, unsigned."""
    found, _ = details([{"type": "thinking", "thinking": "Hm.", "signature": PACKED + packed}])
    assert found == [{"type": "reasoning.text", "text": "Hm.", "index": 0}]


def test_thinking_is_off_in_another_vendors_tool_loop() -> None:
    """Only while the answered call is another vendor's, only where thinking would be enforced, and without orders about it."""
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    foreign = {"type": "thinking", "thinking": "x", "signature": ""}
    loop = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [foreign, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]
    edits = [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    enabled = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "context_management": {"edits": edits}}
    seen = surface.passthrough_body({"messages": loop, **enabled})
    assert seen["thinking"] == {"type": "disabled"}
    assert seen["context_management"] == {"edits": edits[1:]}
    later = [*loop, {"role": "assistant", "content": [{"type": "text", "text": "y"}]}, {"role": "user", "content": "z"}]
    assert surface.passthrough_body({"messages": later, **enabled})["thinking"]["type"] == "enabled"
    adaptive = {"messages": loop, "thinking": {"type": "adaptive"}}
    assert surface.passthrough_body(adaptive)["thinking"] == {"type": "adaptive"}
    assert (
        len(surface.passthrough_body({"messages": [loop[0], {"role": "assistant", "content": [foreign]}]})["messages"])
        == 1
    )


def test_an_empty_turn_is_passed_on() -> None:
    """What Anthropic says to it is the caller's to hear; only a turn of nothing but foreign thinking is left out."""
    foreign = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    turns = [{"role": "assistant", "content": []}, {"role": "assistant", "content": [foreign]}]
    assert without_foreign_thinking(turns) == (turns[:1], False)
