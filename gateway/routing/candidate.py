"""The values that filters and policies work on: the request's needs, candidates and dropped endpoints."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median

import msgspec

from gateway.catalog.model import Endpoint, Price
from gateway.conversations import Conversation
from gateway.health.registry import EndpointHealth
from gateway.health.rolling_stats import Percentiles
from gateway.routing.preferences import Preferences

TYPICAL_COMPLETION_TOKENS = 400
"""Only for comparing costs: the average completion in OpenRouter's 2025 study."""


class Need(msgspec.Struct, frozen=True):
    """What the request itself demands of an endpoint."""

    prompt_tokens: int = 0
    max_tokens: int | None = None
    parameters: frozenset[str] = frozenset()
    """Names as in ``supported_parameters``: only those that the caller sent."""
    input_modalities: frozenset[str] = frozenset({"text"})
    operation: str = "chat"


class RoutingContext(msgspec.Struct, frozen=True):
    """Everything a decision may depend on besides the endpoints. ``now`` in unix seconds."""

    need: Need
    preferences: Preferences
    now: float
    rng: random.Random
    conversation: Conversation | None = None


class Candidate(msgspec.Struct, frozen=True):
    """An endpoint with its present health and expected cost, eligible for this request."""

    endpoint: Endpoint
    price: Price
    health: EndpointHealth
    expected_femto: int
    """What a request like this costs there, in femto-dollars: for comparing, not for holding credit. The beginning of a
    conversation that the endpoint has probably cached counts at the price of reading it from there."""


class Drop(msgspec.Struct, frozen=True):
    """Why an endpoint is not a candidate."""

    endpoint_id: str
    provider: str
    """Display name."""
    model: str
    filter: str
    detail: str
    wait_s: float | None = None
    """Set when waiting helps."""
    context_length: int = 0
    """The endpoint's, in tokens."""


def expected_femto(price: Price, need: Need, cached_tokens: int = 0) -> int:
    """Cost of the estimated prompt, of a typical completion within ``max_tokens``, and of the request itself.

    ``cached_tokens`` of the prompt are probably read from the vendor's cache.
    """
    completion = min(need.max_tokens or TYPICAL_COMPLETION_TOKENS, TYPICAL_COMPLETION_TOKENS)
    if price.tiers:
        price = price.at(need.prompt_tokens)
    femto = price.femto
    expected = need.prompt_tokens * femto["prompt"] + completion * femto["completion"] + femto.get("request", 0)
    if cached_tokens:
        expected -= min(cached_tokens, need.prompt_tokens) * (femto["prompt"] - price.of("input_cache_read"))
    return expected


def speeds(
    candidates: Sequence[Candidate], measured: Callable[[EndpointHealth], Percentiles | None]
) -> dict[str, Percentiles | None]:
    """Endpoint id → its percentiles, or typical ones where nothing is measured: a new endpoint is neither best nor worst.

    Typical = the median of the same model's endpoints, else of all candidates, else None.
    """
    known: dict[str, list[Percentiles]] = defaultdict(list)
    for candidate in candidates:
        own = measured(candidate.health)
        if own is not None:
            known[candidate.endpoint.model].append(own)
    everywhere = [each for peers in known.values() for each in peers]
    found: dict[str, Percentiles | None] = {}
    for candidate in candidates:
        peers = known.get(candidate.endpoint.model) or everywhere
        found[candidate.endpoint.id] = measured(candidate.health) or (_typical(peers) if peers else None)
    return found


def _typical(peers: Sequence[Percentiles]) -> Percentiles:
    return Percentiles(*(median(values) for values in zip(*peers, strict=True)))
