"""Thinking and caching with Anthropic: what is asked for, what goes back, where breakpoints lie. Checked against the SDK's types."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import ProviderError
from tests.support.anthropicwire import sent

HI = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "x"}
FORMAT = "anthropic-claude-v1"
ENABLED = {"type": "enabled", "budget_tokens": 5000}


def thought(text: str | None, signature: str | None = None, **more: Any) -> dict[str, Any]:
    detail = {"type": "reasoning.text", "text": text, "signature": signature, "format": FORMAT, **more}
    return {name: value for name, value in detail.items() if value is not None}


def inner_request(options: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    return sent({"messages": [HI], "max_tokens": 10_000, **body}, **(options or {}))


def refusal(options: dict[str, Any] | None = None, **body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        inner_request(options, **body)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "budget"),
    [
        ({"reasoning": {"effort": "max"}}, 9500),
        ({"reasoning": {"effort": "xhigh"}}, 9500),
        ({"reasoning": {"effort": "high"}}, 8000),
        ({"reasoning": {"effort": "medium"}}, 5000),
        ({"reasoning": {"effort": "low"}}, 2000),
        ({"reasoning": {"effort": "minimal"}}, 1024),
        ({"reasoning": {"effort": "enormous"}}, 5000),
        ({"reasoning": {"enabled": True}}, 5000),
        ({"reasoning": {"max_tokens": 3000}}, 3000),
        ({"reasoning": {"max_tokens": 1}}, 1024),
        ({"reasoning": {"effort": "high", "exclude": True}}, 8000),
        ({"reasoning_effort": "low"}, 2000),
        ({"reasoning": {"effort": "high"}, "max_tokens": 400_000}, 128_000),
        ({"reasoning": {"effort": "none"}}, None),
        ({"reasoning": {"enabled": False, "effort": "high"}}, None),
        ({"reasoning": {"max_tokens": 0}}, None),
        ({"reasoning_effort": "none"}, None),
        ({"reasoning": {}}, None),
        ({"reasoning": None, "include_reasoning": True}, None),
        ({}, None),
    ],
)
def test_every_form_of_effort_becomes_a_budget(body: dict[str, Any], budget: int | None) -> None:
    """Effort, tokens, enabled and the shorthand become budget_tokens by the contract's ratios and bounds."""
    vendor_body = inner_request(**body)
    assert vendor_body.get("thinking") == (budget and {"type": "enabled", "budget_tokens": budget})


def test_a_budget_fits_below_the_limit_or_is_refused() -> None:
    """A caller's limit is never raised; our own default is, within the endpoint's bound."""
    assert "max_tokens" in refusal(reasoning={"max_tokens": 10_000})
    assert "max_tokens" in refusal(reasoning={"effort": "low"}, max_tokens=500)
    vendor_body = sent({"messages": [HI], "reasoning": {"max_tokens": 6000}})
    assert (vendor_body["thinking"]["budget_tokens"], vendor_body["max_tokens"]) == (6000, 10_096)
    vendor_body = sent({"messages": [HI], "reasoning": {"max_tokens": 9000}}, max_completion_tokens=8000)
    assert (vendor_body["thinking"]["budget_tokens"], vendor_body["max_tokens"]) == (7999, 8000)
    with pytest.raises(ProviderError, match="max_tokens"):
        sent({"messages": [HI], "reasoning": {"effort": "high"}}, max_completion_tokens=1000)


@pytest.mark.parametrize(
    ("body", "thinking", "effort"),
    [
        ({"reasoning": {"effort": "high"}}, True, "high"),
        ({"reasoning": {"effort": "minimal"}}, True, "low"),
        ({"reasoning": {"effort": "xhigh"}}, True, "high"),
        ({"reasoning": {"effort": "max"}, "verbosity": "low"}, True, "max"),
        ({"reasoning": {"enabled": True}}, True, "medium"),
        ({"reasoning": {"max_tokens": 2100}}, True, "low"),
        ({"reasoning": {"max_tokens": 30_000}}, True, "max"),
        ({"verbosity": "medium"}, None, "medium"),
        ({"reasoning": {"effort": "none"}}, False, None),
        ({"reasoning": {"effort": "none"}, "verbosity": "high"}, False, "high"),
        ({}, None, None),
    ],
)
def test_newer_models_get_an_effort(body: dict[str, Any], thinking: bool | None, effort: str | None) -> None:
    """With adaptive thinking every form becomes output_config.effort, the nearest that the model knows."""
    vendor_body = inner_request({"thinking": "adaptive"}, **body)
    spelled = {True: {"type": "adaptive", "display": "summarized"}, False: {"type": "disabled"}, None: None}
    assert vendor_body.get("thinking") == spelled[thinking]
    assert vendor_body.get("output_config", {}).get("effort") == effort


