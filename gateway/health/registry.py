"""The present health of every endpoint. The attempts report to it, routing reads from it.

What a failure counts for depends on what it is attributed to: ``endpoint`` counts against uptime and the breaker; ``capacity``
(429) cools the endpoint down but says nothing about its quality; ``credential`` takes every endpoint of that vendor out, as they
share the key; ``caller`` and ``nobody`` change nothing.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable

from gateway.health.breaker import State
from gateway.health.endpoint_stats import EndpointStats
from gateway.health.rolling_stats import FAIL, OK, Percentiles, RollingStats
from gateway.health.shared_counters import DAY, SHORT, SharedCounters, SharedFacts, kept_form, shared_form
from gateway.health.view import UNKNOWN, EndpointHealth, Observation
from gateway.store.client import Store, store_errors

__all__ = ["UNKNOWN", "EndpointHealth", "HealthRegistry", "Observation"]

CAPACITY_COOLING_S = 5.0
"""How long a 429 without Retry-After keeps requests away (the same default as LiteLLM's cooldown)."""
LONGEST_COOLING_S = 3600.0
"""No vendor's header takes it out for longer than this at a time."""
CREDENTIAL_OUT_S = 60.0
"""First pause after a refused credential; doubles when the next try is refused too, up to ``LONGEST_COOLING_S``."""
PROBE_WAIT_S = 1.0
"""The Retry-After of requests that find a probe under way."""
GOOD_AT_ONCE = 1000
"""Good endings that wait to be counted at most; they are counted once a second in any case."""
OUTAGE_WINDOW_S, OUTAGE_SHARE = 30, 0.05
"""A recent outage: more than this share of the attempts of the last thirty seconds failed."""
FLUSHED_AT_ONCE = 25
"""Endpoints whose counts are moved into their windows before the event loop gets a turn."""
BAND_ATTEMPTS, NORMAL_UPTIME, DEGRADED_UPTIME = 100, 95.0, 80.0
"""OpenRouter's provider guide: from 100 requests on ≥ 95 % is normal, 80-94 % lower priority, less fallback only."""


class HealthRegistry:
    """One per process; its event loop owns it. ``clock`` gives unix seconds."""

    def __init__(self, clock: Callable[[], float], *, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._endpoints: dict[str, EndpointStats] = {}
        self._credentials: dict[str, tuple[float, int]] = {}
        """Provider → (out until, times in a row)."""
        self._born = clock()
        writer = secrets.token_hex(4)
        self._short, self._day, self._facts = (
            SharedCounters(SHORT, writer),
            SharedCounters(DAY, writer),
            SharedFacts(writer),
        )

    def view(self, endpoint_id: str) -> EndpointHealth:
        """The health of one endpoint, computed at most once a second or after a change."""
        stats = self._endpoints.get(endpoint_id)
        if stats is None:
            if not self._credentials:
                return UNKNOWN
            stats = self._stats(endpoint_id)
        now = self._clock()
        if now < stats.fresh_until:
            return stats.health
        stats.health, stats.fresh_until = self._snapshot(stats, now)
        return stats.health

    def probe(self, endpoint_id: str) -> bool:
        """May this attempt be made? Called right before it. A half-open breaker has one slot, which this takes."""
        stats = self._endpoints.get(endpoint_id)
        if stats is None or stats.breaker.open_until is None:
            return True
        stats.fresh_until = 0.0
        return stats.breaker.probe(self._clock())

    def observe(self, endpoint_id: str, observation: Observation) -> None:
        """Report how an attempt ended; exactly once for each, also when the client disconnected, or a probe's slot stays taken."""
        now = self._clock()
        stats = self._stats(endpoint_id)
        if (
            observation.ok
            and stats.breaker.open_until is None
            and not self._credentials
            and stats.health.state == "closed"
        ):
            # The usual case: counting can wait until somebody reads the counts.
            stats.good.append((now, observation))
            if len(stats.good) >= GOOD_AT_ONCE:
                self._flush(stats)
            return
        self._flush(stats)
        stats.touched = now
        before = stats.breaker.changed_at
        if observation.ok:
            self._succeeded(stats, observation, now)
        elif observation.attributed_to == "endpoint":
            stats.count(FAIL)
            stats.breaker.fail(now)
            self._cool(endpoint_id, stats, observation.retry_after_s, now)
        elif observation.attributed_to == "capacity":
            self._cool(endpoint_id, stats, observation.retry_after_s or CAPACITY_COOLING_S, now)
            stats.breaker.release()
        elif observation.attributed_to == "credential":
            self._refused(stats.provider, now)
            stats.breaker.release()
        else:
            stats.breaker.release()
        if stats.breaker.changed_at != before:
            self._facts.publish("breaker", endpoint_id, stats.breaker.open_until or 0.0, now)
        if not observation.ok or stats.health.state != "closed":
            stats.fresh_until = 0.0

    def speeds(self, endpoint_id: str) -> tuple[Percentiles | None, Percentiles | None]:
        """(TTFT ms of streams, tokens/s) of the last thirty minutes, as the public listing shows them."""
        stats = self._endpoints.get(endpoint_id)
        if stats is None:
            return None, None
        self._flush(stats)
        found = stats.rolling.speeds(self._clock(), 1800)
        return found.ttft_ms, found.throughput_tps

    async def share(self, store: Store) -> None:
        """Exchange counts and facts with the other processes. One task calls it once a second.

        Raises StoreError; this process then goes on with what it knows, and the counts of this second may stay unknown to the
        others. The work is done in small portions, so that the event loop is never held up.
        """
        with store_errors():
            await self._share(store, self._clock())

    async def _share(self, store: Store, now: float) -> None:
        for number, stats in enumerate(list(self._endpoints.values()), 1):
            self._flush(stats)
            if number % FLUSHED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._short.flush(store, now)
        await self._day.flush(store, now)
        await self._facts.flush(store)
        for counters in (self._short, self._day):
            async for when, shared_id, shared in counters.fetch(store, now):
                endpoint_id, counts = kept_form(shared_id, shared)
                rolling = self._touch(endpoint_id, now).rolling
                for key, count in counts.items():
                    rolling.add(min(when, now), key, count, spans=counters.kind.spans)
        for kind, subject, until, at in await self._facts.fetch(store, now):
            self._apply_remote(kind, subject, until, at)
        self._forget(now)

    def _stats(self, endpoint_id: str) -> EndpointStats:
        stats = self._endpoints.get(endpoint_id)
        if stats is None:
            stats = self._endpoints[endpoint_id] = EndpointStats(endpoint_id, self._rng)
            stats.touched = self._clock()
        return stats

    def _succeeded(self, stats: EndpointStats, observation: Observation, now: float) -> None:
        stats.breaker.succeed(now)
        stats.succeeded(observation)
        out = self._credentials.get(stats.provider)
        if out is not None and now >= out[0]:
            del self._credentials[stats.provider]  # the key is good again: the next refusal starts from the first pause

    def _flush(self, stats: EndpointStats) -> None:
        """Move waiting counts into the windows, and into what is shared with other processes."""
        for counts in stats.flush():
            self._day.add(stats.id, {key: count for key, count in counts.items() if key in (OK, FAIL)})
            for endpoint_id, shared in shared_form(stats.id, counts):
                self._short.add(endpoint_id, shared)

    def _cool(self, endpoint_id: str, stats: EndpointStats, retry_after_s: float | None, now: float) -> None:
        """The later deadline wins: a shorter one never shortens a longer one."""
        if retry_after_s is None or retry_after_s <= 0:
            return
        until = now + min(retry_after_s, LONGEST_COOLING_S)
        if until > stats.cooling_until:
            stats.cooling_until = until
            self._facts.publish("cooling", endpoint_id, until, now)

    def _refused(self, provider: str, now: float) -> None:
        until, times = self._credentials.get(provider, (0.0, 0))
        if now < until:
            return  # sent before the first refusal came back: one refusal is not counted twice
        until = now + min(CREDENTIAL_OUT_S * 2.0 ** min(times, 10), LONGEST_COOLING_S)
        self._credentials[provider] = (until, times + 1)
        self._facts.publish("credential", provider, until, now)
        self._refresh(provider)

    def _refresh(self, provider: str) -> None:
        for stats in self._endpoints.values():
            if stats.provider == provider:
                stats.fresh_until = 0.0

    def _snapshot(self, stats: EndpointStats, now: float) -> tuple[EndpointHealth, float]:
        """(health, unix time until which it may be reused)."""
        self._flush(stats)
        deadlines = {
            "credential": self._credentials.get(stats.provider, (0.0, 0))[0],
            "cooling": stats.cooling_until,
            "breaker": stats.breaker.open_until or 0.0,
        }
        ahead = {why: until for why, until in deadlines.items() if until > now}
        reason = next(iter(ahead), None if stats.breaker.available(now) else "breaker")
        state: State = "open" if ahead else stats.breaker.state(now)
        good_5m, all_5m = stats.rolling.success(300, now)
        good_30m, all_30m = stats.rolling.success(1800, now)
        speeds = stats.rolling.speeds(now)
        health = EndpointHealth(
            state=state,
            available=reason is None,
            reason=reason,
            cooling_until=None if reason is None else max(ahead.values(), default=now + PROBE_WAIT_S),
            recent_outage=_outage(stats.rolling, now),
            band=_band(good_5m, all_5m) if all_5m >= BAND_ATTEMPTS else _band(good_30m, all_30m),
            uptime_5m=_percent(good_5m, all_5m),
            uptime_30m=_percent(good_30m, all_30m),
            uptime_1d=_percent(*stats.rolling.success(86_400, now)),
            attempts=all_30m,
            ttft_ms=speeds.ttft_ms,
            latency_ms=speeds.latency_ms,
            throughput_tps=speeds.throughput_tps,
            speed_samples=speeds.samples,
        )
        return health, min([now // 1 + 1, *ahead.values()])

    def _touch(self, endpoint_id: str, now: float) -> EndpointStats:
        stats = self._stats(endpoint_id)
        self._flush(stats)
        stats.touched, stats.fresh_until = now, 0.0
        return stats

    def _apply_remote(self, kind: str, subject: str, until: float, at: float) -> None:
        """Apply a fact from another process. Deadlines only grow; of two breaker changes the later one counts."""
        if kind == "credential":
            mine, times = self._credentials.get(subject, (0.0, 0))
            # What was refused before this process started may have been refused for an older key.
            if at >= self._born and until > max(mine, self._clock()):
                self._credentials[subject] = (until, max(times, 1))
                self._refresh(subject)
            return
        stats = self._touch(subject, self._clock())
        if kind == "cooling":
            stats.cooling_until = max(stats.cooling_until, until)
        elif kind == "breaker":
            stats.breaker.adopt(until or None, at)

    def _forget(self, now: float) -> None:
        """Endpoints that left the catalogue are dropped after a day without traffic."""
        for endpoint_id in [each for each, stats in self._endpoints.items() if stats.touched < now - 86_400]:
            del self._endpoints[endpoint_id]


def _outage(rolling: RollingStats, now: float) -> bool:
    good, attempts = rolling.success(OUTAGE_WINDOW_S, now)
    return attempts - good > OUTAGE_SHARE * attempts


def _percent(good: int, attempts: int) -> float | None:
    return round(100 * good / attempts, 3) if attempts else None


def _band(good: int, attempts: int) -> int:
    uptime = _percent(good, attempts)
    if uptime is None or attempts < BAND_ATTEMPTS or uptime >= NORMAL_UPTIME:
        return 0
    return 1 if uptime >= DEGRADED_UPTIME else 2
