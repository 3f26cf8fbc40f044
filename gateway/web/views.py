"""What the pages show: rows made of the catalogue and of the endpoints' health. Pure: the time and the health are arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import quote

from gateway.catalog.attributes import Attributes
from gateway.catalog.catalog import Catalog
from gateway.catalog.model import OPERATION_OF, Endpoint, Model, Price, Provider
from gateway.catalog.selection import Row, callable_now, listed_price
from gateway.health.view import EndpointHealth
from gateway.web.charts import Dot, Scatter
from gateway.web.numbers import dollars, dollars_per_mtok

HealthOf = Callable[[str], EndpointHealth]
"""Endpoint id → its present health."""
HOME_MODELS, HOME_GROUPS = 12, 6


class State(NamedTuple):
    """How something is, as a word and as the class of its colour."""

    word: str
    tone: str


UP, DEGRADED, FAILING = State("Up", "ok"), State("Degraded", "warn"), State("Failing", "bad")
PAUSED, UNTRIED, NO_KEY = State("Paused", "bad"), State("Not tried yet", "idle"), State("No credential", "off")
_BEST_FIRST = (UP, DEGRADED, UNTRIED, FAILING, PAUSED, NO_KEY)

PER_TOKEN = {
    "prompt": "Input",
    "completion": "Output",
    "input_cache_read": "Cached input, read",
    "input_cache_write": "Cached input, written",
    "input_cache_write_1h": "Cached input, written for an hour",
    "internal_reasoning": "Reasoning",
    "audio": "Audio input",
    "audio_output": "Audio output",
    "input_audio_cache": "Cached audio input",
    "image_token": "Image input",
    "image_output_token": "Image output",
}
PER_UNIT = {
    "request": ("Request", "each"),
    "image": ("Image in the prompt", "each"),
    "image_output": ("Image made", "each"),
    "search_unit": ("Search unit", "each"),
    "web_search": ("Web search", "each"),
    "character": ("Text to speak", "per million characters"),
    "audio_ms": ("Sound", "per hour"),
}
"""Kind of price → its name, and the unit it is shown for."""
_SHOWN_UNITS = {"each": 1, "per million characters": 1_000_000, "per hour": 3_600_000}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of the table of models. Prices in femto-dollars per token, None where the model has no such price."""

    slug: str
    name: str
    author: str
    created: str
    context: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    prompt_femto: int | None
    completion_femto: int | None
    other_price: str | None
    """For a model that is not sold by the token: its first price, as text."""
    providers: int
    """Providers that can be called, or all of them when none can."""
    state: State
    ttft_ms: float | None
    """Median of the fastest endpoint that was measured."""
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One line of a model's table of providers."""

    provider: Provider
    tag: str
    state: State
    context: int
    most_output: int | None
    prompt_femto: int | None
    completion_femto: int | None
    cached_femto: int | None
    other_price: str | None
    quantization: str | None
    uptime: float | None
    """Percent of a day's attempts that counted and succeeded."""
    ttft_ms: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One line of the table of providers."""

    provider: Provider
    state: State
    models: int
    endpoints: int


def slug_path(slug: str) -> str:
    """A slug as a part of an address."""
    return quote(slug, safe="/:~@.")


def path_of(slug: str) -> str:
    """The page of a model."""
    return f"/models/{slug_path(slug)}"


def state_of(endpoint: Endpoint, health: EndpointHealth) -> State:
    """How an endpoint is: what routing would make of it, in words."""
    if not endpoint.provider.usable:
        return NO_KEY
    if health.state == "open" or not health.available:
        return PAUSED
    if health.band == 2:
        return FAILING
    if health.band == 1 or health.recent_outage:
        return DEGRADED
    measured = health.attempts or health.uptime_1d is not None or health.ttft_ms is not None
    return UP if measured else UNTRIED


def best(states: Iterable[State]) -> State:
    """The best of several states: a request goes to the endpoint that has it."""
    return min(states, key=_BEST_FIRST.index, default=NO_KEY)


def model_row(row: Row, health_of: HealthOf, now: float) -> ModelRow:
    """The line of a model; price as in ``GET /models``, speed of the fastest endpoint that can be called."""
    sold = [endpoint for endpoint in row.model.endpoints if endpoint.price_at(now) is not None]
    usable = [endpoint for endpoint in sold if endpoint.provider.usable]
    health = [health_of(endpoint.id) for endpoint in usable]
    return ModelRow(
        slug=row.model.slug,
        name=row.model.name,
        author=row.model.slug.partition("/")[0],
        created=row.model.created.isoformat(),
        context=row.model.context_length,
        inputs=row.model.input_modalities,
        outputs=row.model.output_modalities,
        prompt_femto=row.price.femto.get("prompt"),
        completion_femto=row.price.femto.get("completion"),
        other_price=unit_price(row.price),
        providers=len({endpoint.provider.slug for endpoint in usable or sold}),
        state=best(state_of(endpoint, health_of(endpoint.id)) for endpoint in sold),
        ttft_ms=min((each.ttft_ms.p50 for each in health if each.ttft_ms), default=None),
        tokens_per_s=max((each.throughput_tps.p50 for each in health if each.throughput_tps), default=None),
    )


def endpoint_rows(model: Model, health_of: HealthOf, now: float) -> list[EndpointRow]:
    """Who sells a model today: those that can be called first, the cheapest of them on top."""
    priced = [(endpoint, price) for endpoint in model.endpoints if (price := endpoint.price_at(now)) is not None]
    priced.sort(key=lambda pair: (not pair[0].provider.usable, pair[1].of("prompt") + pair[1].of("completion")))
    return [_endpoint_row(endpoint, price, health_of(endpoint.id)) for endpoint, price in priced]


def _endpoint_row(endpoint: Endpoint, price: Price, health: EndpointHealth) -> EndpointRow:
    return EndpointRow(
        provider=endpoint.provider,
        tag=endpoint.tag or endpoint.provider.slug,
        state=state_of(endpoint, health),
        context=endpoint.context_length,
        most_output=endpoint.max_completion_tokens,
        prompt_femto=price.femto.get("prompt"),
        completion_femto=price.femto.get("completion"),
        cached_femto=price.femto.get("input_cache_read"),
        other_price=unit_price(price),
        quantization=endpoint.quantization,
        uptime=health.uptime_1d,
        ttft_ms=health.ttft_ms.p50 if health.ttft_ms else None,
        tokens_per_s=health.throughput_tps.p50 if health.throughput_tps else None,
    )


def unit_price(price: Price) -> str | None:
    """The first price that is not for tokens, as text; None where tokens are what is sold."""
    if price.of("prompt") or price.of("completion"):
        return None
    units = (amount for kind, _, amount in price_list(price) if kind in PER_UNIT and price.of(kind))
    return next(units, None)


def price_list(price: Price) -> list[tuple[str, str, str]]:
    """(kind, name, amount with its unit) of everything that a price names, tokens first."""
    found = [
        (kind, name, f"{dollars_per_mtok(price.femto[kind])} per million tokens")
        for kind, name in PER_TOKEN.items()
        if kind in price.femto
    ]
    for kind, (name, unit) in PER_UNIT.items():
        if kind in price.femto:
            amount = dollars(Decimal(price.femto[kind] * _SHOWN_UNITS[unit]) / 10**15)
            found.append((kind, name, f"{amount} {unit}"))
    return found


def provider_rows(catalog: Catalog, health_of: HealthOf, now: float) -> list[ProviderRow]:
    """Every provider that sells something today: those that can be called first, then by name."""
    sold: dict[str, list[Endpoint]] = {}
    for model in catalog.models.values():
        for endpoint in model.endpoints:
            if endpoint.price_at(now) is not None:
                sold.setdefault(endpoint.provider.slug, []).append(endpoint)
    rows = [
        ProviderRow(
            provider=catalog.providers[slug],
            state=best(state_of(endpoint, health_of(endpoint.id)) for endpoint in endpoints),
            models=len({endpoint.model for endpoint in endpoints}),
            endpoints=len(endpoints),
        )
        for slug, endpoints in sold.items()
    ]
    return sorted(rows, key=lambda row: (not row.provider.usable, row.provider.name.casefold()))


def listed(catalog: Catalog, now: float, *, all_models: bool) -> list[Model]:
    """The models that can be called now, or every model that has a price today."""
    models = catalog.models.values()
    if all_models:
        return [model for model in models if listed_price(model, now) is not None]
    return [model for model in models if callable_now(model, now)]


def price_by_context(rows: Iterable[Row]) -> Scatter:
    """Input price over context length of the models that are sold by the token; the authors with most models have colours."""
    priced = [row for row in rows if row.price.of("prompt")]
    authors = Counter(row.model.slug.partition("/")[0] for row in priced)
    return Scatter(
        dots=tuple(
            Dot(
                row.model.name,
                row.model.context_length,
                row.price.of("prompt") / 10**9,
                row.model.slug.partition("/")[0],
            )
            for row in priced
        ),
        groups=tuple(author for author, _ in authors.most_common(HOME_GROUPS)),
        x_name="Context length, tokens",
        y_name="Input, $ per million tokens",
        x_unit="tokens",
        y_unit="usd",
    )


FACTS = {
    "author_name": "Author",
    "family": "Family",
    "tier": "Tier",
    "licence": "Licence",
    "params_total_b": "Parameters, billion",
    "params_active_b": "Active parameters, billion",
    "base_model": "Made from",
    "tokenizer": "Tokenizer",
}
"""Attribute of a model → its name on the model's page."""


