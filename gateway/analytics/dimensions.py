"""By what a figure is split: from a row of the counters, an endpoint or an app, to a key, and how that key is shown.

Attributes of a model are those of the bucket's first day: a fact that changes later does not rewrite history. What is not known
is ``unknown``, never closed or small. It must not know: the store, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from gateway.analytics.buckets import date_of
from gateway.catalog.attributes import Attributes
from gateway.catalog.catalog import Catalog
from gateway.catalog.colors import palette

By = Literal["model", "family", "author", "tier", "origin", "size", "reasoning", "provider", "app"]
UNKNOWN: Final = "unknown"
ATTRIBUTES: Final[dict[str, Callable[[Attributes], str]]] = {
    "model": lambda facts: facts.slug,
    "family": lambda facts: facts.family or facts.slug,
    "author": lambda facts: facts.author,
    "tier": lambda facts: facts.tier or UNKNOWN,
    "origin": lambda facts: facts.origin,
    "size": lambda facts: facts.size_class or UNKNOWN,
    "reasoning": lambda facts: {True: "reasoning", False: "other", None: UNKNOWN}[facts.reasoning_model],
}
"""Dimension → key of a model. A model of no known family is one by itself."""
LABELS: Final[dict[tuple[str, str], str]] = {
    ("origin", "closed"): "Closed",
    ("origin", "chinese_oss"): "Open, Chinese",
    ("origin", "other_oss"): "Open, other",
    ("size", "small"): "Small (< 15B)",
    ("size", "medium"): "Medium (15–70B)",
    ("size", "large"): "Large (≥ 70B)",
    ("reasoning", "reasoning"): "Reasoning models",
    ("reasoning", "other"): "Other models",
}


def model_of(endpoint: str) -> str:
    """``acme/fast-1@acme/fast`` → ``acme/fast``, as it was counted."""
    return endpoint.rpartition("@")[2]


def provider_of(endpoint: str) -> str:
    """The provider's slug; empty where no endpoint served."""
    return endpoint.partition("/")[0] if endpoint[:1] != "@" else ""


class Dimensions:
    """Keys, labels and colours by one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._palette = palette(catalog)
        self._facts: dict[str, Attributes] = {}

    def key(self, by: By, row: str, day: int) -> str:
        """The key of a row of the counters in a bucket that begins on this day; empty where it has none."""
        if by == "app":
            return row
        return provider_of(row) if by == "provider" else self.of_model(by, model_of(row), day)

    def of_model(self, by: By, model: str, day: int) -> str:
        """The key of a model as it was counted. A free variant is a model of its own."""
        if by == "model":
            return model
        facts = self._facts.get(model)
        if facts is None:
            facts = self._facts[model] = self._catalog.attributes.of(model)
        return ATTRIBUTES[by](facts.on(date_of(day)) if facts.changes else facts)

    def label(self, by: By, key: str) -> str:
        """What a key is called where it is shown."""
        if by in ("model", "family"):
            return self._model_name(key) if "/" in key else key
        if by == "author":
            return self._catalog.attributes.author(key).name
        if by == "provider" and key in self._catalog.providers:
            return self._catalog.providers[key].name
        if by in ("app", "provider"):
            return key.removeprefix("~")
        return LABELS.get((by, key)) or key.capitalize()

    def color(self, by: By, key: str) -> str:
        """``#RRGGBB``, the same in every chart and on every page of this catalogue."""
        return self._palette.color("model" if by == "family" and "/" in key else by, key)

    def _model_name(self, slug: str) -> str:
        facts = self._catalog.attributes.of(slug)
        return f"{facts.name} (free)" if facts.free_variant and slug not in self._catalog.models else facts.name


def dimensions(catalog: Catalog) -> Dimensions:
    """Those of a catalogue, made once."""
    found = catalog.memo.get(Dimensions)
    if not isinstance(found, Dimensions):
        found = catalog.memo[Dimensions] = Dimensions(catalog)
    return found


BARE: Final = Dimensions(Catalog(version="", models={}, providers={}, endpoints={}))
"""Without a catalogue: a model has the author and the size that its name tells, and everything is called by its key."""
