"""Mistral: chat completions that are close to OpenAI's; ``base_url`` is ``https://api.mistral.ai/v1``.

``Target.options`` (all optional), beside ``path``, ``api_key_header``, ``drop_parameters``, ``rename_parameters`` and
``extra_body`` of the dialect ``openai``:

- ``reasoning``: ``effort`` (default: ``reasoning_effort``), ``prompt_mode`` (Magistral: the vendor's own system prompt for
  reasoning) or ``drop``.
- ``efforts``: the efforts that the model knows; another one becomes the nearest (a model that only knows ``none`` and
  ``high`` refuses the others).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from providers.chat.tool_rules import NAME_64, ToolRules
from providers.errors import ProviderError
from providers.mistral.errors import refusal
from providers.mistral.messages import OWN_ID, call_id
from providers.mistral.request import chat_body
from providers.mistral.response import read_completion
from providers.mistral.stream import Decoder
from providers.mistral.tools import OWN_TYPES
from providers.openai.dialect import OpenAI
from providers.openai.request import json_post
from providers.types import Completion, HttpRequest, HttpResponse, InnerRequest, Target


class Mistral(OpenAI):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "mistral"
    tools: ClassVar[ToolRules] = ToolRules(NAME_64, OWN_ID, call_id, unique=True)

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        return tool.get("type") in OWN_TYPES

    def request(self, target: Target, body: InnerRequest, *, stream: bool) -> HttpRequest:
        sent = chat_body(target, self.tools.fitted(body), stream=stream)
        return json_post(target, "/chat/completions", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return read_completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)
