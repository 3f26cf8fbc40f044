"""The Google Gemini dialect: ``POST {base_url}/models/{id}:generateContent`` and ``:streamGenerateContent?alt=sse``.

AI Studio: base URL ``https://generativelanguage.googleapis.com/v1beta``, the key in ``x-goog-api-key``. Vertex takes the same
bodies, see ``vertex.dialect``. The modules beside this one state the vendor's facts that they rely on, read 2026-11 in
google-genai 3.4, ai.google.dev and the threads named there.

Parameters without a field in Gemini are left out where that loses little: ``cache_control`` (it caches automatically),
``user``, ``logit_bias``, ``min_p``, ``top_a``, ``repetition_penalty``, ``verbosity``, ``parallel_tool_calls``, ``strict``.

``Target.options``, all optional:

- ``thinking``: ``budget`` (default, Gemini 2.5), ``level`` (Gemini 3 and later: ids of calls are sent too, unsigned calls of
  the current turn are marked as such, images are put inside tool results) or ``none`` (a model that does not think).
- ``thoughts``: ``true`` requests thoughts even if the caller does not mention reasoning.
- ``thinking_budget_min``, ``thinking_budget_max``: tokens, default 512 and 24,576. Setting the minimum
  also means that thinking cannot be switched off.
- ``thinking_levels``: those of minimal, low, medium, high, xhigh that the model knows; default low, medium, high. An effort is
  sent as the nearest one.
- ``schema``: ``json`` (default: ``parametersJsonSchema``, ``responseJsonSchema``) or ``openapi`` for models that know only
  ``parameters`` and ``responseSchema``.
- ``safety_settings``: the list for ``safetySettings``.
- ``extra_body``: mapping merged over the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from providers.base import Dialect
from providers.chat.tool_rules import ToolRules
from providers.errors import ProviderError
from providers.gemini.errors import error_from_response
from providers.gemini.messages import Profile, native_uri
from providers.gemini.request import request_body
from providers.gemini.response import completion
from providers.gemini.stream import Decoder
from providers.gemini.tools import NAME, OWN_TOOLS
from providers.transport.json_body import json_body
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


def post(target: Target, verb: str, body: Json, origin: str, *, stream: bool = False) -> HttpRequest:
    """A call of one of a model's methods; ``origin`` is ``gemini`` or ``vertex``."""
    headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if stream else "application/json"),
    ]
    if target.api_key is not None:
        headers.append(_credential(target.api_key, origin))
    model = quote(target.upstream_id.removeprefix("models/"), safe="/@-._~")
    url = f"{target.base_url}/models/{model}:{verb}"
    return HttpRequest(url, (*headers, *target.headers), json_body(body))


def _credential(key: str, origin: str) -> tuple[str, str]:
    """The header of an API key, or of an OAuth access token. Vertex recognises API keys by their prefix, AI Studio tokens."""
    is_key = key.startswith(("AIza", "AQ.")) if origin == "vertex" else not key.startswith("ya29.")
    return ("x-goog-api-key", key) if is_key else ("authorization", f"Bearer {key}")


class Gemini(Dialect):
    """Chat with Gemini on AI Studio."""

    name: ClassVar[str] = "gemini"
    tools: ClassVar[ToolRules] = ToolRules(NAME, unique=True)
    inlines_media: ClassVar[bool] = True

    def opens(self, url: str) -> bool:
        return native_uri(url)

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        return tool.get("type") in OWN_TOOLS

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        profile = Profile(
            origin=self.name, takes_urls=not self.inlines_media, gemini_3=target.options.get("thinking") == "level"
        )
        sent = request_body(self.tools.fitted(body), target.options, profile)
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return post(target, verb, sent, self.name, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return completion(raw, self.name)

    def decoder(self) -> Decoder:
        return Decoder(self.name)

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)
