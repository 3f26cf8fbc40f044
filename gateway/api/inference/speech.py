"""``POST /audio/speech``: text in, audio bytes out. The cost is in ``GET /generation``, because the body is audio."""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.api.inference import operations_schema as schema
from gateway.api.inference import response_fields
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest

DEFAULT_FORMAT = "pcm"
"""OpenRouter's default; OpenAI's own is mp3."""


class Speech(JsonSurface):
    name: ClassVar[str] = "speech"
    path: ClassVar[str] = "/audio/speech"
    summary: ClassVar[str] = "Speech from text; the answer is audio"
    operation: ClassVar[str] = "speech"
    request_type: ClassVar[Any] = schema.SpeechRequest

    def accept(self, original: Json) -> Json:
        schema.check_speech(original)
        return {"response_format": DEFAULT_FORMAT, **schema.inner(original, "stream_format")}

    def answer(self, generation: Generation) -> Json:
        """What is known of the answer besides its bytes."""
        return {**response_fields.identity(generation), "usage": response_fields.usage_view(generation)}

    def answers_json(self, request: InferenceRequest) -> bool:
        return False

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        completion = completion_of(generation)
        expected = schema.SPEECH_TYPES[generation.request.body["response_format"]]
        return completion.content, (completion.content_type or expected).encode()
