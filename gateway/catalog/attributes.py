"""Facts of models that analytics counts by: family, tier, author, origin, sizes, dates, each with the day it held.

They come from a model's own row, derived by rules where a rule can tell, under ``config/attributes`` (see ``attribute_files``).
Unknown is None and is reported as unknown: it never counts as closed or small. Pure; knows neither prices nor requests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Literal

from gateway.catalog.model import Model
from gateway.catalog.rows import AttributesRow, AuthorRow

Origin = Literal["closed", "chinese_oss", "other_oss", "unknown"]
CHINESE = frozenset({"CN", "TW", "HK"})
"""Where the main developer sits for a model to count as Chinese, as the study of 2025 counts (arXiv 2601.10088)."""
SIZE_LIMITS_B = ((15, "small"), (70, "medium"))
"""Below so many billions of parameters → size class; beyond: large. The classes of the same study."""
LISTING_AUTHORS = 8
"""A day on which models of so many authors were created is the day they were listed here, not that of their releases."""
_SIZES = re.compile(
    r"(?<![a-z\d.])(?:(?P<experts>\d+)x)?(?P<total>\d+(?:\.\d+)?)(?P<unit>[bmt])(?:-a(?P<active>\d+(?:\.\d+)?)b)?(?![a-z\d])"
)
_BILLIONS = {"b": 1.0, "m": 0.001, "t": 1000.0}


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes models."""

    slug: str
    name: str
    owner_type: str | None = None
    country: str | None = None
    """ISO 3166 code of where the main developer sits."""
    hue: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A marker on time charts."""

    id: str
    label: str
    day: date
    model: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """One model. What is None is unknown."""

    slug: str
    name: str
    author: str
    """Slug of the author; aliases such as ``meta`` are resolved."""
    author_name: str
    family: str | None = None
    tier: str | None = None
    owner_type: str | None = None
    lab_country: str | None = None
    open_weights: bool | None = None
    licence: str | None = None
    params_total_b: float | None = None
    """Billions of parameters, of all experts."""
    params_active_b: float | None = None
    """Billions at work for one token, where that is less than all."""
    size_class: str | None = None
    """``small``, ``medium`` or ``large`` by all parameters."""
    base_model: str | None = None
    finetune_of: str | None = None
    supports_reasoning: bool | None = None
    reasoning_default: bool | None = None
    reasoning_model: bool | None = None
    """Counted among the reasoning models: it can reason, and does not only do so when asked."""
    supports_tools: bool | None = None
    domain: str | None = None
    tokenizer: str | None = None
    context_length: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    released: date | None = None
    retired: date | None = None
    free_variant: bool | None = None
    color: str | None = None
    """A colour written by hand, ``#RRGGBB``; all others come from ``colors``."""
    changes: tuple[tuple[date, Mapping[str, Any]], ...] = field(default=(), repr=False)
    """(first day, facts that hold from then on), ascending."""

    def on(self, day: date) -> Attributes:
        """The facts of a UTC day: history is not rewritten when a fact changes."""
        changed: dict[str, Any] = {}
        for since, facts in self.changes:
            if since <= day:
                changed |= facts
        return replace(self, **changed) if changed else self

    @property
    def origin(self) -> Origin:
        """Closed, or open weights from China (mainland, Taiwan, Hong Kong) or elsewhere."""
        if self.open_weights is None:
            return "unknown"
        if not self.open_weights:
            return "closed"
        if self.lab_country is None and self.owner_type != "community":
            return "unknown"
        return "chinese_oss" if self.lab_country in CHINESE else "other_oss"

    @property
    def active_size_class(self) -> str | None:
        """The size class by the parameters that work for one token; a dense model's are all."""
        return size_class(self.params_active_b) or self.size_class


_FACTS = frozenset(each.name for each in fields(Attributes)) - {
    "slug", "name", "author", "author_name", "context_length", "input_modalities", "output_modalities", "color", "changes",
}  # fmt: skip


def sizes(name: str) -> dict[str, float | int]:
    """Billions of parameters that a name gives: ``qwen3-235b-a22b`` → 235 in all, 22 at work.

    Nothing where the name does not say it strictly: experts of equal size (``8x7b``) do not simply add up.
    """
    found = _SIZES.search(name)
    if found is None or found["experts"]:
        return {}
    billions = {"params_total_b": _number(float(found["total"]) * _BILLIONS[found["unit"]])}
    if found["active"]:
        billions["params_active_b"] = _number(float(found["active"]))
    return billions


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 3)


def size_class(billions: float | None) -> str | None:
    """``small`` (< 15), ``medium`` (15 to 70) or ``large`` (≥ 70 billion parameters)."""
    if billions is None:
        return None
    return next((name for limit, name in SIZE_LIMITS_B if billions < limit), "large")


