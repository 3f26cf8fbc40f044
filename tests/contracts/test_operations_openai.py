"""The OpenAI dialect beside chat: recorded answers, hostile bytes, and its requests as vendors and their SDK types read them."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import EmbeddingCreateParams
from openai.types.audio import SpeechCreateParams
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter, with_config

from providers.base import Dialect
from providers.errors import ProviderError
from providers.openai.embeddings import Embeddings
from providers.openai.images import Images, dimensions
from providers.openai.rerank import Rerank
from providers.openai.speech import Speech
from providers.openai.transcription import Transcription
from providers.transport.client import Upstream
from providers.transport.multipart import Field, encode
from providers.types import Call, Clocks, Completion, HttpRequest, HttpResponse, Target
from tests.support.examples import examples
from tests.support.operations import wav

WIRE = Path(__file__).parents[1] / "wire/openai/operations"
ANSWERS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / "answers").glob("*.json"))}
ERRORS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / "errors").glob("*.json"))}
ALL: dict[str, Dialect] = {one.operation: one for one in (Embeddings(), Rerank(), Images(), Speech(), Transcription())}
AUDIO = {"data": base64.b64encode(wav(0.1)).decode(), "format": "wav"}
BODIES: dict[str, dict[str, Any]] = {
    "embeddings": {"model": "m", "input": ["a", "b"]},
    "rerank": {"model": "m", "query": "q", "documents": ["a", "b"]},
    "images": {"model": "m", "prompt": "p"},
    "speech": {"model": "m", "input": "x", "response_format": "mp3"},
    "transcription": {"model": "m", "input_audio": AUDIO},
}


def target(**options: Any) -> Target:
    return Target("acme", "https://acme.test/v1", "their-name", api_key="k", options=options)


def sent(operation: str, body: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The JSON of one request."""
    request = ALL[operation].request(target(**options), body, stream=False)
    return cast("dict[str, Any]", json.loads(request.content))


def form(request: HttpRequest) -> list[tuple[str, str | None, bytes]]:
    """(name, file name, content) of every part, as the standard library's mail parser reads them."""
    kind = next(value for name, value in request.headers if name == "content-type")
    message: Message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.content)
    assert message.is_multipart()
    found = []
    for part in cast("list[Message]", message.get_payload()):
        name = str(part.get_param("name", header="content-disposition"))
        found.append((name, part.get_filename(), cast("bytes", part.get_payload(decode=True))))
    return found


def counts(completion: Completion) -> dict[str, Any] | None:
    if completion.usage is None:
        return None
    usage = msgspec.to_builtins(completion.usage)
    return {name: count for name, count in usage.items() if count}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_recorded_answer_is_what_it_is(name: str) -> None:
    """Body and disjoint usage, or the kind of failure, as the recording's description has them."""
    case = ANSWERS[name]
    raw = json.dumps(case["answer"]).encode()
    if "error" in case:
        with pytest.raises(ProviderError) as caught:
            ALL[case["operation"]].completion(raw)
        assert caught.value.failure.kind == case["error"]
        return
    completion = ALL[case["operation"]].completion(raw)
    assert completion.body == case.get("body", case["answer"])
    assert counts(completion) == case["usage"]


@pytest.mark.parametrize("name", list(ERRORS))
@pytest.mark.parametrize("operation", list(ALL))
def test_a_refusal_is_classified(name: str, operation: str) -> None:
    """Every operation reads a refusal as chat does."""
    case = ERRORS[name]
    error = ALL[operation].failure(HttpResponse(case["status"], {}, json.dumps(case["body"]).encode()))
    assert error.failure.kind == case["kind"]
    assert error.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=4), inside, max_size=4),
    max_leaves=12,
)
KEYS = ("data", "results", "text", "usage", "meta", "duration", "segments", "error", "id", "model", "output_format")
INNER = ("embedding", "index", "relevance_score", "document", "b64_json", "url", "media_type", "tokens", "billed_units")
documents = st.dictionaries(
    st.sampled_from(KEYS),
    json_values | st.lists(st.dictionaries(st.sampled_from(INNER), json_values, max_size=5), max_size=3),
    max_size=6,
)


