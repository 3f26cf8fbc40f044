"""Facts of models for analytics, with the colours and descriptions made of them: shipped files, rules, own folders, bad rows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gateway.catalog.attributes import AttributeTable, size_class
from gateway.catalog.catalog import Catalog
from gateway.catalog.colors import LEAST_DISTANCE, OTHERS, distance, gaps, oklch, palette
from gateway.catalog.descriptions import describe, descriptions
from gateway.catalog.folders import fingerprint
from gateway.catalog.load import CatalogError, load
from gateway.catalog.selection import Filter, Row, rows
from gateway.cli.demo.year.targets import LAST_WEEK, named_models
from tests.support.management import write_files

pytestmark = pytest.mark.xdist_group("shipped")  # one process loads the catalogue, not all
CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped catalogue."""
    return load(CONFIG, {})


@pytest.fixture(scope="module")
def table(catalog: Catalog) -> AttributeTable:
    return catalog.attributes


# slug, origin, size class, counted as a reasoning model: the models of the synthetic year, and their neighbours
YEAR = [
    ("google/gemini-2.0-flash-001", "closed", None, False),
    ("google/gemini-2.5-flash", "closed", None, True),
    ("google/gemini-2.5-pro", "closed", None, True),
    ("google/gemini-flash-1.5", "closed", None, False),
    ("google/gemini-2.5-flash-lite", "closed", None, False),
    ("openai/gpt-4.1-mini", "closed", None, False),
    ("openai/gpt-4o-mini", "closed", None, False),
    ("openai/gpt-4o", "closed", None, False),
    ("openai/gpt-5", "closed", None, True),
    ("openai/o-series", "closed", None, True),
    ("anthropic/claude-3.5-sonnet", "closed", None, False),
    ("anthropic/claude-3.7-sonnet", "closed", None, False),
    ("anthropic/claude-sonnet-4", "closed", None, False),
    ("anthropic/claude-sonnet-4.5", "closed", None, True),
    ("anthropic/claude-opus-4.5", "closed", None, True),
    ("x-ai/grok-code-fast-1", "closed", None, True),
    ("x-ai/grok-4-fast", "closed", None, True),
    ("deepseek/deepseek-chat", "chinese_oss", "large", False),
    ("deepseek/deepseek-r1", "chinese_oss", "large", True),
    ("deepseek/deepseek-chat-v3-0324", "chinese_oss", "large", False),
    ("deepseek/deepseek-chat-v3.1", "chinese_oss", "large", False),
    ("qwen/qwen-2.5-coder-32b-instruct", "chinese_oss", "medium", False),
    ("qwen/qwen3-coder", "chinese_oss", "large", False),
    ("qwen/qwen3-235b-a22b-07-25", "chinese_oss", "large", False),
    ("qwen/qwen3-30b-a3b", "chinese_oss", "medium", True),
    ("qwen/other-medium", "chinese_oss", "medium", False),
    ("moonshotai/kimi-k2", "chinese_oss", "large", False),
    ("z-ai/glm-4.5", "chinese_oss", "large", True),
    ("z-ai/glm-4.6", "chinese_oss", "large", True),
    ("minimax/minimax-m2", "chinese_oss", "large", True),
    ("tngtech/deepseek-r1t2-chimera", "other_oss", "large", True),
    ("meta-llama/llama-3.x-small", "other_oss", "small", False),
    ("meta-llama/llama-3.3-70b", "other_oss", "large", False),
    ("meta-llama/llama-4-maverick", "other_oss", "large", False),
    ("mistralai/mistral-nemo", "other_oss", "small", False),
    ("mistralai/mistral-small-3", "other_oss", "medium", False),
    ("openai/gpt-oss-120b", "other_oss", "large", True),
    ("openai/gpt-oss-20b", "other_oss", "medium", True),
    ("google/gemma", "other_oss", "small", False),
    ("sao10k/l3-lunaris-8b", "other_oss", "small", False),  # nobody's lab: open, and not Chinese
    ("sim/echo", "unknown", None, None),
    ("nobody/knows-9b", "unknown", "small", None),
    ("meta/muse-spark-1.1", "closed", None, True),
]


