"""Countries of accounts and languages of prompts."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.categories import fitted_table
from gateway.cli.demo.year.cube import Cube
from gateway.cli.demo.year.targets import anchors

COUNTRIES: Final = tuple(country for countries in laws.COUNTRIES.values() for country in countries)
LANGUAGES: Final = tuple(laws.LANGUAGES)
_PERCENT: Final = tuple(percent for countries in laws.COUNTRIES.values() for percent in countries.values())
_ASIAN: Final = tuple(country in laws.COUNTRIES["asia"] for country in COUNTRIES)
_SHARE_MIN, _SHARE_MAX = 0.02, 0.95


class Choice:
    """A weighted choice among the numbers 0 to n - 1."""

    __slots__ = ("_sums", "_total")

    def __init__(self, weights: Sequence[float]) -> None:
        self._sums = list(accumulate(weights))[:-1]
        self._total = sum(weights)

    def __call__(self, rng: random.Random) -> int:
        return bisect(self._sums, rng.random() * self._total)


def country_choices(cube: Cube, usd: Sequence[float], week: int) -> tuple[Choice, Choice]:
    """Of one week: the choice of a country for cheap models, and for dear ones.

    Asia has one share of the tokens and another one of the spend. Both hold if it uses dear models less, or more, by the
    difference of the two, divided by the difference between the dear models' share of spend and their share of tokens.
    """
    tokens = cube.tokens[week]
    dear = [price >= laws.PREMIUM_USD for price in usd]
    dear_tokens = sum(used for used, is_dear in zip(tokens, dear, strict=True) if is_dear) / sum(tokens)
    spend = [used * price for used, price in zip(tokens, usd, strict=True)]
    dear_spend = sum(paid for paid, is_dear in zip(spend, dear, strict=True) if is_dear) / sum(spend)
    of_tokens = anchors(laws.ASIA_TOKENS_PERCENT).at(cube.weeks[week]) / 100
    of_spend = anchors(laws.ASIA_SPEND_PERCENT).at(cube.weeks[week]) / 100
    difference = (of_spend - of_tokens) / (dear_spend - dear_tokens)
    cheap = of_tokens - dear_tokens * difference
    return _choice(cheap), _choice(cheap + difference)


def _choice(asia: float) -> Choice:
    """The choice of a country where Asia has this share."""
    asia = min(max(asia, _SHARE_MIN), _SHARE_MAX)
    whole = sum(percent for percent, asian in zip(_PERCENT, _ASIAN, strict=True) if asian)
    rest = sum(_PERCENT) - whole
    return Choice(
        [
            percent * (asia / whole if asian else (1 - asia) / rest)
            for percent, asian in zip(_PERCENT, _ASIAN, strict=True)
        ]
    )


def language_choices() -> list[Choice]:
    """For each country the choice of a language: likelier at home, fitted to the shares of languages and of countries."""
    seeds = [
        [
            percent * (laws.HOME_LANGUAGE_FACTOR if laws.HOME_LANGUAGES.get(country) == language else 1.0)
            for language, percent in laws.LANGUAGES.items()
        ]
        for country in COUNTRIES
    ]
    whole = sum(_PERCENT)
    shares = [percent / whole * sum(laws.LANGUAGES.values()) for percent in _PERCENT]
    return [Choice(row) for row in fitted_table(seeds, shares, list(laws.LANGUAGES.values()))]


def users_by_country(users: int) -> list[range]:
    """Blocks of user numbers, one for each country, by its share; user 0 is left out. A small country has ten."""
    blocks, first = [], 1
    for percent in _PERCENT:
        size = max(10, round(percent / sum(_PERCENT) * users))
        blocks.append(range(first, first + size))
        first += size
    return blocks
