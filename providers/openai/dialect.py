"""The OpenAI chat-completions dialect, used by OpenAI and by most other vendors.

The inner language is this dialect, so there is little to translate: the model's name, the fields that are ours and not the
vendor's, and in the answer the differences between "compatible" vendors. Unknown fields pass in both directions.

``Target.options`` describe a vendor's quirks as data: see ``request``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from providers.base import Dialect
from providers.chat.tool_rules import NAME_64, ToolRules
from providers.errors import ProviderError
from providers.openai.errors import refusal
from providers.openai.messages import TOOL_TYPES
from providers.openai.request import chat_body, json_post
from providers.openai.response import read_completion
from providers.openai.stream import Decoder
from providers.types import Completion, HttpRequest, HttpResponse, InnerRequest, Target


class OpenAI(Dialect):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "openai"

    tools: ClassVar[ToolRules] = ToolRules(NAME_64)

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        return bool(options.get("extended")) or tool.get("type") in TOOL_TYPES

    def request(self, target: Target, body: InnerRequest, *, stream: bool) -> HttpRequest:
        sent = chat_body(target, self.tools.fitted(body), stream=stream)
        return json_post(target, "/chat/completions", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return read_completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)