@pytest.mark.parametrize(("slug", "origin", "size", "reasoning"), YEAR)
def test_counted_as(table: AttributeTable, slug: str, origin: str, size: str | None, reasoning: bool | None) -> None:
    """Unknown is neither closed nor small; the models of studies have all that these count by."""
    facts = table.of(slug)
    assert facts.origin == origin
    assert facts.reasoning_model is reasoning
    if origin != "closed":
        assert facts.size_class == size


def test_shipped_facts_agree(catalog: Catalog) -> None:
    """Every author has a row, and it alone tells who that is; sizes and days are possible; no name is empty."""
    for model in catalog.models.values():
        facts, namespace = catalog.attributes.of(model.slug), model.slug.partition("/")[0]
        author = catalog.attributes.author(namespace)
        assert author.slug in catalog.attributes.authors
        assert not {"author", "owner_type", "lab_country"} & model.attributes.keys(), model.slug
        assert facts.author_name
        assert (facts.params_active_b or 0) <= (facts.params_total_b or 10**6), model.slug
        assert facts.released is None or facts.released <= date(2026, 11, 30)
    assert sum(facts.origin == "unknown" for facts in catalog.attributes) < 40


def test_no_tier_by_substring(table: AttributeTable) -> None:
    """``mini`` is part of ``gemini`` and ``minimax``."""
    tiers = {
        slug: table.of(slug).tier for slug in ("google/gemini-2.5-pro", "minimax/minimax-m2", "openai/gpt-4.1-mini")
    }
    assert tiers == {
        "google/gemini-2.5-pro": "flagship",
        "minimax/minimax-m2": "flagship",
        "openai/gpt-4.1-mini": "mini",
    }


def test_authors_and_variants(table: AttributeTable) -> None:
    """``meta`` counts as ``meta-llama``; a free variant has its model's facts; a listing's day is no release day."""
    assert table.of("meta/muse-spark-1.1").author == table.of("meta-llama/llama-4-maverick").author == "meta-llama"
    free = table.of("deepseek/deepseek-r1:free")
    assert (free.family, free.free_variant, free.origin) == ("deepseek-r1", True, "chinese_oss")
    assert table.of("deepseek/deepseek-r1").free_variant is False
    assert table.of("voyage/voyage-4").released is None
    assert table.of("voyage/voyage-3.5").released == date(2025, 5, 20)


def test_history_is_not_rewritten(table: AttributeTable) -> None:
    """A fact that changed has the value of the day that is asked for."""
    day = date(2025, 8, 23)
    assert table.of("x-ai/grok-2", date(2025, 8, 22)).origin == "closed"
    assert table.of("x-ai/grok-2", day).origin == "other_oss"
    assert table.of("x-ai/grok-2", day).licence == "grok-2"


@pytest.mark.parametrize(
    ("billions", "name"),
    [(None, None), (0.1, "small"), (14.9, "small"), (15, "medium"), (69.9, "medium"), (70, "large")],
)
def test_size_classes(billions: float | None, name: str | None) -> None:
    """The limits of the study; by parameters at work a sparse model is smaller."""
    assert size_class(billions) == name


def test_active_size(table: AttributeTable) -> None:
    """The second view of sizes."""
    assert table.of("openai/gpt-oss-120b").active_size_class == "small"
    assert table.of("meta-llama/llama-3.3-70b-instruct").active_size_class == "large"


# -- an operator's folder ---------------------------------------------------------------------------------------------


def _loaded(tmp_path: Path, own: dict[str, str]) -> Catalog:
    folders = [write_files(tmp_path / "base", "http://127.0.0.1:1/v1"), tmp_path / "own"]
    for name, text in own.items():
        path = folders[1] / "attributes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load(folders, {})


