"""How much a caller wants a model to think: the contract's forms, ratios and neighbours, read in one place for every dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import effort

WORDS = st.sampled_from(effort.EFFORTS)


@pytest.mark.parametrize(
    ("body", "wanted", "on"),
    [
        ({}, (None, None), None),
        ({"reasoning": None}, (None, None), None),
        ({"reasoning": {}}, (None, None), True),
        ({"reasoning": {"exclude": True}}, (None, None), True),
        ({"include_reasoning": True}, (None, None), True),
        ({"include_reasoning": False}, (None, None), None),
        ({"reasoning": {"enabled": True}}, ("medium", None), True),
        ({"reasoning": {"enabled": False}}, ("none", None), False),
        ({"reasoning": {"enabled": False, "effort": "high"}}, ("none", None), False),
        ({"reasoning": {"effort": "none"}}, ("none", None), False),
        ({"reasoning": {"effort": "none", "enabled": True}}, ("none", None), False),
        ({"reasoning": {"effort": "xhigh"}}, ("xhigh", None), True),
        ({"reasoning_effort": "minimal"}, ("minimal", None), True),
        ({"reasoning_effort": "none"}, ("none", None), False),
        ({"reasoning": {"max_tokens": 700}}, (None, 700), True),
        ({"reasoning": {"max_tokens": 0}}, ("none", None), False),
        ({"reasoning": {"max_tokens": True}}, (None, None), True),
        ({"reasoning": {"effort": "enormous"}}, ("medium", None), True),
        ({"reasoning": {"effort": ["high"]}}, ("medium", None), True),
        ({"reasoning": "high"}, (None, None), None),
    ],
)
def test_every_form_of_effort(body: dict[str, Any], wanted: tuple[str | None, int | None], on: bool | None) -> None:
    """An effort, tokens, on and off, and the shorthands; "on" alone means medium, as does an unknown word."""
    assert (effort.requested_effort(body), effort.requested(body)) == (wanted, on)


def test_what_plainly_on_means_is_the_dialects() -> None:
    """A vendor that only knows on and off gets no effort that the caller did not request."""
    assert effort.requested_effort({"reasoning": {"enabled": True}}, default=None) == (None, None)
    assert effort.requested_effort({"reasoning": {"effort": "low", "enabled": True}}, default=None) == ("low", None)


def test_an_effort_is_a_share_of_the_output() -> None:
    """The contract's ratios, whole tokens."""
    shares = {word: effort.budget_of(word, 1000) for word in effort.RATIOS}
    assert shares == {"minimal": 100, "low": 200, "medium": 500, "high": 800, "xhigh": 950, "max": 950}
    assert effort.budget_of("low", 7) == 1


@pytest.mark.parametrize(
    ("budget", "limit", "known", "word"),
    [
        (200, 1000, ("low", "medium", "high"), "low"),
        (350, 1000, ("low", "medium", "high"), "low"),
        (351, 1000, ("low", "medium", "high"), "medium"),
        (5000, 1000, ("low", "medium", "high"), "high"),
        (950, 1000, ("low", "max"), "max"),
        (950, 1000, effort.EFFORTS, "xhigh"),
        (16_000, None, ("low", "medium", "high"), "medium"),
        (1, 1000, ("unheard",), "minimal"),
    ],
)
def test_a_budget_is_the_nearest_effort(budget: int, limit: int | None, known: tuple[str, ...], word: str) -> None:
    """Of the efforts that a model knows the one whose share is nearest, of two the lesser; without a limit, of 32,000 tokens."""
    assert effort.from_budget(budget, limit, known) == word


@given(WORDS, st.sets(WORDS))
def test_the_nearest_effort_that_is_known(word: str, known: set[str]) -> None:
    """A known effort stays; another becomes the nearest; ``none`` never becomes some thinking, nor the other way round."""
    found = effort.nearest(word, known)
    if word in known or word == "none":
        assert found == word
    elif known - {"none"}:
        assert found in known - {"none"}
        distance = abs(effort.EFFORTS.index(found) - effort.EFFORTS.index(word))
        assert all(abs(effort.EFFORTS.index(one) - effort.EFFORTS.index(word)) >= distance for one in known - {"none"})
    assert effort.nearest(word, None) == word
