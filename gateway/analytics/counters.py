"""A batch of events → what to add to which counter. Pure: the same events in any order and in any portions give the same sums.

    table   row                  fields
    e       endpoint             requests, tokens, money ... see ``ENDPOINT``           h 14 d · d 400 d · w 104 w
    a       app                  r t u, and ``<model> r``, ``<model> t``                d 400 d · w 104 w
    k       API key              ``<endpoint> r|p|c|g|h|u``                             d 35 d
    x       model                by size of prompt + completion: ``1K r``, ``1K t``     w 104 w
    o       m <model>, p <prov.> organisation → tokens, for the rules of privacy         d 400 d · w 104 w
    v       endpoint             ``<slot> o|e``: attempts by five minutes, for uptime    h 72 h
    l, t    endpoint             histogram of ms to the first content; of tokens / s     h 72 h · d 35 d · w 104 w
    c, g,   model, all           ``<label> n|w|x|t|v|u`` of categories, tasks, natural   w 104 w
    i, j                         and programming languages, see ``weights.py``
    n       m, p, a <name>, all  HyperLogLog of users                                    d 400 d · w 104 w
            c, g, i, j <label>   the same, and in ``o``, of those labels: for the rules of privacy

Counting takes two steps. An event is only put into its groups: with those of the same hour and endpoint, of the same day and app,
and so on (``Tally.add``). Then each group is added up once, and becomes rows (``Tally.increments``): of the finest bucket of a
table, then of the longer ones that contain it. It must not know: the store, HTTP.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec

from gateway.analytics.buckets import HOUR_MS, Grain, end_ms, week_of
from gateway.analytics.event import CANCELLED, ESTIMATED, FAILED, FREE, LIMITED, REFUSED, SERVED, STREAMED, Event
from gateway.analytics.weights import MILLION, UNCLASSIFIED, label_fields, labels_of, weighed

DAY_S, WEEK_S, HOUR_S = 86_400, 7 * 86_400, 3600
KEPT_S: dict[str, int] = {
    "he": 14 * DAY_S,
    "de": 400 * DAY_S,
    "we": 104 * WEEK_S,
    "da": 400 * DAY_S,
    "wa": 104 * WEEK_S,
    "dk": 35 * DAY_S,
    "wx": 104 * WEEK_S,
    "do": 400 * DAY_S,
    "wo": 104 * WEEK_S,
    "hv": 72 * HOUR_S,
    "hl": 72 * HOUR_S,
    "dl": 35 * DAY_S,
    "wl": 104 * WEEK_S,
    "ht": 72 * HOUR_S,
    "dt": 35 * DAY_S,
    "wt": 104 * WEEK_S,
    "wc": 104 * WEEK_S,
    "wg": 104 * WEEK_S,
    "wi": 104 * WEEK_S,
    "wj": 104 * WEEK_S,
    "dn": 400 * DAY_S,
    "wn": 104 * WEEK_S,
}
"""Table with its grain → seconds that a bucket is kept after its end."""

ENDPOINT = (
    *("rq", "ok", "cx", "pt", "ct", "rt", "cr", "cw", "ni", "no", "up", "fe", "us"),
    *("tc", "tt", "to", "tw", "st", "es", "fr", "ft", "wt", "wn"),
)
"""Counters of an endpoint.

