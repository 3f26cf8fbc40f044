"""Transcription at OpenAI-compatible vendors: ``POST /audio/transcriptions``, a form with an audio file in, text out.

``Target.options`` beside those of every operation (see ``operation``):

- ``transcription_verbose: true``: always request ``verbose_json``, because this vendor bills by the second and reports the
  duration nowhere else (Whisper at Groq and others). The caller gets the format it requested.
- ``transcription_takes``: which of ``diarize`` and ``keyterms`` the vendor knows (with ``transcription_rename`` where it has other
  names for them); a request with one that the vendor does not know is refused, so that another endpoint is tried.

Sources: ``openai`` 3.54 (``transcription_create_params``, ``transcription`` with its usage by tokens or by duration),
console.groq.com/docs/speech-to-text, docs.mistral.ai (``usage.prompt_audio_seconds``); 2026-11.
"""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

from providers.errors import failed
from providers.media import base64_text
from providers.openai.errors import malformed
from providers.openai.form import form_fields
from providers.openai.operation import FileOperation
from providers.openai.response import json_object
from providers.transport.multipart import Field, encode
from providers.types import Completion, HttpRequest, Json, Target, Usage
from providers.usage import Counts, normalise

MEDIA_TYPES = {
    "aac": "audio/aac",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "mpeg": "audio/mpeg",
    "mpga": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webm": "audio/webm",
}
"""Format → content type of the file that is sent."""
DURATION_MAX_S = 604_800
"""A vendor that reports more than a week of audio has made an error."""


class Transcription(FileOperation):
    """The answer keeps the vendor's fields (segments, words, language)."""

    operation: ClassVar[str] = "transcription"
    path: ClassVar[str] = "/audio/transcriptions"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            return super().request(target, body, stream=True)
        sent, audio = dict(body), body.get("input_audio") or {}
        sent.pop("input_audio", None)
        content = _audio_bytes(audio)
        for name in ("diarize", "keyterms"):
            if sent.get(name) and name not in target.options.get("transcription_takes", ()):
                raise failed("unsupported", f"{name}: this provider does not know it")
        if target.options.get("transcription_verbose") or sent.get("response_format") == "verbose_json":
            sent["response_format"] = "verbose_json"
        else:
            sent["response_format"] = "json"
            sent.pop("timestamp_granularities", None)  # OpenAI refuses it without verbose_json
        suffix = str(audio.get("format", "")).lower()
        kind = MEDIA_TYPES.get(suffix)
        if kind is None:
            raise failed("unsupported", f"input_audio.format: {suffix!r} is not a format of this provider")
        file = Field("file", content, f"audio.{suffix}", kind)
        form_body, content_type = encode([file, *form_fields(self._vendor_body(target, sent))])
        return self._post(target, self.path, form_body, content_type)

    def completion(self, raw: bytes) -> Completion:
        body = json_object(raw)
        if not isinstance(body.get("text"), str):
            raise malformed("the answer has no text", raw)
        for name in ("segments", "words"):
            if not isinstance(body.get(name, []), list):
                del body[name]
        return Completion(body, _usage(body))


def _audio_bytes(audio: Json) -> bytes:
    if not isinstance(audio.get("data"), str):
        raise failed("unsupported", "input_audio.url: this provider takes audio as bytes only")
    try:
        return base64_text.decoded(audio["data"])
    except ValueError:
        raise failed("unsupported", "input_audio.data is not base64") from None


def _usage(body: Json) -> Usage | None:
    """By tokens (audio and text of the prompt apart) or by duration; None when the vendor reports neither."""
    raw, counts = body.get("usage"), Counts()
    if not isinstance(raw, dict):
        raw = {}
    length_ms = next(
        (
            milliseconds
            for seconds in (raw.get("seconds"), raw.get("prompt_audio_seconds"), body.get("duration"))
            if (milliseconds := _milliseconds(seconds, counts))
        ),
        None,
    )
    prompt = counts.take(raw, "input_tokens", "prompt_tokens")
    completion = counts.take(raw, "output_tokens", "completion_tokens")
    if length_ms is None and not prompt and not completion and not counts.suspect:
        return None
    details = raw.get("input_token_details") or raw.get("prompt_tokens_details")
    audio_prompt = min(counts.take(details, "audio_tokens"), prompt)
    return Usage(
        prompt=prompt - audio_prompt,
        audio_prompt=audio_prompt,
        completion=completion,
        units={"audio_ms": length_ms} if length_ms else None,
        cost_usd=normalise(raw).cost_usd,
        suspect=counts.suspect,
    )


def _milliseconds(seconds: Any, counts: Counts) -> int | None:
    """Seconds as milliseconds, rounded up; some vendors send them as text. None, and marked as suspect, for nonsense."""
    if seconds is None:
        return None
    if isinstance(seconds, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", seconds):
        seconds = float(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= DURATION_MAX_S:
        counts.suspect = True
        return None
    return math.ceil(seconds * 1000)
