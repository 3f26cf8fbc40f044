"""Counting tokens with Anthropic: ``POST /v1/messages/count_tokens`` takes a chat request and returns ``input_tokens``.

The vendor accepts only the fields that make up the prompt and refuses the others (``message_count_tokens_params`` of its SDK
``anthropic`` 2.12, 2026-11). It charges nothing for counting.
"""

from __future__ import annotations

from typing import ClassVar

from providers.anthropic.dialect import Anthropic
from providers.anthropic.errors import error_from_body, malformed
from providers.anthropic.stream import Decoder
from providers.errors import failed
from providers.transport.sse import decode
from providers.types import Completion, Json
from providers.usage import COUNT_MAX

ACCEPTED = frozenset(
    {
        "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed",
        "context_management", "mcp_servers",
    }
)  # fmt: skip


class AnthropicCount(Anthropic):
    """``POST {base_url}/messages/count_tokens``. The inner body is a chat request, the answer ``{"input_tokens": n}``."""

    operation: ClassVar[str] = "count_tokens"
    path: ClassVar[str] = "/messages/count_tokens"

    def accepted_fields(self, sent: Json) -> Json:
        return {name: value for name, value in sent.items() if name in ACCEPTED}

    def completion(self, raw: bytes) -> Completion:
        body = decode(raw)
        if body.get("type") == "error" or body.get("error"):
            raise error_from_body(body)
        count = body.get("input_tokens")
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= COUNT_MAX:
            raise malformed("the answer has no input_tokens", body)
        return Completion({"input_tokens": count}, None, native=body)

    def decoder(self) -> Decoder:
        raise failed("unsupported", "counting tokens is not streamed")
