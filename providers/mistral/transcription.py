"""Mistral's transcription (Voxtral): a form with a file or ``file_url``; lists repeat the field's name without ``[]``.

Billed by ``usage.prompt_audio_seconds`` (docs.mistral.ai, audio, 2026-11).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from providers.chat.messages import unsupported
from providers.media import base64_text
from providers.openai.transcription import MEDIA_TYPES, Transcription
from providers.transport.multipart import Field, encode
from providers.types import HttpRequest, Json, Target

_UNCHANGED_FIELDS: Final = ("language", "temperature", "diarize", "timestamp_granularities")


class MistralTranscription(Transcription):
    """``POST {base_url}/audio/transcriptions``; options as of ``openai.operation``."""

    name: ClassVar[str] = "mistral"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise unsupported("stream", "this provider does not stream transcriptions")
        sent: Json = {"model": target.upstream_id, **{name: body.get(name) for name in _UNCHANGED_FIELDS}}
        sent |= {"context_bias": body.get("keyterms"), **target.options.get("transcription_extra", {})}
        content, content_type = encode([_audio_field(body.get("input_audio")), *_form_fields(sent)])
        return self._post(target, self.path, content, content_type)


def _audio_field(audio: Any) -> Field:
    audio = audio if isinstance(audio, dict) else {}
    data, url, suffix = audio.get("data"), audio.get("url"), str(audio.get("format", "")).lower()
    if isinstance(url, str):
        return Field("file_url", url.encode("utf-8", "replace"))
    kind = MEDIA_TYPES.get(suffix)
    if kind is None or not isinstance(data, str):
        raise unsupported(
            "input_audio", f"neither a URL nor audio in a format that this provider knows ({suffix[:20]!r})"
        )
    try:
        return Field("file", base64_text.decoded(data), f"audio.{suffix}", kind)
    except ValueError:
        raise unsupported("input_audio.data", "not base64") from None


def _form_fields(sent: Json) -> list[Field]:
    fields = []
    for name, value in sent.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                text = item.encode("utf-8", "replace") if isinstance(item, str) else msgspec.json.encode(item)
                fields.append(Field(name, text))
    return fields
