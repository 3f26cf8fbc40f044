"""The decision as a whole: order, drops, panic, refusal, replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.model import Model
from gateway.errors import BadRequest, NoEndpoints, NoHealthyEndpoint
from gateway.health.registry import UNKNOWN, EndpointHealth
from gateway.routing.candidate import Need
from gateway.routing.preferences import Preferences
from providers.context_length import ContextOverflow
from tests.support.market import decide, down, endpoint, model, prefs, provider, reasons, sellers, spread

THREE = model(endpoint("a", 1), endpoint("b", 2), endpoint("c", 3))
OUTAGE = replace(UNKNOWN, recent_outage=True)


def test_default_is_balanced_with_all_as_fallbacks() -> None:
    """Every endpoint that passes is a candidate; nothing is dropped without a reason."""
    made = decide(THREE)
    assert (made.policy, sorted(sellers(made)), made.drops, made.panic) == ("balanced", ["a", "b", "c"], (), False)
    assert made.models == ("acme/m",)


def test_expected_cost() -> None:
    """Prompt as estimated plus a typical completion, or what the caller allows."""
    [one] = decide(model(endpoint("a", 2)), need=Need(1000)).candidates
    assert one.expected_femto == (1000 + 400) * 2 * 10**9
    [one] = decide(model(endpoint("a", 2)), need=Need(1000, max_tokens=10)).candidates
    assert one.expected_femto == (1000 + 10) * 2 * 10**9


@pytest.mark.parametrize(
    ("wishes", "policy", "order"),
    [
        ({"sort": "price"}, "price", ["a", "b", "c"]),
        ({"sort": "throughput"}, "throughput", ["c", "b", "a"]),
        ({"sort": "latency"}, "latency", ["b", "c", "a"]),
        ({"order": ["c"]}, "order", ["c", "a", "b"]),
        ({"order": ["b", "a"]}, "order", ["b", "a", "c"]),
        ({"order": ["a"], "sort": "throughput"}, "order", ["a", "c", "b"]),
        ({"order": ["c", "b"], "allow_fallbacks": False}, "order", ["c", "b"]),
        ({"sort": "price", "allow_fallbacks": False}, "price", ["a"]),
        ({"sort": "price", "ignore": ["a"]}, "price", ["b", "c"]),
        ({"sort": "price", "preferred_min_throughput": 20}, "price", ["b", "c", "a"]),
        ({"sort": "price", "preferred_min_throughput": {"p50": 20, "p90": 70}}, "price", ["c", "a", "b"]),
        ({"sort": "price", "preferred_max_latency": 0.25}, "price", ["b", "c", "a"]),
        ({"sort": "price", "preferred_max_latency": {"p99": 0.5}}, "price", ["b", "a", "c"]),
        ({"sort": "price", "preferred_max_latency": 0.00001}, "price", ["a", "b", "c"]),
    ],
)
def test_preferences(wishes: dict[str, Any], policy: str, order: list[str]) -> None:
    """Throughput a 10, b 30, c 50 tokens/s; latency a 300, b 100, c 200 ms. Preferences move to the end, never drop."""
    speeds = {"a": (300, 10), "b": (100, 30), "c": (200, 50)}
    health = {
        slug: replace(UNKNOWN, latency_ms=spread(ms), throughput_tps=spread(tps)) for slug, (ms, tps) in speeds.items()
    }
    made = decide(THREE, prefs(wishes), health)
    assert (made.policy, sellers(made)) == (policy, order)
    assert len(made.candidates) + len(made.drops) == 3


def test_suffixes() -> None:
    """The sort of a suffix is that of its model."""
    health = {"c": replace(UNKNOWN, throughput_tps=spread(90)), "a": replace(UNKNOWN, throughput_tps=spread(10))}
    floor, nitro = (Preferences(models=("acme/m",), sorts={"acme/m": sort}) for sort in ("price", "throughput"))
    assert sellers(decide(THREE, floor, health)) == ["a", "b", "c"]
    assert sellers(decide(THREE, nitro, health)) == ["c", "b", "a"]


def test_new_endpoint_is_a_typical_peer() -> None:
    """Without measurements of its own an endpoint ranks in the middle, neither first nor last."""
    health = {"a": replace(UNKNOWN, throughput_tps=spread(10)), "c": replace(UNKNOWN, throughput_tps=spread(90))}
    assert sellers(decide(THREE, prefs({"sort": "throughput"}), health)) == ["c", "b", "a"]
    assert sellers(decide(THREE, prefs({"sort": "throughput"}))) == ["a", "b", "c"]


def two_models() -> list[Model]:
    second = model(endpoint("a", 1, model="beta/m"), endpoint("d", 9, model="beta/m"), slug="beta/m")
    return [model(endpoint("b", 5), endpoint("c", 6)), second]


def test_models_in_the_callers_order() -> None:
    """All endpoints of the first model come before any of the second."""
    made = decide(two_models(), prefs({"sort": "price"}))
    assert sellers(made) == ["b", "c", "a", "d"]
    assert made.models == ("acme/m", "beta/m")


def test_partition_none() -> None:
    """Endpoints of all models compete in one list."""
    made = decide(two_models(), prefs({"sort": {"by": "price", "partition": "none"}}))
    assert sellers(made) == ["a", "b", "c", "d"]


def test_no_fallbacks_over_models() -> None:
    """``allow_fallbacks: false`` leaves one endpoint for each model that was named."""
    made = decide(two_models(), prefs({"sort": "price", "allow_fallbacks": False}))
    assert sellers(made) == ["b", "a"]
    assert reasons(made) == {"c": "allow_fallbacks", "d": "allow_fallbacks"}


def test_same_model_twice_is_one() -> None:
    """A model named by slug and alias is planned once."""
    assert len(decide([THREE, THREE]).candidates) == 3


@pytest.mark.parametrize("reason", ["breaker", "cooling", "credential", "rate_limit"])
def test_unavailable_is_dropped(reason: str) -> None:
    """An endpoint that is unavailable is not a candidate while others are available; the drop has the reason."""
    made = decide(THREE, None, {"a": down(reason)})
    assert sorted(sellers(made)) == ["b", "c"]
    assert reasons(made) == {"a": reason}
    assert made.drops[0].wait_s == 30
    assert not made.panic


def test_panic() -> None:
    """When all are out, one that did not itself refuse is tried, the best of them, and marked."""
    health = {"a": down("cooling"), "b": down("breaker"), "c": down("breaker")}
    made = decide(THREE, prefs({"sort": "price"}), health)
    assert (sellers(made), made.panic) == (["b"], True)
    assert reasons(made) == {"a": "cooling", "c": "breaker"}


def test_no_panic_while_another_model_is_well() -> None:
    """The second model serves before anything is tried against its breaker."""
    health = {"b": down("breaker"), "c": down("breaker")}
    made = decide(two_models(), prefs({"sort": "price"}), health)
    assert (sellers(made), made.panic) == (["a", "d"], False)


def test_all_refused_explicitly() -> None:
    """When every vendor asked for a pause or refused the key: 503 with the smallest wait, and each provider's reason."""
    health = {"a": down("cooling", 40), "b": down("credential", 60), "c": down("cooling", 7.2)}
    made = decide(THREE, None, health)
    assert not made.candidates
    error = made.refuse()
    assert isinstance(error, NoHealthyEndpoint)
    assert (error.status, dict(error.headers())) == (503, {"retry-after": "8"})
    refusal = error.envelope()["error"]
    assert refusal["availability"]["code"] == "temporarily_unavailable"
    assert refusal["availability"]["retryable"] is True
    assert refusal["availability"]["retry_after"] == 8
    assert refusal["availability"]["affected_providers"] == ["A", "B", "C"]
    assert {each["filter"] for each in refusal["metadata"]["dropped"]} == {"cooling", "credential"}
    assert "acme/m" in refusal["message"]


