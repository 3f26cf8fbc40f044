"""``/analytics/meta`` and ``/analytics/query``: any metric by any dimensions that are counted.

The operator sees everything. An inference key sees its own use, and by ``organization`` what its whole organisation used:
``_scope`` is where that is decided.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from msgspec import structs

from gateway.analytics import buckets, cube
from gateway.analytics.buckets import Grain
from gateway.analytics.cube import DIMENSIONS, GRAINS, METRICS, SOURCES, Filter, Question, Source
from gateway.analytics.dimensions import dimensions
from gateway.analytics.event import KEY_CHARS, UNKNOWN_APP
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.json_route import AnyKeyJSONRoute, ExactJSONResponse
from gateway.api.management.public_views import json_answer, limit_caller, public_answers
from gateway.api.management.schema import analytics as schema
from gateway.errors import BadRequest, NotFound
from gateway.records import usd
from gateway.server.answer_cache import Answer
from gateway.services import Services
from gateway.store.policy import KeyPolicy

OPERATORS = {"in": "array", "not_in": "array"}
COMPARISONS = ("gt", "gte", "lt", "lte")
DEFAULT_DAYS = 7
HASH_CHARS = 64
MOST = 10**30
"""The largest number that a metric is compared with."""


async def _counted(services: ServicesDep) -> None:
    """Raises NotFound when nothing is counted."""
    if services.analytics is None:
        raise NotFound("Analytics is switched off on this gateway (GATEWAY_ANALYTICS).")


router = APIRouter(
    prefix="/analytics", tags=["Activity"], route_class=AnyKeyJSONRoute, dependencies=[Depends(_counted)]
)


@router.get("/meta", response_model=schema.AnalyticsMetaAnswer, summary="What can be asked")
async def get_analytics_meta(policy: ByAnyKey) -> ExactJSONResponse:
    """Metrics, dimensions, operators and granularities of `POST /analytics/query`, and which of them can be combined."""
    names = _scope(policy)
    metrics = [
        {"name": name, "display_label": m.label, "is_rate": m.is_rate, "display_format": m.format}
        for name, m in METRICS.items()
        if any(SOURCES[source].counters.issuperset(m.needs) for source in names)
    ]
    offered = {dimension for name in names for dimension in SOURCES[name].dimensions}
    return ExactJSONResponse(
        {
            "data": {
                "metrics": metrics,
                "dimensions": [{"name": n, "display_label": label} for n, label in DIMENSIONS.items() if n in offered],
                "operators": [
                    {"name": name, "value_type": OPERATORS.get(name, "scalar")}
                    for name in ("eq", "neq", "in", "not_in", *COMPARISONS)
                ],
                "granularities": [{"name": name, "display_label": name.title()} for name in GRAINS],
                "combinations": [_combination(SOURCES[name]) for name in names],
            }
        }
    )


def _combination(source: Source) -> dict[str, Any]:
    return {
        "dimensions": [name for name in DIMENSIONS if name in source.dimensions],
        "metrics": _metrics(source),
        "granularities": {
            name: cube.kept_days(source, grain, ()) for name, grain in GRAINS.items() if grain in source.grains
        },
    }


def _metrics(source: Source) -> list[str]:
    return [name for name, metric in METRICS.items() if source.counters.issuperset(metric.needs)]


def _scope(policy: KeyPolicy | None) -> tuple[str, ...]:
    """The sources that this caller may read: the operator all, a key those with rows of its own or of its organisation."""
    return tuple(SOURCES) if policy is None else ("key", "organization", "organization_provider")


def _own(policy: KeyPolicy | None, name: str) -> tuple[Filter, ...]:
    """What limits the rows of a source to those that this caller may see."""
    if policy is None:
        return ()
    if name == "key":
        return (Filter("api_key_id", "eq", (policy.key_hash[:KEY_CHARS],)),)
    return (Filter("organization", "eq", (policy.org,)),)


@router.post("/query", response_model=schema.QueryAnswer, summary="Query use")
async def query_analytics(
    request: Request, services: ServicesDep, policy: ByAnyKey, body: schema.AnalyticsQuery
) -> Response:
    """Metrics by up to three dimensions, over time or in all, as OpenRouter's route of this name.

    Counters are kept by some combinations of dimensions, which `GET /analytics/meta` lists. Whole hours, days, weeks or months that
    the range touches are counted. The management key sees everything; an inference key its own use, and with the dimension
    `organization` the tokens of its organisation.
    """
    for name in ("classifier_dimensions", "classifier_filters"):
        if getattr(body, name) is not None:
            raise BadRequest(f"{name}: there are no classifiers of your own here; leave it out.", field=name)
    question = _question(body, time.time())
    name, grain = _source(question, _scope(policy))
    question = structs.replace(question, filters=(*question.filters, *_own(policy, name)))

    async def answer() -> Answer:
        return json_answer(await _answered(services, SOURCES[name], grain, question))

    if policy is None:
        made = await answer()
    else:
        limit_caller(request, "key " + policy.key_hash)
        made = await public_answers(request).views.get(None, answer)
    return Response(made.body, media_type="application/json", headers={"cache-control": "no-store"})


async def _answered(services: Services, source: Source, grain: Grain, question: Question) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        result = await cube.answer(services.store, source, grain, question, dimensions(services.catalog.current))
    except cube.TooMuch:
        raise BadRequest(
            "time_range: this would read too many rows; ask for fewer days, or filter by one of the dimensions.",
            field="time_range",
        ) from None
    rows = [{name: _shown(name, value) for name, value in row.items()} for row in result.rows]
    metadata = {
        "query_time_ms": round((time.perf_counter() - begun) * 1000),
        "row_count": len(rows),
        "truncated": result.truncated,
    }
    return {"data": {"data": rows, "metadata": metadata, "warnings": _warnings(question, grain)}}


def _shown(name: str, value: Any) -> Any:
    """Counts as decimal strings, money as exact dollars, rates as numbers."""
    metric = METRICS.get(name)
    if metric is None or value is None:
        return value
    if metric.is_rate:
        return round(value, 6)
    return usd(value) if metric.format == "currency" else str(value)


def _warnings(question: Question, grain: Grain) -> list[str]:
    numbers = cube.numbers_of(question, grain)
    if (
        buckets.start_ms(grain, numbers[0]) == question.start_ms
        and buckets.end_ms(grain, numbers[-1]) == question.end_ms
    ):
        return []
    unit = {"h": "hours", "d": "days", "w": "weeks from Monday"}[grain]
    return [f"Whole {unit} that the range touches are counted."]


def _question(body: schema.AnalyticsQuery, now: float) -> Question:
    """The question in our terms. Raises BadRequest naming the field."""
    _known("metrics", body.metrics, METRICS)
    _known("dimensions", body.dimensions, DIMENSIONS)
    if body.granularity == "minute":
        raise BadRequest("granularity: the finest that is counted is hour.", field="granularity")
    start_ms, end_ms = _range(body.time_range, now)
    order_by = None
    if body.order_by is not None:
        _known("order_by", [body.order_by.field], {"date", *body.metrics, *body.dimensions})
        if body.order_by.field == "date" and body.granularity is None:
            raise BadRequest("order_by: there is no date without a granularity.", field="order_by")
        order_by = (body.order_by.field, body.order_by.direction == "desc")
    return Question(
        metrics=tuple(body.metrics),
        dimensions=tuple(body.dimensions),
        filters=tuple([_filter(each) for each in body.filters]),
        granularity=body.granularity,
        start_ms=start_ms,
        end_ms=end_ms,
        order_by=order_by,
        limit=body.limit,
        group_limit=body.group_limit,
    )


def _known(field: str, given: Sequence[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            choices = ", ".join(known if isinstance(known, dict) else sorted(known))
            raise BadRequest(f"{field}: {name[:80]!r} is not counted here; choose from {choices}.", field=field)
    if len(set(given)) != len(given):
        raise BadRequest(f"{field}: one of them is named twice.", field=field)


def _range(given: schema.TimeRange | None, now: float) -> tuple[int, int]:
    if given is None:
        today = buckets.today(now)
        return (today - DEFAULT_DAYS + 1) * buckets.DAY_MS, (today + 1) * buckets.DAY_MS
    start_ms, end_ms = _instant("start", given.start), _instant("end", given.end)
    if start_ms >= end_ms:
        raise BadRequest("time_range: start must be before end.", field="time_range")
    if start_ms > now * 1000:
        raise BadRequest("time_range: start is in the future.", field="time_range")
    return start_ms, min(end_ms, (buckets.today(now) + 1) * buckets.DAY_MS)


def _instant(name: str, text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
        found = round((when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequest(
            f"time_range: {name} must be an existing time such as 2026-05-13T00:00:00Z.", field="time_range"
        ) from None
    if found < 0:
        raise BadRequest(f"time_range: nothing was counted before 1970 ({name}).", field="time_range")
    return found


def _filter(given: schema.QueryFilter) -> Filter:
    _known("filters", [given.field], {**DIMENSIONS, **METRICS})
    operator, value = given.operator, given.value
    if given.field in METRICS:
        if operator not in COMPARISONS:
            raise _wrong(f"{given.field} is a number: compare it with {', '.join(COMPARISONS)}")
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not -MOST <= value <= MOST:
            raise _wrong(f"the value of {given.field} must be a number")
        return Filter(given.field, operator, (_in_our_unit(given.field, value),))
    if operator in COMPARISONS:
        raise _wrong(f"{given.field} is a text: use eq, neq, in or not_in")
    values = value if operator in OPERATORS else [value]
    if (
        not isinstance(values, list)
        or not 1 <= len(values) <= 1000
        or not all(isinstance(each, str) for each in values)
    ):
        wanted = "a list of 1 to 1000 texts" if operator in OPERATORS else "a text"
        raise _wrong(f"the value of {given.field} with {operator} must be {wanted}")
    if given.include_unset:
        if given.field != "app" or operator not in OPERATORS:
            raise _wrong("include_unset belongs to app with in or not_in")
        if operator == "in":
            values = [*values, UNKNOWN_APP]
    if given.field == "api_key_id":
        values = [_key_id(each) for each in values]
    return Filter(given.field, operator, tuple(values))


def _in_our_unit(name: str, value: int | Decimal) -> int | float:
    """A number that a metric is compared with: nano-USD for sums of money."""
    metric = METRICS[name]
    if metric.format == "currency" and not metric.is_rate:
        return float(value * 10**9)
    return float(value) if isinstance(value, Decimal) else value


def _key_id(text: str) -> str:
    """The beginning of a key's hash, which is what is counted by; of the whole hash too."""
    if len(text) not in (KEY_CHARS, HASH_CHARS) or not set(text) <= set("0123456789abcdef"):
        raise _wrong("an api_key_id is the `hash` of a key in GET /keys, or its first 16 characters")
    return text[:KEY_CHARS]


