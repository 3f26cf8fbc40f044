"""``POST /messages/count_tokens``: how long a prompt is, free of charge. Nothing is held, attempted for money or recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.inference.messages import schema
from gateway.api.inference.messages.surface import Messages, Sent
from gateway.pipeline.request import InferenceRequest
from gateway.server.request_lifecycle import RequestLifecycle

COUNTED = frozenset(schema.CountTokensRequest.__struct_fields__)


class CountTokens(Messages):
    """The same request as ``/messages``; the answer is ``{"input_tokens": n}``, by the vendor's count where it gives one."""

    name = "count_tokens"
    path = "/messages/count_tokens"
    summary = "Number of tokens of a message, in Anthropic's shape"
    request_type = schema.CountTokensRequest

    def accept(self, body: dict[str, Any]) -> dict[str, Any]:
        """Fields that shape an answer mean nothing here, so they are not looked at."""
        whole = body.whole if isinstance(body, Sent) else body
        return super().accept({name: value for name, value in whole.items() if name in COUNTED})

    async def _serve(self, exchange: RequestLifecycle, ask: InferenceRequest) -> None:
        counted = await self.pipeline.count(ask)
        await exchange.respond(200, msgspec.json.encode({"input_tokens": counted}), [])
