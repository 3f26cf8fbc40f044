"""``POST /responses``: OpenAI's Responses API, stateless, JSON and SSE, with OpenRouter's additions.

A request becomes a chat request (``request.py``), an answer becomes items and events (``response.py``, ``envelope.py``,
``stream.py``). For a vendor that has this API itself both pass unchanged.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.inference.responses import envelope, request, schema, stream
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from providers.types import NativeRequest

Json = dict[str, Any]


class Responses(Surface):
    name = "responses"
    path = "/responses"
    summary = "Response"
    request_type = schema.ResponsesRequest
    api_format = "responses"

    def accept(self, original: Json) -> Json:
        schema.check(original)
        return request.inner(original)

    def native_request(self, original: Json, headers: dict[bytes, bytes]) -> Json:
        return request.passthrough_body(original)

    def _native(self, original: Json, headers: dict[bytes, bytes]) -> NativeRequest | None:
        native = super()._native(original, headers)
        only = request.native_only(original)
        return native if native is None or only is None else msgspec.structs.replace(native, only=only)

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        if generation.attempts.passthrough and completion.native is not None:
            view = envelope.passthrough(generation, completion.native)
            return envelope.passthrough_with_usage(view, generation)
        return envelope.response(generation)

    def encoder(self, generation: Generation) -> Encoder:
        if generation.attempts.passthrough:
            return stream.PassthroughEncoder(generation)
        return stream.ResponsesEncoder(generation)

    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        return stream.late_failure(request, error)

    def error(self, error: GatewayError) -> Json:
        return {**error.envelope(), "error_type": error.error_type}
