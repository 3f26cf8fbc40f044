"""Who comes back to a model: cohorts, from the history of events.

A cohort is the users whose first use of a model was in one month (UTC). Its value at age k is the part of it that used the model k
months later; a user who skips a month counts again. Months that run are left out, and so are the users of the first month of the
history, who may have come before it began. It must not know: HTTP, the store, what is shown to whom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from statistics import median
from typing import Any

import msgspec

from gateway.analytics.buckets import date_of, day_of, following
from gateway.analytics.history.source import History
from gateway.analytics.report.statistics import rise_is_beyond_chance

LEAST_USERS = 20
"""Smaller cohorts say nothing and are shown to nobody."""
AGE = 5
"""In months, at which a cohort that stays is known."""
FOUNDATIONAL, FOUNDATIONAL_TIMES = 0.30, 1.5
AGES_MAX = 12
RISE_POINTS, RISE_USERS = 2.0, 20
"""A smaller rise, and one to fewer users, is none: where hardly anybody uses a model, one month without traffic would look like a
return."""
BOUND_USERS = 5
"""Fewer say nothing about chance by a normal bound."""
Rows = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""A query and its parameters → its rows."""


class Cohort(msgspec.Struct, frozen=True):
    """``active[k]`` of ``active[0]`` users used the model at age k, in months."""

    model: str
    month: date
    """Its first day."""
    active: tuple[int, ...]
    largest_percent: float = 0.0
    """Of the users, those of one organisation."""

    @property
    def size(self) -> int:
        """Users."""
        return self.active[0]

    def kept(self, age: int) -> float | None:
        """The part that is active at an age; None where that month is not over."""
        return self.active[age] / self.size if age < len(self.active) else None


def is_foundational(cohort: Cohort, of_model: Iterable[Cohort]) -> bool:
    """Whether a cohort stays, and does so much better than those that came to the model after it."""
    kept = cohort.kept(AGE)
    later = [value for each in of_model if each.month > cohort.month and (value := each.kept(AGE)) is not None]
    return kept is not None and bool(later) and kept >= FOUNDATIONAL and kept >= FOUNDATIONAL_TIMES * median(later)


def comes_back(cohort: Cohort, of_model: Sequence[Cohort]) -> int | None:
    """The age, from 2 on, at which more of a cohort came back than chance explains, and than the model's other cohorts did in that
    month: after an outage, or a month with hardly any traffic, everybody returns."""
    for age in range(2, len(cohort.active)):
        before, after = cohort.active[age - 1], cohort.active[age]
        usual = before * max(1.0, _of_others(cohort, age, of_model))
        enough = before >= BOUND_USERS and after >= RISE_USERS
        if (
            enough
            and 100 * (after - usual) / cohort.size >= RISE_POINTS
            and rise_is_beyond_chance(usual, after, cohort.size)
        ):
            return age
    return None


def _of_others(cohort: Cohort, age: int, of_model: Sequence[Cohort]) -> float:
    """The factor by which the other cohorts' users grew between the months in which this one was ``age - 1`` and ``age`` months
    old; 1 without any."""
    before = after = 0
    for other in of_model:
        place = age + 12 * (cohort.month.year - other.month.year) + cohort.month.month - other.month.month
        if other.month != cohort.month and 2 <= place < len(other.active):
            before, after = before + other.active[place - 1], after + other.active[place]
    return after / before if before else 1.0 if not after else float("inf")


_COHORTS = """
WITH first AS (SELECT model, who, min(month) AS born FROM active GROUP BY ALL),
parts AS (
    SELECT model, born, datediff('month', born, month) AS age, org, count(*) AS users
    FROM active JOIN first USING (model, who) WHERE month < ? GROUP BY ALL
)
SELECT model, born, age, sum(users)::BIGINT, max(users) FROM parts GROUP BY ALL"""


def cohorts(rows: Rows, since: date, before: date) -> dict[str, list[Cohort]]:
    """Model → its cohorts that are large enough and at least one month old, the oldest first.

    ``rows`` asks a database with the table ``active``: model, month, org, who. ``since``: the first month of a cohort; ``before``:
    the first month that is not over.
    """
    counts: dict[tuple[str, date], dict[int, tuple[int, int]]] = defaultdict(dict)
    for model, born, age, users, largest in rows(_COHORTS, [before]):
        counts[model, born][int(age)] = int(users), int(largest)
    found: dict[str, list[Cohort]] = defaultdict(list)
    for (model, born), by_age in sorted(counts.items()):
        ages = (before.year - born.year) * 12 + before.month - born.month
        size, largest = by_age.get(0, (0, 0))
        if size >= LEAST_USERS and ages >= 2 and born >= since:
            active = tuple(by_age.get(age, (0, 0))[0] for age in range(min(ages, AGES_MAX + 1)))
            found[model].append(Cohort(model, born, active, 100 * largest / size))
    return dict(found)


_ACTIVE = """
CREATE OR REPLACE TEMP TABLE active AS
SELECT DISTINCT model, date_trunc('month', ts)::DATE AS month, hash(org) AS org, hash("user") AS who FROM events
WHERE ok AND octet_length("user") > 0 AND dt < ?"""


def of_history(history: History, today: int) -> dict[str, list[Cohort]]:
    """The cohorts of all months before that of a day (number since 1970), of everything that the history has. Blocks; reads five
    columns of each event. Raises HistoryError."""
    before = date_of(today).replace(day=1)
    with history.reading(last=day_of(before) - 1) as opened:
        opened.execute(_ACTIVE, [before])
        (oldest,) = opened.execute("SELECT min(month) FROM active").fetchone() or (None,)
        if oldest is None:
            return {}
        since = date_of(following("month", day_of(oldest)))
        return cohorts(lambda sql, given: opened.execute(sql, given).fetchall(), since, before)