def test_own_folder(tmp_path: Path) -> None:
    """An operator's rows lie over what is known, field by field, and are listed as overrides."""
    catalog = _loaded(
        tmp_path,
        {
            "authors.yaml": "- {slug: acme, name: Acme Inc, country: DE, owner_type: lab, aliases: [zeta]}",
            "models.yaml": '- {slug: acme/fast-1, tier: fast, open_weights: true, color: "#123456"}\n'
            "- {slug: acme/gone-0-8x7b, name: Gone, released: 2024-01-01}",
        },
    )
    fast, free, gone = (catalog.attributes.of(f"{slug}") for slug in ("acme/fast-1", "zeta/free-3", "acme/gone-0-8x7b"))
    assert (fast.tier, fast.origin, fast.author_name) == ("fast", "other_oss", "Acme Inc")
    assert (free.author, free.open_weights, free.supports_tools) == ("acme", None, False)
    assert (gone.name, gone.params_total_b) == ("Gone", None)
    assert palette(catalog).model("acme/fast-1") == "#123456"
    assert catalog.version != load(tmp_path / "base", {}).version  # so that a reload puts it in force
    watched = [path for path, _, _ in fingerprint([tmp_path / "own"])]
    assert str(tmp_path / "own" / "attributes" / "authors.yaml") in watched
    assert {(one.what, one.name) for one in catalog.overrides} == {
        ("author", "acme"), ("attributes", "acme/fast-1"), ("attributes", "acme/gone-0-8x7b"),
    }  # fmt: skip


BAD = [
    ("models.yaml", "- {slug: acme/fast-1, tier: flahship}", r"models.yaml: \[0\].tier: input should be 'flagship'"),
    (
        "models.yaml",
        "- {slug: acme/fast-2}",
        r"\[0\].slug: no model is called 'acme/fast-2'; did you mean 'acme/fast-1'\?",
    ),
    ("models.yaml", "- {slug: acme/fast-1, licens: mit}", r"\[0\].licens: unknown key; did you mean 'licence'\?"),
    ("models.yaml", "- {slug: acme/fast-1, color: red}", r"\[0\].color: "),
    ("models.yaml", "- {slug: acme/fast-1, params_total_b: -1}", r"\[0\].params_total_b: "),
    ("models.yaml", "- {slug: acme/fast-1, open_weights: 'yes'}", r"\[0\].open_weights: "),
    ("models.yaml", "- {slug: acme/fast-1, released: soon}", r"\[0\].released: "),
    ("models.yaml", "- {slug: acme/fast-1, changes: [{open_weights: true}]}", r"\[0\].changes\[0\].from: is missing"),
    ("models.yaml", "- {slug: acme/fast-1}\n- {slug: acme/fast-1}", r"\[1\].slug: 'acme/fast-1' is written twice"),
    (
        "models.yaml",
        "- {slug: acme/fast-1, aliases: [acme/slow-2]}",
        r"\[0\].aliases\[0\]: .* already means acme/slow-2",
    ),
    ("models.yaml", "- 7", r"\[0\]: must be a mapping"),
    ("authors.yaml", "- {slug: acme}", r"authors.yaml: \[0\].name: is missing"),
    ("authors.yaml", "- {slug: acme, name: A, country: Germany}", r"\[0\].country: "),
    (
        "authors.yaml",
        "- {slug: acme, name: A, aliases: [zed]}\n- {slug: zed, name: Z}",
        r"\[0\].aliases\[0\]: 'zed' already",
    ),
    (
        "releases.yaml",
        "- {id: x, label: X, day: 2025-01-01, source: s, model: acme/no-1}",
        r"\[0\].model: no model is called",
    ),
    ("releases.yaml", "- {id: x, label: X, day: soon, source: s}", r"\[0\].day: "),
    ("licences.yaml", "- {slug: acme}", r"licences.yaml: is not read; attributes has authors.yaml, models.yaml"),
    ("models.yml", "- {slug: acme/fast-1}", r"models.yml: is not read; rename it to models.yaml"),
]


@pytest.mark.parametrize(("file", "text", "message"), BAD)
def test_bad_rows(tmp_path: Path, file: str, text: str, message: str) -> None:
    """A bad row is refused by file and key, with what would fix it."""
    with pytest.raises(CatalogError, match=message):
        _loaded(tmp_path, {file: text})


