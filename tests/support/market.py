"""A small market for tests of catalogue, health and routing: endpoints as literals, a clock that is set by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from gateway.catalog.model import Endpoint, Model, Price, Provider, endpoint_id
from gateway.conversations import Conversation
from gateway.health.registry import UNKNOWN, EndpointHealth
from gateway.health.rolling_stats import Percentiles
from gateway.routing.candidate import Candidate, Need, RoutingContext, expected_femto
from gateway.routing.plan import Plan, plan
from gateway.routing.preferences import Preferences, parse

NOW = 1_770_000_000.0
"""2 February 2026."""
FEMTO_PER_USD_PER_MTOK = 10**9


class Clock:
    """A clock in Unix seconds that only moves when a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def provider(slug: str, **more: Any) -> Provider:
    return Provider(
        slug,
        more.pop("name", slug.title()),
        "openai",
        f"https://{slug}.example/v1",
        **{"cancel_stops_billing": True, **more},
    )


def endpoint(seller: str | Provider, usd_per_mtok: int | None = 1, *, model: str = "acme/m", **more: Any) -> Endpoint:
    """A seller of ``acme/m``; ``usd_per_mtok`` for prompt and completion alike, None = unpriced."""
    who = provider(seller) if isinstance(seller, str) else seller
    upstream = more.pop("upstream_id", "m")
    prices = () if usd_per_mtok is None else (price(usd_per_mtok),)
    facts: dict[str, Any] = {"context_length": 8000, "prices": prices, "tag": who.slug, **more}
    return Endpoint(id=endpoint_id(who.slug, upstream, model), model=model, provider=who, upstream_id=upstream, **facts)


def price(usd_per_mtok: int, since: date = date(2026, 1, 1)) -> Price:
    femto = usd_per_mtok * FEMTO_PER_USD_PER_MTOK
    return Price(since, {"prompt": femto, "completion": femto})


def model(*endpoints: Endpoint, slug: str = "acme/m", **more: Any) -> Model:
    return Model(slug, slug, date(2026, 1, 1), 8000, endpoints, **more)


def spread(p50: float) -> Percentiles:
    return Percentiles(p50, p50 * 1.5, p50 * 2, p50 * 3)


def candidate(who: Endpoint, health: EndpointHealth = UNKNOWN, need: Need | None = None) -> Candidate:
    cost = who.prices[0]
    return Candidate(who, cost, health, expected_femto(cost, need or Need(prompt_tokens=100)))


def prefs(wishes: Mapping[str, Any] | None = None, names: Sequence[str] = ("a", "b", "c", "d")) -> Preferences:
    """Parsed from a ``provider`` object, for one model."""
    return parse({"model": "acme/m", "provider": dict(wishes or {})}, {name: name for name in names})


def ask(wishes: Preferences | None = None, *, need: Need | None = None, seed: int = 1) -> RoutingContext:
    return RoutingContext(need or Need(prompt_tokens=100), wishes or Preferences(), NOW, random.Random(seed))


def decide(
    models: Model | Sequence[Model],
    wishes: Preferences | None = None,
    health: Mapping[str, EndpointHealth] | None = None,
    *,
    need: Need | None = None,
    seed: int = 1,
    conversation: Conversation | None = None,
) -> Plan:
    """A plan at ``NOW``; ``health`` by provider slug, everything else unknown."""
    known = health or {}
    return plan(
        [models] if isinstance(models, Model) else models,
        need or Need(prompt_tokens=100),
        wishes or Preferences(),
        view=lambda endpoint_id: known.get(endpoint_id.partition("/")[0], UNKNOWN),
        now=NOW,
        rng=random.Random(seed),
        conversation=conversation,
    )


def sellers(made: Plan) -> list[str]:
    """Provider slugs in the plan's order."""
    return [each.endpoint.provider.slug for each in made.candidates]


def reasons(made: Plan) -> dict[str, str]:
    """Endpoint's provider slug → filter that dropped it."""
    return {drop.endpoint_id.partition("/")[0]: drop.filter for drop in made.drops}


def down(reason: str, wait_s: float = 30.0) -> EndpointHealth:
    return replace(UNKNOWN, state="open", available=False, reason=reason, wait_s=wait_s)