def facts(known: Attributes) -> list[tuple[str, str]]:
    """(name, value) of what the catalogue knows beside prices; what it does not know is left out."""
    values = ((name, getattr(known, key)) for key, name in FACTS.items())
    found = [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in values if value]
    if known.open_weights is not None:
        found.insert(0, ("Weights", "open" if known.open_weights else "closed"))
    return found


def operation_of(model: Model) -> str:
    """What a request for a model is: ``chat``, ``embeddings`` ..."""
    return OPERATION_OF.get(model.output_modalities[0] if model.output_modalities else "text", "chat")


CALLS: Mapping[str, tuple[str, str]] = {
    "chat": ("/chat/completions", '"messages": [{"role": "user", "content": "Hello!"}]'),
    "embeddings": ("/embeddings", '"input": "The gateway is open."'),
    "rerank": ("/rerank", '"query": "gateway", "documents": ["a door in a wall", "a kind of soup"]'),
    "images": ("/images/generations", '"prompt": "A gate in a garden wall"'),
    "speech": ("/audio/speech", '"input": "The gateway is open."'),
    "transcription": ("/audio/transcriptions", '"input_audio": {"url": "https://example.com/speech.mp3"}'),
}
"""Operation → path below the base URL, and the fields of the smallest request beside ``model``."""
