"""The Anthropic dialect against recorded streams and answers: whole, cut anywhere, damaged, and as strict clients read them."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ProviderError
from tests.support.anthropicwire import (
    ANSWERS,
    DIALECT,
    STREAMS,
    decoded,
    heard,
    parsed,
    read,
    taken_by_clients,
    taken_whole,
    vendor_events,
)

GOOD = [name for name, (_, expected) in STREAMS.items() if "error" not in expected]
BAD = [name for name, (_, expected) in STREAMS.items() if "error" in expected]
TYPED = [name for name in GOOD if name != "length-unknown-events"]
"""The streams that the vendor's SDK knows every event of."""


@pytest.mark.parametrize("name", GOOD)
def test_a_recorded_stream_says_what_it_says(name: str) -> None:
    """Text, reasoning, tool calls, citations, finish reasons and usage come out as the recording's description has them."""
    raw, expected = STREAMS[name]
    events, error = decoded([raw])
    assert error is None
    assert heard(events) == {k: v for k, v in expected.items() if k != "source"}


@pytest.mark.parametrize("name", GOOD)
def test_every_vendor_event_passes_once_and_unchanged(name: str) -> None:
    """A surface of the same shape gets every event of the vendor, in order, as it was sent; the others see no empty choice."""
    raw, _ = STREAMS[name]
    events, _ = decoded([raw])
    assert [event.wire for event in events] == vendor_events(raw)
    for event in events:
        assert event.chunk["choices"] or not event.content


@pytest.mark.parametrize("name", TYPED)
def test_the_vendors_sdk_knows_the_recordings(name: str) -> None:
    """What the dialect is tested with is what the vendor's own client takes for its events."""
    for _, data in vendor_events(STREAMS[name][0]):
        if data["type"] != "ping":  # the SDK drops pings before it types them
            parsed(data)


@pytest.mark.parametrize("name", BAD)
def test_a_recorded_failure_is_that_failure(name: str) -> None:
    """An error event, first or in the middle, is the error it stands for; what came before it is not lost."""
    raw, expected = STREAMS[name]
    events, error = decoded([raw])
    assert error is not None
    assert error.failure.kind == expected["error"]
    assert sum(event.content for event in events) == expected["before"]


