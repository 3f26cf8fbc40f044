"""OpenRouter itself as an upstream: chat, embeddings and rerank; ``base_url`` ``https://openrouter.ai/api/v1``.

The inner language is OpenRouter's, so nearly everything passes in both directions: ``reasoning``, ``reasoning_details``,
``cache_control``, ``plugins``, server tools, ``image_config``. Differences:

- What speaks of *our* providers, models and accounts stays here: ``provider``, ``models``, ``route``, ``preset``,
  ``session_id``, ``trace``, ``debug``. OpenRouter's own ``provider`` object is the operator's (``Target.options["provider"]``),
  over what a caller says for it in ``provider.options.<slug of this provider>.provider``.
- ``usage: {include: true}`` is sent, so that ``usage.cost`` comes back from every version: it is the provider's cost. For calls
  with the operator's own key at the vendor (``is_byok``) it is OpenRouter's fee alone, and what the vendor charged
  (``cost_details.upstream_inference_cost``) is added.
- ``reasoning.exclude`` is the gateway's to apply: the answer's first sign of life may be its reasoning.
- An error names the vendor behind (``metadata.provider_name``) and what that one said (``metadata.raw``): the first becomes
  part of the message, the second the error's ``raw``.

``Target.options`` (all optional), beside those of the dialect ``openai`` (and, for embeddings and rerank, of
``openai_operations``):

- ``app``: ``{"url", "title"}``, sent as ``HTTP-Referer`` and ``X-OpenRouter-Title``.
- ``provider``: OpenRouter's own ``provider`` object: order, only, data_collection, ...

Sources: openrouter.ai/docs (api reference, errors, usage accounting, byok), types of its SDK (``openrouter`` 1.3.84); 2026-11.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from providers.errors import RAW_MAX, ProviderError, classify, retry_after_s, status_of
from providers.openai import operations
from providers.openai import response as openai_answer
from providers.openai.dialect import OpenAI, apply_options, posted
from providers.transport.sse import decode
from providers.types import Completion, Event, HttpRequest, HttpResponse, Json, Target, Usage
from providers.usage import Counts, normalise

OURS: Final = frozenset(
    {"provider", "models", "route", "preset", "session_id", "trace", "debug", "usage", "stream_options"}
)
"""Fields that speak of this gateway's providers and accounts, or that this page sets."""


class OpenRouter(OpenAI):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "openrouter"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options = target.options
        sent = {name: value for name, value in body.items() if name not in OURS and name != "stream"}
        sent["model"], sent["usage"] = target.upstream_id, {"include": True}
        if stream:
            sent["stream"] = True
        reasoning = sent.get("reasoning")
        if isinstance(reasoning, dict) and "exclude" in reasoning:
            sent["reasoning"] = {name: value for name, value in reasoning.items() if name != "exclude"}
        if sent.get("include_reasoning") is False:
            del sent["include_reasoning"]
        routing = _routing(target, body)
        if routing:
            sent["provider"] = routing
        if options:
            apply_options(options, sent)
        return posted(target, "/chat/completions", sent, stream=stream, more=_app(target))

    def completion(self, raw: bytes) -> Completion:
        if b'"error"' in raw:
            raise_error(raw)
        return with_cost(super().completion(raw))

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return explained(super().failure(response), response)


class Decoder(openai_answer.Decoder):
    """One stream; keep-alive comments are none of its events."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        if b'"error"' in data:
            raise_error(data)
        return super()._event(name, data)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        usage = super()._count(chunk)
        if usage is not None and isinstance(raw, dict):
            usage = self._usage = paid(raw, usage)
        return usage


def _app(target: Target) -> list[tuple[str, str]]:
    app = target.options.get("app")
    app = app if isinstance(app, dict) else {}
    named = (("http-referer", app.get("url")), ("x-openrouter-title", app.get("title")))
    return [(header, value) for header, value in named if isinstance(value, str) and value]


def _routing(target: Target, body: Json) -> Json:
    """OpenRouter's ``provider`` object: what the operator wants wins over what the caller wants."""
    found: Any = body
    for name in ("provider", "options", target.provider, "provider"):
        found = found.get(name) if isinstance(found, dict) else None
    own = target.options.get("provider")
    return {**(found if isinstance(found, dict) else {}), **(own if isinstance(own, dict) else {})}


