"""Any metric by any dimensions that the counters can answer: what ``POST /analytics/query`` asks.

Counters are kept by a few combinations of dimensions only, one *source* each; a question is answered by the first source that has
all of its dimensions and metrics. Sums are exact integers. It must not know: HTTP, who is asking.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.analytics import buckets, tables
from gateway.analytics.buckets import Grain
from gateway.analytics.counters import KEPT_S
from gateway.analytics.dimensions import Dimensions
from gateway.analytics.performance import percentiles
from gateway.analytics.queries import KEY_OF
from gateway.store.client import Store

Granularity = Literal["hour", "day", "week", "month"]
GRAINS: dict[Granularity, Grain] = {"hour": "h", "day": "d", "week": "w", "month": "d"}
CELLS_MAX = 100_000
"""Rows of the store that one question may read."""
ROWS_AT_ONCE = 2_000
"""Rows that are added up before other requests get their turn."""


class Row(NamedTuple):
    """Counters of one row of one bucket. Names of counters: see ``counters``; ``tk``: tokens; ``l <n>``, ``t <n>``: histograms."""

    number: int
    dimensions: Mapping[str, str]
    counts: Mapping[str, int]


class Metric(NamedTuple):
    """One metric. ``of``: from the sums of a group to its value, None where it cannot be said."""

    label: str
    needs: tuple[str, ...]
    of: Callable[[Mapping[str, int]], int | float | None]
    format: Literal["number", "currency", "percent", "latency", "throughput"] = "number"
    is_rate: bool = False


def _sum(label: str, counter: str, format: Literal["number", "currency"] = "number") -> Metric:
    return Metric(label, (counter,), lambda sums: sums.get(counter, 0), format)


def _ratio(above: str, below: str) -> Callable[[Mapping[str, int]], float | None]:
    return lambda sums: sums.get(above, 0) / sums[below] if sums.get(below) else None


def _percentile(letter: str, name: str) -> Callable[[Mapping[str, int]], float | None]:
    def of(sums: Mapping[str, int]) -> float | None:
        found = percentiles({int(key[2:]): n for key, n in sums.items() if key[0] == letter and key[1] == " "})
        return None if found is None else float(getattr(found, name))

    return of


METRICS: dict[str, Metric] = {
    "request_count": _sum("Requests", "rq"),
    "tokens_total": _sum("Tokens", "tk"),
    "tokens_prompt": _sum("Prompt tokens", "pt"),
    "tokens_completion": _sum("Completion tokens, with reasoning", "ct"),
    "reasoning_tokens": _sum("Reasoning tokens", "rt"),
    "cached_tokens": _sum("Prompt tokens read from a cache", "cr"),
    "cache_write_tokens": _sum("Prompt tokens written to a cache", "cw"),
    "tool_call_request_count": _sum("Requests that ended with a call of tools", "tc"),
    "stream_request_count": _sum("Streams", "st"),
    "cancelled_request_count": _sum("Requests whose caller left", "cx"),
    "failed_attempt_count": _sum("Attempts that failed at an endpoint", "ae"),
    "limited_attempt_count": _sum("Attempts that an endpoint refused for load", "al"),
    "total_usage": _sum("Charged, with the fee", "us", "currency"),
    "usage_upstream": _sum("Cost at the provider", "up", "currency"),
    "usage_fee": _sum("Fee", "fe", "currency"),
    "cache_hit_rate": Metric("Cached part of the prompt tokens", ("cr", "pt"), _ratio("cr", "pt"), "percent", True),
    "blended_cost_per_million_tokens": Metric(
        "Charged for a million tokens",
        ("us", "tk"),
        lambda sums: sums.get("us", 0) / sums["tk"] / 1000 if sums.get("tk") else None,
        "currency",
        True,
    ),
    "avg_latency": Metric("Mean time to the first content", ("wt", "wn"), _ratio("wt", "wn"), "latency", True),
    **{
        f"{name}_latency": Metric(f"Time to the first content, {name}", ("l",), _percentile("l", name), "latency", True)
        for name in ("p50", "p90", "p99")
    },
    **{
        f"{name}_throughput": Metric(f"Tokens a second, {name}", ("t",), _percentile("t", name), "throughput", True)
        for name in ("p50", "p90", "p99")
    },
}
"""Name, as OpenRouter has it where it has one, → what it is."""
HISTOGRAMS = ("l", "t")
DIMENSIONS: dict[str, str] = {
    "model": "Model",
    "author": "Author",
    "family": "Family",
    "tier": "Tier",
    "origin": "Origin: open or closed, and where from",
    "size": "Size class by parameters",
    "reasoning": "Reasoning model",
    "provider": "Provider",
    "endpoint": "Endpoint",
    "api_key_id": "API key",
    "app": "App",
    "context_length_bucket": "Size of prompt and completion",
    "organization": "Organisation",
}


OF_MODEL = frozenset({"author", "family", "tier", "origin", "size", "reasoning"})
"""Dimensions that follow from the model, as of the first day of a bucket; see ``dimensions``."""


class Source(NamedTuple):
    """One combination of dimensions that counters are kept by."""

    dimensions: frozenset[str]
    counters: frozenset[str]
    grains: tuple[Grain, ...]
    letter: str
    """Of its table."""
    read: Callable[[Store, Reading], Awaitable[list[Row]]]


class Reading(NamedTuple):
    """What to read of a source. ``only``: dimension → the values that matter, where a filter names them."""

    grain: Grain
    numbers: Sequence[int]
    counters: Collection[str]
    only: Mapping[str, Collection[str]]


class TooMuch(Exception):
    """The question would read more than ``CELLS_MAX`` rows of the store."""


async def _rows(
    store: Store, table: str, cells: Sequence[tuple[int, str]]
) -> AsyncIterator[tuple[int, str, dict[str, int]]]:
    """(bucket, row, its counters), read a few at a time, so that other requests get their turn while rows are dealt with."""
    if len(cells) > CELLS_MAX:
        raise TooMuch
    for start in range(0, len(cells), tables.CELLS_AT_ONCE):
        part = cells[start : start + tables.CELLS_AT_ONCE]
        for (number, name), counters in zip(part, await tables.rows(store, table, part), strict=True):
            yield number, name, counters


def _of_endpoint(endpoint: str) -> dict[str, str]:
    model = KEY_OF["model"](endpoint)
    return {
        "model": model,
        "provider": KEY_OF["provider"](endpoint),
        "endpoint": endpoint if endpoint[:1] != "@" else "",
    }


def _wanted(dimensions: Mapping[str, str], only: Mapping[str, Collection[str]]) -> bool:
    return all(dimensions[name] in values for name, values in only.items() if name in dimensions)


async def _by_endpoint(store: Store, reading: Reading) -> list[Row]:
    wanted = sorted({"pt", "ct", *reading.counters} - {"tk", *HISTOGRAMS})
    found, measured = [], {}
    read = await tables.read(store, reading.grain + "e", reading.numbers, wanted)
    for number, table in zip(reading.numbers, read, strict=True):
        await asyncio.sleep(0)  # a year of days has some 400,000 rows
        for endpoint, values in table.items():
            dimensions = _of_endpoint(endpoint)
            if _wanted(dimensions, reading.only):
                counts = dict(zip(wanted, values, strict=True))
                counts["tk"] = counts["pt"] + counts["ct"]
                found.append(Row(number, dimensions, counts))
                if dimensions["endpoint"]:
                    measured[number, endpoint] = dimensions
    for letter in HISTOGRAMS:
        if letter in reading.counters:
            async for number, endpoint, each in _rows(store, reading.grain + letter, list(measured)):
                counts = {f"{letter} {name}": count for name, count in each.items()}
                found.append(Row(number, measured[number, endpoint], counts))
    return found


async def _named(store: Store, table: str, reading: Reading, dimension: str) -> list[tuple[int, str]]:
    """The rows of these buckets, those of a dimension that is filtered by its value only."""
    only = reading.only.get(dimension)
    if only is not None:
        return [(number, name) for number in reading.numbers for name in sorted(only)]
    names = await tables.row_names(store, table, reading.numbers)
    return [(number, name) for number, each in zip(reading.numbers, names, strict=True) for name in sorted(each)]


_KEY_COUNTERS = {"r": "rq", "p": "pt", "c": "ct", "g": "rt", "h": "cr", "u": "us"}


async def _by_key(store: Store, reading: Reading) -> list[Row]:
    cells = await _named(store, reading.grain + "k", reading, "api_key_id")
    found = []
    async for number, key, fields in _rows(store, reading.grain + "k", cells):
        of_endpoint: dict[str, dict[str, int]] = {}
        for field, value in fields.items():
            endpoint, _, letter = field.rpartition(" ")
            of_endpoint.setdefault(endpoint, {})[_KEY_COUNTERS.get(letter, letter)] = value
        for endpoint, counts in of_endpoint.items():
            counts["tk"] = counts.get("pt", 0) + counts.get("ct", 0)
            found.append(Row(number, {"api_key_id": key, **_of_endpoint(endpoint)}, counts))
    return found


async def _by_app(store: Store, reading: Reading) -> list[Row]:
    cells = await _named(store, reading.grain + "a", reading, "app")
    return [
        Row(number, {"app": app}, {"rq": each.get("r", 0), "tk": each.get("t", 0), "us": each.get("u", 0)})
        async for number, app, each in _rows(store, reading.grain + "a", cells)
    ]


async def _by_app_and_model(store: Store, reading: Reading) -> list[Row]:
    cells = await _named(store, reading.grain + "a", reading, "app")
    found = []
    async for number, app, fields in _rows(store, reading.grain + "a", cells):
        for field, value in fields.items():
            model, _, letter = field.rpartition(" ")
            if model:
                found.append(Row(number, {"app": app, "model": model}, {"rq" if letter == "r" else "tk": value}))
    return found


async def _by_size(store: Store, reading: Reading) -> list[Row]:
    cells = await _named(store, reading.grain + "x", reading, "model")
    found = []
    async for number, model, fields in _rows(store, reading.grain + "x", cells):
        for field, value in fields.items():
            label, _, letter = field.rpartition(" ")
            dimensions = {"context_length_bucket": label, "model": model}
            found.append(Row(number, dimensions, {"rq" if letter == "r" else "tk": value}))
    return found


def _by_organization(kind: str) -> Callable[[Store, Reading], Awaitable[list[Row]]]:
    """``kind``: ``m`` by models, ``p`` by providers."""

    async def read(store: Store, reading: Reading) -> list[Row]:
        names = await tables.row_names(store, reading.grain + "o", reading.numbers)
        cells = [
            (number, name)
            for number, each in zip(reading.numbers, names, strict=True)
            for name in sorted(each)
            if name[:2] == kind + " "
        ]
        found = []
        async for number, name, fields in _rows(store, reading.grain + "o", cells):
            by = {"model" if kind == "m" else "provider": name[2:]}
            found += [Row(number, {"organization": org, **by}, {"tk": tokens}) for org, tokens in fields.items()]
        return found

    return read


_ENDPOINT = frozenset({"model", *OF_MODEL, "provider", "endpoint"})
_ALL = frozenset(counter for metric in METRICS.values() for counter in metric.needs)
SOURCES: dict[str, Source] = {
    "endpoint": Source(_ENDPOINT, _ALL, ("h", "d", "w"), "e", _by_endpoint),
    "app": Source(frozenset({"app"}), frozenset({"rq", "tk", "us"}), ("d", "w"), "a", _by_app),
    "app_model": Source(
        frozenset({"app", "model", *OF_MODEL}), frozenset({"rq", "tk"}), ("d", "w"), "a", _by_app_and_model
    ),
    "size": Source(
        frozenset({"context_length_bucket", "model", *OF_MODEL}), frozenset({"rq", "tk"}), ("w",), "x", _by_size
    ),
    "key": Source(_ENDPOINT | {"api_key_id"}, frozenset({*_KEY_COUNTERS.values(), "tk"}), ("d",), "k", _by_key),
    "organization": Source(
        frozenset({"organization", "model", *OF_MODEL}), frozenset({"tk"}), ("d", "w"), "o", _by_organization("m")
    ),
    "organization_provider": Source(
        frozenset({"organization", "provider"}), frozenset({"tk"}), ("d", "w"), "o", _by_organization("p")
    ),
}


class Filter(NamedTuple):
    """A condition. Of a dimension: ``values`` are texts. Of a metric: one number, applied to the finished rows."""

    field: str
    operator: str
    values: tuple[Any, ...]

    def keeps(self, value: Any) -> bool:
        """Whether a row with this value stays; one without a value only where something is excluded."""
        if self.operator in ("eq", "in"):
            return value in self.values
        if self.operator in ("neq", "not_in"):
            return value not in self.values
        if value is None:
            return False
        limit = self.values[0]
        found: bool = {
            "gt": value > limit,
            "gte": value >= limit,
            "lt": value < limit,
            "lte": value <= limit,
        }[self.operator]
        return found


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``start`` and ``end``: unix ms, the end excluded; whole buckets that they touch are read."""

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    granularity: Granularity | None = None
    start_ms: int
    end_ms: int
    order_by: tuple[str, bool] | None = None
    """(metric, dimension or ``date``; descending)."""
    limit: int = 1000
    group_limit: int | None = None


