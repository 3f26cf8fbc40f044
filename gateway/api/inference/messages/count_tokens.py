"""``POST /messages/count_tokens``: how long a prompt is, free of charge. No credit is held, and nothing is recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.inference.messages import schema
from gateway.api.inference.messages.surface import Messages
from gateway.pipeline.request import InferenceRequest
from gateway.server.request_lifecycle import RequestLifecycle

COUNTED = frozenset(schema.CountTokensRequest.__struct_fields__)


class CountTokens(Messages):
    """The same request as ``/messages``; the answer is ``{"input_tokens": n}``, by the vendor's count where it gives one."""

    name = "count_tokens"
    path = "/messages/count_tokens"
    summary = "Number of tokens of a message, in Anthropic's shape"
    request_type = schema.CountTokensRequest
    holds = False

    def accept(self, original: dict[str, Any]) -> dict[str, Any]:
        """Fields that shape an answer have no meaning here, so they are not checked."""
        return super().accept({name: value for name, value in original.items() if name in COUNTED})

    async def _serve(self, lifecycle: RequestLifecycle, request: InferenceRequest) -> None:
        body = msgspec.json.encode({"input_tokens": await self.pipeline.count(request)})
        await lifecycle.responder.respond(200, [(b"content-type", b"application/json")], body)
