"""What is the OpenAI dialect's own: differences between "compatible" vendors on the way back, and requests as vendors read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers.errors import ProviderError
from providers.registry import dialect, names
from providers.types import Target
from tests.support import dialectcases as cases

TEXT = cases.streams("openai")["openai-text"].raw
OPENAI = dialect("openai")


MUTATIONS: dict[str, bytes] = {
    "not JSON": b'data: {"choices": [}\n\n',
    "half JSON": b'data: {"choices":[{"index":0,"delta":{"content":"a\n\n',
    "plain text": b"data: hello\n\n",
    "a list": b"data: []\n\n",
    "a number": b"data: 1\n\n",
    "null": b"data: null\n\n",
    "NaN": b'data: {"choices":[],"usage":{"prompt_tokens":NaN}}\n\n',
    "control character": b'data: {"choices":[{"delta":{"content":"\x01"}}]}\n\n',
    "2,000 deep": b"data: " + b"[" * 2000 + b"]" * 2000 + b"\n\n",
    "20,000 deep": b'data: {"a":' + b"[" * 20000 + b"]" * 20000 + b"}\n\n",
    "choices is an object": b'data: {"choices":{}}\n\n',
    "choices is text": b'data: {"choices":"x"}\n\n',
    "a choice is a list": b'data: {"choices":[[]]}\n\n',
    "a choice is null": b'data: {"choices":[null]}\n\n',
    "delta is text": b'data: {"choices":[{"delta":"x"}]}\n\n',
    "delta is a list": b'data: {"choices":[{"delta":[1]}]}\n\n',
    "index is text": b'data: {"choices":[{"index":"0","delta":{}}]}\n\n',
    "finish is a number": b'data: {"choices":[{"delta":{},"finish_reason":7}]}\n\n',
    "finish is an object": b'data: {"choices":[{"delta":{},"finish_reason":{"a":1}}]}\n\n',
    "tool_calls is text": b'data: {"choices":[{"delta":{"tool_calls":"x"}}]}\n\n',
    "a tool call is a number": b'data: {"choices":[{"delta":{"tool_calls":[1]}}]}\n\n',
    "function is text": b'data: {"choices":[{"delta":{"tool_calls":[{"function":"f"}]}}]}\n\n',
    "two objects": b'data: {"choices":[]}{"choices":[]}\n\n',
}


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_damaged_events_are_malformed(name: str) -> None:
    """Whatever is wrong with an event, it is the failure ``malformed``, and the events before it are kept."""
    first, rest = TEXT.split(b"\n\n", 2)[:2], TEXT.split(b"\n\n", 2)[2]
    head = b"\n\n".join(first) + b"\n\n"
    events, error = cases.decode(OPENAI, [head, MUTATIONS[name], rest])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


def test_content_is_what_a_caller_could_show() -> None:
    """Only text, reasoning, refusal, tool calls, images and audio count as content; roles and empty strings do not."""
    for delta, content in (
        ({"role": "assistant"}, False),
        ({"content": ""}, False),
        ({"content": None}, False),
        ({"reasoning_content": ""}, False),
        ({"tool_calls": []}, False),
        ({"tool_calls": None}, False),
        ({}, False),
        ({"annotations": []}, False),
        ({"content": " "}, True),
        ({"reasoning_content": "x"}, True),
        ({"reasoning": "x"}, True),
        ({"refusal": "no"}, True),
        ({"tool_calls": [{"index": 0}]}, False),
        ({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}, False),
        ({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}, True),
        ({"images": [{}]}, True),
        ({"audio": {"id": "a"}}, True),
        ({"function_call": {"name": "f", "arguments": "{}"}}, True),
        ({"reasoning_details": [{"type": "reasoning.encrypted"}]}, True),
    ):
        data = b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
        assert OPENAI.decoder().feed(data)[0].content is content, delta


def test_usage_is_the_best_report_so_far() -> None:
    """Usage with or without choices, twice, with zeros at the end: each event carries the count that holds from then on."""
    reports = [
        {"prompt_tokens": 5, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 3},
        {"prompt_tokens": 0, "completion_tokens": 0},
    ]
    decoder = OPENAI.decoder()
    counts = []
    for report in reports:
        event = decoder.feed(b"data: " + json.dumps({"choices": [], "usage": report}).encode() + b"\n\n")[0]
        assert event.usage is not None
        counts.append((event.usage.prompt, event.usage.completion))
    assert counts == [(5, 1), (5, 3), (5, 3)]


def test_nothing_after_done_counts() -> None:
    """After [DONE] the stream is over, in the same piece or a later one."""
    more = b'data: {"choices":[{"index":0,"delta":{"content":"more"}}]}\n\n'
    events, error = cases.decode(OPENAI, [TEXT + more, b"data: junk\n\n"])
    assert error is None
    assert "more" not in cases.summary(events)["text"]


def whole(**more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def test_a_whole_answer_keeps_what_it_does_not_know() -> None:
    """Unknown fields pass, nulls of ``error`` go, reasoning is mirrored, the native finish reason is kept, usage is split."""
    body = whole(citations=["u"], error=None, big=10**30, usage={"prompt_tokens": 5, "completion_tokens": 2})
    body["choices"][0]["message"]["reasoning_content"] = "hm"
    body["choices"][0]["finish_reason"] = "max_tokens"
    body["choices"].append(
        {"message": {"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": None}}]}}
    )
    answer = OPENAI.completion(json.dumps(body).encode())
    first, second = answer.body["choices"]
    assert (answer.body["citations"], answer.body["big"], "error" in answer.body) == (["u"], 10**30, False)
    assert (first["finish_reason"], first["native_finish_reason"], first["message"]["reasoning"]) == (
        "length",
        "max_tokens",
        "hm",
    )
    assert second["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert (second["index"], second["finish_reason"], second["message"]["role"]) == (1, None, "assistant")
    assert answer.usage is not None
    assert (answer.usage.prompt, answer.usage.completion) == (5, 2)
    assert OPENAI.completion(json.dumps(whole()).encode()).usage is None


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"choices":[]}', "empty"),
        (b"{}", "malformed"),
        (b"[]", "malformed"),
        (b"<html>", "malformed"),
        (b'{"choices":', "malformed"),
        (b'{"choices":null}', "malformed"),
        (b'{"choices":[{}]}', "malformed"),
        (b'{"choices":[1]}', "malformed"),
        (b'{"choices":[{"message":"x"}]}', "malformed"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "malformed"),
        (b'{"choices":[{"message":{"tool_calls":[{"id":"a"}]}}]}', "malformed"),
        (b'{"error":{"code":429,"message":"slow"}}', "rate_limited"),
        (b'{"error":"boom"}', "server_error"),
        (b'{"object":"error","message":"x","type":"BadRequestError","code":400}', "bad_request"),
    ],
)
def test_a_whole_answer_that_is_a_failure(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, or an error inside is that failure."""
    with pytest.raises(ProviderError) as caught:
        OPENAI.completion(raw)
    assert caught.value.failure.kind == kind


