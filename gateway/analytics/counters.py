"""A batch of events → what to add to which counter. Pure: the same events in any order and in any portions give the same sums.

    table   row                  fields
    e       endpoint             requests, tokens, money ... see ``fields.py``          h 14 d · d 400 d · w 104 w
    a       app                  requests, tokens, money, and by model                  d 400 d · w 104 w
    k       API key              the same and more by endpoint                          d 35 d
    x       model                requests and tokens by size of prompt + completion     w 104 w
    o       m <model>, p <prov.> organisation → tokens, for the rules of privacy         d 400 d · w 104 w
            tm <model>, tp <prov.>  the same of requests that ended with a call of tools
    v       endpoint             ``<slot> o|e``: attempts by five minutes, for uptime    h 72 h
    l, t    endpoint             histogram of ms to the first content; of tokens / s     h 72 h · d 35 d · w 104 w
    c, g,   model, all           by category, task, natural and programming language,   w 104 w
    i, j                         see ``weights.py``
    n       m, p, a <name>, all  HyperLogLog of users                                    d 400 d · w 104 w
            keys, key models     the same of keys, and of keys with models
            c, g, i, j <label>   the same, and in ``o``, of those labels: for the rules of privacy

Counting takes two steps. An event is only put into its groups: with those of the same hour and endpoint, of the same day and app,
and so on (``Tally.add``). Then each group is added up once, and becomes rows (``Tally.increments``): of the finest bucket of a
table, then of the longer ones that contain it. It must not know: the store, HTTP.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import add, mul, or_
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.analytics.answer_checks import SAID_FINE
from gateway.analytics.buckets import HOUR_MS, Grain, end_ms, week_of
from gateway.analytics.event import (
    CANCELLED,
    ESTIMATED,
    FAILED,
    FIELDS,
    FREE,
    LIMITED,
    REFUSED,
    SERVED,
    STREAMED,
    Columns,
    Event,
    Tried,
    columns_of,
)
from gateway.analytics.fields import ENDPOINT, OWN, Value, packed, plus
from gateway.analytics.weights import MILLION, UNCLASSIFIED, labels_of, weighed

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

CONTEXT_SIZES = (("1K", 1_000), ("10K", 10_000), ("100K", 100_000), ("1M", 1_000_000))
"""Label and most tokens of prompt + completion; what is larger is ``10M``."""
_MOST_TOKENS = [most for _, most in CONTEXT_SIZES]
_SIZES = [*(label for label, _ in CONTEXT_SIZES), "10M"]
RATIO = 1.15
"""Between the bounds of two buckets of a histogram, so that a percentile is off by at most 7.5 %."""
_LOG_RATIO = math.log(RATIO)
_APART = ENDPOINT[-9:]
"""Counters of an endpoint that few events change, or attempts do."""
_NO_REQUESTS, _NOTHING_APART = (0,) * (len(ENDPOINT) - len(_APART)), (0,) * len(_APART)
SLOT_MS = 300_000
CALLED = "tool_calls"
ALL = "all"
"""Row of the users of everything, and of the labels of all models."""
MAX_APPS = 2000
"""Apps that a day or a week has rows for: their names are chosen by callers."""
KEYS, KEY_MODELS = "keys", "key models"
"""Rows beside ``ALL``: the API keys of everything, and each of them with each model that it used."""
TOOLS = "t"
"""Before the name of a row of organisations: their tokens of requests that ended with a call of tools."""
OTHER_APPS = "other"
"""The app that stands for those beyond ``MAX_APPS``."""


class Cell(NamedTuple):
    """One row of one bucket of a table."""

    table: str
    bucket: int
    row: str


Bucket = tuple[str, int]
"""Table and number of a bucket of time."""
Fields = dict[str, Value]
"""What is added to a row, see ``fields.py``."""
Sums = dict[Bucket, dict[str, Fields]]
"""Bucket → row → what is added."""
People = dict[Bucket, dict[str, set[str]]]
"""Bucket → row → its users, in hexadecimal."""
Row = TypeVar("Row", Fields, set[str])
Amounts = list[tuple[int, ...]]
"""What the events of one group add, a tuple each."""


class Increments(msgspec.Struct, eq=False):
    """What a batch adds. Nothing in it may be changed: a row of a day may be that of an hour, too.

    ``users`` are added to sets that estimate how many different ones they hold.
    """

    counts: Sums = msgspec.field(default_factory=dict)
    users: People = msgspec.field(default_factory=dict)
    names: dict[Cell, str] = msgspec.field(default_factory=dict)
    """Name of an app, as it last gave it."""
    late_weeks: set[int] = msgspec.field(default_factory=set)
    """Weeks that were closed when these events came."""

    def rows(self) -> dict[Bucket, Collection[str]]:
        """The names of the rows of each bucket. A table has either counts or users."""
        return {**self.counts, **self.users}


def cells(buckets: Mapping[Bucket, Mapping[str, Row]]) -> Iterator[tuple[Cell, Row]]:
    """All rows of all buckets, with what they have."""
    for (table, number), rows in buckets.items():
        for row, found in rows.items():
            yield Cell(table, number, row), found


def histogram_bucket(value: float) -> int:
    """The bucket of a positive value: the n-th holds values from RATIO^n up to RATIO^(n+1)."""
    return math.floor(math.log(value) / _LOG_RATIO) if value >= 1 else 0


@lru_cache(maxsize=65_536)
def _bucket_of_ms(value_ms: int) -> int:
    return histogram_bucket(value_ms)


def histogram_value(number: int) -> float:
    """The middle of a bucket of a histogram."""
    return math.exp((number + 0.5) * _LOG_RATIO)


def context_size(tokens: int) -> str:
    """Label of the size of prompt + completion."""
    return _SIZES[bisect_left(_MOST_TOKENS, tokens)]


def count(events: Sequence[Event], now: float, closes_after_s: int = 900) -> Increments:
    """The increments of these events, see ``Tally.increments``."""
    tally = Tally()
    tally.add(columns_of(events))
    return tally.increments(now, closes_after_s=closes_after_s)


class Tally:
    """The events of a batch in groups, one for each combination of what a table is counted by."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[int, str], Amounts] = defaultdict(list)
        """Hour and endpoint → the counters ``ENDPOINT`` but ``_APART``."""
        self._attempts: Counter[tuple[int, int, tuple[Tried, ...]]] = Counter()
        """Hour, slot and attempts → events."""
        self._apart: Counter[tuple[int, str, str]] = Counter()
        """Hour, endpoint and counter of ``_APART`` → its number; attempts are counted by themselves."""
        self._callers: Counter[tuple[int, str, str]] = Counter()
        """Day, endpoint and organisation → tokens of requests that ended with a call of tools."""
        self._times: Counter[tuple[str, int, str, int]] = Counter()
        """Table, hour, endpoint and bucket of a histogram → events."""
        self._keys: dict[tuple[int, str, str, str], Amounts] = defaultdict(list)
        """Day, key, its organisation and endpoint → the counters ``KEY``."""
        self._apps: dict[tuple[int, str, str], Amounts] = defaultdict(list)
        """Day, app and model → the counters ``APP``."""
        self._sizes: dict[tuple[int, str, str], Amounts] = defaultdict(list)
        """Day, model and size of prompt + completion → requests and tokens."""
        self._users: set[tuple[int, str, str, bytes]] = set()
        """Day, endpoint, app and user."""
        self._labels: dict[tuple[int, str, str, str], Amounts] = defaultdict(list)
        """Day, table, label and model → the counters of ``weights.Weighed``."""
        self._label_orgs: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        """Day and table with label → organisation → tokens."""
        self._label_users: dict[tuple[int, str], set[bytes]] = defaultdict(set)
        self._names: dict[tuple[int, str], str] = {}
        """Day and app → its name."""

    def add(self, events: Columns) -> None:
        """Put events into their groups."""
        if not events[0]:
            return
        column = dict(zip(FIELDS, events, strict=True))
        endpoints, apps, prompt, nano = column["endpoint"], column["app"], column["prompt"], column["charged_nano"]
        hours = [at_ms // HOUR_MS for at_ms in column["at_ms"]]
        days = [hour // 24 for hour in hours]
        slots = [at_ms % HOUR_MS // SLOT_MS for at_ms in column["at_ms"]]
        models = list(map(model_of, endpoints))
        tokens = list(map(add, prompt, column["completion"]))
        sizes = map(context_size, tokens)
        of_key = (repeat(1), prompt, *(column[name] for name in ("completion", "reasoning", "cache_read")), nano)
        _group(self._endpoints, zip(hours, endpoints, strict=True), _of_endpoints(column, tokens))
        _group(self._keys, zip(days, column["key"], column["org"], endpoints, strict=True), zip(*of_key, strict=False))
        _group(self._apps, zip(days, apps, models, strict=True), zip(repeat(1), tokens, nano, strict=False))
        _group(self._sizes, zip(days, models, sizes, strict=True), zip(repeat(1), tokens, strict=False))
        self._attempts.update(zip(hours, slots, column["tried"], strict=True))
        self._add_times(column, hours)
        self._users.update(zip(days, endpoints, apps, column["user"], strict=True))
        names = zip(days, apps, column["app_name"], strict=True)
        self._names.update({(day, app): name for day, app, name in names if name})
        called = [place for place, finish in enumerate(column["finish"]) if finish == CALLED]
        for place in called:
            self._callers[days[place], endpoints[place], column["org"][place]] += tokens[place]
        for place in [place for place, flags in enumerate(column["flags"]) if flags & REFUSED]:
            self._apart[hours[place], endpoints[place], "rf"] += 1
        if any(column["calls"]) or any(column["structured"]):
            self._add_checks(column, hours)
        for name, counter in (("pictures", "im"), ("audio_ms", "au")):
            if any(column[name]):
                for hour, endpoint, amount in zip(hours, endpoints, column[name], strict=True):
                    self._apart[hour, endpoint, counter] += amount
        for place, sampled in enumerate(map(or_, map(bool, column["category"]), map(bool, column["sampled_ppm"]))):
            if sampled:
                self._add_labels(Event(*[each[place] for each in events]), days[place], models[place])

    def _add_times(self, column: Mapping[str, Sequence[Any]], hours: Sequence[int]) -> None:
        endpoints, flags = column["endpoint"], column["flags"]
        firsts, ends, completions = column["ttft_ms"], column["total_ms"], column["completion"]
        served = [ok and endpoint[:1] != "@" for ok, endpoint in zip(column["ok"], endpoints, strict=True)]
        self._times.update(
            [
                ("hl", hour, endpoint, _bucket_of_ms(ttft_ms))
                for ok, hour, endpoint, flag, ttft_ms in zip(served, hours, endpoints, flags, firsts, strict=True)
                if ok and ttft_ms is not None and flag & STREAMED
            ]
        )
        self._times.update(
            [
                ("ht", hour, endpoint, histogram_bucket(tokens * 1000 / total_ms))
                for ok, hour, endpoint, tokens, total_ms in zip(
                    served, hours, endpoints, completions, ends, strict=True
                )
                if ok and total_ms and tokens
            ]
        )

    def _add_checks(self, column: Mapping[str, Sequence[Any]], hours: Sequence[int]) -> None:
        found = zip(hours, *[column[name] for name in ("endpoint", "calls", "structured", "tool_error")], strict=True)
        for hour, endpoint, calls, structured, tool_error in found:
            if calls or structured:
                looked_at, bad = ("kn", "kb") if calls else ("jn", "jb")
                self._apart[hour, endpoint, looked_at] += 1
                if tool_error or structured > SAID_FINE:
                    self._apart[hour, endpoint, bad] += 1

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
        steps = self.in_steps(now, closes_after_s=closes_after_s, without=without)
        while True:
            try:
                next(steps)
            except StopIteration as made:
                return made.value  # type: ignore[no-any-return]

    def in_steps(
        self, now: float, *, closes_after_s: int = 900, without: Collection[tuple[int, str]] = ()
    ) -> Generator[None, None, Increments]:
        """The same for an event loop that has other work: between two steps it may do that."""
        sums: Sums = defaultdict(dict)
        names: dict[tuple[int, str], str] = {}
        for day, app in {(day, app): None for day, app, _ in self._apps}:
            names[day, app] = OTHER_APPS if (week_of(day), app) in without else app
        for make in (self._endpoint_rows, self._time_rows, self._key_rows, self._size_rows, self._label_rows):
            make(sums)
            yield
        self._app_rows(sums, names)
        yield
        people = self._people(names)
        yield
        counts, users = _with_longer(sums, _both_counts), _with_longer(people, _both_users)
        weeks = {number for table, number in counts if table == "we"}
        return Increments(
            {bucket: rows for bucket, rows in counts.items() if _kept(bucket, now)},
            {bucket: rows for bucket, rows in users.items() if _kept(bucket, now)},
            {cell: name for cell, name in self._app_names(without) if _kept(cell[:2], now)},
            {week for week in weeks if end_ms("w", week) // 1000 + closes_after_s <= now},
        )

    def _endpoint_rows(self, sums: Sums) -> None:
        more: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(_APART, 0))
        for (hour, slot, attempts), number in self._attempts.items():
            for endpoint, result in attempts:
                if result in (SERVED, FAILED):
                    _put(sums["hv", hour], endpoint, f"{slot}{'o' if result == SERVED else 'e'}", number)
                if result in (FAILED, LIMITED):
                    more[hour, endpoint]["ae" if result == FAILED else "al"] += number
        for (hour, endpoint, name), number in self._apart.items():
            more[hour, endpoint][name] += number
        for (hour, endpoint), amounts in self._endpoints.items():
            apart = more.pop((hour, endpoint), None)
            sums["he", hour][endpoint] = {OWN: (*_added(amounts), *(apart.values() if apart else _NOTHING_APART))}
        for (hour, endpoint), apart in more.items():
            sums["he", hour][endpoint] = {OWN: (*_NO_REQUESTS, *apart.values())}

    def _time_rows(self, sums: Sums) -> None:
        for (table, hour, endpoint, place), number in self._times.items():
            sums[table, hour].setdefault(endpoint, {})[str(place)] = number

    def _key_rows(self, sums: Sums) -> None:
        for (day, key, org, endpoint), amounts in self._keys.items():
            added = _added(amounts)
            _put(sums["dk", day], key, packed(endpoint), added)
            tokens = added[1] + added[2]
            if tokens:
                orgs = sums["do", day]
                for name in of_endpoint(endpoint):
                    _put(orgs, name, org, tokens)
        for (day, endpoint, org), tokens in self._callers.items():
            if tokens:
                for name in of_endpoint(endpoint):
                    _put(sums["do", day], TOOLS + name, org, tokens)

    def _size_rows(self, sums: Sums) -> None:
        for (day, model, label), amounts in self._sizes.items():
            _put(sums["dx", day], model, packed(label), _added(amounts))

    def _label_rows(self, sums: Sums) -> None:
        for (day, table, label, model), amounts in self._labels.items():
            added = _added(amounts)
            for name in (model, ALL):
                _put(sums["d" + table, day], name, packed(label), added)
        for (day, name), row in self._label_orgs.items():
            sums["do", day][name] = {**row}

    def _app_rows(self, sums: Sums, names: Mapping[tuple[int, str], str]) -> None:
        for (day, app, model), amounts in self._apps.items():
            added, rows, name = _added(amounts), sums["da", day], names[day, app]
            _put(rows, name, OWN, added)
            _put(rows, name, packed(model), added[:2])

    def _people(self, names: Mapping[tuple[int, str], str]) -> People:
        people: People = defaultdict(lambda: defaultdict(set))
        for day, endpoint, app, user in self._users:
            if user:
                rows, person = people["dn", day], user.hex()
                rows[ALL].add(person)
                for row in of_endpoint(endpoint):
                    rows[row].add(person)
                rows["a " + names[day, app]].add(person)
        for day, key, _, endpoint in self._keys:
            people["dn", day][KEYS].add(key)
            people["dn", day][KEY_MODELS].add(f"{key} {model_of(endpoint)}")
        for (day, name), users in self._label_users.items():
            people["dn", day][name].update(user.hex() for user in users)
        return people

    def _app_names(self, without: Collection[tuple[int, str]]) -> Iterator[tuple[Cell, str]]:
        for (day, app), name in self._names.items():
            week = week_of(day)
            if (week, app) not in without:
                yield Cell("da", day, app), name
                yield Cell("wa", week, app), name


def _of_endpoints(column: Mapping[str, Sequence[Any]], tokens: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """What events add to the counters ``ENDPOINT``, in their order, but ``_APART``."""
    cancelled, streamed, estimated, free = zip(*map(_bits, column["flags"]), strict=True)
    called = [int(finish == CALLED) for finish in column["finish"]]
    offered = [int(tools > 0) for tools in column["tools"]]
    return zip(
        repeat(1),
        map(int, column["ok"]),
        cancelled,
        *(column[name] for name in ("prompt", "completion", "reasoning", "cache_read", "cache_write")),
        *(column[name] for name in ("norm_prompt", "norm_completion", "cost_nano", "fee_nano", "charged_nano")),
        *(called, map(mul, called, tokens)),
        *(offered, map(mul, offered, tokens)),
        *(streamed, estimated),
        *(free, map(mul, free, tokens)),
        [ttft_ms or 0 for ttft_ms in column["ttft_ms"]],
        [int(ttft_ms is not None) for ttft_ms in column["ttft_ms"]],
        strict=False,  # the first has no end
    )


@lru_cache(maxsize=256)
def _bits(flags: int) -> tuple[int, int, int, int]:
    return tuple([int(flags & bit != 0) for bit in (CANCELLED, STREAMED, ESTIMATED, FREE)])  # type: ignore[return-value]


def _group(groups: dict[Any, Amounts], keys: Iterable[Any], amounts: Iterable[tuple[int, ...]]) -> None:
    for key, amount in zip(keys, amounts, strict=True):
        groups[key].append(amount)


@lru_cache(maxsize=4096)
def model_of(endpoint: str) -> str:
    """The model of an endpoint's id."""
    return endpoint.rpartition("@")[2]


@lru_cache(maxsize=4096)
def of_endpoint(endpoint: str) -> tuple[str, ...]:
    """The rows of an endpoint's model and provider; of the model alone where no endpoint served."""
    model = "m " + model_of(endpoint)
    return (model,) if endpoint[:1] == "@" else (model, "p " + endpoint.partition("/")[0])


def _added(amounts: Amounts) -> tuple[int, ...]:
    return tuple(map(sum, zip(*amounts, strict=True))) if len(amounts) > 1 else amounts[0]


def _put(rows: dict[str, Fields], row: str, field: str, value: Value) -> None:
    """Add to a field of a row."""
    fields = rows.get(row)
    if fields is None:
        rows[row] = {field: value}
    else:
        found = fields.get(field)
        fields[field] = value if found is None else plus(found, value)


def _both_counts(one: Fields, other: Fields) -> Fields:
    return {**one, **{field: plus(one[field], value) if field in one else value for field, value in other.items()}}


def _both_users(one: set[str], other: set[str]) -> set[str]:
    return one | other


def _with_longer(
    fine: Mapping[Bucket, dict[str, Row]], both: Callable[[Row, Row], Row]
) -> dict[Bucket, dict[str, Row]]:
    """The rows of hours and days, and those of the days and weeks that contain them. A bucket that contains one other has its rows,
    the same objects: most batches are of one hour, and copies were a sixth of the consumer's work.
    """
    every = dict(fine)
    for grain, longer in (("h", "d"), ("d", "w")):
        parts: dict[Bucket, list[dict[str, Row]]] = defaultdict(list)
        for (table, number), rows in every.items():
            if table[0] == grain and table[1] != "v":
                parts[longer + table[1], number // 24 if grain == "h" else week_of(number)].append(rows)
        for bucket, several in parts.items():
            every[bucket] = several[0] if len(several) == 1 else _merged(several, both)
    return every


def _merged(several: Sequence[dict[str, Row]], both: Callable[[Row, Row], Row]) -> dict[str, Row]:
    merged = dict(several[0])
    for rows in several[1:]:
        for row, more in rows.items():
            merged[row] = both(merged[row], more) if row in merged else more
    return merged


def _kept(bucket: Bucket, now: float) -> bool:
    return bucket[0] in KEPT_S and bucket_expires_at(*bucket) > now


def expires_at(cell: Cell) -> int:
    """Unix seconds at which a row expires."""
    return bucket_expires_at(cell.table, cell.bucket)


@lru_cache(maxsize=1024)
def bucket_expires_at(table: str, number: int) -> int:
    """Unix seconds at which the rows of a bucket expire."""
    grain: Grain = table[0]  # type: ignore[assignment]
    return end_ms(grain, number) // 1000 + KEPT_S[table]
