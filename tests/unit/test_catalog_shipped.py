"""The catalogue that comes with the repository."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.schema import texts
from gateway.settings import Settings
from providers import registry
from tools.catalog.choose import same
from tools.catalog.oracle import Oracle
from tools.catalog.price_rows import Rates

pytestmark = pytest.mark.xdist_group("shipped")  # one process loads the catalogue, not all
CONFIG = Path(__file__).resolve().parents[2] / "config"
VENDORS = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "xai": "XAI_API_KEY",
    "groq": "GROQ_API_KEY",
    "together": "TOGETHER_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "moonshotai": "MOONSHOT_API_KEY",
    "alibaba": "DASHSCOPE_API_KEY",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Loaded once, as at a start without any key."""
    return load(CONFIG, {})


def test_loads_without_warnings(catalog: Catalog) -> None:
    """Every shipped endpoint has a price and every price an endpoint."""
    assert catalog.warnings == ()
    assert sum(bool(model.endpoints) for model in catalog.models.values()) >= 500
    assert len({endpoint.provider.slug for endpoint in catalog.endpoints.values()}) >= 80


@pytest.mark.parametrize(("slug", "variable"), VENDORS.items())
def test_vendor(catalog: Catalog, slug: str, variable: str) -> None:
    """Each promised vendor is switched on by its variable, over TLS, and sells something with a sourced price."""
    vendor = catalog.providers[slug]
    assert vendor.api_key_env == variable
    assert urlsplit(vendor.base_url).scheme == "https"
    assert not vendor.usable
    sold = [endpoint for endpoint in catalog.endpoints.values() if endpoint.provider.slug == slug]
    assert sold
    for endpoint in sold:
        assert endpoint.prices[-1].source.startswith("https://")
        assert any(endpoint.prices[-1].femto.values())


STUDIED = [
    "google/gemini-2.5-flash",
    "google/gemini-2.5-pro",
    "openai/gpt-4.1-mini",
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "openai/gpt-5",
    "openai/gpt-5-pro",
    "openai/gpt-oss-120b",
    "openai/gpt-oss-20b",
    "anthropic/claude-sonnet-4",
    "anthropic/claude-sonnet-4.5",
    "anthropic/claude-opus-4.5",
    "anthropic/claude-3.7-sonnet",
    "anthropic/claude-3.5-sonnet",
    "deepseek/deepseek-chat",
    "deepseek/deepseek-chat-v3-0324",
    "deepseek/deepseek-chat-v3.1",
    "deepseek/deepseek-r1",
    "qwen/qwen3-30b-a3b",
    "qwen/qwen3-coder",
    "qwen/qwen3-235b-a22b-07-25",
    "qwen/qwen-2.5-coder-32b-instruct",
    "qwen/qwen-2.5-72b-instruct",
    "x-ai/grok-code-fast-1",
    "moonshotai/kimi-k2",
    "z-ai/glm-4.5",
    "z-ai/glm-4.6",
    "minimax/minimax-m2",
    "tngtech/deepseek-r1t2-chimera",
    "meta-llama/llama-3-70b-instruct",
    "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/llama-3.3-70b-instruct",
    "meta-llama/llama-4-maverick",
    "mistralai/mistral-nemo",
    "mistralai/mistral-small-3",
    "google/gemma-3-27b-it",
]
ENDED = ["google/gemini-2.0-flash", "openai/o1", "x-ai/grok-4-fast"]
"""Models of the same study that no vendor sells any more. They stay listed, as old records name them."""


@pytest.mark.parametrize("slug", STUDIED + ENDED)
def test_studied_model(catalog: Catalog, slug: str) -> None:
    """The models of usage studies are known by their slug, with the attributes that analytics counts by."""
    model = catalog.models[catalog.aliases.get(slug, slug)]
    assert bool(model.endpoints) is (slug not in ENDED)
    facts = catalog.attributes.of(slug)
    assert facts.slug == model.slug
    assert None not in (facts.family, facts.tier, facts.owner_type, facts.open_weights)
    assert facts.lab_country is not None or facts.owner_type == "community"
    if facts.open_weights:
        assert facts.params_total_b is not None


def test_one_model_many_sellers(catalog: Catalog) -> None:
    """A model under fifteen spellings is one model, sold once by each, at prices of one order of magnitude."""
    model = catalog.models["deepseek/deepseek-v3.2"]
    tags = [endpoint.tag for endpoint in model.endpoints]
    assert len(tags) >= 15
    assert len(set(tags)) == len(tags)
    assert len({endpoint.upstream_id for endpoint in model.endpoints}) >= 5
    prices = [endpoint.prices[-1].femto["prompt"] for endpoint in model.endpoints]
    assert max(prices) < 20 * min(prices)


def test_prices_are_possible(catalog: Catalog) -> None:
    """Nothing is free but what says why; no token costs a thousand dollars a million; longer prompts are not cheaper."""
    for endpoint in catalog.endpoints.values():
        price = endpoint.prices[-1]
        free = not any(price.femto.values())
        assert free == price.source.startswith("a model of one's own machine") or endpoint.provider.slug.startswith(
            "sim"
        )
        assert all(femto <= 1000 * 10**9 for kind, femto in price.femto.items() if kind in ("prompt", "completion"))
        for _, tier in price.tiers:
            assert tier.femto["prompt"] >= price.femto["prompt"], endpoint.id


