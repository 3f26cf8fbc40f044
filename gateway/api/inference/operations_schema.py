"""The documented fields of the operations other than chat, as types: one source for validation and for the OpenAPI page.

As with chat, unknown fields are accepted and passed on to providers that know them, a known field of a wrong type is refused, and
``null`` is accepted wherever a field is optional. Ranges: OpenRouter's and OpenAI's API references and SDKs, read 2026-11-21.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import AudioPart, FilePart, ImagePart, LegacyVideoPart, Name, TextPart, VideoPart
from gateway.api.inference.field_types import convert, require_model
from gateway.errors import BadRequest, PayloadTooLarge
from providers.media import base64_text

MAX_INPUTS = 2_048
MAX_DOCUMENTS = 10_000
MAX_REFERENCES = 16
MAX_AUDIO_BYTES = 25 * 1024 * 1024
"""25 MB: the limit of OpenRouter and of OpenAI."""
AUDIO_FORMATS = ("aac", "flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm")
SPEECH_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""``response_format`` of speech → content type, for a provider that sends none."""
_CHAT_ONLY = frozenset(
    {
        "stream",
        "stream_options",
        "messages",
        "tools",
        "max_tokens",
        "max_completion_tokens",
        "reasoning",
        "reasoning_effort",
    }
)
"""Fields that the pipeline would interpret although these operations do not have them."""
_SIZE = re.compile(r"auto|512|768|1k|1\.5k|2k|4k|\d{2,5}x\d{2,5}", re.IGNORECASE)
_TIER = re.compile(r"512|768|1k|1\.5k|2k|4k", re.IGNORECASE)
_RATIO = re.compile(r"auto|\d{1,4}(\.\d{1,4})?:\d{1,4}(\.\d{1,4})?")

