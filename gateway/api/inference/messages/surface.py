"""``POST /messages``: Anthropic's Messages shape, JSON and events, for every model whatever its vendor speaks.

Where the endpoint speaks this shape itself the request goes out as the caller wrote it, beta headers included, and the answer
comes back with only our own fields rewritten. Keys come as ``x-api-key`` or as a bearer; ``anthropic-version`` is not looked at.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import structs

from gateway.api.inference.messages import request, response, schema, stream
from gateway.api.inference.messages import thinking as messages_thinking
from gateway.api.inference.response_fields import explain
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from providers.types import NativeRequest

Json = dict[str, Any]
HELD_BACK = frozenset({"speed", "inference_geo", "thread", "diagnostics"})
"""Fields that are not passed on: they would make the vendor's price another than the one that is held and billed, or they name
an earlier answer by an id that is ours."""


class Sent(Json):
    """A request as Anthropic may see it; ``whole`` is what the caller wrote, ``betas`` come from its headers."""

    __slots__ = ("betas", "whole")

    def __init__(self, whole: Json, seen: Json, betas: tuple[str, ...] = ()) -> None:
        super().__init__(seen)
        self.whole = whole
        self.betas = betas


class Messages(Surface):
    name = "messages"
    path = "/messages"
    summary = "Message, in Anthropic's shape"
    api_format = "messages"
    request_type: ClassVar[type[schema.CountTokensRequest]] = schema.MessagesRequest

    def parse(self, raw: bytes, headers: dict[bytes, bytes]) -> Json:
        whole = super().parse(raw, headers)
        return Sent(whole, passable(whole), betas(headers))

    def accept(self, body: Json) -> Json:
        whole = body.whole if isinstance(body, Sent) else body
        schema.check(whole, self.request_type)
        return request.inner(whole)

    def _native(self, sent: Json) -> NativeRequest:
        native = super()._native(sent)
        if isinstance(sent, Sent):
            native = structs.replace(native, betas=sent.betas)
        return native

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        if generation.attempts.passthrough and completion.native is not None:
            mine = response.opening(generation)
            own = {name: mine[name] for name in ("id", "model", "provider")}
            usage = response.passed_usage(completion.native.get("usage"), generation)
            told = {**mine, **completion.native, **own, "usage": usage}
        else:
            told = response.message(generation)
        if generation.request.explain:
            told["openrouter_metadata"] = explain(generation)
        return told

    def encoder(self, generation: Generation) -> Encoder:
        if generation.attempts.passthrough:
            return stream.PassthroughEncoder(generation)
        return stream.MessagesEncoder(generation)

    def late(self, ask: InferenceRequest, error: GatewayError) -> bytes:
        return stream.broken(error, ask)

    def error(self, error: GatewayError) -> Json:
        return response.envelope(error)


def betas(headers: dict[bytes, bytes]) -> tuple[str, ...]:
    """The values of ``anthropic-beta`` and of OpenRouter's ``x-anthropic-beta``, each once, in order. None is refused."""
    given = b",".join(headers.get(name, b"") for name in (b"anthropic-beta", b"x-anthropic-beta"))
    words = (word.strip() for word in given.decode("latin-1").split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def passable(whole: Json) -> Json:
    """A copy for endpoints that speak this shape, without what Anthropic would refuse. The gateway's own fields are left out by
    the dialect, which knows what its vendor takes."""
    seen = {name: value for name, value in whole.items() if name not in HELD_BACK}
    seen["messages"], unthought = messages_thinking.passable(whole.get("messages"))
    thinking = whole.get("thinking")
    if unthought and isinstance(thinking, dict) and thinking.get("type") == "enabled":
        seen["thinking"] = {"type": "disabled"}
        _keep_thoughts(seen)
    return seen


def _keep_thoughts(seen: Json) -> None:
    """Without thinking Anthropic refuses the order to clear old thoughts."""
    managed = seen.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else None
    if isinstance(managed, dict) and isinstance(edits, list):
        kept = [
            one for one in edits if not (isinstance(one, dict) and str(one.get("type")).startswith("clear_thinking"))
        ]
        seen["context_management"] = {**managed, "edits": kept}
