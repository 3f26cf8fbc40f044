"""The present health of every endpoint. The attempts report to it, routing reads from it.

What a failure counts for depends on what it is attributed to (see the head of ``providers/failures.yaml``): ``endpoint`` counts
against uptime and the breaker; ``capacity`` pauses the endpoint but says nothing about its quality; ``model``, ``vendor`` and
``credential`` pause all endpoints that share the quota or the key; ``unclear`` moves the endpoint to the end of the line when it
repeats; everything else changes nothing. A success within the last minute speaks against ``credential`` and ``unclear``: what one
request is refused must not count against others.

Two clocks: a monotonic one for everything that is kept here, and the wall clock for what is shared with other processes, whose
facts and counts are translated when they arrive.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator

from gateway.health.breaker import State
from gateway.health.endpoint_stats import EndpointStats
from gateway.health.pauses import CAPACITY_PAUSE_S, CREDENTIAL_PAUSE_S, NEVER, PROVEN_S, GrowingPauses, Scope
from gateway.health.rolling_stats import FAIL, OK, Percentiles, RollingStats
from gateway.health.shared_counters import (
    DAY,
    OVER,
    SHORT,
    Fact,
    FactKind,
    SharedCounters,
    SharedFacts,
    kept_form,
    shared_form,
)
from gateway.health.view import UNKNOWN, EndpointHealth, Observation
from gateway.store.client import Store, store_errors

__all__ = ["UNKNOWN", "EndpointHealth", "HealthRegistry", "Observation"]

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
LAST_RESORT_BAND = 2
SHARED_FROM_S = 1.0
"""Pauses up to this length are over before another process hears of them."""
RATE_LIMITED = "rate_limited"
"""The kind of failure whose pause the caller is told of as a rate limit."""


class HealthRegistry:
    """One per process; its event loop owns it.

    ``clock`` gives unix seconds, ``monotonic`` (default: the same) seconds that never step.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        monotonic: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic or clock
        self._rng = rng or random.Random()
        self._endpoints: dict[str, EndpointStats] = {}
        self._pauses = GrowingPauses()
        self._born = self._monotonic()
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
            if not self._pauses:
                return UNKNOWN
            stats = self._stats(endpoint_id)
        now = self._monotonic()
        if now < stats.fresh_until:
            return stats.health
        stats.health, stats.fresh_until = self._snapshot(stats, now)
        return stats.health

    def probe(self, endpoint_id: str) -> bool:
        """May this attempt be made? Called right before it. A half-open breaker has one slot, and so has an endpoint whose vendor
        was full and did not say until when: this takes it."""
        stats = self._endpoints.get(endpoint_id)
        if stats is None or (stats.breaker.open_until is None and not stats.throttle.touched):
            return True
        stats.fresh_until, now = 0.0, self._monotonic()
        return stats.throttle.probe(now) and stats.breaker.probe(now)

    def observe(self, endpoint_id: str, observation: Observation) -> None:
        """Report how an attempt ended; exactly once for each, also when the client disconnected, or a probe's slot stays taken."""
        now = self._monotonic()
        stats = self._stats(endpoint_id)
        if (
            observation.ok
            and stats.breaker.open_until is None
            and not (self._pauses and self._pauses.concerns(stats.shared_by))
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
        else:
            self._failed(stats, observation, now)
        if stats.breaker.changed_at != before:
            until = stats.breaker.open_until
            self._publish(endpoint_id, None if until is None else until - now, "breaker")
        if not observation.ok or stats.health.state != "closed":
            stats.fresh_until = 0.0

    def speeds(self, endpoint_id: str) -> tuple[Percentiles | None, Percentiles | None]:
        """(TTFT ms of streams, tokens/s) of the last thirty minutes, as the public listing shows them."""
        stats = self._endpoints.get(endpoint_id)
        if stats is None:
            return None, None
        self._flush(stats)
        found = stats.rolling.speeds(self._monotonic(), 1800)
        return found.ttft_ms, found.throughput_tps

    async def share(self, store: Store) -> None:
        """Exchange counts and facts with the other processes. One task calls it once a second.

        Raises StoreError; this process then goes on with what it knows, and the counts of this second may stay unknown to the
        others. The work is done in small portions, so that the event loop is never held up.
        """
        with store_errors():
            await self._share(store, self._clock())

    async def _share(self, store: Store, wall: float) -> None:
        for number, stats in enumerate(list(self._endpoints.values()), 1):
            self._flush(stats)
            if number % FLUSHED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._short.flush(store, wall)
        await self._day.flush(store, wall)
        await self._facts.flush(store)
        for counters in (self._short, self._day):
            async for when, shared_id, shared in counters.fetch(store, wall):
                endpoint_id, counts = kept_form(shared_id, shared)
                now = self._monotonic()
                stats = self._touch(endpoint_id, now)
                counted_at = now - max(0.0, wall - when)
                if counts.get(OK) and counters is self._short:
                    stats.served_at = max(stats.served_at, counted_at)
                for key, count in counts.items():
                    stats.rolling.add(counted_at, key, count, spans=counters.kind.spans)
        facts, now = await self._facts.fetch(store, wall), self._monotonic()
        for fact in facts:
            self._apply_remote(fact, wall, now)
        self._forget(now)

    def _stats(self, endpoint_id: str) -> EndpointStats:
        stats = self._endpoints.get(endpoint_id)
        if stats is None:
            stats = self._endpoints[endpoint_id] = EndpointStats(endpoint_id, self._rng)
            stats.touched = self._monotonic()
        return stats

    def _succeeded(self, stats: EndpointStats, observation: Observation, now: float) -> None:
        stats.succeeded([(now, observation)])
        self._pauses.succeed(stats.shared_by, now)

    def _failed(self, stats: EndpointStats, observation: Observation, now: float) -> None:
        """Counts a failure against whatever it is attributed to."""
        whom, retry_s = observation.attributed_to, observation.retry_after_s
        paused_until = stats.throttle.until
        if whom == "endpoint":
            stats.count(FAIL)
            if observation.ttft_ms is not None:
                stats.waited(observation.ttft_ms)
            stats.breaker.fail(now)
            stats.throttle.pause(now, retry_s or 0.0)
        else:
            stats.breaker.release()
        if whom == "capacity":
            limited = observation.kind == RATE_LIMITED
            stats.throttle.refuse(now, retry_s, limited=limited, alone=observation.alone)
        elif whom == "model":
            self._pause_shared(stats, "model", now, first_s=CAPACITY_PAUSE_S, advice_s=retry_s)
        elif whom == "vendor":
            self._pause_shared(stats, "vendor", now, first_s=CAPACITY_PAUSE_S, advice_s=retry_s)
        elif whom == "credential" and now - self._worked_at(stats.provider) >= PROVEN_S:
            self._pause_shared(stats, "credential", now, first_s=CREDENTIAL_PAUSE_S)
        elif whom in ("unclear", "credential"):
            stats.refusals.refuse(now, served_at=stats.last_served())
        pause_s = stats.throttle.until - now
        if stats.throttle.until > paused_until and pause_s > SHARED_FROM_S:
            # That it is a rate limit is a fact of its own: older versions know only the first.
            self._publish(stats.id, pause_s, *(("cooling", "limited") if stats.throttle.limited else ("cooling",)))

    def _worked_at(self, provider: str) -> float:
        """When a request last succeeded with a provider's key, here or in another process."""
        return max(
            (each.last_served() for each in self._endpoints.values() if each.provider == provider), default=NEVER
        )

    def _flush(self, stats: EndpointStats) -> None:
        """Move waiting counts into the windows, and into what is shared with other processes."""
        for counts in stats.flush():
            self._day.add(stats.id, {key: count for key, count in counts.items() if key in (OK, FAIL)})
            for endpoint_id, shared in shared_form(stats.id, counts):
                self._short.add(endpoint_id, shared)

    def _pause_shared(
        self, stats: EndpointStats, scope: Scope, now: float, *, first_s: float, advice_s: float | None = None
    ) -> None:
        """Pause everything that shares a quota or a key with this endpoint."""
        name = dict(stats.shared_by)[scope]
        until = self._pauses.refuse(scope, name, now, first_s=first_s, advice_s=advice_s)
        if until is None:
            return
        self._refresh()
        self._publish(name, until - now, scope)
        if scope != "credential":  # versions that do not know the other scopes keep at least this endpoint at rest
            self._publish(stats.id, until - now, "cooling")

    def _publish(self, subject: str, pause_s: float | None, *kinds: FactKind) -> None:
        """Tell the other processes. ``pause_s``: from now; None = it is over."""
        wall = self._clock()
        for kind in kinds:
            self._facts.publish(Fact(kind, subject, OVER if pause_s is None else wall + pause_s, wall))

    def _refresh(self) -> None:
        for stats in self._endpoints.values():
            stats.fresh_until = 0.0

    def _snapshot(self, stats: EndpointStats, now: float) -> tuple[EndpointHealth, float]:
        """(health, monotonic time until which it may be reused)."""
        self._flush(stats)
        ahead = [(why, until) for why, until in self._deadlines(stats, now) if until > now]
        until = [until for _, until in ahead]
        reason = ahead[0][0] if ahead else None if stats.breaker.available(now) else "breaker"
        state: State = "open" if ahead else stats.breaker.state(now)
        if state == "closed" and stats.throttle.trial(now):
            state = "half_open"
        last_resort = now < stats.refusals.last_resort_until
        good_5m, all_5m = stats.rolling.success(300, now)
        good_30m, all_30m = stats.rolling.success(1800, now)
        speeds = stats.rolling.speeds(now)
        health = EndpointHealth(
            state=state,
            available=reason is None,
            reason=reason,
            wait_s=None if reason is None else max(until, default=now + PROBE_WAIT_S) - now,
            recent_outage=_outage(stats.rolling, now),
            band=LAST_RESORT_BAND
            if last_resort
            else _band(*((good_5m, all_5m) if all_5m >= BAND_ATTEMPTS else (good_30m, all_30m))),
            uptime_5m=_percent(good_5m, all_5m),
            uptime_30m=_percent(good_30m, all_30m),
            uptime_1d=_percent(*stats.rolling.success(86_400, now)),
            attempts=all_30m,
            ttft_ms=speeds.ttft_ms,
            latency_ms=speeds.latency_ms,
            throughput_tps=speeds.throughput_tps,
            speed_samples=speeds.samples,
        )
        return health, min([now // 1 + 1, *until])

    def _deadlines(self, stats: EndpointStats, now: float) -> Iterator[tuple[str, float]]:
        """(reason, monotonic time) of everything that may keep requests away; the reason that comes first is reported."""
        throttle = stats.throttle
        for scope, name in stats.shared_by if self._pauses else ():
            yield "credential" if scope == "credential" else "rate_limit", self._pauses.until(scope, name)
        yield "rate_limit" if throttle.limited else "cooling", now + throttle.wait_s(now)
        yield "breaker", stats.breaker.open_until or 0.0

    def _touch(self, endpoint_id: str, now: float) -> EndpointStats:
        stats = self._stats(endpoint_id)
        self._flush(stats)
        stats.touched, stats.fresh_until = now, 0.0
        return stats

    def _apply_remote(self, fact: Fact, wall: float, now: float) -> None:
        """Apply what another process says, at most for its own length: the two wall clocks, or the time since, may be wrong.

        Deadlines only grow; of two breaker changes the later one counts.
        """
        at, until = now - max(0.0, wall - fact.at), now + min(fact.until - wall, fact.until - fact.at)
        if fact.kind == "credential":
            # What was refused before this process started may have been refused for an older key.
            works = at < self._born or self._worked_at(fact.subject) > at - PROVEN_S
            if not works and until > now and self._pauses.adopt("credential", fact.subject, until):
                self._refresh()
        elif fact.kind in ("vendor", "model"):
            if until > now and self._pauses.adopt(fact.kind, fact.subject, until):
                self._refresh()
        elif fact.kind in ("cooling", "limited"):
            self._touch(fact.subject, now).throttle.pause(now, until - now, limited=fact.kind == "limited")
        elif fact.kind == "breaker":
            self._touch(fact.subject, now).breaker.adopt(None if fact.until == OVER else until, at)

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
