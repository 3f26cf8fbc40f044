"""What an attempt reports of an endpoint, and what routing reads of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.health.breaker import State
from gateway.health.rolling_stats import Percentiles


class Observation(msgspec.Struct, frozen=True):
    """How one attempt ended. ``kind`` and ``attributed_to`` are those of the failure's row, None when ``ok``.

    A good stream reports ``ttft_ms``, a good JSON answer ``answer_ms`` and its ``tokens``, both ``tokens_per_s``.
    """

    ok: bool
    kind: str | None = None
    attributed_to: str | None = None
    ttft_ms: float | None = None
    answer_ms: float | None = None
    tokens: int = 0
    tokens_per_s: float | None = None
    retry_after_s: float | None = None
    """The pause that the vendor asked for; 0 = none, None = it did not say."""
    alone: bool = False
    """The request has no other endpoint of the same model to go to."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """A snapshot of one endpoint. The defaults are those of an endpoint that has not been tried yet."""

    state: State = "closed"
    available: bool = True
    """May be chosen now. In half-open: the probe's slot is free."""
    reason: str | None = None
    """Why not: ``credential``, ``rate_limit``, ``cooling`` (a pause for another reason), ``breaker``."""
    wait_s: float | None = None
    """Seconds until it may be asked again, while it is unavailable; as of at most a second ago."""
    recent_outage: bool = False
    band: int = 0
    """0 normal, 1 degraded (uptime below 95 %), 2 fallback only (below 80 %, or it refuses one request after the other)."""
    uptime_5m: float | None = None
    uptime_30m: float | None = None
    uptime_1d: float | None = None
    attempts: int = 0
    """Attempts of the last thirty minutes that count for uptime."""
    ttft_ms: Percentiles | None = None
    """Of streams: five minutes' percentiles, or thirty minutes' where five have too few samples; None without any."""
    latency_ms: Percentiles | None = None
    """For comparing endpoints: ``ttft_ms`` where enough streams were measured, else together with the estimates of JSON answers."""
    throughput_tps: Percentiles | None = None
    speed_samples: int = 0
    """Good answers of the last five minutes whose speed is known."""

    @property
    def explicit(self) -> bool:
        """Unavailable because the vendor said so, not by our statistics: it is not tried even when nothing else is left."""
        return self.reason in ("cooling", "rate_limit", "credential")


UNKNOWN = EndpointHealth()
