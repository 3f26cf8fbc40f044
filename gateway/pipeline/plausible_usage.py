"""What an answer can have used at most. A vendor's report above that is cut down, and the rest is for the operator to settle with
the vendor (docs/adr/0080). Pure.

Each bound has its reason in what was asked, what was delivered, or what a vendor sells at all. None is tight: a report that is
merely surprising is billed as it is. It must not know: prices, who pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.catalog.model import Endpoint, Model
from gateway.pipeline.request import InferenceRequest
from gateway.prompt_size import TEXT_ONLY, Prompt
from providers.types import Usage
from providers.usage import PROMPT_KINDS

LIMIT_PERCENT, LIMIT_SLACK = 110, 16
"""Vendors end an answer at ``max_tokens``, give or take a stop sequence or a speculative step. Reasoning is output there
(OpenAI's ``max_completion_tokens``, Anthropic, Gemini, xAI: their API references, 2026-11)."""
PROMPT_FACTOR, PROMPT_SLACK = 8, 2_048
"""No tokenizer makes eight times our estimate of a text, two tokens a byte. Vendors add a prompt for tools to it:
Anthropic's is below 1,000 tokens (docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview, 2026-11)."""
OUTPUT_FACTOR, OUTPUT_SLACK = 4, 1_024
"""Of a model that only writes text and does not think: more than four times our count, a token a byte, was not delivered."""
HOSTED_TURNS = 10
"""Tools that the vendor runs are answered within one request, and each turn reads its context again."""
IMAGES_MAX, IMAGE_TOKENS_MAX = 10, 62_400
"""Pictures in one answer of a chat, and their tokens: ten of the largest that is sold (``pricing.IMAGE_OUTPUT_TOKENS``)."""
UNITS_MAX: Mapping[str, int] = {
    "web_search": 100,
    "image_output": IMAGES_MAX,
    "search_unit": 1_000,
    "character": 1_000_000,
    "audio_ms": 24 * 3_600_000,
}
"""Units in one answer, where we have no count of our own. Perplexity's deep research makes some twenty to forty searches
(docs.perplexity.ai/getting-started/pricing, 2026-11)."""
UNIT_FACTOR = 4
"""A vendor may count bytes for characters, or round minutes up; not more than four times what we counted ourselves."""
REASONING_APART = "max_tokens_excludes_reasoning"
"""Option of an endpoint whose vendor limits the visible answer alone. SiliconFlow: ``max_tokens`` excludes the chain of thought
(docs.siliconflow.com/en/userguide/capabilities/reasoning, 2026-11)."""


def is_ordinary(usage: Usage, request: InferenceRequest, delivered_tokens: int) -> bool:
    """Whether a report is within the narrowest of all bounds, so that nobody has to look at them. Nearly every report is."""
    most = request.max_tokens or OUTPUT_SLACK
    return (
        usage.completion_total <= most
        and (most <= OUTPUT_SLACK or usage.completion_total <= OUTPUT_FACTOR * delivered_tokens + OUTPUT_SLACK)
        and usage.prompt_total <= PROMPT_FACTOR * request.prompt.tokens + PROMPT_SLACK
        and usage.units is None
        and not usage.suspect
    )


def believed(
    usage: Usage,
    request: InferenceRequest,
    endpoint: Endpoint,
    model: Model | None,
    delivered_tokens: int,
    *,
    filtered: bool,
) -> Usage:
    """The report as far as it can be true: ``usage`` itself when all of it can.

    ``delivered_tokens``: our own count of the output. ``filtered``: the vendor kept back what it had written. ``model``: None where
    what was delivered says nothing about the report.
    """
    changes: dict[str, Any] = {}
    prompt = request.prompt
    likely = PROMPT_FACTOR * prompt.tokens + PROMPT_SLACK
    if usage.prompt_total > max(likely, prompt.tokens_bound, _context(request, endpoint)):
        changes |= dict.fromkeys(PROMPT_KINDS, 0) | {"prompt": prompt.tokens}
    changes |= _output(usage, request, endpoint, model, delivered_tokens, filtered=filtered)
    if usage.units:
        units = {kind: _units(kind, count, prompt) for kind, count in usage.units.items()}
        if units != usage.units:
            changes["units"] = units
    # The vendor's own price, too, is that of what it reported.
    return structs.replace(usage, **changes, cost_usd=None) if changes else usage


def _context(request: InferenceRequest, endpoint: Endpoint) -> int:
    """What a prompt may have at most that is not all in the request's text: media, and what the vendor's own tools found."""
    if _has_hosted_tools(request.body):
        return HOSTED_TURNS * endpoint.context_length
    if request.prompt.modalities is not TEXT_ONLY or request.operation != "chat":
        return endpoint.context_length
    return 0


def _has_hosted_tools(body: Mapping[str, Any]) -> bool:
    """Whether the vendor may run tools, or read what is not in the request. A model may also search by itself: its endpoint then
    has a price for searches or reports its own cost, and few tokens of it are billed as prompt."""
    if body.get("plugins") or body.get("web_search_options") or body.get("documents"):
        return True
    return any(tool.get("type", "function") not in ("function", "custom") for tool in body.get("tools") or ())


def _output(
    usage: Usage, request: InferenceRequest, endpoint: Endpoint, model: Model | None, ours: int, *, filtered: bool
) -> dict[str, int]:
    """The kinds of output that must be lowered: to ``max_tokens``; to our own count, if it is more than the endpoint can write at
    all, or more than was delivered by a model that neither thinks nor draws.
    """
    choices = request.body.get("n")
    choices = choices if isinstance(choices, int) and choices > 1 else 1
    turns = HOSTED_TURNS if _has_hosted_tools(request.body) else 1
    most = (endpoint.max_completion_tokens or endpoint.context_length) * choices * turns
    if request.operation != "chat":
        most = max(most, IMAGE_TOKENS_MAX)
    limit = request.max_tokens * choices * turns if request.max_tokens else most
    image, audio, text = min(usage.image_completion, IMAGE_TOKENS_MAX), usage.audio_completion, usage.completion
    reasoning = usage.reasoning
    spoken = text + audio if endpoint.options.get(REASONING_APART) else text + audio + reasoning
    if max(spoken, reasoning) > most * LIMIT_PERCENT // 100 + LIMIT_SLACK or (
        not filtered and text > OUTPUT_FACTOR * ours + OUTPUT_SLACK and _only_writes(request, model, usage)
    ):
        audio, text, reasoning = 0, min(ours, limit) if request.operation == "chat" else 0, 0
    elif spoken > limit * LIMIT_PERCENT // 100 + LIMIT_SLACK:
        audio = min(audio, limit)
        text = min(text, limit - audio)
        if not endpoint.options.get(REASONING_APART):
            reasoning = min(reasoning, limit - audio - text)
    found = {"completion": text, "reasoning": reasoning, "audio_completion": audio, "image_completion": image}
    return {kind: count for kind, count in found.items() if count != getattr(usage, kind)}


def _only_writes(request: InferenceRequest, model: Model | None, usage: Usage) -> bool:
    """Whether all output is text that we have seen: no reasoning, pictures, sound, or calls of the vendor's own tools."""
    if model is None or usage.reasoning or usage.has_media or tuple(model.output_modalities) != ("text",):
        return False
    thinks = model.reasoning is not None or "reasoning" in model.supported_parameters
    return not thinks and not _has_hosted_tools(request.body)


def _units(kind: str, count: int, prompt: Prompt) -> int:
    """So many units at most: four times our own count, else what ``UNITS_MAX`` says. Then our own count is billed, else that.

    Where our own count is what a file says of itself, the most that it may be is billed instead: whoever sends a recording of an
    hour that claims to be a second would else pay for a second.
    """
    known = prompt.units.get(kind) if prompt.units is not None else None
    most = prompt.units_most.get(kind) if prompt.units_most is not None else None
    if known is not None and most is not None:
        return min(count, max(most, UNIT_FACTOR * known))
    if known is not None:
        return count if count <= UNIT_FACTOR * max(known, 1) else known
    return min(count, UNITS_MAX.get(kind, 0))
