"""Gemini's ``usageMetadata`` as disjoint ``Usage``, and what is not tokens. Pure.

``promptTokenCount`` includes ``cachedContentTokenCount``; ``candidatesTokenCount`` excludes ``thoughtsTokenCount``; results of
Gemini's own tools are ``toolUsePromptTokenCount``, beside the prompt; the total is the sum of prompt, candidates, tool use and
thoughts (google-genai 3.4 ``GenerateContentResponseUsageMetadata``). Modalities stand in ``*Details``. Pictures and videos of
a prompt cost what text costs, sound does not (ai.google.dev/gemini-api/docs/pricing, 2026-11). Search is billed by the query
from Gemini 3 on, before by the prompt (same page).
"""

from __future__ import annotations

from typing import Any

from providers.types import Json, Usage
from providers.usage import Counts


def usage_of(raw: Any) -> Usage | None:
    """One report; None when there is none, or when it counts nothing at all (a prompt is never empty)."""
    if not isinstance(raw, dict):
        return None
    counts = Counts()
    prompt = counts.take(raw, "promptTokenCount")
    cached = counts.take(raw, "cachedContentTokenCount")
    tools = counts.take(raw, "toolUsePromptTokenCount")
    answer = counts.take(raw, "candidatesTokenCount")
    thoughts = counts.take(raw, "thoughtsTokenCount")
    total = counts.take(raw, "totalTokenCount")
    if not (prompt or tools or answer or thoughts or counts.suspect):
        return None
    if 0 < thoughts <= answer and total == prompt + tools + answer:
        answer -= thoughts  # a proxy that counts as OpenAI does
    if cached > prompt:
        counts.suspect = True
        cached = prompt
    fresh = prompt - cached
    heard = kept = 0
    if "promptTokensDetails" in raw or "toolUsePromptTokensDetails" in raw:
        heard = _share(counts, raw, "promptTokensDetails", "AUDIO")
        if heard:
            kept = min(_share(counts, raw, "cacheTokensDetails", "AUDIO"), cached)
            heard = min(max(heard - kept, 0), fresh)
    spoken = drawn = 0
    if "candidatesTokensDetails" in raw:
        spoken = min(_share(counts, raw, "candidatesTokensDetails", "AUDIO"), answer)
        drawn = min(_share(counts, raw, "candidatesTokensDetails", "IMAGE"), answer - spoken)
    return Usage(
        prompt=fresh - heard + tools,
        cache_read=cached - kept,
        audio_cache_read=kept,
        completion=answer - spoken - drawn,
        reasoning=thoughts,
        audio_prompt=heard,
        audio_completion=spoken,
        image_completion=drawn,
        suspect=counts.suspect,
    )


def _share(counts: Counts, raw: Json, name: str, modality: str) -> int:
    details = raw.get(name)
    if not isinstance(details, list):
        return 0
    return sum(
        counts.take(one, "tokenCount") for one in details if isinstance(one, dict) and one.get("modality") == modality
    )


def searches(queries: Any, model: Any) -> int:
    """Searches to be billed for an answer of ``model`` that was grounded by these queries."""
    asked = len([query for query in queries if query]) if isinstance(queries, list) else 0
    older = isinstance(model, str) and model.removeprefix("models/").startswith(("gemini-1", "gemini-2"))
    return min(asked, 1) if older else asked
