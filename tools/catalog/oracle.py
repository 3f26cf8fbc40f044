"""genai-prices (MIT): a third opinion on prices. Nothing is sold because of it; it decides when the two others disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata

from genai_prices.data import providers
from genai_prices.types import TieredPrices

from tools.catalog.price_rows import Rates

KINDS = {
    "input_mtok": "prompt", "output_mtok": "completion", "cache_read_mtok": "input_cache_read",
    "cache_write_mtok": "input_cache_write",
}  # fmt: skip
COARSE = re.compile(r"(thinking|-tts|audio|image|vision|turbo|fast|flash|mini|nano|lite|pro|max|ultra|\d{3,}[bk]?)")
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")


class Oracle:
    """Prices in force on a day."""

    def __init__(self, day: str) -> None:
        self.day = day
        self._when = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
        self._providers = {provider.id: provider for provider in providers}

    @staticmethod
    def version() -> str:
        """The installed release."""
        return metadata.version("genai-prices")

    def rates(self, provider: str | None, upstream_id: str) -> Rates | None:
        """What it says of a model at one of its providers; None when it does not know, or knows only a relative.

        It matches by rules as broad as "begins with gpt-5", so a hit counts only when the ids have the same marks of
        size and kind.
        """
        known = self._providers.get(provider or "")
        found = known.find_model(upstream_id) if known else None
        if found is None or _marks(found.id) != _marks(upstream_id):
            return None
        prices = found.get_prices(self._when)
        mtok: dict[str, Decimal] = {}
        for theirs, ours in KINDS.items():
            value = getattr(prices, theirs, None)
            value = value.base if isinstance(value, TieredPrices) else value
            if value is not None:
                mtok[ours] = Decimal(value)
        pages = known.pricing_urls if known else None
        source = pages[0] if pages else ""
        return Rates(mtok=mtok, source=source, day=self.day) if {"prompt", "completion"} <= mtok.keys() else None

    def names_at(self, provider: str) -> Mapping[str, str]:
        """Plain slugs (author/name, no variant) that a provider lists → display name."""
        known = self._providers[provider]
        return {model.id: model.name or "" for model in known.models if SLUG.fullmatch(model.id)}


def _marks(model_id: str) -> list[str]:
    name = model_id.lower().rpartition("/")[2]
    name = re.sub(r"-?(20\d{6}|20\d\d-\d\d-\d\d)", "", name)
    return sorted(COARSE.findall(name))
