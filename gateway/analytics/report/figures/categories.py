"""F07 to F10, F20 to F29: what is asked for, by category: of open models, of programming, within categories, by author."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Panel, Table
from gateway.analytics.report.estimates import Sample, Share, share, together
from gateway.analytics.report.figures.made import CATEGORIES_NEEDED, CLASSIFIED, OPEN, Made, lacking
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import (
    ORIGINS,
    PERMYRIAD,
    TOP,
    Look,
    Weekly,
    as_shares,
    chart,
    estimated,
    line_chart,
    of_authors,
    of_origins,
    of_words,
    panel,
    title_of,
    weekly,
)
from gateway.analytics.series import Chart

LATELY = 4
QUARTER = 13
TASKS_SHOWN = 5
SPEND_PERCENT = 60
"""Of programming spend: the study tells in which week its leader first had less."""
CATEGORY_COLUMNS = (
    Column("Category"), Column("Tokens", "count"), Column("Share", "percent"), Column("±", "interval"), Column("n", "count"),
)  # fmt: skip


def trend(where: str, of: str) -> Callable[[UsedEvents], Made]:
    """F07, F08: the categories of some models over time. ``of``: what they are called in the sentence."""

    def make(used: UsedEvents) -> Made:
        chosen = f"{CLASSIFIED} AND {where}"
        found = estimated(used, "category", chosen)
        if not found.samples:
            return _nothing(used, where)
        top = found.ranked[:3]
        shares = words.listed(f"{category} {_said(found.share(category))}" for category in top)
        both = found.share("programming", "technology")
        text = words.sentences(
            [
                f"Of the classified tokens of {of}: {shares}.",
                f"Programming and technology together: {both}." if both else None,
                _moved(found, top),
            ]
        )
        panels = (
            panel(title_of("Share of classified tokens by category", found), "shares", _drawn(found)),
            _table(used, found),
        )
        return Made(text, used.count(chosen), panels, sampled=is_sampled(used))

    return make


def by_origin(category: str) -> Callable[[UsedEvents], Made]:
    """F09, F10: who has the tokens of a category, by origin."""

    def make(used: UsedEvents) -> Made:
        chosen = f"category = '{category}'"
        found = estimated(used, "origin", chosen)
        if not found.samples:
            return _nothing(used, chosen, f"events of the category {category}")
        begin, end = _ends(found)
        names = {"closed": "closed models", "chinese_oss": "Chinese open models", "other_oss": "other open models"}
        parts = [
            f"{name} {_said(found.share(origin))} of its tokens ({_said(found.share(origin, last=begin))} in the first, "
            f"{_said(found.share(origin, first=end))} in the last {QUARTER} weeks)"
            for origin, name in names.items()
            if origin in found.samples
        ]
        drawn = chart(found, [key for key in ORIGINS if key in found.values], "tokens", of_origins(used))
        text = f"In {category}, {words.listed(parts)}."
        return Made(
            text,
            used.count(chosen),
            (panel(title_of("Share of tokens by origin", found), "shares", drawn),),
            sampled=is_sampled(used),
        )

    return make


def programming(used: UsedEvents) -> Made:
    """F20."""
    found = estimated(used, "category", CLASSIFIED)
    if "programming" not in found.samples:
        return _nothing(used, "true", "events of the category programming")
    length = timedelta(weeks=found.span - 1)
    shares = [found.share("programming", first=week, last=week + length) for week in found.weeks]
    lines = {
        "Programming": [each and each.percent for each in shares],
        "lower 95 % bound": [each and max(each.percent - each.half, 0) for each in shares],
        "upper 95 % bound": [each and min(each.percent + each.half, 100) for each in shares],
    }
    exact = all(each is None or each.half < 0.005 for each in shares)
    drawn = line_chart(found.weeks, dict(list(lines.items())[: 1 if exact else 3]), PERMYRIAD)
    early = found.share("programming", last=used.weeks[LATELY - 1])
    late = found.share("programming", first=used.weeks[-LATELY])
    changes = _changes(found)
    text = words.sentences(
        [
            f"Programming is {_said(early)} of classified tokens in the first {LATELY} weeks and {_said(late)} in the "
            f"last {LATELY}.",
            f"The category that grew most between the first and the last {QUARTER} weeks is {changes[0][1]} "
            f"({words.points(changes[0][0])}); the one that shrank most {changes[-1][1]} ({words.points(changes[-1][0])})."
            if len(changes) > 1
            else None,
        ]
    )
    panels = (panel(title_of("Programming, share of classified tokens", found), "lines", drawn), _table(used, found))
    return Made(text, used.count(CLASSIFIED), panels, sampled=is_sampled(used))


def programming_by_author(used: UsedEvents) -> Made:
    """F21."""
    chosen = "category = 'programming'"
    tokens = estimated(used, "author", chosen)
    if not tokens.samples:
        return _nothing(used, chosen, "events of the category programming")
    spend = weekly(used, "author", "sum(w * nano)", chosen, span=tokens.span)
    requests = weekly(used, "author", "sum(w)", chosen, span=tokens.span)
    spend.hidden = requests.hidden = tokens.hidden
    leaders = spend.ranked[:TOP]
    look = of_authors(used)
    panels: list[Panel] = [
        panel(
            title_of("Share of programming spend by author", tokens),
            "shares",
            as_shares(chart(spend, leaders, "nano_usd", look)),
        ),
        panel(
            title_of("Share of programming tokens", tokens),
            "shares",
            chart(tokens, tokens.ranked[:TOP], "tokens", look),
        ),
        panel(
            title_of("Share of programming requests", tokens),
            "shares",
            chart(requests, requests.ranked[:TOP], "requests", look),
        ),
    ]
    text = _leader(look, spend, tokens) if leaders else "No author has enough users to be named."
    return Made(text, used.count(chosen), tuple(panels), sampled=is_sampled(used))


def _leader(look: Look, spend: Weekly, tokens: Weekly) -> str:
    lead, *others = spend.ranked[:4]
    weeks = zip(spend.weeks, spend.percents(lead), strict=True)
    below = next((week for week, value in weeks if value is not None and value < SPEND_PERCENT), None)
    whole = sum(spend.of_week(week) for week in spend.weeks)
    when = (
        f"first below {SPEND_PERCENT} % of spend in {_bucket(tokens, below)}"
        if below
        else f"never below {SPEND_PERCENT} % of spend"
    )
    then = f" Then come {words.listed(look.label(author) for author in others)}." if others else ""
    return (
        f"{look.label(lead)} leads with {words.percent(100 * spend.total(lead) / whole)} of programming spend and is {when}; "
        f"of its tokens it has {_said(tokens.share(lead))}.{then}"
    )


def tasks(first: int, last: int) -> Callable[[UsedEvents], Made]:
    """F22, F23: the tasks within the categories of these ranks."""

    def make(used: UsedEvents) -> Made:
        chosen = f"{CLASSIFIED} AND task <> ''"
        cells = used.cells(("category", "task"), where=chosen)
        if not cells:
            return _nothing(used, CLASSIFIED, "events classified by task")
        wholes: dict[str, list[Sample]] = {}
        for (category, _), cell in cells.items():
            wholes.setdefault(category, []).append(cell.sample)
        ranked = sorted(wholes, key=lambda category: (-together(*wholes[category]).tokens, category))[first:last]
        if not ranked:
            return lacking(f"more than {first} categories", used.count(chosen))
        rows: list[tuple[Cell, ...]] = []
        leads = []
        for category in ranked:
            whole = together(*wholes[category])
            mine = sorted(
                ((cell, task) for (of, task), cell in cells.items() if of == category and used.shown(cell)),
                key=lambda pair: (-pair[0].sample.tokens, pair[1]),
            )
            shares = [(task, share(cell.sample, whole), cell.sample.events) for cell, task in mine[:TASKS_SHOWN]]
            rows += [(category, _words(task), _percent(part), _half(part), n) for task, part, n in shares]
            if shares and shares[0][1] is not None:
                leads.append(f"{category}: {_words(shares[0][0])} {shares[0][1]}")
        columns = (
            Column("Category"),
            Column("Task"),
            Column("Share", "percent"),
            Column("±", "interval"),
            Column("n", "count"),
        )
        text = f"The largest task of each: {words.listed(leads)}." if leads else "No task has enough users to be named."
        table = Table("Tasks within categories, share of the category's tokens", columns, tuple(rows))
        return Made(text, used.count(chosen), (table,), sampled=is_sampled(used))

    return make


def profile(place: int) -> Callable[[UsedEvents], Made]:
    """F24 to F29: the categories of the author with the most, the next most ... classified tokens."""

    def make(used: UsedEvents) -> Made:
        authors = used.cells(("author",), where=CLASSIFIED)
        if not authors:
            return _nothing(used, "true")
        ranked = sorted(
            (key for (key,), cell in authors.items() if used.shown(cell)),
            key=lambda key: (-authors[(key,)].sample.tokens, key),
        )
        if len(ranked) <= place:
            return lacking(f"{place + 1} authors that may be shown; there are {len(ranked)}")
        author, name = ranked[place], used.attributes.author(ranked[place]).name
        chosen = f"{CLASSIFIED} AND author = '{author.replace(chr(39), chr(39) * 2)}'"
        found = estimated(used, "category", chosen)
        top = words.listed(f"{category} {_said(found.share(category))}" for category in found.ranked[:3])
        both = found.share("programming", "technology")
        text = words.sentences(
            [
                f"{name} ranks {_ordinal(place + 1)} by classified tokens. They are {top}.",
                f"Programming and technology together: {both}." if both else None,
                _moved(found, found.ranked[:3]),
            ]
        )
        shown = panel(title_of(f"{name}: share of classified tokens by category", found), "shares", _drawn(found))
        return Made(text, used.count(chosen), (shown,), sampled=is_sampled(used))

    return make


def _bucket(found: Weekly, first: date) -> str:
    return words.week(first) if found.span == 1 else f"the {found.span} weeks from {words.day(first)} on"


def _ordinal(number: int) -> str:
    return ("first", "second", "third", "fourth", "fifth", "sixth")[number - 1]


def _words(task: str) -> str:
    return task.replace("_", " ")


def is_sampled(used: UsedEvents) -> bool:
    """Whether any event was drawn, rather than every one looked at."""
    return used.count("sampled AND w > 1") > 0


def _nothing(used: UsedEvents, where: str, needs: str = CATEGORIES_NEEDED) -> Made:
    if used.count(where) == 0:
        return lacking("tokens of these models")
    return lacking(needs if used.count(CLASSIFIED) else CATEGORIES_NEEDED)


def _drawn(found: Weekly) -> Chart:
    return chart(found, found.ranked[:TOP], "tokens", of_words())


def _table(used: UsedEvents, found: Weekly) -> Table:
    whole = sum(found.of_week(week) for week in found.weeks)
    rows: list[tuple[Cell, ...]] = []
    for category in found.ranked:
        part = found.share(category)
        count = sum(sample.events for sample in found.samples[category].values())
        if part is not None and whole:
            rows.append((category, round(found.total(category)), part.percent, part.half, count))
    return Table("Estimated over the window" if is_sampled(used) else "Over the window", CATEGORY_COLUMNS, tuple(rows))


def _ends(found: Weekly) -> tuple[date, date]:
    """The last Monday of the first quarter of a year, the first one of the last."""
    measured = [week for week in found.weeks if any(week in values for values in found.samples.values())]
    begin = measured[0] + timedelta(weeks=QUARTER - 1)
    return begin, measured[-1] - timedelta(weeks=QUARTER - 1)


def _changes(found: Weekly) -> list[tuple[float, str]]:
    """(points, category) between the first and the last quarter, the largest rise first."""
    begin, end = _ends(found)
    changes = []
    for category in found.values:
        before, after = found.share(category, last=begin), found.share(category, first=end)
        if before is not None and after is not None:
            changes.append((after.percent - before.percent, category))
    return sorted(changes, reverse=True)


def _moved(found: Weekly, categories: Iterable[str]) -> str | None:
    begin, end = _ends(found)
    moves = []
    for category in categories:
        before, after = found.share(category, last=begin), found.share(category, first=end)
        if before is not None and after is not None:
            moves.append(f"{category} {words.points(after.percent - before.percent)}")
    return f"From the first to the last {QUARTER} weeks: {words.listed(moves)}." if moves else None


def _said(part: Share | None) -> str:
    return str(part) if part is not None else "an unknown share"


def _percent(part: Share | None) -> float | None:
    return part.percent if part is not None else None


def _half(part: Share | None) -> float | None:
    return part.half if part is not None else None


OPEN_TREND = trend(OPEN, "open models")
CHINESE_TREND = trend("origin = 'chinese_oss'", "Chinese open models")
