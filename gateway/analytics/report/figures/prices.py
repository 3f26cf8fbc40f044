"""F35 to F38: what a million tokens cost, and how much was used: by category, model and author, and the archetypes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Dot, Guide, Plot, Table
from gateway.analytics.report.figures.categories import is_sampled
from gateway.analytics.report.figures.made import CATEGORIES_NEEDED, CLASSIFIED, OPEN, Made, lacking
from gateway.analytics.report.statistics import Line, fitted, quantile
from gateway.analytics.report.used_events import UsedEvents

NANO_PER_TOKEN = 1000
"""Nano-dollars a token of what costs one dollar a million."""
LEAST_MODELS = 30
ROWS_OF_A_KIND = 6
GROUPS = {"closed": "Closed weights", "open": "Open weights"}
PRICED = "NOT own AND tok > 0"
PRICE_NAME, USAGE_NAME = "Effective price, $ a million tokens", "Tokens"


class Priced(NamedTuple):
    """Something with a price."""

    key: str
    group: str
    usd: float
    """A million tokens."""
    tokens: float
    requests: float


def of_categories(used: UsedEvents) -> Made:
    """F35."""
    found = _priced(used, "category", CLASSIFIED, weight="w * ")
    if not found:
        return lacking(CATEGORIES_NEEDED)
    usd, tokens = median(each.usd for each in found), median(each.tokens for each in found)
    kinds: dict[str, list[str]] = defaultdict(list)
    for each in sorted(found, key=lambda each: -each.tokens):
        much = each.tokens >= tokens
        kinds[
            ("premium" if much else "specialist") if each.usd >= usd else ("mass market" if much else "utilities")
        ].append(each.key)
    text = f"The median category costs {words.usd(usd)} a million tokens. By the two medians: " + (
        "; ".join(
            f"{kind}: {words.listed(kinds[kind])}"
            for kind in ("premium", "mass market", "specialist", "utilities")
            if kinds[kind]
        )
        + "."
    )
    plot = _plot(
        "Price and use of categories",
        [Dot(each.key, each.usd, each.tokens, "Categories") for each in found],
        ("Categories",),
        _medians(found),
    )
    return Made(text, used.count(f"{CLASSIFIED} AND {PRICED}"), (plot,), sampled=is_sampled(used))


def of_models(used: UsedEvents) -> Made:
    """F36."""
    found = _models(used)
    if len(found) < LEAST_MODELS:
        return lacking(
            f"{LEAST_MODELS} models that were paid for and may be shown; there are {len(found)}", used.count(PRICED)
        )
    x, y = [math.log10(each.usd) for each in found], [math.log10(each.tokens) for each in found]
    plain = fitted(x, y)
    by_requests = fitted(x, y, [each.requests for each in found])
    guides = _medians(found)
    if plain is not None:
        ends = (min(x), max(x))
        guides = (*guides, Guide(f"slope {plain.slope:+.2f}", *((10**at, 10 ** plain.at(at)) for at in ends)))
    prices = {name: [each.usd for each in found if each.group == name] for name in GROUPS.values()}
    medians = [f"{words.usd(median(usd))} with {name.lower()}" for name, usd in prices.items() if usd]
    text = words.sentences(
        [
            _said_of(plain, f"Over {len(found)} models the slope of log usage on log price is"),
            _said_of(by_requests, "Weighted by requests it is"),
            f"The median model costs {words.listed(medians)} a million tokens.",
        ]
    )
    dots = [Dot(used.names[each.key], each.usd, each.tokens, each.group) for each in found]
    return Made(text, used.count(PRICED), (_plot("Price and use of models", dots, tuple(GROUPS.values()), guides),))


def _said_of(line: Line | None, start: str) -> str | None:
    if line is None:
        return None
    effect = 100 * (0.9**line.slope - 1)
    interval = f"{line.low:.3f} to {line.high:.3f}"
    return f"{start} {line.slope:.3f} (95 % interval {interval}): a tenth cheaper goes with {effect:+.1f} % of use."


def of_authors(used: UsedEvents) -> Made:
    """F37."""
    found = _priced(used, "author", "true")
    if not found:
        return lacking("authors whose models were paid for and may be shown")
    names = {each.key: used.attributes.author(each.key).name for each in found}
    ranked = sorted(found, key=lambda each: -each.tokens)
    dear = max(ranked[:10], key=lambda each: each.usd)
    cheap = min(ranked[:10], key=lambda each: each.usd)
    text = (
        f"Of the {words.counted(min(len(ranked), 10), 'author')} with the most tokens {names[dear.key]} is the dearest "
        f"({words.usd(dear.usd)} a million), {names[cheap.key]} the cheapest ({words.usd(cheap.usd)}). First by tokens: "
        f"{words.listed(names[each.key] for each in ranked[:5])}."
    )
    dots = [Dot(names[each.key], each.usd, each.tokens, each.group) for each in found]
    return Made(
        text, used.count(PRICED), (_plot("Price and use of authors", dots, tuple(GROUPS.values()), _medians(found)),)
    )


def archetypes(used: UsedEvents) -> Made:
    """F38."""
    found = _models(used)
    if not found:
        return lacking("models that were paid for and may be shown")
    much, little = (quantile([each.tokens for each in found], part) or 0 for part in (0.9, 0.4))
    kinds: dict[str, list[Priced]] = {kind: [] for kind in KINDS}
    for each in sorted(found, key=lambda each: (-each.tokens, each.key)):
        kind = archetype(each.usd, each.tokens, much, little)
        if kind is not None:
            kinds[kind].append(each)
    rows: list[tuple[Cell, ...]] = [
        (kind, used.names[each.key], each.usd, math.log10(each.tokens / 1e6), round(each.tokens))
        for kind, members in kinds.items()
        for each in _examples(kind, members)
    ]
    counts = words.listed(f"{words.counted(len(members), kind)}" for kind, members in kinds.items() if members)
    text = f"Of {words.counted(len(found), 'model')}: {counts or 'none of an archetype'}; the others lie between." + (
        f" Much used is {words.amount(much)} tokens or more, little used {words.amount(little)} or less."
    )
    columns = (
        Column("Archetype"), Column("Model"), Column("$ a million", "usd_per_mtok"), Column("Log of million tokens", "number"),
        Column("Tokens", "count"),
    )  # fmt: skip
    return Made(text, used.count(PRICED), (Table("Archetypes, examples of each", columns, tuple(rows)),))


KINDS = ("efficient giant", "premium leader", "premium specialist", "long-tail model")


def archetype(usd: float, tokens: float, much: float, little: float) -> str | None:
    """The kind of a model by its price and its tokens; None between the kinds."""
    if tokens >= much and (usd < 0.40 or usd >= 1.5):
        return KINDS[0] if usd < 0.40 else KINDS[1]
    if usd >= 10:
        return KINDS[2]
    return KINDS[3] if tokens <= little and usd < 0.10 else None


def _examples(kind: str, members: Sequence[Priced]) -> Sequence[Priced]:
    """The most used of a kind; of the dear ones the dearest, of the long tail the least used."""
    if kind == KINDS[2]:
        members = sorted(members, key=lambda each: (-each.usd, each.key))
    if kind == KINDS[3]:
        members = sorted(members, key=lambda each: (each.usd, each.key))
    return members[:ROWS_OF_A_KIND]


def _models(used: UsedEvents) -> list[Priced]:
    return _priced(used, "model", "true")


def _priced(used: UsedEvents, key: str, where: str, weight: str = "") -> list[Priced]:
    """What may be shown of all that was paid for. The price leaves out callers' own keys, the tokens do not. ``weight``: ``w * ``
    for estimates."""
    paid = used.cells((key,), f"sum({weight}nano)", f"{where} AND {PRICED}")
    tokens_paid = used.cells((key,), f"sum({weight}tok)", f"{where} AND {PRICED}")
    tokens = used.cells((key,), f"sum({weight}tok)", where)
    tokens_open = used.cells((key,), f"sum({weight}tok)", f"{where} AND {OPEN}")
    requests = used.cells((key,), f"sum({weight}1)", where)
    found = []
    for row, cell in paid.items():
        if cell.value > 0 and used.shown(cell):
            is_open = row in tokens_open and 2 * tokens_open[row].value > tokens[row].value
            group = GROUPS["open" if is_open else "closed"]
            usd = cell.value / tokens_paid[row].value / NANO_PER_TOKEN
            found.append(Priced(str(row[0]), group, usd, tokens[row].value, requests[row].value))
    return found


def _medians(found: Sequence[Priced]) -> tuple[Guide, ...]:
    usd, tokens = [each.usd for each in found], [each.tokens for each in found]
    x, y = median(usd), median(tokens)
    return (
        Guide(f"median price {words.usd(x)}", (x, min(tokens)), (x, max(tokens))),
        Guide("median use", (min(usd), y), (max(usd), y)),
    )


def _plot(title: str, dots: list[Dot], groups: tuple[str, ...], guides: tuple[Guide, ...]) -> Plot:
    return Plot(
        title,
        tuple(sorted(dots, key=lambda dot: (-dot.y, dot.label))),
        groups,
        PRICE_NAME,
        USAGE_NAME,
        "usd",
        "tokens",
        guides,
    )
