"""Offers of all sources → models, each with the endpoints that can be bought on the day of the build."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.catalog import names
from tools.catalog.choose import Dispute, decide, outliers, shorthand
from tools.catalog.inputs import Inputs
from tools.catalog.names import Name, Slugs
from tools.catalog.price_rows import CHAT_MODES, Offer, Rates

ROUTED = ("global.", "us.")
"""Bedrock's newer models are called through an inference profile; the widest one is taken."""
CHATS = re.compile(r"instruct|chat|-it\b")
"""Where a seller has both the base model and the one that converses, the latter is meant."""
UNIT_OF_MODE = {
    "image_generation": ("usd_per_image_output", "image_output_token"),
    "audio_speech": ("usd_per_mchar", "audio_output", "completion"),
    "audio_transcription": ("usd_per_minute", "audio", "prompt"),
    "rerank": ("usd_per_search_unit", "prompt"),
    "embedding": ("prompt",),
}
"""What must be priced, above zero, for such an endpoint to be billed at all: one of these."""


@dataclass(frozen=True, slots=True)
class Sold:
    """One endpoint: a model under one id of one seller."""

    seller: str
    upstream_id: str
    variant: str
    name: Name
    offers: tuple[Offer, ...]
    """One per source, litellm first."""
    rates: Rates

    @property
    def mode(self) -> str:
        """The newest source's word."""
        return self.offers[0].mode


@dataclass(slots=True)
class Merged:
    """Models by slug, and what a reader of the build should know."""

    models: dict[str, list[Sold]] = field(default_factory=dict)
    offers: dict[str, list[Offer]] = field(default_factory=dict)
    """Every offer of a model, also of sellers that have withdrawn it: facts come from there."""
    disputes: list[Dispute] = field(default_factory=list)
    unpriced: int = 0
    unknown: set[tuple[str, str]] = field(default_factory=set)
    """(seller, upstream id) whose maker is unknown."""


def merge(inputs: Inputs) -> Merged:
    """The whole of it."""
    merged = Merged()
    slugs = _slugs(inputs)
    grouped = _grouped(inputs.offers, slugs, merged)
    choices = {(str(one["provider"]), str(one["upstream_id"])): one for one in inputs.choices}
    for slug, rows in grouped.items():
        merged.offers[slug] = [offer for offers in rows.values() for offer in offers]
        sold = [one for key, offers in rows.items() if (one := _sold(key, offers, inputs, choices, merged)) is not None]
        sold = _believable(slug, _not_withdrawn(slug, sold, inputs), merged)
        if sold and _worth_listing(slug, sold, inputs, slugs):
            merged.models[slug] = sorted(_one_each(sold, inputs), key=lambda one: _order(slug, one, inputs))
    for slug in inputs.models:
        merged.models.setdefault(slug, [])
    listed = {(one.seller, one.upstream_id) for sold in merged.models.values() for one in sold}
    merged.disputes = [
        one for one in merged.disputes if (one.provider, one.upstream_id) in listed or one.chosen == "nothing"
    ]
    return merged


def _slugs(inputs: Inputs) -> Slugs:
    aliases = {spelling: slug for slug, spellings in inputs.names["slugs"].items() for spelling in spellings}
    listed = [slug for slug in inputs.modelsdev["openrouter"]["models"] if ":" not in slug and "~" not in slug]
    return Slugs([*inputs.oracle.names_at("openrouter"), *listed, *inputs.models], aliases, inputs.names["authors"])


Row = tuple[str, str, str]
"""(seller, upstream id in lower case, variant)"""


def _grouped(offers: Iterable[Offer], slugs: Slugs, merged: Merged) -> dict[str, dict[Row, list[Offer]]]:
    grouped: dict[str, dict[Row, list[Offer]]] = defaultdict(lambda: defaultdict(list))
    for offer in offers:
        found = slugs.of(offer.seller, offer.upstream_id)
        if found is None:
            merged.unknown.add((offer.seller, offer.upstream_id))
            continue
        row = grouped[found[0]][offer.seller, offer.upstream_id.lower(), found[1]]
        if offer.source not in {known.source for known in row}:
            row.append(offer)
    return _one_spelling(grouped, slugs)


def _one_spelling(grouped: Mapping[str, dict[Row, list[Offer]]], slugs: Slugs) -> dict[str, dict[Row, list[Offer]]]:
    """Models that only their sellers name: those of one key are one model, under the shortest of the names."""
    spelled: dict[tuple[str, str], str] = {}
    for slug in sorted(grouped, key=lambda slug: (not slugs.listed(slug), len(slug), slug)):
        spelled.setdefault((slug.partition("/")[0], names.read(slug).key), slug)
    together: dict[str, dict[Row, list[Offer]]] = {}
    for slug, rows in grouped.items():
        own = slug if slugs.listed(slug) else spelled[slug.partition("/")[0], names.read(slug).key]
        together.setdefault(own, {}).update(rows)
    return dict(sorted(together.items()))


