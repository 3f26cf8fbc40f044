"""Bedrock's answers: streams whole, cut anywhere and damaged; JSON answers; refusals. botocore reads the same bytes as oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

from providers.bedrock import Bedrock
from providers.errors import ProviderError
from providers.types import Event, HttpResponse
from tests.wire.bedrock import frames

WIRE = Path(__file__).parents[1] / "wire/bedrock"
STREAMS = frames.streams()
GOOD = [name for name, (_, expected) in STREAMS.items() if "error" not in expected]
BAD = [name for name, (_, expected) in STREAMS.items() if "error" in expected]
ANSWERS = {path.stem: json.loads(path.read_text()) for path in sorted((WIRE / "answers").glob("*.json"))}
ERRORS = {path.stem: json.loads(path.read_text()) for path in sorted((WIRE / "errors").glob("*.json"))}
BEDROCK = Bedrock()
MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")


def decode(pieces: list[bytes]) -> tuple[list[Event], ProviderError | None]:
    """Every event, and the error that ended the stream if one did, as the driver would see them."""
    decoder, events = BEDROCK.decoder(), []
    try:
        for piece in pieces:
            if decoder.error is not None or decoder.done:
                break
            events += decoder.feed(piece)
        if decoder.error is None and not decoder.done:
            events += decoder.close()
    except ProviderError as error:
        return events, error
    return events, decoder.error


def joined(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fragments of reasoning put together as the contract says: by runs of one type and index."""
    whole: list[dict[str, Any]] = []
    for detail in details:
        last = whole[-1] if whole else None
        if (
            last
            and detail["type"] == "reasoning.text"
            and (last["type"], last["index"]) == (detail["type"], detail["index"])
        ):
            last["text"] = last.get("text", "") + detail.get("text", "")
            if "signature" in detail:
                last["signature"] = detail["signature"]
        else:
            whole.append(dict(detail))
    return [{name: value for name, value in detail.items() if name != "index"} for detail in whole]


def summary(events: list[Event]) -> dict[str, Any]:
    seen: dict[str, Any] = {"text": "", "finish": [], "native": [], "usage": None}
    tools: dict[int, list[str]] = {}
    details: list[dict[str, Any]] = []
    for event in events:
        if event.usage is not None:
            seen["usage"] = {name: count for name, count in msgspec.to_builtins(event.usage).items() if count}
        if event.finish:
            seen["finish"].append(event.finish)
        for choice in event.chunk["choices"]:
            delta = choice["delta"]
            seen["text"] += delta.get("content") or ""
            if choice["native_finish_reason"]:
                seen["native"].append(choice["native_finish_reason"])
            if delta.get("reasoning"):
                seen["reasoning"] = seen.get("reasoning", "") + delta["reasoning"]
            details += delta.get("reasoning_details", ())
            for image in delta.get("images", ()):
                seen.setdefault("images", []).append(image["image_url"]["url"])
            for annotation in delta.get("annotations", ()):
                seen.setdefault("annotations", []).append(annotation["url_citation"]["url"])
            for tool in delta.get("tool_calls", ()):
                one = tools.setdefault(tool["index"], ["", "", ""])
                one[0] += tool.get("id", "")
                one[1] += tool["function"].get("name", "")
                one[2] += tool["function"].get("arguments", "")
    if tools:
        seen["tools"] = [tools[index] for index in sorted(tools)]
    if details:
        seen["details"] = joined(details)
    return seen


@pytest.mark.parametrize("name", GOOD)
def test_a_stream_says_what_it_says(name: str) -> None:
    """Text, reasoning, tool calls, pictures, finish reasons and usage come out as the stream's description has them."""
    pieces, expected = STREAMS[name]
    events, error = decode([b"".join(pieces)])
    assert error is None
    assert summary(events) == {key: value for key, value in expected.items() if key != "source"}
    assert all(event.content is shows(event) for event in events)


def shows(event: Event) -> bool:
    names = ("content", "reasoning", "reasoning_details", "tool_calls", "images")
    return any(choice["delta"].get(name) for choice in event.chunk["choices"] for name in names)


@pytest.mark.parametrize("name", BAD)
def test_a_failure_in_a_stream_is_that_failure(name: str) -> None:
    """An exception, first or in the middle, is the error it stands for; what came before it is not lost."""
    pieces, expected = STREAMS[name]
    for way in ([b"".join(pieces)], pieces):
        events, error = decode(way)
        assert error is not None
        assert error.failure.kind == expected["error"]
        assert sum(event.content for event in events) == expected["before"]


