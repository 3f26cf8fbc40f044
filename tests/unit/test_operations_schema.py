"""What the surfaces beside chat accept, and how they refuse: pure, by field name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference import operations_schema as schema
from gateway.errors import BadRequest, GatewayError, PayloadTooLarge
from tests.support.examples import examples

CHECKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "embeddings": schema.check_embeddings,
    "rerank": schema.check_rerank,
    "images": schema.check_images,
    "speech": schema.check_speech,
    "transcription": schema.check_transcription,
}
AUDIO = {"data": "AAAA", "format": "wav"}
GOOD: dict[str, dict[str, Any]] = {
    "embeddings": {"input": "x"},
    "rerank": {"query": "q", "documents": ["a"]},
    "images": {"prompt": "p"},
    "speech": {"input": "x"},
    "transcription": {"input_audio": AUDIO},
}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("embeddings", {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 1, "unknown": {"x": 1}}),
        ("embeddings", {"input": list(range(5_000))}),
        ("embeddings", {"input": [[1], [2, 3]]}),
        ("embeddings", {"input": [{"content": [{"type": "text", "text": "x"}]}], "user": None}),
        ("rerank", {"query": "q", "documents": [{"text": "a"}, "b", {"image": "data:"}], "top_n": 1}),
        ("images", {"prompt": "p", "size": "2K", "aspect_ratio": "19.5:9", "n": 10, "seed": -1}),
        ("images", {"prompt": "p", "size": "1024x1536", "aspect_ratio": "auto", "response_format": "b64_json"}),
        ("images", {"prompt": "p", "input_references": [{"type": "image_url", "image_url": {"url": "data:"}}]}),
        ("speech", {"input": [{"text": "a", "voice": "x"}], "voice": {"id": "v"}, "stream_format": "audio"}),
        ("transcription", {"input_audio": AUDIO, "response_format": "text", "stream": False, "temperature": 0}),
        (
            "transcription",
            {
                "input_audio": AUDIO,
                "response_format": "verbose_json",
                "timestamp_granularities": ["word"],
                "diarize": True,
            },
        ),
    ],
)
def test_what_the_contract_has_is_accepted(operation: str, body: dict[str, Any]) -> None:
    """Documented requests pass, null counts as absent, unknown fields are not an error."""
    CHECKS[operation]({"model": "a/b", **body})


@pytest.mark.parametrize(
    ("operation", "body", "field"),
    [
        ("embeddings", {"input": ""}, "input"),
        ("embeddings", {"input": []}, "input"),
        ("embeddings", {"input": ["a", 1]}, "input"),
        ("embeddings", {"input": ["a", ""]}, "input[1]"),
        ("embeddings", {"input": [[]]}, "input[0]"),
        ("embeddings", {"input": [-1]}, "input[0]"),
        ("embeddings", {"input": [1.5]}, "input[0]"),
        ("embeddings", {"input": [["a"]]}, "input[0][0]"),
        ("embeddings", {"input": 5}, "input"),
        ("embeddings", {"input": None}, "input"),
        ("embeddings", {"input": ["a"] * 2_049}, "input"),
        ("embeddings", {"dimensions": 0}, "dimensions"),
        ("embeddings", {"encoding_format": "int8"}, "encoding_format"),
        ("embeddings", {"input": [{"content": []}]}, "input[0].content"),
        ("embeddings", {"provider": "openai"}, "provider"),
        ("embeddings", {"user": 5}, "user"),
        ("embeddings", {"model": None}, "model"),
        ("embeddings", {"model": None, "models": []}, "model"),
        ("rerank", {"query": ""}, "query"),
        ("rerank", {"documents": []}, "documents"),
        ("rerank", {"documents": [{"title": "x"}]}, "documents[0]"),
        ("rerank", {"documents": [5]}, "documents[0]"),
        ("rerank", {"top_n": 0}, "top_n"),
        ("images", {"prompt": None}, "prompt"),
        ("images", {"n": 0}, "n"),
        ("images", {"n": 11}, "n"),
        ("images", {"size": "large"}, "size"),
        ("images", {"size": "1024x1024\n"}, "size"),
        ("images", {"resolution": "8K"}, "resolution"),
        ("images", {"aspect_ratio": "wide"}, "aspect_ratio"),
        ("images", {"size": "512x512", "resolution": "2K"}, "resolution"),
        ("images", {"output_format": "bmp"}, "output_format"),
        ("images", {"background": "pink"}, "background"),
        ("images", {"output_compression": 101}, "output_compression"),
        ("images", {"response_format": "url"}, "response_format"),
        ("images", {"input_references": [{"type": "image_url", "image_url": {}}]}, "input_references[0].image_url"),
        ("speech", {"input": ""}, "input"),
        ("speech", {"input": []}, "input"),
        ("speech", {"input": [{"voice": "a"}]}, "input[0]"),
        ("speech", {"voice": 5}, "voice"),
        ("speech", {"speed": 0.1}, "speed"),
        ("speech", {"response_format": "midi"}, "response_format"),
        ("speech", {"stream_format": "sse"}, "stream_format"),
        ("transcription", {"input_audio": None}, "input_audio"),
        ("transcription", {"input_audio": {}}, "input_audio.data"),
        ("transcription", {"input_audio": {"url": "https://x.test/a.mp3"}}, "input_audio.url"),
        ("transcription", {"source_url": "https://x.test/a.mp3"}, "source_url"),
        ("transcription", {"input_audio": {"data": "AAAA"}}, "input_audio.format"),
        ("transcription", {"input_audio": {"data": "AAAA", "format": "exe"}}, "input_audio.format"),
        ("transcription", {"response_format": "srt"}, "response_format"),
        ("transcription", {"temperature": 3}, "temperature"),
        ("transcription", {"stream": True}, "stream"),
        ("transcription", {"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        (
            "transcription",
            {"response_format": "verbose_json", "timestamp_granularities": ["line"]},
            "timestamp_granularities[0]",
        ),
        ("transcription", {"diarize": True}, "diarize"),
    ],
)
def test_what_is_wrong_is_named(operation: str, body: dict[str, Any], field: str) -> None:
    """A 400 whose ``field`` is the one that is wrong, and whose message is not empty."""
    with pytest.raises(BadRequest) as caught:
        CHECKS[operation]({"model": "a/b", **GOOD[operation], **body})
    assert caught.value.metadata.get("field") == field
    assert caught.value.message


def test_more_audio_than_the_contract_has_is_too_large() -> None:
    """25 MB of bytes as base64 is the limit."""
    data = "A" * (schema.MAX_AUDIO_BYTES * 4 // 3 + 8)
    with pytest.raises(PayloadTooLarge):
        schema.check_transcription({"model": "a/b", "input_audio": {"data": data, "format": "wav"}})


@pytest.mark.parametrize("data", ["%%%", "AAA", "data:audio/wav;base64,AAAA", "", "AA==AA==", "ÄÄÄÄ"])
def test_what_is_not_base64_is_refused(data: str) -> None:
    """By name; a data URL is not what the field takes."""
    with pytest.raises(BadRequest) as caught:
        schema.audio_bytes(data)
    assert caught.value.metadata["field"] == "input_audio.data"


def test_the_inner_request_has_nothing_of_chat() -> None:
    """Fields that steer the pipeline for chat cannot be smuggled in; the request given stays as it is."""
    body = {
        "model": "a/b",
        "input": "x",
        "stream": True,
        "max_tokens": "many",
        "messages": 5,
        "tools": [1],
        "user": None,
    }
    before = dict(body)
    assert schema.inner(body, "input") == {"model": "a/b"}
    assert body == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {
        name
        for kind in (
            schema.EmbeddingsRequest,
            schema.RerankRequest,
            schema.ImagesRequest,
            schema.SpeechRequest,
            schema.TranscriptionRequest,
        )
        for name in kind.__struct_fields__
    }
    | {"stream", "source_url"}
)


@pytest.mark.parametrize("operation", list(CHECKS))
@examples(100)
@given(body=st.dictionaries(st.sampled_from(FIELDS), values, max_size=8))
def test_any_json_is_accepted_or_refused(operation: str, body: dict[str, Any]) -> None:
    """Nothing but a GatewayError, whatever the fields hold, alone and over a good request; the request is not changed."""
    for whole in (body, {"model": "a/b", **GOOD[operation], **body}):
        before, status = msgspec.json.encode(whole), 400
        try:
            CHECKS[operation](whole)
        except GatewayError as error:
            status = error.status
        assert status in (400, 413)
        assert msgspec.json.encode(whole) == before