@pytest.mark.parametrize("name", list(STREAMS))
def test_fed_byte_by_byte_nothing_changes(name: str) -> None:
    """A stream that arrives one byte at a time gives the same events and the same error."""
    raw, _ = STREAMS[name]
    whole, pieced = decoded([raw]), decoded([raw[i : i + 1] for i in range(len(raw))])
    assert pieced[0] == whole[0]
    assert (pieced[1] and pieced[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.lists(st.integers(0, 5000)))
def test_chunking_changes_nothing(name: str, places: list[int]) -> None:
    """However the network cuts a stream, also inside UTF-8 characters, the events and the error are the same."""
    raw, _ = STREAMS[name]
    marks = sorted({place % (len(raw) + 1) for place in places})
    whole = decoded([raw])
    pieced = decoded([raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)])
    assert pieced[0] == whole[0]
    assert (pieced[1] and pieced[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@pytest.mark.parametrize("name", GOOD)
def test_a_cut_stream_is_never_a_success(name: str) -> None:
    """Cut behind every event and in the middle of each: a success only when the stop reason was said, else cut or empty."""
    raw, expected = STREAMS[name]
    blank = b"\r\n\r\n" if b"\r\n" in raw else b"\n\n"
    ends = [i + len(blank) for i in range(len(raw)) if raw.startswith(blank, i)]
    for end in [0, *ends, *(end - 5 for end in ends)]:
        events, error = decoded([raw[:end]])
        finished = [event.finish for event in events if event.finish]
        if error is None:
            assert finished == expected["finish"]
        else:
            assert not finished
            assert error.failure.kind == ("cut" if events else "empty")


@pytest.mark.parametrize("name", GOOD)
def test_strict_clients_can_read_every_chunk(name: str) -> None:
    """What leaves here satisfies the types of the OpenAI and the OpenRouter client."""
    events, _ = decoded([STREAMS[name][0]])
    taken_by_clients(events)
    first = next(event for event in events if event.chunk["choices"])
    assert first.chunk["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not first.content


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_recorded_answer_says_what_it_says(name: str) -> None:
    """A whole answer comes out as its description has it, satisfies the clients, and passes unchanged beside."""
    case = ANSWERS[name]
    answer = DIALECT.completion(json.dumps(case["body"]).encode())
    assert read(answer) == case["expected"]
    assert answer.wire == case["body"]
    taken_whole(answer)


def test_content_is_what_a_caller_could_show() -> None:
    """Text, thinking, hidden thinking and tool calls count as content; starts, signatures, pings and searches do not."""
    raw, _ = STREAMS["thinking-redacted-tool"]
    shown = [(event.wire[1]["type"], event.content) for event in decoded([raw])[0] if event.wire]
    assert [content for _, content in shown] == [
        *(False, False, True, False, False),  # start, thinking: its text and its signature
        *(True, False),  # hidden thinking stands in its start
        *(False, True, False, False),
        *(False, True, False),  # text
        *(True, True, False),  # a tool call
        *(False, False),
    ]
    searched = decoded([STREAMS["web-search"][0]])[0]
    assert sum(event.content for event in searched) == 4


def test_the_first_usage_is_the_prompts() -> None:
    """The prompt's count is known with the first event, before anything was said: a stream that breaks off can be billed."""
    events = DIALECT.decoder().feed(STREAMS["cached-usage"][0].split(b"\n\n")[0] + b"\n\n")
    assert events[0].usage is not None
    assert (events[0].usage.prompt_total, events[0].usage.cache_write_1h) == (2712, 400)


def test_nothing_after_the_end_counts() -> None:
    """After message_stop the stream is over, in the same piece or a later one."""
    raw, _ = STREAMS["text"]
    more = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"more"}}\n\n'
    events, error = decoded([raw + more, b"data: junk\n\n"])
    assert error is None
    assert "more" not in heard(events)["text"]


DAMAGED: dict[str, bytes] = {
    "not JSON": b'data: {"type": [}\n\n',
    "plain text": b"data: hello\n\n",
    "a list": b"data: []\n\n",
    "null": b"data: null\n\n",
    "invalid UTF-8": b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\xff"}}\n\n',
    "20,000 deep": b'data: {"type":' + b"[" * 20000 + b"]" * 20000 + b"}\n\n",
    "delta is missing": b'data: {"type":"content_block_delta","index":0}\n\n',
    "delta is text": b'data: {"type":"content_block_delta","index":0,"delta":"x"}\n\n',
    "delta without type": b'data: {"type":"content_block_delta","index":0,"delta":{}}\n\n',
    "text is a number": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":1}}\n\n',
    "text is a list": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":["a"]}}\n\n',
    "thinking is null": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":null}}\n\n',
    "input is an object": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":{}}}\n\n',
    "index is a list": b'data: {"type":"content_block_delta","index":[],"delta":{"type":"signature_delta","signature":"s"}}\n\n',
    "a start without block": b'data: {"type":"content_block_start","index":0}\n\n',
    "a start without index": b'data: {"type":"content_block_start","content_block":{"type":"text"}}\n\n',
    "a tool without name": b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a"}}\n\n',
    "a tool without id": b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","name":"a"}}\n\n',
    "redacted without data": b'data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking"}}\n\n',
    "message is text": b'data: {"type":"message_start","message":"x"}\n\n',
}


@pytest.mark.parametrize("name", list(DAMAGED))
def test_damaged_events_are_malformed(name: str) -> None:
    """Whatever is wrong with an event, it is the failure ``malformed``, and the events before it are kept."""
    blocks = STREAMS["text"][0].split(b"\n\n")
    events, error = decoded([b"\n\n".join(blocks[:4]) + b"\n\n", DAMAGED[name], b"\n\n".join(blocks[4:])])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{}", "malformed"),
        (b"[]", "malformed"),
        (b"<html>", "malformed"),
        (b'{"content":', "malformed"),
        (b'{"content":null}', "malformed"),
        (b'{"content":[1]}', "malformed"),
        (b'{"content":[{}]}', "malformed"),
        (b'{"content":[{"type":"text"}]}', "malformed"),
        (b'{"content":[{"type":"tool_use","id":"a"}]}', "malformed"),
        (b'{"content":[{"type":"thinking","thinking":1}]}', "malformed"),
        (b'{"content":' + b"[" * 5000 + b"]" * 5000 + b"}", "malformed"),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', "rate_limited"),
        (b'{"type":"error"}', "server_error"),
    ],
)
def test_a_whole_answer_that_is_none(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, or an error inside is that failure."""
    with pytest.raises(ProviderError) as caught:
        DIALECT.completion(raw)
    assert caught.value.failure.kind == kind


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(GOOD), st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 3))
def test_any_damaged_byte_is_survived(name: str, place: int, byte: int, width: int) -> None:
    """A byte changed, lost or doubled anywhere gives events or a provider's failure, never another exception."""
    raw, _ = STREAMS[name]
    at = place % len(raw)
    events, error = decoded([raw[:at] + bytes([byte]) * width + raw[at + 1 :]])
    assert error is not None or any(event.finish for event in events)


_QUOTED = [word.decode() for raw, _ in STREAMS.values() for word in re.findall(rb'"([a-z_]+)"', raw)]
WORDS = sorted({word for word in _QUOTED if "_" in word or len(word) < 9})
"""Every key and every type that the recordings have."""
KINDS = [
    word for word in WORDS if word.startswith(("message_", "content_block", "ping", "error", "tool_use", "thinking"))
]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=14,
)


@settings(max_examples=400, deadline=None)
@given(JUNK, st.sampled_from(KINDS))
def test_any_json_is_an_answer_or_a_failure(document: Any, kind: str) -> None:
    """No JSON document, whole or as an event of any kind, raises anything but a provider's failure."""
    if isinstance(document, dict):
        document.setdefault("type", kind)
    raw = msgspec.json.encode(document)
    start = STREAMS["tool"][0].split(b"event: content_block_stop")[0]
    for reader, data in ((DIALECT.completion, raw), (DIALECT.decoder().feed, start + b"data: " + raw + b"\n\n")):
        try:
            reader(data)
        except ProviderError:
            continue
