"""A record as ``GET /generation`` shows it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.money import round_half_up
from gateway.records import Attempt, Record, iso, usd


def generation_view(record: Record, paid_nano: int, *, for_operator: bool = False) -> dict[str, Any]:
    """The ``data`` of ``GET /generation``: every key the official SDK demands, null where nothing is known.

    Encode it with msgspec: money is ``msgspec.Raw``. ``tokens_*`` equal ``native_tokens_*``: this gateway bills and
    shows the vendor's own count and does not keep a second, normalised one. ``cost_details``, ``outcome`` and
    ``usage_source`` are ours.
    """
    return {
        **_identity(record),
        **_outcome(record, for_operator=for_operator),
        **_counts(record),
        **_money(record, paid_nano),
    }


def _identity(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "request_id": record.id,
        "session_id": record.session_id,
        "upstream_id": record.upstream_id,
        "model": record.model or record.model_requested,
        "provider_name": record.provider_name or None,
        "api_type": record.api_type,
        "created_at": iso(record.created_at),
        "origin": _origin(record.http_referer),
        "http_referer": record.http_referer,
        "app_id": None,
        "user_agent": record.user_agent,
        "external_user": record.user,
        "router": None,
        "preset_id": None,
        "workspace_id": record.organization,
        "data_region": "global",
    }


def _outcome(record: Record, *, for_operator: bool) -> dict[str, Any]:
    return {
        "streamed": record.streamed,
        "cancelled": record.cancelled,
        "finish_reason": record.finish_reason,
        "native_finish_reason": record.native_finish_reason,
        "service_tier": record.service_tier,
        "latency": record.latency_ms,
        "moderation_latency": None,
        "generation_time": record.generation_time_ms,
        "provider_responses": [
            _provider_response(attempt, record.model, for_operator=for_operator) for attempt in record.attempts
        ],
        "outcome": record.outcome,
    }


def _provider_response(attempt: Attempt, model: str, *, for_operator: bool) -> dict[str, Any]:
    """A vendor's own words may name addresses and accounts of the operator's, so only the management key gets them."""
    response: dict[str, Any] = {
        "status": attempt.status,
        "provider_name": attempt.provider,
        "endpoint_id": attempt.endpoint,
        "is_byok": False,
        "kind": attempt.kind,
    }
    if model:
        response["model_permaslug"] = model
    if attempt.latency_ms is not None:
        response["latency"] = attempt.latency_ms
    if attempt.message and for_operator:
        response["message"] = attempt.message
    return response


def _counts(record: Record) -> dict[str, Any]:
    tokens = record.tokens
    return {
        "tokens_prompt": tokens.prompt_total,
        "tokens_completion": tokens.completion_total,
        "native_tokens_prompt": tokens.prompt_total,
        "native_tokens_completion": tokens.completion_total,
        "native_tokens_completion_images": tokens.image_completion or None,
        "native_tokens_reasoning": tokens.reasoning,
        "native_tokens_cached": tokens.cache_read + tokens.audio_cache_read,
        "num_media_prompt": None,
        "num_media_completion": None,
        "num_input_audio_prompt": None,
        "num_search_results": record.units.get("web_search"),
        "num_fetches": None,
        "web_search_engine": None,
        "usage_source": record.usage_source,
    }


def _money(record: Record, paid_nano: int) -> dict[str, Any]:
    return {
        "usage": usd(paid_nano),
        "total_cost": usd(paid_nano),
        "upstream_inference_cost": None,
        "cache_discount": _cache_discount(record),
        "is_byok": False,
        "response_cache_source_id": None,
        "cost_details": {"provider_cost": usd(record.cost_nano), "platform_fee": usd(record.fee_nano)},
    }


def _cache_discount(record: Record) -> msgspec.Raw | None:
    """What prompt caching saved of the provider's price; negative when writing the cache cost more; None without cache tokens."""
    tokens, prices = record.tokens, record.prices_femto
    full = prices.get("prompt")
    if full is None or not (tokens.cache_read or tokens.cache_write or tokens.cache_write_1h):
        return None
    saved_femto = tokens.cache_read * (full - prices.get("input_cache_read", full))
    write = prices.get("input_cache_write", full)
    saved_femto += tokens.cache_write * (full - write)
    saved_femto += tokens.cache_write_1h * (full - prices.get("input_cache_write_1h", write))
    return usd(round_half_up(saved_femto))


def _origin(referer: str | None) -> str:
    try:
        parts = urlsplit(referer or "")
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
