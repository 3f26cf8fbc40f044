"""Models, endpoints and providers as the API shows them. Pure: the time and the endpoints' health are arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.descriptions import descriptions
from gateway.catalog.model import Endpoint, Model, Price, Provider
from gateway.catalog.names import family
from gateway.catalog.selection import midnight, tokenizer
from gateway.health.registry import EndpointHealth
from gateway.money import format_price

HealthOf = Callable[[str], EndpointHealth]
"""Endpoint id → its present health."""

ALIAS_TARGET = "alias_target"
OPTIONAL_FACTS = ("hugging_face_id", "knowledge_cutoff", "expiration_date", "reasoning")
"""Facts of a model that are shown when the catalogue knows them, as fields of its row or among its attributes."""


def description_of(catalog: Catalog, model: Model, now: float) -> str:
    """What is said of a model, also of a row ``~author/family-latest``: it has the description of the model it stands for."""
    target = model.attributes.get(ALIAS_TARGET)
    slug = target["slug"] if target else model.slug
    return descriptions(catalog, datetime.fromtimestamp(now, UTC).date()).get(slug, model.description)


def model_view(model: Model, endpoint: Endpoint, price: Price, description: str) -> dict[str, Any]:
    """One row of ``GET /models``; ``endpoint`` and ``price`` come from ``listed_price``."""
    view: dict[str, Any] = {
        "id": model.slug,
        "object": "model",
        "owned_by": model.slug.partition("/")[0],
        "canonical_slug": model.slug,
        "name": model.name,
        "created": midnight(model.created),
        "description": description,
        "context_length": model.context_length,
        "architecture": architecture_view(model),
        "pricing": pricing_view(price),
        "top_provider": {
            "is_moderated": False,
            "context_length": endpoint.context_length,
            "max_completion_tokens": endpoint.max_completion_tokens,
        },
        "per_request_limits": None,
        "supported_parameters": list(model.supported_parameters),
        "default_parameters": dict(model.default_parameters) or None,
        "supported_voices": None,
        "links": {"details": f"/api/v1/models/{model.slug}/endpoints"},
    }
    if target := model.attributes.get(ALIAS_TARGET):
        view[ALIAS_TARGET] = target
    for name in OPTIONAL_FACTS:
        value = getattr(model, name) or model.attributes.get(name)
        if value:
            view[name] = value
    return view


def latest_rows(models: Iterable[Model], latest: Mapping[str, str]) -> list[Model]:
    """The rows ``~author/family-latest``, with the data of the model that each stands for, of families with several members."""
    by_slug = {model.slug: model for model in models}
    members = Counter(map(family, by_slug))
    return [
        replace(
            by_slug[slug],
            slug=alias,
            attributes={**by_slug[slug].attributes, ALIAS_TARGET: {"slug": slug, "name": by_slug[slug].name}},
        )
        for alias, slug in latest.items()
        if slug in by_slug and members[family(slug)] > 1
    ]


def anthropic_model_view(model: Model) -> dict[str, Any]:
    """One row of Anthropic's ``GET /v1/models`` (anthropic 2.12, ``ModelInfo``; 2026-11)."""
    created = datetime.combine(model.created, time(), UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": "model",
        "id": model.slug,
        "display_name": model.name,
        "created_at": created,
        "lifecycle": "active" if model.expiration_date is None else "deprecated",
        "retires_at": None if model.expiration_date is None else f"{model.expiration_date}T00:00:00Z",
        "max_input_tokens": model.context_length,
        "max_tokens": max((endpoint.max_completion_tokens or 0 for endpoint in model.endpoints), default=0) or None,
    }


def architecture_view(model: Model) -> dict[str, Any]:
    """Modalities, tokenizer, and how instructions are marked where that is known."""
    return {
        "input_modalities": list(model.input_modalities),
        "output_modalities": list(model.output_modalities),
        "modality": f"{'+'.join(model.input_modalities)}->{'+'.join(model.output_modalities)}",
        "tokenizer": tokenizer(model),
        "instruct_type": model.instruct_type,
    }


def pricing_view(price: Price) -> dict[str, Any]:
    """USD per unit as the shortest decimal text; ``overrides`` lists the prices that differ for long prompts."""
    view: dict[str, Any] = {kind: format_price(femto) for kind, femto in price.femto.items()}
    if price.tiers:  # an empty list would break the command line tool llm, which reads every value as a number
        view["overrides"] = [
            {"min_prompt_tokens": above}
            | {kind: format_price(femto) for kind, femto in tier.femto.items() if price.femto.get(kind) != femto}
            for above, tier in price.tiers
        ]
    return view


def endpoints_view(
    model: Model, health_of: HealthOf, now: float, *, description: str, has_valid_key: bool
) -> dict[str, Any]:
    """The ``data`` of ``GET /models/{author}/{slug}/endpoints``: everything that has a price today."""
    return {
        "id": model.slug,
        "name": model.name,
        "created": midnight(model.created),
        "description": description,
        "architecture": architecture_view(model),
        "endpoints": [
            endpoint_view(model, endpoint, price, health_of(endpoint.id), has_valid_key=has_valid_key)
            for endpoint in model.endpoints
            if (price := endpoint.price_at(now)) is not None
        ],
    }


def endpoint_view(
    model: Model, endpoint: Endpoint, price: Price, health: EndpointHealth, *, has_valid_key: bool
) -> dict[str, Any]:
    """One endpoint; percentiles are shown to callers with a key only."""
    parameters = endpoint.supported_parameters
    tools = "tool_choice" in parameters
    return {
        "name": f"{endpoint.provider.name} | {model.slug}",
        "model_id": model.slug,
        "model_name": model.name,
        "provider_name": endpoint.provider.name,
        "tag": endpoint.tag or endpoint.provider.slug,
        "context_length": endpoint.context_length,
        "max_completion_tokens": endpoint.max_completion_tokens,
        "max_prompt_tokens": None,
        "pricing": pricing_view(price),
        "quantization": endpoint.quantization,
        "supported_parameters": sorted(parameters),
        "supports_implicit_caching": "input_cache_read" in price.femto,
        "supports_diarization": False,
        "supports_tool_choice": {"auto": tools, "none": tools, "required": tools, "function": tools},
        "native_tools": {},
        "service_tier": None,
        "uptime_last_5m": health.uptime_5m,
        "uptime_last_30m": health.uptime_30m,
        "uptime_last_1d": health.uptime_1d,
        "latency_last_30m": percentiles_view(health.ttft_ms) if has_valid_key else None,
        "throughput_last_30m": percentiles_view(health.throughput_tps) if has_valid_key else None,
        "status": status_of(endpoint, health),
    }


def percentiles_view(percentiles: Any) -> dict[str, float] | None:
    """``{p50, p75, p90, p99}`` or None without data."""
    if percentiles is None:
        return None
    return {name: round(getattr(percentiles, name), 3) for name in ("p50", "p75", "p90", "p99")}


def status_of(endpoint: Endpoint, health: EndpointHealth) -> int:
    """0 normal, -1 degraded, -2 last resort, -5 breaker open, -10 no credential."""
    if not endpoint.provider.usable:
        return -10
    if health.state == "open":
        return -5
    return min(-health.band, -1 if health.recent_outage else 0)


def provider_view(provider: Provider) -> dict[str, Any]:
    """One row of ``GET /providers``; what the catalogue does not know is null."""
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": provider.privacy_policy_url,
        "terms_of_service_url": provider.terms_of_service_url,
        "status_page_url": provider.status_page_url,
        "headquarters": provider.headquarters,
        "datacenters": list(provider.datacenters) or None,
    }
