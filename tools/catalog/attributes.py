"""Attributes that analytics counts by: family, tier, size, licence. Unknown stays absent.

Who makes a model, and where, is in ``config/attributes/authors.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.catalog.attributes import sizes

TIERS = (
    (r"-(nano)(-|$)", "nano"), (r"flash-lite|-lite(-|$)|-micro(-|$)", "lite"), (r"flash", "flash"),
    (r"-(mini|haiku|small|air|tiny)(-|$)|haiku|luna", "mini"), (r"-fast(-|$)", "fast"),
    (r"opus|-pro(-|$)|-max(-|$)|-large(-|$)|-ultra(-|$)|fable|mythos|astra|premier", "flagship"),
    (r"sonnet|-medium(-|$)|-plus(-|$)|-turbo(-|$)|terra", "mid"),
)  # fmt: skip
"""What the makers' own words say of a model's place in its family; the first that fits counts."""
BY_SIZE = ((12, "mini"), (70, "mid"))
"""Billions of parameters, at most → tier of open models whose name says nothing; beyond: flagship."""


def of(
    slug: str, kept: Mapping[str, Any], *, model: Mapping[str, Any], from_sellers: Mapping[str, Any]
) -> dict[str, Any]:
    """Attributes of one model: what the sellers list, under the rules of ``attributes.yaml``, under ``model`` (by hand)."""
    author, _, word = slug.partition("/")
    found: dict[str, Any] = {name: value for name, value in from_sellers.items() if value is not None}
    for name, value in (kept["authors"].get(author) or {}).items():
        if name != "open_weights" or "open_weights" not in found:
            found[name] = value
    ruled: dict[str, Any] = {}
    for rule in kept["rules"]:
        if re.search(rule["match"], slug):
            ruled.update(rule["set"])
    is_open = ruled.get("open_weights", found.get("open_weights"))
    if is_open:
        found.update(sizes(word))
    tier = _tier(word, {**found, **ruled})
    if tier:
        found["tier"] = tier
    found.update(ruled)
    found.update(model)
    return {name: found[name] for name in NAMES if found.get(name) is not None}


NAMES = (
    "family", "tier", "open_weights", "licence", "params_total_b", "params_active_b", "base_model", "finetune_of",
    "supports_reasoning", "reasoning_default", "domain", "tokenizer",
)  # fmt: skip


def _tier(word: str, known: Mapping[str, Any]) -> str | None:
    for pattern, tier in TIERS:
        if re.search(pattern, word):
            return tier
    size = known.get("params_total_b")
    if size is None:
        return None
    return next((tier for limit, tier in BY_SIZE if size <= limit), "flagship")
