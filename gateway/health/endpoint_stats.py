"""All that one process keeps about one endpoint. While requests run, each only appends to a list; counting waits for a reader."""

from __future__ import annotations

import random

from gateway.catalog.model import provider_of
from gateway.health.breaker import Breaker
from gateway.health.json_latency import JsonLatency
from gateway.health.rolling_stats import JSON_LATENCY, OK, THROUGHPUT, TTFT, RollingStats, bucket
from gateway.health.view import UNKNOWN, Observation


class EndpointStats:
    """One endpoint. Only the registry changes it."""

    __slots__ = (
        "breaker",
        "cooling_until",
        "fresh_until",
        "good",
        "health",
        "id",
        "json_latency",
        "pending",
        "provider",
        "rolling",
        "touched",
    )

    def __init__(self, endpoint_id: str, rng: random.Random) -> None:
        self.id = endpoint_id
        self.provider = provider_of(endpoint_id)
        self.breaker = Breaker(rng)
        self.rolling = RollingStats()
        self.json_latency = JsonLatency()
        self.good: list[tuple[float, Observation]] = []
        """Good endings (unix seconds, what was observed) that are not counted yet."""
        self.pending: dict[str, int] = {}
        """Counts of the second of ``touched`` that are in no window yet."""
        self.touched = 0.0
        self.cooling_until = 0.0
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

    def flush(self) -> list[dict[str, int]]:
        """Move everything that waits into the windows, second by second. Returns the counts that were moved."""
        good, self.good = self.good, []
        moved: list[dict[str, int]] = []
        for when, observation in good:
            if when // 1 != self.touched // 1:
                moved += self._move_pending()
            self.touched = when
            self.breaker.succeed(when)
            self.succeeded(observation)
        return moved + self._move_pending()

    def _move_pending(self) -> list[dict[str, int]]:
        pending, self.pending = self.pending, {}
        for key, count in pending.items():
            self.rolling.add(self.touched, key, count)
        return [pending] if pending else []
