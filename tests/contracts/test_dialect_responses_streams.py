"""The Responses dialect against recorded streams: whole, cut anywhere, damaged; what comes out as chat clients read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openrouter.components import ChatStreamChunk

from providers.errors import ProviderError
from providers.responses import Responses
from providers.types import Event

WIRE = Path(__file__).parents[1] / "wire/responses/streams"
STREAMS = {
    path.stem: (path.read_bytes(), json.loads(path.with_suffix(".json").read_text()))
    for path in sorted(WIRE.glob("*.sse"))
}
GOOD = [name for name, (_, expected) in STREAMS.items() if "error" not in expected]
BAD = [name for name, (_, expected) in STREAMS.items() if "error" in expected]
RESPONSES = Responses()


def decode(pieces: list[bytes]) -> tuple[list[Event], ProviderError | None]:
    """Every event, and the error that ended the stream if one did, as the driver would see them."""
    decoder, events = RESPONSES.decoder(), []
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


def joined(details: list[dict[str, Any]]) -> list[list[Any]]:
    """Fragments of reasoning details as a client joins them: by index."""
    parts: dict[int, list[Any]] = {}
    for detail in details:
        words = detail.get("summary") or detail.get("text") or detail.get("data")
        part = parts.setdefault(detail["index"], [detail["type"], detail["id"], ""])
        assert part[:2] == [detail["type"], detail["id"]]
        assert detail["format"] == "openai-responses-v1"
        part[2] += words
    assert list(parts) == list(range(len(parts)))
    return list(parts.values())


def summary(events: list[Event]) -> dict[str, Any]:
    """What a chat client has at the end."""
    seen: dict[str, Any] = {"text": "", "finish": [], "usage": None}
    tools: dict[int, list[str]] = {}
    details, custom, lists = [], set(), {"images": [], "logprobs": [], "cited": []}
    for event in events:
        if event.usage is not None:
            seen["usage"] = {name: count for name, count in msgspec.to_builtins(event.usage).items() if count}
        if event.finish:
            seen["finish"].append(event.finish)
        for choice in event.chunk["choices"]:
            delta = choice["delta"]
            seen |= {"native": choice["native_finish_reason"]} if choice["finish_reason"] else {}
            seen |= {"phase": delta["phase"]} if "phase" in delta else {}
            for name, field in (("text", "content"), ("reasoning", "reasoning"), ("refusal", "refusal")):
                if delta.get(field):
                    seen[name] = seen.get(name, "") + delta[field]
            details += delta.get("reasoning_details", [])
            for tool in delta.get("tool_calls", ()):
                own = tool.get("function") or tool.get("custom")
                custom |= {tool["index"]} if "custom" in tool else set()
                one = tools.setdefault(tool["index"], ["", "", ""])
                one[0] += tool.get("id", "")
                one[1] += own.get("name", "")
                one[2] += own.get("arguments") or own.get("input") or ""
            lists["images"] += [image["image_url"]["url"] for image in delta.get("images", ())]
            lists["logprobs"] += [one["token"] for one in (choice.get("logprobs") or {}).get("content", ())]
            for cited in (one["url_citation"] for one in delta.get("annotations", ())):
                lists["cited"].append(seen["text"][cited["start_index"] : cited["end_index"]])
    assert sorted(tools) == list(range(len(tools)))
    seen |= {name: value for name, value in lists.items() if value}
    if tools:
        seen["custom" if custom else "tools"] = [tools[index] for index in sorted(tools)]
    return seen | ({"reasoning_details": joined(details)} if details else {})


def told(expected: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in expected.items() if name != "source"}


@pytest.mark.parametrize("name", GOOD)
def test_a_recorded_stream_says_what_it_says(name: str) -> None:
    """Text, reasoning, calls, pictures, citations, reasons and usage come out as the recording's description has them."""
    raw, expected = STREAMS[name]
    events, error = decode([raw])
    assert error is None
    assert summary(events) == told(expected)