Text = Annotated[str, Meta(min_length=1)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Part = TextPart | ImagePart | AudioPart | FilePart | VideoPart | LegacyVideoPart


class _Routed(msgspec.Struct, kw_only=True):
    """What every request has."""

    model: Name | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    provider: dict[str, Any] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    trace: dict[str, Any] | None = None


class InputParts(msgspec.Struct):
    """One multimodal thing to embed."""

    content: Annotated[list[Part], Meta(min_length=1, max_length=64)]


class EmbeddingsRequest(_Routed, kw_only=True):
    """Text, token ids or parts → vectors."""

    input: Text | Annotated[list[Text | TokenId | list[TokenId] | InputParts], Meta(min_length=1)]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    input_type: Annotated[str, Meta(max_length=64)] | None = None


class Document(msgspec.Struct):
    text: Text | None = None
    image: Text | None = None


class RerankRequest(_Routed, kw_only=True):
    """A query and documents → the documents by relevance."""

    query: Text
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class ImagesRequest(_Routed, kw_only=True):
    """A prompt, and perhaps pictures → pictures."""

    prompt: Text
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: str | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    quality: Annotated[str, Meta(max_length=32)] | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp", "svg"] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    input_references: Annotated[list[ImagePart], Meta(max_length=MAX_REFERENCES)] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    stream: bool | None = None


class Turn(msgspec.Struct):
    text: Text
    voice: str | None = None
    instructions: str | None = None


class VoiceId(msgspec.Struct):
    id: str


class SpeechRequest(_Routed, kw_only=True):
    """Text → audio."""

    input: Text | Annotated[list[Turn], Meta(min_length=1, max_length=512)]
    voice: str | VoiceId | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    instructions: str | None = None
    input_references: list[dict[str, Any]] | None = None
    stream_format: Literal["audio", "sse"] | None = None


class InputAudio(msgspec.Struct):
    data: Text | None = None
    format: str | None = None
    url: str | None = None


class TranscriptionRequest(_Routed, kw_only=True):
    """Audio → text. As a form: ``file`` in place of ``input_audio``."""

    input_audio: InputAudio
    language: Annotated[str, Meta(max_length=16)] | None = None
    prompt: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    response_format: Literal["json", "verbose_json", "text"] | None = None
    timestamp_granularities: Annotated[list[Literal["word", "segment"]], Meta(max_length=2)] | None = None
    diarize: bool | None = None
    keyterms: Annotated[list[str], Meta(max_length=1_000)] | None = None


T = TypeVar("T", bound=_Routed)


def checked(body: dict[str, Any], type_: type[T]) -> T:
    """The typed request. Raises BadRequest naming the field, what was expected and what came."""
    request = convert(body, type_)
    require_model(body)
    return request


def inner(body: dict[str, Any], *without: str) -> dict[str, Any]:
    """The request in the inner language: without fields that are null, of chat only, or named in ``without``."""
    dropped = _CHAT_ONLY.union(without)
    return {name: value for name, value in body.items() if value is not None and name not in dropped}


def check_embeddings(body: dict[str, Any]) -> EmbeddingsRequest:
    """Raises BadRequest, also for a list that mixes types of inputs or is too long."""
    request = checked(body, EmbeddingsRequest)
    if isinstance(request.input, str):
        return request
    kinds = {type(one) for one in request.input}
    if len(kinds) > 1:
        raise BadRequest(
            "input: must hold only texts, only token ids, only lists of token ids or only objects.", field="input"
        )
    if kinds != {int} and len(request.input) > MAX_INPUTS:
        raise BadRequest(f"input: at most {MAX_INPUTS} inputs in one request, got {len(request.input)}.", field="input")
    for index, one in enumerate(request.input):
        if isinstance(one, list) and not one:
            raise BadRequest(f"input[{index}]: an empty list of token ids cannot be embedded.", field=f"input[{index}]")
    return request


def check_rerank(body: dict[str, Any]) -> RerankRequest:
    """Raises BadRequest, also for a document without text and image."""
    request = checked(body, RerankRequest)
    for index, document in enumerate(request.documents):
        if isinstance(document, Document) and document.text is None and document.image is None:
            raise BadRequest(f"documents[{index}]: needs text or image.", field=f"documents[{index}]")
    return request


def check_images(body: dict[str, Any]) -> ImagesRequest:
    """Raises BadRequest, also for sizes that no provider knows, and for URLs as the form of the answer."""
    request = checked(body, ImagesRequest)
    for name, pattern, form in (
        ("size", _SIZE, "WIDTHxHEIGHT, 512, 768, 1K, 1.5K, 2K, 4K or auto"),
        ("resolution", _TIER, "512, 768, 1K, 1.5K, 2K or 4K"),
        ("aspect_ratio", _RATIO, "WIDTH:HEIGHT or auto"),
    ):
        value = getattr(request, name)
        if value is not None and not pattern.fullmatch(value):
            raise BadRequest(f"{name}: {value[:40]!r} is not {form}.", field=name)
    if request.size is not None and "x" in request.size.lower():
        for name in ("resolution", "aspect_ratio"):
            if getattr(request, name) not in (None, "auto"):
                raise BadRequest(f"size in pixels and {name} contradict each other; send one of them.", field=name)
    if request.response_format == "url":
        raise BadRequest(
            "response_format: pictures are sent as b64_json, because none are hosted here; leave it out.",
            field="response_format",
        )
    return request


def check_speech(body: dict[str, Any]) -> SpeechRequest:
    """Raises BadRequest, also for audio as events."""
    request = checked(body, SpeechRequest)
    if request.stream_format == "sse":
        raise BadRequest("stream_format: audio is sent as bytes; leave it out or send audio.", field="stream_format")
    return request


def check_transcription(body: dict[str, Any]) -> TranscriptionRequest:
    """Raises BadRequest, and PayloadTooLarge for more than 25 MB of audio."""
    if body.get("source_url") is not None:
        raise BadRequest(
            "source_url: audio is not fetched from URLs; send the file, or input_audio.data.", field="source_url"
        )
    if body.get("stream"):
        raise BadRequest("stream: transcriptions are sent whole; leave stream out.", field="stream")
    request = checked(body, TranscriptionRequest)
    audio = request.input_audio
    if audio.url is not None:
        raise BadRequest(
            "input_audio.url: audio is not fetched from URLs; send input_audio.data.", field="input_audio.url"
        )
    if audio.data is None:
        raise BadRequest("input_audio.data: is missing; send the audio as base64.", field="input_audio.data")
    if audio.format is None or audio.format.lower() not in AUDIO_FORMATS:
        message = f"input_audio.format: must be one of {', '.join(AUDIO_FORMATS)}, not {(audio.format or '')[:40]!r}."
        raise BadRequest(message, field="input_audio.format")
    if len(audio.data) > MAX_AUDIO_BYTES * 4 // 3 + 4:
        raise PayloadTooLarge(
            f"The audio is larger than {MAX_AUDIO_BYTES} bytes.", metadata={"field": "input_audio.data"}
        )
    if request.timestamp_granularities and request.response_format != "verbose_json":
        raise BadRequest(
            "timestamp_granularities: needs response_format verbose_json.", field="timestamp_granularities"
        )
    if request.diarize and request.response_format != "verbose_json":
        raise BadRequest("diarize: needs response_format verbose_json.", field="diarize")
    return request


def audio_bytes(data: str) -> bytes:
    """``input_audio.data`` decoded. Raises BadRequest when it is not base64."""
    try:
        content = base64_text.decoded(data)
    except ValueError:
        content = b""
    if not content:
        raise BadRequest("input_audio.data: is not base64 (plain, without a data: prefix).", field="input_audio.data")
    return content
