"""How much credit a request needs: the most that any of its candidates may bill. Pure.

    max_tokens   the whole is held, or the request is refused
    none         held is what a model may write, but no more than a share of what is free; where that does not cover the model's
                 whole output, the hold decides how much may be written, and the vendor is told
    none, and a stream that can be stopped at any token
                 held in steps, see ``Generation._extend``

It must not know: the ledger, attempts, the formats of vendors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway import pricing
from gateway.catalog.model import Endpoint
from gateway.errors import PaymentRequired
from gateway.money import format_usd, parse_usd
from gateway.pipeline.plausible_usage import REASONING_APART
from gateway.pipeline.request import InferenceRequest
from gateway.routing.plan import Candidate, Plan
from gateway.settings import Settings
from providers import rights
from providers.media.token_count import UNBOUNDED
from providers.transport.json_body import json_body

SHARE = 16
"""One request without ``max_tokens`` holds at most this part of the free credit: others of its organisation run beside it."""
SPEECH_TOKENS = 8
"""Audio tokens of a spoken character. gpt-4o-mini-tts: $0.015 a minute at $12 a million are 1,250 tokens for 800 characters; four
times as slow where the instructions ask for it (platform.openai.com/docs/pricing, 2026-11)."""
TRANSCRIPT_TOKENS_PER_S = 10
"""Of a transcript: twice as fast as anyone speaks."""
OWN_TOOL_TOKENS = 1_024
"""What a vendor writes into the prompt for a tool of its own: Anthropic 245 for bash, 700 for the editor, 735 for the computer and
499 more (docs.anthropic.com/en/docs/agents-and-tools/tool-use, 2026-11)."""
READS = (
    "web_search", "web_fetch", "file_search", "code_interpreter", "code_execution", "mcp", "google_", "url_context",
    "x_search", "collections_search", "browser", "openrouter:",
)  # fmt: skip
"""Types of tools with which a vendor reads what is not in the request, and bills it as the prompt."""


SEARCHES_HELD = 10
"""Searches that an answer may make where the request says no other number (Anthropic's ``max_uses``): as many as turns of
vendors' own tools are believed in (``plausible_usage.HOSTED_TURNS``)."""
_HELD_BESIDE = {"web_search": SEARCHES_HELD, "image_output": 4}
"""Price kind of the calls of a vendor's own tool → how many of them are held."""


class CreditNeed(msgspec.Struct, frozen=True):
    """What a request needs."""

    worst: tuple[pricing.Worst, ...]
    """Of each candidate, with its whole output."""
    amount_nano: int
    """Covers all of them."""
    least_nano: int
    """What is enough for a useful answer: the same where the caller has set ``max_tokens``."""
    tokens: int
    """Output tokens that ``least_nano`` covers."""
    most_tokens: int
    """Output tokens that ``amount_nano`` covers."""
    beside: int
    """Those of them that no limit limits: reasoning, and what of a prediction was wrong."""


def need(request: InferenceRequest, plan: Plan, settings: Settings) -> CreditNeed:
    """The credit for a request, as its plan and the settings want it."""
    endpoints = [candidate.endpoint for candidate in plan.candidates]
    prompts = _prompts(request, endpoints)
    first = settings.default_max_tokens
    beside = [_beside(request, endpoint) for endpoint in endpoints]
    if request.operation != "chat":
        most = least = [_made(request)] * len(endpoints)
    elif request.max_tokens is not None:
        most = least = [_written(each, request.max_tokens) + more for each, more in zip(endpoints, beside, strict=True)]
    else:
        most = [_longest(each) + more for each, more in zip(endpoints, beside, strict=True)]
        least = [min(_longest(each), first) + more for each, more in zip(endpoints, beside, strict=True)]
        if request.stream and all(_stoppable(endpoint) for endpoint in endpoints):
            most = least
    fee, prompt = settings.fee_basis_points, request.prompt
    prices = [candidate.price for candidate in plan.candidates]
    beside_femto = [_calls_femto(request, candidate) for candidate in plan.candidates]
    worst = tuple(map(pricing.Worst, prices, prompts, most, beside_femto))
    amount_nano = least_nano = pricing.hold_nano(worst, prompt, fee)
    if least is not most:
        least_nano = pricing.hold_nano(map(pricing.Worst, prices, prompts, least, beside_femto), prompt, fee)
    return CreditNeed(
        worst, amount_nano, least_nano, max(least, default=0), max(most, default=0), max(beside, default=0)
    )


def _prompts(request: InferenceRequest, endpoints: Sequence[Endpoint]) -> list[int]:
    """Upper bounds of the prompt. Only a chat has a context that limits all of it together."""
    if request.operation != "chat":
        bounds = request.prompt.bounds([(endpoint.model, None) for endpoint in endpoints])
        return [_each_in_context(bound, endpoint) for bound, endpoint in zip(bounds, endpoints, strict=True)]
    bounds = request.prompt.bounds([(endpoint.model, endpoint.context_length) for endpoint in endpoints])
    tools = request.body.get("tools") or ()
    own = [kind for tool in tools if (kind := tool.get("type")) not in ("function", "custom", None)]
    if own:
        bounds = [bound + OWN_TOOL_TOKENS * len(own) for bound in bounds]
    if _reads(request.body, own):
        return [max(bound, endpoint.context_length) for bound, endpoint in zip(bounds, endpoints, strict=True)]
    return bounds


def _each_in_context(bound: int, endpoint: Endpoint) -> int:
    """Where several inputs have a context each: a file of unknown size fills one."""
    files, others = divmod(bound, UNBOUNDED)
    return files * endpoint.context_length + others


def _reads(body: Mapping[str, Any], own: Sequence[Any]) -> bool:
    """Whether the vendor may put something into the prompt that is not in the request. ``own``: types of its own tools."""
    if body.get("web_search_options") is not None or body.get("plugins"):
        return True
    return any(str(kind).startswith(READS) for kind in own)


def _calls_femto(request: InferenceRequest, candidate: Candidate) -> int:
    """What the calls of the vendor's own tools may cost beside their tokens, in femto-dollars."""
    tools, search = request.body.get("tools"), request.body.get("web_search_options")
    if request.operation != "chat" or (not tools and search is None):
        return 0
    counts = {"web_search": SEARCHES_HELD} if search is not None else {}
    for tool in rights.own_tools(tools):
        kind = rights.price_kind(tool, candidate.endpoint.dialect)
        if kind in _HELD_BESIDE:
            most = tool.get("max_uses")
            counts[kind] = counts.get(kind, 0) + (most if type(most) is int and most > 0 else _HELD_BESIDE[kind])
    return sum(candidate.price.of(kind) * count for kind, count in counts.items())


def _longest(endpoint: Endpoint) -> int:
    """The most output tokens of an endpoint that is told no limit."""
    most = endpoint.max_completion_tokens
    return min(most, endpoint.context_length) if most else endpoint.context_length


def _written(endpoint: Endpoint, limit: int) -> int:
    """Output tokens of an endpoint that is told ``limit``."""
    return min(limit, endpoint.max_completion_tokens) if endpoint.max_completion_tokens else limit


def _beside(request: InferenceRequest, endpoint: Endpoint) -> int:
    """Output tokens that an endpoint may bill beside those that its limit limits."""
    beside = _longest(endpoint) if endpoint.options.get(REASONING_APART) and _thinks(endpoint) else 0
    prediction = request.body.get("prediction")
    if prediction is not None:  # what of it was wrong is billed as output
        beside += len(json_body(prediction))
    return beside


def _thinks(endpoint: Endpoint) -> bool:
    supported = endpoint.supported_parameters
    return "reasoning" in supported or not supported


def _stoppable(endpoint: Endpoint) -> bool:
    """Whether all that a stream costs is to be seen in it as it comes, and ends when it is closed."""
    return endpoint.provider.cancel_stops_billing and not _thinks(endpoint)


def _made(request: InferenceRequest) -> int:
    """Output tokens of an operation beside chat."""
    units = request.prompt.units_most or request.prompt.units or {}
    tokens = units.get("image_output", 0) * pricing.IMAGE_OUTPUT_TOKENS + units.get("character", 0) * SPEECH_TOKENS
    return tokens + -(-units.get("audio_ms", 0) // 1_000) * TRANSCRIPT_TOKENS_PER_S


def covered(wanted: CreditNeed, held_nano: int, request: InferenceRequest, settings: Settings) -> int | None:
    """How many output tokens the vendor is to be told, because no more is held; None: the hold covers all that it may write."""
    if held_nano >= wanted.amount_nano:
        return None
    tokens = pricing.covered_tokens(wanted.worst, request.prompt, held_nano, settings.fee_basis_points)
    return None if tokens is None else max(tokens - wanted.beside, 1)


def unaffordable(
    refused: PaymentRequired, wanted: CreditNeed, request: InferenceRequest, settings: Settings
) -> PaymentRequired:
    """The refusal with the text that clients of OpenRouter parse, and the number of tokens that the caller can afford."""
    remaining_nano = parse_usd(refused.metadata["remaining"])
    affordable = pricing.covered_tokens(wanted.worst, request.prompt, remaining_nano, settings.fee_basis_points)
    affordable = max((affordable or 0) - wanted.beside, 0)
    source = refused.metadata.get("limit_source", "credits")
    remedy = "raise the key's limit" if source == "key_limit" else "add credits"
    return PaymentRequired(
        "This request requires more credits, or fewer max_tokens. You requested up to "
        f"{wanted.tokens - wanted.beside} tokens, but can only afford {affordable}. To increase, {remedy}.",
        metadata={
            "provider_name": None,
            "limit_source": source,
            "required_usd": format_usd(wanted.least_nano),
            "remaining_usd": format_usd(remaining_nano),
        },
    )
