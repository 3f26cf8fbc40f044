"""Which models are listed, with which price, and in which order. Pure: the time and the endpoints' speed are arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.catalog.attributes import AttributeTable
from gateway.catalog.model import Endpoint, Model, Price
from gateway.errors import BadRequest
from gateway.money import parse_price


class Median(Protocol):
    """Of the percentiles of a measurement this module needs one."""

    @property
    def p50(self) -> float:
        """The median."""
        ...


class Speed(Protocol):
    """How fast an endpoint was lately; None where that was not measured."""

    @property
    def latency_ms(self) -> Median | None:
        """Time to the first content."""
        ...

    @property
    def throughput_tps(self) -> Median | None:
        """Tokens a second."""
        ...


SpeedOf = Callable[[str], Speed]
"""Endpoint id → its present speed."""


EUROPEAN_UNION = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT",
        "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip


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
    model_authors: Annotated[
        str | None, Field(max_length=1_000, description="Authors, separated by commas; each with its other namespaces.")
    ] = None
    providers: Comma = None
    zdr: bool | None = Field(None, description="`true`: only models with an endpoint that keeps no prompts.")
    min_age_days: int | None = Field(None, ge=0, le=100_000)
    max_age_days: int | None = Field(None, ge=0, le=100_000)
    arch: str | None = Field(
        None, max_length=100, description="The model's tokenizer, as `architecture.tokenizer` has it."
    )
    distillable: bool | None = Field(None, description="`true`: only models whose licence allows to train on answers.")
    region: str | None = Field(None, max_length=40, description="Country code of a provider's datacenter, or `eu`.")
    usable: bool | None = Field(None, description="Ours. `true`: only models whose vendor has a credential here.")
    all: bool = Field(False, description="Ours. `true`: also models that no configured vendor serves.")


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


def listed_price(model: Model, now: float) -> tuple[Endpoint, Price] | None:
    """The endpoint whose price the model is listed with: the cheapest one that can be used, else the cheapest one.

    None when no endpoint has a price today: such a model cannot be called and is not listed.
    """
    priced = [(endpoint, price) for endpoint in model.endpoints if (price := endpoint.price_at(now)) is not None]
    if not priced:
        return None
    return min(priced, key=lambda pair: (not pair[0].provider.usable, pair[1].of("prompt") + pair[1].of("completion")))


def callable_now(model: Model, now: float) -> bool:
    """True when at least one endpoint has a price and a credential."""
    return any(endpoint.provider.usable and endpoint.price_at(now) is not None for endpoint in model.endpoints)


def rows(models: Iterable[Model], filters: Filter, now: float, attributes: AttributeTable) -> list[Row]:
    """The models that have a price today and pass every filter, in the catalogue's order."""
    found = [Row(model, *offered) for model in models if (offered := listed_price(model, now)) is not None]
    for test in _filter_tests(filters, now, attributes):
        found = [row for row in found if test(row)]
    return found


def ordered(found: Sequence[Row], sort: str | None, speed_of: SpeedOf) -> list[Row]:
    """The rows in the requested order, last those without such a figure. Raises BadRequest that lists the known orders."""
    if sort is None:
        return list(found)
    order = _orders(speed_of).get(sort)
    if order is None:
        raise BadRequest(f"sort must be one of: {', '.join(_orders(speed_of))}.", field="sort")
    return sorted(found, key=order)


def _filter_tests(filters: Filter, now: float, attributes: AttributeTable) -> list[Callable[[Row], bool]]:
    tests = [*_text_tests(filters, attributes), *_price_tests(filters), *_age_tests(filters, now)]
    if filters.context is not None:
        least = filters.context
        tests.append(lambda row: row.model.context_length >= least)
    if filters.zdr:
        tests.append(lambda row: any(keeps_nothing(endpoint) for endpoint in row.model.endpoints))
    if filters.usable:
        tests.append(lambda row: row.endpoint.provider.usable)
    if filters.arch:
        arch = filters.arch.casefold()
        tests.append(lambda row: tokenizer(row.model).casefold() == arch)
    if filters.distillable is not None:
        tests.append(lambda row: (row.model.attributes.get("distillable") is True) == filters.distillable)
    if filters.region:
        region = filters.region.upper()
        countries = EUROPEAN_UNION if region == "EU" else {region}
        tests.append(
            lambda row: any(not countries.isdisjoint(endpoint.provider.datacenters) for endpoint in row.model.endpoints)
        )
    return tests


