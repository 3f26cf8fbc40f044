"""Merged models → the rows of ``config/{providers,models,prices}``, as plain values in the order in which they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from tools.catalog import attributes, facts, parameters
from tools.catalog.inputs import Inputs
from tools.catalog.merge import Merged, Sold
from tools.catalog.price_rows import CHAT_MODES, Offer, Rates, plain

Rows = dict[str, list[dict[str, Any]]]
"""File stem → rows."""
PROVIDER_KEYS = (
    "slug", "name", "dialect", "base_url", "api_key_env", "credentials_env", "credential_chain", "variables", "data_policy",
    "headquarters", "datacenters", "privacy_policy_url", "terms_of_service_url", "status_page_url", "cancel_stops_billing",
    "prompt_cache_ttl_s", "headers", "options",
)  # fmt: skip
COMPATIBLE_OPTIONS = {"max_tokens_field": "max_tokens"}
"""Most OpenAI-compatible vendors know this field alone."""
TOKEN_KINDS = (
    "prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h", "internal_reasoning", "audio",
    "audio_output", "input_audio_cache", "image_token", "image_output_token",
)  # fmt: skip
UNIT_KINDS = (
    "usd_per_request", "usd_per_image", "usd_per_image_output", "usd_per_search_unit", "usd_per_web_search", "usd_per_mchar",
    "usd_per_minute",
)  # fmt: skip


def providers(inputs: Inputs, sellers: set[str]) -> dict[str, dict[str, Any]]:
    """One row for each provider that sells something: models.dev's facts under the hand-kept ones."""
    return {slug: _provider(slug, row, inputs) for slug, row in inputs.providers.items() if slug in sellers}