TARGET = Target("acme", "http://vendor/v1", "acme-small", api_key="k-1", headers=(("x-team", "t"),))
ASKED = {
    "model": "acme/small",
    "messages": [{"role": "user", "content": "hi", "reasoning_details": []}],
    "temperature": 0.5,
    "unknown": {"a": 1},
    "seed": 10**30,
    "provider": {"order": ["acme"]},
    "models": ["a"],
    "route": "fallback",
    "transforms": [],
    "plugins": [],
    "usage": {"include": True},
    "session_id": "s",
    "trace": {},
    "debug": {},
    "preset": "p",
    "max_tokens": 7,
    "stream": True,
    "stream_options": {"x": 1},
}


def sent(target: Target = TARGET, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(OPENAI.request(target, {**ASKED, **more}, stream=stream).content)
    return body


def test_the_request_a_vendor_gets() -> None:
    """URL, headers and body: the vendor's model name, unknown fields kept, the gateway's own fields gone, the key as bearer."""
    before = json.dumps(ASKED)
    request = OPENAI.request(TARGET, ASKED, stream=False)
    assert (request.method, request.url) == ("POST", "http://vendor/v1/chat/completions")
    assert {("authorization", "Bearer k-1"), ("x-team", "t"), ("content-type", "application/json")} <= set(
        request.headers
    )
    assert json.loads(request.content) == {
        "model": "acme-small",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "unknown": {"a": 1},
        "seed": 10**30,
        "max_tokens": 7,
    }
    assert json.dumps(ASKED) == before


def test_a_streamed_request_asks_for_usage() -> None:
    """``stream`` is set and usage is requested, whatever the caller's own options were."""
    assert sent(stream=True)["stream"] is True
    assert sent(stream=True)["stream_options"] == {"x": 1, "include_usage": True}
    assert sent(stream=True, stream_options=None)["stream_options"] == {"include_usage": True}
    assert sent(stream=True, stream_options="junk")["stream_options"] == {"include_usage": True}


def test_no_key_no_authorization() -> None:
    """A vendor without a key gets no authorization header; the key is never part of a target's text."""
    request = OPENAI.request(Target("acme", "http://v", "m"), ASKED, stream=False)
    assert not [name for name, _ in request.headers if name == "authorization"]
    assert "k-1" not in repr(TARGET)


def with_options(**options: Any) -> Target:
    return Target("acme", "http://vendor/v1", "acme-small", api_key="k-1", options=options)


def test_quirks_are_data() -> None:
    """Each documented option does what it says."""
    assert sent(with_options(max_tokens_field="max_completion_tokens"))["max_completion_tokens"] == 7
    assert "max_tokens" not in sent(with_options(max_tokens_field="max_completion_tokens"))
    assert (
        sent(with_options(max_tokens_field="max_tokens"), max_tokens=None, max_completion_tokens=9)["max_tokens"] == 9
    )
    assert "max_completion_tokens" not in sent(with_options(max_tokens_field="max_tokens"), max_completion_tokens=9)
    assert "temperature" not in sent(with_options(drop_parameters=["temperature", "absent"]))
    assert sent(with_options(rename_parameters={"seed": "random_seed"}))["random_seed"] == 10**30
    assert sent(with_options(extra_body={"safe": True, "temperature": None})).keys() & {"safe", "temperature"} == {
        "safe"
    }
    assert sent(with_options(drop_message_fields=["reasoning_details"]))["messages"] == [
        {"role": "user", "content": "hi"}
    ]
    assert "stream_options" not in sent(
        with_options(stream_usage=False, drop_parameters=["stream_options"]), stream=True
    )
    assert OPENAI.request(with_options(path="/other"), ASKED, stream=False).url == "http://vendor/v1/other"
    assert ("api-key", "k-1") in OPENAI.request(with_options(api_key_header="api-key"), ASKED, stream=False).headers


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        ({"effort": "high"}, "high"),
        ({"enabled": True}, "medium"),
        ({"enabled": False}, "none"),
        ({"max_tokens": 5}, "high"),
        ({"max_tokens": 1}, "low"),
        ({"max_tokens": 0}, "none"),
        ({}, None),
        (None, None),
        ({"enabled": [1]}, None),
    ],
)
def test_reasoning_is_spelled_as_the_vendor_does(reasoning: Any, effort: str | None) -> None:
    """By default ``reasoning`` goes out as ``reasoning_effort``; an own ``reasoning_effort`` wins; an option keeps or drops it."""
    assert sent(reasoning=reasoning).get("reasoning_effort") == effort
    assert "reasoning" not in sent(reasoning=reasoning)
    assert sent(reasoning=reasoning, reasoning_effort="low")["reasoning_effort"] == "low"
    assert sent(with_options(reasoning="object"), reasoning=reasoning)["reasoning"] == reasoning
    assert not {"reasoning", "reasoning_effort"} & sent(with_options(reasoning="drop"), reasoning=reasoning).keys()


