"""What happened to one generation: written once at its ending, read by ``GET /generation`` and by analytics.

It must not know: HTTP, Redis, the ledger. Only the ledger knows what the caller paid, so the log line takes it
as an argument. Prompts and answers are never part of a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from gateway.money import format_usd

Outcome = Literal["complete", "caller_left", "upstream_failed", "refused", "shutdown", "credit_exhausted"]
UsageSource = Literal["reported", "estimated"]

CLIPPED = {
    "http_referer": 512, "app_title": 128, "user_agent": 256, "user": 256, "session_id": 256, "upstream_id": 256,
    "native_finish_reason": 128,
}  # fmt: skip
"""Field → the most characters that a record keeps of it: clients and vendors choose these texts."""

_NEVER_CLIPPED = min(CLIPPED.values())


PROMPT_KINDS = (
    "prompt",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_cache_read",
    "audio_prompt",
    "image_prompt",
)
COMPLETION_KINDS = ("completion", "reasoning", "audio_completion", "image_completion")
"""Fields of ``Tokens``: they make up ``prompt_total`` and ``completion_total``."""


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


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt at one endpoint. ``provider``: display name. ``kind``: ``ok`` or the failure's. ``status``: the vendor's."""

    endpoint: str
    provider: str
    kind: str
    status: int | None = None
    latency_ms: int | None = None
    message: str = ""
    """The vendor's own words about a failure that is not the caller's, short and without secrets."""


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
    """Billed units other than tokens, by price kind."""
    usage_source: UsageSource = "reported"
    cost_nano: int = 0
    """The provider's price of the answer."""
    fee_nano: int = 0
    total_nano: int = 0
    """What the caller should pay: cost and fee, or 0 by the zero-completion insurance. The ledger knows what was paid."""
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
        texts = (
            self.http_referer, self.app_title, self.user_agent, self.user, self.session_id, self.upstream_id,
            self.native_finish_reason,
        )  # fmt: skip
        for text in texts:
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
        "tokens": msgspec.to_builtins(record.tokens),  # without kinds of which there are none
        "usage_source": record.usage_source,
        "cost_nano": record.cost_nano,
        "fee_nano": record.fee_nano,
        "charged_nano": charged_nano,
        "event": "generation",
        "level": "info",
        "timestamp": iso(ended_at),
    }
