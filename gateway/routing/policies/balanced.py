"""The default: price-weighted chance among healthy endpoints, as OpenRouter documents it up to autumn 2026.

1. Endpoints with an outage in the last thirty seconds go last; those below 95 % and 80 % uptime before them.
2. Of the best group that has any, one is drawn with weight 1/price²: at prices of 1 and 3 the cheap one leads 9 : 1.
3. The rest are fallbacks by price; equal prices in random order, so that a failing leader's load spreads.

A half-open endpoint whose outage is over leads when a healthy fallback is ready: somebody has to try it, and the
breaker lets only one request at a time do so.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.candidate import Ask, Candidate

OUTAGE_GROUP = 3


def rank(candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    if len(candidates) < 2:
        return list(candidates)
    chance = ask.dice.random
    keyed = sorted(((group(each), each.expected_femto, chance()), place) for place, each in enumerate(candidates))
    ranked = [candidates[place] for _, place in keyed]
    best = keyed[0][0][0]
    leader = draw([place for (level, _, _), place in keyed if level == best], candidates, ask)
    ranked.sort(key=lambda each: each is not candidates[leader])
    probe = next((each for each in ranked if _ready_to_try(each)), None)
    if probe is not None:
        ranked.sort(key=lambda each: each is not probe)
    return ranked


def group(candidate: Candidate) -> int:
    """0 stable, 1 and 2 the lower uptime bands, 3 a recent outage."""
    return OUTAGE_GROUP if candidate.health.recent_outage else candidate.health.band


def draw(places: Sequence[int], candidates: Sequence[Candidate], ask: Ask) -> int:
    """One of the places by chance, weighted by the inverse square of the expected cost. What is free beats what is not."""
    costs = [candidates[place].expected_femto for place in places]
    cheapest = min(costs)
    weights = [float(cost == 0) if cheapest == 0 else (cheapest / cost) ** 2 for cost in costs]
    return ask.dice.choices(places, weights)[0]


def _ready_to_try(candidate: Candidate) -> bool:
    return candidate.health.state == "half_open" and not candidate.health.recent_outage
