"""Token counts of compatible vendors become disjoint counts; nonsense becomes zero and is marked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.types import Usage
from providers.usage import COUNT_MAX, later, normalise

CASES: list[tuple[str, dict[str, Any], Usage]] = [
    (
        "openai",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(prompt=60, cache_read=40, completion=30, reasoning=20),
    ),
    ("openai plain", {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Usage(prompt=3, completion=2)),
    (
        "openrouter",
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "total_tokens": 105,
            "cost": 0.00014,
            "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": None},
        },
        Usage(prompt=70, cache_read=10, cache_write=20, completion=5, cost_usd=Decimal("0.00014")),
    ),
    (
        "deepseek",
        {
            "prompt_tokens": 100,
            "completion_tokens": 9,
            "total_tokens": 109,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        Usage(prompt=36, cache_read=64, completion=5, reasoning=4),
    ),
    (
        "xai, from vercel/ai 11487",
        {
            "prompt_tokens": 279,
            "completion_tokens": 6,
            "total_tokens": 374,
            "prompt_tokens_details": {"cached_tokens": 149},
            "completion_tokens_details": {"reasoning_tokens": 89},
        },
        Usage(prompt=130, cache_read=149, completion=6, reasoning=89),
    ),
    (
        "xai, from sub2api 5771",
        {
            "prompt_tokens": 10120,
            "completion_tokens": 1499,
            "total_tokens": 14428,
            "cost_in_usd_ticks": 232856000,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2809},
        },
        Usage(prompt=9992, cache_read=128, completion=1499, reasoning=2809, cost_usd=Decimal("0.0232856")),
    ),
    (
        "xai, less reasoning than text",
        {
            "prompt_tokens": 10,
            "completion_tokens": 50,
            "total_tokens": 65,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(prompt=10, completion=50, reasoning=5),
    ),
    (
        "moonshot",
        {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "cached_tokens": 6},
        Usage(prompt=4, cache_read=6, completion=1),
    ),
    ("explicit zeros", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
    ("whole floats", {"prompt_tokens": 3.0, "completion_tokens": 2.0}, Usage(prompt=3, completion=2)),
    (
        "nulls",
        {
            "prompt_tokens": 3,
            "completion_tokens": None,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        Usage(prompt=3),
    ),
    (
        "litellm before gemini-3-pro-image, from BerriAI/litellm 18182",
        {
            "prompt_tokens": 533,
            "completion_tokens": 1337,
            "total_tokens": 1870,
            "completion_tokens_details": {"reasoning_tokens": 217, "text_tokens": 0, "image_tokens": 1120},
            "prompt_tokens_details": {"text_tokens": 6},
        },
        Usage(prompt=533, reasoning=217, image_completion=1120),
    ),
    (
        "pictures with text, sound and a cache",
        {
            "prompt_tokens": 100,
            "completion_tokens": 90,
            "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 20, "image_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 15, "image_tokens": 40},
        },
        Usage(
            prompt=40,
            cache_read=10,
            audio_prompt=20,
            image_prompt=30,
            completion=30,
            reasoning=5,
            audio_completion=15,
            image_completion=40,
        ),
    ),
    (
        "more pictures than tokens",
        {
            "prompt_tokens": 5,
            "completion_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 3, "image_tokens": 9},
            "completion_tokens_details": {"audio_tokens": 4, "image_tokens": 9},
        },
        Usage(prompt=0, cache_read=3, image_prompt=2, audio_completion=4, image_completion=2),
    ),
    ("empty", {}, Usage()),
    ("negative", {"prompt_tokens": -5, "completion_tokens": 2}, Usage(completion=2, suspect=True)),
    ("absurd", {"prompt_tokens": 10**30, "completion_tokens": 2}, Usage(completion=2, suspect=True)),
    ("fractional", {"prompt_tokens": 1.5, "completion_tokens": 2}, Usage(completion=2, suspect=True)),
    ("text", {"prompt_tokens": "7", "completion_tokens": True}, Usage(suspect=True)),
    (
        "more cached than sent",
        {
            "prompt_tokens": 5,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9},
        },
        Usage(cache_read=5, completion=1, suspect=True),
    ),
    (
        "details are a list",
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": [1]},
        Usage(prompt=5, completion=1),
    ),
    ("bad cost", {"prompt_tokens": 1, "cost": "abc"}, Usage(prompt=1)),
    ("endless cost", {"prompt_tokens": 1, "cost": "1e9999999"}, Usage(prompt=1)),
    ("negative cost", {"prompt_tokens": 1, "cost": -1}, Usage(prompt=1)),
    ("infinite cost", {"prompt_tokens": 1, "cost": float("inf")}, Usage(prompt=1)),
]


@pytest.mark.parametrize(("raw", "usage"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_vendors_report(raw: dict[str, Any], usage: Usage) -> None:
    """Each vendor's meaning of its numbers comes out as disjoint counts."""
    assert normalise(raw) == usage


NUMBERS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=1)
)
FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "reasoning_tokens",
    "cost",
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), NUMBERS),
    st.dictionaries(st.sampled_from(["cached_tokens", "cache_write_tokens"]), NUMBERS),
    st.dictionaries(st.just("reasoning_tokens"), NUMBERS),
)
def test_nothing_negative_ever_comes_out(
    raw: dict[str, Any], prompt: dict[str, Any], completion: dict[str, Any]
) -> None:
    """Whatever a vendor reports, counts are whole, not negative and within reason, and the prompt's parts never exceed it."""
    usage = normalise({**raw, "prompt_tokens_details": prompt, "completion_tokens_details": completion})
    for count in (usage.prompt, usage.cache_read, usage.cache_write, usage.completion, usage.reasoning):
        assert type(count) is int
        assert 0 <= count <= COUNT_MAX
    sent = raw.get("prompt_tokens")
    if type(sent) is int and 0 <= sent <= COUNT_MAX:
        assert usage.prompt_total == sent


def test_of_two_reports_the_last_counts_unless_it_takes_back() -> None:
    """Cumulative reports count once, a closing report of zeros takes nothing back, a price once given is kept."""
    one, two, zero = Usage(prompt=5, completion=1), Usage(prompt=5, completion=9), Usage()
    assert later(None, zero) == zero
    assert later(one, two) == two
    assert later(two, zero) == two
    assert later(Usage(prompt=5, completion=1, cost_usd=Decimal(1)), two).cost_usd == Decimal(1)
    assert later(Usage(prompt=5), Usage(completion=7)) == Usage(prompt=5, completion=7)
    for before, now, interim in (
        (Usage(5, completion=1, interim=True), Usage(5, completion=9), False),
        (Usage(5, completion=9, interim=True), Usage(5, completion=9), False),
        (Usage(5, completion=9, interim=True), Usage(0, completion=9), False),
        (Usage(5, completion=9, interim=True), Usage(0, completion=10), False),
        (Usage(5, completion=9, interim=True), Usage(0, completion=0), True),
        (Usage(5, completion=9, interim=True), Usage(9, completion=0), True),
        (Usage(5, completion=1, interim=True), Usage(5, completion=9, interim=True), True),
    ):
        assert later(before, now).interim is interim
    assert later(Usage(prompt=5, cache_read=2, completion=3), Usage(prompt=9, completion=1)) == Usage(
        prompt=9, completion=3
    )
