"""When a conversation stays, when it moves, and what is remembered of a turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from msgspec import structs

from gateway.catalog.model import Price
from gateway.conversations import Conversation, Turn
from gateway.health.registry import UNKNOWN, EndpointHealth
from gateway.routing import affinity
from gateway.routing.candidate import Need, expected_femto
from providers.types import Usage
from tests.support.market import (
    FEMTO_PER_USD_PER_MTOK,
    candidate,
    decide,
    down,
    endpoint,
    model,
    prefs,
    provider,
    sellers,
    spread,
)

NEED = Need(prompt_tokens=4000)


def caching(usd: int, read_percent: int = 10) -> tuple[Price, ...]:
    femto = usd * FEMTO_PER_USD_PER_MTOK
    read = femto * read_percent // 100
    return (Price(date(2026, 1, 1), {"prompt": femto, "completion": femto, "input_cache_read": read}),)


def market(*usd: int) -> Any:
    return model(*(endpoint(slug, prices=caching(each)) for slug, each in zip("abcd", usd, strict=False)))


def conversation_at(
    seller: str = "c", *, named: bool = True, tokens: int = 4000, cached: int = 3000, misses: int = 0
) -> Conversation:
    return Conversation(b"key", named, tokens, Turn(f"{seller}/m@acme/m", cached, 0.0, 300, misses))


def decide_turn(
    models: Any, conversation: Conversation, health: dict[str, EndpointHealth] | None = None, **preferences: Any
) -> Any:
    return decide(models, prefs(preferences), health, need=NEED, conversation=conversation, seed=3)


@pytest.mark.parametrize(
    ("usd", "conversation", "health", "leader", "reason"),
    [
        ((1, 1, 1), conversation_at("a"), {}, "a", "kept"),
        ((1, 1, 1), conversation_at("b"), {}, "b", "kept"),
        ((1, 1, 1), conversation_at("c", named=False), {}, "c", "kept"),
        (
            (1, 1, 3),
            conversation_at("c", cached=3600),
            {},
            "c",
            "kept",
        ),  # cached for most of the prompt, three times the price is near
        ((1, 2, 3), conversation_at("c", cached=100), {}, "a", "moved: another endpoint is cheaper"),
        ((1, 2, 3), conversation_at("c", cached=3600, misses=2), {}, "a", "moved: another endpoint is cheaper"),
        ((1, 1, 1), conversation_at("c", misses=2), {}, "c", "kept"),
        ((0, 1, 1), conversation_at("c"), {}, "a", "moved: another endpoint is cheaper"),
        (
            (1, 1, 1),
            conversation_at("c", named=False, misses=2),
            {},
            None,
            "left: its endpoint reports no cached tokens",
        ),
        (
            (1, 1, 1),
            conversation_at("c"),
            {"c": replace(UNKNOWN, recent_outage=True)},
            None,
            "left: its endpoint is not healthy",
        ),
        ((1, 1, 1), conversation_at("c"), {"c": replace(UNKNOWN, band=1)}, None, "left: its endpoint is not healthy"),
        (
            (1, 1, 1),
            conversation_at("c"),
            {"c": replace(UNKNOWN, state="half_open")},
            None,
            "left: its endpoint is not healthy",
        ),
        ((1, 1, 1), conversation_at("c"), {"c": down("cooling")}, None, affinity.NOT_HERE.reason),
        ((1, 1, 1), conversation_at("c"), {"c": down("breaker")}, None, affinity.NOT_HERE.reason),
        ((1, 1, 1), conversation_at("elsewhere"), {}, None, affinity.NOT_HERE.reason),
        # a cheaper endpoint that is not healthy is no reason to move
        ((1, 4, 4), conversation_at("c", cached=100), {"a": replace(UNKNOWN, recent_outage=True)}, "c", "kept"),
    ],
)
def test_where_the_next_turn_goes(
    usd: tuple[int, ...], conversation: Conversation, health: dict[str, EndpointHealth], leader: str | None, reason: str
) -> None:
    """The last endpoint leads while it is healthy and near in price; else the policy's choice stands, or the cheapest leads."""
    made = decide_turn(market(*usd), conversation, health)
    assert made.affinity == reason
    assert (made.policy == "affinity") == (leader is not None)
    if leader is not None:
        assert sellers(made)[0] == leader
    assert sorted([*sellers(made), *(drop.provider.lower() for drop in made.drops)]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("preferences", "policy", "order"),
    [
        ({"order": ["b", "a"]}, "order", ["b", "a", "c"]),
        ({"sort": "latency"}, "latency", ["a", "b", "c"]),
        ({"sort": "throughput"}, "throughput", ["a", "b", "c"]),
        ({"sort": "price"}, "price", ["c", "a", "b"]),  # its cached beginning makes it the cheapest
        ({"only": ["c", "b"]}, "affinity", ["c", "b"]),
        ({"ignore": ["c"], "sort": "price"}, "price", ["a", "b"]),
        ({"allow_fallbacks": False}, "affinity", ["c"]),
        ({"preferred_max_latency": 0.25}, "balanced", None),
    ],
)
def test_the_callers_wishes_come_first(preferences: dict[str, Any], policy: str, order: list[str] | None) -> None:
    """Lists decide who may serve, ``order`` and ``sort`` who leads; ``c`` is the slowest."""
    health = {
        slug: replace(UNKNOWN, latency_ms=spread(ms), throughput_tps=spread(100 - ms / 10), speed_samples=9)
        for slug, ms in (("a", 100), ("b", 200), ("c", 300))
    }
    made = decide_turn(market(2, 2, 2), conversation_at("c", cached=3600), health, **preferences)
    assert made.policy == policy
    if order is not None:
        assert sellers(made) == order
    else:
        assert sellers(made)[-1] == "c"
        assert made.affinity == "left: its endpoint is slower than preferred"


