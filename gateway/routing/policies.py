"""Which first? A policy ranks the candidates of one group (one model's, or all models' with ``partition: none``).

The contract, proved for every policy by ``tests/contracts/test_policies.py``:

- pure: no I/O, no clock; randomness only from ``context.rng``, so equal inputs give equal ranks
- returns each candidate exactly once: policies rank, filters drop
- the caller's preferences are ``context.preferences``; facts about endpoints are read from ``candidate.health``, never kept here

A new policy is a function and a row of ``POLICIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.routing.candidate import Candidate, RoutingContext, speeds

Policy = Callable[[Sequence[Candidate], RoutingContext], list[Candidate]]
OUTAGE_GROUP = 3
FULL_PRECISION_BITS = 16
PRECISION_BITS = {"int4": 4, "fp4": 4, "mxfp4": 4, "nvfp4": 4, "fp6": 6, "int8": 8, "fp8": 8, "mxfp8": 8}
"""Bits of a weight. What is not listed, or not known, counts as full precision: first-party hosts do not say."""
ENOUGH_SAMPLES = 5
"""With fewer measured answers in the last five minutes, what is known of an endpoint's speed may be a bad moment of long ago."""
UNMEASURED_SHARE, STALE_SHARE = 0.125, 0.05
"""So many requests that are sorted by speed try an endpoint of which nothing is known, or of which too little is known of late."""


def balanced(candidates: Sequence[Candidate], context: RoutingContext) -> list[Candidate]:
    """The default: a price-weighted random choice among healthy endpoints, as OpenRouter documents it up to autumn 2026.

    1. Endpoints with an outage in the last thirty seconds go last; those below 95 % and 80 % uptime before them.
    2. From the best group that is not empty, one is drawn with weight 1/price²: at prices of 1 and 3 the cheap one leads 9 : 1.
    3. The rest are fallbacks by price; equal prices in random order, so that the load of a failing leader spreads.

    A half-open endpoint whose outage is over leads when a healthy fallback is ready: some request has to try it,
    and the breaker lets only one at a time do so.
    """
    if len(candidates) < 2:
        return list(candidates)
    random = context.rng.random
    keyed = sorted(
        ((uptime_group(each), each.expected_femto, random()), place) for place, each in enumerate(candidates)
    )
    ranked = [candidates[place] for _, place in keyed]
    best = keyed[0][0][0]
    leader = _draw([place for (level, _, _), place in keyed if level == best], candidates, context)
    ranked.sort(key=lambda each: each is not candidates[leader])
    probe = next((each for each in ranked if _ready_to_try(each)), None)
    if probe is not None:
        ranked.sort(key=lambda each: each is not probe)
    return ranked


def uptime_group(candidate: Candidate) -> int:
    """0 stable, 1 and 2 the lower uptime bands, 3 a recent outage."""
    return OUTAGE_GROUP if candidate.health.recent_outage else candidate.health.band


def _draw(places: Sequence[int], candidates: Sequence[Candidate], context: RoutingContext) -> int:
    """One of the indexes ``places`` at random, weighted by the inverse square of the expected cost. A free one always wins."""
    costs = [candidates[place].expected_femto for place in places]
    cheapest = min(costs)
    weights = [float(cost == 0) if cheapest == 0 else (cheapest / cost) ** 2 for cost in costs]
    return context.rng.choices(places, weights)[0]


def _ready_to_try(candidate: Candidate) -> bool:
    return candidate.health.state == "half_open" and not candidate.health.recent_outage


def price(candidates: Sequence[Candidate], context: RoutingContext) -> list[Candidate]:
    """``sort: price`` and ``:floor``: the cheapest for this request first, strictly."""
    del context
    return sorted(candidates, key=lambda candidate: (candidate.expected_femto, candidate.endpoint.id))