@pytest.mark.parametrize(
    ("reasons", "status", "error_type"),
    [
        (("rate_limit", "rate_limit", "rate_limit"), 429, "rate_limit_exceeded"),
        (("rate_limit", "cooling", "cooling"), 429, "rate_limit_exceeded"),
        (("cooling", "cooling", "cooling"), 503, "provider_overloaded"),
        (("rate_limit", "credential", "rate_limit"), 503, "provider_overloaded"),
    ],
)
def test_limited_is_not_down(reasons: tuple[str, ...], status: int, error_type: str) -> None:
    """When vendors' limits are all that keeps the endpoints away: 429 with the smallest wait, never without ``Retry-After``."""
    error = decide(THREE, None, {name: down(each, 7.2) for name, each in zip("abc", reasons, strict=True)}).refuse()
    assert (error.status, error.error_type, dict(error.headers())) == (status, error_type, {"retry-after": "8"})
    assert error.envelope()["error"]["availability"]["retryable"] is True


def test_filtered_and_down_is_worth_waiting() -> None:
    """Where one endpoint was filtered and the other is down, waiting helps: 503."""
    error = decide(THREE, prefs({"only": ["a"]}), {"a": down("cooling")}).refuse()
    assert error.status == 503


def test_no_endpoint_passes() -> None:
    """404 with every filter named, each endpoint with its reason, and what to change."""
    sold = model(
        endpoint("a", 5),
        endpoint("b", 5),
        endpoint("c", 1, quantization="fp4"),
        endpoint(provider("d", api_key_env="D_KEY")),
    )
    error = decide(sold, prefs({"max_price": {"prompt": 2}, "quantizations": ["unknown"]})).refuse()
    assert isinstance(error, NoEndpoints)
    refusal = error.envelope()["error"]
    assert (refusal["code"], refusal["metadata"]["error_type"]) == (404, "not_found")
    assert refusal["availability"]["code"] == "constraint_filtered"
    assert refusal["availability"]["excluded_by"] == ["max_price", "quantization", "provider_key"]
    assert refusal["availability"]["requested_models"] == ["acme/m"]
    assert refusal["availability"]["retryable"] is False
    assert refusal["availability"]["docs_url"]
    dropped = refusal["metadata"]["dropped"]
    assert [each["endpoint"] for each in dropped] == [f"{slug}/m@acme/m" for slug in "abcd"]
    assert dropped[0] == {
        "endpoint": "a/m@acme/m",
        "provider": "A",
        "filter": "max_price",
        "detail": "prompt costs $5 per M tokens, the cap is $2",
    }
    assert "max_price excluded A (prompt costs $5 per M tokens, the cap is $2) and 1 more" in refusal["message"]
    assert "raise provider.max_price" in refusal["message"]


