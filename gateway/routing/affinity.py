"""Does the next turn of a conversation go where the last one went? Pure. Applied in front of the default policy.

A vendor that has read a conversation's beginning reads it again at a fraction of the price, for as long as it keeps it. So the
endpoint of the last turn leads again while it is healthy and, with that discount, not dearer than what else there is. The caller's
``order`` and ``sort`` and suffixes go first (docs/adr/0051).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from gateway.catalog.model import Price
from gateway.conversations import Conversation, Turn
from gateway.routing.candidate import Candidate
from gateway.routing.policies import steady
from providers.types import Usage

NAME = "affinity"
CACHED_FROM_TOKENS = 1024
"""The shortest prompt that large vendors cache (OpenAI 1,024; Anthropic and Google 1,024 to 4,096 by model; 2026-11). A
conversation that the caller names is kept together from its first turn on, as it will grow."""
NEAR_PERCENT = 125
"""An endpoint is left when it would cost more than this share of the cheapest one, its cached beginning considered."""
MISSES_MAX = 2
"""After so many turns that came back and were not read from a cache, the vendor does not cache this conversation."""
HOUR_S = 3600


class Verdict(NamedTuple):
    """What becomes of a conversation among the candidates of one group."""

    leader: Candidate | None
    """The candidate that goes first; None: the policy's choice stands."""
    reason: str


NOT_HERE = Verdict(None, "left: its endpoint cannot serve this request now")


def saves(price: Price) -> bool:
    """Whether a prompt that is read from the cache costs less than one that is not."""
    return price.of("input_cache_read") < price.of("prompt")


def cached_prefix(conversation: Conversation) -> tuple[str | None, int]:
    """(endpoint id, tokens of the prompt that it has probably cached)."""
    last = conversation.last
    if last is None or last.misses >= MISSES_MAX:
        return None, 0
    return last.endpoint_id, last.prompt_tokens


def verdict(ranked: Sequence[Candidate], conversation: Conversation, last: Turn, slow: Collection[str]) -> Verdict:
    """Who leads ``ranked``, the policy's order. ``slow``: ids of candidates that miss a speed that the caller prefers.

    Where the price alone speaks against the last endpoint, the cheapest one takes the conversation over, so that it moves once.
    """
    mine = next((each for each in ranked if each.endpoint.id == last.endpoint_id), None)
    if mine is None:
        return NOT_HERE
    if not steady(mine):
        return Verdict(None, "left: its endpoint is not healthy")
    if last.endpoint_id in slow:
        return Verdict(None, "left: its endpoint is slower than preferred")
    if not conversation.named and last.misses >= MISSES_MAX:
        return Verdict(None, "left: its endpoint reports no cached tokens")
    cheapest = mine
    for each in ranked:
        if each.expected_femto < cheapest.expected_femto and steady(each) and each.endpoint.id not in slow:
            cheapest = each
    if mine.expected_femto * 100 > cheapest.expected_femto * NEAR_PERCENT:
        return Verdict(cheapest, "moved: another endpoint is cheaper")
    return Verdict(mine, "kept")


class Memory(NamedTuple):
    """What to remember of an answered turn, see ``Turn``."""

    ttl_s: int
    misses: int


def memory(conversation: Conversation, candidate: Candidate, usage: Usage) -> Memory | None:
    """What to remember when ``candidate`` has answered; None where caching does not pay.

    ``usage`` is the vendor's report. Reading from a cache renews it; what was written for an hour stays for an hour.
    """
    price = candidate.price.at(conversation.prompt_tokens)
    if not conversation.named and (conversation.prompt_tokens < CACHED_FROM_TOKENS or not saves(price)):
        return None
    ttl_s, last = candidate.endpoint.provider.prompt_cache_ttl_s, conversation.last
    back = last if last is not None and last.endpoint_id == candidate.endpoint.id else None
    cached = usage.cache_read + usage.cache_write + usage.cache_write_1h + usage.audio_cache_read > 0
    if usage.cache_write_1h:
        ttl_s = max(ttl_s, HOUR_S)
    elif cached and back is not None:
        ttl_s = max(ttl_s, back.ttl_s)
    if cached or back is None:
        return Memory(ttl_s, 0)
    return Memory(ttl_s, back.misses if usage.estimated else back.misses + 1)
