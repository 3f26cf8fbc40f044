"""``POST /responses``: OpenAI's Responses API, stateless, JSON and SSE, with OpenRouter's additions.

What goes in becomes chat (``responses_input``), what comes out becomes items and events (``responses_output``,
``responses_frame``, ``responses_stream``). A vendor that speaks this API itself gets and gives it unchanged.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.responses import envelope, request, schema, stream
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest

Json = dict[str, Any]


class Responses(Surface):
    name = "responses"
    path = "/responses"
    summary = "Response"
    request_type = schema.ResponsesRequest
    api_format = "responses"

    def accept(self, body: Json) -> Json:
        schema.check(body)
        return request.inner(body)

    def native_body(self, sent: Json) -> Json:
        """What of a request in this shape a vendor of this shape may see."""
        return request.passable(sent)

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        if generation.attempts.passthrough and completion.native is not None:
            view = envelope.passthrough(generation, completion.native)
            return envelope.counted(view, generation)
        return envelope.response(generation)

    def encoder(self, generation: Generation) -> Encoder:
        if generation.attempts.passthrough:
            return stream.PassthroughEncoder(generation)
        return stream.Built(generation)

    def late(self, ask: InferenceRequest, error: GatewayError) -> bytes:
        return stream.late(ask, error)

    def error(self, error: GatewayError) -> Json:
        return {**error.envelope(), "error_type": error.error_type}
