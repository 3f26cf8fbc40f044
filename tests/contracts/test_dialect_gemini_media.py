"""Embeddings and pictures of AI Studio and Vertex: requests as Google's SDK builds them, answers in our languages."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from providers.base import Dialect
from providers.errors import ProviderError
from providers.gemini.embeddings import GeminiEmbeddings
from providers.gemini.images import GeminiImages
from providers.types import Target, Usage
from providers.vertex.dialect import VertexEmbeddings, VertexImages
from tests.support.examples import examples

BASE = "http://vendor/v1"
STUDIO, CLOUD = GeminiEmbeddings(), VertexEmbeddings()
DRAW, DRAW_CLOUD = GeminiImages(), VertexImages()
PNG = "data:image/png;base64,AAAA"


def target(model: str = "gemini-embedding-001", **options: Any) -> Target:
    return Target("google", BASE, model, api_key="AIzaK", options=options)


def sent(
    dialect: Dialect, body: dict[str, Any], model: str = "gemini-embedding-001", **options: Any
) -> tuple[str, Any]:
    before = json.dumps(body)
    request = dialect.request(target(model, **options), body, stream=False)
    assert json.dumps(body) == before
    assert ("x-goog-api-key", "AIzaK") in request.headers
    return request.url.removeprefix(f"{BASE}/models/"), json.loads(request.content)


def text(words: str) -> dict[str, Any]:
    return {"parts": [{"text": words}]}


def test_embeddings_of_ai_studio() -> None:
    """One batch; the task and the size in every request of it."""
    url, body = sent(STUDIO, {"input": ["a", "b"], "dimensions": 256, "input_type": "search_query"})
    assert url == "gemini-embedding-001:batchEmbedContents"
    one = {"model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256}
    assert body == {"requests": [{**one, "content": text("a")}, {**one, "content": text("b")}]}
    assert sent(STUDIO, {"input": "a"})[1]["requests"] == [
        {"model": "models/gemini-embedding-001", "content": text("a")}
    ]


def test_embeddings_of_vertex() -> None:
    """Gemini's models one by one or in a batch, the older ones by prediction; a text too long is an error, not cut."""
    config = {"outputDimensionality": 8, "autoTruncate": False}
    assert sent(CLOUD, {"input": "a", "dimensions": 8}) == (
        "gemini-embedding-001:embedContent",
        {"content": text("a"), "embedContentConfig": config},
    )
    url, body = sent(CLOUD, {"input": ["a", "b"], "dimensions": 8})
    assert url == "gemini-embedding-001:batchEmbedContents"
    assert body["requests"][1] == {"content": text("b"), "embedContentConfig": config}
    request = {"input": ["a", "b"], "dimensions": 8, "input_type": "document"}
    assert sent(CLOUD, request, "text-embedding-005") == (
        "text-embedding-005:predict",
        {
            "instances": [{"content": one, "task_type": "RETRIEVAL_DOCUMENT"} for one in ("a", "b")],
            "parameters": {"autoTruncate": False, "outputDimensionality": 8},
        },
    )


def test_embeddings_of_more_than_text() -> None:
    """Multimodal inputs are Google's parts; models that predict take text only."""
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}]
    _, body = sent(STUDIO, {"input": [{"content": content}]})
    parts = body["requests"][0]["content"]["parts"]
    types.Content.model_validate({"parts": parts})
    assert parts == [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    with pytest.raises(ProviderError, match=r"input\[0\]"):
        sent(CLOUD, {"input": [{"content": content}]}, "text-embedding-005")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"input": [1, 2, 3]}, "token ids"),
        ({"input": [[1, 2], [3]]}, "token ids"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a", None]}, r"input\[1\]"),
        ({"input": "a", "input_type": "poetry"}, "input_type"),
    ],
)
def test_inputs_that_cannot_be_embedded(body: dict[str, Any], names: str) -> None:
    """Token ids, nothing, unknown tasks: ``unsupported`` with the field's name."""
    for dialect in (STUDIO, CLOUD):
        with pytest.raises(ProviderError, match=names) as caught:
            sent(dialect, body)
        assert caught.value.failure.kind == "unsupported"


