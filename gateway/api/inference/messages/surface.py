"""``POST /messages``: Anthropic's Messages API, JSON and events, for every model, whatever format its vendor has.

Where the endpoint has the same format, the request is passed on as the caller wrote it, beta headers included, and in the answer
only the gateway's own fields are rewritten. Keys come as ``x-api-key`` or as a bearer token; ``anthropic-version`` is ignored.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import structs

from gateway.api.inference.messages import request, response, schema, stream
from gateway.api.inference.messages import thinking as messages_thinking
from gateway.api.inference.response_fields import explain
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import GatewayError, RateLimited
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from providers.types import NativeRequest

Json = dict[str, Any]
NOT_PASSED_THROUGH = frozenset({"speed", "inference_geo", "thread", "diagnostics"})
"""Fields that are not passed on: they would change the vendor's price from the one that is held and billed, or they name an
earlier answer by the gateway's id, which the vendor does not know.
"""


class Messages(Surface):
    name = "messages"
    path = "/messages"
    summary = "Message, in Anthropic's shape"
    api_format = "messages"
    request_type: ClassVar[type[schema.CountTokensRequest]] = schema.MessagesRequest

    def accept(self, original: Json) -> Json:
        schema.check(original, self.request_type)
        return request.inner(original)

    def native_request(self, original: Json, headers: dict[bytes, bytes]) -> Json:
        return passthrough_body(original)

    def _native(self, original: Json, headers: dict[bytes, bytes]) -> NativeRequest | None:
        native = super()._native(original, headers)
        return structs.replace(native, betas=betas(headers)) if native is not None else None

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        if generation.attempts.passthrough and completion.native is not None:
            opening = response.opening(generation)
            own = {name: opening[name] for name in ("id", "model", "provider")}
            usage = response.passthrough_usage(completion.native.get("usage"), generation)
            answer = {**opening, **completion.native, **own, "usage": usage}
        else:
            answer = response.message(generation)
        if generation.request.explain:
            answer["openrouter_metadata"] = explain(generation)
        return answer

    def encoder(self, generation: Generation) -> Encoder:
        if generation.attempts.passthrough:
            return stream.PassthroughEncoder(generation)
        return stream.MessagesEncoder(generation)

    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        return stream.failed(error, request)

    def error(self, error: GatewayError) -> Json:
        return response.envelope(error)

    def error_headers(self, error: GatewayError) -> list[tuple[str, str]]:
        return error.headers() + (response.limit_headers(error) if isinstance(error, RateLimited) else [])


def betas(headers: dict[bytes, bytes]) -> tuple[str, ...]:
    """The values of ``anthropic-beta`` and of OpenRouter's ``x-anthropic-beta``, each once, in order; unknown ones too."""
    values = b",".join(headers.get(name, b"") for name in (b"anthropic-beta", b"x-anthropic-beta"))
    names = (name.strip() for name in values.decode("latin-1").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def passthrough_body(original: Json) -> Json:
    """A copy of a request for endpoints of the same format, without what Anthropic would refuse. The gateway's own fields are
    left out by the dialect, which knows what its vendor accepts.
    """
    native = {name: value for name, value in original.items() if name not in NOT_PASSED_THROUGH}
    native["messages"], thinking_off = messages_thinking.without_foreign_thinking(original["messages"])
    thinking = original.get("thinking")
    if thinking_off and isinstance(thinking, dict) and thinking.get("type") == "enabled":
        native["thinking"] = {"type": "disabled"}
        _remove_edits_of_thinking(native)
    return native


def _remove_edits_of_thinking(native: Json) -> None:
    """Remove the edits that clear earlier thinking: Anthropic refuses them when thinking is off."""
    managed = native.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else None
    if isinstance(managed, dict) and isinstance(edits, list):
        kept = [
            edit
            for edit in edits
            if not (isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking"))
        ]
        native["context_management"] = {**managed, "edits": kept}
