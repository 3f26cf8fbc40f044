"""OpenRouter itself as an upstream; ``base_url`` is ``https://openrouter.ai/api/v1``.

The inner language is OpenRouter's, so nearly everything passes in both directions: ``reasoning``, ``reasoning_details``,
``cache_control``, ``plugins``, server tools, ``image_config``. See ``request``, ``response`` and ``errors`` for the differences.

``Target.options`` (all optional), beside those of the dialect ``openai``:

- ``app``: ``{"url", "title"}``, sent as ``HTTP-Referer`` and ``X-OpenRouter-Title``.
- ``provider``: OpenRouter's own ``provider`` object: order, only, data_collection, ...

Sources: openrouter.ai/docs (api reference, errors, usage accounting, byok), types of its SDK (``openrouter`` 1.3.84); 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from providers.base import Dialect
from providers.errors import ProviderError
from providers.openai.dialect import OpenAI
from providers.openai.request import json_post
from providers.openrouter.errors import raise_error, refusal
from providers.openrouter.request import app_headers, chat_body
from providers.openrouter.response import read_completion
from providers.openrouter.stream import Decoder
from providers.types import Completion, HttpRequest, HttpResponse, InnerRequest, Target


class OpenRouter(OpenAI):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "openrouter"

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        return True

    def request(self, target: Target, body: InnerRequest, *, stream: bool) -> HttpRequest:
        sent = chat_body(target, self.tools.fitted(body), stream=stream)
        return json_post(target, "/chat/completions", sent, stream=stream, extra_headers=app_headers(target))

    def completion(self, raw: bytes) -> Completion:
        return read_completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)


class OpenRouterOperation(Dialect):
    """Turns one of OpenAI's operations beside chat into OpenRouter's, as a base class before it."""

    name: ClassVar[str] = "openrouter"
    defaults: ClassVar[dict[str, Any]]
    """Options that are always true of OpenRouter; those of the target win."""

    def request(self, target: Target, body: Any, *, stream: bool) -> HttpRequest:
        known = replace(target, options={**self.defaults, **target.options})
        request: HttpRequest = super().request(known, body, stream=stream)  # type: ignore[safe-super]  # the other class's
        return replace(request, headers=(*request.headers, *app_headers(target)))

    def completion(self, raw: bytes) -> Completion:
        raise_error(raw)
        return super().completion(raw)  # type: ignore[safe-super]  # the other class's

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)