class Result(NamedTuple):
    """Dates are texts, values those of ``Metric.of``."""

    rows: list[dict[str, Any]]
    truncated: bool


def sources_of(dimensions: Collection[str]) -> list[str]:
    """The sources that have all of these dimensions."""
    return [name for name, source in SOURCES.items() if source.dimensions.issuperset(dimensions)]


def grain_of(source: Source, question: Question) -> Grain | None:
    """The grain in which a source answers, None where it has not the one that is asked for. Without a granularity, hours for less
    than two days that do not begin and end at midnight, else days, else weeks."""
    if question.granularity is not None:
        grain = GRAINS[question.granularity]
        return grain if grain in source.grains else None
    whole_days = question.start_ms % buckets.DAY_MS == question.end_ms % buckets.DAY_MS == 0
    if "h" in source.grains and not whole_days and question.end_ms - question.start_ms <= 2 * buckets.DAY_MS:
        return "h"
    return "d" if "d" in source.grains else "w"


def numbers_of(question: Question, grain: Grain) -> range:
    """The buckets that the question touches."""
    return range(buckets.bucket(grain, question.start_ms), buckets.bucket(grain, question.end_ms - 1) + 1)


def kept_days(source: Source, grain: Grain, counters: Collection[str]) -> int:
    """For how many days a source keeps these counters."""
    letters = {source.letter, *(letter for letter in HISTOGRAMS if letter in counters)}
    return min(KEPT_S[grain + letter] for letter in letters) // 86_400


