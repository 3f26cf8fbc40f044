"""How fast endpoints were: percentiles of the time to the first content and of tokens a second, from histograms.

Histograms of several buckets or endpoints are added up before a percentile is taken: percentiles themselves cannot be. It must not
know: HTTP, what is shown to whom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from gateway.analytics import tables
from gateway.analytics.buckets import Grain
from gateway.analytics.counters import histogram_value
from gateway.analytics.queries import KEY_OF
from gateway.store.client import Store

Kind = Literal["latency", "throughput"]
TABLE: dict[Kind, str] = {"latency": "l", "throughput": "t"}
UNITS: dict[Kind, str] = {"latency": "ms", "throughput": "tokens_per_second"}
LEAST_SAMPLES = 20
"""With fewer a point of a line is no point: it stays empty, and lines are not drawn across it."""
LEAST_REQUESTS = 100
"""Requests that a model or an endpoint needs to be compared with others."""

Histogram = dict[int, int]
"""Bucket of ``counters.histogram_bucket`` → samples."""


class Percentiles(msgspec.Struct, frozen=True):
    """Nearest ranks, each within 7.5 %: ms, or tokens a second."""

    p50: float
    p75: float
    p90: float
    p99: float
    samples: int


def percentiles(histogram: Mapping[int, int], least: int = 1) -> Percentiles | None:
    """None with fewer than ``least`` samples."""
    samples = sum(histogram.values())
    if samples < max(least, 1):
        return None
    order = sorted(histogram)
    p50, p75, p90, p99 = (_ranked(histogram, order, samples, percent) for percent in (50, 75, 90, 99))
    return Percentiles(p50, p75, p90, p99, samples)


def _ranked(histogram: Mapping[int, int], order: Sequence[int], samples: int, percent: int) -> float:
    rank, seen = -(-samples * percent // 100), 0
    for number in order:
        seen += histogram[number]
        if seen >= rank:
            break
    return round(histogram_value(number), 2)


def merged(histograms: Iterable[Mapping[int, int]]) -> Histogram:
    """The histogram of all their samples."""
    found: Histogram = {}
    for each in histograms:
        for number, count in each.items():
            found[number] = found.get(number, 0) + count
    return found


async def histograms(
    store: Store, kind: Kind, grain: Grain, numbers: Sequence[int], endpoints: Collection[str]
) -> dict[str, list[Histogram]]:
    """Endpoint → its histogram in each bucket; hours are kept 72 hours, days 35 days, weeks 104 weeks. Raises StoreError."""
    cells = [(number, endpoint) for endpoint in endpoints for number in numbers]
    read = iter(await tables.rows(store, grain + TABLE[kind], cells))
    return {
        endpoint: [{int(bucket): count for bucket, count in next(read).items()} for _ in numbers]
        for endpoint in endpoints
    }


async def lines(
    store: Store, kind: Kind, grain: Grain, numbers: Sequence[int], endpoints: Collection[str]
) -> dict[str, list[Percentiles | None]]:
    """Endpoint → its percentiles in each bucket, None with fewer than ``LEAST_SAMPLES``; endpoints that were never measured are
    left out. Raises StoreError."""
    found = await histograms(store, kind, grain, numbers, endpoints)
    return {
        endpoint: [percentiles(each, LEAST_SAMPLES) for each in buckets]
        for endpoint, buckets in found.items()
        if any(buckets)
    }


class EndpointSpeed(NamedTuple):
    """One endpoint over some days."""

    endpoint: str
    requests: int
    latency: Percentiles | None
    throughput: Percentiles | None


class ModelSpeed(NamedTuple):
    """One model over some days, all its endpoints together; ``endpoints``: those with enough requests, the fastest first."""

    model: str
    requests: int
    latency: Percentiles | None
    throughput: Percentiles | None
    endpoints: tuple[EndpointSpeed, ...]


async def models(store: Store, days: Sequence[int], least_requests: int = LEAST_REQUESTS) -> list[ModelSpeed]:
    """The models with so many requests on these days, by name. Endpoints with fewer count for their model, but are not listed.

    Raises StoreError.
    """
    requests: dict[str, int] = {}
    for table in await tables.read(store, "de", days, ("rq",)):
        for endpoint, (count,) in table.items():
            if endpoint[:1] != "@":
                requests[endpoint] = requests.get(endpoint, 0) + count
    of_model: dict[str, list[str]] = {}
    for endpoint in sorted(requests):
        of_model.setdefault(KEY_OF["model"](endpoint), []).append(endpoint)
    busy = {m: each for m, each in sorted(of_model.items()) if sum(requests[e] for e in each) >= least_requests}
    wanted = [endpoint for endpoints in busy.values() for endpoint in endpoints]
    ttft = await histograms(store, "latency", "d", days, wanted)
    tps = await histograms(store, "throughput", "d", days, wanted)
    found = []
    for model, endpoints in busy.items():
        speeds = [
            EndpointSpeed(
                e,
                requests[e],
                percentiles(merged(ttft[e]), LEAST_SAMPLES),
                percentiles(merged(tps[e]), LEAST_SAMPLES),
            )
            for e in endpoints
            if requests[e] >= least_requests
        ]
        found.append(
            ModelSpeed(
                model,
                sum(requests[e] for e in endpoints),
                percentiles(merged(each for e in endpoints for each in ttft[e]), LEAST_SAMPLES),
                percentiles(merged(each for e in endpoints for each in tps[e]), LEAST_SAMPLES),
                tuple(sorted(speeds, key=_fastest_first)),
            )
        )
    return found


def _fastest_first(each: EndpointSpeed) -> tuple[float, str]:
    return (-each.throughput.p50 if each.throughput else 0.0, each.endpoint)
