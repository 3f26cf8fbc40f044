"""The events of a window, read from the history once into a table of DuckDB: narrow columns, and the facts of models as of the day.

Every figure is one ``GROUP BY`` over that table. What does not fit into memory is spilled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from gateway.analytics.buckets import day_of
from gateway.analytics.event import ESTIMATED, OWN_KEY
from gateway.analytics.history.source import History
from gateway.analytics.privacy import LARGEST_PERCENT
from gateway.analytics.report.continents import CONTINENT
from gateway.analytics.report.estimates import Sample
from gateway.catalog.attributes import Attributes, AttributeTable
from gateway.catalog.colors import Palette

THREADS = min(os.cpu_count() or 1, 4)
"""Of DuckDB; each may take 256 MB before it spills."""
EVER = (date(1970, 1, 1), date(9999, 12, 31))

Key = tuple[Any, ...]


class NoEvents(LookupError):
    """The files have no event in the window; the message says what they have."""


class Window(NamedTuple):
    """Whole weeks, both days included: Monday to Sunday."""

    first: date
    last: date

    @classmethod
    def around(cls, start: date, end: date) -> Window:
        """The weeks that contain the days from ``start`` to ``end``. Raises ValueError for days in the wrong order."""
        if start > end:
            raise ValueError(f"{start} is after {end}")
        return cls(start - timedelta(days=start.weekday()), end + timedelta(days=6 - end.weekday()))

    @property
    def weeks(self) -> list[date]:
        """The Mondays."""
        return [self.first + timedelta(weeks=number) for number in range(((self.last - self.first).days + 1) // 7)]


class Cell(NamedTuple):
    """One value of one group."""

    value: float
    users: int
    largest_percent: float
    """Of the group's tokens, what the organisation with the most of them used."""
    sample: Sample


class UsedEvents:
    """The table ``used``, and ``active`` (who used a model in which month, from the first file on); and questions to them."""

    def __init__(self, db: Any, window: Window, attributes: AttributeTable, least_users: int) -> None:
        self.db = db
        self.window = window
        self.weeks = window.weeks
        self.attributes = attributes
        self.palette = Palette(attributes)
        self.least_users = least_users
        self.names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._cells: dict[tuple[str, ...], dict[Key, Cell]] = {}

    def rows(self, sql: str, *given: Any) -> list[Key]:
        """The rows of a query."""
        found: list[Key] = self.db.execute(sql, given or None).fetchall()
        return found

    def count(self, where: str = "true") -> int:
        """How many events meet a condition."""
        if where not in self._counts:
            self._counts[where] = int(self.rows(f"SELECT count(*) FROM used WHERE {where}")[0][0])  # noqa: S608
        return self._counts[where]

    def cells(self, keys: Sequence[str], value: str = "sum(tok)", where: str = "true") -> Mapping[Key, Cell]:
        """Groups by SQL expressions → their values. ``value`` is a sum: it is added up by organisation first, so that users, whose
        hashes are those of their organisation, add up, and so that the largest organisation is known."""
        asked = (*keys, value, where)
        if asked not in self._cells:
            self._cells[asked] = self._read(keys, value, where)
        return self._cells[asked]

    def _read(self, keys: Sequence[str], value: str, where: str) -> dict[Key, Cell]:
        keyed = "".join(f"{key} AS k{place}, " for place, key in enumerate(keys))
        sql = f"""
            WITH parts AS (
                SELECT {keyed} org, {value} AS value, count(DISTINCT who) AS people, sum(tok) AS tokens, count(*) AS c,
                    sum(w * tok) AS s1, sum(v) AS s2, sum(w) AS s3, sum(w * w) AS s4
                FROM used WHERE {where} GROUP BY ALL)
            SELECT {"".join(f"k{place}, " for place in range(len(keys)))}
                sum(value), sum(people), 100 * max(tokens) / greatest(sum(tokens), 1), sum(c), sum(s1), sum(s2), sum(s3), sum(s4)
            FROM parts GROUP BY ALL"""  # noqa: S608 - expressions of this package's figures
        found = {}
        for row in self.rows(sql):
            measured, users, largest, *sample = row[len(keys) :]
            found[row[: len(keys)]] = Cell(measured or 0, int(users), float(largest), Sample(*sample))
        return found

    def shown(self, cell: Cell) -> bool:
        """Whether a value may be shown: no single account can be recognised in it. Everything may be shown to the operator."""
        return self.least_users <= 1 or (cell.users >= self.least_users and cell.largest_percent <= LARGEST_PERCENT)


