"""F34: who comes back. A cohort is the users whose first use of a model was in one month; its value at age k is the part of it that
uses the model k months later (a user who skips a month counts again)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple

from gateway.analytics.privacy import LARGEST_PERCENT
from gateway.analytics.report import words
from gateway.analytics.report.document import Cell, Column, Panel, Table
from gateway.analytics.report.figures.made import Made, lacking
from gateway.analytics.report.used_events import UsedEvents
from gateway.analytics.report.weekly import PERMYRIAD, panel
from gateway.analytics.retention import AGE, LEAST_USERS, Cohort, cohorts, comes_back, is_foundational
from gateway.analytics.series import Chart, Series

MODELS, LINES = 8, 8


class _Flags(NamedTuple):
    """What is said of cohorts beside their numbers."""

    stays: frozenset[Cohort]
    returns: Mapping[Cohort, int]

    def of(self, cohort: Cohort) -> str:
        """``, stays`` and ``, comes back``, or nothing."""
        return ", stays" * (cohort in self.stays) + ", comes back" * (cohort in self.returns)


def retention(used: UsedEvents) -> Made:
    """F34."""
    found = read(used)
    if not found:
        return lacking(f"a model that {LEAST_USERS} users have first used in one month, and the month after it")
    stays = [each for of in found.values() for each in of if is_foundational(each, of)]
    returns = {each: age for of in found.values() for each in of if (age := comes_back(each, of)) is not None}
    flags = _Flags(frozenset(stays), returns)
    flagged = {each.model for each in (*stays, *returns)}
    chosen = sorted(found, key=lambda model: (model not in flagged, -sum(each.size for each in found[model]), model))[
        :MODELS
    ]
    panels: list[Panel] = [
        panel(f"{used.names[model]}: users who come back, by month of first use", "lines", _drawn(found[model], flags))
        for model in chosen
    ]
    panels.append(_table(used, found, chosen, flags))
    ages = [kept for of in found.values() for each in of if (kept := each.kept(AGE)) is not None]
    text = words.sentences(
        [
            f"{words.counted(sum(map(len, found.values())), 'cohort')} of {words.counted(len(found), 'model')} have at least "
            f"{LEAST_USERS} users."
            + (f" At month {AGE} the median one keeps {words.percent(100 * median(ages))}." if ages else ""),
            f"Cohorts that stay: {_listed(used, stays, AGE)}." if stays else "No cohort stands out by staying.",
            "Cohorts of which more come back later: "
            + words.listed(f"{_name(used, each)} at month {age}" for each, age in [*returns.items()][:8])
            + "."
            if returns
            else None,
        ]
    )
    users = used.rows("SELECT count(*) FROM active")[0][0]
    return Made(text, int(users), tuple(panels))


def read(used: UsedEvents) -> dict[str, list[Cohort]]:
    """Model → its cohorts that are large enough to be shown and at least one month old, the oldest first."""
    newest = (used.window.last + timedelta(days=1)).replace(day=1)  # the running month: not over, so not counted
    found = cohorts(lambda sql, given: used.rows(sql, *given), used.window.first.replace(day=1), newest)
    if used.least_users <= 1:
        return found
    open_ones = {
        model: [each for each in of if each.size >= used.least_users and each.largest_percent <= LARGEST_PERCENT]
        for model, of in found.items()
    }
    return {model: of for model, of in open_ones.items() if of}


def _drawn(cohorts: list[Cohort], flags: _Flags) -> Chart:
    ages = max(len(each.active) for each in cohorts)
    shown = sorted(cohorts, key=lambda each: (not flags.of(each), -each.size, each.month))[:LINES]
    series = [
        Series(
            each.month.isoformat()[:7],
            f"{_month(each.month)} ({each.size:,}{flags.of(each)})",
            None,
            tuple(round(10_000 * part) if (part := each.kept(age)) is not None else None for age in range(ages)),
        )
        for each in sorted(shown, key=lambda each: each.month)
    ]
    return Chart(tuple(f"Month {age}" for age in range(ages)), tuple(series), PERMYRIAD, False, {})


def _table(used: UsedEvents, cohorts: Mapping[str, list[Cohort]], models: list[str], flags: _Flags) -> Table:
    ages = (1, 2, 3, AGE)
    rows: list[tuple[Cell, ...]] = [
        (
            used.names[model],
            _month(each.month),
            each.size,
            *(100 * part if (part := each.kept(age)) is not None else None for age in ages),
            flags.of(each).removeprefix(", ") or None,
        )
        for model in models
        for each in cohorts[model]
    ]
    columns = (
        Column("Model"), Column("First used"), Column("Users", "count"), *(Column(f"Month {age}", "percent") for age in ages),
        Column("Kind"),
    )  # fmt: skip
    return Table("Cohorts of these models", columns, tuple(rows))


def _listed(used: UsedEvents, cohorts: list[Cohort], age: int) -> str:
    ordered = sorted(cohorts, key=lambda each: -each.size)
    return words.listed(
        f"{_name(used, each)} ({words.percent(100 * (each.kept(age) or 0))} at month {age})" for each in ordered[:8]
    )


def _name(used: UsedEvents, cohort: Cohort) -> str:
    return f"{used.names[cohort.model]} of {_month(cohort.month)}"


def _month(first: date) -> str:
    return f"{words.MONTHS[first.month - 1]} {first.year}"