def test_options_of_thinking() -> None:
    """Efforts and display are the model's; verbosity goes out beside a budget only where the model knows effort."""
    adaptive = {"thinking": "adaptive", "efforts": ["low", "xhigh"], "thinking_display": None}
    vendor_body = inner_request(adaptive, reasoning={"effort": "max"})
    assert (vendor_body["thinking"], vendor_body["output_config"]) == ({"type": "adaptive"}, {"effort": "xhigh"})
    assert "output_config" not in inner_request(verbosity="low")
    vendor_body = inner_request({"effort": True}, verbosity="low", reasoning={"effort": "high"})
    assert (vendor_body["output_config"], vendor_body["thinking"]["type"]) == ({"effort": "low"}, "enabled")
    assert "thinking" not in inner_request({"thinking": "none"}, reasoning={"effort": "high"})
    vendor_body = inner_request(thinking=ENABLED, reasoning={"effort": "high"}, temperature=0.1)
    assert vendor_body["thinking"] == ENABLED
    assert "temperature" not in vendor_body


def test_what_cannot_stand_beside_thinking() -> None:
    """Sampling is left out, a forced tool switches thinking off, also the one of a structured answer."""
    vendor_body = inner_request(reasoning={"effort": "low"}, temperature=0.3, top_k=5, top_p=0.5)
    assert not {"temperature", "top_k", "top_p"} & vendor_body.keys()
    assert inner_request(reasoning={"effort": "low"}, top_p=0.97)["top_p"] == 0.97
    assert "thinking" not in inner_request(reasoning={"effort": "low"}, tools=[TOOL], tool_choice="required")
    form = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    assert "thinking" not in inner_request(reasoning={"effort": "low"}, response_format=form)
    native = inner_request({"structured_outputs": "native"}, reasoning={"effort": "low"}, response_format=form)
    assert {"thinking", "output_config"} <= native.keys()


def replayed(*details: Any, **more: Any) -> list[dict[str, Any]]:
    answered = {"role": "assistant", "content": "so", "tool_calls": [CALL], "reasoning_details": list(details), **more}
    turns = inner_request(messages=[HI, answered, RESULT], tools=[TOOL])["messages"]
    blocks: list[dict[str, Any]] = turns[1]["content"]
    assert [block["type"] for block in blocks[-2:]] == ["text", "tool_use"]
    return blocks[:-2]


