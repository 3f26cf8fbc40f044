"""Which model a caller's model name means."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog, provider_names, trigrams
from gateway.errors import BadRequest
from tests.support.market import endpoint, model, provider

FAST = model(endpoint("a", model="acme/fast-1"), slug="acme/fast-1", aliases=("acme/fast",))
FREE = model(slug="acme/fast-1:free")
SLOW = model(slug="acme/slow-70b")
SLUGS = {each.slug: each for each in (FAST, FREE, SLOW)}
CATALOG = Catalog("v", SLUGS, {}, {}, {"acme/fast": "acme/fast-1"}, trigrams={slug: trigrams(slug) for slug in SLUGS})


@pytest.mark.parametrize(
    ("word", "slug", "variant"),
    [
        ("acme/fast-1", "acme/fast-1", None),
        ("acme/fast-1:nitro", "acme/fast-1", "nitro"),
        ("acme/fast-1:floor", "acme/fast-1", "floor"),
        ("acme/fast", "acme/fast-1", None),
        ("acme/fast:nitro", "acme/fast-1", "nitro"),
        ("acme/fast-1:free", "acme/fast-1:free", None),
        ("acme/fast-1:free:floor", "acme/fast-1:free", "floor"),
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
        ("fast-1", "acme/fast-1"),
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
