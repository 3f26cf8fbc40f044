"""The block of a model's page about who comes back to it: a line for each cohort, from 0 to 100 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.analytics import cohorts, privacy
from gateway.analytics.cohorts import Kept, Made
from gateway.analytics.series import Chart, Series
from gateway.services import Services
from gateway.web import figures
from gateway.web.charts import Look
from gateway.web.site import Readings
from gateway.web.usage import Counters

LINES = 8
"""Cohorts with a line: those that stay or come back, then the largest."""


@dataclass(frozen=True, slots=True)
class Returning:
    """The cohorts of a model that visitors may see; ``made`` is None where none were ever made."""

    made: Made | None
    cohorts: Sequence[Kept]


async def read(services: Services, counters: Counters, readings: Readings, model: str) -> Returning:
    """What is kept of a model. Raises StoreError."""
    least = counters.least_users

    async def found() -> Returning:
        made, kept = await cohorts.read(services.store, model)
        return Returning(made, [each for each in kept if each.shown(least)])

    return await readings.get(("cohorts", model, least), found)


def block(returning: Returning, least_users: int) -> dict[str, Any]:
    """The values of the template: ``chart`` None where there is nothing to draw, ``why`` says what it would need."""
    if returning.made is None:
        return {"chart": None, "why": cohorts.NONE_YET}
    if not returning.cohorts:
        return {"chart": None, "why": "No month that is over brought enough new users to tell how many came back."}
    order = sorted(returning.cohorts, key=lambda each: (not _flagged(each), -each.cohort.size, each.cohort.month))
    drawn = sorted(order[:LINES], key=lambda each: each.cohort.month)
    ages = max(len(each.cohort.active) for each in drawn)
    series = tuple([_series(each, ages, least_users) for each in drawn])
    chart = Chart(tuple([f"Month {age}" for age in range(ages)]), series, "permyriad", False, {})
    title = "Users who come back, by month of first use"
    stays = frozenset(f"{each.cohort.month:%Y-%m}" for each in drawn if each.stays)
    return {
        "chart": figures.lined(chart, title, look=Look(most=10_000, thick=stays)),
        "more": len(returning.cohorts) - len(drawn),
        "stays": [f"{each.cohort.month:%B %Y}" for each in returning.cohorts if each.stays],
        "returns": [
            (f"{each.cohort.month:%B %Y}", each.boomerang) for each in returning.cohorts if each.boomerang is not None
        ],
        "why": None,
    }


def _flagged(each: Kept) -> bool:
    return each.stays or each.boomerang is not None


def _series(each: Kept, ages: int, least_users: int) -> Series:
    values = [None if part is None else round(100 * part) for part in each.percents(least_users)]
    size = each.cohort.size if least_users <= 1 else privacy.rounded(each.cohort.size)
    label = f"{each.cohort.month:%b %Y} ({size:,})"
    return Series(f"{each.cohort.month:%Y-%m}", label, None, (*values, *[None] * (ages - len(values))))