def latency(candidates: Sequence[Candidate], context: RoutingContext) -> list[Candidate]:
    """``sort: latency``: the shortest time to the first token (median) first; equal ones by price. See ``_explored``."""
    known = speeds(candidates, lambda health: health.latency_ms)

    def key(candidate: Candidate) -> tuple[float, int, str]:
        latency_ms = known[candidate.endpoint.id]
        return (latency_ms.p50 if latency_ms else 0.0, candidate.expected_femto, candidate.endpoint.id)

    return _explored(sorted(candidates, key=key), context)


def throughput(candidates: Sequence[Candidate], context: RoutingContext) -> list[Candidate]:
    """``sort: throughput`` and ``:nitro``: the most tokens a second (median) first; equal ones by price. See ``_explored``."""
    known = speeds(candidates, lambda health: health.throughput_tps)

    def key(candidate: Candidate) -> tuple[float, int, str]:
        tokens_per_s = known[candidate.endpoint.id]
        return (-tokens_per_s.p50 if tokens_per_s else 0.0, candidate.expected_femto, candidate.endpoint.id)

    return _explored(sorted(candidates, key=key), context)


def _explored(ranked: list[Candidate], context: RoutingContext) -> list[Candidate]:
    """``ranked``, or now and then with an endpoint in front whose speed is not known well enough.

    An order by speed learns only of the endpoints that it puts first: without this, one slow answer, or none, would decide for as
    long as it is remembered. Nothing is tried without a fallback, and nothing that is not healthy.
    """
    if len(ranked) < 2 or not context.preferences.allow_fallbacks:
        return ranked
    few = [each for each in ranked if each.health.speed_samples < ENOUGH_SAMPLES and steady(each)]
    unmeasured = [each for each in few if each.health.latency_ms is None and each.health.throughput_tps is None]
    share = UNMEASURED_SHARE if unmeasured else STALE_SHARE
    if few and context.rng.random() < share:
        tried = context.rng.choice(unmeasured or few)
        ranked.sort(key=lambda each: each is not tried)
    return ranked


def steady(candidate: Candidate) -> bool:
    """Whether nothing speaks against an endpoint: its breaker is closed, its uptime normal, its last thirty seconds good."""
    return candidate.health.state == "closed" and uptime_group(candidate) == 0


def exacto(candidates: Sequence[Candidate], context: RoutingContext) -> list[Candidate]:
    """``sort: exacto`` and ``:exacto``: who is likeliest to call tools well, strictly; equal ones by price.

    OpenRouter ranks by benchmarks and by the tool calls of all its callers, which a gateway of one's own does not have. What is
    known here: measured uptime, and how far the weights were quantized, which is what makes hosts of one model differ.
    """
    del context

    def key(candidate: Candidate) -> tuple[int, int, int, str]:
        endpoint = candidate.endpoint
        bits = PRECISION_BITS.get(endpoint.quantization or "unknown", FULL_PRECISION_BITS)
        return (uptime_group(candidate), -bits, candidate.expected_femto, endpoint.id)

    return sorted(candidates, key=key)


def order(candidates: Sequence[Candidate], context: RoutingContext, rest: Policy) -> list[Candidate]:
    """``provider.order``: the named endpoints in the caller's order, then the others as ``rest`` ranks them."""
    places = {name: place for place, name in enumerate(context.preferences.order)}

    def place(candidate: Candidate) -> int:
        endpoint = candidate.endpoint
        return min(places.get(endpoint.tag, len(places)), places.get(endpoint.provider.slug, len(places)))

    return sorted(rest(candidates, context), key=place)


POLICIES: Mapping[str, Policy] = {
    "balanced": balanced,
    "price": price,
    "throughput": throughput,
    "latency": latency,
    "exacto": exacto,
}
"""What ``sort`` may name, and the default."""
DEFAULT = "balanced"


def rank(candidates: Sequence[Candidate], context: RoutingContext, sort: str | None) -> tuple[str, list[Candidate]]:
    """(name of the policy, ranked candidates). ``provider.order`` goes before any sort and switches balancing off."""
    if context.preferences.order:
        return "order", order(candidates, context, POLICIES[sort or "price"])
    name = sort or DEFAULT
    return name, POLICIES[name](candidates, context)
