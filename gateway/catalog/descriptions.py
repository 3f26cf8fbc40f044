"""One factual sentence about each model, made from the catalogue where its row has no ``description``. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

from gateway.catalog.attributes import Attributes
from gateway.catalog.catalog import Catalog
from gateway.catalog.model import Model

Class = tuple[str, str | None]
"""(what it is, its tier): models whose prices are compared; without a tier, all of that kind."""
MAX_LENGTH = 300
LEAST_CLASS = 5
"""Fewer priced models are no class to compare a price with."""
NEAR = 0.1
"""A price within so much of the median is near it."""
KINDS = (
    ("embeddings", "embedding model"),
    ("rerank", "reranking model"),
    ("transcription", "transcription model"),
    ("speech", "speech model"),
    ("image", "image model"),
    ("audio", "audio model"),
)
"""What a model makes → what it is; the first that fits. One that also makes text is a language model."""
TAKES = {"text": "text", "image": "images", "file": "files", "audio": "audio", "video": "video"}
MAKES = {**TAKES, "embeddings": "embeddings", "rerank": "rankings", "transcription": "transcripts", "speech": "speech"}
LICENCES = {
    "apache-2.0": "the Apache 2.0 licence",
    "cc-by-nc-4.0": "the licence CC BY-NC 4.0",
    "deepseek": "the DeepSeek licence",
    "gemma": "the Gemma licence",
    "grok-2": "the Grok 2 licence",
    "jamba-open": "the Jamba Open Model licence",
    "llama": "a Llama licence",
    "mistral-research": "the Mistral Research licence",
    "mit": "the MIT licence",
    "modified-mit": "a modified MIT licence",
    "qwen": "the Qwen licence",
}


def descriptions(catalog: Catalog, day: date) -> Mapping[str, str]:
    """Slug → the description written in its row, else a sentence. Made once for a catalogue and a UTC day."""
    kept: tuple[date, Mapping[str, str]] | None = catalog.memo.get(descriptions)
    if kept is None or kept[0] != day:
        kept = catalog.memo[descriptions] = (day, _all(catalog, day))
    return kept[1]


def _all(catalog: Catalog, day: date) -> dict[str, str]:
    facts = {slug: catalog.attributes.of(slug, day) for slug in catalog.models}
    prices = {slug: price for slug, model in catalog.models.items() if (price := _lowest_price(model, day)) is not None}
    classes: dict[Class, list[int]] = defaultdict(list)
    for slug, price in prices.items():
        for key in _classes(catalog.models[slug], facts[slug]):
            classes[key].append(price)
    medians = {key: median(each) for key, each in classes.items() if len(each) >= LEAST_CLASS}
    found: dict[str, str] = {}
    for slug, model in catalog.models.items():
        note = _price_note(prices[slug], _classes(model, facts[slug]), medians) if slug in prices else ""
        found[slug] = model.description or describe(model, facts[slug], note)
    return found


def describe(model: Model, facts: Attributes, price_note: str = "") -> str:
    """One sentence of at most 300 characters; what is not known is left out, and the end of it if it would be too long."""
    name = " ".join(model.name.split())[:100].rstrip(" .")
    start = f"{name} is {_what(model, facts)}"
    does = [f"takes {_joined(model.input_modalities, TAKES)}", f"makes {_joined(model.output_modalities, MAKES)}"]
    if _by_token(model):
        does.append(f"reads up to {model.context_length:,} tokens")
    sentence = f"{start}."
    clauses = [*_clauses(model, facts), f"; it {', '.join(does[:-1])} and {does[-1]}", price_note]
    for end in range(1, len(clauses) + 1):
        longer = f"{start}{''.join(clauses[:end])}."
        if len(longer) > MAX_LENGTH:
            break
        sentence = longer
    return sentence


def _what(model: Model, facts: Attributes) -> str:
    """``an open-weight reasoning model by Qwen``."""
    kind = kind_of(model)
    if kind == "language model" and facts.reasoning_model:
        kind = "reasoning model"
    weights = {True: "open-weight ", False: "closed-weight ", None: ""}[facts.open_weights]
    words = f"{weights}{kind} by {facts.author_name}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def kind_of(model: Model) -> str:
    """``language model``, ``embedding model`` ... by what it makes."""
    if "text" in model.output_modalities:
        return "language model"
    return next((kind for made, kind in KINDS if made in model.output_modalities), "model")


def _clauses(model: Model, facts: Attributes) -> list[str]:
    """The parts after the name, each with the comma before it."""
    tier = f"{facts.tier} tier" if facts.tier not in (None, "embed", "rerank") else None
    family = f"{facts.family} family" if facts.family else None
    place = " of the ".join(part for part in (tier, family) if part)
    clauses = [f", of the {place}"] if place else []
    if facts.params_total_b is not None:
        active = f", {_billions(facts.params_active_b)} of them active" if facts.params_active_b else ""
        clauses.append(f", with {_billions(facts.params_total_b)} parameters{active}")
    if facts.released is not None:
        clauses.append(f", released in {facts.released:%B %Y}")
    if facts.open_weights and facts.licence:
        under = LICENCES.get(facts.licence, f"the {facts.licence} licence")
        clauses.append(f" under {under}" if facts.released else f", under {under}")
    return clauses


def _by_token(model: Model) -> bool:
    return bool({"text", "embeddings", "rerank"} & set(model.output_modalities))


def _price_note(price: int, classes: Sequence[Class], medians: Mapping[Class, float]) -> str:
    """How a price stands to those of its class; nothing where the class is too small to say so."""
    closest = next((each for each in classes if each in medians), None)
    if price == 0 and classes:
        return ", free of charge"
    if closest is None:
        return ""
    middle, (kind, tier) = medians[closest], closest
    where = "near" if abs(price - middle) <= NEAR * middle else "below" if price < middle else "above"
    return f", at a price {where} the median of {f'{kind}s' if tier is None else 'its tier'}"


def _classes(model: Model, facts: Attributes) -> list[Class]:
    """The classes whose prices a model's is compared with, the closest first; none where tokens are not what is paid for."""
    if not {"text", "embeddings"} & set(model.output_modalities):
        return []
    kind = kind_of(model)
    return [(kind, facts.tier), (kind, None)] if facts.tier and facts.tier != "embed" else [(kind, None)]


def _lowest_price(model: Model, day: date) -> int | None:
    """Femto-dollars of a prompt and a completion token together at the cheapest seller that charges for them; 0 when none does."""
    priced = [price for endpoint in model.endpoints if (price := endpoint.price_on(day)) is not None]
    sums = [price.of("prompt") + price.of("completion") for price in priced]
    return min((each for each in sums if each), default=0 if sums else None)


def _billions(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:g}T"
    return f"{value:g}B" if value >= 1 else f"{value * 1000:g}M"


def _joined(modalities: Sequence[str], words: Mapping[str, str]) -> str:
    named = list(dict.fromkeys(words.get(each, each) for each in modalities))
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
