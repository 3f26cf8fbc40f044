"""What is Anthropic's own in its streams and answers; requests are in the files beside this one."""

from __future__ import annotations

import pytest
from anthropic.types import Message

from providers.errors import ProviderError
from tests.support import dialectcases as cases
from tests.support.anthropicwire import DIALECT, STREAMS, parsed

UNKNOWN = ("length-unknown-events",)


@pytest.mark.parametrize("name", [name for name, one in STREAMS.items() if not one.fails and name not in UNKNOWN])
def test_the_vendors_sdk_knows_the_recordings(name: str) -> None:
    """What the dialect is tested with is what the vendor's own client takes for its events."""
    for data in STREAMS[name].documents.values():
        if data["type"] != "ping":  # the SDK drops pings before it types them
            parsed(data)


@pytest.mark.parametrize("name", list(cases.documents("anthropic", "answers")))
def test_the_vendors_sdk_knows_the_answers(name: str) -> None:
    """The same of whole answers."""
    Message.model_validate(cases.documents("anthropic", "answers")[name]["body"])


def test_content_is_what_a_caller_could_show() -> None:
    """Text, thinking, hidden thinking and tool calls count as content; starts, signatures, pings and searches do not."""
    shown = [event.content for event in cases.decode(DIALECT, [STREAMS["thinking-redacted-tool"].raw])[0]]
    assert shown == [
        *(False, False, True, False, False),  # start, thinking: its text and its signature
        *(True, False),  # hidden thinking stands in its start
        *(False, True, False, False),
        *(False, True, False),  # text
        *(True, True, False),  # a tool call
        *(False, False),
    ]
    searched, _ = cases.decode(DIALECT, [STREAMS["web-search"].raw])
    assert sum(event.content for event in searched) == 4


def test_the_first_usage_is_the_prompts() -> None:
    """The prompt's count is known with the first event, before any content: a stream that breaks off can be billed."""
    events = DIALECT.decoder().feed(STREAMS["cached-usage"].pieces[0])
    assert events[0].usage is not None
    assert (events[0].usage.prompt_total, events[0].usage.cache_write_1h) == (2712, 400)


def test_nothing_after_the_end_counts() -> None:
    """After message_stop the stream is over, in the same piece or a later one."""
    more = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"more"}}\n\n'
    events, error = cases.decode(DIALECT, [STREAMS["text"].raw + more, b"data: junk\n\n"])
    assert error is None
    assert "more" not in cases.summary(events)["text"]


DAMAGED: dict[str, bytes] = {
    "not JSON": b'data: {"type": [}\n\n',
    "plain text": b"data: hello\n\n",
    "a list": b"data: []\n\n",
    "null": b"data: null\n\n",
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
    pieces = STREAMS["text"].pieces
    events, error = cases.decode(DIALECT, [*pieces[:4], DAMAGED[name], *pieces[4:]])
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
def test_a_whole_answer_that_is_a_failure(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, or an error inside is that failure."""
    with pytest.raises(ProviderError) as caught:
        DIALECT.completion(raw)
    assert caught.value.failure.kind == kind