def _sold(
    key: Row, offers: list[Offer], inputs: Inputs, choices: Mapping[tuple[str, str], Mapping[str, Any]], merged: Merged
) -> Sold | None:
    offers = sorted(offers, key=lambda offer: offer.source != "litellm")
    provider = inputs.providers[key[0]]
    if not _vouched_for(offers, provider.get("sourced")):
        return None
    if _ended(offers, inputs.today, curated=bool(provider.get("curated"))):
        return None
    upstream_id = _spelling(offers)
    oracle = inputs.oracle.rates(provider.get("genai"), upstream_id) if offers[0].mode in CHAT_MODES else None
    verdict = decide(offers, oracle, choices.get((key[0], upstream_id)), free=bool(provider.get("free")))
    if verdict.dispute is not None:
        merged.disputes.append(verdict.dispute)
    if verdict.rates is None or not _billable(offers[0].mode, verdict.rates, free=bool(provider.get("free"))):
        merged.unpriced += 1
        return None
    return Sold(key[0], upstream_id, key[2], names.read(upstream_id), tuple(offers), verdict.rates)


def _vouched_for(offers: list[Offer], pages: str | None) -> bool:
    """Where LiteLLM's list of a provider is unreliable, a row counts only with a matching page or a second source."""
    return (
        not pages or len(offers) > 1 or offers[0].source != "litellm" or bool(re.search(pages, offers[0].rates.source))
    )


def _ended(offers: list[Offer], today: str, *, curated: bool) -> bool:
    """Whether it is withdrawn: the newest source says so, or no longer lists it."""
    if curated and offers[0].source != "litellm":
        return True
    return bool(offers[0].retires) and offers[0].retires <= today


def _spelling(offers: list[Offer]) -> str:
    """Ids may differ in case only between the sources; the one with capitals was copied from the vendor."""
    return max((offer.upstream_id for offer in offers), key=lambda text: sum(letter.isupper() for letter in text))


def _billable(mode: str, rates: Rates, *, free: bool) -> bool:
    wanted = UNIT_OF_MODE.get(mode)
    if wanted is None:
        return "prompt" in rates.mtok
    return free or any((rates.units.get(name) or rates.mtok.get(name)) for name in wanted)


def _believable(slug: str, sold: list[Sold], merged: Merged) -> list[Sold]:
    prices = {f"{one.seller} {one.upstream_id}": one.rates for one in sold if one.rates.mtok and not one.rates.free}
    refused = outliers(prices)
    for one in sold:
        why = refused.get(f"{one.seller} {one.upstream_id}")
        if why:
            shown = {one.offers[0].source: shorthand(one.rates)}
            merged.disputes.append(
                Dispute(one.seller, one.upstream_id, shown, "nothing", f"not believed: {why} ({slug})")
            )
    return [one for one in sold if f"{one.seller} {one.upstream_id}" not in refused]


def _not_withdrawn(slug: str, sold: list[Sold], inputs: Inputs) -> list[Sold]:
    """Without resellers of which only the older source knows, where a closed model's maker does not sell it any more."""
    home = inputs.names["home"].get(slug.partition("/")[0]) or ()
    sellers = {one.seller for one in sold}
    curated = [seller for seller in home if inputs.providers[seller].get("curated")]
    is_open = any(offer.open_weights for one in sold for offer in one.offers)
    if not curated or is_open or sellers & set(home):
        return sold
    return [one for one in sold if one.offers[0].source == "litellm"]


def _worth_listing(slug: str, sold: list[Sold], inputs: Inputs, slugs: Slugs) -> bool:
    """OpenRouter lists it, or we name it, or two sellers have it, or its maker sells it."""
    sellers = {one.seller for one in sold}
    home = set(inputs.names["home"].get(slug.partition("/")[0]) or ())
    return slugs.listed(slug) or slug in inputs.models or len(sellers) > 1 or bool(sellers & home)


def _one_each(sold: list[Sold], inputs: Inputs) -> list[Sold]:
    """Of several ids of one seller for the same thing, the one to call: undated, known to both sources, short."""
    best: dict[tuple[str, str], Sold] = {}
    for one in sorted(sold, key=_preference):
        best.setdefault((one.seller, one.variant), one)
    return list(best.values())


def _preference(one: Sold) -> tuple[Any, ...]:
    routed = next((rank for rank, prefix in enumerate(ROUTED) if one.upstream_id.startswith(prefix)), len(ROUTED))
    at_vertex = one.seller == "google-vertex" and one.mode in CHAT_MODES
    return (
        routed if one.seller == "amazon-bedrock" else 0,
        one.name.dated is not at_vertex,  # Vertex names Claude with its date, everybody else also without
        one.name.quantization is not None,
        CHATS.search(one.upstream_id.lower()) is None,
        -len(one.offers),
        one.offers[0].source != "litellm",
        len(one.upstream_id),
        one.upstream_id,
    )


def _order(slug: str, one: Sold, inputs: Inputs) -> tuple[Any, ...]:
    """The maker first, then in the order of ``providers.yaml``."""
    home = inputs.names["home"].get(slug.partition("/")[0]) or ()
    return (one.seller not in home, list(inputs.providers).index(one.seller), one.variant)
