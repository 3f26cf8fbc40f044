"""What a model is, from what its sellers say: name, release day, lengths, modalities."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from statistics import median_low
from typing import Any

from tools.catalog.price_rows import Offer

MADE_BY_MODE = {
    "embedding": "embeddings", "rerank": "rerank", "audio_speech": "speech", "audio_transcription": "transcription",
    "image_generation": "image",
}  # fmt: skip
INPUT_ORDER = ("text", "image", "file", "audio", "video")
SMALL_CAPS = {
    "gpt": "GPT",
    "glm": "GLM",
    "oss": "oss",
    "vl": "VL",
    "moe": "MoE",
    "tts": "TTS",
    "ai": "AI",
    "xai": "xAI",
    "it": "IT",
}
STAMP = re.compile(r"(20\d\d)-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])(?!\d)")
NO_LIMIT_KNOWN = {"image_generation": 32000, "audio_speech": 4096, "audio_transcription": 16000}
"""Context length, in tokens, of models whose vendor counts something else; generous, so that nothing is refused for it."""


def name(slug: str, offers: Sequence[Offer], home: Sequence[str]) -> str:
    """The maker's name for it, else what most sellers call it, else the slug made readable."""
    names = [(offer.seller, _clean(offer.name)) for offer in offers if offer.name]
    names = [(seller, text) for seller, text in names if text and _names(text, slug)]
    for source in (home, ("openrouter",)):
        found = [text for seller, text in names if seller in source]
        if found:
            return min(found, key=lambda text: (len(text), text))
    if names:
        counted = Counter(text for _, text in names)
        return max(counted, key=lambda text: (counted[text], -len(text), text))
    return readable(slug)


def _clean(text: str) -> str:
    text = text.partition(": ")[2] or text
    text = re.sub(r"\s*\((latest|free|eu|us|global|au|jp|new)\)", "", text, flags=re.IGNORECASE)
    text = text.rpartition("/")[2]
    return text.strip() if " " in text else ""


def _names(text: str, slug: str) -> bool:
    """The same digits: a display name of a snapshot, a tier or another size is not this model's."""
    digits = re.findall(r"\d+(?:\.\d+)?", text.replace("-", " "))
    wanted = re.findall(r"\d+(?:\.\d+)?", slug.partition("/")[2].replace("-", " "))
    return sorted(digits) == sorted(wanted)


def readable(slug: str) -> str:
    """``z-ai/glm-5.3-flash`` → ``GLM 5.3 Flash``."""
    words = re.split(r"[-_]", slug.partition("/")[2])
    words = [
        SMALL_CAPS.get(word) or (word.upper() if re.fullmatch(r"a?\d+(\.\d+)?[bk]", word) else word.capitalize())
        for word in words
    ]
    return re.sub(r"^GPT (?=[\d])", "GPT-", " ".join(words))


def _stamped(offers: Sequence[Offer], home: Sequence[str], listed: str) -> list[str]:
    """Days in the maker's own ids of snapshots: ``claude-opus-4-6-20260205``."""
    found = [STAMP.search(offer.upstream_id) for offer in offers if offer.seller in home]
    days = ["-".join(match.groups()) for match in found if match]
    return [day for day in days if day <= listed]


def created(offers: Sequence[Offer], home: Sequence[str], listed: str) -> str:
    """The maker's release day, else the earliest that two sellers name, else the earliest, else the day it was listed here."""
    days = [(offer.seller, offer.created) for offer in offers if offer.created and offer.created <= listed]
    own = [day for seller, day in days if seller in home]
    own = own or _stamped(offers, home, listed)
    if own:
        return min(own)
    counted = Counter(day for _, day in days)
    common = [day for day, times in counted.items() if times > 1]
    return min(common or counted or [listed])


def knowledge(offers: Iterable[Offer], home: Sequence[str]) -> date | None:
    """The knowledge cut-off that the maker states."""
    cutoffs = sorted(offer.knowledge for offer in offers if offer.knowledge and offer.seller in home)
    return date.fromisoformat(cutoffs[0]) if cutoffs else None


def context(offers: Sequence[Offer], mode: str, home: Sequence[str]) -> int:
    """The maker's, else the median of the sellers': some give what their machines can, some what they allow."""
    own = [offer.context for offer in offers if offer.context and offer.seller in home and offer.source == "models.dev"]
    own = own or [total(offer) for offer in offers if offer.context and offer.seller in home]
    lengths = own or [offer.context for offer in offers if offer.context]
    return median_low(lengths) if lengths else NO_LIMIT_KNOWN.get(mode, 8192)


def total(offer: Offer) -> int:
    """Prompt and answer together. LiteLLM gives OpenAI's limit of the prompt alone; the answer comes on top there."""
    length = offer.context or 0
    if (
        offer.source == "litellm"
        and offer.seller in ("openai", "azure")
        and offer.max_output
        and length in _PROMPT_LIMITS
    ):
        return length + offer.max_output
    return length


_PROMPT_LIMITS = (272000, 922000)


def modalities(offers: Sequence[Offer], home: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what goes in, what comes out) as the maker says, else as most sellers say."""
    mode = offers[0].mode
    own = [offer for offer in offers if offer.seller in home] or list(offers)
    taken = _majority([offer.inputs for offer in own if offer.inputs]) or {"text"}
    if mode == "audio_transcription":
        taken = {"audio"}
    if mode in MADE_BY_MODE:
        made = [MADE_BY_MODE[mode]]
        if mode == "image_generation" and any("text" in offer.outputs for offer in offers):
            made = ["image", "text"]
    else:
        found = _majority([offer.outputs for offer in own if offer.outputs]) or {"text"}
        made = [word for word in ("image", "audio", "text") if word in found] or ["text"]
    return [word for word in INPUT_ORDER if word in taken] or ["text"], made


def _majority(lists: Sequence[Sequence[str]]) -> set[str]:
    counted = Counter(word for words in lists for word in set(words))
    return {word for word, times in counted.items() if times * 2 >= len(lists)}


def open_weights(offers: Iterable[Offer]) -> bool | None:
    """What most sellers say; None when none does."""
    votes = [offer.open_weights for offer in offers if offer.open_weights is not None]
    return (sum(votes) * 2 > len(votes)) if votes else None


def family(offers: Iterable[Offer]) -> str | None:
    """What most sellers call the family."""
    counted = Counter(offer.family for offer in offers if offer.family)
    return max(counted, key=lambda word: (counted[word], word)) if counted else None


def ends(slug_offers: Sequence[Mapping[str, Any]]) -> str:
    """The last day on which somebody sells it; empty when one seller names no end."""
    days = [str(row["retires"]) for row in slug_offers]
    return max(days) if days and all(days) else ""
