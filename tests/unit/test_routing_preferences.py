"""The routing preferences of a request, and how wrong ones are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.routing.preferences import Preferences, Threshold, matches, parse
from tests.support.market import endpoint, model, provider

NAMES = {
    "openai": "openai",
    "moonshot ai": "moonshotai",
    "moonshotai": "moonshotai",
    "deepinfra": "deepinfra",
    "deepinfra/turbo": "deepinfra/turbo",
}


def read(given_: Any) -> Preferences:
    return parse({"model": "acme/m", "provider": given_}, NAMES)


def test_no_preferences() -> None:
    """Without ``provider`` the defaults of the contract hold."""
    nothing = Preferences(models=("acme/m",), plain=True)
    assert parse({"model": "acme/m"}, NAMES) == read(None) == nothing
    assert read({}) == Preferences(models=("acme/m",))


def test_null_is_absent() -> None:
    """Every documented field may be null."""
    fields = (
        "order only ignore allow_fallbacks require_parameters data_collection zdr enforce_distillable_text quantizations"
        " sort max_price preferred_min_throughput preferred_max_latency options"
    )
    assert read(dict.fromkeys(fields.split())) == Preferences(models=("acme/m",))


def test_every_preference() -> None:
    """Each documented field is read into its plain value."""
    wishes = read(
        {
            "order": ["openai", "Moonshot AI", "deepinfra/turbo", "openai"],
            "only": ["openai", "moonshotai", "DeepInfra"],
            "ignore": [],
            "allow_fallbacks": False,
            "require_parameters": True,
            "data_collection": "deny",
            "zdr": True,
            "enforce_distillable_text": True,
            "quantizations": ["fp8", "bf16"],
            "sort": {"by": "latency", "partition": "none"},
            "max_price": {"prompt": 0.5, "completion": "1.25", "request": 0, "image": 1e-3},
            "preferred_min_throughput": 40,
            "preferred_max_latency": {"p50": 1.5, "p99": 4, "p75": None},
            "options": {"openai": {"x": 1}},
            "not_yet_known": [1],
        }
    )
    assert wishes == Preferences(
        models=("acme/m",),
        order=("openai", "moonshotai", "deepinfra/turbo"),
        only=frozenset({"openai", "moonshotai", "deepinfra"}),
        allow_fallbacks=False,
        require_parameters=True,
        data_collection="deny",
        zdr=True,
        enforce_distillable_text=True,
        quantizations=frozenset({"fp8", "bf16"}),
        sort="latency",
        partition="none",
        max_price_femto={"prompt": 500_000_000, "completion": 1_250_000_000, "request": 0, "image": 10**12},
        preferred_min_throughput=(Threshold("p50", 40.0),),
        preferred_max_latency=(Threshold("p50", 1.5), Threshold("p99", 4.0)),
        options={"openai": {"x": 1}},
    )


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({"model": "a/b"}, ("a/b",)),
        ({"model": "a/b", "models": ["c/d", "a/b"], "route": "fallback"}, ("a/b", "c/d")),
        ({"models": ["c/d:floor", "a/b"]}, ("c/d:floor", "a/b")),
    ],
)
def test_models(body: dict[str, Any], models: tuple[str, ...]) -> None:
    """``model`` first, then ``models``, each once, with their suffixes."""
    assert parse(body, NAMES).models == models


def test_sort_for() -> None:
    """A suffix counts for its model; an explicit sort counts for all."""
    acme, beta = model(slug="acme/m"), model(slug="beta/m")
    suffix = msgspec.structs.replace(
        parse({"models": ["acme/m:nitro", "beta/m"]}, NAMES), sorts={"acme/m": "throughput"}
    )
    assert (suffix.sort_for(acme), suffix.sort_for(beta)) == ("throughput", None)
    explicit = msgspec.structs.replace(suffix, sort="latency")
    assert (explicit.sort_for(acme), explicit.sort_for(beta)) == ("latency", "latency")


def test_matches() -> None:
    """A slug means every endpoint of the provider, a full tag only its own."""
    plain, turbo = endpoint("deepinfra"), endpoint(provider("deepinfra"), upstream_id="t", tag="deepinfra/turbo")
    assert [matches({"deepinfra"}, each) for each in (plain, turbo)] == [True, True]  # type: ignore[arg-type]
    assert [matches(("deepinfra/turbo",), each) for each in (plain, turbo)] == [False, True]


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({}, "model", "is missing"),
        ({"model": 7}, "model", "not a number"),
        ({"model": ""}, "model", "not an empty string"),
        ({"model": None, "models": []}, "model", "is missing"),
        ({"models": "a/b"}, "models", "must be a list of strings, not 'a/b'"),
        ({"models": ["a/b", None]}, "models[1]", "not null"),
        ({"models": ["a/b"] * 33}, "models", "at most 32"),
        ({"model": "a/b", "route": "random"}, "route", "fallback"),
        ({"model": "a/b", "provider": []}, "provider", "must be an object, not a list"),
        ({"model": "a/b", "provider": "openai"}, "provider", "must be an object"),
    ],
)
def test_wrong_body(body: dict[str, Any], field: str, hint: str) -> None:
    """The fields around ``provider`` are refused by name."""
    with pytest.raises(BadRequest) as caught:
        parse(body, NAMES)
    assert caught.value.metadata["field"] == field
    assert hint in caught.value.message


@pytest.mark.parametrize(
    ("wishes", "field", "hint"),
    [
        ({"order": "openai"}, "provider.order", "must be a list of strings, not 'openai'"),
        ({"order": ["openai", 3]}, "provider.order[1]", "not a number"),
        ({"order": ["opnai"], "allow_fallbacks": False}, "provider.order", "lists no provider that is known here"),
        ({"only": ["zzz"]}, "provider.only[0]", "GET /api/v1/providers lists them"),
        ({"only": ["opnai", "zzz"]}, "provider.only[0]", "did you mean openai?"),
        ({"ignore": ["openai"] * 257}, "provider.ignore", "at most 256"),
        ({"allow_fallbacks": "yes"}, "provider.allow_fallbacks", "must be true or false, not 'yes'"),
        ({"require_parameters": 1}, "provider.require_parameters", "must be true or false, not a number"),
        ({"zdr": {}}, "provider.zdr", "not an object"),
        ({"data_collection": "denied"}, "provider.data_collection", "must be one of allow, deny"),
        ({"data_collection": True}, "provider.data_collection", "not a boolean"),
        ({"quantizations": ["fp8", "fp9"]}, "provider.quantizations[1]", "must be one of int4"),
        ({"sort": "cheapest"}, "provider.sort", "must be one of price, throughput, latency, exacto, not 'cheapest'"),
        ({"sort": ["price"]}, "provider.sort", "not a list"),
        ({"sort": {"by": "speed"}}, "provider.sort.by", "must be one of"),
        ({"sort": {"partition": "all"}}, "provider.sort.partition", "must be one of model, none"),
        ({"max_price": 3}, "provider.max_price", "must be an object"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt", "0 or more"),
        ({"max_price": {"prompt": "NaN"}}, "provider.max_price.prompt", "0 or more"),
        ({"max_price": {"prompt": float("inf")}}, "provider.max_price.prompt", "0 or more"),
        ({"max_price": {"prompt": 10**400}}, "provider.max_price.prompt", "too large"),
        ({"max_price": {"prompt": "9" * 41}}, "provider.max_price.prompt", "must be a number"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price.prompt", "0 or more"),
        ({"max_price": {"completion": True}}, "provider.max_price.completion", "not a boolean"),
        ({"preferred_min_throughput": "fast"}, "provider.preferred_min_throughput", "must be a number"),
        ({"preferred_min_throughput": {"p90": []}}, "provider.preferred_min_throughput.p90", "not a list"),
        ({"preferred_max_latency": -0.1}, "provider.preferred_max_latency", "0 or more"),
        ({"preferred_max_latency": {"p50": float("nan")}}, "provider.preferred_max_latency.p50", "0 or more"),
        ({"options": []}, "provider.options", "must be an object"),
        ({"options": {"openai": 1}}, "provider.options.openai", "must be an object"),
        ({"only": ["openai"], "ignore": ["openai"]}, "provider.ignore", "openai is also in provider.only"),
        ({"only": ["deepinfra/turbo"], "ignore": ["deepinfra"]}, "provider.ignore", "excludes everything"),
        ({"order": ["deepinfra/turbo"], "ignore": ["deepinfra"]}, "provider.ignore", "is also in provider.order"),
        ({"order": ["openai"], "only": ["deepinfra"], "allow_fallbacks": False}, "provider.order", "lists nothing"),
    ],
)
def test_wrong_preferences(wishes: dict[str, Any], field: str, hint: str) -> None:
    """Wrong types, unknown providers and contradictions are refused with the field's name and the fix."""
    with pytest.raises(BadRequest) as caught:
        read(wishes)
    assert caught.value.metadata["field"] == field
    assert caught.value.message.startswith(f"{field}: ")
    assert hint in caught.value.message


