"""``catalog diff``: what would change for callers if another catalogue were put in place of this one."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import typer
import yaml

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.model import Endpoint, Price
from gateway.catalog.read import CatalogError
from gateway.cli import configured
from gateway.cli.output import AsJson, as_json, refuse
from gateway.money import format_price
from providers import registry

app = typer.Typer(no_args_is_help=True)
PER_MILLION = frozenset(
    {
        "prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h", "internal_reasoning",
        "audio", "audio_output", "input_audio_cache", "image_token", "image_output_token", "character",
    }
)  # fmt: skip
"""Kinds whose prices are usually quoted per million; the others are shown per unit."""
MILLION = 10**6


class Change(NamedTuple):
    """One difference. ``what``: provider, model, endpoint or price; ``how``: added, removed or changed."""

    what: str
    how: str
    name: str
    detail: str = ""
    old: str = ""
    new: str = ""
    percent: float | None = None
    """Of the old price; None when there was no old price, or it was 0."""


@app.callback()
def group() -> None:
    """The catalogue of models, providers and prices."""


@app.command("diff")
def diff(other: str, json: AsJson = False) -> None:
    """Compare the configured catalogue with another folder, or with several separated as in PATH: added, removed, prices old → new.

    Exit 0 when nothing differs, 1 when something does, 2 when one of the two cannot be loaded.
    """
    settings = configured.settings()
    mine = configured.catalog(settings)
    try:
        theirs = load(configured.folders(other), os.environ, dialects=registry.names())
    except (CatalogError, OSError, yaml.YAMLError) as error:
        refuse(f"{other}: {error}")
    changes = compare(mine, theirs)
    if json:
        as_json({"changes": [change._asdict() for change in changes]})
    else:
        for line in describe(changes):
            typer.echo(line)
    if changes:
        raise typer.Exit(1)


def compare(mine: Catalog, theirs: Catalog, when: float | None = None) -> list[Change]:
    """Differences from ``mine`` to ``theirs``, with the prices in force at a unix time (default now).

    Prices that start later than that are not compared.
    """
    now = time.time() if when is None else when
    changes = [*_members("provider", mine.providers, theirs.providers), *_members("model", mine.models, theirs.models)]
    changes += _members("endpoint", mine.endpoints, theirs.endpoints)
    for name in sorted(mine.endpoints.keys() & theirs.endpoints.keys()):
        changes += _prices(mine.endpoints[name], theirs.endpoints[name], now)
    return changes


def _members(what: str, mine: Mapping[str, object], theirs: Mapping[str, object]) -> Iterator[Change]:
    for name in sorted(theirs.keys() - mine.keys()):
        yield Change(what, "added", name)
    for name in sorted(mine.keys() - theirs.keys()):
        yield Change(what, "removed", name)


def _prices(mine: Endpoint, theirs: Endpoint, now: float) -> Iterator[Change]:
    before, after = mine.price_at(now), theirs.price_at(now)
    old, new = _tiers(before), _tiers(after)
    for above in sorted(old.keys() | new.keys()):
        was, becomes = old.get(above, {}), new.get(above, {})
        label = f" above {above} prompt tokens" if above else ""
        for kind in sorted(was.keys() | becomes.keys()):
            if was.get(kind) != becomes.get(kind):
                yield _change(mine.id, kind, label, was.get(kind), becomes.get(kind))


def _tiers(price: Price | None) -> dict[int, Mapping[str, int]]:
    if price is None:
        return {}
    return {0: price.femto} | {above: tier.femto for above, tier in price.tiers}


def _change(endpoint: str, kind: str, label: str, was: int | None, becomes: int | None) -> Change:
    percent = round((becomes - was) * 100 / was, 2) if was and becomes is not None else None
    how = "added" if was is None else "removed" if becomes is None else "changed"
    return Change("price", how, endpoint, kind + label, _shown(kind, was), _shown(kind, becomes), percent)


def _shown(kind: str, femto: int | None) -> str:
    if femto is None:
        return ""
    if kind not in PER_MILLION:
        return format_price(femto)
    return f"{(Decimal(format_price(femto)) * MILLION).normalize():f}"


def describe(changes: list[Change]) -> Iterator[str]:
    """One line for each change, and a last one that counts them."""
    for change in changes:
        if change.what != "price":
            yield f"{change.how:8}{change.what:9} {change.name}"
            continue
        percent = "" if change.percent is None else f"  {change.percent:+.2f} %"
        unit = "$/M" if change.detail.partition(" ")[0] in PER_MILLION else "$"
        prices = f"{change.old or 'none'} → {change.new or 'none'} {unit}"
        yield f"{change.how:8}price     {change.name}  {change.detail}: {prices}{percent}"
    counted = Counter(f"{change.what}s {change.how}" for change in changes)
    yield ", ".join(f"{number} {name}" for name, number in counted.items()) or "nothing differs"
