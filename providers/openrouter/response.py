"""OpenRouter's answers: OpenAI's, with the cost. Pure.

``usage.cost`` is what OpenRouter charged. For calls with the operator's own key at the vendor (``is_byok``) it is OpenRouter's fee
alone, and what the vendor charged (``cost_details.upstream_inference_cost``) is added (openrouter.ai/docs, usage accounting and
byok, 2026-11).
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from providers.openai.response import read_completion as read_openai_completion
from providers.openrouter.errors import raise_error
from providers.types import Completion, Json, Usage
from providers.usage import Counts, normalise


def read_completion(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: empty, malformed, or the error that the answer carries."""
    raise_error(raw)
    completion = read_openai_completion(raw)
    reported = completion.body.get("usage")
    if completion.usage is not None and isinstance(reported, dict):
        completion.usage = with_cost(reported, completion.usage)
    return completion


def with_cost(raw: Json, usage: Usage) -> Usage:
    """``usage``, which was read from ``raw``, with all that the call cost the operator and the number of web searches."""
    counts, details = Counts(), raw.get("cost_details")
    searches = counts.take(raw.get("server_tool_use_details") or raw.get("server_tool_use"), "web_search_requests")
    if searches or counts.suspect:
        units = {"web_search": searches} if searches else None
        usage = replace(usage, units=units, suspect=usage.suspect or counts.suspect)
    if raw.get("is_byok") is not True or not isinstance(details, dict):
        return usage
    vendors_cost = normalise({"cost": details.get("upstream_inference_cost")}).cost_usd
    return usage if vendors_cost is None else replace(usage, cost_usd=(usage.cost_usd or Decimal(0)) + vendors_cost)
