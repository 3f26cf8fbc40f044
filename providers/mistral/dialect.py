"""Mistral: chat completions near to OpenAI's, embeddings, transcription; ``base_url`` ``https://api.mistral.ai/v1``.

Requests are made in ``mistral_messages``, answers are read in ``mistral_answer`` and by the OpenAI dialect under it.

``Target.options`` (all optional), beside ``path``, ``api_key_header``, ``drop_parameters``, ``rename_parameters`` and
``extra_body`` of the dialect ``openai``:

- ``reasoning``: ``effort`` (default: ``reasoning_effort``), ``prompt_mode`` (Magistral: the vendor's own system prompt for
  reasoning) or ``drop``.
- ``efforts``: the efforts that the model knows; another one becomes the nearest (a model that only knows ``none`` and
  ``high`` refuses the others).
"""

from __future__ import annotations

import binascii
from typing import Any, ClassVar, Final

import msgspec

from providers.chat.messages import unsupported
from providers.errors import ProviderError
from providers.mistral.request import chat_body
from providers.mistral.response import Decoder, elsewhere, plain, with_counts
from providers.openai import audio as openai_audio
from providers.openai import operations
from providers.openai.dialect import OpenAI, apply_options, posted
from providers.transport.multipart import Field, encode
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


class Mistral(OpenAI):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "mistral"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options = target.options
        sent = chat_body(options, target.upstream_id, body)
        if stream:
            sent["stream"] = True
        if options:
            apply_options(options, sent)
        return posted(target, "/chat/completions", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return with_counts(super().completion(plain(raw) if raw.strip() else raw))

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return elsewhere(super().failure(response))


class MistralEmbeddings(operations.Embeddings):
    """``POST {base_url}/embeddings``: texts in, numbers out; ``dimensions`` is ``output_dimension``."""

    name: ClassVar[str] = "mistral"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise unsupported("input", "this provider embeds text only")
        return super().request(target, body, stream=stream)

    def _spelled(self, target: Target, body: Json) -> Json:
        known: Json = {"input": body.get("input")}
        for ours, theirs in (("dimensions", "output_dimension"), ("metadata", "metadata")):
            if body.get(ours) is not None:
                known[theirs] = body[ours]
        return super()._spelled(target, known)


_TAKES: Final = ("language", "temperature", "diarize", "timestamp_granularities")


class MistralTranscription(openai_audio.Transcription):
    """``POST {base_url}/audio/transcriptions`` (Voxtral): a form with a file or ``file_url``; lists repeat their field's bare
    name. Billed by ``usage.prompt_audio_seconds``."""

    name: ClassVar[str] = "mistral"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise unsupported("stream", "transcription is not streamed by this provider")
        sent: Json = {"model": target.upstream_id, **{name: body.get(name) for name in _TAKES}}
        sent |= {"context_bias": body.get("keyterms"), **target.options.get("transcription_extra", {})}
        content, content_type = encode([_sound(body.get("input_audio")), *_fields(sent)])
        return self._post(target, self.path, content, content_type)


def _sound(audio: Any) -> Field:
    audio = audio if isinstance(audio, dict) else {}
    data, url, suffix = audio.get("data"), audio.get("url"), str(audio.get("format", "")).lower()
    if isinstance(url, str):
        return Field("file_url", url.encode("utf-8", "replace"))
    kind = openai_audio.MEDIA_TYPES.get(suffix)
    if kind is None or not isinstance(data, str):
        raise unsupported("input_audio", f"neither a URL nor sound of a format this provider knows ({suffix[:20]!r})")
    try:
        return Field("file", binascii.a2b_base64(data), f"audio.{suffix}", kind)
    except ValueError:
        raise unsupported("input_audio.data", "not base64") from None


def _fields(sent: Json) -> list[Field]:
    fields = []
    for name, value in sent.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                text = one.encode("utf-8", "replace") if isinstance(one, str) else msgspec.json.encode(one)
                fields.append(Field(name, text))
    return fields