def keeps_nothing(endpoint: Endpoint) -> bool:
    """Zero data retention: the provider neither keeps prompts nor trains on them."""
    policy = endpoint.provider.data_policy
    return not policy.retains_prompts and not policy.training


def _text_tests(filters: Filter, attributes: AttributeTable) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    if filters.q:
        text = filters.q.casefold()
        tests.append(lambda row: text in row.model.slug.casefold() or text in row.model.name.casefold())
    if parameters := _set(filters.supported_parameters):
        tests.append(lambda row: parameters <= set(row.model.supported_parameters))
    if inputs := _set(filters.input_modalities):
        tests.append(lambda row: inputs <= set(row.model.input_modalities))
    outputs = _set(filters.output_modalities)
    if outputs and "all" not in outputs:
        tests.append(lambda row: bool(outputs & set(row.model.output_modalities)))
    if authors := _set(filters.model_authors):
        known = {attributes.author(author).slug for author in authors}
        tests.append(lambda row: attributes.author(row.model.slug.partition("/")[0]).slug in known)
    if filters.providers:
        providers = frozenset(name.casefold() for name in _set(filters.providers))
        tests.append(
            lambda row: any(
                not providers.isdisjoint((endpoint.provider.slug, endpoint.provider.name.casefold()))
                for endpoint in row.model.endpoints
            )
        )
    return tests


def _price_tests(filters: Filter) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    bounds = (
        ("prompt", filters.min_price, filters.max_price),
        ("completion", filters.min_output_price, filters.max_output_price),
    )
    for kind, low, high in bounds:
        if low or high:
            tests.append(_within(kind, low, high))
    return tests


def _within(kind: str, low: str | None, high: str | None) -> Callable[[Row], bool]:
    least = parse_price(low, units=1_000_000) if low else 0
    most = parse_price(high, units=1_000_000) if high else None
    return lambda row: least <= row.price.of(kind) and (most is None or row.price.of(kind) <= most)


def _age_tests(filters: Filter, now: float) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    if filters.min_age_days is not None:
        latest = now - filters.min_age_days * 86_400
        tests.append(lambda row: midnight(row.model.created) <= latest)
    if filters.max_age_days is not None:
        earliest = now - filters.max_age_days * 86_400
        tests.append(lambda row: midnight(row.model.created) >= earliest)
    return tests


def _set(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())


def _orders(speed_of: SpeedOf) -> dict[str, Callable[[Row], Any]]:
    def medians(row: Row, name: str) -> list[float]:
        known = (getattr(speed_of(endpoint.id), name) for endpoint in row.model.endpoints if endpoint.provider.usable)
        return [percentiles.p50 for percentiles in known if percentiles is not None]

    return {
        "providers-high-to-low": lambda row: (
            -len({endpoint.provider.slug for endpoint in row.model.endpoints if endpoint.provider.usable})
        ),
        "newest": lambda row: -midnight(row.model.created),
        "pricing-low-to-high": lambda row: _token_price(row, 1),
        "pricing-high-to-low": lambda row: _token_price(row, -1),
        "context-high-to-low": lambda row: -row.model.context_length,
        "throughput-high-to-low": lambda row: -max(medians(row, "throughput_tps"), default=0),
        "latency-low-to-high": lambda row: min(medians(row, "latency_ms"), default=float("inf")),
    }


def _token_price(row: Row, sign: int) -> tuple[bool, int]:
    """Prompt and completion together, to sort by. What is sold by the picture or the second has no such price, and comes last."""
    price = row.price.of("prompt") + row.price.of("completion")
    return not price and any(row.price.femto.values()), sign * price


def tokenizer(model: Model) -> str:
    """The catalogue's name of the tokenizer, else ``Other``."""
    found = model.tokenizer or model.attributes.get("tokenizer")
    return found if isinstance(found, str) else "Other"


def midnight(day: date) -> int:
    """Unix seconds of 00:00 UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())
