"""The Google Gemini dialect: ``POST {base_url}/models/{id}:generateContent`` and ``:streamGenerateContent?alt=sse``.

AI Studio: base URL ``https://generativelanguage.googleapis.com/v1beta``, the key in ``x-goog-api-key``. Vertex speaks the same
bodies, see ``vertex.py``. Vendor facts stand beside the code that needs them: ``gemini_request`` (config, thinking, tools),
``gemini_messages`` (turns, media), ``gemini_signatures``, ``gemini_schema``, ``gemini_choice`` (parts of answers),
``gemini_usage``, ``gemini_error``. All read 2026-11 in google-genai 3.4, ai.google.dev and the threads named there.

What Gemini has no field for and nothing to be lost by leaving out is left out: ``cache_control`` (it caches by itself),
``user``, ``logit_bias``, ``min_p``, ``top_a``, ``repetition_penalty``, ``verbosity``, ``parallel_tool_calls``, ``strict``.

``Target.options``, all optional:

- ``thinking``: ``budget`` (default, Gemini 2.5), ``level`` (Gemini 3 and later: also ids of calls go out, unsigned calls of the
  current turn are excused, pictures stand inside results) or ``none`` (the model does not think: never asked to).
- ``thoughts``: ``true`` asks for thoughts also when the caller says nothing of reasoning.
- ``thinking_budget_min``, ``thinking_budget_max``: tokens, default 512 and 24,576. A least budget that is set also says that
  thinking cannot be switched off.
- ``thinking_levels``: what the model knows of minimal, low, medium, high, xhigh; default low, medium, high. An effort goes out
  as the nearest.
- ``schema``: ``json`` (default: ``parametersJsonSchema``, ``responseJsonSchema``) or ``openapi`` for models that know only
  ``parameters`` and ``responseSchema``.
- ``safety_settings``: the list for ``safetySettings``.
- ``extra_body``: mapping merged over the body.
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

import msgspec

from providers.base import Dialect
from providers.errors import ProviderError
from providers.gemini.errors import refusal_of
from providers.gemini.messages import Voice, native_uri
from providers.gemini.request import written
from providers.gemini.response import Decoder, completion
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


def posted(target: Target, verb: str, body: Json, origin: str, *, stream: bool = False) -> HttpRequest:
    """A call of one of a model's methods; ``origin`` is ``gemini`` or ``vertex``."""
    headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if stream else "application/json"),
    ]
    if target.api_key is not None:
        headers.append(_credential(target.api_key, origin))
    model = quote(target.upstream_id.removeprefix("models/"), safe="/@-._~")
    url = f"{target.base_url}/models/{model}:{verb}"
    return HttpRequest(url, (*headers, *target.headers), msgspec.json.encode(body))


def _credential(key: str, origin: str) -> tuple[str, str]:
    """API keys have their own header, OAuth access tokens are bearers; each house knows the shape of its rarer kind."""
    plain = key.startswith(("AIza", "AQ.")) if origin == "vertex" else not key.startswith("ya29.")
    return ("x-goog-api-key", key) if plain else ("authorization", f"Bearer {key}")


class Gemini(Dialect):
    """Chat with Gemini on AI Studio."""

    name: ClassVar[str] = "gemini"
    inlines_media: ClassVar[bool] = True

    def opens(self, url: str) -> bool:
        return native_uri(url)

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        voice = Voice(self.name, not self.inlines_media, target.options.get("thinking") == "level")
        sent = written(body, target.options, voice)
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return posted(target, verb, sent, self.name, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return completion(raw, self.name)

    def decoder(self) -> Decoder:
        return Decoder(self.name)

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal_of(response)
