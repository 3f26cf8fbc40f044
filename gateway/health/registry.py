"""What every endpoint is like right now. Dispatch tells it what happened, routing asks how things stand.

What counts, by whom a failure blames: ``endpoint`` counts against uptime and the breaker; ``capacity`` (429) cools the
endpoint down but says nothing about its quality; ``credential`` takes every endpoint of that vendor out, as they share
the key; ``caller`` and ``nobody`` count for nothing.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator

from gateway.health.breaker import State
from gateway.health.endpoint_stats import EndpointStats
from gateway.health.rolling_stats import FAIL, OK, Percentiles, RollingStats
from gateway.health.shared_counters import DAY, SHORT, SharedCounters, SharedFacts
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
"""What we tell others to wait while a probe is under way."""
GOOD_AT_ONCE = 1000
"""Good endings that wait to be counted at most; they are counted once a second in any case."""
OUTAGE_WINDOW_S, OUTAGE_SHARE = 30, 0.05
"""A recent outage: more than this share of the attempts of the last thirty seconds failed."""
FOLDED_AT_ONCE = 25
"""Endpoints whose counts are moved into their windows between two breaths of the event loop."""
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
        """Cheap: computed once a second at most, or when something happened."""
        card = self._endpoints.get(endpoint_id)
        if card is None:
            if not self._credentials:
                return UNKNOWN
            card = self._stats(endpoint_id)
        now = self._clock()
        if now < card.fresh_until:
            return card.health
        card.health, card.fresh_until = self._look(card, now)
        return card.health

    def probe(self, endpoint_id: str) -> bool:
        """Asked right before an attempt: may it go? In half-open it takes the one slot, so of several only one goes."""
        card = self._endpoints.get(endpoint_id)
        if card is None or card.breaker.open_until is None:
            return True
        card.fresh_until = 0.0
        return card.breaker.probe(self._clock())

    def observe(self, endpoint_id: str, seen: Observation) -> None:
        """Every attempt ends here once, whatever became of it (also a caller who left): a probe's slot depends on it."""
        now = self._clock()
        card = self._stats(endpoint_id)
        if seen.ok and card.breaker.open_until is None and not self._credentials and card.health.state == "closed":
            # The usual case: nothing asks before it is counted.
            card.good.append((now, seen.ttft_ms, seen.tokens_per_s))
            if len(card.good) >= GOOD_AT_ONCE:
                self._fold(card)
            return
        self._fold(card)
        card.touched = now
        before = card.breaker.changed_at
        if seen.ok:
            self._succeeded(card, seen, now)
        elif seen.attributed_to == "endpoint":
            card.count(FAIL)
            card.breaker.fail(now)
            self._cool(endpoint_id, card, seen.retry_after_s, now)
        elif seen.attributed_to == "capacity":
            self._cool(endpoint_id, card, seen.retry_after_s or CAPACITY_COOLING_S, now)
            card.breaker.release()
        elif seen.attributed_to == "credential":
            self._refused(card.provider, now)
            card.breaker.release()
        else:
            card.breaker.release()
        if card.breaker.changed_at != before:
            self._facts.tell("breaker", endpoint_id, card.breaker.open_until or 0.0, now)
        if not seen.ok or card.health.state != "closed":
            card.fresh_until = 0.0

    def speeds(self, endpoint_id: str) -> tuple[Percentiles | None, Percentiles | None]:
        """(TTFT ms, tokens/s) of the last thirty minutes, as the public listing shows them."""
        card = self._endpoints.get(endpoint_id)
        if card is None:
            return None, None
        self._fold(card)
        return card.tally.speeds(self._clock(), 1800)

    def views(self) -> Iterator[tuple[str, EndpointHealth]]:
        """Every endpoint that anything is known about: for metrics and the console."""
        for endpoint_id in list(self._endpoints):
            yield endpoint_id, self.view(endpoint_id)

    async def share(self, store: Store) -> None:
        """Tells the other processes what happened here and learns what happened there. One task calls it once a second.

        Raises StoreError; counts that could not be told are then told by nobody, and this process goes on alone. Work
        is done in small portions, so the event loop is never held up.
        """
        with store_errors():
            await self._share(store, self._clock())

    async def _share(self, store: Store, now: float) -> None:
        for number, card in enumerate(list(self._endpoints.values()), 1):
            self._fold(card)
            if number % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._short.flush(store, now)
        await self._day.flush(store, now)
        await self._facts.flush(store)
        for exchange in (self._short, self._day):
            async for when, endpoint_id, counts in exchange.fetch(store, now):
                tally = self._learn(endpoint_id, now).tally
                for key, count in counts.items():
                    tally.add(min(when, now), key, count, spans=exchange.kind.spans)
        for kind, subject, until, at in await self._facts.fetch(store, now):
            self._hear(kind, subject, until, at)
        self._forget(now)

    def _stats(self, endpoint_id: str) -> EndpointStats:
        card = self._endpoints.get(endpoint_id)
        if card is None:
            card = self._endpoints[endpoint_id] = EndpointStats(endpoint_id, self._rng)
            card.touched = self._clock()
        return card

    def _succeeded(self, card: EndpointStats, seen: Observation, now: float) -> None:
        card.breaker.succeed(now)
        card.succeeded(seen.ttft_ms, seen.tokens_per_s)
        out = self._credentials.get(card.provider)
        if out is not None and now >= out[0]:
            del self._credentials[card.provider]  # the key is good again: the next refusal starts from the first pause

    def _fold(self, card: EndpointStats) -> None:
        """Moves the counts that wait into the windows, and into what other processes are told."""
        for counts in card.flush():
            self._short.add(card.id, counts)
            self._day.add(card.id, {key: count for key, count in counts.items() if key in (OK, FAIL)})

    def _cool(self, endpoint_id: str, card: EndpointStats, retry_after_s: float | None, now: float) -> None:
        """The later deadline wins: a shorter one never shortens a longer one."""
        if retry_after_s is None or retry_after_s <= 0:
            return
        until = now + min(retry_after_s, LONGEST_COOLING_S)
        if until > card.cooling_until:
            card.cooling_until = until
            self._facts.tell("cooling", endpoint_id, until, now)

    def _refused(self, provider: str, now: float) -> None:
        until, times = self._credentials.get(provider, (0.0, 0))
        if now < until:
            return  # sent before the first refusal came back: one refusal is not counted twice
        until = now + min(CREDENTIAL_OUT_S * 2.0 ** min(times, 10), LONGEST_COOLING_S)
        self._credentials[provider] = (until, times + 1)
        self._facts.tell("credential", provider, until, now)
        self._refresh(provider)

    def _refresh(self, provider: str) -> None:
        for card in self._endpoints.values():
            if card.provider == provider:
                card.fresh_until = 0.0

    def _look(self, card: EndpointStats, now: float) -> tuple[EndpointHealth, float]:
        """(how it stands, until when this may be repeated)."""
        self._fold(card)
        deadlines = {
            "credential": self._credentials.get(card.provider, (0.0, 0))[0],
            "cooling": card.cooling_until,
            "breaker": card.breaker.open_until or 0.0,
        }
        ahead = {why: until for why, until in deadlines.items() if until > now}
        reason = next(iter(ahead), None if card.breaker.available(now) else "breaker")
        state: State = "open" if ahead else card.breaker.state(now)
        good_5m, all_5m = card.tally.success(300, now)
        good_30m, all_30m = card.tally.success(1800, now)
        ttft_ms, throughput_tps = card.tally.speeds(now)
        health = EndpointHealth(
            state=state,
            available=reason is None,
            reason=reason,
            cooling_until=None if reason is None else max(ahead.values(), default=now + PROBE_WAIT_S),
            recent_outage=_outage(card.tally, now),
            band=_band(good_5m, all_5m) if all_5m >= BAND_ATTEMPTS else _band(good_30m, all_30m),
            uptime_5m=_percent(good_5m, all_5m),
            uptime_30m=_percent(good_30m, all_30m),
            uptime_1d=_percent(*card.tally.success(86_400, now)),
            attempts=all_30m,
            ttft_ms=ttft_ms,
            throughput_tps=throughput_tps,
        )
        return health, min([now // 1 + 1, *ahead.values()])

    def _learn(self, endpoint_id: str, now: float) -> EndpointStats:
        card = self._stats(endpoint_id)
        self._fold(card)
        card.touched, card.fresh_until = now, 0.0
        return card

    def _hear(self, kind: str, subject: str, until: float, at: float) -> None:
        """A fact from another process. Deadlines only grow; of a breaker's edges the younger one is true."""
        if kind == "credential":
            mine, times = self._credentials.get(subject, (0.0, 0))
            # What was refused before this process started may have been refused for an older key.
            if at >= self._born and until > max(mine, self._clock()):
                self._credentials[subject] = (until, max(times, 1))
                self._refresh(subject)
            return
        card = self._learn(subject, self._clock())
        if kind == "cooling":
            card.cooling_until = max(card.cooling_until, until)
        elif kind == "breaker":
            card.breaker.adopt(until or None, at)

    def _forget(self, now: float) -> None:
        """Endpoints that left the catalogue are dropped after a day without traffic."""
        for endpoint_id in [each for each, card in self._endpoints.items() if card.touched < now - 86_400]:
            del self._endpoints[endpoint_id]


def _outage(tally: RollingStats, now: float) -> bool:
    good, attempts = tally.success(OUTAGE_WINDOW_S, now)
    return attempts - good > OUTAGE_SHARE * attempts


def _percent(good: int, attempts: int) -> float | None:
    return round(100 * good / attempts, 3) if attempts else None


def _band(good: int, attempts: int) -> int:
    uptime = _percent(good, attempts)
    if uptime is None or attempts < BAND_ATTEMPTS or uptime >= NORMAL_UPTIME:
        return 0
    return 1 if uptime >= DEGRADED_UPTIME else 2
