"""What each policy makes of three vendors: the real routing and health code, with a simulated clock and simulated vendors.

``python -m tools.routing_scenarios`` prints the tables of docs/routing.md. The same seed gives the same tables.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from gateway.catalog.model import Endpoint, Model, Price, Provider, endpoint_id
from gateway.conversations import Conversation, Conversations, named_key
from gateway.health.registry import HealthRegistry
from gateway.health.view import Observation
from gateway.routing import affinity
from gateway.routing.candidate import Candidate, Need
from gateway.routing.plan import Plan, plan
from gateway.routing.preferences import parse
from providers.types import Usage

SEED = 2
START = 1_770_000_000.0
"""2 February 2026."""
FEMTO_PER_USD_PER_MTOK = 10**9
MAX_ATTEMPTS = 3
SLUG = "acme/m"
REQUESTS = 240
"""One a second."""
ANSWERS = (20, 60, 150, 400, 1200)
"""Tokens of an answer, each as likely."""
PROMPT_TOKENS = 500
TRAFFIC = {"JSON": 0.0, "streamed": 1.0, "mixed": 0.5}
"""Kind of traffic → share of streams."""
PREFERENCES: Mapping[str, dict[str, Any]] = {
    "balanced (default)": {},
    "`sort: price`": {"sort": "price"},
    "`sort: latency`": {"sort": "latency"},
    "`sort: throughput`": {"sort": "throughput"},
    "`preferred_max_latency: 0.2`": {"preferred_max_latency": 0.2},
    "`preferred_min_throughput: 100`": {"preferred_min_throughput": 100},
}
OUTAGE_S = (80, 110)


@dataclass(frozen=True)
class Vendor:
    """``usd``: dollars per million tokens, prompt and completion alike. ``cached``: price of a cached token as a share of that."""

    slug: str
    usd: float
    ttft_ms: float
    tokens_per_s: float
    failing: float = 0.0
    cached: float = 0.1

    @property
    def endpoint(self) -> Endpoint:
        """Its endpoint of the model."""
        seller = Provider(self.slug, self.slug, "openai", f"https://{self.slug}.example/v1", cancel_stops_billing=True)
        femto = round(self.usd * FEMTO_PER_USD_PER_MTOK)
        price = Price(
            date(2026, 1, 1),
            {"prompt": femto, "completion": femto, "input_cache_read": round(femto * self.cached)},
        )
        return Endpoint(endpoint_id(self.slug, "m", SLUG), SLUG, seller, "m", 128_000, (price,))


THREE = (
    Vendor("A", 1.0, 300, 60, failing=0.1),
    Vendor("B", 1.5, 100, 120),
    Vendor("C", 3.0, 30, 300),
)


@dataclass
class Market:
    """Vendors, what is known of them, and a clock. Requests come one after the other."""

    vendors: Sequence[Vendor]
    seed: int
    now: float = START
    dead: str | None = None
    """Slug of a vendor of which every request fails."""
    attempts: int = 0
    warm: dict[tuple[str, bytes], tuple[int, float]] = field(default_factory=dict)
    """(vendor, conversation) → (tokens of its prompt that are cached, when they were last read)."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.health = HealthRegistry(lambda: self.now, rng=random.Random(self.seed))
        self.conversations = Conversations(lambda: self.now, lambda: self.now)
        self.by_slug = {vendor.slug: vendor for vendor in self.vendors}
        endpoints = tuple(vendor.endpoint for vendor in self.vendors)
        self.model = Model(SLUG, SLUG, date(2026, 1, 1), 128_000, endpoints)

    def decide(
        self, preferences: Mapping[str, Any], prompt_tokens: int, conversation: Conversation | None = None
    ) -> Plan:
        """The plan for a request that comes now."""
        return plan(
            [self.model],
            Need(prompt_tokens),
            parse({"model": SLUG, "provider": dict(preferences)}, {}),
            view=self.health.view,
            now=self.now,
            rng=self.rng,
            conversation=conversation,
        )

    def send(self, made: Plan, *, streamed: bool, tokens: int) -> tuple[Candidate | None, float]:
        """(the candidate that answered, ms until its first token). Failed attempts take their time, as in ``Attempts``."""
        waited_ms, tried = 0.0, 0
        for candidate in made.candidates:
            if tried >= MAX_ATTEMPTS or not self.health.probe(candidate.endpoint.id):
                continue
            tried += 1
            self.attempts += 1
            vendor = self.by_slug[candidate.endpoint.provider.slug]
            waited_ms += vendor.ttft_ms * self.rng.uniform(0.8, 1.2)
            if vendor.slug == self.dead or self.rng.random() < vendor.failing:
                self.health.observe(candidate.endpoint.id, Observation(ok=False, attributed_to="endpoint"))
                continue
            answer_ms = vendor.ttft_ms + tokens / vendor.tokens_per_s * 1000
            seen = Observation(ok=True, tokens_per_s=tokens / answer_ms * 1000, answer_ms=answer_ms, tokens=tokens)
            if streamed:
                seen = Observation(ok=True, tokens_per_s=tokens / answer_ms * 1000, ttft_ms=vendor.ttft_ms)
            self.health.observe(candidate.endpoint.id, seen)
            return candidate, waited_ms
        return None, waited_ms

    def turn(self, key: bytes, prompt_tokens: int, tokens: int, *, keep: bool) -> tuple[str, int, int]:
        """(vendor, cost in femto-dollars, cached tokens) of a turn of a conversation. ``keep``: with affinity."""
        last = self.conversations.last(key) if keep else None
        conversation = Conversation(key, True, prompt_tokens, last)
        made = self.decide({}, prompt_tokens, conversation if keep else None)
        candidate, _ = self.send(made, streamed=False, tokens=tokens)
        assert candidate is not None
        vendor, price = candidate.endpoint.provider.slug, candidate.price
        cached, read_at = self.warm.get((vendor, key), (0, 0.0))
        if self.now - read_at > candidate.endpoint.provider.prompt_cache_ttl_s:
            cached = 0
        self.warm[vendor, key] = (prompt_tokens, self.now)
        usage = Usage(prompt=prompt_tokens - cached, cache_read=cached, completion=tokens)
        kept = affinity.memory(conversation, candidate, usage)
        if keep and kept is not None:
            self.conversations.answered(conversation, candidate.endpoint.id, *kept)
        cost = (usage.prompt + tokens) * price.of("prompt") + cached * price.of("input_cache_read")
        return vendor, cost, cached


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended. Times in ms, cost in dollars per thousand requests."""

    answered: Counter[str]
    failed: int
    """Requests that no vendor answered."""
    attempts: int
    usd: float
    p50_ms: float
    p99_ms: float
    by_second: tuple[str | None, ...]
    """Who answered the request of each second."""


@lru_cache
def run(policy: str, traffic: str, dead: str | None = None) -> Outcome:
    """``REQUESTS`` requests of independent callers under a row of ``PREFERENCES`` and one of ``TRAFFIC``.

    The vendor ``dead`` fails during ``OUTAGE_S``.
    """
    market, preferences, streams = Market(THREE, SEED), PREFERENCES[policy], TRAFFIC[traffic]
    answered_by: list[str | None] = []
    waits: list[float] = []
    femto = 0
    for second in range(REQUESTS):
        market.now += 1
        market.dead = dead if OUTAGE_S[0] <= second < OUTAGE_S[1] else None
        tokens = market.rng.choice(ANSWERS)
        streamed = market.rng.random() < streams
        candidate, waited_ms = market.send(market.decide(preferences, PROMPT_TOKENS), streamed=streamed, tokens=tokens)
        answered_by.append(candidate.endpoint.provider.slug if candidate is not None else None)
        waits.append(waited_ms)
        if candidate is not None:
            femto += (PROMPT_TOKENS + tokens) * candidate.price.of("prompt")
    waits.sort()
    return Outcome(
        answered=Counter(slug for slug in answered_by if slug is not None),
        failed=answered_by.count(None),
        attempts=market.attempts,
        usd=femto / 10**15 * 1000 / REQUESTS,
        p50_ms=waits[len(waits) // 2],
        p99_ms=waits[-len(waits) // 100],
        by_second=tuple(answered_by),
    )


CONVERSATIONS, TURNS, TURN_EVERY_S = 40, 12, 20
FIRST_PROMPT, GROWTH, TURN_ANSWER = 1500, 900, 200
MARKETS: Mapping[str, Sequence[Vendor]] = {
    "three at $1": tuple(Vendor(slug, 1.0, 100, 100) for slug in "ABC"),
    "$1, $1.5, $3": tuple(Vendor(slug, usd, 100, 100) for slug, usd in (("A", 1.0), ("B", 1.5), ("C", 3.0))),
    "$1 failing 10 %, $1.5, $3": tuple(
        Vendor(slug, usd, 100, 100, failing) for slug, usd, failing in (("A", 1.0, 0.1), ("B", 1.5, 0), ("C", 3.0, 0))
    ),
}


@dataclass(frozen=True)
class ConversationOutcome:
    """Conversations of ``TURNS`` turns each."""

    changes: tuple[int, ...]
    """Of vendor, for each conversation."""
    usd: float
    """A conversation's average cost."""
    cached_share: float
    """Of all prompt tokens."""


