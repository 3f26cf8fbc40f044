"""The builder of the shipped catalogue: names, prices of the sources, who wins, what is written, what a refresh changes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.catalog.attributes import sizes
from gateway.catalog.load import load
from gateway.cli import catalog as command
from gateway.cli.catalog import compare, describe
from tools.catalog import attributes, facts, inputs, litellm_source, modelsdev_source, names, rows, write
from tools.catalog.__main__ import main
from tools.catalog.build import build
from tools.catalog.choose import decide, outliers, plausible, same
from tools.catalog.inputs import Inputs
from tools.catalog.oracle import Oracle
from tools.catalog.price_rows import Offer, Rates, exact, plain

DAY = "2026-11-12"
ONE_MODEL = [
    ("deepseekv3.1", ["accounts/fireworks/models/deepseek-v3p1", "deepseek-ai/DeepSeek-V3.1", "deepseek/deepseek-v3-1",
                      "deepseek-ai/deepseek-v3.1-maas", "databricks-deepseek-v3-1", "deepseek-ai/DeepSeek-V3.1-TEE"]),
    ("claudesonnet4.5", ["claude-sonnet-4-5-20250929", "claude-4-5-sonnet", "claude-4.5-sonnet", "anthropic/claude-sonnet-4.5",
                         "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"]),
    ("llama3.3-70b", ["meta-llama/Llama-3.3-70B-Instruct", "meta.llama3-3-70b-instruct-v1:0", "Meta-Llama-3_3-70B-Instruct",
                      "us.meta.llama3-3-70b-instruct-v1:0", "@cf/meta/llama-3.3-70b-instruct-fp8", "llama-3-3-70b"]),
    ("qwen3-235ba22b2507", ["Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen.qwen3-235b-a22b-2507-v1:0", "qwen3-235b-a22b-instruct-2507",
                            "hf:Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8"]),
    ("glm4.7", ["zai.glm-4.7", "zai-org/GLM-4.7", "zai-org/glm-4-7", "z-ai/glm-4.7", "accounts/fireworks/models/glm-4p7", "zai-glm-4.7"]),
]  # fmt: skip
OTHER_MODELS = [
    ("gpt-5", "gpt-5-mini"),
    ("gpt-5", "gpt-5-chat"),
    ("gpt-4o", "gpt-4o-2024-05-13"),
    ("kimi-k2", "kimi-k2-thinking"),
    ("kimi-k2", "kimi-k2-0905"),
    ("qwen3-30b-a3b", "qwen3-30b-a3b-thinking-2507"),
    ("deepseek-r1", "deepseek-r1-0528"),
    ("deepseek-v4-pro", "deepseek-v4-pro-0813"),
    ("llama-3-8b", "llama-3.1-8b"),
    ("gemma-3-4b", "gemma-34b"),
    ("claude-3-sonnet", "claude-3-5-sonnet"),
    ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20240620"),
    ("qwen-2.5-72b-instruct", "qwen2.5-vl-72b-instruct"),
]


def offer(source: str = "litellm", upstream_id: str = "fast-1", **prices: str) -> Offer:
    mtok = {kind: Decimal(price) for kind, price in prices.items()}
    return Offer(source, DAY, "acme", upstream_id, "chat", Rates(mtok, source=f"https://{source}.example", day=DAY))


def rates(**prices: str) -> Rates:
    return Rates({kind: Decimal(price) for kind, price in prices.items()}, day=DAY)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "spellings"), ONE_MODEL)
def test_spellings_of_one_model(key: str, spellings: list[str]) -> None:
    """Folders, organisations, dots, dates, quantisations and letter case do not make another model."""
    assert {spelling: names.read(spelling).key for spelling in spellings} == dict.fromkeys(spellings, key)


@pytest.mark.parametrize(("one", "other"), OTHER_MODELS)
def test_other_models_stay_apart(one: str, other: str) -> None:
    """Size, generation, thinking, vision and a snapshot that is sold apart do make another model."""
    assert names.read(one).key != names.read(other).key


def test_ways_of_serving() -> None:
    """A suffix like ``-fast`` is a variant only where the model without it is known; else it is part of the name."""
    slugs = names.Slugs(
        ["openai/gpt-3.5-turbo", "openai/gpt-oss-120b"], {"beta1": "acme/beta-1", "junk": "-"}, [("^zeta", "acme")]
    )
    assert slugs.of("deepinfra", "openai/gpt-oss-120b-Turbo") == ("openai/gpt-oss-120b", "turbo")
    assert slugs.of("azure", "gpt-3.5-turbo-0125") is None
    assert slugs.of("azure", "gpt-3.5-turbo") == ("openai/gpt-3.5-turbo", "")
    assert slugs.of("x", "Beta-1") == ("acme/beta-1", "")
    assert slugs.of("x", "org/Zeta_2-FP8") == ("acme/zeta-2", "")
    assert slugs.of("x", "junk") is None
    assert names.read("org/zeta-2-FP8").quantization == "fp8"


def test_aliases_by_seller() -> None:
    """The same suffix can mean different things at different sellers."""
    slugs = names.Slugs([], {"ollama:llama3.1:8b": "meta-llama/llama-3.1-8b-instruct"}, [])
    assert slugs.of("ollama", "llama3.1:8b") == ("meta-llama/llama-3.1-8b-instruct", "")
    assert slugs.of("other", "llama3.1:8b") is None


@given(st.text(max_size=60))
def test_any_name_can_be_read(text: str) -> None:
    """Whatever a source writes, reading it neither fails nor depends on letter case."""
    assert names.read(text.upper().lower()) == names.read(names.read(text) and text.upper().lower())


# -- the sources ------------------------------------------------------------------------------------------------------


def litellm(**row: Any) -> Offer:
    document = json.dumps(
        {"sample_spec": {"litellm_provider": "acme"}, "acme/fast-1": {"litellm_provider": "acme", **row}}
    )
    (found,) = litellm_source.offers(document.encode(), DAY, {"acme": "acme"})
    return found


def test_litellm_prices() -> None:
    """Floats per token become the decimals per million that a vendor's page shows; tiers, cache kinds and audio included."""
    found = litellm(
        mode="chat",
        input_cost_per_token=2.8e-07,
        output_cost_per_token=1.1000000000000001e-06,
        cache_read_input_token_cost=2.8e-08,
        cache_creation_input_token_cost=0.0,
        cache_creation_input_token_cost_above_1hr=6e-06,
        input_cost_per_audio_token=1e-06,
        input_cost_per_token_above_200k_tokens=5.6e-07,
        cache_read_input_token_cost_above_200k_tokens=5.6e-08,
        input_cost_per_token_batches=1.4e-07,
        search_context_cost_per_query={"search_context_size_medium": 0.035},
        source="https://acme.example/pricing",
    )
    assert {kind: plain(price) for kind, price in found.rates.mtok.items()} == {
        "prompt": "0.28", "completion": "1.1", "input_cache_read": "0.028", "input_cache_write_1h": "6", "audio": "1",
    }  # fmt: skip
    ((above, tier),) = found.rates.tiers
    assert above == 200_000
    assert {kind: plain(price) for kind, price in tier.items()} == {"prompt": "0.56", "input_cache_read": "0.056"}
    assert found.rates.units == {"usd_per_web_search": Decimal("0.035")}
    assert found.rates.source == "https://acme.example/pricing"
    assert found.upstream_id == "fast-1"


