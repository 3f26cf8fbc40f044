"""``FIGURES``: F01 to F38, in the order of the report; each with what is added up and divided, and the function that does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.analytics.report.figures import categories, cohorts, lengths, open_weights, places, prices, reasoning
from gateway.analytics.report.figures.made import Spec
from gateway.analytics.retention import AGE, LEAST_USERS, RISE_POINTS, RISE_USERS

_TOKENS = "Σ(prompt + completion)"
_OPEN_ONLY = "models with open weights on the day of the event"
_ORIGIN = "closed; open weights with the main developer in CN, TW or HK; other open weights; on the day of the event"
RANKS = ("first", "second", "third", "fourth", "fifth", "sixth")


def _share(of: str) -> str:
    return f"weekly (UTC, from Monday) {_TOKENS} of {of} ÷ {_TOKENS}"


def _estimate(of: str) -> str:
    return f"Σ(tokens ÷ p) over classified events, primary label only, {of}; ± is the 95 % interval of a Poisson sample"


def _open() -> Iterator[Spec]:
    section = "Open and closed weights"
    yield Spec(
        "F01", section, "Open and closed weights over time", _share(f"each origin: {_ORIGIN}"), open_weights.split
    )
    yield Spec(
        "F02", section, "Volume by origin",
        f"weekly {_TOKENS} by origin, reasoning within completion. Concentration: means over a quarter's weeks of the leaders' "
        "shares and of Σ(share in percent)²",
        open_weights.volume,
    )  # fmt: skip
    yield Spec(
        "F03", section, "Authors of open models",
        f"{_TOKENS} by author, of {_OPEN_ONLY}; the namespaces of one author are one",
        open_weights.open_authors,
    )  # fmt: skip
    yield Spec(
        "F04", section, "The largest open models over time",
        _share(f"each of the {open_weights.TOP_OPEN} largest {_OPEN_ONLY}") + " of all of them",
        open_weights.open_models,
    )  # fmt: skip
    yield Spec(
        "F05", section, "Sizes of open models",
        _share(f"{_OPEN_ONLY}, by size") + ": small below 15, medium below 70, else large, in billions of parameters",
        open_weights.sizes,
    )  # fmt: skip
    yield Spec(
        "F06", section, "Supply of open models by size",
        f"count of different {_OPEN_ONLY} that served an event in the week",
        open_weights.supply,
    )  # fmt: skip


def _categories() -> Iterator[Spec]:
    section = "What open models are used for"
    yield Spec(
        "F07", section, "Categories of open models", _estimate(f"by category, {_OPEN_ONLY}"), categories.OPEN_TREND
    )
    yield Spec(
        "F08", section, "Categories of Chinese open models",
        _estimate("by category, open weights with the main developer in CN, TW or HK"),
        categories.CHINESE_TREND,
    )  # fmt: skip
    for name, category in (("F09", "programming"), ("F10", "roleplay")):
        yield Spec(
            name, section, f"{category.capitalize()} by origin", _estimate(f"category {category}, by origin"),
            categories.by_origin(category),
        )  # fmt: skip


def _reasoning() -> Iterator[Spec]:
    section = "Reasoning and tools"
    yield Spec(
        "F11", section, "Reasoning models",
        "(a) " + _share("models that reason unless asked not to")
        + "; (b) requests with reasoning tokens, or that asked for an effort other than none, ÷ requests"
        "; (c) Σ reasoning ÷ Σ completion",
        reasoning.share,
    )  # fmt: skip
    yield Spec(
        "F12",
        section,
        "The largest reasoning models",
        _share("a reasoning model") + " of all reasoning models",
        reasoning.models,
    )
    yield Spec(
        "F13", section, "Calls of tools",
        _share("requests whose finish reason is tool_calls") + ": calls that were made, not tools on offer",
        reasoning.tools,
    )  # fmt: skip
    yield Spec(
        "F14",
        section,
        "Models that get tools",
        _share("a model") + ", of requests that offered tools",
        reasoning.tool_models,
    )


def _lengths() -> Iterator[Spec]:
    section = "How long requests are"
    rows = (("F15", "prompt", "prompt"), ("F16", "completion", "completion"), ("F18", "tok", "sequence"))
    of = {"prompt": "prompt tokens", "completion": "completion tokens, reasoning within,", "tok": "prompt + completion"}
    made = {
        name: Spec(
            name, section, f"Length of {what}s", f"weekly mean and quantiles of {of[column]} of requests with tokens",
            lengths.of_tokens(column, what),
        )
        for name, column, what in rows
    }  # fmt: skip
    yield made["F15"]
    yield made["F16"]
    yield Spec(
        "F17", section, "Length of prompts by category",
        f"Σ(prompt ÷ p) ÷ Σ(1 ÷ p) of classified requests, in weeks with at least {lengths.LEAST_REQUESTS}",
        lengths.by_category,
    )  # fmt: skip
    yield made["F18"]
    yield Spec(
        "F19", section, "Programming against all requests",
        "Σ(tokens ÷ p) ÷ Σ(1 ÷ p) of programming, beside the mean of all requests",
        lengths.programming,
    )  # fmt: skip


def _programming() -> Iterator[Spec]:
    yield Spec(
        "F20",
        "Programming",
        "Programming over time",
        _estimate("category programming ÷ all classified"),
        categories.programming,
    )
    yield Spec(
        "F21", "Programming", "Programming by author",
        "Σ(x ÷ p) by author in the category programming; x: the provider's price, tokens, 1",
        categories.programming_by_author,
    )  # fmt: skip
    for name, which, first in (("F22", "six largest", 0), ("F23", "next six", 6)):
        yield Spec(
            name, "Within categories", f"Tasks of the {which} categories", _estimate("by task within the category"),
            categories.tasks(first, first + 6),
        )  # fmt: skip


def _authors() -> Iterator[Spec]:
    for place, rank in enumerate(RANKS):
        yield Spec(
            f"F{24 + place}", "Profiles of authors", f"Profile of the {rank} author",
            _estimate(f"by category, of the author that is {rank} by classified tokens"),
            categories.profile(place),
        )  # fmt: skip


def _places() -> Iterator[Spec]:
    section = "Places and languages"
    yield Spec(
        "F30", section, "Spend by continent",
        "weekly Σ provider's price by the continent of the account's country ÷ Σ provider's price",
        places.spend,
    )  # fmt: skip
    for name, key, title, column in (
        ("F31", "continent", "Continents", "Continent"),
        ("F32", "country", "Countries", "Country"),
    ):
        yield Spec(
            name, section, title, f"{_TOKENS} and Σ provider's price by the {key} of the account",
            places.table(key, f"{title} of accounts", column),
        )  # fmt: skip
    yield Spec("F33", section, "Languages of prompts", _estimate("by natural language"), places.languages)


def _retention() -> Iterator[Spec]:
    yield Spec(
        "F34", "Who comes back", "Cohorts of eight models",
        "users of a model in month c + k whose first use of it was in month c ÷ users whose first use was in c; at least "
        f"{LEAST_USERS} of them. Stays: ≥ 30 % at month {AGE}, and ≥ 1.5 × the median of later cohorts. "
        f"Comes back: a rise of ≥ {RISE_POINTS:.0f} points, to at least {RISE_USERS} users, beyond the 95 % bound of chance and "
        "beyond what the model's other cohorts did in that month",
        cohorts.retention,
    )  # fmt: skip


def _prices() -> Iterator[Spec]:
    section = "Price and use"
    price = f"Σ provider's price ÷ {_TOKENS}, callers' own keys left out, cache discounts in, the gateway's fee not"
    yield Spec(
        "F35", section, "Categories by price and use",
        "Σ(provider's price ÷ p) ÷ Σ(tokens ÷ p), callers' own keys left out; against Σ(tokens ÷ p)",
        prices.of_categories,
    )  # fmt: skip
    yield Spec(
        "F36", section, "Models by price and use",
        f"{price}; against {_TOKENS}. Slope: least squares of the logarithms, interval HC1",
        prices.of_models,
    )  # fmt: skip
    yield Spec(
        "F37", section, "Authors by price and use", f"{price}; by author, open where open weights have most of its tokens",
        prices.of_authors,
    )  # fmt: skip
    yield Spec(
        "F38", section, "Archetypes",
        "price < $0.40 and tokens ≥ p90: efficient giant; ≥ $1.50 and ≥ p90: premium leader; ≥ $10: premium specialist; < $0.10 "
        "and tokens ≤ p40: long tail",
        prices.archetypes,
    )  # fmt: skip


FIGURES: Final[tuple[Spec, ...]] = (
    *_open(), *_categories(), *_reasoning(), *_lengths(), *_programming(), *_authors(), *_places(), *_retention(), *_prices(),
)  # fmt: skip
