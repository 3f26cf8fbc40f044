"""Counters → charts and rankings. Sums are exact integers of any size; ties are broken alphabetically.

It must not know: HTTP, names and colours that a page shows, who is asking: ``least_users`` says what may be shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from gateway.analytics import buckets, privacy, tables
from gateway.analytics.buckets import Period
from gateway.analytics.counters import OTHER_APPS
from gateway.analytics.dimensions import BARE, By, Dimensions, model_of, provider_of
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.series import OTHERS, Chart, Series
from gateway.catalog.colors import OTHERS as OTHERS_COLOR
from gateway.store.client import Store

Metric = Literal[
    "tokens",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cached_tokens",
    "tool_tokens",
    "tools_offered_tokens",
    "requests",
    "tool_requests",
    "pictures",
    "audio_ms",
    "users",
    "spend",
    "cost",
    "fees",
]
FIELDS: dict[str, tuple[str, ...]] = {
    "tokens": ("pt", "ct"),
    "prompt_tokens": ("pt",),
    "completion_tokens": ("ct",),
    "reasoning_tokens": ("rt",),
    "cached_tokens": ("cr",),
    "tool_tokens": ("tt",),
    "tools_offered_tokens": ("tw",),
    "requests": ("rq",),
    "tool_requests": ("tc",),
    "pictures": ("im",),
    "audio_ms": ("au",),
    "spend": ("us",),
    "cost": ("up",),
    "fees": ("fe",),
}
"""Metric → the counters of an endpoint that are added up."""
APP_FIELDS = {"tokens": "t", "requests": "r", "spend": "u"}
OF_TOOLS: frozenset[Metric] = frozenset({"tool_tokens", "tool_requests"})
"""Of requests that ended with a call of tools."""
MONEY: frozenset[Metric] = frozenset({"spend", "cost", "fees"})
KEY_OF: dict[str, Callable[[str], str]] = {"model": model_of, "provider": provider_of}
"""Dimension → from the row of an endpoint to its key, as it was counted."""
UNITS: dict[str, str] = {
    **{"requests": "requests", "tool_requests": "requests", "users": "users"},
    **{"pictures": "pictures", "audio_ms": "audio_ms"},
    **dict.fromkeys(MONEY, "nano_usd"),
}
"""Metric → unit; of the others: native tokens."""
ROWS_OF_ITS_OWN = ("model", "provider", "app")
"""Dimensions whose users and organisations are counted; of the others those of their models are united."""
CHECKED_BEYOND = 20
"""So many more than are wanted are looked at, in case that some may not be shown."""
ROWS_UNITED = 50
"""Rows whose users are counted together in one call, which takes the store some ms."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart shows. ``start`` and ``end``: days, both included; whole periods that contain them are shown."""

    metric: Metric = "tokens"
    by: By = "model"
    period: Period = "week"
    start: int
    end: int
    top: int = 9
    others: bool = True
    context: str | None = None
    """One of ``counters.context_size``: requests of this size only; tokens or requests by model or author, weeks."""
    models: frozenset[str] | None = None
    """Only these and their free variants, by model; None: all."""
    with_tools: bool = False
    """Only models that called tools in the bucket, by model. With one of these two, what is too private to show is in no sum."""
    least_users: int | None = None
    """None: everything may be shown."""


class Bucket(NamedTuple):
    """One bucket of a chart: its first day, and the days or weeks whose counters make it up."""

    first: int
    grain: str
    numbers: tuple[int, ...]


