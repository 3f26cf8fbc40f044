"""The query of ``GET /models``: what a caller may filter and sort by, and the one place that does it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.api.management.catalog_views import View, midnight, offer
from gateway.catalog.model import Endpoint, Model, Price
from gateway.errors import BadRequest
from gateway.money import parse_price

UNANSWERABLE = frozenset(
    {"category", "arch", "distillable", "region"}
    | {f"{bound}_{name}" for bound in ("min", "max") for name in ("intelligence_index", "coding_index")}
    | {f"{bound}_{name}" for bound in ("min", "max") for name in ("agentic_index", "tool_success_rate")}
)
"""Filters of the hosted service that need data no gateway of one's own has. Ignoring them would answer a lie."""

PAGE = 500


def _price(value: str | None) -> str | None:
    if value is not None:
        parse_price(value, units=1_000_000)
    return value


PerMillion = Annotated[
    str | None, AfterValidator(_price), Field(description="US dollars per million tokens.", max_length=40)
]
Comma = Annotated[str | None, Field(max_length=1_000, description="Values separated by commas.")]


class Filter(BaseModel):
    """Filters that every model list understands."""

    model_config = ConfigDict(extra="ignore")

    q: str | None = Field(None, max_length=200, description="Text in the model's id or name.")
    supported_parameters: Comma = None
    input_modalities: Comma = None
    output_modalities: Annotated[str, Field(max_length=200, description="Comma list, or `all`.")] = "text"
    context: int | None = Field(None, ge=0, description="Least context length in tokens.")
    min_price: PerMillion = None
    max_price: PerMillion = None
    min_output_price: PerMillion = None
    max_output_price: PerMillion = None
    model_authors: Comma = None
    providers: Comma = None
    zdr: bool | None = Field(None, description="`true`: only models with an endpoint that keeps no prompts.")
    min_age_days: int | None = Field(None, ge=0, le=100_000)
    max_age_days: int | None = Field(None, ge=0, le=100_000)
    usable: bool | None = Field(None, description="Ours. `true`: only models whose vendor has a credential here.")


class Listing(Filter):
    """Filters, order and page of ``GET /models``. Without `offset` and `limit` everything is answered."""

    offset: int | None = Field(None, ge=0, le=10**9)
    limit: int | None = Field(None, ge=1, le=1_000)
    sort: str | None = Field(None, description="One of: see `error.message` of a wrong value.", max_length=60)


@dataclass(frozen=True, slots=True)
class Row:
    """A model with the endpoint and price it is listed with."""

    model: Model
    endpoint: Endpoint
    price: Price


async def no_false_promises(request: Request) -> None:
    """Raises BadRequest for a documented filter that this gateway has no data for."""
    for name in request.query_params:
        if name in UNANSWERABLE:
            raise BadRequest(f"This gateway has no data for the filter {name!r}; leave it out.", field=name)


def rows(models: Iterable[Model], asked: Filter, now: float) -> list[Row]:
    """The models for sale today that pass every filter, in the catalogue's order."""
    found = [Row(model, *offered) for model in models if (offered := offer(model, now)) is not None]
    for test in _tests(asked, now):
        found = [row for row in found if test(row)]
    return found


def ordered(found: Sequence[Row], sort: str | None, view: View) -> list[Row]:
    """Raises BadRequest that names the orders this gateway can answer."""
    if sort is None:
        return list(found)
    order = _orders(view).get(sort)
    if order is None:
        raise BadRequest(f"sort must be one of: {', '.join(_orders(view))}.", field="sort")
    return sorted(found, key=order)


def page(
    found: Sequence[Row], asked: Listing, path: str, query: Iterable[tuple[str, str]]
) -> tuple[list[Row], str | None]:
    """The asked page and the link of the next one, None at the end."""
    if asked.offset is None and asked.limit is None:
        return list(found), None
    offset, limit = asked.offset or 0, asked.limit or PAGE
    end = offset + limit
    kept = [(name, value) for name, value in query if name not in ("offset", "limit")]
    link = f"{path}?{urlencode([*kept, ('offset', end), ('limit', limit)])}" if end < len(found) else None
    return list(found[offset:end]), link


def _tests(asked: Filter, now: float) -> list[Callable[[Row], bool]]:
    tests = [*_text_tests(asked), *_price_tests(asked), *_age_tests(asked, now)]
    if asked.context is not None:
        least = asked.context
        tests.append(lambda row: row.model.context_length >= least)
    if asked.zdr:
        tests.append(lambda row: any(keeps_nothing(endpoint) for endpoint in row.model.endpoints))
    if asked.usable:
        tests.append(lambda row: row.endpoint.provider.usable)
    return tests


def keeps_nothing(endpoint: Endpoint) -> bool:
    """Zero data retention: the provider neither keeps prompts nor trains on them."""
    policy = endpoint.provider.data_policy
    return not policy.retains_prompts and not policy.training


def _text_tests(asked: Filter) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    if asked.q:
        text = asked.q.casefold()
        tests.append(lambda row: text in row.model.slug.casefold() or text in row.model.name.casefold())
    if parameters := _set(asked.supported_parameters):
        tests.append(lambda row: parameters <= set(row.model.supported_parameters))
    if inputs := _set(asked.input_modalities):
        tests.append(lambda row: inputs <= set(row.model.input_modalities))
    outputs = _set(asked.output_modalities)
    if outputs and "all" not in outputs:
        tests.append(lambda row: bool(outputs & set(row.model.output_modalities)))
    if authors := _set(asked.model_authors):
        tests.append(lambda row: row.model.slug.partition("/")[0] in authors)
    if providers := _set(asked.providers):
        tests.append(lambda row: any(endpoint.provider.slug in providers for endpoint in row.model.endpoints))
    return tests


def _price_tests(asked: Filter) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    bounds = (
        ("prompt", asked.min_price, asked.max_price),
        ("completion", asked.min_output_price, asked.max_output_price),
    )
    for kind, low, high in bounds:
        if low or high:
            tests.append(_within(kind, low, high))
    return tests


def _within(kind: str, low: str | None, high: str | None) -> Callable[[Row], bool]:
    least = parse_price(low, units=1_000_000) if low else 0
    most = parse_price(high, units=1_000_000) if high else None
    return lambda row: least <= row.price.of(kind) and (most is None or row.price.of(kind) <= most)


def _age_tests(asked: Filter, now: float) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    if asked.min_age_days is not None:
        latest = now - asked.min_age_days * 86_400
        tests.append(lambda row: midnight(row.model.created) <= latest)
    if asked.max_age_days is not None:
        earliest = now - asked.max_age_days * 86_400
        tests.append(lambda row: midnight(row.model.created) >= earliest)
    return tests


def _set(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())


def _orders(view: View) -> dict[str, Callable[[Row], Any]]:
    def median(row: Row, name: str) -> list[float]:
        known = (getattr(view(endpoint.id), name) for endpoint in row.model.endpoints if endpoint.provider.usable)
        return [percentiles.p50 for percentiles in known if percentiles is not None]

    return {
        "newest": lambda row: -midnight(row.model.created),
        "pricing-low-to-high": lambda row: row.price.of("prompt") + row.price.of("completion"),
        "pricing-high-to-low": lambda row: -(row.price.of("prompt") + row.price.of("completion")),
        "context-high-to-low": lambda row: -row.model.context_length,
        "throughput-high-to-low": lambda row: -max(median(row, "throughput_tps"), default=0),
        "latency-low-to-high": lambda row: min(median(row, "ttft_ms"), default=float("inf")),
    }
