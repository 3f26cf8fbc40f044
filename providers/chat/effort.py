"""How much reasoning a caller requests: efforts, budgets in tokens, and the conversion between the two. Pure.

The efforts and their shares are the public contract's (OpenRouter's documentation of ``reasoning``, 2026-11): an effort stands
for a share of the output limit, an effort that a model does not know becomes the nearest one that it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from providers.types import Json

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From nothing to everything."""
RATIOS: Final = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""The share of the output limit that each effort may spend on reasoning."""
OUTPUT_TOKENS: Final = 32_000
"""The output limit that a budget is compared with when the request sets none."""


def requested_effort(body: Mapping[str, Any], *, default: str | None = "medium") -> tuple[str | None, int | None]:
    """(effort, budget in tokens) that a request asks for; at most one of them. ``none`` means: no reasoning.

    ``plainly``: the effort of a request that only has ``enabled``, or an unknown effort.
    """
    if "reasoning" not in body and "reasoning_effort" not in body:
        return None, None
    requested = body.get("reasoning")
    reasoning: Json = requested if isinstance(requested, dict) else {}
    effort = reasoning.get("effort") or body.get("reasoning_effort")
    budget = reasoning.get("max_tokens")
    if reasoning.get("enabled") is False or effort == "none":
        return "none", None
    if isinstance(budget, int) and not isinstance(budget, bool):
        return (None, budget) if budget > 0 else ("none", None)
    if effort is None:
        return (default if reasoning.get("enabled") is True else None), None
    return (effort if isinstance(effort, str) and effort in EFFORTS else default), None


def requested(body: Mapping[str, Any]) -> bool | None:
    """Whether a request asks for reasoning, as an empty ``reasoning`` does, too; None: it does not mention it."""
    effort, budget = requested_effort(body)
    if effort is not None or budget is not None:
        return effort != "none"
    return True if body.get("include_reasoning") is True or isinstance(body.get("reasoning"), dict) else None


def budget_of(effort: str, limit: int) -> int:
    """The tokens of an output limit that an effort may spend on reasoning."""
    return int(limit * RATIOS[effort])


def from_budget(budget: int, limit: int | None, known: Iterable[str] = ("low", "medium", "high")) -> str:
    """The effort whose share of the output limit is nearest to a budget; the lower one of two that are equally near."""
    share = budget / (limit or OUTPUT_TOKENS)
    known = frozenset(known)
    choices = [effort for effort in RATIOS if effort in known] or list(RATIOS)
    return min(choices, key=lambda effort: abs(RATIOS[effort] - share))


def nearest(effort: str, known: Iterable[str] | None) -> str:
    """The nearest effort that a model knows, the lower one of two that are equally near. ``none`` stays ``none``, and no other
    effort becomes it."""
    choices = [one for one in EFFORTS if one != "none" and one in (known or EFFORTS)]
    if effort == "none" or not choices:
        return effort
    position = EFFORTS.index(effort)
    return min(choices, key=lambda one: abs(EFFORTS.index(one) - position))
