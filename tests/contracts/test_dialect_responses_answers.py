"""What is the Responses dialect's own in whole answers, and conversations that go there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from providers.errors import ProviderError
from providers.responses.dialect import Responses
from providers.types import Target
from tests.support import dialectcases as cases
from tests.support.examples import examples

ANSWERS, STREAMS = cases.documents("responses", "answers"), cases.streams("responses")
BY_HAND = [name for name, one in ANSWERS.items() if "types, 2026-11, by hand" in one["source"]]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
RESPONSES = Responses()
TARGET = Target("acme", "https://vendor/v1", "gpt-5")


def whole(document: Any) -> Any:
    return RESPONSES.completion(json.dumps(document).encode())


@pytest.mark.parametrize("name", BY_HAND)
def test_the_bytes_are_the_vendors(name: str) -> None:
    """What was written by hand is what the vendor's own SDK would accept, whole and event by event."""
    Response.model_validate(ANSWERS[name]["body"])
    for document in STREAMS[name].documents.values():
        EVENT.validate_python(document)


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_whole_answer_equals_its_stream(name: str) -> None:
    """The two ways of asking give the same answer."""
    assert ANSWERS[name]["expected"] == STREAMS[name].expected


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "empty"),
        (b"{}", "malformed"),
        (b"[]", "malformed"),
        (b"<html>", "malformed"),
        (b'{"output":', "malformed"),
        (b'{"output":null}', "malformed"),
        (b'{"output":[],"status":"queued"}', "malformed"),
        (b'{"output":[],"status":"failed"}', "server_error"),
        (b'{"output":[],"status":"cancelled"}', "server_error"),
        (b'{"output":[],"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"}}', "rate_limited"),
        (b'{"output":[],"status":"failed","error":{"code":"vector_store_timeout","message":"slow"}}', "timeout_vendor"),
        (b'{"error":{"code":"invalid_image","message":"bad"}}', "bad_request"),
        (b'{"error":"boom"}', "server_error"),
        (b'{"object":"error","message":"x","type":"BadRequestError","code":400}', "bad_request"),
    ],
)
def test_a_whole_answer_that_is_a_failure(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, a failure or an unfinished response inside is that failure."""
    with pytest.raises(ProviderError) as caught:
        RESPONSES.completion(raw)
    assert caught.value.failure.kind == kind


@pytest.mark.parametrize(
    ("reason", "finish", "native"),
    [
        ({"reason": "max_output_tokens"}, "length", "max_output_tokens"),
        ({"reason": "content_filter"}, "content_filter", "content_filter"),
        ({"reason": "steered"}, "stop", "steered"),
        (None, "length", "incomplete"),
    ],
)
def test_why_an_answer_is_incomplete(reason: Any, finish: str, native: str) -> None:
    """The finish reason is the vendor's own and ours; a call that was cut off is not offered as one to make."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a'}
    choice = whole({"output": [call], "status": "incomplete", "incomplete_details": reason}).body["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, native)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, (10, 0, 0, 5, 0, False)),
        (
            {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 20}},
            (0, 10, 0, 5, 0, True),
        ),
        ({"input_tokens": -1, "output_tokens": 1.5}, (0, 0, 0, 0, 0, True)),
        (
            {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": None, "output_tokens_details": "x"},
            (10, 0, 0, 5, 0, False),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 5}},
            (10, 0, 0, 0, 5, False),
        ),
    ],
)
def test_usage_is_disjoint(usage: Any, counted: tuple[Any, ...]) -> None:
    """Cached, written and reasoned tokens are counted once; nonsense is zero and marked."""
    seen = whole({"output": [], "usage": usage}).usage
    assert (seen.prompt, seen.cache_read, seen.cache_write, seen.completion, seen.reasoning, seen.suspect) == counted


def test_no_usage_is_no_usage() -> None:
    """A vendor without a report leaves the counting to the gateway."""
    assert whole({"output": [], "usage": None}).usage is None


