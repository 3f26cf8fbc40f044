"""F01 to F06: open and closed weights, the authors and the sizes of open models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from gateway.analytics.report import words
from gateway.analytics.report.document import Column, Table
from gateway.analytics.report.figures.made import OPEN, OPEN_NEEDED, Made, lacking
from gateway.analytics.report.statistics import concentration
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import (
    ORIGINS,
    Look,
    Weekly,
    chart,
    line_chart,
    mean,
    of_models,
    of_origins,
    of_words,
    panel,
    weekly,
)  # fmt: skip
from gateway.analytics.series import Chart

SIZES = ("small", "medium", "large", "unknown")
SIZE_NAMES = {
    "small": "Small (< 15B)", "medium": "Medium (15 to 70B)", "large": "Large (≥ 70B)", "unknown": "Not known",
}  # fmt: skip
LATELY = 4
"""Weeks at the end that sentences call the last ones."""
TOP_OPEN = 15
LARGE_SHARE_PERCENT = 25
PRESENT_PERCENT = 5


def split(used: UsedEvents) -> Made:
    """F01."""
    found = weekly(used, "origin")
    chinese, other = found.percents("chinese_oss"), found.percents("other_oss")
    known = [(value, week) for value, week in zip(chinese, found.weeks, strict=True) if value is not None]
    lately = [mean(values[-LATELY:]) or 0.0 for values in (chinese, other)]
    spend = used.cells(("origin",), "sum(nano)")
    paid = sum(cell.value for cell in spend.values())
    closed_paid = spend[("closed",)].value if ("closed",) in spend else 0
    low, high = min(known), max(known)
    text = words.sentences(
        [
            f"Open models hold {words.percent(sum(lately))} of tokens in the last {LATELY} weeks "
            f"({words.percent(lately[0])} Chinese, {words.percent(lately[1])} other), and on average over all weeks "
            f"{words.percent(mean(chinese))} Chinese and {words.percent(mean(other))} other.",
            f"Chinese open models ranged from {words.percent(low[0])} in {words.week(low[1])} to {words.percent(high[0])} in "
            f"{words.week(high[1])}.",
            f"Closed models have {words.percent(mean(found.percents('closed')))} of tokens on average"
            + (f" and {words.percent(100 * closed_paid / paid)} of spend." if paid else "."),
            _unknown(found),
        ]
    )
    drawn = chart(found, [key for key in ORIGINS if key in found.values], "tokens", of_origins(used))
    return Made(text, used.count(), (panel("Share of tokens by origin", "shares", drawn, markers(used)),))


def _unknown(found: Weekly) -> str | None:
    percent = 100 * found.total("unknown") / (sum(found.of_week(week) for week in found.weeks) or 1)
    return (
        f"Of {words.percent(percent)} of tokens nobody has stated whether the weights are open."
        if percent >= 0.05
        else None
    )


def markers(used: UsedEvents) -> list[tuple[str, str]]:
    """Releases within the window."""
    first, last = used.window
    return [
        (release.day.isoformat(), release.label) for release in used.attributes.releases if first <= release.day <= last
    ]


def volume(used: UsedEvents) -> Made:
    """F02."""
    found = weekly(used, "origin")
    totals = [(found.of_week(week), week) for week in found.weeks]
    most, peak = max(totals)
    weeks = [(value, week) for value, week in totals if value]
    growth = f", {most / weeks[0][0]:.1f} times the first" if weeks[0][0] else ""
    models = weekly(used, "model")
    authors = weekly(used, "author")
    rows = list(_concentration(models, authors))
    drawn = chart(found, [key for key in ORIGINS if key in found.values], "tokens", of_origins(used))
    text = words.sentences(
        [
            f"{words.amount(sum(value for value, _ in totals))} tokens in {words.counted(len(weeks), 'week')}: "
            f"{words.amount(weeks[0][0])} in {words.week(weeks[0][1])}, at most {words.amount(most)} in "
            f"{words.week(peak)}{growth}, {words.amount(weeks[-1][0])} in the last week.",
            _said_of_concentration(rows),
        ]
    )
    columns = ("Quarter", "Top model", "Top 3", "Top 9", "Index of models", "Index of authors", "Models ≥ 1 %")
    units = ("text", "percent", "percent", "percent", "number", "number", "count")
    table = Table(
        "Concentration by quarter",
        tuple(Column(name, unit) for name, unit in zip(columns, units, strict=True)),
        tuple(rows),
    )
    return Made(text, used.count(), (panel("Tokens by origin", "bars", drawn), table))


Row = tuple[str, float, float, float, float, float, int]


def _concentration(models: Weekly, authors: Weekly) -> Iterable[Row]:
    """By quarter, means of its weeks: what a quarter's sums would say hides who leads in a week."""
    quarters: dict[str, list[date]] = defaultdict(list)
    for week in models.weeks:
        if models.of_week(week):
            quarters[f"{week.year} Q{(week.month + 2) // 3}"].append(week)
    for quarter, weeks in quarters.items():
        measured = [_of_week(models, authors, week) for week in weeks]
        top, three, nine, index, author_index, present = (
            sum(column) / len(weeks) for column in zip(*measured, strict=True)
        )
        yield quarter, top, three, nine, index, author_index, round(present)


def _of_week(models: Weekly, authors: Weekly, week: date) -> tuple[float, ...]:
    """Of all models, also those that may not be named: these are sums."""
    used = sorted((of[week].tokens for of in models.samples.values() if week in of), reverse=True)
    by_author = [of[week].tokens for of in authors.samples.values() if week in of]
    whole = sum(used) or 1
    tops = [100 * sum(used[:count]) / whole for count in (1, 3, 9)]
    return (*tops, concentration(used) or 0, concentration(by_author) or 0, sum(100 * value >= whole for value in used))