@pytest.mark.parametrize("name", GOOD)
def test_every_event_of_the_vendor_is_handed_on_unchanged(name: str) -> None:
    """``wire`` has each event once, in order, as it was sent, known or not."""
    raw, _ = STREAMS[name]
    sent = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: {")]
    wires = [event.wire for event in decode([raw])[0]]
    assert wires == [(document["type"], document) for document in sent]


@pytest.mark.parametrize("name", GOOD)
def test_chunks_are_chunks(name: str) -> None:
    """Each chunk that says something satisfies both official SDKs; the first has the role; one, the last, has the reason."""
    events, _ = decode([STREAMS[name][0]])
    chunks = [event.chunk for event in events if event.chunk["choices"]]
    for chunk in chunks:
        assert chunk["choices"][0].keys() >= {"index", "delta", "finish_reason", "native_finish_reason"}
        if name != "custom-tool":  # neither SDK has words for streamed calls of custom tools
            ChatCompletionChunk.model_validate(chunk)
            ChatStreamChunk.model_validate(chunk)
    assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks] == [
        "assistant",
        *([None] * (len(chunks) - 1)),
    ]
    assert [chunk["choices"][0]["finish_reason"] is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]


@pytest.mark.parametrize("name", BAD)
def test_a_recorded_failure_is_that_failure(name: str) -> None:
    """An error event, first or in the middle, is the error it stands for; what came before it is not lost."""
    raw, expected = STREAMS[name]
    events, error = decode([raw])
    assert error is not None
    assert error.failure.kind == expected["error"]
    assert sum(event.content for event in events) == expected["before"]


def test_a_failure_never_quotes_the_prompt() -> None:
    """``response.failed`` repeats instructions and output; the error's ``raw`` has the vendor's error alone."""
    _, error = decode([STREAMS["error-azure-failed"][0]])
    assert error is not None
    assert json.loads(error.raw).keys() == {"code", "message"}
    assert error.provider_code == "rate_limit_exceeded"


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_is_the_same(name: str) -> None:
    """Fed one byte at a time, also inside UTF-8 characters, events and error are those of the whole."""
    raw, _ = STREAMS[name]
    assert_same(decode([raw[i : i + 1] for i in range(len(raw))]), decode([raw]))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.lists(st.integers(0, 20000), max_size=8))
def test_chunking_changes_nothing(name: str, places: list[int]) -> None:
    """However the network cuts a stream, the events and the error are the same."""
    raw, _ = STREAMS[name]
    marks = sorted({place % (len(raw) + 1) for place in places})
    assert_same(decode([raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]), decode([raw]))