def test_litellm_ranges() -> None:
    """``tiered_pricing``: the range from zero is the price, the others are tiers."""
    found = litellm(
        mode="chat",
        tiered_pricing=[
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 1.8e-06, "output_cost_per_token": 9e-06},
        ],
    )
    assert found.rates.mtok == {"prompt": 1, "completion": 5}
    assert found.rates.tiers == ((32000, {"prompt": Decimal("1.8"), "completion": 9}),)


@pytest.mark.parametrize(
    ("row", "mtok", "units"),
    [
        ({"mode": "embedding", "input_cost_per_token": 2e-08}, {"prompt": "0.02", "completion": "0"}, {}),
        ({"mode": "rerank", "input_cost_per_token": 0.0, "input_cost_per_query": 0.002}, {}, {"usd_per_search_unit": "0.002"}),
        ({"mode": "audio_transcription", "input_cost_per_second": 0.0001}, {}, {"usd_per_minute": "0.006"}),
        ({"mode": "audio_transcription", "input_cost_per_second": 0.0001, "input_cost_per_token": 2.5e-06,
          "output_cost_per_token": 1e-05}, {"prompt": "2.5", "completion": "10"}, {}),
        ({"mode": "audio_speech", "input_cost_per_character": 1.5e-05}, {}, {"usd_per_mchar": "15"}),
        ({"mode": "audio_speech", "input_cost_per_character": 4e-05, "input_cost_per_token": 4e-05}, {}, {"usd_per_mchar": "40"}),
        ({"mode": "image_generation", "output_cost_per_image": 0.04}, {}, {"usd_per_image_output": "0.04"}),
        ({"mode": "image_generation", "output_cost_per_image": 0.04, "output_cost_per_image_token": 3e-05,
          "input_cost_per_token": 3e-07}, {"prompt": "0.3", "completion": "0", "image_output_token": "30"}, {}),
    ],
)  # fmt: skip
def test_litellm_units(row: dict[str, Any], mtok: dict[str, str], units: dict[str, str]) -> None:
    """Each operation is priced by what its vendor counts, and one charge that is listed in two units is taken once."""
    found = litellm(**row).rates
    assert {kind: plain(price) for kind, price in found.mtok.items()} == mtok
    assert {name: plain(price) for name, price in found.units.items()} == units