def test_bad_attributes_of_a_models_own_row(tmp_path: Path) -> None:
    """The facts in a model's row are checked too; keys of one's own are allowed there."""
    own = tmp_path / "own" / "models"
    own.mkdir(parents=True)
    (own / "acme.yaml").write_text("- {slug: acme/fast-1, attributes: {tier: best, shelf: 7}}")
    with pytest.raises(CatalogError, match=r"own/models/acme.yaml: \[0\].attributes.tier: input should be") as caught:
        _loaded(tmp_path, {})
    assert "shelf" not in str(caught.value)


# -- colours ----------------------------------------------------------------------------------------------------------

SEEDS = {
    "google/gemini-2.5-flash": "#F472B6",
    "google/gemini-2.0-flash-001": "#EF6A6A",
    "openai/gpt-4.1-mini": "#F59E0B",
    "qwen/qwen3-30b-a3b": "#FACC15",
    "x-ai/grok-code-fast-1": "#3B82F6",
    "anthropic/claude-sonnet-4": "#D97757",
    "deepseek/deepseek-chat-v3-0324": "#0F9D94",
    "deepseek/deepseek-chat-v3.1": "#2DD4BF",
}


def test_familiar_colours(catalog: Catalog) -> None:
    """The eight that charts of 2025 have made familiar, by alias and variant too; Others are grey (T35)."""
    colors = palette(catalog)
    assert {slug: colors.color("model", slug) for slug in SEEDS} == SEEDS
    assert colors.model("qwen/qwen3-30b-a3b:free") == "#FACC15"
    assert colors.model("deepseek/deepseek-v3-0324") == "#0F9D94"
    assert colors.color("model", "others") == OTHERS == "#9CA3AF"
    assert [colors.color("origin", key) for key in ("closed", "chinese_oss", "other_oss")] == [
        "#7F1D1D",
        "#F97316",
        "#14B8A6",
    ]


def test_every_colour(catalog: Catalog) -> None:
    """Every model, author and family has one, the same when asked again; models that follow each other differ."""
    colors = palette(catalog)
    for kind, keys in (
        ("model", [facts.slug for facts in catalog.attributes] + ["nobody/x", "nobody/x:free", "💩"]),
        ("author", [*catalog.attributes.authors, "meta", "nobody"]),
        ("family", [facts.family or "none" for facts in catalog.attributes]),
        ("tier", ["mini"]),
    ):
        for key in keys:
            found = colors.color(kind, key)
            assert re.fullmatch("#[0-9A-F]{6}", found)
            assert colors.color(kind, key) == found
    assert colors.color("author", "meta") == colors.color("author", "meta-llama")
    newest = sorted(
        (facts for facts in catalog.attributes if facts.author == "qwen" and facts.released),
        key=lambda x: (x.released, x.slug),
    )
    steps = [colors.model(facts.slug) for facts in newest if facts.color is None]
    assert sum(gaps(steps)) <= len(steps) // 20


@pytest.mark.parametrize(
    ("colors", "flags"),
    [
        ((), ()),
        (("#3B82F6",), (False,)),
        (("#3B82F6", "#3B82F6"), (False, True)),
        (("#3B82F6", "#3B86F6", "#FACC15"), (False, True, False)),
        (("#000000", "#FFFFFF"), (False, False)),
    ],
)
def test_gaps(colors: tuple[str, ...], flags: tuple[bool, ...]) -> None:
    """Neighbours that are nearer than 15 in CIELAB are flagged."""
    assert gaps(colors) == flags


def test_distance() -> None:
    """Known values: black to white is 100; pure red, green and blue as in CIELAB (D65)."""
    assert distance("#000000", "#FFFFFF") == pytest.approx(100, abs=0.01)
    assert distance("#FF0000", "#00FF00") == pytest.approx(170.6, abs=0.1)
    assert distance(*("#3B82F6", "#2DD4BF")) > LEAST_DISTANCE
    assert distance(oklch(0.628, 0.2577, 29.23), "#FF0000") < 5
    assert oklch(1, 0.3, 200) == "#FFFFFF"


# -- descriptions -----------------------------------------------------------------------------------------------------

MARKETING = re.compile(
    r"\b(best|powerful|state-of-the-art|cutting|leading|advanced|most|frontier|seamless|unmatched)\b", re.I
)