@lru_cache
def converse(market_name: str, *, keep: bool) -> ConversationOutcome:
    """``CONVERSATIONS`` conversations at the same time, each with a turn every ``TURN_EVERY_S``. ``keep``: with affinity."""
    market = Market(MARKETS[market_name], SEED)
    keys = [named_key("org", SLUG, str(number)) for number in range(CONVERSATIONS)]
    paths: dict[bytes, list[str]] = {key: [] for key in keys}
    femto = cached_tokens = prompt_total = 0
    for turn in range(TURNS):
        for key in keys:
            market.now += TURN_EVERY_S / CONVERSATIONS
            prompt_tokens = FIRST_PROMPT + turn * GROWTH
            vendor, cost, cached = market.turn(key, prompt_tokens, TURN_ANSWER, keep=keep)
            paths[key].append(vendor)
            femto += cost
            cached_tokens += cached
            prompt_total += prompt_tokens
    changes = tuple(sum(a != b for a, b in itertools.pairwise(path)) for path in paths.values())
    return ConversationOutcome(changes, femto / 10**15 / CONVERSATIONS, cached_tokens / prompt_total)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def policies_table() -> str:
    """Each policy under each kind of traffic."""
    rows = []
    for name in PREFERENCES:
        for traffic in TRAFFIC:
            outcome = run(name, traffic)
            shares = " / ".join(str(outcome.answered[vendor.slug]) for vendor in THREE)
            rows.append([name, traffic, shares, f"{outcome.usd:.2f}", f"{outcome.p50_ms:.0f}", f"{outcome.p99_ms:.0f}"])
    return _table(["policy", "traffic", "A / B / C", "$ per 1,000", "p50 ms", "p99 ms"], rows)


