"""Ollama's native API: chat (``POST {base_url}/api/chat``) and embeddings (``/api/embed``), ``base_url`` without ``/v1``.

This dialect exists because Ollama's OpenAI-compatible endpoint has no ``num_ctx`` and truncates long prompts silently.

``Target.options`` (all optional):

- ``num_ctx``: tokens of context to load the model with; the server's own default is a few thousand.
- ``options``: further options of the runner (``num_gpu``, ``mirostat``, ...); the request's sampling parameters win.
- ``keep_alive``: how long the model stays loaded, ``"10m"`` or seconds.
- ``truncate``: ``true`` lets the server truncate a prompt that is too long, silently, instead of refusing it.
- ``drop_parameters``: fields of the vendor's body to leave out. ``extra_body``: fields merged over it (``null`` removes one).
"""

from __future__ import annotations

from typing import ClassVar

from providers.base import Dialect
from providers.errors import ProviderError
from providers.ollama.errors import error_from_response
from providers.ollama.request import chat_body
from providers.ollama.response import completion
from providers.ollama.stream import Decoder
from providers.transport.json_body import json_body
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


class Ollama(Dialect):
    """``POST {base_url}/api/chat``."""

    name: ClassVar[str] = "ollama"
    inlines_media: ClassVar[bool] = True
    stream_type: ClassVar[str] = ""  # a whole answer is a stream of one line

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = {**chat_body(target.options, target.upstream_id, self.tools.fitted(body)), "stream": stream}
        return post(target, "/api/chat", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def post(target: Target, path: str, sent: Json, *, stream: bool = False) -> HttpRequest:
    """``POST {base_url}{path}`` with the target's quirks applied to ``sent`` and the key as a bearer token."""
    options = target.options
    for name in options.get("drop_parameters", ()):
        sent.pop(name, None)
    sent.update(options.get("extra_body", {}))
    sent = {name: value for name, value in sent.items() if value is not None}
    headers = [
        ("content-type", "application/json"),
        ("accept", "application/x-ndjson" if stream else "application/json"),
    ]
    if target.api_key is not None:
        headers.append(("authorization", f"Bearer {target.api_key}"))
    return HttpRequest(target.base_url + path, (*headers, *target.headers), json_body(sent))