class _Filled(NamedTuple):
    bucket: Bucket
    values: dict[str, int]
    rows: dict[str, set[str]]
    """Key → the rows of users and organisations that it was added up from."""

    def some_rows(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Rows of these keys, not more than it takes to know that they have enough users."""
        return tuple(sorted({row for key in keys for row in self.rows[key]})[:ROWS_UNITED])


def chart_buckets(period: Period, start: int, end: int) -> list[Bucket]:
    """The buckets that contain the days from ``start`` to ``end``."""
    found, first = [], buckets.first_day(period, start)
    while first <= end:
        after = buckets.following(period, first)
        if period == "week":
            found.append(Bucket(first, "w", (buckets.week_of(first),)))
        else:
            found.append(Bucket(first, "d", tuple(range(first, after))))
        first = after
    return found


async def chart(
    store: Store, query: Query, now: float, dimensions: Dimensions = BARE, read: tables.Reader = tables.read
) -> Chart:
    """In each bucket the ``top`` largest, and the rest as ``others``; a key that is not among them in a bucket is None there.

    Without ``dimensions`` no model has attributes. Raises StoreError.
    """
    filled = await _filled(store, dimensions, query, read)
    left_out = 0
    if query.models is not None or query.with_tools:
        left_out = await _filter(store, dimensions, query, filled, read)
        query = msgspec.structs.replace(query, least_users=None)
    shown, suppressed = await _membership(store, query, filled)
    totals: dict[str, int] = {}
    for kept in shown:
        for key, value in kept.items():
            totals[key] = totals.get(key, 0) + value
    order = sorted(totals, key=lambda key: (-totals[key], key))
    series = [
        Series(
            key,
            dimensions.label(query.by, key),
            dimensions.color(query.by, key),
            tuple([kept.get(key) for kept in shown]),
        )
        for key in order
    ]
    if query.others and query.metric != "users":  # a user of two models would count twice
        rest = [sum(each.values.values()) - sum(kept.values()) for each, kept in zip(filled, shown, strict=True)]
        series.append(Series(OTHERS, _others(filled, shown), OTHERS_COLOR, tuple(rest)))
    weeks = sorted({buckets.week_of(each.bucket.first) for each in filled})
    last = filled[-1].bucket if filled else None
    is_partial = last is not None and buckets.following(query.period, last.first) * 86_400 > now
    return Chart(
        buckets=tuple([buckets.iso_day(each.bucket.first) for each in filled]),
        series=tuple(series),
        unit=UNITS.get(query.metric, "tokens_native"),
        partial_last=is_partial,
        meta={
            "complete_through": buckets.iso_day(buckets.today(now) - 1),
            "revision": await tables.revisions(store, weeks),
            "membership": "per_bucket",
            "suppressed": suppressed + left_out,
            "new": newcomers(shown[:-1] if is_partial else shown),
        },
    )


def newcomers(shown: Sequence[Mapping[str, int]]) -> list[str]:
    """The keys that are among the largest of the last complete bucket, and of no earlier one."""
    earlier = {key for kept in shown[:-1] for key in kept}
    return sorted(set(shown[-1]) - earlier) if earlier else []


def _others(filled: Sequence[_Filled], shown: Sequence[Mapping[str, int]]) -> str:
    """``Others (286)``: how many there are in the last bucket."""
    count = len(filled[-1].values) - len(shown[-1]) if filled else 0
    return f"Others ({count})" if count else "Others"


async def _filled(store: Store, dimensions: Dimensions, query: Query, read_buckets: tables.Reader) -> list[_Filled]:
    """Every bucket with all its values that are not zero."""
    wanted = chart_buckets(query.period, query.start, query.end)
    if query.metric == "users":
        return await _users(store, dimensions, query, wanted)
    grain = wanted[0].grain if wanted else "d"
    numbers = [number for bucket in wanted for number in bucket.numbers]
    letter, fields = _source(query)
    read = iter(await read_buckets(store, grain + letter, numbers, fields))
    filled = []
    for bucket in wanted:
        each = _Filled(bucket, {}, {})
        for _ in bucket.numbers:
            await asyncio.sleep(0)  # a bucket may have a thousand rows, and other requests want their turn
            for row, values in next(read).items():
                key = dimensions.key(query.by, row, bucket.first)
                if key and (value := sum(values)):
                    each.values[key] = each.values.get(key, 0) + value
                    each.rows.setdefault(key, set()).add(_private_row(query.by, row))
        filled.append(each)
    return filled


async def _filter(
    store: Store, dimensions: Dimensions, query: Query, filled: Sequence[_Filled], read_buckets: tables.Reader
) -> int:
    """Keep the models that are asked for. Of all models, not of these, it is decided what may be shown, and the rest is in no sum:
    within ``others`` it could be found, as the other models are known from the chart of all. Returns how much that was."""
    suppressed, called = 0, None
    if query.least_users is not None:
        every = msgspec.structs.replace(query, top=max((len(each.values) for each in filled), default=0))
        shown, suppressed = await _membership(store, every, filled)
        for each, kept in zip(filled, shown, strict=True):
            _keep(each, kept)
    if query.with_tools:
        calls = msgspec.structs.replace(query, metric="tool_requests", context=None)
        called = await _filled(store, dimensions, calls, read_buckets)
    for place, each in enumerate(filled):
        if called is not None:
            _keep(each, called[place].values)
        if query.models is not None:
            _keep(each, {key for key in each.values if _is_among(key, query.models)})
    return suppressed


def _keep(filled: _Filled, kept: Collection[str]) -> None:
    for key in filled.values.keys() - kept:
        del filled.values[key], filled.rows[key]


def _is_among(model: str, models: Collection[str]) -> bool:
    """A free variant counts as a model of its own, and is the same model."""
    return model in models or model.rpartition(":")[0] in models


def _source(query: Query) -> tuple[str, tuple[str, ...]]:
    """(letter of the table, its fields that are added up)."""
    if query.context is not None:
        return "x", (f"{query.context} {APP_FIELDS[query.metric]}",)
    return ("a", (APP_FIELDS[query.metric],)) if query.by == "app" else ("e", FIELDS[query.metric])


def _private_row(by: By, row: str) -> str:
    """The row of users and organisations that belongs to an endpoint or an app."""
    if by == "app":
        return "a " + row
    return "p " + provider_of(row) if by == "provider" else "m " + model_of(row)


async def _users(store: Store, dimensions: Dimensions, query: Query, wanted: Sequence[Bucket]) -> list[_Filled]:
    """Buckets filled with how many different users each key had."""
    filled, cells = [], []
    for bucket in wanted:
        each = _Filled(bucket, {}, {})
        for names in await tables.row_names(store, bucket.grain + "n", bucket.numbers):
            for row in names:
                kind, _, name = row.partition(" ")
                if kind == (query.by[0] if query.by in ROWS_OF_ITS_OWN else "m") and name:
                    key = dimensions.of_model(query.by, name, bucket.first) if kind == "m" else name
                    each.rows.setdefault(key, set()).add(row)
        cells += [privacy.Cell(bucket.grain, bucket.numbers, tuple(sorted(rows))) for rows in each.rows.values()]
        filled.append(each)
    counts: list[int] = await tables.users(store, wanted[0].grain, cells) if wanted else []
    found = iter(counts)
    for each in filled:
        each.values.update({key: count for key in each.rows if (count := next(found))})
    return filled


async def _membership(store: Store, query: Query, filled: Sequence[_Filled]) -> tuple[list[dict[str, int]], int]:
    """(for each bucket the keys that get a value of their own, how many were too private for that)."""
    ranked = [sorted(each.values, key=lambda key, of=each.values: (-of[key], key)) for each in filled]  # type: ignore[misc]
    if query.least_users is None:
        return [
            {key: each.values[key] for key in order[: query.top]} for each, order in zip(filled, ranked, strict=True)
        ], 0
    candidates = [(place, key) for place, order in enumerate(ranked) for key in order[: query.top + CHECKED_BEYOND]]
    of_tools = query.metric in OF_TOOLS
    cells = [
        privacy.Cell(each.bucket.grain, each.bucket.numbers, tuple(sorted(each.rows[key])), of_tools)
        for each, key in ((filled[place], key) for place, key in candidates)
    ]
    shown: list[dict[str, int]] = [{} for _ in filled]
    suppressed, public = 0, set()
    for (place, key), allowed in zip(candidates, await privacy.shown(store, cells, query.least_users), strict=True):
        if not allowed:
            suppressed += 1
        elif len(shown[place]) < query.top:
            value = filled[place].values[key]
            shown[place][key] = privacy.rounded(value) if query.metric == "users" else value
        else:
            public.add(place)
    if query.metric != "users":
        await _enlarge_others(store, query.least_users, filled, shown, public)
    return shown, suppressed


async def _enlarge_others(
    store: Store, least_users: int, filled: Sequence[_Filled], shown: list[dict[str, int]], public: Collection[int]
) -> None:
    """Where what is not shown is a single key, or has too few users, add the smallest that is shown to it: the total of a bucket
    minus what is shown must not be a figure of an account. ``public``: buckets where a key that may be shown is not."""
    unsure = [
        place for place, each in enumerate(filled) if place not in public and len(each.values) > len(shown[place])
    ]
    while unsure:
        hidden = [filled[place].values.keys() - shown[place].keys() for place in unsure]
        unions = [
            privacy.Cell(filled[place].bucket.grain, filled[place].bucket.numbers, filled[place].some_rows(keys))
            for place, keys in zip(unsure, hidden, strict=True)
        ]
        grain = unions[0].grain
        people = await tables.users(store, grain, unions)
        unsure = [
            place
            for place, keys, users in zip(unsure, hidden, people, strict=True)
            if (len(keys) < 2 or users < least_users) and shown[place]
        ]
        for place in unsure:
            del shown[place][min(shown[place], key=lambda key, of=shown[place]: (of[key], key))]  # type: ignore[misc]


class Standing(msgspec.Struct, frozen=True):
    """One row of a leaderboard. ``change`` compares the last complete window with the one before, None without one."""

    rank: int
    key: str
    tokens: int
    requests: int
    spend_nano: int
    previous_rank: int | None
    change: float | None
    is_new: bool
    excess: int = 0
    """For ``trending``: above the mean of the three windows before."""


class Window(NamedTuple):
    """Days from ``first`` on, before ``after``."""

    first: int
    after: int

    def before(self, times: int = 1) -> Window:
        """The window of the same length that ended where this one begins, or one further back."""
        length = (self.after - self.first) * times
        return Window(self.first - length, self.after - length)


TREND_FLOOR = 1000
"""An excess of less than one in so many of the window's total is no trend."""
Sum = tuple[int, int, int]
"""Tokens, requests, nano-USD."""


async def leaderboard(
    store: Store,
    by: By,
    window: Window,
    *,
    trending: bool,
    least_users: int | None,
    now: float,
    dimensions: Dimensions = BARE,
) -> list[Standing]:
    """Ranked by tokens in ``window``, or by how much that exceeds the mean of the three windows before.

    Change and trend compare complete days only: while the last day runs, the window that ended yesterday. Raises StoreError.
    """
    running = window.after > buckets.today(now)
    complete = Window(window.first - 1, window.after - 1) if running else window
    window = complete if trending else window
    spans = [window, complete, *[complete.before(times) for times in (1, 2, 3)[: 3 if trending else 1]]]
    first = min(span.first for span in spans)
    fields = ("t", "r", "u") if by == "app" else ("pt", "ct", "rq", "us")
    days = await tables.read(store, "da" if by == "app" else "de", range(first, window.after), fields)
    named = _Named(dimensions, by)
    sums = [await _window_sums(days[span.first - first : span.after - first], named, span.first) for span in spans]
    rows = await _presentable(store, named, window, sums[0], least_users)
    hidden = set() if least_users is None else set(sums[2]).difference(rows)
    previous = _ranks({key: each for key, each in sums[2].items() if key not in hidden})
    standings = []
    for key in rows:
        tokens, requests, spend = sums[0][key]
        whole, before = sums[1].get(key, (0, 0, 0))[0], sums[2].get(key, (0, 0, 0))[0]
        change = round(whole / before - 1, 4) if before else None
        excess = tokens - sum(each.get(key, (0, 0, 0))[0] for each in sums[2:]) // 3 if trending else 0
        standings.append(Standing(0, key, tokens, requests, spend, previous.get(key), change, not before, excess))
    if trending:
        floor = sum(each[0] for each in sums[0].values()) // TREND_FLOOR
        standings = [each for each in standings if each.excess > floor]
    standings.sort(key=lambda each: (-(each.excess if trending else each.tokens), each.key))
    return [msgspec.structs.replace(each, rank=rank) for rank, each in enumerate(standings, 1)]


class _Named(NamedTuple):
    """A dimension, and the catalogue that its keys come from."""

    dimensions: Dimensions
    by: By


async def _window_sums(days: Sequence[tables.Table], named: _Named, first: int) -> dict[str, Sum]:
    """Sums of the rows of these days, the first of which is ``first``."""
    sums: dict[str, Sum] = {}
    for day, table in enumerate(days, first):
        await asyncio.sleep(0)
        for row, values in table.items():
            key = named.dimensions.key(named.by, row, day)
            if key:
                tokens, requests, spend = sums.get(key, (0, 0, 0))
                sums[key] = (tokens + sum(values[:-2]), requests + values[-2], spend + values[-1])
    return sums


def _ranks(sums: Mapping[str, Sum]) -> dict[str, int]:
    order = sorted((key for key, each in sums.items() if each[0]), key=lambda key: (-sums[key][0], key))
    return {key: rank for rank, key in enumerate(order, 1)}


async def _presentable(
    store: Store, named: _Named, window: Window, sums: Mapping[str, Sum], least_users: int | None
) -> list[str]:
    """The keys with tokens that may be shown; apps without a name are none."""
    by = named.by
    used = [key for key, each in sums.items() if each[0] and not (by == "app" and key in (UNKNOWN_APP, OTHER_APPS))]
    if least_users is None:
        return used
    days = tuple(range(window.first, window.after))
    rows: dict[str, set[str]] = {}
    if by in ROWS_OF_ITS_OWN:
        rows = {key: {f"{by[0]} {key}"} for key in used}
    else:
        for day, names in zip(days, await tables.row_names(store, "dn", days), strict=True):
            for row in names:
                if row.startswith("m "):
                    rows.setdefault(named.dimensions.of_model(by, row[2:], day), set()).add(row)
    cells = [privacy.Cell("d", days, tuple(sorted(rows.get(key, {"m " + key})))) for key in used]
    allowed = await privacy.shown(store, cells, least_users)
    return [key for key, ok in zip(used, allowed, strict=True) if ok]


class Usage(msgspec.Struct, frozen=True):
    """What one endpoint did on one day, for everybody or for one key."""

    day: int
    endpoint: str
    requests: int
    prompt: int
    completion: int
    reasoning: int
    cached: int
    spend_nano: int


async def activity(store: Store, days: Sequence[int], key: str | None) -> list[Usage]:
    """The use of every endpoint on these days, the latest first. ``key``: as in ``Event.key``. Raises StoreError."""
    found = []
    if key is None:
        read = await tables.read(store, "de", days, ("rq", "pt", "ct", "rt", "cr", "us"))
        found = [
            Usage(day, row, *values) for day, table in zip(days, read, strict=True) for row, values in table.items()
        ]
    else:
        for day, fields in zip(days, await tables.rows(store, "dk", [(day, key) for day in days]), strict=True):
            endpoints = sorted({field.rpartition(" ")[0] for field in fields})
            found += [Usage(day, each, *[fields.get(f"{each} {f}", 0) for f in "rpcghu"]) for each in endpoints]
    return sorted((each for each in found if each.requests), key=lambda each: (-each.day, each.endpoint))