def _wrong(problem: str) -> BadRequest:
    return BadRequest(f"filters: {problem}.", field="filters")


def _source(question: Question, allowed: Iterable[str]) -> tuple[str, Grain]:
    """The first source that can answer, and its grain. Raises BadRequest that says what could be asked instead."""
    filtered = [each.field for each in question.filters]
    wanted = {*question.dimensions, *(name for name in filtered if name in DIMENSIONS)}
    metrics = {*question.metrics, *(name for name in filtered if name in METRICS)}
    within = [name for name in allowed if name in cube.sources_of(wanted)]
    if not within:
        choices = "; ".join(" × ".join(n for n in DIMENSIONS if n in SOURCES[s].dimensions) for s in allowed)
        raise BadRequest(
            f"dimensions: {', '.join(sorted(wanted))} are not counted together; choose within one of: {choices}.",
            field="dimensions",
        )
    counted = [name for name in within if metrics.issubset(_metrics(SOURCES[name]))]
    if not counted:
        choices = ", ".join(dict.fromkeys(metric for name in within for metric in _metrics(SOURCES[name])))
        missing = ", ".join(sorted(metrics))
        raise BadRequest(
            f"metrics: {missing} are not counted by these dimensions; choose from {choices}.", field="metrics"
        )
    for name in counted:
        grain = cube.grain_of(SOURCES[name], question)
        if grain is not None:
            _refuse_forgotten(question, SOURCES[name], grain, metrics)
            return name, grain
    choices = ", ".join(g for g, grain in GRAINS.items() if any(grain in SOURCES[name].grains for name in counted))
    raise BadRequest(f"granularity: these are counted by {choices}.", field="granularity")


def _refuse_forgotten(question: Question, source: Source, grain: Grain, metrics: Iterable[str]) -> None:
    """Raises BadRequest for a range that begins before the counters do: a part of it would look like all."""
    counters = {counter for name in metrics for counter in METRICS[name].needs}
    kept = cube.kept_days(source, grain, counters)
    if buckets.end_ms(grain, cube.numbers_of(question, grain)[0]) / 1000 + kept * 86_400 <= time.time():
        raise BadRequest(f"time_range: these are kept for {kept} days.", field="time_range")
