"""The names under which a caller may ask for a model, beside its slug and its aliases. Pure.

- ``~author/family-latest`` (OpenRouter): the newest model of a family that can be called here.
- The vendor's own id, without the author (``claude-opus-4-8``, ``claude-sonnet-4-20250514``, ``gpt-5-mini``), as the vendors' SDKs
  and Claude Code write it: dates and the differences between ``.``, ``-`` and ``@`` do not count.
- Routing variants: suffixes that are accepted on every name, in any order and number; the last one decides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from gateway.catalog.model import Model

SORT_OF: Mapping[str, str] = {"nitro": "throughput", "floor": "price", "exacto": "exacto"}
"""Routing variant → the sort that it stands for. Other suffixes, such as ``:free``, are part of a slug."""
_VERSION = re.compile(r"[a-z]?\d[\d.]*[a-z]?|preview|exp|beta|latest")
"""A part of a name that says which one of a family it is: ``4.5``, ``k2.5``, ``4o``, ``2507``."""
_SIZE = re.compile(r"\d[\d.]*[bm]")
_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|\d{4})$")
_CONTEXT = re.compile(r"\[\w+\]$")
"""Claude Code writes ``claude-opus-4-8[1m]`` for its long context."""


def without_variants(name: str) -> tuple[str, str | None]:
    """``a/m:nitro:free`` → (``a/m:free``, ``nitro``): the name without routing variants, and the last one of them."""
    base, *suffixes = name.split(":")
    variants = [suffix for suffix in suffixes if suffix in SORT_OF]
    if not variants:
        return name, None
    return ":".join([base, *(suffix for suffix in suffixes if suffix not in SORT_OF)]), variants[-1]


def family(slug: str) -> str:
    """``anthropic/claude-opus-4.8`` → ``anthropic/claude-opus``."""
    author, _, name = slug.partition("/")
    kept = [part for part in name.split("-") if _SIZE.fullmatch(part) or not _VERSION.fullmatch(part)]
    return f"{author}/{'-'.join(kept)}"


def latest(models: Iterable[Model]) -> dict[str, str]:
    """``~author/family-latest`` → slug of the newest model of that family. Models that no configured vendor serves count only
    where the whole family cannot be called.
    """
    families: dict[str, list[Model]] = defaultdict(list)
    for model in models:
        if ":" not in model.slug:
            families[family(model.slug)].append(model)
    return {f"~{name}-latest": max(members, key=_newest).slug for name, members in families.items()}


def _newest(model: Model) -> tuple[bool, object, str]:
    usable = any(endpoint.provider.usable and endpoint.prices for endpoint in model.endpoints)
    return usable, model.created, model.slug


def own_ids(models: Iterable[Model]) -> dict[str, str]:
    """Simplified id without an author → slug. An id that could mean models of two authors is left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for model in models:
        author, _, name = model.slug.partition("/")
        ids = {name, *(alias.partition("/")[2] for alias in model.aliases)}
        ids |= {endpoint.upstream_id for endpoint in model.endpoints if endpoint.provider.slug == author}
        for id in ids:
            found[simplified(id)].add(model.slug)
    return {id: slugs.pop() for id, slugs in found.items() if len(slugs) == 1}


def simplified(id: str) -> str:
    """``claude-sonnet-4.5@20250929`` → ``claude-sonnet-4-5``."""
    return _DATE.sub("", _CONTEXT.sub("", id.lower())).replace(".", "-")