async def answer(store: Store, source: Source, grain: Grain, question: Question, named: Dimensions) -> Result:
    """``named``: what is known of models. Raises TooMuch, StoreError."""
    by_dimension = [each for each in question.filters if each.field in DIMENSIONS]
    only = {each.field: set(each.values) for each in by_dimension if each.operator in ("eq", "in")}
    counters = {counter for name in question.metrics for counter in METRICS[name].needs}
    counters |= {c for f in question.filters if f.field in METRICS for c in METRICS[f.field].needs}
    reading = Reading(grain, numbers_of(question, grain), counters, only)
    of_model = OF_MODEL.intersection([*question.dimensions, *(each.field for each in by_dimension)])
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    for place, row in enumerate(await source.read(store, reading)):
        if place % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
        values = _with_attributes(row, grain, of_model, named) if of_model else row.dimensions
        if all(each.keeps(values[each.field]) for each in by_dimension):
            key = (_date(question.granularity, grain, row.number), *(values[name] for name in question.dimensions))
            sums = groups.setdefault(key, {})
            for counter, amount in row.counts.items():
                sums[counter] = sums.get(counter, 0) + amount
    return _presented(question, groups)


def _with_attributes(row: Row, grain: Grain, wanted: Collection[str], named: Dimensions) -> dict[str, str]:
    """The dimensions of a row, with those that follow from its model."""
    day, model = buckets.start_ms(grain, row.number) // buckets.DAY_MS, row.dimensions["model"]
    return {**row.dimensions, **{by: named.of_model(by, model, day) for by in wanted}}  # type: ignore[arg-type]


