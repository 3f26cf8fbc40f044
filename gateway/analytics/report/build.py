"""Makes a ``Report`` of an used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from gateway.analytics import privacy
from gateway.analytics.history.source import History
from gateway.analytics.report.document import VERSION, Figure, Report, Scope, name_of_days
from gateway.analytics.report.figures.made import Spec
from gateway.analytics.report.figures.table import FIGURES
from gateway.analytics.report.used_events import UsedEvents, Window, opened
from gateway.catalog.attributes import AttributeTable
from gateway.money import format_usd

STEPS = len(FIGURES) + 1
"""Calls of ``advance``: one when the events have been read, one for each figure."""
LIMITS = (
    "Tokens are those of each provider's tokenizer: a token of one model is not one of another, and many tokens are neither "
    "quality nor value. Shares of spend and of requests stand beside them where they differ most.",
    "This is the traffic of one gateway. It says nothing about use that does not pass it, and one large account can make a trend.",
    "Categories, tasks and languages are known of the organisations that switched them on, there of a sample, and by a classifier "
    "that errs.",
    "Countries are those stated for accounts. Users are told apart by a hash of what callers send: a user of two organisations "
    "counts twice.",
    "A model counts as what the catalogue knows of it on the day of the event; what nobody has stated is unknown, not closed or "
    "small.",
    "Cohorts begin where the history begins: whoever used a model before counts as new in its first month.",
    "Correlation of price and use is not the effect of a price: models differ in more than their price.",
)


def build(
    history: History,
    window: Window,
    attributes: AttributeTable,
    *,
    name: str,
    least_users: int,
    advance: Callable[[str], None],
) -> Report:
    """The report of the weeks of ``window``. ``least_users``: users that a value needs, and from 2 on no organisation has more than
    four fifths of one; what may not be shown is within others. ``advance`` is called with what was done.

    Raises NoEvents, and HistoryError where the history cannot be read.
    """
    with opened(history, window, attributes, least_users) as used:
        advance("read")
        figures = []
        for spec in FIGURES:
            figures.append(_figure(spec, used))
            advance(spec.id)
        made_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Report(VERSION, name, made_at, _scope(used), tuple(figures), LIMITS)


def window_of(year: int | None, start: date | None, end: date | None) -> tuple[str, Window]:
    """(name, weeks) of a year, or of the days from ``start`` to ``end``. Raises ValueError for neither, both, or a wrong order."""
    if year is not None and start is None and end is None:
        return str(year), Window.around(date(year, 1, 1), date(year, 12, 31))
    if year is None and start is not None and end is not None:
        return name_of_days(start, end), Window.around(start, end)
    raise ValueError("name a year, or a first and a last day")


def _figure(spec: Spec, used: UsedEvents) -> Figure:
    made = spec.make(used)
    return Figure(
        id=spec.id,
        section=spec.section,
        title=spec.title,
        definition=spec.definition[:1].upper() + spec.definition[1:],
        text=made.text.replace(" %", "\u202f%"),
        n=made.n,
        estimator="sampled" if made.sampled else "exact",
        needs=made.needs,
        series=made.series,
    )


def _scope(used: UsedEvents) -> Scope:
    row = used.rows(
        "SELECT count(*), sum(tok), count(DISTINCT model), count(DISTINCT provider) FILTER (provider <> ''), "
        "count(DISTINCT author), count(DISTINCT who), count(DISTINCT week), count(*) FILTER (estimated), sum(nano) FROM used"
    )[0]
    requests, tokens, models, providers, authors, users, weeks, estimated, nano = (int(value) for value in row)
    first, last = used.rows("SELECT min(dt), max(dt) FROM events WHERE dt BETWEEN ? AND ?", *used.window)[0]
    is_private = used.least_users <= 1
    return Scope(
        start=used.window.first.isoformat(),
        end=used.window.last.isoformat(),
        first_event=first.isoformat(),
        last_event=last.isoformat(),
        requests=requests,
        tokens=tokens,
        models=models,
        providers=providers,
        authors=authors,
        users=users if is_private else privacy.rounded(users),
        weeks=weeks,
        estimated_requests=estimated,
        spend_usd=format_usd(nano) if is_private else None,
        least_users=used.least_users,
    )
