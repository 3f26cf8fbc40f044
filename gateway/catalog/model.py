"""Providers, models, endpoints and prices. Frozen: a reload makes new ones; running requests keep those they began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any


def endpoint_id(provider: str, upstream_id: str, model: str) -> str:
    """The id of an endpoint: ``acme/fast-1@acme/fast-1``."""
    return f"{provider}/{upstream_id}@{model}"


def provider_of(endpoint: str) -> str:
    """Slug of the provider in an endpoint's id. Provider slugs contain no slash."""
    return endpoint.partition("/")[0]


def upstream_model_of(endpoint: str) -> str:
    """``<provider>/<upstream id>`` of an endpoint's id: the provider's model, under whatever slugs it is sold here."""
    return endpoint.rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """What the provider does with prompts. Unknown means the worst."""

    training: bool = True
    retains_prompts: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor that sells endpoints: one file ``config/providers/<slug>.yaml``."""

    slug: str
    name: str
    dialect: str
    base_url: str
    api_key_env: str | None = None
    api_key: str | None = field(default=None, repr=False)
    """Resolved at load time from ``api_key_env``; never shown."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Resolved at load time from ``credentials_env``: all that are needed, or none; never shown. Under ``chain``: the cloud
    whose own library finds credentials, see ``credential_chain``."""
    variables: tuple[str, ...] = ()
    """All environment variables that its file names: key, secrets, switches of the credential chain, parts of addresses."""
    lacking: tuple[str, ...] = ()
    """Those of them that must be set before this provider is routed to."""
    data_policy: DataPolicy = DataPolicy()
    headquarters: str | None = None
    datacenters: tuple[str, ...] = ()
    privacy_policy_url: str | None = None
    terms_of_service_url: str | None = None
    status_page_url: str | None = None
    cancel_stops_billing: bool = field(kw_only=True)
    """Whether closing a stream stops the vendor's bill at what it has written (OpenAI, DeepSeek, xAI ...) or does not (Groq,
    Mistral, Google ...): openrouter.ai/docs/api-reference/streaming, 2026-11. The prompt is billed either way, and an answer that
    is not streamed whole."""
    prompt_cache_ttl_s: int = 300
    """How long the vendor keeps a prompt in its cache after it was last read; five minutes where nothing else is known."""
    headers: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    proxy: str | None = field(default=None, repr=False)
    """The proxy's URL, which may hold credentials; ``direct``: none on any account. From the file, else from the environment."""
    http2: bool = False
    disabled: bool = False
    """The operator sells nothing of it: no endpoint of the catalogue refers to it."""

    @property
    def usable(self) -> bool:
        """False when it is disabled, or when a variable it needs is unset: then it is listed but not routed to."""
        if self.disabled or self.lacking:
            return False
        return self.api_key_env is None or bool(self.api_key) or bool(self.credentials)


FALLBACK_KIND = {
    "input_cache_read": "prompt",
    "input_cache_write": "prompt",
    "input_cache_write_1h": "input_cache_write",
    "internal_reasoning": "completion",
    "audio": "prompt",
    "audio_output": "completion",
    "input_audio_cache": "audio",
    "image_token": "prompt",
    "image_output_token": "completion",
}
"""Token kind → the kind whose price it has when it has none of its own."""


@dataclass(frozen=True, slots=True)
class Price:
    """Femto-USD per unit, in force from a day on. A kind that is absent has no price of its own; see ``of``."""

    since: date
    femto: Mapping[str, int]
    """Keys: prompt, completion, those of ``FALLBACK_KIND``, and per unit request, image (in the prompt), image_output (made),
    search_unit, web_search, character, audio_ms."""
    source: str = ""
    tiers: tuple[tuple[int, Price], ...] = ()
    """(threshold, price of a prompt with more tokens than the threshold), ascending."""
    _known: dict[str | tuple[str, ...], int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, kind: str) -> int:
        """The price of a kind: its own, else that of the kind it falls back to, else 0 (units that cost nothing)."""
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._resolved(kind)
        return found

    def dearest(self, *kinds: str) -> int:
        """The highest price of these kinds."""
        found = self._known.get(kinds)
        if found is None:
            found = self._known[kinds] = max(map(self.of, kinds))
        return found

    def _resolved(self, kind: str) -> int:
        while kind and kind not in self.femto:
            kind = FALLBACK_KIND.get(kind, "")
        return self.femto[kind] if kind else 0

    def at(self, prompt_tokens: int) -> Price:
        """The price for a prompt of this length."""
        price = self
        for threshold, tier in self.tiers:
            if prompt_tokens > threshold:
                price = tier
        return price


OPERATION_OF = {
    "text": "chat",
    "audio": "chat",
    "image": "images",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "speech": "speech",
    "transcription": "transcription",
}
"""Output modality of a model → the operation that a request for it is."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model sold by a provider, with a price."""

    id: str
    """``<provider slug>/<upstream id>@<model slug>``: unique, stable, safe as a metric label and a Redis field."""
    model: str
    """Slug of the model, ``author/slug``."""
    provider: Provider
    upstream_id: str
    context_length: int
    prices: tuple[Price, ...]
    """Ascending by date. An endpoint without prices is refused."""
    max_completion_tokens: int | None = None
    quantization: str | None = None
    supported_parameters: frozenset[str] = frozenset()
    input_modalities: frozenset[str] = frozenset({"text"})
    tag: str = ""
    """Routable slug, e.g. ``deepinfra/turbo``; default: the provider's slug."""
    dialect: str = "openai"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of the provider, overridden by those of this endpoint."""
    operations: frozenset[str] = frozenset({"chat"})
    """The operations that both its output modalities and its dialect allow."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """As a model's. A changed copy of the endpoint begins with an empty one."""

    def price_at(self, when: float) -> Price | None:
        """The price in force at a unix time; None when none has begun by that day: such an endpoint is refused."""
        return self.price_on(datetime.fromtimestamp(when, UTC).date())

    def price_on(self, day: date) -> Price | None:
        """The price in force on a UTC day, for callers that compute the day once for many endpoints."""
        for price in reversed(self.prices):
            if price.since <= day:
                return price
        return None


@dataclass(frozen=True, slots=True)
class Model:
    """``author/slug`` with the endpoints that sell it: one row of ``config/models/<author>.yaml``."""

    slug: str
    name: str
    created: date
    context_length: int
    endpoints: tuple[Endpoint, ...]
    description: str = ""
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    supported_parameters: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Free facts for analytics: family, tier, open_weights ..."""
    tokenizer: str | None = None
    instruct_type: str | None = None
    hugging_face_id: str | None = None
    knowledge_cutoff: date | None = None
    expiration_date: date | None = None
    default_parameters: Mapping[str, Any] = field(default_factory=dict)
    reasoning: Mapping[str, Any] | None = None
    """As in the public catalogue: mandatory, default_enabled, default_effort, supported_efforts ..."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """Results that depend on this row only, kept by code that needs them often; they go with the catalogue."""
