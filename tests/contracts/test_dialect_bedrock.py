"""What is Bedrock's own in its answers; botocore reads the same bytes as oracle."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import create_parser

from providers.bedrock.dialect import Bedrock
from providers.errors import ProviderError
from tests.support import dialectcases as cases
from tests.wire.bedrock import frames

STREAMS, ANSWERS = cases.streams("bedrock"), cases.documents("bedrock", "answers")
BEDROCK = Bedrock()
MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")


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
    pieces = STREAMS["claude-text"].pieces[:2]
    events, error = cases.decode(BEDROCK, [*pieces, frames.line(json.dumps({name: body}))])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


def test_a_malformed_output_is_no_answer() -> None:
    """A stop reason that says the model's output was no good is a failure, not an answer."""
    body = {**ANSWERS["text"]["body"], "stopReason": "malformed_model_output"}
    with pytest.raises(ProviderError) as caught:
        BEDROCK.completion(json.dumps(body).encode())
    assert (caught.value.failure.kind, caught.value.provider_code) == ("malformed", "malformed_model_output")


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "absurd-usage"])
def test_botocore_reads_the_same_frames(name: str) -> None:
    """The bytes of our streams are what AWS' own library takes: every message decodes, known events parse to their shape."""
    expected = STREAMS[name].expected
    buffer = EventStreamBuffer()
    for piece in STREAMS[name].pieces:
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
        assert stops == [expected["native"]]
        if not name.startswith("structured"):
            assert text == expected.get("text", "")


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