@pytest.mark.parametrize(
    ("sold", "wishes", "code"),
    [
        (model(), {}, "no_endpoints"),
        (model(endpoint(provider("a", api_key_env="A_KEY"))), {}, "no_endpoints"),
        (model(endpoint("a", None)), {}, "no_endpoints"),
        (model(endpoint("a")), {"zdr": True}, "privacy_restricted"),
        (model(endpoint("a")), {"data_collection": "deny"}, "privacy_restricted"),
        (model(endpoint("a")), {"only": ["b"]}, "constraint_filtered"),
    ],
)
def test_availability_codes(sold: Model, wishes: dict[str, Any], code: str) -> None:
    """The availability code says why no endpoint is left."""
    error = decide(sold, prefs(wishes)).refuse()
    assert error.status == 404
    assert error.envelope()["error"]["availability"]["code"] == code
    assert "acme/m" in error.message


@pytest.mark.parametrize(
    ("need", "overflow"),
    [
        (Need(9000), ContextOverflow(9000, 8000)),
        (Need(9000, max_tokens=100), ContextOverflow(9000, 8000)),
        (Need(7000, max_tokens=1500), ContextOverflow(7000, 8000, 1500)),
    ],
)
def test_too_long_is_the_requests_fault(need: Need, overflow: ContextOverflow) -> None:
    """When only the size stands in the way it is a 400, as every OpenAI-compatible server answers it, with the sizes."""
    sold = model(endpoint("a", max_completion_tokens=2000), endpoint(provider("b", api_key_env="B_KEY")))
    error = decide(sold, need=need).refuse()
    assert isinstance(error, BadRequest)
    refusal = error.envelope()["error"]
    assert (refusal["code"], refusal["metadata"]["error_type"]) == (400, "context_length_exceeded")
    assert error.overflow == overflow
    assert refusal["message"] == overflow.words


@pytest.mark.parametrize(
    ("limit", "sold_by"),
    [(1000, ["a", "b", "c"]), (1001, ["b", "c"]), (50_001, ["c"]), (10**9, ["c"])],
)
def test_short_answers_only_where_nobody_writes_longer_ones(limit: int, sold_by: list[str]) -> None:
    """An endpoint that writes less than ``max_tokens`` gives way to one that writes as much, and stays where none does."""
    capped = [endpoint(name, max_completion_tokens=most) for name, most in (("a", 1000), ("b", 50_000))]
    open_ended = endpoint("c", context_length=10**10)
    need = Need(10, max_tokens=limit)
    big = [replace(one, context_length=10**10) for one in capped]
    assert sorted(sellers(decide(model(*big, open_ended), need=need))) == sold_by
    assert sorted(sellers(decide(model(*big), need=need))) == (["b"] if 1000 < limit <= 50_000 else ["a", "b"])