def test_a_later_model_keeps_its_conversation() -> None:
    """The models' order comes first; behind it, the model that answered the last turn asks the same endpoint."""
    second = model(*(endpoint(slug, prices=caching(1), model="beta/m") for slug in "ab"), slug="beta/m")
    last = Turn("b/m@beta/m", 3000, 0.0, 300)
    made = decide_turn([market(1), second], structs.replace(conversation_at(), last=last))
    assert [each.endpoint.id for each in made.candidates] == ["a/m@acme/m", "b/m@beta/m", "a/m@beta/m"]
    assert (made.policy, made.affinity) == ("balanced,affinity", "kept")


def test_the_cached_beginning_counts_at_its_price() -> None:
    """At most the whole prompt; and nothing where the catalogue has no price for reading from a cache."""
    [price] = caching(2)
    full, per_token = expected_femto(price, NEED), 2 * FEMTO_PER_USD_PER_MTOK
    assert full == (4000 + 400) * per_token
    assert expected_femto(price, NEED, 3000) == (1000 + 300 + 400) * per_token
    assert expected_femto(price, NEED, 9000) == (400 + 400) * per_token
    [plain] = endpoint("a", 2).prices
    assert expected_femto(plain, NEED, 3000) == full
    made = decide_turn(market(2, 2), conversation_at("b"), sort="price")
    assert {c.endpoint.provider.slug: c.expected_femto // per_token for c in made.candidates} == {"a": 4400, "b": 1700}


READ, WROTE = Usage(prompt=10, cache_read=3000), Usage(prompt=10, cache_write=3000)
NOTHING = Usage(prompt=3000)


@pytest.mark.parametrize(
    ("conversation", "usage", "read_percent", "remembered"),
    [
        (conversation_at("a", named=False), READ, 10, (300, 0)),
        (conversation_at("a", named=False), WROTE, 10, (300, 0)),
        (conversation_at("a", named=False), Usage(prompt=10, audio_cache_read=9), 10, (300, 0)),
        (conversation_at("a", named=False), NOTHING, 10, (300, 1)),
        (conversation_at("a", named=False, misses=1), NOTHING, 10, (300, 2)),
        (conversation_at("a", named=False, misses=1), READ, 10, (300, 0)),
        (conversation_at("a", named=False, misses=1), structs.replace(NOTHING, estimated=True), 10, (300, 1)),
        (
            conversation_at("b", named=False, misses=1),
            NOTHING,
            10,
            (300, 0),
        ),  # the first turn here: nothing could be cached
        (conversation_at("a", named=False), NOTHING, 100, None),
        (conversation_at("a", named=False, tokens=1023), READ, 10, None),
        (conversation_at("a", named=False, tokens=1024), READ, 10, (300, 0)),
        (conversation_at("a", tokens=10), NOTHING, 10, (300, 1)),
        (conversation_at("a", tokens=10), NOTHING, 100, (300, 1)),
        (conversation_at("a"), Usage(cache_write_1h=5), 10, (3600, 0)),
    ],
)
def test_what_is_remembered(
    conversation: Conversation, usage: Usage, read_percent: int, remembered: tuple[int, int] | None
) -> None:
    """Where caching pays, or the caller names the conversation: how long, and how often in vain."""
    served = candidate(endpoint("a", prices=caching(1, read_percent)))
    assert affinity.memory(conversation, served, usage) == remembered


def test_an_hours_cache_stays_an_hours_cache() -> None:
    """Later turns report only that they read from it."""
    served = candidate(endpoint("a", prices=caching(1)))
    last = Turn("a/m@acme/m", 3000, 0.0, 3600)
    assert affinity.memory(structs.replace(conversation_at(), last=last), served, READ) == (3600, 0)
    assert affinity.memory(structs.replace(conversation_at(), last=last), served, NOTHING) == (300, 1)


def test_the_vendors_lifetime() -> None:
    """``prompt_cache_ttl_s`` of the provider's file."""
    served = candidate(endpoint(provider("a", prompt_cache_ttl_s=7200), prices=caching(1)))
    assert affinity.memory(structs.replace(conversation_at(), last=None), served, NOTHING) == (7200, 0)
