"""The contract of a policy, for every registered one, and what each promises besides."""

from __future__ import annotations

import copy
import inspect
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.health.registry import UNKNOWN, EndpointHealth
from gateway.routing import policies
from gateway.routing.candidate import Candidate, RoutingContext
from tests.support.market import ask, candidate, endpoint, prefs, spread

Ranker = Callable[[list[Candidate], RoutingContext], list[Candidate]]


def by_order(candidates: list[Candidate], context: RoutingContext) -> list[Candidate]:
    return policies.rank(candidates, structs.replace(context, preferences=prefs({"order": ["c", "a"]})), None)[1]


RANKERS: dict[str, Ranker] = {**policies.POLICIES, "order": by_order}  # type: ignore[dict-item]
HEALTH = st.builds(
    EndpointHealth,
    state=st.sampled_from(["closed", "half_open"]),
    recent_outage=st.booleans(),
    band=st.integers(0, 2),
    latency_ms=st.none() | st.integers(1, 9000).map(spread),
    throughput_tps=st.none() | st.integers(1, 900).map(spread),
)
CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.builds(endpoint, st.sampled_from("abcd"), st.integers(0, 5), upstream_id=st.sampled_from("mnop")),
        HEALTH,
    ),
    max_size=6,
    unique_by=lambda each: each.endpoint.id,
)


@pytest.mark.parametrize("name", RANKERS)
@given(CANDIDATES, st.integers(0, 5))
def test_contract(name: str, candidates: list[Candidate], seed: int) -> None:
    """Ranks are a permutation, repeat with the same rng, and leave their input alone."""
    before = copy.copy(candidates)
    first, second = (RANKERS[name](candidates, ask(seed=seed)) for _ in range(2))
    assert first == second
    assert Counter(each.endpoint.id for each in first) == Counter(each.endpoint.id for each in candidates)
    assert candidates == before


def test_registry() -> None:
    """The default is registered, and every public function of the module with a policy's signature is."""
    functions = {
        name
        for name, value in vars(policies).items()
        if inspect.isfunction(value)
        and value.__module__ == policies.__name__
        and "candidates" in inspect.signature(value).parameters
    }
    assert {name for name in functions if not name.startswith("_")} == {*RANKERS, "rank"}
    assert policies.DEFAULT in policies.POLICIES


def leaders(candidates: list[Candidate], rounds: int = 4000) -> Counter[str]:
    rng = random.Random(11)
    context = structs.replace(ask(), rng=rng)
    return Counter(policies.POLICIES["balanced"](candidates, context)[0].endpoint.provider.slug for _ in range(rounds))


def test_balanced_weights() -> None:
    """At prices of 1 and 3 the cheap one leads nine times as often; 4,000 seeded draws, three standard deviations."""
    led = leaders([candidate(endpoint("a", 1)), candidate(endpoint("b", 3))])
    assert 0.9 - 3 * 0.00475 < led["a"] / 4000 < 0.9 + 3 * 0.00475


def test_balanced_weights_of_three() -> None:
    """1/1 : 1/4 : 1/16 for prices of 1, 2 and 4."""
    led = leaders([candidate(endpoint(slug, usd)) for slug, usd in (("a", 1), ("b", 2), ("c", 4))])
    for slug, weight in (("a", 16), ("b", 4), ("c", 1)):
        share = weight / 21
        assert abs(led[slug] / 4000 - share) < 3 * (share * (1 - share) / 4000) ** 0.5


def test_balanced_free_leads() -> None:
    """What is free always leads; several free ones share."""
    led = leaders([candidate(endpoint("a", 1)), candidate(endpoint("b", 0)), candidate(endpoint("c", 0))], 1000)
    assert led["a"] == 0
    assert 400 < led["b"] < 600


def test_balanced_fallbacks_by_price() -> None:
    """Behind the leader the others stand by price."""
    three = [candidate(endpoint(slug, usd)) for slug, usd in (("a", 3), ("b", 1), ("c", 2))]
    for seed in range(30):
        ranked = policies.POLICIES["balanced"](three, ask(seed=seed))
        assert [each.expected_femto for each in ranked[1:]] == sorted(each.expected_femto for each in ranked[1:])


def test_balanced_equal_prices_spread() -> None:
    """Equal fallbacks take turns, so that a failing leader's load does not fall on one."""
    three = [candidate(endpoint(slug)) for slug in "abc"]
    second = Counter(
        policies.POLICIES["balanced"](three, ask(seed=seed))[1].endpoint.provider.slug for seed in range(600)
    )
    assert min(second.values()) > 150


def test_balanced_groups() -> None:
    """Stable, degraded, fallback only, recent outage: whatever the price."""
    facts = {"a": {"recent_outage": True}, "b": {"band": 2}, "c": {"band": 1}, "d": {}}
    four = [candidate(endpoint(slug, usd), replace(UNKNOWN, **facts[slug])) for usd, slug in enumerate("abcd")]
    for seed in range(20):
        ranked = policies.POLICIES["balanced"](four, ask(seed=seed))
        assert [each.endpoint.provider.slug for each in ranked] == ["d", "c", "b", "a"]


def test_balanced_probes_with_a_fallback_ready() -> None:
    """A half-open endpoint leads once its outage is thirty seconds old, and never before."""
    well = candidate(endpoint("a"))
    half_open = candidate(endpoint("b", 5), replace(UNKNOWN, state="half_open"))
    fresh = candidate(endpoint("b", 5), replace(UNKNOWN, state="half_open", recent_outage=True))
    rank = policies.POLICIES["balanced"]
    assert [each.endpoint.provider.slug for each in rank([well, half_open], ask())] == ["b", "a"]
    assert [each.endpoint.provider.slug for each in rank([well, fresh], ask())] == ["a", "b"]
