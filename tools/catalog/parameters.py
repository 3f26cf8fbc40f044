"""What may be asked of an endpoint: supported parameters, the reasoning object, and quirks of the dialect as options."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.catalog.merge import Sold
from tools.catalog.price_rows import CHAT_MODES, Offer

ORDER = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "stop", "seed", "logit_bias", "logprobs", "top_logprobs", "verbosity", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "structured_outputs", "reasoning", "include_reasoning", "reasoning_effort",
    "web_search_options",
)  # fmt: skip
SAMPLING = {"temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"}
COMPATIBLE = {"max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "stop", "seed"}
BY_DIALECT: Mapping[str, set[str]] = {
    "anthropic": {"max_tokens", "temperature", "top_p", "top_k", "stop"},
    "bedrock": {"max_tokens", "temperature", "top_p", "stop"},
    "gemini": {"max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop", "seed"},
    "vertex": {"max_tokens", "temperature", "top_p", "top_k", "stop"},
    "cohere": {"max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop", "seed"},
    "ollama": {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "stop",
        "seed",
    },
}
"""What the vendor's own API takes whatever the model."""
BY_MODE: Mapping[str, set[str]] = {"audio_transcription": {"temperature"}}
OPENAI_THINKS = re.compile(r"^openai/(o\d|codex|gpt-(5|6|7)(?!\d)(?!.*chat))")
"""OpenAI's reasoning models refuse sampling parameters and ``stop``, and take ``verbosity`` from GPT-5 on."""
CLAUDE = re.compile(r"^anthropic/claude-")
ADAPTIVE = re.compile(r"^anthropic/claude-(\w+-(4\.[6-9]|[5-9]|\d\d)(\.\d+)?|mythos\b.*)(-fast)?$")
LEVELS = re.compile(r"^google/gemini-([3-9]|\d\d)")


def known_traits(offers: Sequence[Offer]) -> dict[str, bool]:
    """One endpoint's traits: the first source that says counts, except that LiteLLM leaves out rather than denies."""
    traits: dict[str, bool] = {}
    for offer in offers:
        for trait, value in offer.traits.items():
            traits[trait] = traits.get(trait, False) or value if offer.source == "models.dev" else value
    return traits


def common_traits(all_offers: Iterable[Offer], home: Sequence[str]) -> dict[str, bool]:
    """What the maker says of a model, else what most sellers say: for endpoints without information of their own."""
    offers = list(all_offers)
    own = known_traits([offer for offer in offers if offer.seller in home])
    counts: dict[str, Counter[bool]] = {}
    for offer in offers:
        for trait, value in offer.traits.items():
            counts.setdefault(trait, Counter())[value] += 1
    return {trait: counted[True] > counted[False] for trait, counted in counts.items()} | own


def converses(one: Sold) -> bool:
    """It chats; so do models that make pictures and speak of them."""
    return one.mode in CHAT_MODES or (
        one.mode == "image_generation" and any("text" in offer.outputs for offer in one.offers)
    )


def supported(slug: str, one: Sold, dialect: str, common: Mapping[str, bool]) -> list[str]:
    """``supported_parameters`` of one endpoint."""
    if not converses(one):
        return [name for name in ORDER if name in BY_MODE.get(one.mode, ())]
    traits = known_traits(one.offers)
    for trait in ("tools", "reasoning", "sampling"):
        if trait in common:
            traits.setdefault(trait, common[trait])
    traits["reasoning"] = traits.get("reasoning", False) and common.get("reasoning", False)  # one seller alone is wrong
    names = set(BY_DIALECT.get(dialect, COMPATIBLE))
    thinks = bool(OPENAI_THINKS.match(slug))
    if thinks:
        names = {"max_tokens", "max_completion_tokens", "seed"} | ({"verbosity"} if "gpt-" in slug else set())
    elif traits.get("sampling") is False:
        names -= SAMPLING
    elif slug.startswith("openai/") and one.seller in ("openai", "azure", "openrouter") and "oss" not in slug:
        names |= {"logit_bias", "logprobs", "top_logprobs"}
    if traits.get("tools"):
        names |= {"tools", "tool_choice"}
        if slug.startswith("openai/") and "oss" not in slug and traits.get("parallel_tools"):
            names.add("parallel_tool_calls")
    if traits.get("structured"):
        names |= {"response_format", "structured_outputs"}
    if traits.get("reasoning") or thinks:
        names |= {"reasoning", "include_reasoning", "reasoning_effort"}
    if "-search-preview" in slug or (traits.get("web_search") and one.seller in ("perplexity", "openrouter")):
        names.add("web_search_options")
    return [name for name in ORDER if name in names]


