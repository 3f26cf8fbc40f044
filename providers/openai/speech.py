"""Speech at OpenAI-compatible vendors: ``POST /audio/speech``, text in, audio out.

``Target.options`` beside those of every operation (see ``operation``):

- ``speech_voice``: the voice when the caller names none (OpenAI demands one).

Source: ``openai`` 3.54 (``speech_create_params``), 2026-11.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, NoReturn

from providers.errors import failed
from providers.openai.errors import malformed
from providers.openai.operation import Operation
from providers.openai.response import json_object
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target

_AUDIO_TYPE = re.compile(r"audio/[\w.+-]{1,64}")


class Speech(Operation):
    """``Completion.content`` holds the vendor's bytes; no vendor reports usage beside them."""

    operation: ClassVar[str] = "speech"
    path: ClassVar[str] = "/audio/speech"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = {**body, "input": _text(body.get("input"))}
        if sent.pop("input_references", None):
            raise failed("unsupported", "input_references: this provider has only its own voices")
        if sent.get("voice") is None and "speech_voice" in target.options:
            sent["voice"] = target.options["speech_voice"]
        return super().request(target, sent, stream=stream)

    def read(self, response: HttpResponse) -> Completion:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json" or kind.startswith("text/"):
            return self.completion(response.content)
        if not response.content:
            raise failed("empty", "a 200 without audio", status=200)
        return Completion({}, None, content=response.content, content_type=kind if _AUDIO_TYPE.fullmatch(kind) else "")

    def completion(self, raw: bytes) -> NoReturn:
        json_object(raw)  # raises the error that the document most likely is
        raise malformed("the vendor answered with a document instead of audio", raw)


def _text(value: Any) -> str:
    """The text of an ``input``; turns of the same voice are joined by line breaks."""
    if isinstance(value, str):
        return value
    voices = {turn.get("voice") for turn in value} - {None}
    if len(voices) > 1 or any(turn.get("instructions") for turn in value):
        raise failed(
            "unsupported", "input: this provider takes one voice a request, without instructions for single turns"
        )
    return "\n".join(str(turn.get("text", "")) for turn in value)