@pytest.mark.parametrize("name", list(STREAMS))
def test_byte_by_byte_is_the_same(name: str) -> None:
    """Fed one byte at a time, every stream gives the same events and the same error."""
    raw = b"".join(STREAMS[name][0])
    whole, single = decode([raw]), decode([raw[at : at + 1] for at in range(len(raw))])
    assert [event.chunk for event in single[0]] == [event.chunk for event in whole[0]]
    assert [event.usage for event in single[0]] == [event.usage for event in whole[0]]
    assert (single[1] and single[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.lists(st.integers(0, 5000)))
def test_chunking_changes_nothing(name: str, places: list[int]) -> None:
    """However the network cuts a stream, the events and the error are the same."""
    raw = b"".join(STREAMS[name][0])
    marks = sorted({place % (len(raw) + 1) for place in places})
    pieces = [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]
    assert [event.chunk for event in decode(pieces)[0]] == [event.chunk for event in decode([raw])[0]]


@pytest.mark.parametrize("name", GOOD)
def test_a_cut_stream_is_never_a_success(name: str) -> None:
    """Cut behind every event and inside each: an error until the stop reason was there, and then none."""
    pieces, expected = STREAMS[name]
    for count in range(len(pieces)):
        for part in (b"", pieces[count][:9], pieces[count][:-1]):
            events, error = decode([*pieces[:count], part])
            if any(event.finish for event in events):
                assert error is None
                assert [event.finish for event in events if event.finish] == expected["finish"]
            else:
                assert error is not None
                assert error.failure.kind in ("cut", "empty")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GOOD), st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 3))
def test_any_damaged_byte_is_noticed(name: str, place: int, byte: int, width: int) -> None:
    """A byte changed, lost or doubled anywhere gives the events before it and a failure, never another exception."""
    raw = b"".join(STREAMS[name][0])
    at = place % len(raw)
    damaged = raw[:at] + bytes([byte]) * width + raw[at + 1 :]
    events, error = decode([damaged])
    if damaged == raw:
        assert error is None
    else:
        assert error is not None or any(event.finish for event in events)
        assert [event.chunk for event in events] == [event.chunk for event in decode([raw])[0]][: len(events)]


WRONG: list[tuple[str, Any]] = [
    ("messageStop", {}),
    ("messageStop", {"stopReason": 7}),
    ("contentBlockStart", {"start": {}}),
    ("contentBlockStart", {"contentBlockIndex": 0}),
    ("contentBlockStart", {"contentBlockIndex": "0", "start": {}}),
    ("contentBlockStart", {"contentBlockIndex": True, "start": {}}),
    ("contentBlockStart", {"contentBlockIndex": 0, "start": []}),
    ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"name": 3, "toolUseId": "a"}}}),
    ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"name": "a", "toolUseId": None}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": "x"}),
    ("contentBlockDelta", {"contentBlockIndex": -1, "delta": {}}),
    ("contentBlockDelta", {"contentBlockIndex": 9, "delta": {"toolUse": {"input": "{}"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 9, "delta": {"toolUse": {"input": {}}}}),
    ("contentBlockStop", {"contentBlockIndex": None}),
    ("messageStop", []),
    ("metadata", 3),
]


@pytest.mark.parametrize(("name", "body"), WRONG)
def test_wrong_types_are_malformed(name: str, body: Any) -> None:
    """What is well framed and says nonsense is ``malformed``; the events before it are kept."""
    pieces = STREAMS["claude-text"][0][:2]
    events, error = decode([*pieces, frames.line(json.dumps({name: body}))])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


WORDS = [
    "contentBlockIndex", "delta", "start", "toolUse", "text", "input", "name", "toolUseId", "reasoningContent", "signature",
    "redactedContent", "image", "source", "bytes", "format", "citation", "citations", "content", "location", "web", "url",
    "stopReason", "usage", "inputTokens", "cacheDetails", "ttl",
]  # fmt: skip
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KINDS = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), JSONS), max_size=6))
def test_hostile_events_are_survived(lines: list[tuple[str, Any]]) -> None:
    """Whatever JSON comes in whatever event, only ``ProviderError`` comes out, and chunks stay well formed."""
    events, error = decode([frames.line(json.dumps({name: body})) for name, body in lines])
    assert error is not None or any(event.finish for event in events)
    for event in events:
        ChatCompletionChunk.model_validate(event.chunk)


@settings(max_examples=400, deadline=None)
@given(JSONS, st.sampled_from(["end_turn", "tool_use"]), st.lists(JSONS, max_size=4))
def test_hostile_answers_are_survived(usage: Any, stop: str, content: list[Any]) -> None:
    """The same of whole answers."""
    body = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop, "usage": usage}
    kind = ""
    try:
        ChatCompletion.model_validate(BEDROCK.completion(json.dumps(body).encode()).body)
    except ProviderError as error:
        kind = error.failure.kind
    assert kind in ("", "malformed")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  ",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"output":{}}',
        b'{"output":{"message":{"content":[]}}}',
    ],
)
def test_unreadable_answers(raw: bytes) -> None:
    """An empty body is ``empty``, anything else that is no answer ``malformed``."""
    with pytest.raises(ProviderError) as caught:
        BEDROCK.completion(raw)
    assert caught.value.failure.kind == ("malformed" if raw.strip() else "empty")