def test_litellm_facts() -> None:
    """Flags become traits, missing ones stay unknown; efforts, modalities and the mode are read."""
    found = litellm(
        supports_function_calling=True, supports_vision=True, supports_pdf_input=True, supports_max_reasoning_effort=True,
        supports_none_reasoning_effort=True, supported_endpoints=["/v1/responses"], deprecation_date="2026-10-01",
        max_input_tokens="128000", thinking_always_on=True,
    )  # fmt: skip
    assert found.traits == {"tools": True}
    assert found.inputs == ("text", "image", "file")
    assert found.efforts == ("none", "low", "medium", "high", "max")
    assert (found.mode, found.retires, found.context, found.always_thinks) == ("responses", "2026-10-01", 128000, True)


def test_modelsdev() -> None:
    """Prices per million, tiers, days and modalities of models.dev in our words."""
    row = {
        "id": "fast-1", "name": "Fast 1", "family": "fast", "release_date": "2025-03", "knowledge": "2024-10", "open_weights": True,
        "tool_call": True, "reasoning": False, "modalities": {"input": ["text", "pdf"], "output": ["text"]},
        "limit": {"context": 1000, "output": 100}, "status": "deprecated",
        "cost": {"input": 0.1, "output": 0.4, "cache_write": 0, "reasoning": 0.9,
                 "tiers": [{"input": 0.2, "output": 0.8, "tier": {"type": "context", "size": 128000}}]},
    }  # fmt: skip
    document = {"acme-ai": {"models": {"fast-1": row}}}
    (found,) = modelsdev_source.offers(document, DAY, {"acme-ai": "acme"})
    assert found.rates.mtok == {
        "prompt": Decimal("0.1"),
        "completion": Decimal("0.4"),
        "internal_reasoning": Decimal("0.9"),
    }
    assert found.rates.tiers == ((128000, {"prompt": Decimal("0.2"), "completion": Decimal("0.8")}),)
    assert (found.created, found.knowledge, found.inputs) == ("2025-03-01", "2024-10-01", ("text", "file"))
    assert found.retires < DAY


def test_oracle_knows_its_limits() -> None:
    """The third opinion is given for the very model only, not for a relative that its rules also match."""
    oracle = Oracle(DAY)
    known = oracle.rates("openai", "gpt-4o-mini")
    assert known is not None
    assert known.mtok["prompt"] == Decimal("0.15")
    assert oracle.rates("google", "gemini-2.5-pro-image") is None
    assert oracle.rates("nobody", "gpt-4o") is None
    assert oracle.rates(None, "gpt-4o") is None


@given(st.decimals(min_value=0, max_value=1000, places=9))
def test_decimals_survive(number: Decimal) -> None:
    """A price is written as the shortest text that reads back as itself."""
    assert Decimal(plain(number)) == number
    assert "E" not in plain(number)
    assert exact(str(number)) == number


@pytest.mark.parametrize("value", [None, True, [], {}, "a lot", float("nan")])
def test_no_number(value: object) -> None:
    """What is no number is no price."""
    found = exact(value)
    assert found is None or not found.is_finite()


# -- who wins ---------------------------------------------------------------------------------------------------------

A, B = {"prompt": "1", "completion": "4"}, {"prompt": "2", "completion": "8"}


