"""Cohere's own chat API, version 2: ``POST {base_url}/chat`` with ``https://api.cohere.com/v2``.

``Target.options`` (all optional):

- ``thinking``: ``false`` for models without reasoning: they refuse the field.
- ``max_completion_tokens``: the model's output limit; an effort is a share of it when the caller sets no limit.
- ``path``: instead of ``/chat``.
- ``drop_parameters``: fields of the vendor's body to leave out. ``extra_body``: fields merged over it (``null`` removes one).
"""

from __future__ import annotations

from typing import ClassVar

from providers.base import Dialect
from providers.chat.tool_rules import NAME_64, ToolRules
from providers.cohere.errors import error_from_response
from providers.cohere.request import chat_body
from providers.cohere.response import completion
from providers.cohere.stream import Decoder
from providers.errors import ProviderError
from providers.transport.json_body import json_body
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


class Cohere(Dialect):
    """``POST {base_url}/chat``. Images may be URLs or data URLs."""

    name: ClassVar[str] = "cohere"
    tools: ClassVar[ToolRules] = ToolRules(NAME_64, unique=True)

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options = target.options
        sent = chat_body(options, target.upstream_id, self.tools.fitted(body))
        if stream:
            sent["stream"] = True
        for name in options.get("drop_parameters", ()):
            sent.pop(name, None)
        sent.update(options.get("extra_body", {}))
        sent = {name: value for name, value in sent.items() if value is not None}
        return post(target, options.get("path", "/chat"), sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def post(target: Target, path: str, sent: Json, *, stream: bool = False) -> HttpRequest:
    """``POST {base_url}{path}`` with the key as a bearer token."""
    headers = [("content-type", "application/json"), ("accept", "text/event-stream" if stream else "application/json")]
    if target.api_key is not None:
        headers.append(("authorization", f"Bearer {target.api_key}"))
    return HttpRequest(target.base_url + path, (*headers, *target.headers), json_body(sent))