def paid(raw: Json, usage: Usage) -> Usage:
    """``usage`` with all that the call cost the operator: the fee, and what a vendor charged by the operator's own key; and with
    the searches made."""
    counts, details = Counts(), raw.get("cost_details")
    searches = counts.take(raw.get("server_tool_use_details") or raw.get("server_tool_use"), "web_search_requests")
    if searches or counts.suspect:
        units = {"web_search": searches} if searches else None
        usage = replace(usage, units=units, suspect=usage.suspect or counts.suspect)
    if raw.get("is_byok") is not True or not isinstance(details, dict):
        return usage
    beside = normalise({"cost": details.get("upstream_inference_cost")}).cost_usd
    return usage if beside is None else replace(usage, cost_usd=(usage.cost_usd or Decimal(0)) + beside)


def with_cost(completion: Completion) -> Completion:
    """A whole answer with its cost."""
    raw = completion.body.get("usage")
    if completion.usage is not None and isinstance(raw, dict):
        completion.usage = paid(raw, completion.usage)
    return completion


# -- errors ------------------------------------------------------------------------------------------------------------


def raise_error(raw: bytes) -> None:
    """Raise the error that a 200 or an event carries, if it carries one: at the top, or in its first choice."""
    body = decode(raw)
    error = body.get("error")
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not error and isinstance(first, dict) and first.get("finish_reason") == "error":
        error = first.get("error")
    if isinstance(error, dict):
        raise _told(error, status_of(error.get("code"), _words(error)[0]), None)


def explained(error: ProviderError, response: HttpResponse) -> ProviderError:
    """A refusal with what its ``metadata`` says; ``error`` as it is where there is none."""
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return error
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("metadata"), dict):
        return error
    return _told(told, response.status, retry_after_s(response.headers))


def _words(error: Json) -> tuple[str | None, str | None, str | None]:
    """Class of the error, vendor's own code, vendor's name, out of ``metadata``."""
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    found = [metadata.get(name) for name in ("error_type", "provider_code", "provider_name")]
    kind, code, name = (str(one) if isinstance(one, str | int) and not isinstance(one, bool) else None for one in found)
    return kind, code, name


def _told(error: Json, status: int, retry_s: float | None) -> ProviderError:
    kind, code, name = _words(error)
    metadata = error.get("metadata")
    beneath = metadata.get("raw") if isinstance(metadata, dict) else None
    whole = _text({"error": error})
    message = error.get("message")
    message = message if isinstance(message, str) and message else "the vendor sent an error"
    words = frozenset(word.lower() for word in (kind, code, str(error.get("type") or "")) if word)
    row = classify(status, words, f"{message} {whole}".lower())
    return ProviderError(
        row,
        f"{name}: {message}" if name else message,
        status=status,
        raw=(beneath if isinstance(beneath, str) and beneath else _text(beneath) if beneath else whole)[:RAW_MAX],
        retry_after_s=retry_s,
        provider_code=code or kind,
    )


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")


# -- beside chat -------------------------------------------------------------------------------------------------------


class OpenRouterEmbeddings(operations.Embeddings):
    """``POST {base_url}/embeddings``: knows ``input_type``, ``encoding_format`` and multimodal input."""

    name: ClassVar[str] = "openrouter"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        known: Any = {"embeddings_base64": True, "embeddings_input_type": True, "embeddings_parts": True}
        return super().request(replace(target, options={**known, **target.options}), body, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        if b'"error"' in raw:
            raise_error(raw)
        return super().completion(raw)

    def failure(self, response: HttpResponse) -> ProviderError:
        return explained(super().failure(response), response)

    def _post(self, target: Target, path: str, content: bytes, content_type: str) -> HttpRequest:
        return _named(target, super()._post(target, path, content, content_type))


class OpenRouterRerank(operations.Rerank):
    """``POST {base_url}/rerank``: documents may be objects."""

    name: ClassVar[str] = "openrouter"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        known: Any = {"rerank_objects": True}
        return super().request(replace(target, options={**known, **target.options}), body, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        if b'"error"' in raw:
            raise_error(raw)
        return super().completion(raw)

    def failure(self, response: HttpResponse) -> ProviderError:
        return explained(super().failure(response), response)

    def _post(self, target: Target, path: str, content: bytes, content_type: str) -> HttpRequest:
        return _named(target, super()._post(target, path, content, content_type))


def _named(target: Target, request: HttpRequest) -> HttpRequest:
    return replace(request, headers=(*request.headers, *_app(target)))