@pytest.mark.parametrize(
    ("litellm_says", "modelsdev_says", "oracle_says", "winner", "why"),
    [
        (A, A, A, "litellm", None),
        (A, A, None, "litellm", None),
        (A, B, A, "litellm", "two of three agree"),
        (A, B, B, "models.dev", "two of three agree"),
        (A, B, None, "litellm", "the newer source"),
        (A, B, {"prompt": "3", "completion": "9"}, "litellm", "the newer source"),
        (A, A, B, "litellm", "two of three agree"),
        (None, A, B, "genai-prices", "the newer source"),
        (None, A, A, "models.dev", None),
        (A, None, B, "litellm", "names its page"),
        ({"prompt": "2000", "completion": "8000"}, A, None, "models.dev", None),
        ({"prompt": "0", "completion": "0"}, A, None, "models.dev", None),
    ],
)
def test_rules(
    litellm_says: dict[str, str] | None,
    modelsdev_says: dict[str, str] | None,
    oracle_says: dict[str, str] | None,
    winner: str,
    why: str | None,
) -> None:
    """Two of three, else the newer one, else the one that names its page; an absurd price does not count."""
    by_source = {"litellm": litellm_says, "models.dev": modelsdev_says}
    offers = [offer(source, **prices) for source, prices in by_source.items() if prices]
    verdict = decide(offers, rates(**oracle_says) if oracle_says else None, None, free=False)
    assert (verdict.dispute.why if verdict.dispute else None) == why
    assert verdict.rates is not None
    wanted = {"litellm": litellm_says, "models.dev": modelsdev_says, "genai-prices": oracle_says}[winner]
    assert {kind: plain(price) for kind, price in verdict.rates.mtok.items()} == wanted


def test_prices_are_never_mixed() -> None:
    """The winner's price is completed by a source that agrees with it, never by one that does not."""
    agreeing = decide([offer(**A), offer("models.dev", **A, input_cache_read="0.1")], None, None, free=False)
    assert agreeing.rates is not None
    assert agreeing.rates.mtok["input_cache_read"] == Decimal("0.1")
    arguing = decide([offer(**A), offer("models.dev", **B, input_cache_read="0.1")], None, None, free=False)
    assert arguing.rates is not None
    assert "input_cache_read" not in arguing.rates.mtok


def test_by_hand() -> None:
    """A choice made by hand beats every rule, and is listed with its reason; it may also drop the endpoint."""
    both = [offer(**A), offer("models.dev", **B)]
    chosen = decide(both, rates(**A), {"use": "models.dev", "why": "seen on the page"}, free=False)
    assert chosen.rates is not None
    assert chosen.rates.mtok["prompt"] == 2
    assert chosen.dispute is not None
    assert chosen.dispute.why == "by hand: seen on the page"
    dropped = decide(both, None, {"drop": True, "why": "yuan"}, free=False)
    assert dropped.rates is None
    assert dropped.dispute is not None
    assert dropped.dispute.chosen == "nothing"


def test_the_third_source_adds_no_endpoint() -> None:
    """Without a price of the two real sources there is no endpoint."""
    assert decide([offer()], rates(**A), None, free=False).rates is None


def test_free_only_by_nature() -> None:
    """Zero is a price at a provider of one's own, and a missing price everywhere else."""
    nothing = rates(prompt="0", completion="0")
    assert not plausible(nothing)
    assert plausible(nothing, free=True)
    assert not plausible(rates(prompt="1"))
    assert not plausible(rates(prompt="-1", completion="1"))


def test_outliers() -> None:
    """A price twenty times off the median of at least four sellers is a slip; three sellers are too few to judge."""
    prices = {
        name: rates(prompt=price, completion="1") for name, price in zip("abcd", ["1", "1", "1.2", "30"], strict=True)
    }
    assert list(outliers(prices)) == ["d"]
    assert not outliers({name: prices[name] for name in "abd"})


@given(st.decimals(min_value="0.001", max_value=100, places=3))
def test_rounding_is_no_dispute(price: Decimal) -> None:
    """One per cent apart is the same price."""
    one, other = (
        Rates({"prompt": price, "completion": price}),
        Rates({"prompt": price * Decimal("1.009"), "completion": price}),
    )
    assert same(one, other)
    assert same(other, one)