def union(lists: Iterable[Sequence[str]]) -> list[str]:
    """What at least one endpoint takes: the model's own list."""
    found = {name for names in lists for name in names}
    return [name for name in ORDER if name in found]


def dialect_of(one: Sold, provider_dialect: str) -> str:
    """The dialect of an endpoint: ``responses`` where the model is sold through that API only."""
    return "responses" if one.mode == "responses" and provider_dialect in ("openai", "azure") else provider_dialect


def options(slug: str, one: Sold, dialect: str, common: Mapping[str, bool]) -> dict[str, Any]:
    """``options`` of one endpoint, in the words of its dialect (see the module of each in ``providers``)."""
    traits = {**common, **known_traits(one.offers)}
    sealed = {"encrypted_reasoning": True} if traits.get("reasoning") else {}
    if one.mode == "responses" and one.seller == "azure":
        return {"path": "/openai/v1/responses", "api_key_header": "api-key", "min_output_tokens": 16, **sealed}
    if slug == "openai/whisper-1" and dialect == "openai":
        return {"transcription_verbose": True}  # billed by the second, which only this form tells
    if not converses(one):
        return {}
    if CLAUDE.match(slug) and dialect == "anthropic":
        return _claude(slug, one, traits)
    if CLAUDE.match(slug) and dialect == "bedrock" and ADAPTIVE.match(slug):
        return {"reasoning": "adaptive"}
    if dialect in ("gemini", "vertex"):
        return _gemini(slug, one, traits)
    if dialect == "mistral":
        return {"reasoning": "prompt_mode"} if "magistral" in slug else {"efforts": ["none", "high"]}
    if dialect == "cohere" and not traits.get("reasoning"):
        return {"thinking": False}
    if dialect == "responses":
        return {"min_output_tokens": 16, **sealed, **_known_efforts(one)}
    return _known_efforts(one) if dialect in ("openai", "azure") else {}


def _known_efforts(one: Sold) -> dict[str, Any]:
    efforts = _efforts(one)
    return {"efforts": list(efforts)} if efforts else {}


def _claude(slug: str, one: Sold, traits: Mapping[str, bool]) -> dict[str, Any]:
    adaptive = bool(ADAPTIVE.match(slug))
    found: dict[str, Any] = {"thinking": ("adaptive" if adaptive else "budget") if traits.get("reasoning") else "none"}
    if adaptive:
        efforts = [effort for effort in _efforts(one) if effort not in ("none", "minimal")]
        found |= {"efforts": efforts} if efforts else {}
    if traits.get("native_structured"):
        found["structured_outputs"] = "native"
    if traits.get("sampling") is False:
        found["sampling"] = "none"
    if traits.get("mid_system"):
        found["mid_system"] = True
    if traits.get("prefill") is False:
        found["prefill"] = False
    limits = [offer.max_output for offer in one.offers if offer.max_output]
    return {**found, "max_completion_tokens": limits[0]} if limits else found


def _gemini(slug: str, one: Sold, traits: Mapping[str, bool]) -> dict[str, Any]:
    if not traits.get("reasoning"):
        return {"thinking": "none"}
    if LEVELS.match(slug):
        levels = [effort for effort in _efforts(one) if effort not in ("none", "max")]
        return {"thinking": "level", "thinking_levels": levels} if levels else {"thinking": "level"}
    if slug.startswith("google/gemini-2.5-pro"):
        return {"thinking_budget_min": 128, "thinking_budget_max": 32768}
    return {}


def _efforts(one: Sold) -> tuple[str, ...]:
    return next((offer.efforts for offer in one.offers if offer.efforts), ())


def reasoning(
    slug: str, offers: Iterable[Offer], home: Sequence[str], kept: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The model's ``reasoning`` object; None for models that do not reason. ``kept``: what is written by hand."""
    offers = list(offers)
    efforts = next((offer.efforts for offer in offers if offer.efforts and offer.seller in home), ())
    found: dict[str, Any] = {"mandatory": bool(kept.get("mandatory", any(offer.always_thinks for offer in offers)))}
    if efforts and "none" not in efforts and OPENAI_THINKS.match(slug):
        found["mandatory"] = True
    if "default_enabled" in kept or found["mandatory"]:
        found["default_enabled"] = bool(kept.get("default_enabled", True))
    if efforts:
        found["supported_efforts"] = [
            effort for effort in reversed(efforts) if effort != "none" or not found["mandatory"]
        ]
    return found
