"""Deltas of the inner language become output items and events; however they are cut, the items are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import prompt_size
from gateway.accounts import KeyPolicy
from gateway.api.inference.responses import envelope
from gateway.api.inference.responses.request import inner
from gateway.api.inference.responses.response import Output
from gateway.api.inference.responses.stream import EventWriter
from gateway.pipeline.request import InferenceRequest, NativeRequest
from tests.support import responseshape

Json = dict[str, Any]
ID = "gen-1700000000-0123456789abcdef0123"


def ask(**sent: Any) -> InferenceRequest:
    body = {"model": "t/a", "input": "hello", **sent}
    request = inner(body)
    policy = KeyPolicy("h", "o", 1, disabled=False, limit_nano=None, reset="none", expires_at=None, name="", label="")
    return InferenceRequest(
        id=ID,
        created_at=1_700_000_000.5,
        started=0.0,
        caller=policy,
        body=request,
        prompt=prompt_size.measure(request),
        max_tokens=None,
        stream=True,
        surface="responses",
        native=NativeRequest("responses", body),
    )


def encoded(deltas: list[Json], finish: str | None = "stop", **sent: Any) -> tuple[list[Json], list[Json]]:
    """The items of an answer and its events, which are checked as a client would."""
    request = ask(**sent)
    output = Output(request)
    view = envelope.envelope(request, model="t/a")
    found = [{"type": f"response.{phase}", "response": view} for phase in ("created", "in_progress")]
    writer = EventWriter()
    data = writer.write(found)
    for delta in deltas:
        data += writer.write(output.delta(json.loads(json.dumps(delta)), delta.get("_logprobs")))
    data += writer.write(output.close(finish))
    last = envelope.concluded(view, output.view, finish)
    last["usage"] = USAGE
    data += writer.write([{"type": f"response.{last['status']}", "response": last}])
    events = responseshape.events(data.decode() + "data: [DONE]\n\n")
    responseshape.check_sequence(events)
    assert output.view == last["output"]
    return json.loads(json.dumps(output.view)), events


USAGE = {
    **{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "cost": 0},
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
    "cost_details": dict.fromkeys(responseshape.COSTS, 0),
}


def call(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> Json:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    one: Json = {"index": index, "function": function} | ({"id": id, "type": "function"} if id else {})
    return {"tool_calls": [one]}


def test_reasoning_text_and_parallel_calls_in_order() -> None:
    """Reasoning, message, calls: each item is complete before the next begins; pieces of parallel calls may be mixed."""
    items, events = encoded(
        [
            {"role": "assistant", "content": ""},
            {"reasoning": "hm"},
            {"content": "Wa"},
            {"content": "it."},
            call(0, "c1", "f", '{"a'),
            call(1, "c2", "g"),
            call(0, arguments='":1}'),
            call(1, arguments="{}"),
        ]
    )
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call", "function_call"]
    assert [item["id"] for item in items] == [
        f"{prefix}_0123456789abcdef0123_{index}" for index, prefix in enumerate(("rs", "msg", "fc", "fc"))
    ]
    assert items[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert items[1]["content"][0]["text"] == "Wait."
    assert [(item["call_id"], item["name"], item["arguments"]) for item in items[2:]] == [
        ("c1", "f", '{"a":1}'),
        ("c2", "g", "{}"),
    ]
    types = [event["type"] for event in events]
    parts = [(event["type"], event["item_id"][:3]) for event in events if ".content_part." in event["type"]]
    phases = ("response.content_part.added", "response.content_part.done")
    assert parts == [(phase, item) for item in ("rs_", "msg") for phase in phases]
    assert types.index("response.reasoning_text.delta") > types.index("response.content_part.added")
    ended = max(at for at, type_ in enumerate(types) if type_ == "response.content_part.done")
    assert ended < types.index("response.function_call_arguments.delta")


def test_what_was_cut_is_incomplete() -> None:
    """At the token limit and at a filter the open items and the response are incomplete; ended items stay completed."""
    for finish, reason in (("length", "max_output_tokens"), ("content_filter", "content_filter")):
        items, events = encoded([{"reasoning": "hm"}, {"content": "Wa"}], finish)
        assert [item["status"] for item in items] == ["completed", "incomplete"]
        assert events[-1]["type"] == "response.incomplete"
        assert events[-1]["response"]["incomplete_details"] == {"reason": reason}


def test_refusals_annotations_and_logprobs() -> None:
    """A refusal is a part of its own; citations are flat; probabilities come with the text and again at its end."""
    citation = {"url": "https://x.test", "title": "X", "start_index": 0, "end_index": 2, "content": "c"}
    token = {
        "token": "Hi",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "Ho", "logprob": -1, "bytes": [72]}],
    }
    (item,), events = encoded(
        [
            {"content": "Hi", "_logprobs": {"content": [token]}},
            {"annotations": [{"type": "url_citation", "url_citation": citation}, {"type": "file", "file": {}}]},
            {"refusal": "But"},
            {"refusal": " no."},
        ]
    )
    probability = {
        **{"token": "Hi", "logprob": -0.5, "bytes": []},
        "top_logprobs": [{"token": "Ho", "logprob": -1, "bytes": [72]}],
    }
    assert item["content"] == [
        {
            "type": "output_text",
            "text": "Hi",
            "annotations": [{"type": "url_citation", **citation}],
            "logprobs": [probability],
        },
        {"type": "refusal", "refusal": "But no."},
    ]
    assert next(e for e in events if e["type"] == "response.output_text.delta")["logprobs"] == [probability]
    added = next(e for e in events if e["type"] == "response.output_text.annotation.added")
    assert (added["annotation_index"], added["annotation"]["url"]) == (0, "https://x.test")


def test_pictures() -> None:
    """A picture is an ``image_generation_call``, with the vendor's id where it gave one."""
    items, _ = encoded(
        [
            {"content": "Here:"},
            {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
            {"images": [{"type": "image_url", "id": "ig_9", "image_url": {"url": "data:image/png;base64,BB=="}}]},
        ]
    )
    assert [item.get("result") for item in items] == [None, "AA==", "BB=="]
    assert items[2]["id"] == "ig_9"


def test_commentary_and_answer_are_two_messages() -> None:
    """A vendor that marks phases gets them back: each phase is a message of its own."""
    items, _ = encoded(
        [{"phase": "commentary", "content": "Looking."}, {"phase": "final_answer"}, {"content": "Found."}]
    )
    assert [(item["phase"], item["content"][0]["text"]) for item in items] == [
        ("commentary", "Looking."),
        ("final_answer", "Found."),
    ]


def test_calls_of_the_callers_tools() -> None:
    """A function that stands for a custom tool or the shell comes back as the item that the caller knows."""
    tools = [{"type": "custom", "name": "apply_patch"}, {"type": "local_shell"}]
    items, events = encoded(
        [
            call(0, "c1", "apply_patch", '{"input":"*** Beg'),
            call(0, arguments='in"}'),
            call(1, "c2", "local_shell", '{"command":["ls"],"timeout_ms":5,"env":{"A":"b"}}'),
            call(2, "c3", "local_shell", '{"command":"ls | wc"}'),
            call(3, "c4", "local_shell", "nonsense"),
            {
                "tool_calls": [
                    {"index": 4, "id": "c5", "type": "custom", "custom": {"name": "raw", "input": '{"input":1}'}}
                ]
            },
        ],
        tools=tools,
    )
    assert (items[0]["type"], items[0]["input"]) == ("custom_tool_call", "*** Begin")
    assert [item["action"]["command"] for item in items[1:4]] == [["ls"], ["bash", "-lc", "ls | wc"], []]
    assert items[1]["action"] == {"type": "exec", "command": ["ls"], "env": {"A": "b"}, "timeout_ms": 5}
    assert (items[4]["type"], items[4]["input"]) == ("custom_tool_call", '{"input":1}')
    done = next(event for event in events if event["type"] == "response.custom_tool_call_input.done")
    assert done["input"] == "*** Begin"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"a"}', "a"),
        ('{"patch":"a"}', "a"),
        ('"a"', "a"),
        ("a", "a"),
        ('{"a":1,"b":2}', '{"a":1,"b":2}'),
        ("", ""),
    ],
)
def test_a_model_that_ignores_the_schema_loses_no_text(arguments: str, text: str) -> None:
    """Whatever stands in the arguments is the custom tool's input."""
    (item,), _ = encoded([call(0, "c1", "t", arguments)], tools=[{"type": "custom", "name": "t"}])
    assert item["input"] == text