# -- facts and attributes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "told_sizes"),
    [
        ("qwen3-235b-a22b-2507", {"params_total_b": 235, "params_active_b": 22}),
        ("llama-3.1-8b-instruct", {"params_total_b": 8}),
        ("granite-4.0-350m", {"params_total_b": 0.35}),
        ("qwen3.8-2.4t-a95b", {"params_total_b": 2400, "params_active_b": 95}),
        ("mixtral-8x7b-instruct", {}),
        ("claude-sonnet-4.5", {}),
        ("gpt-4-32k", {}),
        ("glm-4.5", {}),
    ],
)
def test_sizes(word: str, told_sizes: dict[str, float]) -> None:
    """Parameters are read from a name only where it tells them; experts of equal size do not simply add up."""
    assert sizes(word) == told_sizes


def test_attributes_unknown_stays_absent() -> None:
    """Rules win over the sources, the hand-kept model over both; an unknown attribute has no key."""
    kept = {
        "authors": {"acme": {"tokenizer": "Acme", "open_weights": False}},
        "rules": [{"match": "fast", "set": {"family": "fast"}}],
    }
    found = attributes.of(
        "acme/fast-7b", kept, model={"tier": "lite"}, from_sellers={"open_weights": True, "family": "f"}
    )
    assert found == {
        "family": "fast", "tier": "lite", "open_weights": True, "params_total_b": 7, "tokenizer": "Acme",
    }  # fmt: skip
    assert attributes.of("nobody/x", kept, model={}, from_sellers={}) == {}


def test_release_days() -> None:
    """The maker's day, else a day in its ids, else that of two sellers, else the day it was listed; never a day in the future."""
    offers = [
        replace(offer(), seller=seller, created=day)
        for seller, day in [("a", "2025-01-01"), ("b", "2025-02-01"), ("c", "2025-02-01")]
    ]
    assert facts.created(offers, ["a"], DAY) == "2025-01-01"
    assert facts.created(offers, [], DAY) == "2025-02-01"
    assert facts.created([offer(upstream_id="fast-2026-02-03")], ["acme"], DAY) == "2026-02-03"
    assert facts.created([offer()], [], DAY) == DAY
    assert facts.created([replace(offer(), created="2030-01-01")], ["acme"], DAY) == DAY


def test_names_of_models() -> None:
    """Of display names only those count whose numbers are the model's; a slug is made readable when none does."""
    offers = [
        replace(offer(), seller=seller, name=name)
        for seller, name in [("a", "Fast 1 (latest)"), ("b", "Fast 2"), ("c", "acme: Fast 1")]
    ]
    assert facts.name("acme/fast-1", offers, []) == "Fast 1"
    assert facts.name("z-ai/glm-5.3-flash", [], []) == "GLM 5.3 Flash"
    assert facts.name("openai/gpt-9", [], []) == "GPT-9"


# -- a whole build ----------------------------------------------------------------------------------------------------


def small(offers: list[Offer], **changes: Any) -> Inputs:
    """Inputs with two makers that sell their own models and one reseller."""
    kept: dict[str, Any] = {
        "providers": {
            slug: {
                "slug": slug,
                "name": slug.title(),
                "base_url": f"https://{slug}.example/v1",
                "api_key_env": slug.upper(),
            }
            for slug in ("acme", "beta", "shop")
        },
        "names": {
            "slugs": {"acme/fast-1": ["fast1"], "beta/slow-2": ["slow2"]},
            "authors": [["^new", "acme"]],
            "home": {"acme": ["acme"]},
        },
        "models": {"acme/gone-1": {"name": "Gone 1", "created": date(2024, 1, 1), "context_length": 4096}},
        "attributes": {"authors": {}, "rules": [], "released": {}},
        "choices": [],
        "modelsdev": {"openrouter": {"models": {}}},
        "oracle": Oracle(DAY),
        "versions": {"litellm": "1 of 2026-11-12"},
        "day": DAY,
        "today": "2026-11-21",
    }
    return Inputs(offers=offers, **{**kept, **changes})


def sold(seller: str, upstream_id: str, prompt: str = "1", **facts_: Any) -> Offer:
    return replace(offer(upstream_id=upstream_id, prompt=prompt, completion="4"), seller=seller, context=8192, **facts_)


def files(tmp_path: Path, made: Inputs, name: str = "config") -> Path:
    config = tmp_path / name
    write.write(config, build(made, config if config.exists() else None).files)
    return config