TEXT = st.text(min_size=1, max_size=12)
ID = st.text("abcdefghijklmnop0123456789_", min_size=1, max_size=40)


@st.composite
def answers(draw: Any) -> list[dict[str, Any]]:
    """Output items of one answer: reasoning, then perhaps text, then calls, as the vendor orders them."""
    items: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 3))):
        summary = [{"type": "summary_text", "text": text} for text in draw(st.lists(TEXT, max_size=3))]
        items.append(
            {"type": "reasoning", "id": f"rs_{number}_{draw(ID)}", "summary": summary, "encrypted_content": draw(TEXT)}
        )
    text = draw(st.none() | TEXT)
    if text is not None:
        items.append(
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text}],
            }
        )
    for number in range(draw(st.integers(0 if text else 1, 3))):
        arguments = json.dumps(draw(st.dictionaries(TEXT, TEXT, max_size=2)))
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"{number}{draw(ID)}",
                "name": "f",
                "arguments": arguments,
            }
        )
    return items


def streamed(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a chat client joins from the stream of an answer."""
    events = []
    for index, item in enumerate(items):
        at = {"output_index": index, "item_id": item["id"]}
        events.append(
            {
                "type": "response.output_item.added",
                "output_index": index,
                "item": item | {"summary": [], "arguments": "", "content": []},
            }
        )
        for number, part in enumerate(item.get("summary", ())):
            events += [
                {"type": "response.reasoning_summary_text.delta", **at, "summary_index": number, "delta": one}
                for one in part["text"]
            ]
        for part in item.get("content", ()):
            events += [
                {"type": "response.output_text.delta", **at, "content_index": 0, "delta": one} for one in part["text"]
            ]
        events += [
            {"type": "response.function_call_arguments.delta", **at, "delta": one} for one in item.get("arguments", ())
        ]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": {"status": "completed", "output": items}})
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_details": []}
    calls: dict[int, dict[str, Any]] = {}
    decoder = RESPONSES.decoder()
    for event in (
        one for document in events for one in decoder.feed(b"data: " + json.dumps(document).encode() + b"\n\n")
    ):
        for choice in event.chunk["choices"]:
            message["content"] += choice["delta"].get("content") or ""
            message["reasoning_details"] += choice["delta"].get("reasoning_details", [])
            for call in choice["delta"].get("tool_calls", ()):
                one = calls.setdefault(call["index"], {"function": {"name": "", "arguments": ""}})
                one |= {name: value for name, value in call.items() if name in ("id", "type")}
                for name, value in call["function"].items():
                    one["function"][name] += value
    return message | {"tool_calls": [calls[index] for index in sorted(calls)]}


@examples(100)
@given(answers(), st.booleans())
def test_there_and_back(items: list[dict[str, Any]], stream: bool) -> None:
    """An answer that a chat client sends back unchanged reaches the vendor with ids, arguments and encrypted text as they were."""
    message = (
        streamed(items) if stream else whole({"output": items, "status": "completed"}).body["choices"][0]["message"]
    )
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in message.get("tool_calls") or ()]
    conversation = [{"role": "user", "content": "go"}, message, *results, {"role": "user", "content": "on"}]
    request = RESPONSES.request(TARGET, {"messages": conversation}, stream=False)
    back = json.loads(request.content)["input"]
    calls = [item for item in items if item["type"] == "function_call"]
    texts = [
        {"type": "message", "role": "assistant", "content": i["content"][0]["text"]}
        for i in items
        if i["type"] == "message"
    ]
    assert back == [
        {"type": "message", "role": "user", "content": "go"},
        *(item for item in items if item["type"] == "reasoning"),
        *texts,
        *({name: value for name, value in call.items() if name != "id"} for call in calls),
        *({"type": "function_call_output", "call_id": call["call_id"], "output": "r"} for call in calls),
        {"type": "message", "role": "user", "content": "on"},
    ]
