"""What the pages about use have in common: whether anything may be shown, names and colours, and readings of the counters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self
from urllib.parse import quote, urlencode

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.analytics import buckets, overview, privacy, queries, tables
from gateway.analytics.counters import OTHER_APPS
from gateway.analytics.dimensions import By, dimensions, model_of
from gateway.analytics.estimates import Estimates, Kind, label_shares
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.label_chart import LabelQuery, label_chart
from gateway.analytics.overview import ModelWeek
from gateway.analytics.queries import Query, Standing, Window
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.catalog.catalog import Catalog
from gateway.services import Services
from gateway.store.client import Store
from gateway.web.site import Contents, Readings
from gateway.web.views import path_of

WEEKS = 53
DAYS = {"day": 30, "week": WEEKS * 7 - 6, "month": 365}
"""Period of a chart → days that it shows, up to today."""
VIEW_DAYS = {"day": 1, "week": 7, "month": 30, "trending": 7}
"""View of a leaderboard → days that it adds up."""
_PLAIN = re.compile(r"~?[\w-][\w.-]*(?:/[\w-][\w.-]*)*")
ANY_APP = "-"
"""In the place of an app's id: the parameter ``id`` has it."""
WEEK_FIELDS = ("pt", "ct", "rq", "tc", "tt")
"""Counters of an endpoint's week that the charts of a page share."""
NO_APPS = {UNKNOWN_APP: "No name given", OTHER_APPS: "Apps beyond the limit"}
"""What is counted with the apps and is none."""
OFF, PRIVATE, SILENT, UNKNOWN = "off", "private", "silent", "unknown"
"""Why nothing is shown: nothing is counted, rankings are not public, the store does not answer, there is no such thing."""


class Audience(NamedTuple):
    """What visitors may see."""

    least_users: int
    reason: str | None
    """``OFF`` or ``PRIVATE``; None: figures are shown."""


def audience(services: Services) -> Audience:
    """Visitors have no key, so they see what is public, of figures with enough users."""
    settings = services.settings
    reason = OFF if services.analytics is None else None if settings.public_rankings else PRIVATE
    return Audience(settings.rankings_min_users, reason)


def missing(found: object, back: str, problem: str | None = None) -> Contents:
    """The page that says why there are no figures. ``problem``: what is wrong with the choices of the address."""
    reason = None if problem else found if isinstance(found, str) else SILENT
    status = 400 if problem else 404 if reason == UNKNOWN else 503 if reason == SILENT else 200
    return "usage_missing.html", {"problem": problem, "reason": reason, "back": back}, status


class Choices(BaseModel):
    """What is chosen on a page: every choice is a parameter of its address."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    page: ClassVar[str]

    @classmethod
    def parsed(cls, query: Mapping[str, str]) -> Self | str:
        """The choices of an address, or what is wrong with it."""
        try:
            return cls.model_validate({name: value for name, value in query.items() if value})
        except ValidationError as error:
            first = error.errors()[0]
            return f"{first['loc'][0]}: {first['msg']}"

    def link(self, place: str, **changes: str) -> str:
        """The page with some choices changed, at one of its sections; what is the default is left out."""
        chosen = self.model_copy(update=changes).model_dump(exclude_defaults=True)
        return f"{self.page}{'?' + urlencode(chosen) if chosen else ''}#{place}"


def paid(nano_usd: int, tokens: int) -> float | None:
    """Dollars a million tokens as charged; None where nothing was."""
    return nano_usd / tokens / 1000 if tokens and nano_usd else None


class Names:
    """How pages call and paint what is counted."""

    def __init__(self, catalog: Catalog, apps: Mapping[str, str] | None = None) -> None:
        self._catalog, self._apps, self._dimensions = catalog, apps or {}, dimensions(catalog)

    def label(self, by: By, key: str) -> str:
        """The name to show."""
        if by == "app" and (key in NO_APPS or key in self._apps):
            return NO_APPS.get(key) or self._apps[key]
        return self._dimensions.label(by, key)

    def path(self, by: By, key: str) -> str | None:
        """The page of it, if there is one."""
        if key == OTHERS:
            return None
        if by in ("model", "family"):
            return path_of(key) if key in self._catalog.models else None
        if by == "author":
            return f"/models?{urlencode({'model_authors': key})}"
        if by == "provider":
            return f"/models?{urlencode({'providers': key})}" if key in self._catalog.providers else None
        return app_path(key) if by == "app" and key not in NO_APPS else None

    def link(self, by: By) -> Callable[[Series], str | None]:
        """The same for the series of a chart."""
        return lambda series: self.path(by, series.key)

    def author_of(self, model: str) -> str:
        """The author of a model."""
        return self._catalog.attributes.of(model).author

    def color(self, by: By, key: str) -> str:
        """``#RRGGBB``, the same everywhere."""
        return self._dimensions.color(by, key)

    def dressed(self, chart: Chart, by: By) -> Chart:
        """The chart with names and colours."""
        return msgspec.structs.replace(chart, series=tuple([self._dressed(each, by) for each in chart.series]))

    def _dressed(self, series: Series, by: By) -> Series:
        if series.key == OTHERS:
            return series
        return msgspec.structs.replace(series, label=self.label(by, series.key), color=self.color(by, series.key))


def app_path(app: str) -> str:
    """The page of an app. Its id is a text that strangers choose: one that a path would not bring back is a parameter."""
    if _PLAIN.fullmatch(app):
        return f"/apps/{quote(app, safe='/~')}"
    return f"/apps/{ANY_APP}?{urlencode({'id': app})}"


