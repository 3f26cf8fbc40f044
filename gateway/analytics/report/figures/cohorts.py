"""F34: who comes back. A cohort is the users whose first use of a model was in one month; its value at age k is the part of it that
uses the model k months later (a user who skips a month counts again)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple

from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Panel, Table
from gateway.analytics.report.figures.made import Made, lacking
from gateway.analytics.report.statistics import rise_is_beyond_chance
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import PERMYRIAD, panel
from gateway.analytics.series import Chart, Series

LEAST_USERS = 20
MODELS, LINES = 8, 8
AGE = 5
FOUNDATIONAL, FOUNDATIONAL_TIMES = 0.30, 1.5
RISE_POINTS = 2.0
AGES_MAX = 12


class Cohort(NamedTuple):
    """``active[k]`` of ``active[0]`` users used the model at age k, in months."""

    model: str
    month: date
    active: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.active[0]

    def kept(self, age: int) -> float | None:
        """The part that is active at an age; None where that month is not over."""
        return self.active[age] / self.size if age < len(self.active) else None

    @property
    def boomerang(self) -> int | None:
        """The age at which more came back than chance explains, from the second month on."""
        for age in range(2, len(self.active)):
            before, after = self.active[age - 1], self.active[age]
            risen = 100 * (after - before) / self.size
            if risen >= RISE_POINTS and rise_is_beyond_chance(before, after, self.size):
                return age
        return None


def retention(used: UsedEvents) -> Made:
    """F34."""
    cohorts = read(used)
    if not cohorts:
        return lacking(f"a model that {LEAST_USERS} users have first used in one month, and the month after it")
    stays = [each for of in cohorts.values() for each in of if is_foundational(each, of)]
    returns = [each for of in cohorts.values() for each in of if each.boomerang is not None]
    flagged = {each.model for each in (*stays, *returns)}
    chosen = sorted(
        cohorts, key=lambda model: (model not in flagged, -sum(each.size for each in cohorts[model]), model)
    )[:MODELS]
    panels: list[Panel] = [
        panel(
            f"{used.names[model]}: users who come back, by month of first use", "lines", _drawn(cohorts[model], stays)
        )
        for model in chosen
    ]
    panels.append(_table(used, cohorts, chosen, stays))
    ages = [kept for of in cohorts.values() for each in of if (kept := each.kept(AGE)) is not None]
    text = words.sentences(
        [
            f"{words.counted(sum(map(len, cohorts.values())), 'cohort')} of {words.counted(len(cohorts), 'model')} have at least "
            f"{LEAST_USERS} users."
            + (f" At month {AGE} the median one keeps {words.percent(100 * median(ages))}." if ages else ""),
            f"Cohorts that stay: {_listed(used, stays, AGE)}." if stays else "No cohort stands out by staying.",
            "Cohorts of which more come back later: "
            + words.listed(f"{_name(used, each)} at month {each.boomerang}" for each in returns[:8])
            + "."
            if returns
            else None,
        ]
    )
    users = used.rows("SELECT count(*) FROM active")[0][0]
    return Made(text, int(users), tuple(panels))


def read(used: UsedEvents) -> dict[str, list[Cohort]]:
    """Model → its cohorts that are large enough to be shown and at least one month old, the oldest first."""
    end = used.window.last + timedelta(days=1)
    newest = end.replace(day=1)  # the running month: not over, so not counted
    rows = used.rows(
        """
        WITH first AS (SELECT model, who, min(month) AS born FROM active GROUP BY ALL)
        SELECT a.model, f.born, datediff('month', f.born, a.month) AS age, count(*)
        FROM active a JOIN first f USING (model, who) WHERE a.month < ? GROUP BY ALL""",
        newest,
    )
    counts: dict[tuple[str, date], dict[int, int]] = defaultdict(dict)
    for model, born, age, number in rows:
        counts[model, born][int(age)] = int(number)
    found: dict[str, list[Cohort]] = defaultdict(list)
    for (model, born), by_age in sorted(counts.items()):
        ages = (newest.year - born.year) * 12 + newest.month - born.month
        if by_age.get(0, 0) >= LEAST_USERS and ages >= 2 and born >= used.window.first.replace(day=1):
            active = tuple(by_age.get(age, 0) for age in range(min(ages, AGES_MAX + 1)))
            found[model].append(Cohort(model, born, active))
    return dict(found)


def is_foundational(cohort: Cohort, of_model: Iterable[Cohort]) -> bool:
    """Whether a cohort stays, and does so much better than those that came to the model after it."""
    kept = cohort.kept(AGE)
    later = [value for each in of_model if each.month > cohort.month and (value := each.kept(AGE)) is not None]
    return kept is not None and bool(later) and kept >= FOUNDATIONAL and kept >= FOUNDATIONAL_TIMES * median(later)


def _drawn(cohorts: list[Cohort], stays: list[Cohort]) -> Chart:
    ages = max(len(each.active) for each in cohorts)
    shown = sorted(cohorts, key=lambda each: (each not in stays and each.boomerang is None, -each.size, each.month))[
        :LINES
    ]
    series = [
        Series(
            each.month.isoformat()[:7],
            f"{_month(each.month)} ({each.size:,}{_marks(each, stays)})",
            None,
            tuple(round(10_000 * part) if (part := each.kept(age)) is not None else None for age in range(ages)),
        )
        for each in sorted(shown, key=lambda each: each.month)
    ]
    return Chart(tuple(f"Month {age}" for age in range(ages)), tuple(series), PERMYRIAD, False, {})


def _table(used: UsedEvents, cohorts: Mapping[str, list[Cohort]], models: list[str], stays: list[Cohort]) -> Table:
    ages = (1, 2, 3, AGE)
    rows: list[tuple[Cell, ...]] = [
        (
            used.names[model],
            _month(each.month),
            each.size,
            *(100 * part if (part := each.kept(age)) is not None else None for age in ages),
            _marks(each, stays).removeprefix(", ") or None,
        )
        for model in models
        for each in cohorts[model]
    ]
    columns = (
        Column("Model"), Column("First used"), Column("Users", "count"), *(Column(f"Month {age}", "percent") for age in ages),
        Column("Kind"),
    )  # fmt: skip
    return Table("Cohorts of these models", columns, tuple(rows))


def _marks(cohort: Cohort, stays: list[Cohort]) -> str:
    kinds = ["stays"] * (cohort in stays) + ["comes back"] * (cohort.boomerang is not None)
    return "".join(f", {kind}" for kind in kinds)


def _listed(used: UsedEvents, cohorts: list[Cohort], age: int) -> str:
    ordered = sorted(cohorts, key=lambda each: -each.size)
    return words.listed(
        f"{_name(used, each)} ({words.percent(100 * (each.kept(age) or 0))} at month {age})" for each in ordered[:8]
    )


def _name(used: UsedEvents, cohort: Cohort) -> str:
    return f"{used.names[cohort.model]} of {_month(cohort.month)}"


def _month(first: date) -> str:
    return f"{words.MONTHS[first.month - 1]} {first.year}"