@pytest.mark.parametrize(
    "wishes",
    [
        {"only": ["deepinfra"], "ignore": ["deepinfra/turbo"]},
        {"order": ["openai"], "only": ["deepinfra"]},
        {"order": ["deepinfra/turbo"], "only": ["deepinfra"], "allow_fallbacks": False},
        {"order": ["deepinfra"], "only": ["deepinfra/turbo"], "allow_fallbacks": False},
        {"sort": {"by": None, "partition": None}},
        {"max_price": {}},
        {"order": [], "only": [], "ignore": [], "quantizations": []},
        {"order": ["openai", "a-vendor-of-elsewhere"], "allow_fallbacks": False},
        {"order": ["a-vendor-of-elsewhere"], "ignore": ["another/eu"], "only": ["openai", "a-third"]},
        {"sort": "exacto"},
        {"max_price": {"prompt": None, "audio": 1}},
    ],
)
def test_odd_but_possible(wishes: dict[str, Any]) -> None:
    """Preferences that can be met are not refused as a contradiction."""
    assert read(wishes).models == ("acme/m",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(sorted(NAMES)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.just("prompt"), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = [
    *(
        "order",
        "only",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "data_collection",
        "zdr",
        "quantizations",
        "sort",
    ),
    *("max_price", "preferred_min_throughput", "preferred_max_latency", "options", "enforce_distillable_text"),
]


@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_any_json_is_read_or_refused(wishes: Any) -> None:
    """No JSON value gets anything but preferences or a 400 that names a field."""
    refused: BadRequest | None = None
    try:
        read(wishes)
    except BadRequest as error:
        refused = error
    assert refused is None or (refused.metadata["field"].startswith("provider") and len(refused.message) < 1000)
