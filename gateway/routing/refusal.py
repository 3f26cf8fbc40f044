"""Why no endpoint can serve a request: a message for people, and the same as data for programs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gateway.catalog.catalog import DOCS_URL
from gateway.errors import BadRequest, GatewayError, NoEndpoints, NoHealthyEndpoint, TooManyRequests
from gateway.routing.candidate import Drop, Need
from providers.context_length import ContextOverflow

HEALTH = frozenset({"breaker", "cooling", "credential", "rate_limit"})
CAPACITY = frozenset({"cooling", "rate_limit"})
SIZE = frozenset({"context_length"})
OPERATOR = frozenset({"provider_key", "unpriced"})
"""Filters that only the operator can change: the endpoints are listed but cannot be used on this gateway."""
MAX_LISTED = 50

ADVICE = {
    "allowed_providers": "widen provider.only, provider.ignore or provider.order",
    "data_policy:zdr": "drop provider.zdr",
    "data_policy:training": 'set provider.data_collection to "allow"',
    "quantization": "widen provider.quantizations",
    "max_price": "raise provider.max_price",
    "input_modalities": "choose a model that takes this input",
    "context_length": "shorten the messages or lower max_tokens",
    "require_parameters": "send fewer parameters or set provider.require_parameters to false",
    "distillable": "drop provider.enforce_distillable_text",
    "provider_key": "have the operator set the provider's API key",
    "unpriced": "have the operator add a price to the catalogue",
}


def refuse(models: Sequence[str], drops: Sequence[Drop], need: Need) -> GatewayError:
    """429 or 503 when waiting helps, 400 when the request is only too long for the endpoints that could serve it, else 404."""
    if any(drop.filter in HEALTH for drop in drops):
        return _unhealthy(models, drops)
    relevant = [drop for drop in drops if drop.filter not in OPERATOR]
    if relevant and all(drop.filter in SIZE for drop in relevant):
        return _too_long(models, drops, relevant, need)
    counts = Counter(drop.filter for drop in drops)
    names = _names(models)
    if not counts:
        message = f"No endpoints found for {names}: this gateway has no endpoint for it. GET /api/v1/models lists what it serves."
    else:
        reasons = "; ".join(_reason(name, drops) for name in counts)
        advice = [ADVICE[name] for name in counts if name in ADVICE]
        message = f"No endpoints found for {names}: {reasons}." + (
            f" To change that, {', or '.join(advice)}." if advice else ""
        )
    return NoEndpoints(
        message,
        metadata={"dropped": _listed(drops)},
        availability={**_availability(_code(counts), models), "excluded_by": list(counts)},
    )


def _code(counts: Counter[str]) -> str:
    if not set(counts) - OPERATOR:
        return "no_endpoints"
    if set(counts) - OPERATOR <= {"data_policy:zdr", "data_policy:training"}:
        return "privacy_restricted"
    return "constraint_filtered"


def _too_long(models: Sequence[str], drops: Sequence[Drop], relevant: Sequence[Drop], need: Need) -> BadRequest:
    """In the words that clients of OpenAI's API know: coding agents shorten the conversation or the answer because of them."""
    limit = max(drop.context_length for drop in relevant)
    alone = need.prompt_tokens > limit
    overflow = ContextOverflow(need.prompt_tokens, limit, 0 if alone else need.max_tokens or 0)
    error = BadRequest(
        overflow.words,
        metadata={"dropped": _listed(drops)},
        availability={
            **_availability("constraint_filtered", models),
            "excluded_by": list(dict.fromkeys(drop.filter for drop in relevant)),
        },
    )
    error.error_type, error.overflow = "context_length_exceeded", overflow
    return error


def _unhealthy(models: Sequence[str], drops: Sequence[Drop]) -> GatewayError:
    """429 when vendors' limits are all that keeps the endpoints away, else 503."""
    down = [drop for drop in drops if drop.filter in HEALTH]
    reached = {drop.filter for drop in down}
    limited = "rate_limit" in reached and reached <= CAPACITY
    wait_s = max(1, math.ceil(min([drop.wait_s for drop in down if drop.wait_s is not None], default=1.0)))
    reasons = "; ".join(f"{drop.provider} {drop.detail}" for drop in down[:5])
    more = f"; and {len(down) - 5} more" if len(down) > 5 else ""
    kind = TooManyRequests if limited else NoHealthyEndpoint
    code = "capacity_exhausted" if limited else "temporarily_unavailable"
    return kind(
        f"No endpoint of {_names(models)} is available right now: {reasons}{more}. Try again in {wait_s} s.",
        metadata={"dropped": _listed(drops)},
        retry_after_s=wait_s,
        availability={
            **_availability(code, models, retryable=True),
            "retry_after": wait_s,
            "affected_providers": list(dict.fromkeys(drop.provider for drop in down)),
        },
    )


def _availability(code: str, models: Sequence[str], *, retryable: bool = False) -> dict[str, Any]:
    return {"code": code, "retryable": retryable, "requested_models": list(models), "docs_url": DOCS_URL}


def _reason(name: str, drops: Sequence[Drop]) -> str:
    mine = [drop for drop in drops if drop.filter == name]
    first = f"{name} excluded {mine[0].provider} ({mine[0].detail})"
    return first if len(mine) == 1 else f"{first} and {len(mine) - 1} more"


def _listed(drops: Sequence[Drop]) -> list[dict[str, str]]:
    return [
        {"endpoint": drop.endpoint_id, "provider": drop.provider, "filter": drop.filter, "detail": drop.detail}
        for drop in drops[:MAX_LISTED]
    ]


def _names(models: Sequence[str]) -> str:
    shown = ", ".join(models[:3])
    return shown if len(models) <= 3 else f"{shown} and {len(models) - 3} more"
