"""Each filter: what it lets through, what it drops, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalog.model import DataPolicy, Endpoint
from gateway.routing.candidate import Need
from tests.support.market import decide, endpoint, model, prefs, provider, reasons, sellers

GOOD = DataPolicy(training=False, retains_prompts=False)
KEEPS = DataPolicy(training=False, retains_prompts=True)


def fate(one: Endpoint, wishes: dict[str, Any] | None = None, need: Need | None = None) -> str | None:
    """The filter that drops it, or None."""
    made = decide(model(one), prefs(wishes), need=need)
    assert len(made.candidates) + len(made.drops) == 1
    return made.drops[0].filter if made.drops else None


def detail(one: Endpoint, wishes: dict[str, Any] | None = None, need: Need | None = None) -> str:
    [drop] = decide(model(one), prefs(wishes), need=need).drops
    return drop.detail


@pytest.mark.parametrize(
    ("wishes", "dropped_by"),
    [
        ({"only": ["a"]}, None),
        ({"only": ["b"]}, "allowed_providers"),
        ({"ignore": ["a"]}, "allowed_providers"),
        ({"ignore": ["b"]}, None),
        ({"order": ["b"], "allow_fallbacks": False}, "allowed_providers"),
        ({"order": ["b"]}, None),
        ({"zdr": True}, "data_policy:zdr"),
        ({"data_collection": "deny"}, "data_policy:training"),
        ({"data_collection": "allow", "zdr": False}, None),
        ({"quantizations": ["fp16"]}, "quantization"),
        ({"quantizations": ["unknown"]}, None),
        ({"max_price": {"prompt": 1}}, None),
        ({"max_price": {"prompt": 0.999999}}, "max_price"),
        ({"max_price": {"completion": 0.5}}, "max_price"),
        ({"max_price": {"request": 0, "image": 0}}, None),
        ({"require_parameters": True}, None),
        ({"enforce_distillable_text": True}, "distillable"),
    ],
)
def test_preferences(wishes: dict[str, Any], dropped_by: str | None) -> None:
    """Endpoint ``a`` costs $1, is of unknown quantization, and its data policy is the worst."""
    assert fate(endpoint("a", 1), wishes) == dropped_by


@pytest.mark.parametrize(
    ("policy", "zdr", "deny"),
    [
        (GOOD, None, None),
        (KEEPS, "data_policy:zdr", "data_policy:training"),
        (DataPolicy(True, False), None, "data_policy:training"),
    ],
)
def test_data_policy(policy: DataPolicy, zdr: str | None, deny: str | None) -> None:
    """ZDR forbids keeping prompts, ``deny`` forbids keeping and training."""
    one = endpoint(provider("a", data_policy=policy))
    assert fate(one, {"zdr": True}) == zdr
    assert fate(one, {"data_collection": "deny"}) == deny


@pytest.mark.parametrize(
    ("mine", "wanted", "fits"),
    [
        *(("mxfp4", ["fp4"], True), ("nvfp4", ["fp4"], True), ("mxfp8", ["fp8"], True), ("fp8", ["fp8"], True)),
        *(
            ("fp4", ["mxfp4"], False),
            ("mxfp8", ["fp4"], False),
            ("bf16", ["fp8", "bf16"], True),
            (None, ["bf16"], False),
        ),
    ],
)
def test_quantization_families(mine: str | None, wanted: list[str], fits: bool) -> None:
    """fp4 covers its kinds, fp8 too, not the other way round; what is not written is unknown."""
    assert (fate(endpoint("a", quantization=mine), {"quantizations": wanted}) is None) is fits


@pytest.mark.parametrize(
    ("need", "dropped_by"),
    [
        (Need(8000), None),
        (Need(8001), "context_length"),
        (Need(7000, max_tokens=1000), None),
        (Need(7001, max_tokens=1000), "context_length"),
        (Need(6000, max_tokens=9000), None),
        (Need(6001, max_tokens=9000), "context_length"),
        (Need(10, input_modalities=frozenset({"text", "image"})), "input_modalities"),
        (Need(10, parameters=frozenset({"tools"})), None),
    ],
)
def test_abilities(need: Need, dropped_by: str | None) -> None:
    """An endpoint of 8,000 tokens context and 2,000 output that reads text."""
    assert fate(endpoint("a", max_completion_tokens=2000), need=need) == dropped_by


@pytest.mark.parametrize(
    ("sent", "dropped"),
    [
        ({"tools", "temperature"}, False),
        ({"tools", "model", "messages", "stream", "provider", "user"}, False),
        ({"seed"}, True),
        ({"max_tokens"}, False),
        ({"tool_choice"}, False),
        ({"reasoning_effort"}, True),
    ],
)
def test_require_parameters(sent: set[str], dropped: bool) -> None:
    """Only known abilities are required, and an ability's sibling name counts."""
    one = endpoint("a", supported_parameters=frozenset({"tools", "temperature", "max_completion_tokens"}))
    found = fate(one, {"require_parameters": True}, Need(10, parameters=frozenset(sent)))
    assert found == ("require_parameters" if dropped else None)