class AttributeTable:
    """The facts of all models of a catalogue, and of those of the past that old records name."""

    def __init__(
        self,
        models: Iterable[Model] = (),
        rows: Mapping[str, AttributesRow] | None = None,
        authors: Iterable[AuthorRow] = (),
        releases: Iterable[Release] = (),
    ) -> None:
        self.authors: dict[str, Author] = {}
        self.releases: tuple[Release, ...] = tuple(sorted(releases, key=lambda release: (release.day, release.id)))
        self._namespaces: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._models: dict[str, Attributes] = {}
        for author in authors:
            self.authors[author.slug] = Author(author.slug, author.name, author.owner_type, author.country, author.hue)
            self._namespaces |= dict.fromkeys(author.aliases, author.slug)
        self._derive(list(models), rows or {})

    def __iter__(self) -> Iterator[Attributes]:
        return iter(self._models.values())

    def of(self, slug: str, day: date | None = None) -> Attributes:
        """The facts of a model by slug or alias, of a UTC day or as last known. A free variant without a row of its own has
        those of its model; of a model that nobody knows only the author and the sizes in its name are told."""
        found = self._models.get(self._aliases.get(slug, slug))
        if found is None:
            base, _, variant = slug.rpartition(":")
            found = self._models.get(self._aliases.get(base, base)) if base else None
            if found is not None:
                found = replace(found, slug=slug, free_variant=variant == "free")
        if found is None:
            found = self._unknown(slug)
        return found if day is None else found.on(day)

    def author(self, namespace: str) -> Author:
        """The author of a slug's first part; an unknown one is called by it."""
        slug = self._namespaces.get(namespace, namespace)
        return self.authors.get(slug) or Author(slug, slug)

    def _derive(self, models: list[Model], rows: Mapping[str, AttributesRow]) -> None:
        listed = _listing_days(models)
        for model in models:
            released = None if model.created in listed else model.created
            self._models[model.slug] = self._attributes(_of_model(model, released), rows.get(model.slug))
            self._aliases |= dict.fromkeys(model.aliases, model.slug)
        for slug, row in rows.items():
            if slug not in self._models:
                self._models[slug] = self._attributes({"slug": slug}, row)
            self._aliases |= dict.fromkeys(row.aliases, slug)

    def _attributes(self, known: dict[str, Any], row: AttributesRow | None) -> Attributes:
        """``known`` under what is known of its author and under its row."""
        slug = known["slug"]
        changes: list[tuple[date, dict[str, Any]]] = []
        written: dict[str, Any] = {}
        if row is not None:
            written = row.model_dump(exclude={"slug", "aliases", "changes"}, exclude_none=True)
            changes = [(each.since, each.model_dump(exclude={"since"}, exclude_none=True)) for each in row.changes]
        author = self.author(written.pop("author", None) or known.pop("author", None) or slug.partition("/")[0])
        facts = {**known, **_none_left_out(owner_type=author.owner_type, lab_country=author.country), **written}
        if facts.get("open_weights") is not False and "params_total_b" not in facts:
            facts |= sizes(slug.partition("/")[2])
        facts.setdefault("size_class", size_class(facts.get("params_total_b")))
        if facts.get("supports_reasoning") is not None:
            only_when_asked = facts.get("reasoning_default") is False
            facts.setdefault("reasoning_model", facts["supports_reasoning"] and not only_when_asked)
        facts.setdefault("name", slug)
        ordered = tuple(sorted(changes, key=lambda change: change[0]))
        return Attributes(**facts, author=author.slug, author_name=author.name, changes=ordered)

    def _unknown(self, slug: str) -> Attributes:
        return self._attributes({"slug": slug}, None)


def _of_model(model: Model, released: date | None) -> dict[str, Any]:
    """What a model's own row tells."""
    reasoning = model.reasoning or {}
    can_reason = model.reasoning is not None or "reasoning" in model.supported_parameters
    derived = _none_left_out(
        supports_reasoning=can_reason or None,
        reasoning_default=True if reasoning.get("mandatory") else reasoning.get("default_enabled"),
        supports_tools="tools" in model.supported_parameters if model.supported_parameters else None,
        open_weights=True if model.hugging_face_id else None,
        tokenizer=model.tokenizer,
        released=released,
        retired=model.expiration_date,
    )
    written = {name: value for name, value in model.attributes.items() if name in _FACTS and value is not None}
    return {
        **derived,
        **written,
        "slug": model.slug,
        "name": model.name,
        "author": model.attributes.get("author"),
        "context_length": model.context_length,
        "input_modalities": model.input_modalities,
        "output_modalities": model.output_modalities,
        "free_variant": model.slug.endswith(":free"),
    }


def _listing_days(models: Iterable[Model]) -> frozenset[date]:
    authors: dict[date, set[str]] = defaultdict(set)
    for model in models:
        authors[model.created].add(model.slug.partition("/")[0])
    return frozenset(day for day, found in authors.items() if len(found) >= LISTING_AUTHORS)


def _none_left_out(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
