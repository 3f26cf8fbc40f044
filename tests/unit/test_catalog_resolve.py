"""Which model a caller's model name means."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog, provider_names, trigrams
from gateway.catalog.names import family, latest, own_ids, simplified
from gateway.catalog.resolve import unquoted
from gateway.errors import BadRequest
from tests.support.market import endpoint, model, provider

FAST = model(endpoint("a", model="acme/fast-1"), slug="acme/fast-1", aliases=("acme/fast",))
FREE = model(slug="acme/fast-1:free")
SLOW = model(slug="acme/slow-70b")
SLUGS = {each.slug: each for each in (FAST, FREE, SLOW)}
CATALOG = Catalog(
    "v",
    SLUGS,
    {},
    {},
    {"acme/fast": "acme/fast-1"},
    trigrams={slug: trigrams(slug) for slug in SLUGS},
    latest=latest(SLUGS.values()),
    own_ids=own_ids(SLUGS.values()),
)


@pytest.mark.parametrize(
    ("word", "slug", "variant"),
    [
        ("acme/fast-1", "acme/fast-1", None),
        ("acme/fast-1:nitro", "acme/fast-1", "throughput"),
        ("acme/fast-1:floor", "acme/fast-1", "price"),
        ("acme/fast-1:exacto", "acme/fast-1", "exacto"),
        ("acme/fast-1:nitro:exacto", "acme/fast-1", "exacto"),
        ("acme/fast", "acme/fast-1", None),
        ("acme/fast:nitro", "acme/fast-1", "throughput"),
        ("acme/fast-1:free", "acme/fast-1:free", None),
        ("acme/fast-1:free:floor", "acme/fast-1:free", "price"),
        ("acme/fast-1:nitro:free", "acme/fast-1:free", "throughput"),
        ("fast-1", "acme/fast-1", None),
        ("fast-1-20250929", "acme/fast-1", None),
        ("acme/fast-1@20250929", "acme/fast-1", None),
        ("fast-1[1m]:floor", "acme/fast-1", "price"),
        ("~acme/slow-70b-latest", "acme/slow-70b", None),
        ("~acme/fast-latest:nitro", "acme/fast-1", "throughput"),
    ],
)
def test_resolve(word: str, slug: str, variant: str | None) -> None:
    """Slugs, aliases, suffixes that route, and suffixes that are rows of their own."""
    found, suffix = CATALOG.resolve(word)
    assert (found.slug, suffix) == (slug, variant)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("acme/fsat-1", "acme/fast-1"),
        ("ACME/FAST-1", "acme/fast-1"),
        ("acme/fast-1:nitor", "acme/fast-1"),
        ("acme/slow-70", "acme/slow-70b"),
    ],
)
def test_unknown_is_answered_with_the_nearest(word: str, near: str) -> None:
    """A slug must be exact; a near one is suggested, with the contract's availability code."""
    with pytest.raises(BadRequest) as caught:
        CATALOG.resolve(word)
    error = caught.value.envelope()["error"]
    assert error["code"] == 400
    assert error["message"].startswith(f"{word} is not a valid model ID. Did you mean ")
    assert error["metadata"]["field"] == "model"
    assert error["availability"]["code"] == "model_not_found"
    assert error["availability"]["retryable"] is False
    assert error["availability"]["requested_models"] == [word]
    assert error["availability"]["fallback_models"][0] == near


@pytest.mark.parametrize("word", ["", ":", "::nitro", "zzz/qqq", "x" * 1_000_000, "\ud800", "a/b\x00", "/"])
def test_junk_is_cut_and_answered(word: str) -> None:
    """Whatever a caller writes is a 400 of bounded size."""
    with pytest.raises(BadRequest) as caught:
        CATALOG.resolve(word)
    assert "is not a valid model ID" in caught.value.message
    assert len(caught.value.message) < 400


@given(st.text(max_size=60))
def test_resolve_answers_or_refuses(word: str) -> None:
    """Every name is either resolved or refused."""
    try:
        found, variant = CATALOG.resolve(word)
    except BadRequest:
        assert word not in SLUGS
    else:
        assert found in SLUGS.values()
        assert variant in (None, "nitro", "floor")


def test_provider_names() -> None:
    """A provider is found by slug, tag and display name in any case; a slug is never shadowed by another's display name."""
    moon, acme = provider("moonshotai", name="Moonshot AI"), provider("acme", name="MoonshotAI")
    turbo = dataclasses.replace(endpoint(moon), tag="moonshotai/turbo")
    assert provider_names([moon, acme], [turbo]) == {
        "moonshot ai": "moonshotai",
        "moonshotai": "moonshotai",
        "moonshotai/turbo": "moonshotai/turbo",
        "acme": "acme",
    }


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("anthropic/claude-opus-4.8", "anthropic/claude-opus"),
        ("anthropic/claude-3.5-sonnet", "anthropic/claude-sonnet"),
        ("openai/gpt-5-mini", "openai/gpt-mini"),
        ("openai/gpt-4o", "openai/gpt"),
        ("moonshotai/kimi-k2.5", "moonshotai/kimi"),
        ("google/gemini-3-flash-preview", "google/gemini-flash"),
        ("meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-70b-instruct"),
    ],
)
def test_family(slug: str, expected: str) -> None:
    """Versions and dates do not make a family, sizes do."""
    assert family(slug) == expected


def test_the_latest_is_the_newest_that_can_be_called() -> None:
    """A newer model without a configured vendor does not take the name away from an older one that works."""
    usable, lacking = provider("a"), dataclasses.replace(provider("b"), lacking=("B_API_KEY",))
    models = [
        dataclasses.replace(
            model(endpoint(each, model=f"acme/chat-{number}"), slug=f"acme/chat-{number}"),
            created=date(2026, number, 1),
        )
        for number, each in enumerate((usable, usable, lacking), 1)
    ]
    assert latest(models) == {"~acme/chat-latest": "acme/chat-2"}
    assert latest(models[2:]) == {"~acme/chat-latest": "acme/chat-3"}


@pytest.mark.parametrize("written", ["sk-1", " sk-1\n", '"sk-1"', "'sk-1'", '"sk-1"\r\n', '" sk-1 "'])
def test_secrets_of_the_environment(written: str) -> None:
    """Blanks, newlines and quotes around a key come from shells and .env files, never from a vendor."""
    assert unquoted(written) == "sk-1"


def test_an_id_of_two_authors_means_neither() -> None:
    """Only what is certain is resolved without an author."""
    models = [model(slug="a/same-1"), model(slug="b/same-1"), model(slug="b/other-1.5")]
    assert own_ids(models) == {simplified("other-1.5"): "b/other-1.5"}
