"""Speech and transcription at OpenAI-compatible vendors: ``POST /audio/speech`` and ``POST /audio/transcriptions``.

``Target.options`` beside those of every operation (``openai_operations``):

- ``speech_voice``: the voice when the caller names none (OpenAI demands one).
- ``transcription_verbose: true``: always ask for ``verbose_json``, because this vendor bills by the second and tells the
  duration nowhere else (Whisper at Groq and others). The caller gets what it asked for.
- ``transcription_takes``: which of ``diarize`` and ``keyterms`` the vendor knows (with ``transcription_rename`` where it calls
  them otherwise); a request with one that it does not know goes elsewhere.

Sources: ``openai`` 3.54 (``speech_create_params``, ``transcription_create_params``, ``transcription`` with its usage by tokens
or by duration), console.groq.com/docs/speech-to-text, docs.mistral.ai (``usage.prompt_audio_seconds``); 2026-11.
"""

from __future__ import annotations

import binascii
import math
import re
from typing import Any, ClassVar, NoReturn

from providers.errors import failed
from providers.openai.images import form
from providers.openai.operations import Operation, malformed, opened
from providers.transport.multipart import Field, encode
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target, Usage
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
"""Longer recordings than a week are an error of the vendor's."""
_AUDIO = re.compile(r"audio/[\w.+-]{1,64}")


class Speech(Operation):
    """Text in, audio out. The answer's ``content`` is the vendor's bytes; no vendor reports usage beside them."""

    operation: ClassVar[str] = "speech"
    path: ClassVar[str] = "/audio/speech"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = {**body, "input": _spoken(body.get("input"))}
        if sent.pop("input_references", None):
            raise failed("unsupported", "input_references: this provider speaks with its own voices only")
        if sent.get("voice") is None and "speech_voice" in target.options:
            sent["voice"] = target.options["speech_voice"]
        return super().request(target, sent, stream=stream)

    def read(self, response: HttpResponse) -> Completion:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json" or kind.startswith("text/"):
            return self.completion(response.content)
        if not response.content:
            raise failed("empty", "a 200 without audio", status=200)
        return Completion({}, None, content=response.content, content_type=kind if _AUDIO.fullmatch(kind) else "")

    def completion(self, raw: bytes) -> NoReturn:
        opened(raw)  # raises the error that the document most likely is
        raise malformed("asked for audio, the vendor answered with a document", raw)


def _spoken(given: Any) -> str:
    """The text of an input; turns of one voice are read one after the other."""
    if isinstance(given, str):
        return given
    voices = {turn.get("voice") for turn in given} - {None}
    if len(voices) > 1 or any(turn.get("instructions") for turn in given):
        raise failed("unsupported", "input: this provider speaks with one voice a request")
    return "\n".join(str(turn.get("text", "")) for turn in given)


class Transcription(Operation):
    """Audio in, text out, as a form with a file. The answer keeps the vendor's fields (segments, words, language)."""

    operation: ClassVar[str] = "transcription"
    path: ClassVar[str] = "/audio/transcriptions"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            return super().request(target, body, stream=True)
        sent, audio = dict(body), body.get("input_audio") or {}
        sent.pop("input_audio", None)
        content = _bytes(audio)
        for name in ("diarize", "keyterms"):
            if sent.get(name) and name not in target.options.get("transcription_takes", ()):
                raise failed("unsupported", f"{name}: this provider does not know it")
        if target.options.get("transcription_verbose") or sent.get("response_format") == "verbose_json":
            sent["response_format"] = "verbose_json"
        else:
            sent["response_format"] = "json"
            sent.pop("timestamp_granularities", None)  # of verbose_json only; OpenAI refuses it elsewhere
        suffix = str(audio.get("format", "")).lower()
        kind = MEDIA_TYPES.get(suffix)
        if kind is None:
            raise failed("unsupported", f"input_audio.format: {suffix!r} is no format of this provider")
        file = Field("file", content, f"audio.{suffix}", kind)
        form_body, content_type = encode([file, *form(self._spelled(target, sent))])
        return self._post(target, self.path, form_body, content_type)

    def completion(self, raw: bytes) -> Completion:
        body = opened(raw)
        if not isinstance(body.get("text"), str):
            raise malformed("the answer has no text", raw)
        for name in ("segments", "words"):
            if not isinstance(body.get(name, []), list):
                del body[name]
        return Completion(body, _usage(body))


def _bytes(audio: Json) -> bytes:
    if not isinstance(audio.get("data"), str):
        raise failed("unsupported", "input_audio.url: this provider takes audio as bytes only")
    try:
        return binascii.a2b_base64(audio["data"])
    except ValueError:
        raise failed("unsupported", "input_audio.data is not base64") from None


def _usage(body: Json) -> Usage | None:
    """By tokens (audio and text of the prompt apart) or by duration; None when the vendor says neither."""
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
    heard = min(counts.take(details, "audio_tokens"), prompt)
    return Usage(
        prompt=prompt - heard,
        audio_prompt=heard,
        completion=completion,
        units={"audio_ms": length_ms} if length_ms else None,
        cost_usd=normalise(raw).cost_usd,
        suspect=counts.suspect,
    )


def _milliseconds(seconds: Any, counts: Counts) -> int | None:
    """Rounded up. Some send the duration as text."""
    if seconds is None:
        return None
    if isinstance(seconds, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", seconds):
        seconds = float(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= DURATION_MAX_S:
        counts.suspect = True
        return None
    return math.ceil(seconds * 1000)
