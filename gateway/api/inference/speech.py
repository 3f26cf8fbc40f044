"""``POST /audio/speech``: text in, audio bytes out. The cost is in ``GET /generation``; the body has no room for it."""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.api.inference import operations_schema as schema
from gateway.api.inference import response_fields
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.pipeline.generation import Generation

DEFAULT_FORMAT = "pcm"
"""The contract's; OpenAI's own default is mp3."""


class Speech(JsonSurface):
    name: ClassVar[str] = "speech"
    path: ClassVar[str] = "/audio/speech"
    summary: ClassVar[str] = "Speech from text; the answer is audio"
    operation: ClassVar[str] = "speech"
    request_type: ClassVar[Any] = schema.SpeechRequest

    def accept(self, body: Json) -> Json:
        schema.check_speech(body)
        return {"response_format": DEFAULT_FORMAT, **schema.inner(body, "stream_format")}

    def answer(self, generation: Generation) -> Json:
        """What is known of the answer beside its bytes."""
        return {**response_fields.identity(generation), "usage": response_fields.usage_view(generation)}

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        completion = completion_of(generation)
        usual = schema.SPEECH_TYPES[generation.request.body["response_format"]]
        return completion.content, (completion.content_type or usual).encode()
