"""``POST /audio/transcriptions``: audio in, text out; as JSON (OpenRouter) or as a form with a file (OpenAI)."""

from __future__ import annotations

import binascii
import re
from typing import Any, ClassVar

from gateway.api.inference import multipart, response_fields
from gateway.api.inference import operations_schema as schema
from gateway.api.inference.json_surface import Json, JsonSurface, asked, completion_of
from gateway.errors import BadRequest, PayloadTooLarge
from gateway.pipeline.generation import Generation
from gateway.server import request_reader

_VERBOSE = ("task", "language", "duration", "segments", "words")
_LISTS = ("timestamp_granularities", "keyterms", "include")
_OBJECTS = ("provider", "trace")
_SUBTYPES = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "x-m4a": "m4a", "x-flac": "flac"}
"""Content type of an upload → the format that it is; what is not here is its own."""


class Transcriptions(JsonSurface):
    name: ClassVar[str] = "transcriptions"
    path: ClassVar[str] = "/audio/transcriptions"
    summary: ClassVar[str] = "Text from speech; JSON or multipart/form-data"
    operation: ClassVar[str] = "transcription"
    body_bytes = 36 * 2**20  # 25 MB of audio in base64, and the rest
    api_format: ClassVar[str | None] = "transcriptions"
    """No dialect's: kept so that ``reply`` can see in which form the caller wants the text."""
    request_type: ClassVar[Any] = schema.TranscriptionRequest

    def parse(self, raw: bytes, headers: dict[bytes, bytes]) -> Json:
        kind = headers.get(b"content-type", b"")
        if not kind.lower().startswith(b"multipart/form-data"):
            return super().parse(raw, headers)
        return _form(multipart.parse(raw, kind), self.services.settings.max_json_depth)

    def accept(self, body: Json) -> Json:
        request = schema.check_transcription(body)
        accepted = schema.inner(body)
        if request.response_format == "text":
            accepted["response_format"] = "json"
        return accepted

    def answer(self, generation: Generation) -> Json:
        found = dict(completion_of(generation).body)
        verbose = generation.request.body.get("response_format") == "verbose_json"
        for name in ("error", "x_groq", *(() if verbose else _VERBOSE)):
            found.pop(name, None)
        identity = response_fields.identity(generation)
        found |= {name: identity[name] for name in ("id", "model", "provider")}
        found["usage"] = _usage(generation)
        if generation.request.explain:
            found["openrouter_metadata"] = response_fields.explain(generation)
        return found

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        if asked(generation, "response_format") != "text":
            return super().reply(generation)
        text: str = completion_of(generation).body["text"]
        return text.encode("utf-8", "replace"), b"text/plain; charset=utf-8"


def _usage(generation: Generation) -> Json:
    usage = generation.settlement.usage
    length_ms = (usage.units or {}).get("audio_ms")
    found: Json = {
        "type": "tokens" if length_ms is None else "duration",  # OpenAI's SDK tells its two usages apart by this
        "input_tokens": usage.prompt_total,
        "output_tokens": usage.completion_total,
        "total_tokens": usage.prompt_total + usage.completion_total,
        "cost": response_fields.usd(generation.charged_nano),
    }
    if length_ms is not None:
        found["seconds"] = length_ms / 1000
    return found


def _form(parts: list[multipart.Part], max_depth: int) -> Json:
    """The form as the JSON request that says the same. Raises BadRequest and PayloadTooLarge."""
    body: Json = {}
    for part in parts:
        name = part.name.removesuffix("[]")
        if name == "file":
            if "input_audio" in body:
                raise BadRequest("file: send one file.", field="file")
            body["input_audio"] = _file(part)
        elif name in _LISTS:
            body.setdefault(name, []).append(part.text)
        elif name in body:
            raise BadRequest(f"{name}: given twice.", field=name)
        elif name in _OBJECTS:
            body[name] = request_reader.decode_json(part.content, max_depth)
        elif name == "temperature":
            body[name] = _number(part)
        elif name in ("diarize", "stream"):
            body[name] = part.text.strip().lower() == "true"
        else:
            body[name] = part.text
    if "input_audio" not in body and "source_url" not in body:
        raise BadRequest("file: send the audio as a file part with a file name.", field="file")
    return body


def _file(part: multipart.Part) -> Json:
    if part.filename is None:
        raise BadRequest("file: the part needs a file name.", field="file")
    if not part.content:
        raise BadRequest("file: the file is empty.", field="file")
    if len(part.content) > schema.MAX_AUDIO_BYTES:
        raise PayloadTooLarge(f"The file is larger than {schema.MAX_AUDIO_BYTES} bytes.", metadata={"field": "file"})
    suffix = part.filename.rpartition(".")[2].lower() if "." in part.filename else ""
    if suffix not in schema.AUDIO_FORMATS:
        subtype = part.content_type.partition("/")[2]
        suffix = _SUBTYPES.get(subtype, subtype)
    if suffix not in schema.AUDIO_FORMATS:
        message = f"file: the name must end in one of {', '.join(schema.AUDIO_FORMATS)}."
        raise BadRequest(message, field="file")
    return {"data": binascii.b2a_base64(part.content, newline=False).decode(), "format": suffix}


def _number(part: multipart.Part) -> float | str:
    """A plain decimal; anything else stays text and is refused by its type, with its name."""
    text = part.text.strip()
    return float(text) if re.fullmatch(r"-?\d{1,4}(\.\d{1,12})?", text) else text