@pytest.mark.parametrize(
    ("document", "vectors", "usage"),
    [
        ({"embeddings": [{"values": [0.5, -1]}, {"values": [0.25]}]}, [[0.5, -1], [0.25]], None),
        ({"embeddings": [{"values": [1.5]}], "usageMetadata": {"promptTokenCount": 7}}, [[1.5]], Usage(prompt=7)),
        ({"embedding": {"values": [1.5]}, "usageMetadata": {"promptTokenCount": 3}, "truncated": False}, [[1.5]], Usage(prompt=3)),
        (
            {"predictions": [{"embeddings": {"values": [1.5], "statistics": {"token_count": n, "truncated": False}}} for n in (2, 3)], "metadata": {"billableCharacterCount": 9}},
            [[1.5], [1.5]],
            Usage(prompt=5),
        ),
    ],
)  # fmt: skip
def test_embeddings_come_back(document: dict[str, Any], vectors: list[list[float]], usage: Usage | None) -> None:
    """All three shapes of Google's answers, in order, with the tokens where the vendor reports them."""
    answer = STUDIO.completion(json.dumps(document).encode())
    assert answer.body["data"] == [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    assert answer.usage == usage
    CreateEmbeddingResponse.model_validate(
        {**answer.body, "model": "m", "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    )


def test_pictures_of_gemini() -> None:
    """A prompt behind its references, the shape from size, ratio or resolution; read by Google's own types."""
    request = {"prompt": "a cat", "n": 1, "size": "1792x1024", "seed": 2**33 + 1, "input_references": [{"type": "image_url", "image_url": {"url": PNG}}]}  # fmt: skip
    url, body = sent(DRAW, request, "gemini-image")
    assert url == "gemini-image:generateContent"
    types.GenerateContentConfig.model_validate(body["generationConfig"])
    types.Content.model_validate(body["contents"][0])
    assert body == {
        "contents": [
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": "a cat"}]}
        ],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
            "seed": 1,
        },
    }
    gs = {"prompt": "x", "input_references": [{"image_url": {"url": "gs://b/a.png"}}], "size": "auto"}
    assert sent(DRAW_CLOUD, gs)[1]["contents"][0]["parts"][0] == {
        "fileData": {"mimeType": "image/png", "fileUri": "gs://b/a.png"}
    }


@pytest.mark.parametrize(
    ("asks", "made"),
    [
        ({}, {}),
        ({"size": "1024x1024"}, {"aspectRatio": "1:1", "imageSize": "1K"}),
        ({"size": "1024x1536"}, {"aspectRatio": "2:3", "imageSize": "1K"}),
        ({"size": "4096x1755"}, {"aspectRatio": "21:9", "imageSize": "4K"}),
        ({"aspect_ratio": "4:5", "resolution": "2k"}, {"aspectRatio": "4:5", "imageSize": "2K"}),
        ({"aspect_ratio": "auto", "size": "4K"}, {"imageSize": "4K"}),
    ],
)
def test_the_shape_of_a_picture(asks: dict[str, Any], made: dict[str, Any]) -> None:
    """Pixels become the nearest ratio and the class that holds them."""
    _, body = sent(DRAW, {"prompt": "x", **asks}, "gemini-image")
    assert body["generationConfig"].get("imageConfig", {}) == made


def test_pictures_of_imagen() -> None:
    """By prediction: the parameters that ``google-genai`` sends under the same names."""
    request = {"prompt": "a cat", "n": 3, "aspect_ratio": "3:4", "resolution": "2K", "output_format": "jpeg", "output_compression": 80, "seed": 5}  # fmt: skip
    assert sent(DRAW_CLOUD, request, "imagen-4", images="predict") == (
        "imagen-4:predict",
        {
            "instances": [{"prompt": "a cat"}],
            "parameters": {
                "sampleCount": 3,
                "aspectRatio": "3:4",
                "sampleImageSize": "2K",
                "seed": 5,
                "addWatermark": False,
                "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80},
            },
        },
    )


@pytest.mark.parametrize(
    ("body", "options", "names"),
    [
        ({}, {}, "prompt"),
        ({"prompt": "x", "n": 2}, {}, "n:"),
        ({"prompt": "x", "size": "huge"}, {}, "size"),
        ({"prompt": "x", "resolution": "16K"}, {}, "resolution"),
        ({"prompt": "x", "aspect_ratio": 1}, {}, "aspect_ratio"),
        ({"prompt": "x", "output_format": "webp"}, {}, "output_format"),
        ({"prompt": "x", "background": "transparent"}, {}, "background"),
        ({"prompt": "x", "input_references": [{"image_url": {"url": "http://a/b.png"}}]}, {}, r"input_references\[0\]"),
        ({"prompt": "x", "input_references": [{"image_url": {"url": PNG}}]}, {"images": "predict"}, "input_references"),
        ({"prompt": "x", "output_format": "svg"}, {"images": "predict"}, "output_format"),
    ],
)
def test_pictures_that_cannot_be_drawn(body: dict[str, Any], options: dict[str, Any], names: str) -> None:
    """What Google's models do not do is ``unsupported`` with the field's name."""
    with pytest.raises(ProviderError, match=names) as caught:
        sent(DRAW, body, "gemini-image", **options)
    assert caught.value.failure.kind == "unsupported"


def drawn(*parts: dict[str, Any], finish: str = "STOP") -> bytes:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 1290, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}  # fmt: skip
    document = {"candidates": [{"content": {"parts": parts}, "finishReason": finish}], "usageMetadata": usage}
    return json.dumps(document).encode()


def test_pictures_come_back() -> None:
    """Pictures with their type; Gemini's are billed by tokens, Imagen's by the piece."""
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    answer = DRAW.completion(drawn({"text": "Here:"}, blob))
    assert answer.body["data"] == [{"b64_json": "AAAA", "media_type": "image/png"}]
    assert answer.usage == Usage(prompt=5, image_completion=1290)
    predicted = {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "AAAA"}, {"mimeType": "image/jpeg", "bytesBase64Encoded": "BBBB", "prompt": "better"}]}  # fmt: skip
    answer = DRAW.completion(json.dumps(predicted).encode())
    assert [one["media_type"] for one in answer.body["data"]] == ["image/png", "image/jpeg"]
    assert answer.usage == Usage(units={"image_output": 2})


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (drawn({"text": "I cannot."}), "empty"),
        (drawn(finish="IMAGE_SAFETY"), "content_policy"),
        (drawn(finish="NO_IMAGE"), "empty"),
        (b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}', "content_policy"),
        (
            b'{"predictions":[{"raiFilteredReason":"Unable to show: violence. Support codes: 58061214"}]}',
            "content_policy",
        ),
        (b"{}", "empty"),
        (b"", "empty"),
        (b"<html>", "malformed"),
        (b'{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
    ],
)
def test_pictures_that_did_not_come(raw: bytes, kind: str) -> None:
    """Filters, words instead of a picture, nothing: each is its failure."""
    with pytest.raises(ProviderError) as caught:
        DRAW.completion(raw)
    assert caught.value.failure.kind == kind


FIELDS = ["embeddings", "embedding", "predictions", "values", "statistics", "token_count", "usageMetadata", "candidates", "content", "parts", "inlineData", "data", "mimeType", "bytesBase64Encoded", "raiFilteredReason", "error"]  # fmt: skip


@examples(300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([STUDIO, DRAW]),
)  # fmt: skip
def test_any_json_is_an_answer_or_a_failure(document: Any, dialect: Dialect) -> None:
    """No JSON document raises anything but a provider's failure."""
    try:
        answer = dialect.completion(msgspec.json.encode(document))
    except ProviderError:
        return
    assert answer.body["data"]


def test_neither_is_streamed() -> None:
    """There is nothing to decode piece by piece."""
    for dialect in (STUDIO, CLOUD, DRAW, DRAW_CLOUD):
        with pytest.raises(ProviderError, match="not streamed"):
            dialect.decoder()
    assert {one.operation for one in (STUDIO, CLOUD)} == {"embeddings"}
    assert {one.name for one in (CLOUD, DRAW_CLOUD)} == {"vertex"}
