"""``POST /audio/transcriptions``: audio in, text out; as JSON (OpenRouter) or as a form with a file (OpenAI)."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from gateway.api.inference import multipart, response_fields
from gateway.api.inference import operations_schema as schema
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.errors import BadRequest, PayloadTooLarge
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server import request_reader
from providers.media import base64_text

_VERBOSE = ("task", "language", "duration", "segments", "words")
_LISTS = ("timestamp_granularities", "keyterms", "include")
_OBJECTS = ("provider", "trace")
_SUBTYPES = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "x-m4a": "m4a", "x-flac": "flac"}
"""Subtype of an upload's content type → its audio format, where the two differ."""


class Transcriptions(JsonSurface):
    name: ClassVar[str] = "transcriptions"
    path: ClassVar[str] = "/audio/transcriptions"
    summary: ClassVar[str] = "Text from speech; JSON or multipart/form-data"
    operation: ClassVar[str] = "transcription"
    body_bytes = 36 * 2**20  # 25 MB of audio in base64, and the rest
    request_type: ClassVar[Any] = schema.TranscriptionRequest

    def parse(self, raw: request_reader.Body, headers: dict[bytes, bytes], *, on_loop: bool) -> Json:
        content_type = headers.get(b"content-type", b"")
        if not content_type.lower().startswith(b"multipart/form-data"):
            return super().parse(raw, headers, on_loop=on_loop)
        return _form(multipart.parse(bytes(raw), content_type), self.services.settings.max_json_depth)

    def accept(self, original: Json) -> Json:
        request = schema.check_transcription(original)
        body = schema.inner(original)
        if request.response_format == "text":  # see reply
            body["response_format"] = "json"
        return body

    def answer(self, generation: Generation) -> Json:
        answer = dict(completion_of(generation).body)
        verbose = generation.request.body.get("response_format") == "verbose_json"
        for name in ("error", "x_groq", *(() if verbose else _VERBOSE)):
            answer.pop(name, None)
        identity = response_fields.identity(generation)
        answer |= {name: identity[name] for name in ("id", "model", "provider")}
        answer["usage"] = _usage(generation)
        if generation.request.explain:
            answer["openrouter_metadata"] = response_fields.explain(generation)
        return answer

    def answers_json(self, request: InferenceRequest) -> bool:
        return bool(request.original.get("response_format") != "text")

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        if self.answers_json(generation.request):
            return super().reply(generation)
        text: str = completion_of(generation).body["text"]
        return text.encode("utf-8", "replace"), b"text/plain; charset=utf-8"


def _usage(generation: Generation) -> Json:
    usage = generation.settlement.usage
    length_ms = (usage.units or {}).get("audio_ms")
    view: Json = {
        "type": "tokens" if length_ms is None else "duration",  # by this OpenAI's SDK tells its two usage types apart
        "input_tokens": usage.prompt_total,
        "output_tokens": usage.completion_total,
        "total_tokens": usage.prompt_total + usage.completion_total,
        "cost": response_fields.usd(generation.charged_nano),
    }
    if length_ms is not None:
        view["seconds"] = length_ms / 1000
    return view


def _form(parts: list[multipart.Part], max_depth: int) -> Json:
    """The form as the equivalent JSON request. Raises BadRequest and PayloadTooLarge."""
    body: Json = {}
    for part in parts:
        name = part.name.removesuffix("[]")
        if name == "file":
            if "input_audio" in body:
                raise BadRequest("file: given twice; send one file.", field="file")
            body["input_audio"] = _file(part)
        elif name in _LISTS:
            body.setdefault(name, []).append(part.text)
        elif name in body:
            raise BadRequest(f"{name}: given twice; send it once.", field=name)
        elif name in _OBJECTS:
            body[name] = request_reader.form_json(name, part.content, max_depth)
        elif name == "temperature":
            body[name] = _number(part)
        elif name in ("diarize", "stream"):
            body[name] = part.text.strip().lower() == "true"
        else:
            body[name] = part.text
    if "input_audio" not in body and "source_url" not in body:
        raise BadRequest("file: is missing; send the audio as a file part with a file name.", field="file")
    return body


def _file(part: multipart.Part) -> Json:
    if part.filename is None:
        raise BadRequest("file: has no file name; send the audio as a file part with one.", field="file")
    if not part.content:
        raise BadRequest("file: is empty; send the audio.", field="file")
    if len(part.content) > schema.MAX_AUDIO_BYTES:
        raise PayloadTooLarge(f"The file is larger than {schema.MAX_AUDIO_BYTES} bytes.", metadata={"field": "file"})
    suffix = part.filename.rpartition(".")[2].lower() if "." in part.filename else ""
    if suffix not in schema.AUDIO_FORMATS:
        subtype = part.content_type.partition("/")[2]
        suffix = _SUBTYPES.get(subtype, subtype)
    if suffix not in schema.AUDIO_FORMATS:
        message = f"file: its name must end in one of {', '.join(schema.AUDIO_FORMATS)}."
        raise BadRequest(message, field="file")
    return {"data": base64_text.encoded(part.content), "format": suffix}


def _number(part: multipart.Part) -> float | str:
    """A plain decimal number. Anything else stays a text, which is refused later because the field has the wrong type."""
    text = part.text.strip()
    return float(text) if re.fullmatch(r"-?\d{1,4}(\.\d{1,12})?", text) else text
