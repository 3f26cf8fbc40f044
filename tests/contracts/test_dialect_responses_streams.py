"""What is the Responses dialect's own in its streams: items, their deltas and what repeats them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.responses.dialect import Responses
from tests.support import dialectcases as cases

RESPONSES = Responses()
STREAMS = cases.streams("responses")


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_first_the_role_and_last_the_reason(name: str) -> None:
    """Of the chunks that say something the first has the role and no other; the last has the reason and no other."""
    events, _ = cases.decode(RESPONSES, [STREAMS[name].raw])
    choices = [event.chunk["choices"][0] for event in events if event.chunk["choices"]]
    assert ["role" in choice["delta"] for choice in choices] == [True, *[False] * (len(choices) - 1)]
    assert [choice["finish_reason"] is not None for choice in choices] == [*[False] * (len(choices) - 1), True]


def test_a_failure_never_quotes_the_prompt() -> None:
    """``response.failed`` repeats instructions and output; the error's ``raw`` has the vendor's error alone."""
    _, error = cases.decode(RESPONSES, [STREAMS["error-azure-failed"].raw])
    assert error is not None
    assert json.loads(error.raw).keys() == {"code", "message"}
    assert error.provider_code == "rate_limit_exceeded"


def test_encrypted_reasoning_is_no_content() -> None:
    """An answer that has only thought in secret so far has shown nothing: another endpoint may still take over."""
    events, _ = cases.decode(RESPONSES, [STREAMS["tool-call"].raw])
    shown = [event.content for event in events]
    encrypted = next(i for i, e in enumerate(events) if "gAAAA" in json.dumps(e.chunk))
    assert not any(shown[: encrypted + 1])
    assert shown[encrypted + 1]


def test_the_text_cannot_come_twice() -> None:
    """The ``done`` events repeat the text of their deltas; a repeated item is read once."""
    raw = STREAMS["text"].raw
    done = next(piece for piece in raw.split(b"\n\n") if b'"response.output_item.done"' in piece)
    events, error = cases.decode(RESPONSES, [raw.replace(done, done + b"\n\n" + done)])
    assert error is None
    assert cases.summary(events)["text"] == STREAMS["text"].expected["text"]


def event(**document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def test_ids_that_change_from_event_to_event() -> None:
    """GitHub Copilot gives every event another id: the place in the output tells whose deltas they are."""
    added = {"type": "function_call", "id": "a", "call_id": "call_1", "name": "f", "arguments": ""}
    item = {"type": "message", "id": "x", "content": [{"type": "output_text", "text": "Hi"}]}
    events, error = cases.decode(
        RESPONSES,
        [
            event(type="response.output_text.delta", output_index=0, item_id="1", delta="Hi"),
            event(type="response.output_item.done", output_index=0, item=item),
            event(type="response.output_item.added", output_index=1, item=added),
            event(type="response.function_call_arguments.delta", output_index=1, item_id="b", delta="{}"),
            event(type="response.output_item.done", output_index=1, item=added | {"id": "c", "arguments": "{}"}),
            event(type="response.completed", response={"status": "completed", "output": [item | {"id": "y"}]}),
        ],
    )
    assert error is None
    seen = cases.summary(events)
    assert (seen["text"], seen["tools"]) == ("Hi", [["call_1", "f", "{}"]])


def test_an_item_without_deltas_is_emitted_when_done() -> None:
    """Text, refusal and reasoning of a vendor that sends finished items only are not lost."""
    parts = [
        {"type": "output_text", "text": "Hi", "logprobs": [{"token": "Hi", "logprob": -1}]},
        {"type": "refusal", "refusal": "No"},
    ]
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"text": "a"}, {"text": "b"}], "encrypted_content": "E"}
    events, error = cases.decode(
        RESPONSES,
        [
            event(type="response.output_item.done", output_index=0, item=thought),
            event(type="response.output_item.done", output_index=1, item={"type": "message", "content": parts}),
            event(type="response.completed", response={"status": "completed"}),
        ],
    )
    assert error is None
    seen = cases.summary(events)
    assert (seen["text"], seen["refusal"], seen["reasoning"], seen["logprobs"]) == ("Hi", "No", "a\n\nb", [["Hi", -1]])
    assert [one.get("summary") or one["data"] for one in seen["details"]] == ["a", "b", "E"]