def test_every_description(catalog: Catalog) -> None:
    """Every shipped model has one factual sentence; one that its row has is left as it is."""
    found = descriptions(catalog, date(2026, 11, 30))
    assert found.keys() == catalog.models.keys()
    for slug, text in found.items():
        model = catalog.models[slug]
        if model.description:
            assert text == model.description
            continue
        assert text.startswith(model.name), slug
        assert re.fullmatch(r"\S.*[^ .]\.", text), text
        assert len(text) <= 300, text
        assert "None" not in text, text
        assert not re.search(r"  | [,;.]|,,|;,|\.\.|\ba [aeiou]|\ban [^aeiou]|[{}\[\]]", text), text
        assert not MARKETING.search(text.removeprefix(model.name)), text
        assert not ("closed-weight" in text and "licence" in text), text
    assert descriptions(catalog, date(2026, 11, 30)) is found


DESCRIBED = [
    (
        "qwen/qwen3-30b-a3b",
        "Qwen3 30B A3B is an open-weight reasoning model by Qwen, of the mini tier of the qwen3 family, with 30.5B parameters, 3.3B of "
        "them active, released in April 2025 under the Apache 2.0 licence; it takes text, makes text and reads up to 129,024 tokens",
    ),
    (
        "google/gemma-3-4b-it",
        "Gemma 3 4B is an open-weight language model by Google, of the mini tier of the gemma family, with 4B parameters, released in "
        "March 2025 under the Gemma licence; it takes text and images, makes text and reads up to 128,000 tokens",
    ),
    (
        "openai/gpt-image-2",
        "GPT Image 2 is a closed-weight image model by OpenAI, of the gpt-image family, released in April 2026; it takes text, images "
        "and files and makes images",
    ),
    (
        "voyage/voyage-3-large",
        "Voyage 3 Large is a closed-weight embedding model by Voyage AI, of the voyage family, released in January 2025; it takes text, "
        "makes embeddings and reads up to 32,000 tokens, at a price above the median of embedding models",
    ),
]


@pytest.mark.parametrize(("slug", "beginning"), DESCRIBED)
def test_described(catalog: Catalog, slug: str, beginning: str) -> None:
    """What is known is said, what is not known is left out."""
    assert descriptions(catalog, date(2026, 11, 30))[slug].startswith(beginning)


def test_long_names_are_cut(catalog: Catalog) -> None:
    """A sentence stays one, and short, whatever the row's name is."""
    model = catalog.models["qwen/qwen3-30b-a3b"]
    for name in ("x" * 200, "two  blanks ", "Ends with a stop.", "Q" * 90):
        text = describe(replace(model, name=name), catalog.attributes.of(model.slug), ", free of charge")
        assert len(text) <= 300
        assert re.fullmatch(r"\S+( \S+)*[^.]\.", text), text


def test_lists_filter_by_author_and_region(catalog: Catalog) -> None:
    """``meta`` and ``meta-llama`` are one author; ``eu`` is all its countries."""
    now = datetime(2026, 11, 30, tzinfo=UTC).timestamp()

    def found(**filters: str) -> list[Row]:
        return rows(catalog.models.values(), Filter(**filters), now, catalog.attributes)

    by_author = {name: [row.model.slug for row in found(model_authors=name)] for name in ("meta", "meta-llama", "qwen")}
    assert by_author["meta"] == by_author["meta-llama"]
    assert {slug.partition("/")[0] for slug in by_author["meta"]} == {"meta", "meta-llama"}
    assert len(found(region="fr")) < len(found(region="eu")) < len(found())
    assert {row.model.slug for row in found(region="DE")} <= {row.model.slug for row in found(region="EU")}


def test_models_of_the_synthetic_year_are_counted_as_it_counts_them(catalog: Catalog) -> None:
    """Origin, size and reasoning of its named models. It has the Qwen3 235B of July among those that reason, as its source has."""
    differing = set()
    for model, _ in named_models():
        known = catalog.attributes.of(model.slug, LAST_WEEK)
        assert (known.origin, known.size_class) == (model.origin, model.size), model.slug
        if known.reasoning_model != model.reasoning:
            differing.add(model.slug)
    assert differing == {"qwen/qwen3-235b-a22b-07-25"}
