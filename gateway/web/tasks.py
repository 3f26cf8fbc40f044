"""The page of tasks and of what conversations cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway.analytics import buckets
from gateway.analytics.classify.taxonomy import shipped, written
from gateway.analytics.estimates import Estimate, Estimates
from gateway.analytics.history.locations import history_of
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.sessions import TURN_RANGES, WINDOW_DAYS, SessionCost, session_costs
from gateway.services import Services
from gateway.web import figures
from gateway.web.axes import day_label
from gateway.web.figures import Figure
from gateway.web.numbers import exact
from gateway.web.row_charts import Mark, Row, Rows
from gateway.web.site import Contents, Readings, Seen
from gateway.web.usage import Counters, Names, audience, missing

TURNS = {
    name: words
    for (name, _), words in zip(TURN_RANGES, ("1 turn", "2–9 turns", "10–49 turns", "50 turns and more"), strict=True)
}
"""Range of turns → its name on the page."""
ROWS_MOST = 18
"""Pairs of an app and a model, those with the most sessions."""
SESSIONS_KEPT_S = 3600.0
"""The window ends yesterday, and reading it may take seconds."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters and the history say."""

    week: int
    tasks: Estimates
    sessions: Sequence[SessionCost] | None
    """Those that may be shown; None: there is no history here, or it cannot be read."""
    last_day: int
    """Of the window of sessions."""


def reader(readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        last_day = counters.today - 1

        async def sessions() -> list[SessionCost] | None:
            try:
                history = history_of(services.settings)
                if not await asyncio.to_thread(history.exists):
                    return None
                found = await asyncio.to_thread(session_costs, history, last_day)
            except HistoryError as error:
                log.error("history_failed", error=str(error))
                return None
            return [each for each in found if each.may_be_shown(seen_by.least_users)]

        shown = await readings.get(("sessions", last_day, seen_by.least_users), sessions, SESSIONS_KEPT_S)
        return Found(counters.week - 1, await counters.tasks(), shown, last_day)

    return read


def contents(seen: Seen, found: Found | str | None) -> Contents:
    """The page."""
    if not isinstance(found, Found):
        return missing(found, "/rankings/tasks")
    names = Names(seen.catalog)
    tasks, sessions = _tasks(found.tasks), _sessions(found.sessions or (), names)
    values = {
        "tasks": tasks,
        "sessions": sessions,
        "charts": (tasks, sessions),
        "estimates": found.tasks,
        "week": day_label(buckets.iso_day(buckets.monday(found.week))),
        "history": found.sessions is not None,
        "last_day": day_label(buckets.iso_day(found.last_day)),
        "days": WINDOW_DAYS,
        "pairs": len({(each.app, each.model) for each in found.sessions or ()}),
        "rows_most": ROWS_MOST,
    }
    return "rankings_tasks.html", values, 200


def _tasks(found: Estimates) -> Figure | None:
    """A bar for each task within its group, the largest first; None where no task may be shown."""
    rows: list[Row] = []
    groups = []
    for group, tasks in shipped().tasks.items():
        mine = sorted((each for each in found.estimates if each.key in tasks), key=lambda each: (-each.share, each.key))
        whole = 100 * sum(each.share for each in mine)
        for place, each in enumerate(mine):
            heading = "" if place else f"{group.capitalize()} · {whole:.1f} %"
            rows.append(Row(written(each.key), (_task_mark(each, group, exact_=found.exact),), heading))
        groups += [group.capitalize()] if mine else []
    if not rows:
        return None
    chart = Rows(tuple(rows), tuple(groups), "Share of tokens", "percent")
    return figures.rowed(chart, "Share of tokens by task")


def _task_mark(each: Estimate, group: str, *, exact_: bool) -> Mark:
    low, high = (None, None) if exact_ else (round(100 * each.low, 1), round(100 * each.high, 1))
    words = f"{100 * each.request_share:.1f} % of requests, told from {exact(each.n)}"
    return Mark(group.capitalize(), round(100 * each.share, 1), low, high, words)


def _sessions(found: Sequence[SessionCost], names: Names) -> Figure | None:
    """A row for each app and model, a dot for each number of turns; None without sessions that cost something."""
    pairs: dict[tuple[str, str], list[SessionCost]] = {}
    for each in found:
        if each.median_nano > 0:
            pairs.setdefault((each.app, each.model), []).append(each)
    order = sorted(pairs, key=lambda pair: (-sum(each.sessions for each in pairs[pair]), pair))[:ROWS_MOST]
    rows = []
    for app, model in order:
        cells = pairs[app, model]
        called = next((each.name for each in cells if each.name), app.removeprefix("~"))
        marks = tuple(
            Mark(TURNS[each.turn_range], each.median_nano / 10**9, words=f"{exact(each.sessions)} sessions")
            for each in sorted(cells, key=lambda each: list(TURNS).index(each.turn_range))
        )
        rows.append(Row(f"{called} · {names.label('model', model)}", marks))
    if not rows:
        return None
    chart = Rows(tuple(rows), tuple(TURNS.values()), "Median cost of a session", "usd", log=True)
    return figures.rowed(chart, "What a session costs, by its turns")
