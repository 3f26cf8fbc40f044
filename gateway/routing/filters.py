"""May this endpoint be used? Each filter answers None (yes) or the reason why not, in plain words.

A filter has the name that the public contract lists for ``excluded_by``, if there is one. Order: who may serve (the
operator, the caller's lists), on which terms (data, quantization, price), then what the endpoint can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gateway.catalog.model import Endpoint, Price
from gateway.catalog.parameters import PARAMETERS
from gateway.health.registry import EndpointHealth
from gateway.money import format_price
from gateway.routing.candidate import Need, RoutingContext
from gateway.routing.preferences import PRICE_CAPS, matches

__all__ = ["SOFT", "Filter", "Need", "applicable", "soft_misses", "unhealthy"]

QUANTIZATION_FAMILIES = {"fp4": ("mxfp4", "nvfp4"), "fp8": ("mxfp8",)}
SOFT = ("tools", "response_format", "structured_outputs", "verbosity")
"""Parameters worth preferring an endpoint for: ignoring them silently would change the meaning of the answer."""

SAME_AS = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "include_reasoning": "reasoning",
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
}
"""Parameter → another one; an endpoint that supports the other one supports it too."""

Filter = Callable[[Endpoint, Price | None, RoutingContext], str | None]


def no_key(endpoint: Endpoint, _: Price | None, __: RoutingContext) -> str | None:
    provider = endpoint.provider
    if provider.usable:
        return None
    needed = provider.lacking or (provider.api_key_env or "its credential",)
    return f"{' and '.join(needed)} {'are' if len(needed) > 1 else 'is'} not set on this gateway"


def operation(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    needed = context.need.operation
    if needed in endpoint.operations:
        return None
    offered = " and ".join(sorted(endpoint.operations)) or "no operation of this gateway"
    return f"offers {offered}, wanted is {needed}"


def unpriced(endpoint: Endpoint, price: Price | None, _: RoutingContext) -> str | None:
    return (
        None if price is not None else f"no price is written for {endpoint.upstream_id} today, and unpriced is not free"
    )


def allowed(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    preferences = context.preferences
    if preferences.only and not matches(preferences.only, endpoint):
        return f"{endpoint.tag} is not in provider.only"
    if preferences.ignore and matches(preferences.ignore, endpoint):
        return f"{endpoint.tag} is in provider.ignore"
    if preferences.order and not preferences.allow_fallbacks and not matches(preferences.order, endpoint):
        return f"{endpoint.tag} is not in provider.order, and allow_fallbacks is false"
    return None


def zdr(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    if context.preferences.zdr and endpoint.provider.data_policy.retains_prompts:
        return f"{endpoint.provider.name} may keep prompts"
    return None


def training(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    policy = endpoint.provider.data_policy
    if context.preferences.data_collection == "deny" and (policy.training or policy.retains_prompts):
        return f"{endpoint.provider.name} may {'train on' if policy.training else 'keep'} prompts"
    return None


def quantization(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    accepted, mine = context.preferences.quantizations, endpoint.quantization or "unknown"
    if not accepted or mine in accepted or any(mine in QUANTIZATION_FAMILIES.get(each, ()) for each in accepted):
        return None
    return f"runs at {mine}, wanted is {' or '.join(sorted(accepted))}"


def max_price(_: Endpoint, price: Price | None, context: RoutingContext) -> str | None:
    for kind, cap in context.preferences.max_price_femto.items():
        mine = price.of(kind) if price is not None else 0
        if mine > cap:
            per, units = ("M tokens", PRICE_CAPS[kind]) if PRICE_CAPS[kind] > 1 else (kind, 1)
            return f"{kind} costs ${format_price(mine * units)} per {per}, the cap is ${format_price(cap * units)}"
    return None


def modalities(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    missing = context.need.input_modalities - endpoint.input_modalities
    return f"does not take {' and '.join(sorted(missing))} input" if missing else None


def context_length(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    if context.need.operation != "chat":  # a batch of texts, each of which may fill the whole context
        return None
    output, most = context.need.max_tokens or 0, endpoint.max_completion_tokens
    needed = context.need.prompt_tokens + (output if most is None else min(output, most))
    if needed <= endpoint.context_length:
        return None
    return f"holds {endpoint.context_length} tokens, the request needs about {needed}"


def require_parameters(endpoint: Endpoint, _: Price | None, context: RoutingContext) -> str | None:
    known = endpoint.supported_parameters
    missing = {
        name for name in context.need.parameters & PARAMETERS if name not in known and SAME_AS.get(name) not in known
    }
    return f"does not support {', '.join(sorted(missing))}" if missing else None


BY_SIZE = frozenset({"context_length", "max_completion_tokens"})


class SizeLimits(NamedTuple):
    """The largest request that fits every one of some endpoints: no filter of ``BY_SIZE`` drops any of them."""

    context: float
    completion: float

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint], operation: str) -> SizeLimits:
        """The smallest limits of the endpoints."""
        if operation != "chat":
            return cls(math.inf, math.inf)
        most = [each.max_completion_tokens for each in endpoints if each.max_completion_tokens is not None]
        return cls(min([each.context_length for each in endpoints], default=0), min(most, default=math.inf))

    def fits(self, need: Need) -> bool:
        """Whether a request is within the limits."""
        completion = need.max_tokens or 0
        return need.prompt_tokens + completion <= self.context and completion <= self.completion


def applicable(context: RoutingContext) -> list[tuple[str, Filter]]:
    """(name, filter) of every filter that can matter to this request, in order."""
    preferences, need = context.preferences, context.need
    all_filters = (
        (True, "operation", operation),
        (True, "provider_key", no_key),
        (preferences.only or preferences.ignore or preferences.order, "allowed_providers", allowed),
        (True, "unpriced", unpriced),
        (preferences.zdr, "data_policy:zdr", zdr),
        (preferences.data_collection == "deny", "data_policy:training", training),
        (preferences.quantizations, "quantization", quantization),
        (preferences.max_price_femto, "max_price", max_price),
        (True, "input_modalities", modalities),
        (True, "context_length", context_length),
        (preferences.require_parameters and need.parameters, "require_parameters", require_parameters),
    )
    return [(name, filter_) for needed, name, filter_ in all_filters if needed]


def short_answers(endpoints: Sequence[Endpoint], need: Need) -> Iterator[tuple[str, str]]:
    """(id, reason) of endpoints that write less than ``max_tokens``, where others of the same model write as much.

    When none does, all stay, and the limit is lowered for each (``upstream_request.adapted``): agents send a constant.
    """
    limit = need.max_tokens
    if limit is None or len(endpoints) < 2:
        return
    short = [
        each for each in endpoints if each.max_completion_tokens is not None and each.max_completion_tokens < limit
    ]
    if len(short) < len(endpoints):
        for each in short:
            yield each.id, f"writes at most {each.max_completion_tokens} tokens, max_tokens is {limit}"


def soft_misses(endpoints: Sequence[Endpoint], need: Need) -> Iterator[tuple[str, str]]:
    """(id, reason) of endpoints that ignore a parameter which others of the same model support.

    When none supports it, it is ignored and all endpoints stay.
    """
    if len(endpoints) < 2 or need.parameters.isdisjoint(SOFT):
        return
    left = endpoints
    for parameter in SOFT:
        if parameter not in need.parameters:
            continue
        able = [endpoint for endpoint in left if parameter in endpoint.supported_parameters]
        if not able or len(able) == len(left):
            continue
        for endpoint in left:
            if parameter not in endpoint.supported_parameters:
                yield endpoint.id, f"would ignore {parameter}, which other endpoints of this model support"
        left = able


def unhealthy(health: EndpointHealth) -> tuple[str, str]:
    """(filter, detail) for an endpoint that is not available: down, cooling, limited or refused. It may come back by itself."""
    wait_s = f" for {math.ceil(health.wait_s)} s" if health.wait_s is not None else ""
    details = {
        "rate_limit": f"is at its rate limit{wait_s}",
        "cooling": f"asked for a pause{wait_s}",
        "credential": f"refused this gateway's key; out{wait_s}",
        "breaker": f"failed too often; out{wait_s}",
    }
    reason = health.reason or "breaker"
    return reason, details[reason]