rq requests · ok · cx caller left · pt prompt, ct completion, rt reasoning, cr cache read, cw cache written, ni, no normalised
tokens · up cost, fe fee, us charged, in nano-USD · tc, tt requests and tokens that ended with a call of tools · to, tw of those
that offered tools · st streams · es estimated · fr, ft requests and tokens of free models · wt, wn ms to the first content and
their number. Beside them: ae, al attempts that failed or were refused for load; rf requests that nobody served because of
themselves; im pictures made, au ms of sound transcribed
"""
APP = ("r", "t", "u")
"""Requests, tokens, nano-USD charged."""
KEY = ("r", "p", "c", "g", "h", "u")
"""Requests, prompt, completion, reasoning, cache read, nano-USD charged."""

CONTEXT_SIZES = (("1K", 1_000), ("10K", 10_000), ("100K", 100_000), ("1M", 1_000_000))
"""Label and most tokens of prompt + completion; what is larger is ``10M``."""
RATIO = 1.15
"""Between the bounds of two buckets of a histogram, so that a percentile is off by at most 7.5 %."""
_LOG_RATIO = math.log(RATIO)
SLOT_MS = 300_000
ALL = "all"
"""Row of the users of everything, and of the labels of all models."""
MAX_APPS = 2000
"""Apps that a day or a week has rows for: their names are chosen by callers."""
OTHER_APPS = "other"
"""The app that stands for those beyond ``MAX_APPS``."""


class Cell(NamedTuple):
    """One row of one bucket of a table."""

    table: str
    bucket: int
    row: str


Sums = dict[Cell, dict[str, int]]
People = dict[Cell, set[bytes]]
Row = TypeVar("Row", dict[str, int], set[bytes])
Amounts = list[tuple[int, ...]]
"""What the events of one group add, a tuple each."""


class Increments(msgspec.Struct, eq=False):
    """What a batch adds. ``users`` are added to sets that estimate how many different ones they hold."""

    counts: dict[Cell, dict[str, int]] = msgspec.field(default_factory=dict)
    users: dict[Cell, set[bytes]] = msgspec.field(default_factory=dict)
    names: dict[Cell, str] = msgspec.field(default_factory=dict)
    """Name of an app, as it last gave it."""
    late_weeks: set[int] = msgspec.field(default_factory=set)
    """Weeks that were closed when these events came."""


def histogram_bucket(value: float) -> int:
    """The bucket of a positive value: the n-th holds values from RATIO^n up to RATIO^(n+1)."""
    return math.floor(math.log(value) / _LOG_RATIO) if value >= 1 else 0


def histogram_value(number: int) -> float:
    """The middle of a bucket of a histogram."""
    return math.exp((number + 0.5) * _LOG_RATIO)


def context_size(tokens: int) -> str:
    """Label of the size of prompt + completion."""
    for label, most in CONTEXT_SIZES:
        if tokens <= most:
            return label
    return "10M"


def count(events: Iterable[Event], now: float, closes_after_s: int = 900) -> Increments:
    """The increments of these events, see ``Tally.increments``."""
    tally = Tally()
    tally.add(events)
    return tally.increments(now, closes_after_s=closes_after_s)


class Tally:
    """The events of a batch in groups, one for each combination of what a table is counted by."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[int, str], Amounts] = defaultdict(list)
        """Hour and endpoint → the counters ``ENDPOINT``."""
        self._attempts: dict[tuple[int, int, str, int], int] = defaultdict(int)
        """Hour, slot, endpoint and result → attempts."""
        self._refused: dict[tuple[int, str], int] = defaultdict(int)
        """Hour and endpoint → requests that nobody served because of themselves."""
        self._times: dict[tuple[str, int, str, int], int] = defaultdict(int)
        """Table, hour, endpoint and bucket of a histogram → events."""
        self._media: dict[tuple[int, str, str], int] = defaultdict(int)
        """Hour, endpoint and counter → pictures, ms of sound."""
        self._keys: dict[tuple[int, str, str], dict[str, Amounts]] = defaultdict(lambda: defaultdict(list))
        """Day, key and its organisation → endpoint → the counters ``KEY``."""
        self._apps: dict[tuple[int, str, str], Amounts] = defaultdict(list)
        """Day, app and model → the counters ``APP``."""
        self._sizes: dict[tuple[int, str, str], Amounts] = defaultdict(list)
        """Day, model and size of prompt + completion → requests and tokens."""
        self._users: dict[tuple[int, str], set[bytes]] = defaultdict(set)
        """Day and endpoint → users."""
        self._app_users: dict[tuple[int, str], set[bytes]] = defaultdict(set)
        """Day and app → users."""
        self._labels: dict[tuple[int, str, str, str], Amounts] = defaultdict(list)
        """Day, table, label and model → the counters of ``weights.Weighed``."""
        self._label_orgs: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        """Day and table with label → organisation → tokens."""
        self._label_users: dict[tuple[int, str], set[bytes]] = defaultdict(set)
        self._names: dict[tuple[int, str], str] = {}
        """Day and app → its name."""

    def add(self, events: Iterable[Event]) -> None:
        """Put events into their groups."""
        for event in events:
            hour, slot_ms = divmod(event.at_ms, HOUR_MS)
            day, endpoint, app, user = hour // 24, event.endpoint, event.app, event.user
            prompt, completion, nano = event.prompt, event.completion, event.charged_nano
            model, tokens = model_of(endpoint), prompt + completion
            self._endpoints[hour, endpoint].append(_of_endpoint(event, tokens))
            self._keys[day, event.key, event.org][endpoint].append(
                (1, prompt, completion, event.reasoning, event.cache_read, nano)
            )
            self._apps[day, app, model].append((1, tokens, nano))
            self._sizes[day, model, context_size(tokens)].append((1, tokens))
            for tried, result in event.tried:
                self._attempts[hour, slot_ms // SLOT_MS, tried, result] += 1
            if endpoint[:1] != "@":
                if event.ok:
                    self._add_times(event, hour)
            elif event.flags & REFUSED:
                self._refused[hour, endpoint] += 1
            if event.sampled_ppm or event.category:
                self._add_labels(event, day, model)
            if event.pictures or event.audio_ms:
                self._media[hour, endpoint, "im"] += event.pictures
                self._media[hour, endpoint, "au"] += event.audio_ms
            if user:
                self._users[day, endpoint].add(user)
                self._app_users[day, app].add(user)
            if event.app_name:
                self._names[day, app] = event.app_name

    def _add_times(self, event: Event, hour: int) -> None:
        if event.ttft_ms is not None and event.flags & STREAMED:
            self._times["hl", hour, event.endpoint, histogram_bucket(event.ttft_ms)] += 1
        if event.total_ms and event.completion:
            tps = event.completion * 1000 / event.total_ms
            self._times["ht", hour, event.endpoint, histogram_bucket(tps)] += 1

    def _add_labels(self, event: Event, day: int, model: str) -> None:
        added = weighed(event)
        for table, label in labels_of(event):
            self._labels[day, table, label, model].append(added)
            if label != UNCLASSIFIED:
                self._label_orgs[day, f"{table} {label}"][event.org] += added.t // MILLION
                if event.user:
                    self._label_users[day, f"{table} {label}"].add(event.user)

    def apps(self) -> list[tuple[int, str]]:
        """Week and app, those that came first at the beginning."""
        return list({(week_of(day), app): None for day, app, _ in self._apps})

    def increments(
        self, now: float, *, closes_after_s: int = 900, without: Collection[tuple[int, str]] = ()
    ) -> Increments:
        """What the events add. ``now``: unix seconds; a bucket that would have expired by then gets nothing, and a week is closed
        ``closes_after_s`` after its end. ``without``: weeks and apps for which there is no room: they count for ``OTHER_APPS``.
        """
        sums: Sums = defaultdict(lambda: defaultdict(int))
        self._endpoint_rows(sums)
        self._key_rows(sums)
        self._label_rows(sums)
        for (day, model, label), amounts in self._sizes.items():
            _fill(sums[Cell("dx", day, model)], (label + " r", label + " t"), _added(amounts))
        names: dict[tuple[int, str], str] = {}
        for day, app in {(day, app): None for day, app, _ in self._apps}:
            names[day, app] = OTHER_APPS if (week_of(day), app) in without else app
        self._app_rows(sums, names)
        counts, users = _with_longer(sums, _add_counts), _with_longer(self._people(names), _add_users)
        weeks = {cell.bucket for cell in counts if cell.table == "we"}
        return Increments(
            {cell: row for cell, row in counts.items() if _kept(cell, now)},
            {cell: found for cell, found in users.items() if _kept(cell, now)},
            {cell: name for cell, name in self._app_names(without) if _kept(cell, now)},
            {week for week in weeks if end_ms("w", week) // 1000 + closes_after_s <= now},
        )

    def _endpoint_rows(self, sums: Sums) -> None:
        for (hour, endpoint), amounts in self._endpoints.items():
            _fill(sums[Cell("he", hour, endpoint)], ENDPOINT, _added(amounts))
        for (hour, endpoint), number in self._refused.items():
            sums[Cell("he", hour, endpoint)]["rf"] += number
        for (hour, slot, endpoint, result), number in self._attempts.items():
            if result in (SERVED, FAILED):
                sums[Cell("hv", hour, endpoint)][f"{slot}{'o' if result == SERVED else 'e'}"] += number
            if result in (FAILED, LIMITED):
                sums[Cell("he", hour, endpoint)]["ae" if result == FAILED else "al"] += number
        for (hour, endpoint, counter), number in self._media.items():
            if number:
                sums[Cell("he", hour, endpoint)][counter] += number
        for (table, hour, endpoint, place), number in self._times.items():
            sums[Cell(table, hour, endpoint)][str(place)] += number

    def _key_rows(self, sums: Sums) -> None:
        orgs: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (day, key, org), endpoints in self._keys.items():
            row = sums[Cell("dk", day, key)]
            for endpoint, amounts in endpoints.items():
                added = _added(amounts)
                _fill(row, key_fields(endpoint), added)
                tokens = added[1] + added[2]
                if tokens:
                    for name in of_endpoint(endpoint):
                        orgs[day, name][org] += tokens
        sums.update({Cell("do", day, name): row for (day, name), row in orgs.items()})

    def _label_rows(self, sums: Sums) -> None:
        for (day, table, label, model), amounts in self._labels.items():
            added = _added(amounts)
            for name in (model, ALL):
                _fill(sums[Cell("d" + table, day, name)], label_fields(label), added)
        sums.update({Cell("do", day, name): row for (day, name), row in self._label_orgs.items()})

    def _app_rows(self, sums: Sums, names: Mapping[tuple[int, str], str]) -> None:
        for (day, app, model), amounts in self._apps.items():
            added = _added(amounts)
            row = sums[Cell("da", day, names[day, app])]
            _fill(row, APP, added)
            _fill(row, (model + " r", model + " t"), added[:2])

    def _people(self, names: Mapping[tuple[int, str], str]) -> People:
        people: People = defaultdict(set)
        for (day, endpoint), users in self._users.items():
            for row in (ALL, *of_endpoint(endpoint)):
                people[Cell("dn", day, row)] |= users
        for (day, app), users in self._app_users.items():
            people[Cell("dn", day, "a " + names[day, app])] |= users
        for (day, name), users in self._label_users.items():
            people[Cell("dn", day, name)] |= users
        return people

    def _app_names(self, without: Collection[tuple[int, str]]) -> Iterator[tuple[Cell, str]]:
        for (day, app), name in self._names.items():
            week = week_of(day)
            if (week, app) not in without:
                yield Cell("da", day, app), name
                yield Cell("wa", week, app), name


def _of_endpoint(event: Event, tokens: int) -> tuple[int, ...]:
    """What an event adds to the counters ``ENDPOINT``, in their order."""
    flags, ttft = event.flags, event.ttft_ms
    called, offered, free = event.finish == "tool_calls", event.tools > 0, flags & FREE != 0
    return (
        1,
        event.ok,
        flags & CANCELLED != 0,
        event.prompt,
        event.completion,
        event.reasoning,
        event.cache_read,
        event.cache_write,
        event.norm_prompt,
        event.norm_completion,
        event.cost_nano,
        event.fee_nano,
        event.charged_nano,
        called,
        tokens if called else 0,
        offered,
        tokens if offered else 0,
        flags & STREAMED != 0,
        flags & ESTIMATED != 0,
        free,
        tokens if free else 0,
        ttft or 0,
        ttft is not None,
    )


@lru_cache(maxsize=4096)
def model_of(endpoint: str) -> str:
    """The model of an endpoint's id."""
    return endpoint.rpartition("@")[2]


@lru_cache(maxsize=4096)
def of_endpoint(endpoint: str) -> tuple[str, ...]:
    """The rows of an endpoint's model and provider; of the model alone where no endpoint served."""
    model = "m " + model_of(endpoint)
    return (model,) if endpoint[:1] == "@" else (model, "p " + endpoint.partition("/")[0])


@lru_cache(maxsize=4096)
def key_fields(endpoint: str) -> tuple[str, ...]:
    """The fields of an endpoint in the row of a key, in the order of ``KEY``."""
    return tuple([f"{endpoint} {field}" for field in KEY])


def _added(amounts: Amounts) -> Sequence[int]:
    return [sum(column) for column in zip(*amounts, strict=True)] if len(amounts) > 1 else amounts[0]


def _fill(row: dict[str, int], fields: Iterable[str], amounts: Iterable[int]) -> None:
    for field, amount in zip(fields, amounts, strict=True):
        if amount:
            row[field] += amount


def _add_counts(into: dict[str, int], more: Mapping[str, int]) -> None:
    for field, amount in more.items():
        into[field] = into.get(field, 0) + amount


def _add_users(into: set[bytes], more: set[bytes]) -> None:
    into |= more


def _with_longer(fine: Mapping[Cell, Row], add: Callable[[Row, Row], None]) -> dict[Cell, Row]:
    """The rows of hours and days, and those of the days and weeks that contain them."""
    every: dict[Cell, Row] = dict(fine)
    for grain, longer in (("h", "d"), ("d", "w")):
        for (table, number, name), row in tuple(every.items()):
            if table[0] == grain and table[1] != "v":
                within = number // 24 if grain == "h" else week_of(number)
                cell = Cell(longer + table[1], within, name)
                found = every.get(cell)
                if found is None:
                    every[cell] = row.copy()
                else:
                    add(found, row)
    return every


def _kept(cell: Cell, now: float) -> bool:
    return cell.table in KEPT_S and expires_at(cell) > now


def expires_at(cell: Cell) -> int:
    """Unix seconds at which a row expires."""
    return _bucket_expires_at(cell.table, cell.bucket)


@lru_cache(maxsize=1024)
def _bucket_expires_at(table: str, number: int) -> int:
    grain: Grain = table[0]  # type: ignore[assignment]
    return end_ms(grain, number) // 1000 + KEPT_S[table]