class Counters:
    """The counters as visitors may see them, each reading kept for a minute."""

    def __init__(self, services: Services, readings: Readings, least_users: int) -> None:
        self._services, self._readings, self.least_users = services, readings, least_users
        self._dimensions, self._version = dimensions(services.catalog.current), services.catalog.current.version
        self._weeks: dict[int, tables.Table] = {}
        self.now = time.time()
        self.today = buckets.today(self.now)

    @property
    def week(self) -> int:
        """The running week."""
        return buckets.week_of(self.today)

    async def overview(self) -> overview.Overview:
        """Everything together. Raises StoreError, as all of these do."""
        return await self._readings.get(
            ("overview", self.today), lambda: overview.overview(self._services.store, self.now)
        )

    async def chart(self, period: buckets.Period, **wanted: object) -> Chart:
        """A chart of the usual length up to today; ``wanted``: as in ``queries.Query``."""
        start = self.today - DAYS[period] + 1
        query = Query(period=period, start=start, end=self.today, least_users=self.least_users, **wanted)  # type: ignore[arg-type]

        async def read() -> Chart:
            return await queries.chart(self._services.store, query, self.now, self._dimensions, self._read)

        return await self._readings.get((query, self._version), read)

    async def labels(self, kind: Kind, label: str | None) -> Chart:
        """The models of one label by weeks, or the labels of a kind."""
        query = LabelQuery(
            kind=kind,
            label=label,
            by="label" if label is None else "model",
            start=self.today - DAYS["week"] + 1,
            end=self.today,
            least_users=self.least_users,
        )

        async def read() -> Chart:
            return await label_chart(self._services.store, query, self.now, self._dimensions)

        return await self._readings.get((query, self._version), read)

    async def tasks(self) -> Estimates:
        """The shares of tasks in the last complete week."""

        async def read() -> list[Estimates]:
            return await label_shares(self._services.store, "task", [self.week - 1], least_users=self.least_users)

        [found] = await self._readings.get(("tasks", self.week, self.least_users), read)
        return found

    async def leaderboard(self, by: By, view: str) -> list[Standing]:
        """All that may be shown, ranked."""
        window = Window(self.today - VIEW_DAYS[view] + 1, self.today + 1)

        async def read() -> list[Standing]:
            return await queries.leaderboard(
                self._services.store,
                by,
                window,
                trending=view == "trending",
                least_users=self.least_users,
                now=self.now,
                dimensions=self._dimensions,
            )

        return await self._readings.get(("leaderboard", by, view, self.today, self.least_users, self._version), read)

    async def _read(
        self, store: Store, table: str, numbers: Sequence[int], fields: Sequence[str]
    ) -> list[tables.Table]:
        """As ``tables.read``; weeks are read once for all charts of a page."""
        wanted = [WEEK_FIELDS.index(field) for field in fields if field in WEEK_FIELDS]
        if table != "we" or len(wanted) < len(fields):
            return await tables.read(store, table, numbers, fields)
        missing = [number for number in numbers if number not in self._weeks]
        self._weeks.update(zip(missing, await tables.read(store, table, missing, WEEK_FIELDS), strict=True))
        return [
            {row: tuple([values[place] for place in wanted]) for row, values in self._weeks[number].items()}
            for number in numbers
        ]

    async def weeks(self) -> list[dict[str, ModelWeek]]:
        """All models of the last ``WEEKS`` weeks, the running one included. Not everything in it may be shown."""
        numbers = range(self.week - WEEKS + 1, self.week + 1)
        return await self._readings.get(("weeks", self.week), lambda: overview.weeks(self._services.store, numbers))

    async def shown_weeks(self, models: Sequence[str], count: int) -> dict[str, list[int | None]]:
        """Model → its tokens in each of the last complete weeks, None where they may not be shown."""
        numbers = range(self.week - count, self.week)
        cells = [privacy.Cell("w", (number,), ("m " + model,)) for model in models for number in numbers]

        async def read() -> dict[str, list[int | None]]:
            sums = [_by_model(table) for table in await self._read(self._services.store, "we", numbers, ("pt", "ct"))]
            allowed = iter(await privacy.shown(self._services.store, cells, self.least_users))
            return {
                model: [each.get(model, 0) if next(allowed) else None if model in each else 0 for each in sums]
                for model in models
            }

        return await self._readings.get(("shown", tuple(models), numbers, self.least_users), read)

    async def unattributed(self, view: str) -> float | None:
        """The part of the tokens of a view's days whose app is not known; None without tokens."""
        days = range(self.today - VIEW_DAYS[view] + 1, self.today + 1)

        async def read() -> float | None:
            found = await tables.read(self._services.store, "da", days, ("t",))
            tokens = sum(values[0] for day in found for values in day.values())
            unknown = sum(day[UNKNOWN_APP][0] for day in found if UNKNOWN_APP in day)
            return unknown / tokens if tokens else None

        return await self._readings.get(("unattributed", view, self.today), read)

    async def app_names(self, apps: Iterable[str]) -> dict[str, str]:
        """App → the name that it gave last."""
        wanted = sorted(set(apps) - {OTHERS})
        found: dict[str, str] = {}
        for number in (self.week - 1, self.week):
            found |= await tables.names(self._services.store, "w", number, wanted)
        return found


def _by_model(table: tables.Table) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row, values in table.items():
        model = model_of(row)
        sums[model] = sums.get(model, 0) + sum(values)
    return sums