def test_every_call_numbered_zero() -> None:
    """Vendors that give all calls one index are distinguished by their ids."""
    items, _ = encoded([call(0, "c1", "f", "{}"), call(0, "c2", "g", "[]")])
    assert [(item["call_id"], item["arguments"]) for item in items] == [("c1", "{}"), ("c2", "[]")]


def test_hidden_reasoning() -> None:
    """``reasoning.exclude`` leaves nothing of it."""
    items, _ = encoded(
        [{"reasoning": "hm", "reasoning_details": [DETAILS[0]]}, {"content": "x"}], reasoning={"exclude": True}
    )
    assert [item["type"] for item in items] == ["message"]


CLAUDE = {"format": "anthropic-claude-v1"}
OPENAI = {"format": "openai-responses-v1", "id": "rs_1"}
DETAILS: list[Json] = [
    {"type": "reasoning.text", "text": "first", "signature": "S1", **CLAUDE, "index": 0},
    {"type": "reasoning.encrypted", "data": "R", **CLAUDE, "index": 1},
    {"type": "reasoning.text", "text": "second", "signature": "S2", **CLAUDE, "index": 2},
]
PLAIN_OPENAI: list[Json] = [
    {"type": "reasoning.summary", "summary": "one", **OPENAI, "index": 0},
    {"type": "reasoning.summary", "summary": "two", **OPENAI, "index": 1},
    {"type": "reasoning.encrypted", "data": "E", **OPENAI, "index": 2},
]
GEMINI: list[Json] = [
    {"type": "reasoning.text", "text": "hm", "format": "google-gemini-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "G", "id": "call_1", "format": "google-gemini-v1", "index": 1},
]


def back(items: list[Json], keep: tuple[str, ...] | None = None) -> Json:
    """The assistant's turn when a client replays these items; ``keep``: the fields that a client knows of."""
    seen = [item if keep is None else {k: v for k, v in item.items() if k in keep} for item in items]
    request = inner({"model": "t/a", "input": [*seen, {"role": "user", "content": "next"}]})
    turn: Json = request["messages"][0]
    return turn


@pytest.mark.parametrize("details", [DETAILS, PLAIN_OPENAI, GEMINI])
@pytest.mark.parametrize("whole", [True, False])
def test_replayed_reasoning_is_what_the_vendor_sent(details: list[Json], whole: bool) -> None:
    """Answer → items → next request: text, signatures, encrypted parts, formats and ids unchanged, in order."""
    deltas = [{"reasoning_details": details}] if whole else [{"reasoning_details": [one]} for one in details]
    items, _ = encoded([*deltas, {"content": "So."}])
    turn = back(items)
    assert turn["content"] == "So."
    assert turn["reasoning_details"] == details


@pytest.mark.parametrize("details", [DETAILS, PLAIN_OPENAI, GEMINI])
def test_clients_that_know_only_openais_fields_lose_nothing(details: list[Json]) -> None:
    """A request for the encrypted content gets all of a vendor's details in it, though it drops ``signature`` and ``format``."""
    items, _ = encoded([{"reasoning_details": details}, {"content": "So."}], include=["reasoning.encrypted_content"])
    known = ("type", "id", "role", "content", "summary", "encrypted_content", "status")
    assert back(items, known)["reasoning_details"] == details


def test_summaries_have_parts() -> None:
    """Each part of a summary is begun and ended; one item holds them and what is encrypted."""
    (item, _), events = encoded([{"reasoning_details": PLAIN_OPENAI}, {"content": "So."}])
    assert item["id"] == "rs_1"
    assert [part["text"] for part in item["summary"]] == ["one", "two"]
    assert item["encrypted_content"] == "E"
    parts = [event for event in events if event["type"] == "response.reasoning_summary_part.added"]
    assert [event["summary_index"] for event in parts] == [0, 1]


def chopped(draw: Any, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def answers(draw: Any) -> tuple[Json, list[Json]]:
    """A whole message, and the same in pieces."""
    words = st.text(min_size=1, max_size=12)
    message: Json = {"role": "assistant", "content": draw(st.none() | words)}
    pieces: list[Json] = [{"role": "assistant", "content": ""}]
    details = draw(st.sampled_from([None, DETAILS, PLAIN_OPENAI, GEMINI]))
    if details is not None:
        message["reasoning_details"] = details
        for one in details:
            field = next(name for name in ("text", "summary", "data") if name in one)
            cut = [one[field]] if field == "data" else chopped(draw, one[field])
            bare = {name: value for name, value in one.items() if name not in (field, "signature")}
            pieces += [{"reasoning_details": [{**bare, field: piece}]} for piece in cut]
            if "signature" in one:
                pieces.append({"reasoning_details": [{**bare, "signature": one["signature"]}]})
    if message["content"]:
        pieces += [{"content": piece} for piece in chopped(draw, message["content"])]
    refusal = draw(st.none() | words)
    if refusal:
        message["refusal"] = refusal
        pieces += [{"refusal": piece} for piece in chopped(draw, refusal)]
    calls = draw(st.lists(st.tuples(words, words), max_size=3))
    if calls:
        message["tool_calls"] = [
            {"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(calls)
        ]
        for index, (name, arguments) in enumerate(calls):
            pieces.append(call(index, f"c{index}", name))
            pieces += [call(index, arguments=piece) for piece in chopped(draw, arguments)]
    return message, pieces


@given(answers())
def test_a_stream_and_a_whole_answer_agree(answer: tuple[Json, list[Json]]) -> None:
    """However an answer is cut into deltas, its items are those of the whole; replayed, ids and arguments are the same."""
    message, pieces = answer
    whole, _ = encoded([message])
    streamed, _ = encoded(pieces)
    assert streamed == whole
    calls = message.get("tool_calls", [])
    outputs = [{"type": "function_call_output", "call_id": one["id"], "output": "x"} for one in calls]
    if message["content"] or calls:
        turn = back([*whole, *outputs])
        assert turn.get("tool_calls", []) == calls
        assert turn.get("reasoning_details", []) == message.get("reasoning_details", [])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inside: (
        st.lists(inside, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "index", "url_citation", "image_url", "url", "content"]),
            inside,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "content": st.text(max_size=4) | st.none(),
                "reasoning": JUNK,
                "reasoning_details": JUNK,
                "refusal": JUNK,
                "annotations": JUNK,
                "images": JUNK,
                "phase": st.sampled_from(["commentary", "final_answer"]),
                "tool_calls": st.lists(
                    st.fixed_dictionaries(
                        {
                            "index": JUNK,
                            "id": JUNK,
                            "function": st.fixed_dictionaries({"name": JUNK, "arguments": JUNK}),
                        }
                    ),
                    max_size=2,
                ),
                "_logprobs": JUNK,
            },
        ),
        max_size=4,
    )
)
def test_strange_deltas_make_a_valid_stream(deltas: list[Json]) -> None:
    """Whatever a vendor puts into its fields, what the client gets is to the field."""
    encoded(deltas)