def assert_same(
    pieced: tuple[list[Event], ProviderError | None], whole: tuple[list[Event], ProviderError | None]
) -> None:
    assert [(e.chunk, e.content, e.finish, e.usage, e.wire) for e in pieced[0]] == [
        (e.chunk, e.content, e.finish, e.usage, e.wire) for e in whole[0]
    ]
    assert (pieced[1] and pieced[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@pytest.mark.parametrize("name", GOOD)
def test_a_cut_stream_is_never_a_success(name: str) -> None:
    """Cut after any event but the last: empty when nothing came, else cut, never a finish reason."""
    raw, _ = STREAMS[name]
    pieces = raw.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]
    pieces = [piece for piece in pieces if piece.strip()]
    for end in range(len(pieces)):
        events, error = decode([b"".join(piece + b"\n\n" for piece in pieces[:end])])
        assert error is not None
        assert error.failure.kind == ("cut" if end else "empty")
        assert not [event for event in events if event.finish]


def test_encrypted_reasoning_is_no_content() -> None:
    """An answer that has only thought in secret so far has shown nothing: another endpoint may still take over."""
    events, _ = decode([STREAMS["tool-call"][0]])
    shown = [event.content for event in events]
    encrypted = next(i for i, e in enumerate(events) if "gAAAA" in json.dumps(e.chunk))
    assert not any(shown[: encrypted + 1])
    assert shown[encrypted + 1]


def test_the_text_cannot_come_twice() -> None:
    """The ``done`` events repeat what their deltas said; a repeated item is told once."""
    raw = STREAMS["text"][0]
    done = next(piece for piece in raw.split(b"\n\n") if b'"response.output_item.done"' in piece)
    events, error = decode([raw.replace(done, done + b"\n\n" + done)])
    assert error is None
    assert summary(events)["text"] == STREAMS["text"][1]["text"]


def event(**document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def test_ids_that_change_from_event_to_event() -> None:
    """GitHub Copilot gives every event another id: the place in the output tells whose deltas they are."""
    added = {"type": "function_call", "id": "a", "call_id": "call_1", "name": "f", "arguments": ""}
    said = {"type": "message", "id": "x", "content": [{"type": "output_text", "text": "Hi"}]}
    events, error = decode(
        [
            event(type="response.output_text.delta", output_index=0, item_id="1", delta="Hi"),
            event(type="response.output_item.done", output_index=0, item=said),
            event(type="response.output_item.added", output_index=1, item=added),
            event(type="response.function_call_arguments.delta", output_index=1, item_id="b", delta="{}"),
            event(type="response.output_item.done", output_index=1, item=added | {"id": "c", "arguments": "{}"}),
            event(type="response.completed", response={"status": "completed", "output": [said | {"id": "y"}]}),
        ]
    )
    assert error is None
    seen = summary(events)
    assert (seen["text"], seen["tools"]) == ("Hi", [["call_1", "f", "{}"]])


def test_an_item_without_deltas_is_told_when_done() -> None:
    """Text, refusal and reasoning of a vendor that sends finished items only are not lost."""
    parts = [
        {"type": "output_text", "text": "Hi", "logprobs": [{"token": "Hi", "logprob": -1}]},
        {"type": "refusal", "refusal": "No"},
    ]
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"text": "a"}, {"text": "b"}], "encrypted_content": "E"}
    events, error = decode(
        [
            event(type="response.output_item.done", output_index=0, item=thought),
            event(type="response.output_item.done", output_index=1, item={"type": "message", "content": parts}),
            event(type="response.completed", response={"status": "completed"}),
        ]
    )
    assert error is None
    seen = summary(events)
    assert (seen["text"], seen["refusal"], seen["reasoning"], seen["logprobs"]) == ("Hi", "No", "a\n\nb", ["Hi"])
    assert [part[2] for part in seen["reasoning_details"]] == ["a", "b", "E"]


KEYS = [
    "type",
    "item",
    "delta",
    "output_index",
    "item_id",
    "id",
    "response",
    "output",
    "status",
    "error",
    "code",
    "message",
]
KEYS += ["content", "text", "annotations", "annotation", "url", "logprobs", "summary", "encrypted_content", "usage"]
KEYS += [
    "incomplete_details",
    "reason",
    "call_id",
    "name",
    "arguments",
    "summary_index",
    "part",
    "tool_usage",
    "result",
]
TYPES = [
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "web_search_call",
    "image_generation_call",
    "output_text",
]
TYPES += ["refusal", "url_citation", "failed", "completed", "incomplete", "response.output_text.delta", "error"]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(TYPES)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=14,
)
EVENTS = ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "refusal.delta"]
EVENTS += ["function_call_arguments.delta", "custom_tool_call_input.delta", "reasoning_summary_text.delta"]
EVENTS += [
    "reasoning_text.delta",
    "output_text.annotation.added",
    "output_item.done",
    "completed",
    "incomplete",
    "failed",
    "x",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(EVENTS), st.dictionaries(st.sampled_from(KEYS[1:]), JUNK, max_size=6)), max_size=6
    )
)
def test_junk_in_events_is_ignored_or_a_failure(junk: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever stands in the fields of known events, nothing but a provider's failure is raised, and chunks stay chunks."""
    events, error = decode([event(**(document | {"type": f"response.{kind}"})) for kind, document in junk])
    assert error is not None or events[-1].finish
    for one in events:
        if not any(
            "custom" in call for choice in one.chunk["choices"] for call in choice["delta"].get("tool_calls", ())
        ):
            ChatCompletionChunk.model_validate(one.chunk)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_failure(junk: bytes) -> None:
    """No bytes raise anything but a provider's failure, and noise is never an answer."""
    assert decode([junk])[1] is not None
    assert decode([b"event: response.created\ndata: " + junk + b"\n\n"])[1] is not None