def _provider(slug: str, kept: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    theirs: Mapping[str, Any] = next((inputs.modelsdev[name] for name in kept.get("models_dev") or ()), {})
    found = {
        "slug": slug,
        "name": theirs.get("name"),
        "dialect": "openai",
        "base_url": str(theirs.get("api") or "").rstrip("/"),
        "api_key_env": next(iter(theirs.get("env") or ()), None),
        "cancel_stops_billing": False,  # what is not known counts as the worse for us; the row's own default is not relied on
        "data_policy": {"training": True, "retains_prompts": True},
    }
    found |= {name: value for name, value in kept.items() if name in PROVIDER_KEYS}
    if "options" not in kept and found["dialect"] == "openai":
        found["options"] = COMPATIBLE_OPTIONS
    elif found["dialect"] == "openai" and kept.get("options") and "max_tokens_field" not in kept["options"]:
        found["options"] = kept["options"] if slug in ("groq", "xai") else COMPATIBLE_OPTIONS | kept["options"]
    return {
        name: found[name]
        for name in PROVIDER_KEYS
        if found.get(name) is not None or (name == "api_key_env" and name in found)
    }


def models(inputs: Inputs, merged: Merged) -> Rows:
    """Author → model rows, by slug."""
    rows: Rows = {}
    for slug in sorted(merged.models):
        rows.setdefault(slug.partition("/")[0], []).append(_model(slug, inputs, merged))
    taken = {row["slug"] for listed in rows.values() for row in listed}
    for listed in rows.values():
        for row in listed:
            row["aliases"] = [alias for alias in row.get("aliases") or () if alias not in taken]
            if not row["aliases"]:
                del row["aliases"]
    return rows


def _model(slug: str, inputs: Inputs, merged: Merged) -> dict[str, Any]:
    sold, kept = merged.models[slug], inputs.models.get(slug) or {}
    offers = merged.offers.get(slug) or []
    chats = [offer for offer in offers if offer.mode in CHAT_MODES] or offers
    home = inputs.names["home"].get(slug.partition("/")[0]) or ()
    mode = sold[0].mode if sold else "chat"
    taken, made = facts.modalities(chats, home) if chats else (["text"], ["text"])
    length = kept.get("context_length") or (facts.context(chats, mode, home) if chats else 8192)
    common = parameters.common_traits(chats, home)
    lists = [parameters.supported(slug, one, _dialect(one, inputs), common) for one in sold]
    reasons = mode in CHAT_MODES and (any("reasoning" in names for names in lists) or bool(kept.get("reasoning")))
    row: dict[str, Any] = {
        "slug": slug,
        "name": kept.get("name") or facts.name(slug, chats, home),
        "created": _day(
            kept.get("created")
            or inputs.attributes["released"].get(slug)
            or facts.created(offers, home, inputs.listed.get(slug, inputs.day))
        ),
        "description": kept.get("description"),
        "context_length": length,
        "input_modalities": taken,
        "output_modalities": made,
        "supported_parameters": parameters.union(lists),
        "aliases": list(kept.get("aliases") or ()),
        "knowledge_cutoff": facts.knowledge(offers, home),
        "expiration_date": _end(sold, inputs),
        "reasoning": _reasoning(slug, offers, home, kept.get("reasoning") or {}) if reasons else None,
    }
    by_hand = dict(kept.get("attributes") or {})
    if "mandatory" in (kept.get("reasoning") or {}) or "default_enabled" in (kept.get("reasoning") or {}):
        by_hand.setdefault("reasoning_default", row["reasoning"]["default_enabled"] if row["reasoning"] else None)
    row["attributes"] = attributes.of(
        slug,
        inputs.attributes,
        model=by_hand,
        from_sellers={
            "family": facts.family(offers),
            "open_weights": facts.open_weights(offers),
            "supports_reasoning": reasons if mode in CHAT_MODES else None,
        },
    )
    row["endpoints"] = [_endpoint(one, names, common, row, inputs) for one, names in zip(sold, lists, strict=True)]
    return {name: value for name, value in row.items() if value is not None}


def _reasoning(slug: str, offers: list[Offer], home: Any, kept: Mapping[str, Any]) -> dict[str, Any] | None:
    found = parameters.reasoning(slug, offers, home, kept)
    if found is not None and kept.get("supported_efforts"):
        found["supported_efforts"] = list(kept["supported_efforts"])
    return found


def _day(text: Any) -> date:
    return text if isinstance(text, date) else date.fromisoformat(str(text))


def _end(sold: list[Sold], inputs: Inputs) -> date | None:
    ends = facts.ends([{"retires": one.offers[0].retires} for one in sold if one.seller != "openrouter"])
    return _day(ends) if ends > inputs.day else None


def _dialect(one: Sold, inputs: Inputs) -> str:
    return parameters.dialect_of(one, str(inputs.providers[one.seller].get("dialect", "openai")))


def _endpoint(
    one: Sold, names: list[str], common: Mapping[str, bool], model: Mapping[str, Any], inputs: Inputs
) -> dict[str, Any]:
    """What differs from the model's row. ``names``: its parameters; ``common``: what most sellers say of the model."""
    dialect, lengths = _dialect(one, inputs), [facts.total(offer) for offer in one.offers if offer.context]
    outputs = [offer.max_output for offer in one.offers if offer.max_output]
    length = lengths[0] if lengths else None
    taken = next((list(offer.inputs) for offer in one.offers if offer.inputs), None)
    row: dict[str, Any] = {"provider": one.seller, "upstream_id": one.upstream_id}
    if length and length != model["context_length"]:
        row["context_length"] = length
    if outputs and one.mode in CHAT_MODES and outputs[0] <= (length or model["context_length"]):
        row["max_completion_tokens"] = outputs[0]
    if one.name.quantization:
        row["quantization"] = one.name.quantization
    if names != model["supported_parameters"]:
        row["supported_parameters"] = names
    if one.mode in CHAT_MODES and taken and _ordered(taken) != model["input_modalities"] and "text" in taken:
        row["input_modalities"] = _ordered(taken)
    if dialect != inputs.providers[one.seller].get("dialect", "openai"):
        row["dialect"] = dialect
    options = parameters.options(str(model["slug"]), one, dialect, common)
    if options:
        row["options"] = options
    if one.variant:
        row["tag"] = f"{one.seller}/{one.variant}"
    return row


def _ordered(words: list[str]) -> list[str]:
    return [word for word in facts.INPUT_ORDER if word in words]


def prices(inputs: Inputs, merged: Merged) -> Rows:
    """Provider → price rows, in the order of their ids."""
    rows: Rows = {}
    for sold in merged.models.values():
        for one in sold:
            rows.setdefault(one.seller, []).append(_price(one, inputs.providers[one.seller]))
    return {seller: sorted(listed, key=lambda row: str(row["upstream_id"])) for seller, listed in rows.items()}


def _price(one: Sold, provider: Mapping[str, Any]) -> dict[str, Any]:
    rates = one.rates
    row: dict[str, Any] = {"upstream_id": one.upstream_id, "from": _day(rates.day)}
    row["usd_per_mtok"] = _tokens(rates.mtok) if rates.mtok else {"prompt": "0", "completion": "0"}
    units = {**_searches(one, provider), **rates.units}
    row |= {name: plain(units[name]) for name in UNIT_KINDS if name in units}
    tiers = [{"min_prompt_tokens": above, "usd_per_mtok": _tokens(prices)} for above, prices in rates.tiers if prices]
    if tiers:
        row["overrides"] = tiers
    row["source"] = provider.get("free") or _page(rates, provider)
    return row


def _searches(one: Sold, provider: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a provider asks for a web search, kept by hand for models whose source leaves it out."""
    for pattern, usd in (provider.get("searches") or {}).items():
        if re.search(pattern, one.upstream_id):
            return {"usd_per_web_search": Decimal(usd)}
    return {}


def _tokens(prices: Mapping[str, Any]) -> dict[str, str]:
    """Kinds in order; those that cost what they would cost unwritten are left out."""
    shown = {kind: plain(prices[kind]) for kind in TOKEN_KINDS if kind in prices}
    if shown.get("internal_reasoning") == shown.get("completion"):
        shown.pop("internal_reasoning", None)
    for kind in ("audio", "image_token"):
        if kind in shown and shown[kind] == shown.get("prompt"):
            del shown[kind]
    return shown


def _page(rates: Rates, provider: Mapping[str, Any]) -> str:
    """The page that the source names; a source that names none is named itself, beside the vendor's own page."""
    return rates.source or str(provider.get("price_page") or "https://github.com/BerriAI/litellm")