def _date(granularity: Granularity | None, grain: Grain, number: int) -> str:
    """``2026-05-19``, of hours ``2026-05-19 11:00:00``; empty where time is not asked for."""
    if granularity is None:
        return ""
    start = buckets.start_ms(grain, number)
    if granularity == "hour":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start // 1000))
    day = start // buckets.DAY_MS
    return buckets.iso_day(buckets.first_day("month", day) if granularity == "month" else day)


def _presented(question: Question, groups: Mapping[tuple[str, ...], Mapping[str, int]]) -> Result:
    of_metrics = [each for each in question.filters if each.field in METRICS]
    named = {*question.metrics, *(each.field for each in of_metrics)}
    found = []
    for key, sums in groups.items():
        if any(sums.values()):
            values = {name: METRICS[name].of(sums) for name in named}
            if all(each.keeps(values[each.field]) for each in of_metrics):
                found.append((key, values))
    found.sort(key=lambda each: each[0])
    field, descending = question.order_by or (("date", True) if question.granularity else (question.metrics[0], True))
    found.sort(key=lambda each: _order(question, field, *each), reverse=descending)
    if field not in ("date", *question.dimensions):  # what has no value comes last, whichever way
        found.sort(key=lambda each: each[1][field] is None)
    rows = [_row(question, *each) for each in islice(_limited(question, found), question.limit)]
    return Result(rows, len(rows) < len(found))


def _row(question: Question, key: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {f"date__{question.granularity}": key[0]} if question.granularity else {}
    row |= zip(question.dimensions, key[1:], strict=True)
    return row | {name: values[name] for name in question.metrics}


def _order(question: Question, field: str, key: tuple[str, ...], values: Mapping[str, int | float | None]) -> Any:
    if field == "date":
        return key[0]
    return key[1 + question.dimensions.index(field)] if field in question.dimensions else values[field] or 0


def _limited(
    question: Question, found: Sequence[tuple[tuple[str, ...], Mapping[str, Any]]]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """At most ``group_limit`` rows of each combination of dimensions."""
    seen: dict[tuple[str, ...], int] = {}
    for key, values in found:
        seen[key[1:]] = seen.get(key[1:], 0) + 1
        if question.group_limit is None or seen[key[1:]] <= question.group_limit:
            yield key, values
