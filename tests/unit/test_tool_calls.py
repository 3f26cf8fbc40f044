"""Tool calls of OpenAI's format, as careless vendors send them: no call and no argument is lost or merged with another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import ProviderError
from providers.registry import dialect
from tests.support import dialectcases as cases
from tests.wire.bedrock import frames

Json = dict[str, Any]
OPENAI = dialect("openai")


def call(index: int | None = None, id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> Json:
    """A fragment with the fields that are given."""
    function = {field: value for field, value in (("name", name), ("arguments", arguments)) if value is not None}
    fragment = {field: value for field, value in (("index", index), ("id", id)) if value is not None}
    return {**fragment, **({"function": function} if function else {}), **more}


def written(deltas: list[Json], finish: str = "stop") -> list[bytes]:
    """A stream of these deltas."""
    chunks: list[Json] = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks] + [b"data: [DONE]\n\n"]


def streamed(*deltas: Json, finish: str = "stop") -> list[Json]:
    """The calls that a client makes of a stream. Only the first fragment of each has id, type and name; they count from 0."""
    events, error = cases.decode(OPENAI, written(list(deltas), finish))
    assert error is None
    calls: dict[int, Json] = {}
    for event in events:
        for choice in event.chunk["choices"]:
            assert "function_call" not in choice["delta"]
            for one in choice["delta"].get("tool_calls", ()):
                described = one["function"]
                if one["index"] not in calls:
                    assert one["type"] == "function"
                    assert described["name"]
                    calls[one["index"]] = {"id": one["id"], "name": described["name"], "arguments": ""}
                else:
                    assert "id" not in one
                    assert "name" not in described
                calls[one["index"]]["arguments"] += described["arguments"]
    assert list(calls) == list(range(len(calls)))
    assert [event.finish for event in events if event.finish] == ["tool_calls" if calls else finish]
    assert len({one["id"] for one in calls.values()}) == len(calls)
    return list(calls.values())


A, B = ("a", "see", '{"x":1}'), ("b", "go", '{"y":2}')
MADE = "made"
"""In place of an id that the vendor does not give."""

STREAMS: dict[str, tuple[list[list[Json]], list[tuple[str, str, str]]]] = {
    "as OpenAI sends them": (
        [
            [call(0, "a", "see", "", type="function")],
            [call(0, arguments='{"x"')],
            [call(0, arguments=":1}")],
            [call(1, "b", "go", "", type="function")],
            [call(1, arguments='{"y":2}')],
        ],
        [A, B],
    ),
    "index is always 0 (ollama 15457)": ([[call(0, "a", "see", '{"x":1}')], [call(0, "b", "go", '{"y":2}')]], [A, B]),
    "index is always 0, in pieces": (
        [
            [call(0, "a", "see", "")],
            [call(0, arguments='{"x":1}')],
            [call(0, "b", "go", "")],
            [call(0, arguments='{"y":2}')],
        ],
        [A, B],
    ),
    "index is always 0, all at once": ([[call(0, "a", "see", '{"x":1}'), call(0, "b", "go", '{"y":2}')]], [A, B]),
    "index is always 0, interleaved by id": (
        [
            [call(0, "a", "see", '{"x"')],
            [call(0, "b", "go", '{"y"')],
            [call(0, "a", arguments=":1}")],
            [call(0, "b", arguments=":2}")],
        ],
        [A, B],
    ),
    "no index, all at once": ([[call(None, "a", "see", '{"x":1}'), call(None, "b", "go", '{"y":2}')]], [A, B]),
    "no index, one after the other": (
        [
            [call(None, "a", "see", "")],
            [call(arguments='{"x":1}')],
            [call(None, "b", "go", "")],
            [call(arguments='{"y":2}')],
        ],
        [A, B],
    ),
    "no index, pieces side by side": (
        [
            [call(None, "a", "see", ""), call(None, "b", "go", "")],
            [call(arguments='{"x":1}'), call(arguments='{"y":2}')],
        ],
        [A, B],
    ),
    "null index": ([[{**call(None, "a", "see", '{"x":1}'), "index": None}]], [A]),
    "index begins at 1": ([[call(1, "a", "see", '{"x":1}')], [call(2, "b", "go", '{"y":2}')]], [A, B]),
    "a new id with every fragment (vLLM)": (
        [[call(0, "a", "see", "")], [call(0, "r1", arguments='{"x"')], [call(0, "r2", arguments=":1}")]],
        [A],
    ),
    "the id with every fragment": ([[call(0, "a", "see", '{"x"')], [call(0, "a", arguments=":1}")]], [A]),
    "id and name with every fragment": ([[call(0, "a", "see", '{"x"')], [call(0, "a", "see", ":1}")]], [A]),
    "the name with every fragment": ([[call(0, "a", "see", '{"x"')], [call(0, name="see", arguments=":1}")]], [A]),
    "the same name twice, no ids, no index": (
        [[call(None, None, "see", '{"x":1}')], [call(None, None, "see", '{"x":1}')]],
        [(MADE, "see", '{"x":1}'), (MADE, "see", '{"x":1}')],
    ),
    "no ids": (
        [[call(0, None, "see", '{"x":1}')], [call(1, None, "go", '{"y":2}')]],
        [(MADE, "see", '{"x":1}'), (MADE, "go", '{"y":2}')],
    ),
    "no ids, index always 0": (
        [[call(0, None, "see", '{"x":1}')], [call(0, None, "go", '{"y":2}')]],
        [(MADE, "see", '{"x":1}'), (MADE, "go", '{"y":2}')],
    ),
    "ids of nothing": (
        [[call(0, "", "see", '{"x":1}'), call(1, "null", "go", '{"y":2}')]],
        [(MADE, "see", '{"x":1}'), (MADE, "go", '{"y":2}')],
    ),
    "a number for an id": ([[call(0, 7, "see", '{"x":1}')]], [("7", "see", '{"x":1}')]),
    "one id for two calls": (
        [[call(0, "a", "see", '{"x":1}')], [call(1, "a", "go", '{"y"')], [call(1, "a", arguments=":2}")]],
        [A, (MADE, "go", '{"y":2}')],
    ),
    "the name comes late": ([[call(0, "a", arguments='{"x"')], [call(0, name="see", arguments=":1}")]], [A]),
    "the name comes last": ([[call(0, "a", arguments='{"x":1}')], [call(0, name="see")]], [A]),
    "first the id, then the name": ([[call(0, "a")], [call(0, name="see")], [call(0, arguments='{"x":1}')]], [A]),
    "first the name, then the id": ([[call(0, name="see")], [call(0, "a")], [call(0, arguments='{"x":1}')]], [A]),
    "a name in pieces": (
        [[call(0, "a", "se")], [call(0, name="e")], [call(0, arguments='{"x":1}')]],
        [A],
    ),
    "a name in pieces, with no arguments each": (
        [[call(0, "a", "se", "")], [call(0, name="e", arguments="")], [call(0, arguments='{"x":1}')]],
        [A],
    ),
    "two calls without arguments": (
        [[call(0, "a", "see", "")], [call(1, "b", "go")]],
        [("a", "see", "{}"), ("b", "go", "{}")],
    ),
    "blanks for arguments": ([[call(0, "a", "see", " ")]], [("a", "see", " {}")]),
    "null for arguments": ([[{"index": 0, "id": "a", "function": {"name": "see", "arguments": None}}]], [("a", "see", "{}")]),
    "an object for arguments": ([[call(0, "a", "see", {"x": 1})]], [A]),
    "type null, then nothing": ([[call(0, "a", "see", "", type=None)], [call(0, arguments='{"x":1}', type="")]], [A]),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_streamed_calls(name: str) -> None:
    """The calls are these, in order; an id that the vendor did not give is made up, the same each time."""
    deltas, expected = STREAMS[name]
    found = streamed(*({"tool_calls": one} for one in deltas))
    assert [(one["name"], one["arguments"]) for one in found] == [one[1:] for one in expected]
    for one, (id, *_) in zip(found, expected, strict=True):
        assert one["id"].startswith("call_") if id == MADE else one["id"] == id
    assert found == streamed(*({"tool_calls": one} for one in STREAMS_AGAIN[name]))


STREAMS_AGAIN = json.loads(json.dumps({name: deltas for name, (deltas, _) in STREAMS.items()}))


@pytest.mark.parametrize(("finish", "told"), [("stop", "tool_calls"), ("eos", "tool_calls"), ("length", "length"),
                                              ("content_filter", "content_filter"), ("function_call", "tool_calls")])  # fmt: skip
def test_calls_decide_the_finish_reason(finish: str, told: str) -> None:
    """Calls make ``stop`` to ``tool_calls``, streamed and whole; an answer that was cut stays cut. The vendor's word is kept."""
    delta = {"tool_calls": [call(0, "a", "see", '{"x":1}')]}
    events, _ = cases.decode(OPENAI, written([delta], finish))
    last = events[-1].chunk["choices"][0]
    assert (events[-1].finish, last["finish_reason"], last["native_finish_reason"]) == (told, told, finish)
    body = {"choices": [{"message": {"content": None, **delta}, "finish_reason": finish}]}
    (choice,) = OPENAI.completion(json.dumps(body).encode()).body["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (told, finish)


def test_a_call_begins_when_its_name_is_complete() -> None:
    """Nothing is told before the first argument or the end, so that no surface begins a call under half its name."""
    decoder = OPENAI.decoder()
    pieces = written([{"tool_calls": [call(0, "a", "se")]}, {"tool_calls": [call(0, name="e")]},
                      {"tool_calls": [call(0, arguments="{")]}])  # fmt: skip
    told = [decoder.feed(piece)[0] for piece in pieces[:3]]
    assert [event.content for event in told] == [False, False, True]
    assert ["tool_calls" in event.chunk["choices"][0]["delta"] for event in told] == [False, False, True]


def test_the_function_call_of_2023() -> None:
    """Streamed and whole it is a tool call; beside ``tool_calls`` it only repeats them."""
    legacy = [{"function_call": {"name": "see", "arguments": ""}}, {"function_call": {"arguments": '{"x":1}'}}]
    (one,) = streamed(*legacy, finish="function_call")
    assert (one["name"], one["arguments"]) == ("see", '{"x":1}')
    (both,) = streamed({"tool_calls": [call(0, "a", "see", '{"x":1}')], "function_call": {"name": "see"}})
    assert both["id"] == "a"
    body = {"choices": [{"message": {"function_call": {"name": "see"}}, "finish_reason": "function_call"}]}
    (choice,) = OPENAI.completion(json.dumps(body).encode()).body["choices"]
    (whole,) = choice["message"]["tool_calls"]
    assert (whole["function"], choice["finish_reason"]) == ({"name": "see", "arguments": "{}"}, "tool_calls")
    assert "function_call" not in choice["message"]


def test_whole_calls() -> None:
    """JSON: missing and repeated ids are made up, arguments are JSON text, other fields stay, custom tools keep their input."""
    given = [
        call(None, "a", "see", ""),
        call(None, "a", "see", {"x": 1}, extra_content={"google": {}}),
        call(None, None, "go"),
        {"id": "c", "type": "custom", "custom": {"name": "free", "input": ""}},
    ]
    body = {"choices": [{"message": {"tool_calls": given}, "finish_reason": "stop"}]}
    first, again, third, custom = OPENAI.completion(json.dumps(body).encode()).body["choices"][0]["message"][
        "tool_calls"
    ]
    assert first == {"id": "a", "type": "function", "function": {"name": "see", "arguments": "{}"}}
    assert again["function"]["arguments"] == '{"x":1}'
    assert again["extra_content"] == {"google": {}}
    assert len({"a", again["id"], third["id"], "c"}) == 4
    assert custom == given[3]


def test_streamed_custom_tools() -> None:
    """Their input is free text: it comes in pieces, and none is made up."""
    begun = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "free", "input": ""}}
    deltas = [{"tool_calls": [one]} for one in (begun, {"index": 0, "custom": {"input": "a b"}}, {"index": 0, "custom": {"input": "c"}},
                                                {"index": 1, "id": "d", "type": "custom", "custom": {"name": "free"}})]  # fmt: skip
    events, error = cases.decode(OPENAI, written(deltas))
    assert error is None
    told = [one for event in events for one in event.chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [(one.get("id"), one["index"], one["custom"]["input"]) for one in told] == [
        ("c", 0, "a b"),
        (None, 0, "c"),
        ("d", 1, ""),
    ]


@pytest.mark.parametrize("described", [{"arguments": '{"x":1}'}, {}, {"name": "", "arguments": "{}"}, {"name": 7}])
def test_a_call_without_a_name_is_a_failure(described: Json) -> None:
    """Nobody could run it, so it is not passed on in silence."""
    calls = {"tool_calls": [{"index": 0, "id": "a", "function": described}]}
    _, error = cases.decode(OPENAI, written([calls]))
    assert error is not None
    assert error.failure.kind == "malformed"
    with pytest.raises(ProviderError, match="name"):
        OPENAI.completion(json.dumps({"choices": [{"message": calls}]}).encode())


def choice(**fields: Any) -> Json:
    return {"choices": [fields]}


FINISH = choice(index=0, delta={}, finish_reason="stop")
TEXTS: dict[str, list[Json]] = {
    "one choice, with another index": [choice(index=1, delta={"content": "ab"}), choice(index=1, delta={"content": "c"}, finish_reason="stop")],
    "message instead of delta, whole": [choice(index=0, message={"role": "assistant", "content": "abc"}, finish_reason="stop")],
    "message instead of delta, in pieces": [choice(message={"content": piece}) for piece in "abc"] + [FINISH],
    "message instead of delta, growing": [choice(message={"content": "abc"[:end]}) for end in (1, 2, 3)]
    + [choice(message={"content": "abc"}, finish_reason="stop")],
    "delta null": [choice(index=0, delta=None, message={"content": "abc"}), FINISH],
    "message beside delta (Perplexity)": [choice(delta={"content": piece}, message={"content": "abc"[: end + 1]}) for end, piece in enumerate("abc")]
    + [choice(delta={}, message={"content": "abc"}, finish_reason="stop")],
    "message behind the deltas": [choice(delta={"content": "abc"}), choice(message={"content": "abc"}, finish_reason="stop")],
    "message behind deltas, and an empty chunk first": [choice(index=0), choice(delta={"content": "abc"}), choice(message={"content": "abc"}, finish_reason="stop")],
    "message behind a role": [choice(delta={"role": "assistant"}), choice(message={"content": "abc"}, finish_reason="stop")],
    "text, as completions have it": [choice(text="ab"), choice(text="c", finish_reason="stop")],
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_no_content_is_lost(name: str) -> None:
    """Wherever a vendor puts the text of a stream, the caller gets it once, in choice 0."""
    events, error = cases.decode(OPENAI, [b"data: " + json.dumps(one).encode() + b"\n\n" for one in TEXTS[name]])
    assert error is None
    choices = [one for event in events for one in event.chunk["choices"]]
    assert {one["index"] for one in choices} == {0}
    assert "".join(one["delta"].get("content") or "" for one in choices) == "abc"
    assert [event.finish for event in events if event.finish] == ["stop"]


@pytest.mark.parametrize("field", ["message", "delta", "text"])
def test_no_content_of_a_whole_answer_is_lost(field: str) -> None:
    """JSON with the fields of a stream or of completions, and another index."""
    body = {"choices": [{"index": 3, field: "abc" if field == "text" else {"content": "abc"}, "finish_reason": "stop"}]}
    (one,) = OPENAI.completion(json.dumps(body).encode()).body["choices"]
    assert (one["index"], one["message"]["content"], field in one) == (0, "abc", field == "message")


FUNCTION = {"name": "see", "arguments": ""}
RESPONSES_CALL = {"type": "function_call", "id": "fc", "call_id": "a", **FUNCTION}
TOOL_USE = {"type": "tool_use", "id": "a", "name": "see", "input": {}}
BEDROCK_USE = {"toolUseId": "a", "name": "see"}
WHOLE: dict[str, Json] = {
    "openai": {"choices": [{"message": {"tool_calls": [{"id": "a", "function": FUNCTION}]}, "finish_reason": "stop"}]},
    "mistral": {"choices": [{"message": {"tool_calls": [{"id": "a", "function": FUNCTION}]}, "finish_reason": "stop"}]},
    "anthropic": {"type": "message", "content": [TOOL_USE], "stop_reason": "end_turn"},
    "gemini": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "see"}}]}, "finishReason": "STOP"}]},
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"toolUse": {**BEDROCK_USE, "input": {}}}]}},
        "stopReason": "end_turn",
    },
    "cohere": {
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": FUNCTION}]},
    },
    "ollama": {"message": {"tool_calls": [{"function": FUNCTION}]}, "done": True, "done_reason": "stop"},
    "responses": {"status": "completed", "output": [RESPONSES_CALL]},
    "responses, no ids": {"status": "completed", "output": [{"type": "function_call", **FUNCTION}]},
}
BEGIN: list[Json] = [
    {"type": "message_start", "message": {"id": "m"}},
    {"type": "content_block_start", "index": 0, "content_block": TOOL_USE},
    {"type": "content_block_stop", "index": 0},
]
STREAMED: dict[str, list[Json]] = {
    "anthropic": [
        *BEGIN,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    ],
    "gemini": [WHOLE["gemini"]],
    "bedrock": [
        {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": BEDROCK_USE}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 1}}},
    ],
    "cohere": [
        {
            "type": "tool-call-start",
            "index": 0,
            "delta": {"message": {"tool_calls": {"id": "a", "function": FUNCTION}}},
        },
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ],
    "ollama": [WHOLE["ollama"]],
    "responses": [
        {"type": "response.output_item.added", "output_index": 0, "item": RESPONSES_CALL},
        {"type": "response.output_item.done", "output_index": 0, "item": RESPONSES_CALL},
        {"type": "response.completed", "response": {**WHOLE["responses"], "id": "r"}},
    ],
    "responses, all at the end": [{"type": "response.completed", "response": {**WHOLE["responses"], "id": "r"}}],
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_calls_of_every_dialect(name: str) -> None:
    """No arguments are ``{}``, there is an id, and the answer ends with ``tool_calls`` although the vendor calls it a stop."""
    (one,) = dialect(name.partition(",")[0]).completion(json.dumps(WHOLE[name]).encode()).body["choices"]
    (found,) = one["message"]["tool_calls"]
    assert (found["function"]["name"], found["function"]["arguments"]) == ("see", "{}")
    assert found["id"]
    assert one["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("name", STREAMED)
def test_streamed_calls_of_every_dialect(name: str) -> None:
    """The same in streams."""
    kind = name.partition(",")[0]
    pieces = [json.dumps(one) for one in STREAMED[name]]
    if kind == "bedrock":
        stream = [frames.line(piece) for piece in pieces]
    else:
        stream = [f"{piece}\n".encode() if kind == "ollama" else f"data: {piece}\n\n".encode() for piece in pieces]
    events, error = cases.decode(dialect(kind), stream)
    assert error is None
    (found,) = cases.summary(events)["tools"]
    assert (bool(found[0]), *found[1:]) == (True, "see", "{}")
    assert [event.finish for event in events if event.finish] == ["tool_calls"]
