"""All that one process keeps about one endpoint. While requests run, each only appends to a list; counting waits for a reader."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeVar

from gateway.catalog.model import provider_of, upstream_model_of
from gateway.health.breaker import Breaker
from gateway.health.json_latency import JsonLatency, estimate
from gateway.health.pauses import NEVER, Refusals, Scope, Throttle
from gateway.health.rolling_stats import JSON_LATENCY, OK, THROUGHPUT, TTFT, RollingStats, bucket
from gateway.health.view import UNKNOWN, Observation

SPEEDS_A_SECOND = 100
"""Of more good endings in one second the speeds of a random sample are counted: 30,000 in five minutes say no less."""
LEARNT_A_SECOND = 25
"""Of them, those from which ``JsonLatency`` learns: with more it would remember less than two seconds."""
_when = itemgetter(0)
Each = TypeVar("Each")


class EndpointStats:
    """One endpoint. Only the registry changes it."""

    __slots__ = (
        "_rng",
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
        self._rng = rng
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

    def succeeded(self, endings: Sequence[tuple[float, Observation]]) -> None:
        """Counts good endings of one second, the last one's being that of ``touched``."""
        self.touched = endings[-1][0]
        self.served(self.touched, len(endings))
        self.pending[OK] = self.pending.get(OK, 0) + len(endings)
        seen = [observation for _, observation in self._sample(endings, SPEEDS_A_SECOND)]
        for each in self._sample(seen, LEARNT_A_SECOND):
            if each.ttft_ms is not None:
                self.json_latency.learn(each.ttft_ms, 0)
            if each.answer_ms is not None:
                self.json_latency.learn(each.answer_ms, each.tokens)
        worth = self.json_latency.first_token_worth()
        for each in seen:
            if each.ttft_ms is not None:
                self.waited(each.ttft_ms)
            if each.answer_ms is not None:
                self.count(f"{JSON_LATENCY}{bucket(estimate(each.answer_ms, each.tokens, worth))}")
            if each.tokens_per_s is not None:
                self.count(f"{THROUGHPUT}{bucket(each.tokens_per_s)}")

    def served(self, when: float, requests: int = 1) -> None:
        """Requests have succeeded: what was held against the endpoint is over."""
        self.served_at = max(self.served_at, when)
        self.breaker.succeed(when, requests)
        self.throttle.succeed(when)
        self.refusals.succeed()

    def last_served(self) -> float:
        """When a request last succeeded here, counted or not."""
        return self.good[-1][0] if self.good else self.served_at

    def waited(self, ttft_ms: float) -> None:
        """Counts a time to the first content, or the time after which it was not waited for any longer."""
        self.count(f"{TTFT}{bucket(ttft_ms)}")

    def flush(self) -> list[dict[str, int]]:
        """Move everything that waits into the windows, second by second. Returns the counts that were moved."""
        good, self.good = self.good, []
        moved: list[dict[str, int]] = []
        while good:
            second = good[0][0] // 1
            end = bisect_left(good, second + 1, key=_when)
            if second != self.touched // 1:
                moved += self._move_pending()
            self.succeeded(good[:end])
            good = good[end:]
        return moved + self._move_pending()

    def _move_pending(self) -> list[dict[str, int]]:
        pending, self.pending = self.pending, {}
        for key, count in pending.items():
            self.rolling.add(self.touched, key, count)
        return [pending] if pending else []

    def _sample(self, endings: Sequence[Each], most: int) -> Sequence[Each]:
        return self._rng.sample(endings, most) if len(endings) > most else endings