def test_an_unknown_effort_becomes_the_nearest() -> None:
    """``efforts`` are the words that a vendor knows; not to think stays not to think."""
    known = with_options(efforts=["low", "high"])
    for requested, expected in (
        ("minimal", "low"),
        ("medium", "low"),
        ("xhigh", "high"),
        ("max", "high"),
        ("none", "none"),
    ):
        assert sent(known, reasoning={"effort": requested})["reasoning_effort"] == expected


TALK: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "assistant",
        "content": None,
        "reasoning": "Hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "see", "arguments": "{}"}}],
    },
    {
        "role": "tool",
        "tool_call_id": "c1",
        "is_error": False,
        "content": [
            {"type": "text", "text": "seen"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        ],
    },
]


def test_a_plain_vendor_gets_a_plain_conversation() -> None:
    """Fields that only the gateway's contract has are removed; a tool's pictures follow in a user message; nothing is changed in place."""
    before = json.dumps(TALK)
    user, assistant, tool, pictures = sent(messages=TALK, cache_control={"type": "ephemeral"})["messages"]
    assert user == {"role": "user", "content": [{"type": "text", "text": "Look"}]}
    assert assistant.keys() == {"role", "content", "tool_calls"}
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "seen"}]}
    assert pictures == {"role": "user", "content": [TALK[2]["content"][1]]}
    assert "cache_control" not in sent(cache_control={"type": "ephemeral"})
    assert json.dumps(TALK) == before
    assert sent(with_options(extended=True), messages=TALK)["messages"] == TALK
    replayed = sent(with_options(reasoning_replay="reasoning_content"), messages=TALK)["messages"][1]
    assert replayed["reasoning_content"] == "Hm"


