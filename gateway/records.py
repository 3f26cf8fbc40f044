"""What happened to one generation: written once at its ending, read by ``GET /generation`` and by analytics.

Floor 3. It must not know: HTTP, Redis, the ledger. What the caller paid is the ledger's word, so the view takes it
as an argument. Prompts and answers are never part of a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import astuple

from gateway.money import format_usd, round_half_up

Outcome = Literal["complete", "caller_left", "upstream_failed", "refused", "shutdown", "credit_exhausted"]
UsageSource = Literal["reported", "estimated"]

CLIPPED = {"http_referer": 512, "app_title": 128, "user_agent": 256, "user": 256, "session_id": 256, "upstream_id": 256}
"""Longest text, in characters, that a record keeps of what strangers send."""


_NEVER_CLIPPED = min(CLIPPED.values())


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens by disjoint kind, as billed."""

    prompt: int = 0
    cache_read: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    audio_prompt: int = 0
    image_prompt: int = 0
    audio_completion: int = 0
    image_completion: int = 0
    audio_cache_read: int = 0

    @property
    def prompt_total(self) -> int:
        cached = self.cache_read + self.cache_write + self.cache_write_1h + self.audio_cache_read
        return self.prompt + cached + self.audio_prompt + self.image_prompt

    @property
    def completion_total(self) -> int:
        return self.completion + self.reasoning + self.audio_completion + self.image_completion


_KINDS = Tokens.__struct_fields__


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try at one endpoint. ``provider``: display name. ``kind``: ``ok`` or the failure's. ``status``: the vendor's, if any."""

    endpoint: str
    provider: str
    kind: str
    status: int | None = None
    latency_ms: int | None = None


class Dropped(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an endpoint was not a candidate."""

    endpoint: str
    filter: str
    detail: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One generation. Times in unix seconds or milliseconds, money in nano-USD, prices in femto-USD per unit.

    Fields are only ever added, at the end and with a default: a record written by an older version still decodes.
    """

    id: str
    created_at: float
    organization: str
    key_hash: str
    model_requested: str
    outcome: Outcome
    model: str = ""
    """The model that served; empty when none did."""
    provider: str = ""
    provider_name: str = ""
    endpoint: str = ""
    upstream_id: str | None = None
    """The vendor's own id of the answer."""
    api_type: str = "completions"
    streamed: bool = False
    cancelled: bool = False
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    tokens: Tokens = Tokens()
    units: Mapping[str, int] = {}
    """What was billed and is not tokens, by price kind."""
    usage_source: UsageSource = "reported"
    cost_nano: int = 0
    """The provider's price of the answer."""
    fee_nano: int = 0
    total_nano: int = 0
    """The caller should pay: cost and fee, or 0 by the zero-completion insurance. The ledger says what was paid."""
    prices_femto: Mapping[str, int] = {}
    """Snapshot of the price in force, by kind."""
    latency_ms: int | None = None
    """Time to the first content."""
    generation_time_ms: int | None = None
    """From sending the request to its ending."""
    http_referer: str | None = None
    app_title: str | None = None
    user_agent: str | None = None
    user: str | None = None
    session_id: str | None = None
    service_tier: str | None = None
    policy: str = ""
    """Name of the policy that ranked the candidates."""
    drops: tuple[Dropped, ...] = ()

    def __post_init__(self) -> None:
        told = (self.http_referer, self.app_title, self.user_agent, self.user, self.session_id, self.upstream_id)
        for text in told:
            if text is not None and len(text) > _NEVER_CLIPPED:
                self._clip()
                return

    def _clip(self) -> None:
        for name, longest in CLIPPED.items():
            text = getattr(self, name)
            if text is not None and len(text) > longest:
                msgspec.structs.force_setattr(self, name, text[:longest])


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """Compact JSON without default values: a typical record takes about 700 bytes."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """Raises msgspec.ValidationError or msgspec.DecodeError when it is not a record."""
    return _decoder.decode(data)


def usd(nano: int) -> msgspec.Raw:
    """Nano-dollars → a JSON number of dollars whose text is exact (``1500`` → ``0.0000015``): no float is involved."""
    return msgspec.Raw(format_usd(nano).encode())


def iso(unix_s: float) -> str:
    """Unix seconds → ``2026-11-21T17:38:00.123Z``."""
    second, micros = divmod(round(unix_s * 1_000_000), 1_000_000)
    return f"{_to_the_second(second)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=16)
def _to_the_second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def generation_view(record: Record, paid_nano: int) -> dict[str, Any]:
    """The ``data`` of ``GET /generation``: every key the official SDK demands, null where there is nothing to say.

    Encode it with msgspec: money is ``msgspec.Raw``. ``tokens_*`` equal ``native_tokens_*``: this gateway bills and
    shows the vendor's own count and keeps no second, normalised one. ``cost_details``, ``outcome`` and
    ``usage_source`` are ours.
    """
    return {**_identity(record), **_story(record), **_counts(record), **_money(record, paid_nano)}


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


def _story(record: Record) -> dict[str, Any]:
    return {
        "streamed": record.streamed,
        "cancelled": record.cancelled,
        "finish_reason": record.finish_reason,
        "native_finish_reason": record.native_finish_reason,
        "service_tier": record.service_tier,
        "latency": record.latency_ms,
        "moderation_latency": None,
        "generation_time": record.generation_time_ms,
        "provider_responses": [_provider_response(attempt, record.model) for attempt in record.attempts],
        "outcome": record.outcome,
    }


def _provider_response(attempt: Attempt, model: str) -> dict[str, Any]:
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
    """What the cache saved of the provider's price; negative when writing cost more; null without cache tokens."""
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


def log_line(record: Record, charged_nano: int, surface: str, ended_at: float) -> dict[str, Any]:
    """The canonical log line of a request: ids, model, plan, attempts, times, tokens, money, outcome. Never a prompt."""
    return {
        "id": record.id,
        "org": record.organization,
        "key": record.key_hash[:12],
        "surface": surface,
        "model_requested": record.model_requested,
        "model": record.model,
        "provider": record.provider,
        "policy": record.policy,
        "attempts": [f"{attempt.endpoint.partition('/')[0]}:{attempt.kind}" for attempt in record.attempts],
        "streamed": record.streamed,
        "outcome": record.outcome,
        "finish": record.finish_reason,
        "ttft_ms": record.latency_ms,
        "total_ms": record.generation_time_ms,
        "tokens": {kind: count for kind, count in zip(_KINDS, astuple(record.tokens), strict=True) if count},
        "usage_source": record.usage_source,
        "cost_nano": record.cost_nano,
        "fee_nano": record.fee_nano,
        "charged_nano": charged_nano,
        "event": "generation",
        "level": "info",
        "timestamp": iso(ended_at),
    }
