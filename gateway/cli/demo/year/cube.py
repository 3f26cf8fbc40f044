"""The cube: tokens by week and model, exact, from the targets and a seed.

Every week × named model draws its noise from a generator of its own, so that a further model does not change the draws
of the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from gateway.cli.demo.year import targets
from gateway.cli.demo.year.targets import Anchors, Model, Origin, Size, anchors

TRILLION: Final = 10**12
_CLIP_ROUNDS: Final = 20


class Cube(msgspec.Struct, frozen=True):
    """``tokens[w][m]``: tokens of model ``models[m]`` in the week that begins on Monday ``weeks[w]``, 00:00 UTC."""

    seed: int
    weeks: tuple[date, ...]
    models: tuple[Model, ...]
    tokens: tuple[tuple[int, ...], ...]

    def total(self, week: int) -> int:
        return sum(self.tokens[week])


def cube(seed: int) -> Cube:
    """The cube of a seed: the same in every process. Versions of Python may round a token differently."""
    named = targets.named_models()
    tails: dict[Origin, list[Model]] = {origin: targets.tail_models(origin) for origin in targets.TAIL}
    models = (*(model for model, _ in named), *(model for tail in tails.values() for model in tail))
    total = anchors(targets.WEEK_TRILLIONS)
    rows = []
    for week in targets.WEEKS:
        shares = _named_shares(seed, week, named)
        for origin, tail in tails.items():
            taken = sum(shares[model.slug] for model, _ in named if model.origin == origin)
            left = max(_origin_percent(week)[origin] - taken, targets.TAIL_MIN_PERCENT)
            shares |= _tail_shares(week, tail, left)
        tokens = round(total.at(week) * TRILLION)
        rows.append(_whole([shares[model.slug] for model in models], tokens))
    return Cube(seed, targets.WEEKS, models, tuple(rows))


def _named_shares(seed: int, week: date, named: Sequence[tuple[Model, Anchors]]) -> dict[str, float]:
    shares = {}
    for model, share in named:
        noise = random.Random(f"{seed}/share/{week}/{model.slug}").gauss(0, targets.NOISE_SIGMA)
        shares[model.slug] = share.at(week) * math.exp(noise) if week >= model.since else 0.0
    return shares


def _origin_percent(week: date) -> dict[Origin, float]:
    found: dict[Origin, float] = {origin: anchors(text).at(week) for origin, text in targets.ORIGIN_PERCENT.items()}
    found["closed"] = 100 - sum(found.values())
    return found


def _tail_shares(week: date, tail: Sequence[Model], percent: float) -> dict[str, float]:
    """Slug → percent of all tokens. Reasoning and size each have their target; within both, shares follow the rank."""
    reasoning = anchors(targets.TAIL_REASONING_PERCENT).at(week) / 100
    sizes: Mapping[Size | None, float] = {
        size: anchors(text).at(week) / 100 for size, text in targets.TAIL_SIZE_PERCENT.items()
    }
    launched = math.ceil(len(tail) * reasoning / anchors(targets.TAIL_REASONING_PERCENT).at(targets.LAST_WEEK) * 100)
    weights: dict[str, float] = {}
    for is_reasoning, part in ((True, reasoning), (False, 1 - reasoning)):
        for size in dict.fromkeys(model.size for model in tail):
            cell = [
                model
                for model in tail
                if model.reasoning == is_reasoning
                and model.size == size
                and week >= model.since
                and (not is_reasoning or model.rank <= launched)
            ]
            mass = part * sizes.get(size, 1.0)
            ranked = {model.slug: model.rank**targets.TAIL_EXPONENT for model in cell}
            weights |= {slug: mass * weight / sum(ranked.values()) for slug, weight in ranked.items()}
    return {model.slug: 0.0 for model in tail} | _clipped(weights, percent)


def _clipped(weights: Mapping[str, float], percent: float) -> dict[str, float]:
    """Shares that add up to ``percent``, none above the limit: what a clipped model loses goes to the others in proportion."""
    limit = targets.TAIL_MODEL_MAX_PERCENT
    full: set[str] = set()
    for _ in range(_CLIP_ROUNDS):
        rest = sum(weight for slug, weight in weights.items() if slug not in full)
        scale = (percent - limit * len(full)) / rest if rest else 0.0
        above = {slug for slug, weight in weights.items() if slug not in full and weight * scale > limit}
        if not above:
            break
        full |= above
    return {slug: limit if slug in full else weight * scale for slug, weight in weights.items()}


def _whole(shares: Sequence[float], total: int) -> tuple[int, ...]:
    """Shares of any sum → whole tokens that add up to ``total``; the largest takes what rounding leaves."""
    scale = total / math.fsum(shares)
    tokens = [round(share * scale) for share in shares]
    tokens[tokens.index(max(tokens))] += total - sum(tokens)
    return tuple(tokens)