def test_a_turn_without_reasoning_where_some_is_demanded() -> None:
    """From the first call on each turn has some, also those of other vendors' models; before it, and elsewhere, nothing changes."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        {"role": "assistant", "content": "Done.", "reasoning": "Hm"},
        {"role": "assistant", "content": "More."},
    ]
    replaying = with_options(reasoning_replay="reasoning_content")
    got = [turn.get("reasoning_content") for turn in sent(replaying, messages=turns)["messages"]]
    assert got == [None, None, " ", None, "Hm", " "]
    assert sent(replaying, messages=turns[:2])["messages"] == turns[:2]
    assert not any("reasoning_content" in turn for turn in sent(messages=turns)["messages"])


def test_tools_of_a_plain_vendor() -> None:
    """Fields of other vendors are removed from tools; a tool that OpenAI does not have is left to another endpoint."""
    function = {"type": "function", "function": {"name": "f"}}
    assert sent(tools=[{**function, "cache_control": {"type": "ephemeral"}}])["tools"] == [function]
    extended = {"type": "function", "function": {"name": "f", "defer_loading": True, "eager_input_streaming": True}}
    assert sent(tools=[extended])["tools"] == [function]
    assert sent(with_options(extended=True), tools=[extended])["tools"] == [extended]
    assert sent(verbosity="max")["verbosity"] == "high"
    with pytest.raises(ProviderError, match=r"tools\[1\]") as refused:
        sent(tools=[function, {"type": "web_search_20250305"}])
    assert refused.value.failure.kind == "unsupported"


def test_the_registry_names_what_it_knows() -> None:
    """An unknown dialect is an error that lists the known ones."""
    assert "openai" in names()
    with pytest.raises(KeyError, match="openai"):
        dialect("nonsense")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"reasoning_effort": "none"}),
        ({"thinking_switch": "type"}, {"thinking": {"type": "disabled"}}),
        ({"thinking_switch": "enable_thinking"}, {"enable_thinking": False}),
        ({"thinking_switch": "template"}, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        ({"thinking_switch": "type", "reasoning": "drop"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": "drop"}, {}),
    ],
)
@pytest.mark.parametrize(
    "off", [{"reasoning": {"enabled": False}}, {"reasoning": {"effort": "none"}}, {"reasoning_effort": "none"}]
)
def test_thinking_is_switched_off_in_the_vendors_own_way(
    options: dict[str, Any], expected: dict[str, Any], off: dict[str, Any]
) -> None:
    """However the caller says it; what asks for thinking stays an effort."""
    plain = sent(with_options(**options)).keys()
    body = sent(with_options(**options), **off)
    assert {name: value for name, value in body.items() if name not in plain} == expected
    asked = sent(with_options(**options), reasoning={"effort": "high"})
    wanted = {} if options.get("reasoning") == "drop" else {"reasoning_effort": "high"}
    assert {name: value for name, value in asked.items() if name not in plain} == wanted


def test_shipped_vendors_have_their_switch() -> None:
    """DeepSeek, Kimi, GLM and Qwen at their makers."""
    folder = Path(__file__).parents[2] / "config/providers"
    switches = {"deepseek": "type", "moonshotai": "type", "z-ai": "type", "alibaba": "enable_thinking"}
    for slug, switch in switches.items():
        assert yaml.safe_load((folder / f"{slug}.yaml").read_text())["options"]["thinking_switch"] == switch
