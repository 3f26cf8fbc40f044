"""F15 to F19: how long prompts, completions and both together are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell as TableCell
from gateway.analytics.report.document import Column, Table
from gateway.analytics.report.figures.categories import is_sampled
from gateway.analytics.report.figures.made import CATEGORIES_NEEDED, CLASSIFIED, Made, lacking
from gateway.analytics.report.used_events import Cell, UsedEvents
from gateway.analytics.report.weekly import Look, line_chart, mean, of_words, panel

LATELY = 4
SHOWN_CATEGORIES = 6
LEAST_REQUESTS = 20
"""Of a category in a week, for a mean to be drawn."""


def of_tokens(column: str, what: str) -> Callable[[UsedEvents], Made]:
    """F15, F16, F18: mean and quantiles of a column by week."""

    def make(used: UsedEvents) -> Made:
        rows = used.rows(
            f"SELECT week, avg({column}), quantile_cont({column}, [0.5, 0.9, 0.99]) FROM used WHERE tok > 0 GROUP BY week"  # noqa: S608
        )
        if not rows:
            return lacking("tokens")
        means: dict[date, float] = {week: average for week, average, _ in rows}
        quantiles: dict[date, list[float]] = {week: found for week, _, found in rows}
        lines: dict[str, list[float | None]] = {"Mean": [means.get(week) for week in used.weeks]}
        for place, name in enumerate(("Median", "90th percentile")):
            lines[name] = [quantiles[week][place] if week in quantiles else None for week in used.weeks]
        known = [value for value in lines["Mean"] if value is not None]
        early, late = mean(known[:LATELY]) or 0, mean(known[-LATELY:]) or 0
        times = f", {(late / early):.1f} times as much" if early else ""
        whole = used.rows(f"SELECT quantile_cont({column}, [0.5, 0.9, 0.99]) FROM used WHERE tok > 0")[0][0]  # noqa: S608
        text = (
            f"The mean {what} has {early:,.0f} tokens in the first {LATELY} weeks and {late:,.0f} in the last{times}. Over the "
            f"window half of them have at most {whole[0]:,.0f} tokens, 90 % at most {whole[1]:,.0f}, 99 % at most {whole[2]:,.0f}."
        )
        drawn = line_chart(used.weeks, lines, "tokens")
        return Made(text, used.count("tok > 0"), (panel(f"Tokens of a {what}", "lines", drawn),))

    return make


def by_category(used: UsedEvents) -> Made:
    """F17."""
    chosen = f"{CLASSIFIED} AND tok > 0"
    whole = used.cells(("category",), "sum(w * prompt)", chosen)
    if not whole:
        return lacking(CATEGORIES_NEEDED)
    shown = sorted(
        (key for (key,), cell in whole.items() if used.shown(cell)),
        key=lambda key: (-whole[(key,)].sample.tokens, key),
    )
    weeks = used.cells(("week", "category"), "sum(w * prompt)", chosen)
    lines = {
        category: [_mean(used, weeks.get((week, category))) for week in used.weeks]
        for category in shown[:SHOWN_CATEGORIES]
    }
    rows: list[tuple[TableCell, ...]] = [
        (category, round(_prompt(whole[(category,)])), whole[(category,)].sample.events)
        for category in sorted(shown, key=lambda key: -_prompt(whole[(key,)]))
    ]
    columns = (Column("Category"), Column("Mean prompt", "count"), Column("n", "count"))
    all_mean = sum(cell.value for cell in whole.values()) / sum(cell.sample.weights for cell in whole.values())
    text = f"The mean prompt has {all_mean:,.0f} tokens; by category it is longest in " + (
        f"{words.listed(f'{category} ({tokens:,})' for category, tokens, _ in rows[:3])}, shortest in "
        f"{rows[-1][0]} ({rows[-1][1]:,})."
        if rows
        else "none that may be shown."
    )
    drawn = line_chart(used.weeks, lines, "tokens", of_words())
    panels = (
        panel("Mean tokens of a prompt by category", "lines", drawn),
        Table("Over the window", columns, tuple(rows)),
    )
    return Made(text, used.count(chosen), panels, sampled=is_sampled(used))


def programming(used: UsedEvents) -> Made:
    """F19."""
    chosen = "category = 'programming' AND tok > 0"
    cells = used.cells(("week",), "sum(w * tok)", chosen)
    if not cells:
        return lacking("events of the category programming" if used.count(CLASSIFIED) else CATEGORIES_NEEDED)
    everything: dict[date, float] = dict(used.rows("SELECT week, avg(tok) FROM used WHERE tok > 0 GROUP BY week"))
    mine = [_mean(used, cells.get((week,))) for week in used.weeks]
    lines = {"Programming": mine, "All requests": [everything.get(week) for week in used.weeks]}
    ratios = [
        value / everything[week]
        for week, value in zip(used.weeks, mine, strict=True)
        if value is not None and week in everything
    ]
    long = used.rows(f"SELECT 100 * sum(w) FILTER (prompt > 20000) / sum(w) FROM used WHERE {chosen}")[0][0] or 0  # noqa: S608
    text = (
        f"A request of programming has {mean(ratios) or 0:.1f} times the tokens of the mean request, on average over weeks; "
        f"{words.percent(float(long))} of programming prompts are longer than 20,000 tokens."
    )
    look = Look(str, lambda _: None)
    drawn = line_chart(used.weeks, lines, "tokens", look)
    return Made(
        text, used.count(chosen), (panel("Mean tokens of a request", "lines", drawn),), sampled=is_sampled(used)
    )


def _mean(used: UsedEvents, cell: Cell | None) -> float | None:
    if cell is None or cell.sample.events < LEAST_REQUESTS or not used.shown(cell):
        return None
    return cell.value / cell.sample.weights


def _prompt(cell: Cell) -> float:
    return cell.value / cell.sample.weights
