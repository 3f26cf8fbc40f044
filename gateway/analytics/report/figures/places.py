"""F30 to F33: the countries of accounts, and the languages of prompts."""

from __future__ import annotations

from collections.abc import Callable

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Table
from gateway.analytics.report.estimates import share, together
from gateway.analytics.report.figures.categories import is_sampled
from gateway.analytics.report.figures.made import Made, lacking
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import as_shares, chart, mean, of_words, panel, weekly

LATELY = 13
COUNTRIES_NEEDED = "the countries of accounts: state them for the organisations"
LANGUAGES_NEEDED = "events with a language: switch local categories on for an organisation"
COUNTRIES_SHOWN = 20
PLACED = "country <> ''"


def spend(used: UsedEvents) -> Made:
    """F30."""
    found = weekly(used, "continent", "sum(nano)", PLACED)
    if not found.values and not found.others:
        return lacking(COUNTRIES_NEEDED)
    look = of_words({"": "No continent"})
    drawn = as_shares(chart(found, found.ranked, "nano_usd", look))
    moves = []
    for continent in found.ranked[:4]:
        percents = [value for value in found.percents(continent) if value is not None]
        early, late = mean(percents[:LATELY]), mean(percents[-LATELY:])
        moves.append(f"{look.label(continent)} {words.percent(early)} to {words.percent(late)}")
    text = (
        f"Of spend, between the first and the last {LATELY} weeks: {words.listed(moves)}. {_unplaced(used)}"
        if moves
        else f"No continent has enough accounts to be named. {_unplaced(used)}"
    )
    return Made(text, used.count(PLACED), (panel("Share of spend by continent of the account", "shares", drawn),))


def _unplaced(used: UsedEvents) -> str:
    without = used.count() - used.count(PLACED)
    return f"Accounts without a country: {words.percent(100 * without / max(used.count(), 1))} of requests, left out."


def table(key: str, title: str, name: str) -> Callable[[UsedEvents], Made]:
    """F31, F32: tokens and spend by ``continent`` or ``country``."""

    def make(used: UsedEvents) -> Made:
        cells = used.cells((key,), where=PLACED)
        if not cells:
            return lacking(COUNTRIES_NEEDED)
        paid = used.cells((key,), "sum(nano)", PLACED)
        tokens, money = (sum(cell.value for cell in of.values()) or 1 for of in (cells, paid))
        shown = sorted(
            (place for place, cell in cells.items() if used.shown(cell)), key=lambda place: (-cells[place].value, place)
        )
        rows: list[tuple[Cell, ...]] = [
            (str(place[0]) or "None", 100 * cells[place].value / tokens, 100 * paid[place].value / money)
            for place in shown[:COUNTRIES_SHOWN]
        ]
        rest = len(cells) - len(rows)
        if rest:
            left = [100 - sum(float(row[at] or 0) for row in rows) for at in (1, 2)]
            rows.append((f"Others ({rest})", *left))
        first = words.listed(f"{row[0]} {words.percent(float(row[1] or 0))}" for row in rows[:5])
        columns = (Column(name), Column("Of tokens", "percent"), Column("Of spend", "percent"))
        text = f"By tokens: {first}. It is the country that was stated for the account, not where its users are."
        return Made(text, used.count(PLACED), (Table(title, columns, tuple(rows)),))

    return make


def languages(used: UsedEvents) -> Made:
    """F33."""
    chosen = "language <> ''"
    cells = used.cells(("language",), where=chosen)
    if not cells:
        return lacking(LANGUAGES_NEEDED)
    whole = together(*(cell.sample for cell in cells.values()))
    shown = sorted(
        (key for (key,), cell in cells.items() if used.shown(cell)), key=lambda key: (-cells[(key,)].sample.tokens, key)
    )
    rows: list[tuple[Cell, ...]] = []
    said = []
    for language in shown:
        part = share(cells[(language,)].sample, whole)
        if part is not None:
            rows.append((language, part.percent, part.half, cells[(language,)].sample.events))
            said.append(f"{language} {part}")
    columns = (Column("Language"), Column("Of tokens", "percent"), Column("±", "interval"), Column("n", "count"))
    text = (
        f"Prompts by tokens: {words.listed(said[:5])}."
        if said
        else "No language may be shown: too few users, or too small a sample."
    )
    panels = (Table("Languages of prompts, share of classified tokens", columns, tuple(rows)),)
    return Made(text, used.count(chosen), panels, sampled=is_sampled(used))