HEALTH = st.builds(
    EndpointHealth,
    state=st.just("closed"),
    recent_outage=st.booleans(),
    band=st.integers(0, 2),
    latency_ms=st.none() | st.integers(1, 5000).map(spread),
    throughput_tps=st.none() | st.integers(1, 500).map(spread),
) | st.sampled_from(
    [UNKNOWN, down("breaker"), down("cooling"), down("credential"), replace(UNKNOWN, state="half_open")]
)
ENDPOINTS = st.lists(
    st.builds(
        endpoint,
        st.sampled_from([provider("a"), provider("b"), provider("c"), provider("d", api_key_env="D_KEY")]),
        st.none() | st.integers(0, 9),
        upstream_id=st.sampled_from(["m", "n", "o", "p"]),
        quantization=st.sampled_from([None, "fp8", "bf16"]),
        supported_parameters=st.sets(st.sampled_from(["tools", "seed"])).map(frozenset),
    ),
    max_size=6,
    unique_by=lambda each: each.id,
)
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "order": st.lists(st.sampled_from("abc"), min_size=1, max_size=2),
        "allow_fallbacks": st.booleans(),
        "sort": st.sampled_from(["price", "throughput", "latency"]) | st.just({"by": "price", "partition": "none"}),
        "max_price": st.fixed_dictionaries({"prompt": st.integers(0, 9)}),
        "quantizations": st.just(["fp8"]),
        "require_parameters": st.booleans(),
        "zdr": st.booleans(),
        "preferred_min_throughput": st.integers(0, 500),
        "preferred_max_latency": st.floats(0, 5),
    },
)
NEEDS = st.builds(
    Need,
    st.integers(0, 9000),
    st.none() | st.integers(1, 4000),
    st.sets(st.sampled_from(["tools", "seed"])).map(frozenset),
)


@given(ENDPOINTS, WISHES, NEEDS, st.dictionaries(st.sampled_from("abcd"), HEALTH), st.integers(0, 3))
def test_plan_is_complete_and_replays(
    sold: list[Any], wishes: dict[str, Any], need: Need, health: dict[str, EndpointHealth], seed: int
) -> None:
    """Every endpoint is a candidate or has a reason, never both; the same inputs give the same plan; nothing raises."""
    made, again = (decide(model(*sold), prefs(wishes), health, need=need, seed=seed) for _ in range(2))
    assert made == again
    chosen = [each.endpoint.id for each in made.candidates]
    dropped = [drop.endpoint_id for drop in made.drops]
    assert sorted(chosen + dropped) == sorted(each.id for each in sold)
    assert all(drop.filter and drop.detail for drop in made.drops)
    if made.panic:
        assert len(chosen) == 1
        assert not made.candidates[0].health.explicit
    else:
        assert all(each.health.available for each in made.candidates)
    if not chosen:
        error = made.refuse()
        assert error.status in (400, 404, 503)
        assert (error.retry_after_s is not None) == (error.status == 503)
        assert error.availability is not None
        assert len(error.metadata["dropped"]) == len(sold)


@given(
    st.lists(
        st.builds(
            Need,
            st.integers(0, 300_000),
            st.none() | st.integers(1, 200_000),
            st.frozensets(st.sampled_from(["tools", "seed", "max_tokens"])),
        ),
        min_size=2,
        max_size=6,
    ),
    st.integers(0, 99),
)
def test_what_planning_remembers_changes_nothing(needs: list[Need], seed: int) -> None:
    """Requests of any size, one after the other: a model that has been planned before gives the plan of a fresh one."""

    def market() -> Model:
        return model(
            endpoint("a", 1, context_length=8_000, max_completion_tokens=1_000),
            endpoint("b", 2, supported_parameters=frozenset({"tools", "max_tokens"})),
            endpoint("c", 3, supported_parameters=frozenset({"seed"}), max_completion_tokens=50_000),
        )

    plain, used = Preferences(models=("acme/m",), plain=True), market()
    for need in needs:
        assert decide(used, plain, need=need, seed=seed) == decide(market(), plain, need=need, seed=seed)


def test_preferences_default_is_plain() -> None:
    """A plan needs no parsed preferences."""
    assert sorted(sellers(decide(THREE, Preferences()))) == ["a", "b", "c"]
