"""Gemini's ``usageMetadata`` as disjoint ``Usage``, and the searches it bills. Pure.

``promptTokenCount`` includes ``cachedContentTokenCount``; ``candidatesTokenCount`` excludes ``thoughtsTokenCount``; results of
Gemini's own tools are ``toolUsePromptTokenCount``, beside the prompt; the total is the sum of prompt, candidates, tool use and
thoughts (google-genai 3.4 ``GenerateContentResponseUsageMetadata``). Modalities are in ``*Details``. Images and videos of
a prompt cost what text costs, audio does not (ai.google.dev/gemini-api/docs/pricing, 2026-11). Search is billed by the query
from Gemini 3 on, by the prompt before (same page).
"""

from __future__ import annotations

from typing import Any

from providers.types import Json, Usage
from providers.usage import Counts


def usage_of(raw: Any) -> Usage | None:
    """The usage of one report; None without a report, or when it counts nothing at all (a prompt is never empty)."""
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
        answer -= thoughts  # some proxies count as OpenAI does: thoughts within the answer
    if cached > prompt:
        counts.suspect = True
        cached = prompt
    fresh = prompt - cached
    audio_prompt = audio_cached = 0
    if "promptTokensDetails" in raw or "toolUsePromptTokensDetails" in raw:
        audio_prompt = _share(counts, raw, "promptTokensDetails", "AUDIO")
        if audio_prompt:
            audio_cached = min(_share(counts, raw, "cacheTokensDetails", "AUDIO"), cached)
            audio_prompt = min(max(audio_prompt - audio_cached, 0), fresh)
    audio_answer = image_answer = 0
    if "candidatesTokensDetails" in raw:
        audio_answer = min(_share(counts, raw, "candidatesTokensDetails", "AUDIO"), answer)
        image_answer = min(_share(counts, raw, "candidatesTokensDetails", "IMAGE"), answer - audio_answer)
    return Usage(
        prompt=fresh - audio_prompt + tools,
        cache_read=cached - audio_cached,
        audio_cache_read=audio_cached,
        completion=answer - audio_answer - image_answer,
        reasoning=thoughts,
        audio_prompt=audio_prompt,
        audio_completion=audio_answer,
        image_completion=image_answer,
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
    """Number of billed searches of an answer by ``model`` that these queries grounded."""
    made = len([query for query in queries if query]) if isinstance(queries, list) else 0
    older = isinstance(model, str) and model.removeprefix("models/").startswith(("gemini-1", "gemini-2"))
    return min(made, 1) if older else made