def outage_table() -> str:
    """Each policy when the vendor that it prefers dies and comes back."""
    rows = []
    for name in PREFERENCES:
        favourite = run(name, "JSON").answered.most_common(1)[0][0]
        outcome = run(name, "JSON", favourite)
        since = outcome.by_second[OUTAGE_S[1] :]
        back = since.index(favourite) if favourite in since else None
        again = Counter(since)[favourite] / len(since)
        rows.append(
            [
                name,
                favourite,
                str(outcome.failed),
                str(outcome.attempts - REQUESTS),
                "never" if back is None else f"{back} s",
                f"{again:.0%}",
            ]
        )
    head = ["policy", "dies", "requests failed", "attempts more", "first answer after its return", "share after"]
    return _table(head, rows)


def conversations_table() -> str:
    """Conversations without and with affinity."""
    rows = []
    for name in MARKETS:
        for keep in (False, True):
            outcome = converse(name, keep=keep)
            changes = f"{sum(outcome.changes) / len(outcome.changes):.1f} (at most {max(outcome.changes)})"
            rows.append([name, "on" if keep else "off", changes, f"{outcome.cached_share:.0%}", f"{outcome.usd:.4f}"])
    return _table(["vendors", "affinity", "changes of vendor", "prompt from caches", "$ a conversation"], rows)


TABLES = {"policies": policies_table, "outage": outage_table, "conversations": conversations_table}

if __name__ == "__main__":
    for table in TABLES.values():
        sys.stdout.write(table() + "\n\n")
