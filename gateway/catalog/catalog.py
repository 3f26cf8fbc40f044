"""One validated snapshot of what is for sale, and the lookup of the model names that callers write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.catalog import names
from gateway.catalog.attributes import AttributeTable
from gateway.catalog.merge import Override
from gateway.catalog.model import Endpoint, Model, Provider
from gateway.errors import BadRequest

DOCS_URL = "docs/routing.md"
MAX_WORD = 128
"""Longer names are cut in messages and comparisons, so a megabyte of model name costs no time."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Immutable. A reload makes a new one; requests under way keep the one they began with."""

    version: str
    """Hash of the files' contents."""
    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    endpoints: Mapping[str, Endpoint]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Alias → slug."""
    latest: Mapping[str, str] = field(default_factory=dict)
    """``~author/family-latest`` → slug, see ``names.latest``."""
    own_ids: Mapping[str, str] = field(default_factory=dict)
    """A vendor's own id, simplified → slug, see ``names.own_ids``."""
    provider_names: Mapping[str, str] = field(default_factory=dict)
    """Lower-case slug, display name or endpoint tag → the slug or the tag, as routing preferences hold it."""
    warnings: tuple[str, ...] = ()
    """What is odd in the files, but not wrong."""
    trigrams: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    overrides: tuple[Override, ...] = ()
    """The values that a folder after the first one wrote."""
    attributes: AttributeTable = field(default_factory=AttributeTable, repr=False, compare=False)
    """What analytics counts models by."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """Results that depend on this catalogue only, kept by code that needs them often."""

    def resolve(self, slug: str) -> tuple[Model, str | None]:
        """A name as callers write it → (model, sort that its routing variants stand for, see ``names.SORT_OF``).

        Exact slugs and aliases are tried first, so a row ``author/slug:free`` is found as such. Raises BadRequest
        (availability ``model_not_found``) with similar slugs.
        """
        model = self.find(slug)
        if model is not None:
            return model, None
        if len(slug) <= MAX_WORD:
            base, variant = names.without_variants(slug)
            model = self.find(base) or self._vendors_own(base)
            if model is not None:
                return model, names.SORT_OF[variant] if variant else None
        raise self._unknown(slug)

    def find(self, slug: str) -> Model | None:
        """A model by slug or alias, without suffixes."""
        return self.models.get(slug) or self.models.get(self.aliases.get(slug) or self.latest.get(slug, ""))

    def _vendors_own(self, name: str) -> Model | None:
        """A model by the id that its vendor uses, with or without the author."""
        author, _, id = name.rpartition("/")
        model = self.models.get(self.own_ids.get(names.simplified(id), ""))
        return model if model is not None and author in ("", model.slug.partition("/")[0]) else None

    def suggest(self, slug: str, limit: int = 3) -> list[str]:
        """Similar slugs, best first. difflib only compares the 24 that share most trigrams, which bounds the time."""
        word = slug[:MAX_WORD].lower()
        runs = trigrams(word)
        shared = ((len(runs & existing), known) for known, existing in self.trigrams.items())
        near = [known for count, known in sorted(shared, reverse=True)[:24] if count]
        base = self.find(word.rpartition(":")[0])
        close = [base.slug] if base is not None else []  # a known model with an unknown suffix
        return list(dict.fromkeys(close + difflib.get_close_matches(word, near, n=limit, cutoff=0.5)))[:limit]

    def _unknown(self, slug: str) -> BadRequest:
        near = self.suggest(slug)
        shown = slug if len(slug) <= MAX_WORD else slug[:MAX_WORD] + "..."
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /api/v1/models lists the valid ones."
        return BadRequest(
            f"{shown} is not a valid model ID.{hint}",
            field="model",
            availability={
                "code": "model_not_found",
                "retryable": False,
                "requested_models": [shown],
                "docs_url": DOCS_URL,
                **({"fallback_models": near} if near else {}),
            },
        )


def trigrams(word: str) -> frozenset[str]:
    """All runs of three characters: a cheap measure of similarity."""
    return frozenset(word[start : start + 3] for start in range(len(word) - 2))


def provider_names(providers: Iterable[Provider], endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Everything a caller may write in ``provider.order``, lower case. Slugs win over tags, tags over display names."""
    providers = list(providers)
    names = {provider.name.lower(): provider.slug for provider in providers}
    names |= {endpoint.tag.lower(): endpoint.tag for endpoint in endpoints}
    return names | {provider.slug: provider.slug for provider in providers}
