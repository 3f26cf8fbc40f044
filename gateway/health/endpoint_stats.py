"""All that one process keeps about one endpoint. While requests run, each only appends to a list; counting waits for a reader."""

from __future__ import annotations

import random

from gateway.catalog.model import provider_of, upstream_model_of
from gateway.health.breaker import Breaker
from gateway.health.json_latency import JsonLatency
from gateway.health.pauses import NEVER, Refusals, Scope, Throttle
from gateway.health.rolling_stats import JSON_LATENCY, OK, THROUGHPUT, TTFT, RollingStats, bucket
from gateway.health.view import UNKNOWN, Observation


class EndpointStats:
    """One endpoint. Only the registry changes it."""

    __slots__ = (
        "breaker",
        "fresh_until",
        "good",
        "health",
        "id",
        "json_latency",
        "pending",
        "provider",
        "refusals",
        "rolling",
        "served_at",
        "shared_by",
        "throttle",
        "touched",
    )

    def __init__(self, endpoint_id: str, rng: random.Random) -> None:
        self.id = endpoint_id
        self.provider = provider_of(endpoint_id)
        self.shared_by: tuple[tuple[Scope, str], ...] = (
            ("credential", self.provider),
            ("vendor", self.provider),
            ("model", upstream_model_of(endpoint_id)),
        )
        """What this endpoint has in common with others, see ``GrowingPauses``."""
        self.breaker = Breaker(rng)
        self.rolling = RollingStats()
        self.json_latency = JsonLatency()
        self.good: list[tuple[float, Observation]] = []
        """Good endings (monotonic seconds, what was observed) that are not counted yet."""
        self.pending: dict[str, int] = {}
        """Counts of the second of ``touched`` that are in no window yet."""
        self.touched = 0.0
        self.served_at = NEVER
        """When a request last succeeded here, in any process."""
        self.throttle = Throttle()
        self.refusals = Refusals()
        self.health = UNKNOWN
        self.fresh_until = 0.0

    def count(self, key: str) -> None:
        """One more of ``key`` (see ``RollingStats``) in the second of ``touched``."""
        self.pending[key] = self.pending.get(key, 0) + 1

    def succeeded(self, observation: Observation) -> None:
        """Counts one good ending."""
        self.count(OK)
        if observation.ttft_ms is not None:
            self.count(f"{TTFT}{bucket(observation.ttft_ms)}")
            self.json_latency.learn(observation.ttft_ms, 0)
        if observation.answer_ms is not None:
            self.json_latency.learn(observation.answer_ms, observation.tokens)
            latency_ms = self.json_latency.estimate(observation.answer_ms, observation.tokens)
            self.count(f"{JSON_LATENCY}{bucket(latency_ms)}")
        if observation.tokens_per_s is not None:
            self.count(f"{THROUGHPUT}{bucket(observation.tokens_per_s)}")

    def served(self, when: float) -> None:
        """A request has succeeded: what was held against the endpoint is over."""
        self.served_at = max(self.served_at, when)
        self.breaker.succeed(when)
        self.throttle.succeed(when)
        self.refusals.succeed()

    def last_served(self) -> float:
        """When a request last succeeded here, counted or not."""
        return self.good[-1][0] if self.good else self.served_at

    def flush(self) -> list[dict[str, int]]:
        """Move everything that waits into the windows, second by second. Returns the counts that were moved."""
        good, self.good = self.good, []
        moved: list[dict[str, int]] = []
        for when, observation in good:
            if when // 1 != self.touched // 1:
                moved += self._move_pending()
            self.touched = when
            self.served(when)
            self.succeeded(observation)
        return moved + self._move_pending()

    def _move_pending(self) -> list[dict[str, int]]:
        pending, self.pending = self.pending, {}
        for key, count in pending.items():
            self.rolling.add(self.touched, key, count)
        return [pending] if pending else []
