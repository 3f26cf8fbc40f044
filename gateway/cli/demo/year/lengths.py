"""How long requests are, and what they are about: a cell of the cube divided into requests."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.targets import anchors

PROGRAMMING: Final = laws.CATEGORIES.index("programming")


class RequestSize(NamedTuple):
    """Tokens of one request; ``category``: its place in ``laws.CATEGORIES``."""

    category: int
    prompt: int
    completion: int


class Lengths:
    """The law of lengths of one week: log-normal, with programming prompts longer than all others.

    The means of programming and of the others are such that all requests together have the means of ``laws``.
    """

    def __init__(self, week: date) -> None:
        prompt = anchors(laws.PROMPT_MEAN).at(week)
        completion = anchors(laws.COMPLETION_MEAN).at(week)
        programming_tokens = anchors(laws.PROGRAMMING_PERCENT).at(week) / 100
        programming = prompt * laws.PROGRAMMING_PROMPT_FACTOR
        requests = programming_tokens * (prompt + completion) / (programming + completion)
        other = (1 - programming_tokens) * (prompt + completion) / (1 - requests) - completion
        self._programming = _median(programming, laws.PROMPT_SIGMA)
        self._other = _median(other, laws.PROMPT_SIGMA)
        self._completion = _median(completion, laws.COMPLETION_SIGMA)
        self._rarity = (other + completion) / (programming + completion)

    def divide(self, tokens: int, open_tokens: list[float], rng: random.Random) -> list[RequestSize]:
        """Requests that have exactly these tokens together; the last one is shortened.

        ``open_tokens``: for each category the tokens that the model still owes it, which the requests are taken from. It is
        carried from week to week, so that the shares are right however few requests a week has.
        """
        found = []
        while tokens > 0:
            category = self._category(open_tokens, rng)
            median = self._programming if category == PROGRAMMING else self._other
            prompt = int(median * math.exp(laws.PROMPT_SIGMA * rng.gauss(0.0, 1.0))) + 1
            completion = int(self._completion * math.exp(laws.COMPLETION_SIGMA * rng.gauss(0.0, 1.0))) + 1
            if prompt + completion > tokens:
                completion = completion if completion < tokens else completion * tokens // (prompt + completion)
                prompt = tokens - completion
            tokens -= prompt + completion
            open_tokens[category] -= prompt + completion
            found.append(RequestSize(category, prompt, completion))
        return found

    def _category(self, open_tokens: Sequence[float], rng: random.Random) -> int:
        """A category by what is open of it; fewer requests for the same tokens where they are longer."""
        weights = [each if each > 0.0 else 0.0 for each in open_tokens]
        weights[PROGRAMMING] *= self._rarity
        point = rng.random() * sum(weights)
        for category, weight in enumerate(weights):
            point -= weight
            if point < 0.0:
                return category
        return max(range(len(open_tokens)), key=open_tokens.__getitem__)


def _median(mean: float, sigma: float) -> float:
    """Of a log-normal law."""
    return mean * math.exp(-sigma * sigma / 2)
