"""How much a caller wants a model to think: effort words, budgets in tokens, and what one is worth in the other.

The words and shares are the public contract's (OpenRouter's documentation of ``reasoning``, 2026-11): an effort is that share of
the output limit, an effort that a model does not know becomes the nearest one that it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from providers.types import Json

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From nothing to everything."""
RATIOS: Final = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Share of the output limit that an effort may think."""
OUTPUT_TOKENS: Final = 32_000
"""What a budget is measured against when the request does not limit its output."""


def wanted(body: Json, *, plainly: str | None = "medium") -> tuple[str | None, int | None]:
    """(effort, budget in tokens) that an inner request asks for; at most one of them. ``none`` means: do not think.

    ``plainly``: the effort of who only says ``enabled``, or a word that nobody knows.
    """
    asked = body.get("reasoning")
    reasoning: Json = asked if isinstance(asked, dict) else {}
    effort = reasoning.get("effort") or body.get("reasoning_effort")
    budget = reasoning.get("max_tokens")
    if reasoning.get("enabled") is False or effort == "none":
        return "none", None
    if isinstance(budget, int) and not isinstance(budget, bool):
        return (None, budget) if budget > 0 else ("none", None)
    if effort is None:
        return (plainly if reasoning.get("enabled") is True else None), None
    return (effort if isinstance(effort, str) and effort in EFFORTS else plainly), None


def on(body: Json) -> bool | None:
    """Whether an inner request wants reasoning, which an empty ``reasoning`` does too; None: it says nothing of it."""
    effort, budget = wanted(body)
    if effort is not None or budget is not None:
        return effort != "none"
    return True if body.get("include_reasoning") is True or isinstance(body.get("reasoning"), dict) else None


def share(effort: str, limit: int) -> int:
    """The tokens that an effort may think of an output limit."""
    return int(limit * RATIOS[effort])


def of_budget(budget: int, limit: int | None, known: Iterable[str] = ("low", "medium", "high")) -> str:
    """The effort whose share of the output limit is nearest to a budget; of two the lesser."""
    share = budget / (limit or OUTPUT_TOKENS)
    words = frozenset(known)
    ladder = [effort for effort in RATIOS if effort in words] or list(RATIOS)
    return min(ladder, key=lambda effort: abs(RATIOS[effort] - share))


def nearest(effort: str, known: Iterable[str] | None) -> str:
    """The nearest effort that a model knows, of two the lesser. ``none`` never becomes some reasoning, nor some ``none``."""
    ladder = [one for one in EFFORTS if one != "none" and one in (known or EFFORTS)]
    if effort == "none" or not ladder:
        return effort
    place = EFFORTS.index(effort)
    return min(ladder, key=lambda one: abs(EFFORTS.index(one) - place))