def test_a_malformed_output_is_no_answer() -> None:
    """A stop reason that says the model's output was no good is a failure, not an answer."""
    body = {**ANSWERS["text"]["body"], "stopReason": "malformed_model_output"}
    with pytest.raises(ProviderError) as caught:
        BEDROCK.completion(json.dumps(body).encode())
    assert (caught.value.failure.kind, caught.value.provider_code) == ("malformed", "malformed_model_output")


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_whole_answer(name: str) -> None:
    """Content, reasoning, tool calls, pictures, citations, finish reason and usage of a JSON answer."""
    body, expected = ANSWERS[name]["body"], ANSWERS[name]["expected"]
    done = BEDROCK.completion(json.dumps(body).encode())
    choice = done.body["choices"][0]
    message = choice["message"]
    assert message["content"] == expected["content"]
    assert message.get("reasoning") == expected.get("reasoning")
    assert message.get("reasoning_details", []) == expected.get("details", [])
    calls = [
        [c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])] for c in message.get("tool_calls", ())
    ]
    assert calls == expected.get("tools", [])
    assert [image["image_url"]["url"] for image in message.get("images", ())] == expected.get("images", [])
    assert [one["url_citation"]["url"] for one in message.get("annotations", ())] == expected.get("annotations", [])
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (expected["finish"], body["stopReason"])
    assert {k: v for k, v in msgspec.to_builtins(done.usage).items() if v} == expected["usage"]
    ChatCompletion.model_validate(done.body)
    ChatResult.model_validate({**done.body, "system_fingerprint": None})


@pytest.mark.parametrize("name", GOOD)
def test_strict_clients_can_read_every_event(name: str) -> None:
    """Every chunk satisfies the types of the two official clients; the first delta of a tool call has id, type and name."""
    seen: set[int] = set()
    for event in decode(STREAMS[name][0])[0]:
        ChatCompletionChunk.model_validate(event.chunk)
        ChatStreamChunk.model_validate(event.chunk)
        for choice in event.chunk["choices"]:
            assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
            for tool in choice["delta"].get("tool_calls", ()):
                first = tool["index"] not in seen
                seen.add(tool["index"])
                assert ({"id", "type"} <= tool.keys()) is first
                assert ("name" in tool["function"]) is first


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "absurd-usage"])
def test_botocore_reads_the_same_frames(name: str) -> None:
    """The bytes of our streams are what AWS' own library takes: every message decodes, known events parse to their shape."""
    pieces, expected = STREAMS[name]
    buffer = EventStreamBuffer()
    for piece in pieces:
        buffer.add_data(piece)
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    parser = create_parser("rest-json")._event_stream_parser
    text, stops = "", []
    for message in buffer:
        response = message.to_response_dict()
        if response["status_code"] != 200 or response["headers"][":event-type"] not in shape.members:
            continue
        parsed = parser.parse(response, shape)
        text += parsed.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        stops += [parsed["messageStop"]["stopReason"]] if "messageStop" in parsed else []
    if "error" not in expected:
        assert stops == expected["native"]
        if not name.startswith("structured"):
            assert text == expected["text"]


@pytest.mark.parametrize("name", list(ANSWERS))
def test_botocore_reads_the_same_answers(name: str) -> None:
    """The JSON answers are what AWS' own library takes for a Converse answer."""
    body = ANSWERS[name]["body"]
    response = {"status_code": 200, "headers": {}, "body": json.dumps(body).encode(), "context": {}}
    parsed = create_parser("rest-json").parse(response, MODEL.operation_model("Converse").output_shape)
    done = BEDROCK.completion(response["body"])
    assert parsed["stopReason"] == done.body["choices"][0]["native_finish_reason"]
    assert done.usage is not None
    assert parsed["usage"]["outputTokens"] == done.usage.completion
    texts = "".join(block.get("text", "") for block in parsed["output"]["message"]["content"])
    if not name.startswith(("structured", "citations")):
        assert (done.body["choices"][0]["message"]["content"] or "") == texts


@pytest.mark.parametrize("name", list(ERRORS))
def test_refusals(name: str) -> None:
    """Each recorded refusal is the failure it says; the vendor's text and wait are kept, at most 4 kB of its body."""
    case = ERRORS[name]
    content = case["body"].encode() if isinstance(case["body"], str) else json.dumps(case["body"]).encode()
    error = BEDROCK.failure(HttpResponse(case["status"], case["headers"], content + b" " * 9000))
    assert error.failure.kind == case["kind"], error
    assert error.status == case["status"]
    assert len(error.raw) <= 4096
    if isinstance(case["body"], dict) and "message" in case["body"]:
        assert error.message == case["body"]["message"]
    if "x-amzn-errortype" in case["headers"]:
        assert error.provider_code == case["headers"]["x-amzn-errortype"].partition(":")[0]
    assert error.retry_after_s == (7 if name == "retry-after" else None)


@settings(max_examples=100, deadline=None)
@given(st.integers(400, 599), st.binary(max_size=60), st.text(st.characters(codec="latin-1"), max_size=30))
def test_any_refusal_is_read(status: int, content: bytes, kind: str) -> None:
    """Whatever a balancer sends as an error, it is a failure that is known."""
    assert BEDROCK.failure(HttpResponse(status, {"x-amzn-errortype": kind}, content)).failure.kind
