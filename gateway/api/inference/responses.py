"""``POST /responses``: OpenAI's Responses API, stateless, JSON and SSE, with OpenRouter's additions.

What goes in becomes chat (``responses_input``), what comes out becomes items and events (``responses_output``,
``responses_frame``, ``responses_stream``). A vendor that speaks this API itself gets and gives it unchanged.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference import responses_frame, responses_input, responses_schema, responses_stream
from gateway.api.inference.surface import Encoder, Surface
from gateway.ending import Ask
from gateway.errors import GatewayError
from gateway.generation import Generation

Json = dict[str, Any]


class Responses(Surface):
    name = "responses"
    path = "/responses"
    summary = "Response"
    request_type = responses_schema.ResponsesRequest
    shape = "responses"

    def accept(self, body: Json) -> Json:
        responses_schema.check(body)
        return responses_input.inner(body)

    def passable(self, sent: Json) -> Json:
        """What of a request in this shape a vendor of this shape may see."""
        return responses_input.passable(sent)

    def answer(self, generation: Generation) -> Json:
        completion = generation.dispatch.completion
        assert completion is not None
        if generation.dispatch.passed and completion.wire is not None:
            view = responses_frame.passed(generation, completion.wire)
            return responses_frame.counted(view, generation)
        return responses_frame.response(generation)

    def encoder(self, generation: Generation) -> Encoder:
        if generation.dispatch.passed:
            return responses_stream.Passed(generation)
        return responses_stream.Built(generation)

    def late(self, ask: Ask, error: GatewayError) -> bytes:
        return responses_stream.late(ask, error)

    def error(self, error: GatewayError) -> Json:
        return {**error.envelope(), "error_type": error.error_type}
