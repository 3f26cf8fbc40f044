"""F11 to F14: reasoning models, and calls of tools."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Table
from gateway.analytics.report.figures.made import Made, lacking
from gateway.analytics.report.statistics import theil_sen
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import (
    PERMYRIAD,
    TOP,
    chart,
    line_chart,
    mean,
    of_models,
    of_words,
    panel,
    weekly,
)  # fmt: skip

LATELY = 4
ONE_ACCOUNT_POINTS = 2.0
"""A single account that moves the share of a week by so much is named as what it is."""
REASONING = {"reasoning": "Reasoning models", "other": "Other models", "unknown": "Not known"}
TOOLS = {"called": "Ended with a tool call", "not": "All other requests"}


def share(used: UsedEvents) -> Made:
    """F11."""
    found = weekly(used, "reasoning_model")
    percents = found.percents("reasoning")
    weeks = list(zip(found.weeks, percents, strict=True))
    crossed = next((week for week, value in weeks if value is not None and value > 50), None)
    columns = (
        Column("Quarter"), Column("(a) tokens of reasoning models", "percent"),
        Column("(b) requests that reasoned, or were to", "percent"),
        Column("(c) reasoning of completion tokens", "percent"),
    )  # fmt: skip
    rows = _measures(used)
    known = [value for value in percents if value is not None]
    text = words.sentences(
        [
            f"Reasoning models serve {words.percent(known[0])} of tokens in the first week and "
            f"{words.percent(mean(known[-LATELY:]))} in the last {LATELY}.",
            f"They are first above half in {words.week(crossed)}." if crossed else "They are never above half.",
            f"Over the window {words.percent(rows[-1][2])} of requests reasoned or were to, and {words.percent(rows[-1][3])} of "
            "completion tokens were reasoning: three measures of three things.",
        ]
    )
    drawn = chart(found, [key for key in REASONING if key in found.values], "tokens", of_words(REASONING))
    table = Table("Three measures", columns, tuple(rows))
    return Made(text, used.count(), (panel("Tokens of reasoning models", "shares", drawn), table))


def _measures(used: UsedEvents) -> list[tuple[str, float | None, float | None, float | None]]:
    sql = """
        SELECT {quarter},
            100 * sum(tok) FILTER (reasoning_model = 'reasoning') / nullif(sum(tok), 0),
            100 * count(*) FILTER (reasoned) / count(*),
            100 * sum(reasoning) / nullif(sum(completion), 0)
        FROM used GROUP BY ALL ORDER BY 1"""
    quarters = used.rows(sql.format(quarter="year(week) || ' Q' || quarter(week)"))
    whole = used.rows(sql.format(quarter="'All'"))
    return [(name, _known(a), _known(b), _known(c)) for name, a, b, c in [*quarters, *whole]]


def _known(value: float | None) -> float | None:
    return None if value is None else float(value)


def models(used: UsedEvents) -> Made:
    """F12."""
    where = "reasoning_model = 'reasoning'"
    found = weekly(used, "model", where=where)
    if not found.values:
        return lacking("tokens of reasoning models")
    drawn = chart(found, found.ranked[:TOP], "tokens", of_models(used))
    whole = sum(found.of_week(week) for week in found.weeks)
    first = words.listed(
        f"{used.names[slug]} ({words.percent(100 * found.total(slug) / whole)})" for slug in found.ranked[:3]
    )
    late = _leaders(found.values, found.weeks[-LATELY:])
    leaders = words.listed(used.names[slug] for slug in late)
    text = f"Most reasoning tokens were those of {first}; in the last {LATELY} weeks {leaders} lead."
    return Made(text, used.count(where), (panel("Share of the tokens of reasoning models", "shares", drawn),))


def _leaders(values: dict[str, dict[date, float]], weeks: list[date], count: int = 3) -> list[str]:
    sums = {key: sum(of.get(week, 0) for week in weeks) for key, of in values.items()}
    return [key for key in sorted(sums, key=lambda key: (-sums[key], key)) if sums[key]][:count]


def tools(used: UsedEvents) -> Made:
    """F13."""
    found = weekly(used, "CASE WHEN called THEN 'called' ELSE 'not' END")
    if "called" not in found.values:
        return lacking("requests that ended with a call of a tool")
    with_all = found.percents("called")
    without = _without_the_largest(used)
    moved = [
        (week, before - after)
        for week, before, after in zip(found.weeks, with_all, without, strict=True)
        if before is not None and after is not None and before - after >= ONE_ACCOUNT_POINTS
    ]
    slope = theil_sen(without)
    known = [value for value in with_all if value is not None]
    requests, offered = used.rows(
        "SELECT 100 * count(*) FILTER (called) / count(*), 100 * sum(tok) FILTER (offered) / greatest(sum(tok), 1) FROM used"
    )[0]
    alone = f"No single account moves a week by {ONE_ACCOUNT_POINTS:.0f} points."
    if moved:
        by = f", at most {max(by for _, by in moved):.1f}" if used.least_users <= 1 else ""
        alone = (
            f"In {words.counted(len(moved), 'week')}, first in {words.week(moved[0][0])}, a single account makes a difference of "
            f"{ONE_ACCOUNT_POINTS:.0f} points or more{by}."
        )
    text = words.sentences(
        [
            f"Requests that ended with a call of tools have {words.percent(mean(known[:LATELY]))} of tokens in the first "
            f"{LATELY} weeks and {words.percent(mean(known[-LATELY:]))} in the last"
            + (
                f"; the median slope, without each week's largest account, is {slope:+.2f} points a week."
                if slope is not None
                else "."
            ),
            alone,
            f"Over the window they are {words.percent(requests)} of requests; requests that offered tools have "
            f"{words.percent(offered)} of tokens. Whether calls were well formed is not counted.",
        ]
    )
    panels = [panel("Share of tokens by ending", "shares", chart(found, list(TOOLS), "tokens", of_words(TOOLS)))]
    if used.least_users <= 1:  # the difference of the two lines is one account's use
        lines = {"All accounts": with_all, "Without each week's largest account": without}
        drawn = line_chart(found.weeks, lines, PERMYRIAD)
        panels.append(panel("Tool-call share, with and without the largest account", "lines", drawn))
    return Made(text, used.count(), tuple(panels))


def _without_the_largest(used: UsedEvents) -> list[float | None]:
    """The tool-call share of each week without the organisation that has the most tokens of calls in it."""
    rows = used.rows("SELECT week, org, sum(tok), coalesce(sum(tok) FILTER (called), 0) FROM used GROUP BY ALL")
    weeks: dict[date, list[tuple[int, int]]] = defaultdict(list)
    for week, _, whole, called in rows:
        weeks[week].append((int(called), int(whole)))
    shares: list[float | None] = []
    for week in used.weeks:
        accounts = sorted(weeks.get(week, []))[:-1]
        whole = sum(each for _, each in accounts)
        shares.append(100 * sum(each for each, _ in accounts) / whole if whole else None)
    return shares


def tool_models(used: UsedEvents) -> Made:
    """F14."""
    found = weekly(used, "model", where="offered")
    if not found.values:
        return lacking("requests that offer tools")
    drawn = chart(found, found.ranked[:TOP], "tokens", of_models(used))
    half = len(found.weeks) // 2
    early, late = (_leaders(found.values, weeks, 5) for weeks in (found.weeks[:half], found.weeks[half:]))
    names = [words.listed(used.names[slug] for slug in slugs) or "nobody" for slugs in (early, late)]
    text = f"Of tokens with tools on offer, {names[0]} lead in the first half of the window, {names[1]} in the second."
    calls = used.cells(("model",), where="called")
    total = sum(cell.value for cell in calls.values()) or 1
    shown = sorted(((cell.value, slug) for (slug,), cell in calls.items() if used.shown(cell)), reverse=True)[:10]
    rows: list[tuple[Cell, ...]] = [(used.names[slug], round(value), 100 * value / total) for value, slug in shown]
    table = Table(
        "Requests that ended with a call, by model",
        (Column("Model"), Column("Tokens", "count"), Column("Share", "percent")),
        tuple(rows),
    )
    return Made(text, used.count("offered"), (panel("Share of tokens with tools on offer", "shares", drawn), table))
