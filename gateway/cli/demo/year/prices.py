"""What a million tokens of each model cost, so that price and usage relate as reported.

The price is the effective one: prompt and completion together, cache discounts in. Each request pays its tokens times this price.
"""

from __future__ import annotations

import math
import operator
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.categories import group
from gateway.cli.demo.year.cube import Cube

REPORTED_USD: Final = {
    "google/gemini-2.0-flash-001": 0.147,
    "deepseek/deepseek-chat-v3-0324": 0.394,
    "anthropic/claude-3.7-sonnet": 1.963,
    "anthropic/claude-sonnet-4": 1.937,
    "qwen/qwen-2-7b-instruct": 0.052,
    "ibm/granite-4.0-micro": 0.036,
    "openai/gpt-4": 34.068,
    "openai/gpt-5-pro": 34.965,
}
"""Dollars a million tokens, from the report's table of archetypes."""
ASSUMED_USD: Final = {
    "google/gemini-2.5-flash": 0.35, "google/gemini-2.5-pro": 0.75, "google/gemini-flash-1.5": 0.09,
    "google/gemini-2.5-flash-lite": 0.11, "google/gemma": 0.06,
    "openai/gpt-4.1-mini": 0.42, "openai/gpt-4o-mini": 0.16, "openai/gpt-4o": 2.0, "openai/gpt-5": 0.75, "openai/o-series": 1.2,
    "openai/gpt-oss-120b": 0.1, "openai/gpt-oss-20b": 0.06,
    "anthropic/claude-3.5-sonnet": 2.4, "anthropic/claude-sonnet-4.5": 1.9, "anthropic/claude-opus-4.5": 3.0,
    "x-ai/grok-code-fast-1": 0.18, "x-ai/grok-4-fast": 0.17,
    "deepseek/deepseek-chat": 0.22, "deepseek/deepseek-r1": 0.75, "deepseek/deepseek-chat-v3.1": 0.32,
    "qwen/qwen-2.5-coder-32b-instruct": 0.08, "qwen/qwen3-coder": 0.35, "qwen/qwen3-235b-a22b-07-25": 0.2,
    "qwen/qwen3-30b-a3b": 0.1, "qwen/other-medium": 0.12,
    "moonshotai/kimi-k2": 0.7, "z-ai/glm-4.5": 0.45, "z-ai/glm-4.6": 0.5, "minimax/minimax-m2": 0.3,
    "tngtech/deepseek-r1t2-chimera": 0.3,
    "meta-llama/llama-3.x-small": 0.04, "meta-llama/llama-3.3-70b": 0.15, "meta-llama/llama-4-maverick": 0.2,
    "mistralai/mistral-nemo": 0.03, "mistralai/mistral-small-3": 0.07,
}  # fmt: skip
"""Of the other named models: list prices of 2025 at a mix of tokens with much of the prompt from the cache, roughly."""
TAIL_USD: Final = (0.03, 15.0)
SLOPE: Final = -0.06
"""Of log10 usage on log10 price over all models: usage hardly depends on the price."""
MEDIAN_CATEGORY_USD: Final = 0.73
_ROUNDS, _STEPS = 5, 18
_STEEP, _FAR = 2.0, 4.0
"""Bounds of the search: tilt in log10 price per log10 usage, level in log10 dollars."""


def prices(cube: Cube, shares: Sequence[Mapping[str, tuple[float, ...]]]) -> tuple[float, ...]:
    """Dollars a million tokens of each model of the cube.

    Prices of the tail are drawn log-uniformly, then tilted by the model's usage until the slope is ``SLOPE``, and moved until the
    median of the categories' prices is ``MEDIAN_CATEGORY_USD``.
    """
    known = REPORTED_USD | ASSUMED_USD
    usage = [math.log10(sum(column)) for column in zip(*cube.tokens, strict=True)]
    low, high = (math.log10(price) for price in TAIL_USD)
    drawn = [_drawn(f"{cube.seed}/price/{model.slug}", low, high) for model in cube.models]
    mean = statistics.fmean(usage)
    weights = _category_weights(cube, shares)

    def logs(tilt: float, level: float) -> list[float]:
        return [
            math.log10(known[model.slug]) if model.slug in known else draw + level + tilt * (used - mean)
            for model, draw, used in zip(cube.models, drawn, usage, strict=True)
        ]

    tilt = level = 0.0
    for _ in range(_ROUNDS):
        tilt = _zero(lambda x: _slope(logs(x, level), usage) - SLOPE, _STEEP)  # noqa: B023 - called at once
        level = _zero(lambda x: _median_price(logs(tilt, x), weights) - MEDIAN_CATEGORY_USD, _FAR)  # noqa: B023
    return tuple(10**log for log in logs(tilt, level))


def _drawn(stream: str, low: float, high: float) -> float:
    return random.Random(stream).uniform(low, high)


def _zero(value: Callable[[float], float], bound: float) -> float:
    """Where a rising function is zero between ``-bound`` and ``bound``, by bisection."""
    low, high = -bound, bound
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < 0 else (low, middle)
    return (low + high) / 2


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(statistics.linear_regression(x, y).slope)


def _category_weights(cube: Cube, shares: Sequence[Mapping[str, tuple[float, ...]]]) -> list[list[float]]:
    """``weights[c][m]``: share of model m in the tokens of category c over the whole year."""
    groups = [group(model) for model in cube.models]
    table = [[0.0] * len(cube.models) for _ in laws.CATEGORIES]
    for week, tokens in zip(shares, cube.tokens, strict=True):
        for m, (name, used) in enumerate(zip(groups, tokens, strict=True)):
            if used:
                for c, share in enumerate(week[name]):
                    table[c][m] += share * used
    return [[value / sum(row) for value in row] for row in table]


def _median_price(logs: Sequence[float], weights: Sequence[Sequence[float]]) -> float:
    usd = [10**log for log in logs]
    return statistics.median([math.fsum(map(operator.mul, row, usd)) for row in weights])