@pytest.mark.parametrize("operation", list(ALL))
@examples(80)
@given(raw=st.binary(max_size=64) | documents.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_an_answer_or_a_failure(operation: str, raw: bytes) -> None:
    """Hostile bytes raise ProviderError or give an answer that can be encoded; nothing else ever leaves a dialect."""
    dialect = ALL[operation]
    for headers in ({"content-type": "application/json"}, {"content-type": "audio/mpeg"}, {}):
        try:
            completion = dialect.read(HttpResponse(200, headers, raw))
        except ProviderError:
            continue
        msgspec.json.encode(completion.body)
        usage = completion.usage
        if usage is not None:
            numbers = [usage.prompt, usage.completion, usage.image_prompt, usage.image_completion, usage.audio_prompt]
            assert min(numbers + list((usage.units or {}).values())) >= 0


@pytest.mark.parametrize("operation", list(ALL))
def test_a_request_goes_to_its_path_with_the_key_and_their_name(operation: str) -> None:
    """Path, key, model; an own path and an own header for the key; the body given is not changed; streams are refused."""
    paths = {
        "embeddings": "/embeddings",
        "rerank": "/rerank",
        "images": "/images/generations",
        "speech": "/audio/speech",
        "transcription": "/audio/transcriptions",
    }
    body = BODIES[operation]
    before = json.dumps(body)
    request = ALL[operation].request(target(), body, stream=False)
    assert request.url == "https://acme.test/v1" + paths[operation]
    assert ("authorization", "Bearer k") in request.headers
    assert b"their-name" in request.content
    own = target(**{f"{operation}_path": "/else", "api_key_header": "api-key"})
    request = ALL[operation].request(own, body, stream=False)
    assert request.url == "https://acme.test/v1/else"
    assert ("api-key", "k") in request.headers
    assert json.dumps(body) == before
    with pytest.raises(ProviderError) as caught:
        ALL[operation].request(target(), body, stream=True)
    assert caught.value.failure.kind == "unsupported"
    with pytest.raises(ProviderError):
        ALL[operation].decoder()


def strict(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(kind))


def test_requests_are_those_of_the_sdk() -> None:
    """Every JSON request fits the official SDK's parameter types, unknown fields forbidden."""
    routed = {"provider": {"only": ["x"]}, "session_id": "s", "models": ["m"], "trace": {}, "stream": False}
    for given_input in ("text", ["a", "b"], [1, 2], [[1], [2, 3]]):
        body = {"model": "m", "input": given_input, "dimensions": 8, "input_type": "query", "user": "u", **routed}
        embeddings = sent("embeddings", body)
        strict(EmbeddingCreateParams).validate_python(embeddings)
        assert embeddings["input"] == given_input
    speech = {"model": "m", "input": "x", "voice": "alloy", "response_format": "mp3", "speed": 1.5, "instructions": "i"}
    strict(SpeechCreateParams).validate_python(sent("speech", {**speech, **routed}))
    picture = {"model": "m", "prompt": "p", "n": 2, "size": "1024x1024", "quality": "high", "background": "auto"}
    picture |= {"output_format": "webp", "output_compression": 50, "seed": 1, "user": "u"}
    strict(ImageGenerateParamsNonStreaming).validate_python(sent("images", {**picture, **routed}))


def test_quirks_of_a_vendor_are_data() -> None:
    """Dropped, renamed and added fields, per operation; options of chat do not leak in."""
    options = {
        "rerank_rename": {"top_n": "top_k"},
        "rerank_extra": {"return_documents": False, "user": None},
        "embeddings_drop": ["dimensions"],
        "extra_body": {"enable_thinking": True},
    }
    body = {**BODIES["rerank"], "top_n": 3, "user": "u"}
    assert sent("rerank", body, **options) == {
        "model": "their-name",
        "query": "q",
        "documents": ["a", "b"],
        "top_k": 3,
        "return_documents": False,
    }
    assert sent("embeddings", {**BODIES["embeddings"], "dimensions": 3}, **options) == {
        "model": "their-name",
        "input": ["a", "b"],
    }


def test_base64_is_requested_only_where_it_is_known() -> None:
    """The caller's encoding goes out only to a vendor that knows base64; input_type to one that knows it."""
    body = {**BODIES["embeddings"], "encoding_format": "base64", "input_type": "query"}
    assert sent("embeddings", body).keys() == {"model", "input"}
    known = sent("embeddings", body, embeddings_base64=True, embeddings_input_type=True)
    assert (known["encoding_format"], known["input_type"]) == ("base64", "query")
    assert "encoding_format" not in sent("embeddings", {**body, "encoding_format": "float"}, embeddings_base64=True)


@pytest.mark.parametrize(
    ("operation", "body", "words"),
    [
        ("embeddings", {"input": [{"content": [{"type": "text", "text": "x"}]}]}, "input"),
        ("rerank", {"query": "q", "documents": ["a", {"text": "b", "image": "data:,"}]}, "documents[1].image"),
        (
            "images",
            {"prompt": "p", "input_references": [{"image_url": {"url": "https://x.test/"}}]},
            "input_references[0]",
        ),
        ("images", {"prompt": "p", "aspect_ratio": "1:0"}, "aspect_ratio"),
        ("images", {"prompt": "p", "aspect_ratio": "90:1"}, "aspect_ratio"),
        ("speech", {"input": [{"text": "a", "voice": "x"}, {"text": "b", "voice": "y"}]}, "input"),
        ("speech", {"input": "a", "input_references": [{}]}, "input_references"),
        ("transcription", {"input_audio": {"url": "https://x.test/a.mp3"}}, "input_audio.url"),
        ("transcription", {"input_audio": {"data": "A", "format": "wav"}}, "input_audio.data"),
        ("transcription", {"input_audio": {"data": "AAAA", "format": "exe"}}, "input_audio.format"),
        ("transcription", {"input_audio": AUDIO, "diarize": True}, "diarize"),
    ],
)
def test_what_the_format_cannot_express_is_unsupported(operation: str, body: dict[str, Any], words: str) -> None:
    """``unsupported`` before anything is sent, naming the field."""
    with pytest.raises(ProviderError) as caught:
        ALL[operation].request(target(), {"model": "m", **body}, stream=False)
    assert caught.value.failure.kind == "unsupported"
    assert words in caught.value.message


def test_a_transcription_is_a_form_with_the_file() -> None:
    """Bytes, file name, model and repeated fields, as another reader of forms finds them; verbose where the option says."""
    body = {
        **BODIES["transcription"],
        "language": "de",
        "temperature": 0.2,
        "prompt": "Zeile 1\r\nÜmläut",
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "provider": {"only": ["x"]},
    }
    parts = form(ALL["transcription"].request(target(), body, stream=False))
    assert parts[0] == ("file", "audio.wav", wav(0.1))
    rest = [(name, content.decode()) for name, _, content in parts[1:]]
    assert sorted(rest) == sorted(
        [
            ("model", "their-name"),
            ("language", "de"),
            ("temperature", "0.2"),
            ("prompt", "Zeile 1\r\nÜmläut"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ]
    )
    short = {**body, "response_format": "json"}
    for options, wanted in (({}, "json"), ({"transcription_verbose": True}, "verbose_json")):
        names = {
            name: content for name, _, content in form(Transcription().request(target(**options), short, stream=False))
        }
        assert names["response_format"].decode() == wanted
        assert ("timestamp_granularities[]" in names) is (wanted == "verbose_json")


def test_references_make_an_edit() -> None:
    """Pictures go as files to /images/edits, in order, with their type."""
    png, jpg = b"\x89PNG\r\n\x1a\n\r\n--x", b"\xff\xd8\xff"
    references = [
        {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}
        for kind, data in (("image/png", png), ("image/jpeg", jpg))
    ]
    request = Images().request(
        target(), {"model": "m", "prompt": "p", "n": 2, "input_references": references}, stream=False
    )
    assert request.url == "https://acme.test/v1/images/edits"
    parts = form(request)
    assert parts[:2] == [("image[]", "reference-0.png", png), ("image[]", "reference-1.jpeg", jpg)]
    assert sorted(parts[2:]) == [("model", None, b"their-name"), ("n", None, b"2"), ("prompt", None, b"p")]


@pytest.mark.parametrize(
    ("body", "options", "wanted"),
    [
        ({}, {}, {}),
        ({"size": "auto"}, {}, {"size": "auto"}),
        ({"size": "1536x864"}, {}, {"size": "1536x864"}),
        ({"aspect_ratio": "16:9"}, {}, {"size": "1360x768"}),
        ({"aspect_ratio": "1:1", "resolution": "2K"}, {}, {"size": "2048x2048"}),
        ({"size": "4K", "aspect_ratio": "2:1"}, {}, {"size": "5792x2896"}),
        ({"aspect_ratio": "auto"}, {}, {}),
        ({"aspect_ratio": "9:16"}, {"images_sizes": ["1024x1024", "1536x1024", "1024x1536"]}, {"size": "1024x1536"}),
        ({"size": "512x768"}, {"images_shape": "pixels"}, {"width": 512, "height": 768}),
        ({"resolution": "512"}, {"images_shape": "pixels"}, {"width": 512, "height": 512}),
        (
            {"aspect_ratio": "3:2", "resolution": "2K"},
            {"images_shape": "aspect"},
            {"aspect_ratio": "3:2", "resolution": "2k"},
        ),
        ({"size": "1792x1024"}, {"images_shape": "aspect"}, {"aspect_ratio": "16:9"}),
    ],
)
def test_sizes_in_the_vendors_format(body: dict[str, Any], options: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Size, tier and ratio become what the vendor takes."""
    assert dimensions(body, options) == wanted


@examples(100)
@given(wide=st.integers(1, 21), high=st.integers(1, 21), tier=st.sampled_from(["512", "1K", "1.5K", "4K"]))
def test_computed_sizes_keep_the_ratio(wide: int, high: int, tier: str) -> None:
    """Multiples of 16 within a step of the requested ratio."""
    if not 0.05 <= wide / high <= 20:
        return
    size = dimensions({"aspect_ratio": f"{wide}:{high}", "resolution": tier}, {})["size"]
    width, height = map(int, size.split("x"))
    assert width % 16 == height % 16 == 0
    assert math.isclose(width / height, wide / high, rel_tol=16 / min(width, height))


class Canned:
    """An ``Upstream`` that always answers the same."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        return HttpResponse(200, {"content-type": "application/json"}, json.dumps(self.body).encode())


def completed(operation: str, answer: dict[str, Any], body: dict[str, Any]) -> Completion:
    upstream = cast("Upstream", Canned(answer))
    return asyncio.run(ALL[operation].complete(upstream, target(), Call({"model": "m", **body}), Clocks()))


def test_an_answer_must_fit_its_question() -> None:
    """Too few embeddings, or a document that was not sent, are failures of the vendor; top_n is kept for it."""
    one = {"data": [{"embedding": [0.5], "index": 0}]}
    assert completed("embeddings", one, {"input": [1, 2, 3]}).body["data"]
    for wrong in (["a", "b"], [[1], [2]]):
        with pytest.raises(ProviderError, match="embeddings came back"):
            completed("embeddings", one, {"input": wrong})
    ranked = {"results": [{"index": 1, "relevance_score": 2}, {"index": 0, "relevance_score": 3}]}
    body = {"query": "q", "documents": ["a", "b"], "top_n": 1}
    assert [row["index"] for row in completed("rerank", ranked, body).body["results"]] == [0]
    with pytest.raises(ProviderError, match="was not sent"):
        completed("rerank", ranked, {"query": "q", "documents": ["a"]})


@examples(60)
@given(
    fields=st.lists(
        st.tuples(st.text(min_size=1, max_size=12), st.binary(max_size=60), st.none() | st.text(max_size=12)),
        min_size=1,
        max_size=4,
    )
)
def test_forms_carry_any_bytes(fields: list[tuple[str, bytes, str | None]]) -> None:
    """The boundary is in no content, so splitting at it gives the contents back, whatever they are."""
    content, kind = encode([Field(name, data, filename) for name, data, filename in fields])
    boundary = kind.partition("boundary=")[2].encode()
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    assert [piece.split(b"\r\n\r\n", 1)[1] for piece in pieces[1:-1]] == [data for _, data, _ in fields]


def test_two_forms_have_two_boundaries() -> None:
    """The boundary is random, so that no content can contain it."""
    made: Callable[[], str] = lambda: encode([Field("a", b"")])[1]  # noqa: E731
    assert made() != made()