def test_one_model_of_many_offers(tmp_path: Path) -> None:
    """Offers of one model meet in one row; the maker comes first; what has ended is gone; the loader takes the result."""
    offers = [
        sold("shop", "org/Fast-1-FP8"),
        sold("shop", "org/fast-1-turbo", "2"),
        sold("acme", "fast-1"),
        sold("acme", "fast-1-2026-01-02"),
        sold("beta", "slow-2", retires="2026-11-20"),
        sold("acme", "new-9"),
        sold("shop", "new-8"),
    ]
    catalog = load(files(tmp_path, small(offers)), {})
    assert catalog.warnings == ()
    assert set(catalog.models) == {"acme/fast-1", "acme/new-9", "acme/gone-1"}
    endpoints = catalog.models["acme/fast-1"].endpoints
    assert [(one.provider.slug, one.upstream_id, one.tag) for one in endpoints] == [
        ("acme", "fast-1", "acme"),
        ("shop", "org/Fast-1-FP8", "shop"),
        ("shop", "org/fast-1-turbo", "shop/turbo"),
    ]
    assert endpoints[1].quantization == "fp8"
    assert catalog.models["acme/gone-1"].endpoints == ()
    assert set(catalog.providers) == {"acme", "shop"}


def test_a_closed_model_that_its_maker_withdrew(tmp_path: Path) -> None:
    """A reseller that only the older list has cannot still sell what the maker does not; open weights can be sold on."""
    old = {"source": "models.dev", "open_weights": False}
    offers = [sold("acme", "fast-1", retires="2026-11-01"), sold("shop", "fast-1", **old)]
    made = small(offers)
    made.providers["acme"]["curated"] = True  # type: ignore[index]
    assert "acme/fast-1" not in load(files(tmp_path, made), {}).models
    opened = replace(made, offers=[offers[0], replace(offers[1], open_weights=True)])
    assert "acme/fast-1" in load(files(tmp_path, opened, "opened"), {}).models


def test_silence_of_a_complete_list(tmp_path: Path) -> None:
    """What a curated list no longer names has ended, though the older source still has it."""
    made = small([sold("acme", "fast-1", source="models.dev"), sold("acme", "new-9")])
    made.providers["acme"]["curated"] = True  # type: ignore[index]
    assert set(load(files(tmp_path, made), {}).models) == {"acme/new-9", "acme/gone-1"}


def test_dated_prices_are_appended(tmp_path: Path) -> None:
    """A rebuild keeps the day of what did not change and adds the new price behind the old one."""
    config = files(tmp_path, small([sold("acme", "fast-1"), sold("acme", "new-9")]))
    again = [sold("acme", "fast-1", "1.5"), sold("acme", "new-9")]
    later = [replace(one, rates=replace(one.rates, day="2026-12-01")) for one in again]
    files(tmp_path, small(later, day="2026-12-01", listed=write.listed(config)))
    listed = yaml.safe_load((config / "prices/acme.yaml").read_text())
    assert [(row["upstream_id"], str(row["from"]), row["usd_per_mtok"]["prompt"]) for row in listed] == [
        ("fast-1", "2026-11-12", "1"),
        ("fast-1", "2026-12-01", "1.5"),
        ("new-9", "2026-11-12", "1"),
    ]
    assert str(load(config, {}).models["acme/new-9"].created) == "2026-11-12"


def test_rebuilding_changes_nothing(tmp_path: Path) -> None:
    """The same inputs give the same bytes, also over files that are there; the demo's files are left alone."""
    made = small([sold("acme", "fast-1"), sold("shop", "fast-1", "1.1")])
    config = files(tmp_path, made)
    (config / "models/sim.yaml").write_text("# by hand\n")
    (config / "models/stale.yaml").write_text("# of an earlier build\n")
    before = {path.name: path.read_bytes() for path in config.rglob("*.yaml")}
    files(tmp_path, replace(made, listed={"acme/fast-1": DAY}))
    after = {path.name: path.read_bytes() for path in config.rglob("*.yaml")}
    assert before.pop("stale.yaml")
    assert after == before