def test_thinking_goes_back_before_text_and_calls() -> None:
    """Signed and hidden thinking go back unchanged, in order, first in their turn."""
    hidden = {"type": "reasoning.encrypted", "data": "Emw", "format": FORMAT, "index": 1}
    assert replayed(
        thought("one", "s1", index=0), hidden, thought("", "s2", index=2), thought("x", "s3", format=None)
    ) == [
        {"type": "thinking", "thinking": "one", "signature": "s1"},
        {"type": "redacted_thinking", "data": "Emw"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
        {"type": "thinking", "thinking": "x", "signature": "s3"},
    ]


def test_fragments_of_a_stream_go_back_as_whole_blocks() -> None:
    """A client that stored the stream's fragments as they came gives the same blocks."""
    pieces = [thought("on", index=0), thought("e", index=0), thought(None, "s1", index=0), thought("lost", index=1)]
    pieces += [thought("two", index=2), thought(None, "s2", index=2)]
    assert replayed(*pieces) == [
        {"type": "thinking", "thinking": "one", "signature": "s1"},
        {"type": "thinking", "thinking": "two", "signature": "s2"},
    ]


def test_what_the_vendor_could_not_verify_is_removed() -> None:
    """Unsigned thinking, other vendors' details, summaries and junk are left out; plain reasoning text too."""
    foreign = [
        thought("unsigned"),
        thought("google", "s", format="google-gemini-v1"),
        {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"},
        {"type": "reasoning.encrypted", "data": 7},
        {"type": "reasoning.summary", "summary": "s", "format": FORMAT},
        thought("unknown", "s", format="unknown"),
        "junk",
        None,
    ]
    assert replayed(*foreign, reasoning="plain") == []
    only = {"role": "assistant", "content": None, "reasoning_details": [thought("a", "s")]}
    assert [turn["role"] for turn in inner_request(messages=[HI, only, HI])["messages"]] == ["user"]


def test_a_tool_loop_that_began_without_thinking_goes_on_without() -> None:
    """The vendor demands thinking before the calls of an open loop: without it thinking waits for the next question."""
    bare = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    signed = {**bare, "reasoning_details": [thought("t", "s")]}
    body = {"tools": [TOOL], "reasoning": {"effort": "low"}}
    assert "thinking" not in inner_request(messages=[HI, bare, RESULT], **body)
    assert "thinking" in inner_request(messages=[HI, signed, RESULT], **body)
    assert "thinking" in inner_request(
        messages=[HI, bare, RESULT, {"role": "assistant", "content": "done"}, HI], **body
    )
    assert "thinking" in inner_request({"thinking": "adaptive"}, messages=[HI, bare, RESULT], **body)


MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def test_breakpoints_lie_where_the_caller_put_them() -> None:
    """On system, user, assistant and tool parts, on whole messages, on tools and calls' results; lives are kept."""
    vendor_body = inner_request(
        tools=[{**TOOL, "cache_control": HOUR}],
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": HOUR}]},
            {"role": "user", "content": "u", "cache_control": MARK},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {
                **RESULT,
                "content": [{"type": "text", "text": "r", "cache_control": {"type": "ephemeral", "ttl": "30m"}}],
            },
        ],
    )
    assert vendor_body["tools"][0]["cache_control"] == HOUR
    assert vendor_body["system"][0]["cache_control"] == HOUR
    question, _, answer = vendor_body["messages"]
    assert question["content"][0]["cache_control"] == MARK
    assert answer["content"][0]["cache_control"] == MARK
    assert "cache_control" not in answer["content"][0]["content"][0]
    picture = {"type": "image_url", "image_url": {"url": "https://a/b.png"}, "cache_control": MARK}
    paper = {"type": "file", "file": {"file_data": "https://a/b.pdf"}, "cache_control": MARK}
    blank = {"type": "text", "text": " ", "cache_control": HOUR}
    blocks = inner_request(messages=[{"role": "user", "content": [picture, paper, blank]}])["messages"][0]["content"]
    assert [block["cache_control"] for block in blocks] == [MARK, HOUR]
    junk = {
        "role": "user",
        "content": [{"type": "text", "text": "x", "cache_control": "yes"}],
        "cache_control": {"type": "holo"},
    }
    assert "cache_control" not in inner_request(messages=[junk])["messages"][0]["content"][0]


def test_of_more_than_four_breakpoints_the_last_count() -> None:
    """The vendor takes four; the later ones cover the longer prefixes."""
    parts = [{"type": "text", "text": str(i), "cache_control": MARK} for i in range(5)]
    vendor_body = inner_request(tools=[{**TOOL, "cache_control": MARK}], messages=[{"role": "user", "content": parts}])
    assert "cache_control" not in vendor_body["tools"][0]
    assert ["cache_control" in block for block in vendor_body["messages"][0]["content"]] == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_the_automatic_breakpoint_lies_behind_the_last_block() -> None:
    """A top-level cache_control marks the last block that can be cached, and is no field of the request."""
    vendor_body = inner_request(
        cache_control=HOUR, messages=[HI, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    )
    assert vendor_body["messages"][-1]["content"][-1]["cache_control"] == HOUR
    assert "cache_control" not in vendor_body
    own = [{"type": "text", "text": "x", "cache_control": MARK}]
    assert (
        inner_request(cache_control=HOUR, messages=[{"role": "user", "content": own}])["messages"][0]["content"][0][
            "cache_control"
        ]
        == MARK
    )