def test_operator_side() -> None:
    """An endpoint without key or price is dropped whatever the preferences; a price of tomorrow does not count today."""
    assert fate(endpoint(provider("a", api_key_env="A_KEY"))) == "provider_key"
    for lacking, words in (("A_KEY",), "A_KEY is not set"), (("A_KEY", "A_URL"), "A_KEY and A_URL are not set"):
        assert detail(endpoint(provider("a", lacking=lacking))) == f"{words} on this gateway"
    assert fate(endpoint(provider("a", api_key_env="A_KEY", api_key="x"))) is None
    assert fate(endpoint("a", None)) == "unpriced"


def test_soft_preference() -> None:
    """When some endpoints support tools only those serve; when none does the parameter is ignored."""
    able, unable = frozenset({"tools", "response_format"}), frozenset({"temperature"})
    need = Need(10, parameters=frozenset({"tools", "response_format"}))
    mixed = model(endpoint("a", supported_parameters=able), endpoint("b", supported_parameters=unable))
    made = decide(mixed, need=need)
    assert sellers(made) == ["a"]
    assert reasons(made) == {"b": "supported_parameters"}
    assert "tools" in made.drops[0].detail
    nobody = model(endpoint("a", supported_parameters=unable), endpoint("b", supported_parameters=unable))
    assert sorted(sellers(decide(nobody, need=need))) == ["a", "b"]


def test_soft_preference_narrows_step_by_step() -> None:
    """The second parameter is looked for among those that have the first."""
    both, one, other = frozenset({"tools", "verbosity"}), frozenset({"tools"}), frozenset({"verbosity"})
    three = model(
        *(endpoint(slug, supported_parameters=has) for slug, has in zip("abc", (one, other, both), strict=True))
    )
    made = decide(three, need=Need(10, parameters=frozenset({"tools", "verbosity"})))
    assert sellers(made) == ["c"]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"max_price": {"prompt": 0.5}}, "prompt costs $1 per M tokens, the cap is $0.5"),
        ({"quantizations": ["fp8", "bf16"]}, "runs at unknown, wanted is bf16 or fp8"),
        ({"only": ["b"]}, "a is not in provider.only"),
        ({"zdr": True}, "A may keep prompts"),
    ],
)
def test_words(wishes: dict[str, Any], expected: str) -> None:
    """A reason is a sentence with the figures on both sides."""
    assert detail(endpoint("a", 1), wishes) == expected


def test_the_first_reason_is_given() -> None:
    """The order: the choice of providers, then terms, then abilities."""
    one = endpoint("a", 5, context_length=10)
    wishes = {"only": ["b"], "zdr": True, "max_price": {"prompt": 1}}
    assert fate(one, wishes) == "allowed_providers"
    assert fate(one, {"zdr": True, "max_price": {"prompt": 1}}) == "data_policy:zdr"
    assert fate(one, {"max_price": {"prompt": 1}}) == "max_price"
    assert fate(one) == "context_length"