def test_endpoints_differ_only_where_they_differ() -> None:
    """An endpoint's row says what is not the model's, in the words of its dialect."""
    made = small([])
    made.providers["acme"]["dialect"] = "anthropic"  # type: ignore[index]
    traits = {"tools": True, "reasoning": True, "native_structured": True, "prefill": False, "sampling": False}
    claude = sold("acme", "claude-opus-5", max_output=1000, traits=traits, efforts=("low", "medium", "high", "xhigh"))
    named = {**made.names, "slugs": {"anthropic/claude-opus-5": ["claudeopus5"]}, "home": {"anthropic": ["acme"]}}
    result = build(replace(made, offers=[claude], names=named), None)
    (row,) = yaml.safe_load(result.files["models/anthropic.yaml"])
    assert row["endpoints"] == [
        {
            "provider": "acme",
            "upstream_id": "claude-opus-5",
            "max_completion_tokens": 1000,
            "options": {
                "thinking": "adaptive",
                "efforts": ["low", "medium", "high", "xhigh"],
                "structured_outputs": "native",
                "sampling": "none",
                "prefill": False,
                "max_completion_tokens": 1000,
            },
        }
    ]
    assert "temperature" not in row["supported_parameters"]
    assert row["reasoning"] == {"mandatory": False, "supported_efforts": ["xhigh", "high", "medium", "low"]}


def test_one_seller_alone_does_not_make_a_model_reason(tmp_path: Path) -> None:
    """What the maker says, or most sellers, counts for the model; an endpoint may lack it, but not have it alone."""
    thinks, plain_ = {"reasoning": True}, {"reasoning": False}
    offers = [
        sold("shop", "fast-1", traits=thinks),
        sold("beta", "fast-1", traits=plain_),
        sold("acme", "fast-1", traits=plain_),
        sold("acme", "new-9", traits=thinks),
        sold("shop", "new-9"),
        sold("beta", "new-9", traits=plain_),
    ]
    models = load(files(tmp_path, small(offers)), {}).models
    assert {slug: models[slug].attributes["supports_reasoning"] for slug in ("acme/fast-1", "acme/new-9")} == {
        "acme/fast-1": False,
        "acme/new-9": True,
    }
    sellers = {one.provider.slug for one in models["acme/new-9"].endpoints if "reasoning" in one.supported_parameters}
    assert sellers == {"acme", "shop"}


