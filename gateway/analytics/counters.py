"""A batch of events → what to add to which counter. Pure: the same events in any order and in any portions give the same sums.

    table   row                  fields
    e       endpoint             requests, tokens, money ... see ``_endpoint``           h 14 d · d 400 d · w 104 w
    a       app                  r t u, and ``<model> r``, ``<model> t``                d 400 d · w 104 w
    k       API key              ``<endpoint> r|p|c|g|h|u``                             d 35 d
    x       model                by size of prompt + completion: ``1K r``, ``1K t``     w 104 w
    o       m <model>, p <prov.> organisation → tokens, for the rules of privacy         d 400 d · w 104 w
    v       endpoint             ``<slot> o|e``: attempts by five minutes, for uptime    h 72 h
    l, t    endpoint             histogram of ms to the first content; of tokens / s     h 72 h · d 35 d · w 104 w
    n       m, p, a <name>, all  HyperLogLog of users                                    d 400 d · w 104 w

It must not know: the store, HTTP.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from gateway.analytics.buckets import HOUR_MS, Grain, bucket, end_ms, week_of
from gateway.analytics.event import CANCELLED, ESTIMATED, FAILED, FREE, LIMITED, SERVED, STREAMED, Event

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
    "dn": 400 * DAY_S,
    "wn": 104 * WEEK_S,
}
"""Table with its grain → seconds that a bucket is kept after its end."""

CONTEXT_SIZES = (("1K", 1_000), ("10K", 10_000), ("100K", 100_000), ("1M", 1_000_000))
"""Label and most tokens of prompt + completion; what is larger is ``10M``."""
RATIO = 1.15
"""Between the bounds of two buckets of a histogram, so that a percentile is off by at most 7.5 %."""
_LOG_RATIO = math.log(RATIO)
SLOT_MS = 300_000
ALL = "all"
"""Row of the users of everything."""
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
Row = TypeVar("Row", dict[str, int], set[bytes])


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
    """The increments of a batch. ``now``: unix seconds; a bucket that would have expired by then gets nothing, and a week is
    closed ``closes_after_s`` after its end.

    Each event is added to the finest bucket of a table; whole buckets are then added to the longer ones that contain them.
    """
    sums: Sums = defaultdict(lambda: defaultdict(int))
    users: dict[Cell, set[bytes]] = defaultdict(set)
    names: dict[Cell, str] = {}
    for event in events:
        hour, day = bucket("h", event.at_ms), bucket("d", event.at_ms)
        _by_endpoint(sums, event, hour)
        _by_day(sums, event, day)
        _people(users, event, day)
        if event.app_name:
            names[Cell("da", day, event.app)] = names[Cell("wa", week_of(day), event.app)] = event.app_name
    counts = _with_longer(sums, _add_counts)
    people = _with_longer(users, _add_users)
    weeks = {cell.bucket for cell in counts if cell.table == "we"}
    return Increments(
        {cell: row for cell, row in counts.items() if _kept(cell, now)},
        {cell: found for cell, found in people.items() if _kept(cell, now)},
        {cell: name for cell, name in names.items() if _kept(cell, now)},
        {week for week in weeks if end_ms("w", week) // 1000 + closes_after_s <= now},
    )


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
                if cell not in every:
                    every[cell] = type(row)()
                add(every[cell], row)
    return every


def _kept(cell: Cell, now: float) -> bool:
    return cell.table in KEPT_S and expires_at(cell) > now


def expires_at(cell: Cell) -> int:
    """Unix seconds at which a row expires."""
    grain: Grain = cell.table[0]  # type: ignore[assignment]
    return end_ms(grain, cell.bucket) // 1000 + KEPT_S[cell.table]


def _by_endpoint(sums: Sums, event: Event, hour: int) -> None:
    _endpoint(sums[Cell("he", hour, event.endpoint)], event)
    slot = event.at_ms % HOUR_MS // SLOT_MS
    for endpoint, result in event.tried:
        if result in (SERVED, FAILED):
            sums[Cell("hv", hour, endpoint)][f"{slot}{'o' if result == SERVED else 'e'}"] += 1
        if result in (FAILED, LIMITED):
            sums[Cell("he", hour, endpoint)]["ae" if result == FAILED else "al"] += 1
    if event.ok and event.endpoint[:1] != "@":
        if event.ttft_ms is not None and event.flags & STREAMED:
            sums[Cell("hl", hour, event.endpoint)][str(histogram_bucket(event.ttft_ms))] += 1
        if event.total_ms and event.completion:
            tps = event.completion * 1000 / event.total_ms
            sums[Cell("ht", hour, event.endpoint)][str(histogram_bucket(tps))] += 1


def _by_day(sums: Sums, event: Event, day: int) -> None:
    model, provider, tokens, nano = event.model, event.provider, event.prompt + event.completion, event.charged_nano
    app, size = sums[Cell("da", day, event.app)], sums[Cell("dx", day, model)]
    app["r"] += 1
    app[f"{model} r"] += 1
    label = context_size(tokens)
    size[label + " r"] += 1
    if tokens:
        app["t"] += tokens
        app[f"{model} t"] += tokens
        size[label + " t"] += tokens
        sums[Cell("do", day, "m " + model)][event.org] += tokens
        if provider:
            sums[Cell("do", day, "p " + provider)][event.org] += tokens
    if nano:
        app["u"] += nano
    key = sums[Cell("dk", day, event.key)]
    amounts = (1, event.prompt, event.completion, event.reasoning, event.cache_read, nano)
    for field, amount in zip("rpcghu", amounts, strict=True):
        if amount:
            key[f"{event.endpoint} {field}"] += amount


def _endpoint(row: dict[str, int], event: Event) -> None:
    """Add an event to the counters of its endpoint.

    rq requests · ok · cx caller left · pt prompt, ct completion, rt reasoning, cr cache read, cw cache written, ni, no normalised
    tokens · up cost, fe fee, us charged, in nano-USD · tc, tt requests and tokens that ended with a call of tools · to, tw of those
    that offered tools · st streams · es estimated · fr, ft requests and tokens of free models · wt, wn ms to the first content and
    their number · ae, al attempts that failed or were refused for load
    """
    flags, tokens = event.flags, event.prompt + event.completion
    called, offered, free = event.finish == "tool_calls", event.tools > 0, bool(flags & FREE)
    ttft = event.ttft_ms
    for field, amount in (
        ("rq", 1),
        ("ok", event.ok),
        ("cx", bool(flags & CANCELLED)),
        ("pt", event.prompt),
        ("ct", event.completion),
        ("rt", event.reasoning),
        ("cr", event.cache_read),
        ("cw", event.cache_write),
        ("ni", event.norm_prompt),
        ("no", event.norm_completion),
        ("up", event.cost_nano),
        ("fe", event.fee_nano),
        ("us", event.charged_nano),
        ("tc", called),
        ("tt", called * tokens),
        ("to", offered),
        ("tw", offered * tokens),
        ("st", flags & STREAMED),
        ("es", bool(flags & ESTIMATED)),
        ("fr", free),
        ("ft", free * tokens),
        ("wt", ttft or 0),
        ("wn", ttft is not None),
    ):
        if amount:
            row[field] += amount


def _people(users: dict[Cell, set[bytes]], event: Event, day: int) -> None:
    if event.user:
        rows = ["m " + event.model, "a " + event.app, ALL]
        if event.provider:
            rows.append("p " + event.provider)
        for row in rows:
            users[Cell("dn", day, row)].add(event.user)