def test_what_is_made_can_be_billed(catalog: Catalog) -> None:
    """A model that makes pictures, speech or vectors has the price of what its vendor counts, and only once."""
    counted = {
        "embeddings": {"prompt"},
        "rerank": {"prompt", "search_unit"},
        "speech": {"character", "audio_output", "completion"},
        "transcription": {"audio_ms", "audio", "prompt"},
    }
    seen = set()
    for model in catalog.models.values():
        for endpoint in model.endpoints:
            femto = endpoint.prices[-1].femto
            for made in set(model.output_modalities) & counted.keys():
                seen.add(made)
                assert any(femto.get(kind) for kind in counted[made]), endpoint.id
                assert not (femto.get("character") and femto["prompt"]), endpoint.id
            assert not (femto.get("image_output") and femto.get("image_output_token")), endpoint.id
    assert seen == counted.keys()


SEARCHES: tuple[dict[str, str], ...] = (
    {"type": "web_search"},
    {"type": "web_search_preview"},
    {"type": "web_search_20250305", "name": "web_search"},
    {"type": "google_search"},
)
"""A web search as a tool, in the words of each vendor."""


def test_what_searches_has_a_price_for_it(catalog: Catalog) -> None:
    """A search is billed by the piece: whoever would run one, as a tool or by ``web_search_options``, says what it costs."""
    unpriced = []
    for endpoint in catalog.endpoints.values():
        if endpoint.options.get("reports_cost") or "chat" not in registry.operations(endpoint.dialect):
            continue
        dialect = registry.dialect(endpoint.dialect, "chat")
        accepted = endpoint.supported_parameters | dialect.decides
        as_tool = "tools" in accepted and any(dialect.hosts(tool, endpoint.options) for tool in SEARCHES)
        if (as_tool or "web_search_options" in accepted) and not all(
            price.of("web_search") for price in endpoint.prices
        ):
            unpriced.append(endpoint.id)
    assert unpriced == []


def test_only_vendors_that_were_set_up_are_usable(catalog: Catalog) -> None:
    """Without any variable set only the demo's own servers are usable: neither a cloud nor a local Ollama."""
    usable = {provider.slug for provider in catalog.providers.values() if provider.usable}
    assert usable <= {slug for slug in catalog.providers if slug.startswith(("sim-", "local-"))}
    for provider in catalog.providers.values():
        if provider.slug not in ("ollama",) and not provider.slug.startswith(("sim-", "local-")):
            assert provider.base_url.startswith("https://")


def test_one_variable_one_account(catalog: Catalog) -> None:
    """No two vendors share a key variable: setting one would send the other a key that it does not know."""
    named = [
        provider.api_key_env
        for provider in catalog.providers.values()
        if not provider.slug.startswith(("sim-", "local-"))
    ]
    given = [name for name in named if name]
    assert len(given) == len(set(given))


def test_third_opinion(catalog: Catalog) -> None:
    """genai-prices agrees with each shipped price, or the page of disagreements lists the endpoint; most agree."""
    rows = yaml.safe_load((CONFIG.parent / "tools/catalog/providers.yaml").read_text())
    known = {row["slug"]: row["genai"] for row in rows if "genai" in row}
    page = (CONFIG.parent / "docs/catalog-disagreements.md").read_text()
    oracle = Oracle("2026-11-12")
    agreed = 0
    for endpoint in catalog.endpoints.values():
        opinion = oracle.rates(known.get(endpoint.provider.slug), endpoint.upstream_id)
        if opinion is None or "completion" not in endpoint.prices[-1].femto or endpoint.operations == frozenset():
            continue
        femto = endpoint.prices[-1].femto
        ours = Rates({kind: Decimal(femto[kind]) / 10**9 for kind in ("prompt", "completion") if kind in femto})
        if same(ours, opinion):
            agreed += 1
        elif catalog.models[endpoint.model].output_modalities[-1] == "text":
            assert f"{endpoint.provider.slug} `{endpoint.upstream_id}`" in page
    assert agreed > 300


@pytest.mark.parametrize("name", texts())
def test_schemas_in_step(name: str) -> None:
    """The schemas for editors are those of the rows; ``python -m gateway.catalog.schema config`` writes them anew."""
    assert (CONFIG / "schema" / name).read_text() == texts()[name]


def test_schema_header_points_to_a_schema() -> None:
    """A file that names its schema names an existing one."""
    named = 0
    for path in CONFIG.glob("*/*.yaml"):
        first = path.read_text().splitlines()[0]
        if first.startswith("# yaml-language-server: $schema="):
            json.loads((path.parent / first.partition("=")[2]).read_text())
            named += 1
    assert named > 200


def test_gateway_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings file parses as it is, and each line in it shows the true default when uncommented."""
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(CONFIG))
    assert Settings() == Settings(config_dir=CONFIG)
    lines = (CONFIG / "gateway.yaml").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines if re.match(r"# [a-z_]+: ", line))
    shown = yaml.safe_load(text)
    assert len(shown) >= 12
    (tmp_path / "gateway.yaml").write_text(text)
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(tmp_path))
    read = Settings()
    for name in shown.keys() - {"redis_url"}:
        assert getattr(read, name) == Settings.model_fields[name].default