# -- writing ----------------------------------------------------------------------------------------------------------


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.dates(min_value=date(1000, 1, 1)) | st.text("abz:#'\"{}[],&*?|-<>=!%@` 0.yes~", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab?-", min_size=1, max_size=6), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_yaml_reads_back(value: Any) -> None:
    """Whatever is written on one line reads back as itself, with either of PyYAML's parsers."""
    text = f"key: {write.flow(value)}\n"
    assert yaml.safe_load(text) == {"key": value}
    assert yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == {"key": value}


@pytest.mark.parametrize(
    "text", ["0.15", "1e3", "yes", "null", "2026-11-12", "a: b", "gpt:8b", "https://a.example/x?y=z#1", "NO", "~", ""]
)
def test_texts_stay_texts(text: str) -> None:
    """Prices, dates and words of YAML are quoted where they are meant as text."""
    assert yaml.safe_load(f"[{write.scalar(text)}]") == [text]


# -- the inputs that are kept by hand ---------------------------------------------------------------------------------


def test_every_provider_of_modelsdev_is_decided() -> None:
    """Each provider is taken or left out by name, so that a new one stops the build until it has been reviewed."""
    with pytest.raises(inputs.SourceError, match="newcomer"):
        inputs._complete({}, {**modelsdev_source.read(), "newcomer": {}})


def test_hand_kept_files() -> None:
    """Slugs are slugs, patterns compile, and finetunes name a base that the catalogue knows or that is declared as one."""
    providers = inputs._yaml("providers.yaml")
    assert len({row["slug"] for row in providers}) == len(providers)
    for row in providers:
        for pattern in (*(row.get("drop") or ()), *(row.get("only") or ()), row.get("sourced") or ""):
            re.compile(pattern)
        for pattern, usd in (row.get("searches") or {}).items():
            sold = yaml.safe_load((Path("config") / "prices" / f"{row['slug']}.yaml").read_text())
            found = [one for one in sold if re.search(pattern, one["upstream_id"])]
            assert found
            assert all("usd_per_web_search" in one for one in found)
            assert any(one["usd_per_web_search"] == usd for one in found)
        assert not set(row) - {
            *rows.PROVIDER_KEYS, "models_dev", "litellm", "genai", "modes", "drop", "only", "sourced", "curated", "models", "free",
            "note", "price_page", "searches",
        }  # fmt: skip
    slugs = {row["slug"] for row in providers}
    named = inputs._yaml("names.yaml")
    assert {seller for sellers in named["home"].values() for seller in sellers} <= slugs
    spellings = [spelling for listed in named["slugs"].values() for spelling in listed]
    assert len(spellings) == len(set(spellings))
    for rule in inputs._yaml("attributes.yaml")["rules"]:
        assert set(rule["set"]) <= set(attributes.NAMES)
        re.compile(rule["match"])
    for slug, model in inputs._yaml("models.yaml").items():
        assert set(model) <= {
            "name",
            "created",
            "context_length",
            "aliases",
            "description",
            "reasoning",
            "attributes",
        }, slug
        assert set(model.get("attributes") or {}) <= set(attributes.NAMES), slug
    for choice in inputs._yaml("choices.yaml") or ():
        assert choice["provider"] in slugs
        assert choice["why"]
        assert choice.get("drop") or choice["use"] in ("litellm", "models.dev", "genai-prices")


# -- what a refresh would change --------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A catalogue, and one with a dearer price, a new model and one provider less."""
    tiers = ((200_000, {"prompt": Decimal(3)}),)
    dearer = sold("acme", "fast-1", "1.25")
    mine = files(tmp_path, small([sold("acme", "fast-1"), sold("shop", "fast-1")]), "mine")
    theirs = [replace(dearer, rates=replace(dearer.rates, tiers=tiers)), sold("acme", "new-9")]
    return mine, files(tmp_path, small(theirs), "theirs")


def test_compare(two: tuple[Path, Path]) -> None:
    """Providers, models and endpoints that come and go, and prices old → new with the percentage."""
    mine, theirs = (load(path, {}) for path in two)
    changes = compare(mine, theirs)
    assert [(change.what, change.how, change.name) for change in changes if change.what != "price"] == [
        ("provider", "removed", "shop"),
        ("model", "added", "acme/new-9"),
        ("endpoint", "added", "acme/new-9@acme/new-9"),
        ("endpoint", "removed", "shop/fast-1@acme/fast-1"),
    ]
    prices = [change for change in changes if change.what == "price"]
    assert [(one.how, one.detail, one.old, one.new, one.percent) for one in prices] == [
        ("changed", "prompt", "1", "1.25", 25.0),
        ("added", "completion above 200000 prompt tokens", "", "4", None),
        ("added", "prompt above 200000 prompt tokens", "", "3", None),
    ]
    assert compare(mine, mine) == []
    assert list(describe([])) == ["nothing differs"]
    lines = list(describe(changes))
    assert "changed price     acme/fast-1@acme/fast-1  prompt: 1 → 1.25 $/M  +25.00 %" in lines
    assert len(lines) == len(changes) + 1


def test_command(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``catalog diff``: 1 with the list when something differs, 0 when nothing does, 2 when there is nothing to compare."""
    mine, theirs = two
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(mine))
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    runner = CliRunner()
    found = runner.invoke(command.app, ["diff", str(theirs)])
    assert found.exit_code == 1
    assert "+25.00 %" in found.output
    listed = runner.invoke(command.app, ["diff", str(theirs), "--json"])
    assert {change["what"] for change in json.loads(listed.output)["changes"]} == {
        "provider",
        "model",
        "endpoint",
        "price",
    }
    assert runner.invoke(command.app, ["diff", str(mine)]).exit_code == 0
    assert runner.invoke(command.app, ["diff", str(tmp_path / "nowhere")]).exit_code == 2


@pytest.mark.tail
def test_main(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``build`` then ``diff`` with the same list: the first writes a catalogue that loads, the second finds nothing to do."""
    row = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
    }
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"gpt-9-nova": {**row, "max_input_tokens": 131072}}))
    (tmp_path / "config").mkdir()
    given_ = ["--config", str(tmp_path / "config"), "--litellm-json", str(listed), "--as-of", "2026-11-21"]
    assert main(["build", *given_]) == 0
    assert "models" in capsys.readouterr().out
    nova = load(tmp_path / "config", {}).endpoints["openai/gpt-9-nova@openai/gpt-9-nova"]
    assert nova.prices[-1].femto["prompt"] == 150_000_000
    assert main(["diff", *given_]) == 0
    assert capsys.readouterr().out.strip() == "nothing differs"
    listed.write_text(json.dumps({"gpt-9-nova": {**row, "output_cost_per_token": 9e-07, "max_input_tokens": 131072}}))
    assert main(["diff", *given_, "--litellm-day", "2026-11-20"]) == 1
    assert "completion: 0.6 → 0.9 $/M  +50.00 %" in capsys.readouterr().out
