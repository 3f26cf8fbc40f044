"""What the surfaces other than chat have in common: their answers are whole, and their size is not a conversation's."""

from __future__ import annotations

from typing import Any

from gateway.api.inference import token_estimate
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import BadRequest, GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.prompt_size import Prompt, Survey
from gateway.server import sse
from providers.types import Completion

Json = dict[str, Any]


class JsonSurface(Surface):
    """``accept`` leaves ``stream`` out of the inner request, so that no answer is ever opened as a stream."""

    def measure(self, body: Json, found: Survey) -> Prompt:
        return token_estimate.measure(self.operation, body)

    def encoder(self, generation: Generation) -> Encoder:
        raise BadRequest(f"{self.path} does not stream; leave stream out.", field="stream")

    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        return sse.frame(self.error(error)) + sse.DONE


def completion_of(generation: Generation) -> Completion:
    """The whole answer of a generation that has one."""
    completion = generation.attempts.completion
    assert completion is not None
    return completion