def _said_of_concentration(rows: list[Row]) -> str | None:
    full = [row for row in rows if row[0].endswith(("Q1", "Q3"))][:2]
    if len(full) < 2:
        return None
    before, after = full
    models = "fell" if after[4] < before[4] else "rose"
    authors = "fell" if after[5] < before[5] else "did not fall"
    return (
        f"From {before[0]} to {after[0]} the leading model's share of a week went from {words.percent(before[1])} to "
        f"{words.percent(after[1])}, and the concentration index of models {models} ({before[4]:,.0f} to {after[4]:,.0f}); that of "
        f"authors {authors} ({before[5]:,.0f} to {after[5]:,.0f})."
    )


def open_authors(used: UsedEvents) -> Made:
    """F03."""
    cells = used.cells(("author",), where=OPEN)
    whole = sum(cell.value for cell in cells.values())
    if not whole:
        return lacking(OPEN_NEEDED)
    shown = {key: cell for (key,), cell in cells.items() if used.shown(cell)}
    ranked = sorted(shown, key=lambda key: (-shown[key].value, key))
    query = f"SELECT author, count(DISTINCT model) FROM used WHERE {OPEN} GROUP BY author"  # noqa: S608
    models: dict[str, int] = dict(used.rows(query))
    names = {author: used.attributes.author(author).name for author in ranked}
    rows = [
        (names[author], round(shown[author].value), 100 * shown[author].value / whole, models[author])
        for author in ranked[:20]
    ]
    first = words.listed(f"{name} ({words.amount(tokens)})" for name, tokens, *_ in rows[:5])
    text = (
        f"{words.counted(len(cells), 'author')} of open models share {words.amount(whole)} tokens; first come {first}."
        if rows
        else f"No author of open models has enough users to be named ({len(cells)} in all)."
    )
    columns = (Column("Author"), Column("Tokens", "count"), Column("Of open", "percent"), Column("Models", "count"))
    return Made(text, used.count(OPEN), (Table("Tokens of open models by author", columns, tuple(rows)),))


def open_models(used: UsedEvents) -> Made:
    """F04."""
    found = weekly(used, "model", where=OPEN)
    if not found.values:
        return lacking(OPEN_NEEDED)
    drawn = chart(found, found.ranked[:TOP_OPEN], "tokens", of_models(used))
    largest = _largest(found, found.weeks[-13:])
    if not largest:
        text = "No open model was used in the last 13 weeks."
    else:
        ranked = sorted(largest, key=lambda slug: (-largest[slug], slug))
        present = [slug for slug in ranked if largest[slug] >= PRESENT_PERCENT]
        weeks = [max(_largest(found, [week]).values(), default=0) for week in found.weeks[-13:]]
        verdict = "no model has" if max(weeks) <= LARGE_SHARE_PERCENT else "a model has"
        text = (
            f"In the last 13 weeks the largest open model, {used.names[ranked[0]]}, has {words.percent(largest[ranked[0]])} of "
            f"open tokens, {words.counted(len(present), 'model')} at least {PRESENT_PERCENT} %; in any of these weeks {verdict} "
            f"more than {LARGE_SHARE_PERCENT} % (at most {words.percent(max(weeks))}). Over the whole window "
            f"{words.listed(used.names[slug] for slug in found.ranked[:3])} come first."
        )
    return Made(text, used.count(OPEN), (panel("Share of open tokens by model", "shares", drawn),))


def _largest(found: Weekly, weeks: list[date]) -> Mapping[str, float]:
    whole = sum(found.of_week(week) for week in weeks)
    sums = {key: sum(values.get(week, 0) for week in weeks) for key, values in found.values.items()}
    return {key: 100 * value / whole for key, value in sums.items() if value} if whole else {}


def sizes(used: UsedEvents) -> Made:
    """F05."""
    found = weekly(used, "size", where=OPEN)
    if not found.values and not found.others:
        return lacking(OPEN_NEEDED)
    active = weekly(used, "active_size", where=OPEN)
    look = of_words(SIZE_NAMES)
    panels = (
        panel("Share of open tokens by size", "shares", _by_size(found, look)),
        panel("The same by the parameters at work for one token", "shares", _by_size(active, look)),
    )
    trend = words.listed(
        f"{size} models from {words.percent(mean(found.percents(size)[:13]))} to {words.percent(mean(found.percents(size)[-13:]))}"
        for size in SIZES[:3]
    )
    unknown = mean(found.percents("unknown")) or 0
    text = f"Between the first and the last 13 weeks: {trend} of open tokens." + (
        f" {words.percent(unknown)} is of models whose size nobody has stated." if unknown >= 0.05 else ""
    )
    return Made(text, used.count(OPEN), panels)


def _by_size(found: Weekly, look: Look) -> Chart:
    return chart(found, [size for size in SIZES if size in found.values], "tokens", look)


def supply(used: UsedEvents) -> Made:
    """F06."""
    rows = used.rows(f"SELECT week, size, count(DISTINCT model) FROM used WHERE {OPEN} GROUP BY ALL")  # noqa: S608
    if not rows:
        return lacking(OPEN_NEEDED)
    counts = {(week, size): number for week, size, number in rows}
    lines = {
        size: [counts.get((week, size), 0) for week in used.weeks]
        for size in SIZES
        if any(s == size for _, s, _ in rows)
    }
    text = "Open models with traffic, in the first and the last week: " + (
        words.listed(
            f"{values[0]} and {values[-1]} {'of unknown size' if size == 'unknown' else size}"
            for size, values in lines.items()
        )
        + "."
    )
    drawn = line_chart(used.weeks, lines, "models", of_words(SIZE_NAMES))
    return Made(text, used.count(OPEN), (panel("Open models in use by size", "lines", drawn),))