@contextmanager
def opened(history: History, window: Window, attributes: AttributeTable, least_users: int) -> Iterator[UsedEvents]:
    """The events of the window in the history, read. Raises NoEvents, HistoryError."""
    last = day_of(window.last)
    with history.reading(last=last) as db:
        found = UsedEvents(db, window, attributes, least_users)
        _read(found)
        yield found


def _read(used: UsedEvents) -> None:
    db, (first, last) = used.db, used.window
    _facts(used)
    db.execute(
        "CREATE TEMP TABLE continents AS SELECT unnest(?) AS country, unnest(?) AS continent",
        _turned(CONTINENT.items()),
    )
    db.execute(USED, [last + timedelta(days=1), first])
    db.execute(ACTIVE, [last + timedelta(days=1)])
    if used.count() == 0:
        (oldest, newest) = used.rows("SELECT min(dt), max(dt) FROM events")[0]
        has = f"up to {last} it has those of {oldest} to {newest}" if oldest else f"it has none up to {last}"
        raise NoEvents(f"the history has no event from {first} to {last}; {has}")


FACTS = (
    "endpoint", "since", "until", "provider", "model", "author", "origin", "size", "active_size", "reasoning_model",
)  # fmt: skip

USED = f"""
CREATE TEMP TABLE used AS
SELECT
    e.week, hash(e.org) AS org, hash(e."user") AS who, f.provider,
    f.model, f.author, f.origin, f.size, f.active_size, f.reasoning_model,
    (e.prompt + e.completion)::BIGINT AS tok, e.prompt, e.completion, e.reasoning,
    e.reasoning > 0 OR e.asked_to_reason > 0 AS reasoned, e.cost_nano AS nano,
    e.flags & {OWN_KEY} > 0 AS own, e.flags & {ESTIMATED} > 0 AS estimated,
    e.tools > 0 OR e.finish = 'tool_calls' AS offered, e.finish = 'tool_calls' AS called,
    e.country, coalesce(c.continent, '') AS continent, e.category, e.task, e.language, e.sampled_ppm > 0 AS sampled,
    CASE WHEN e.sampled_ppm > 0 THEN 1e6 / e.sampled_ppm ELSE 1 END AS w,
    CASE WHEN e.sampled_ppm > 0 THEN (1e6 / e.sampled_ppm) * (1e6 / e.sampled_ppm - 1) * pow(e.prompt + e.completion, 2) ELSE 0 END
        AS v
FROM events e
JOIN facts f ON f.endpoint = e.endpoint AND e.dt >= f.since AND e.dt < f.until
LEFT JOIN continents c ON c.country = e.country
WHERE (e.ok OR e.prompt + e.completion > 0) AND e.dt < ? AND e.dt >= ?
"""  # noqa: S608
"""One row an event; org, who: 64 bits each; w: the events it stands for, v: tokens² (1 - p) / p²."""

ACTIVE = """
CREATE TEMP TABLE active AS
SELECT DISTINCT f.model, date_trunc('month', e.ts)::DATE AS month, hash(e.org) AS org, hash(e."user") AS who
FROM events e JOIN facts f ON f.endpoint = e.endpoint AND e.dt >= f.since AND e.dt < f.until
WHERE e.ok AND e.dt < ?
"""


def _facts(used: UsedEvents) -> None:
    """The table ``facts``: what an endpoint's model is, with the days on which it was so."""
    rows: list[tuple[Any, ...]] = []
    for (endpoint,) in used.rows("SELECT DISTINCT endpoint FROM events"):
        provider = endpoint.partition("/")[0] if endpoint[:1] != "@" else ""
        latest = used.attributes.of(endpoint.rpartition("@")[2])
        used.names[latest.slug] = latest.name
        days = [EVER[0], *sorted({day for day, _ in latest.changes}), EVER[1]]
        for since, until in pairwise(days):
            rows.append((endpoint, since, until, provider, *_row(latest.on(since))))
    columns = ", ".join(f"unnest(?) AS {name}" for name in FACTS)
    used.db.execute(f"CREATE TEMP TABLE facts AS SELECT {columns}", _turned(rows) if rows else [[] for _ in FACTS])


def _turned(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _row(model: Attributes) -> tuple[str, ...]:
    reasoning = {None: "unknown", True: "reasoning", False: "other"}[model.reasoning_model]
    sizes = (model.size_class or "unknown", model.active_size_class or "unknown")
    return (model.slug, model.author, model.origin, *sizes, reasoning)
