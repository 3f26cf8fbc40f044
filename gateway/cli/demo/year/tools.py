"""Which requests call tools: a share of the tokens that rises over the year, unevenly over the models."""

from __future__ import annotations

from datetime import date
from typing import Final

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.cube import Cube
from gateway.cli.demo.year.targets import anchors

_ROUNDS: Final = 5


def tool_chances(cube: Cube, week: int) -> list[float]:
    """For each model the chance that a request of this week finishes with a tool call; the week's tokens meet ``TOOL_PERCENT``."""
    target = anchors(laws.TOOL_PERCENT).at(cube.weeks[week]) / 100
    tokens = cube.tokens[week]
    weights = [_weight(model.slug, cube.weeks[week]) for model in cube.models]
    scale = 0.0
    for _ in range(_ROUNDS):  # the models at their limit have all they can have; the others share what is missing
        limited = [weight * scale > laws.TOOL_MODEL_MAX for weight in weights]
        full = sum(used for used, is_full in zip(tokens, limited, strict=True) if is_full) * laws.TOOL_MODEL_MAX
        rest = sum(used * weight for used, weight, is_full in zip(tokens, weights, limited, strict=True) if not is_full)
        scale = (target * sum(tokens) - full) / rest
    return [min(scale * weight, laws.TOOL_MODEL_MAX) for weight in weights]


def _weight(slug: str, week: date) -> float:
    text = laws.TOOL_WEIGHTS.get(slug)
    return anchors(text).at(week) if text else 1.0
