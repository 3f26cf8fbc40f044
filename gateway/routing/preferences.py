"""Reads the ``provider`` object, ``models`` and suffixes strictly; a refusal names the field and the fix."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from gateway.catalog.catalog import MAX_WORD
from gateway.catalog.model import Endpoint, Model
from gateway.catalog.rows import QUANTIZATIONS
from gateway.routing import validators

SORTS = ("price", "throughput", "latency", "exacto")
PRICE_CAPS = {"prompt": 10**6, "completion": 10**6, "request": 1, "image": 1, "audio": 1}
"""Key of ``max_price`` → the number of units that its price is for."""
PERCENTILES = ("p50", "p75", "p90", "p99")
MAX_MODELS = 32
MAX_LIST = 256


class Threshold(NamedTuple):
    """One bound on one percentile: tokens a second, or seconds."""

    percentile: str
    value: float


class Preferences(msgspec.Struct, frozen=True):
    """A caller's validated preferences. Lists of providers hold slugs and tags as the catalogue writes them."""

    models: tuple[str, ...] = ()
    """As the caller wrote them, with suffixes, each once, in order of preference."""
    sorts: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Slug of a model → the sort that the suffix of its name stands for. Filled in when the names are looked up."""
    order: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    data_collection: str = "allow"
    zdr: bool = False
    enforce_distillable_text: bool = False
    quantizations: frozenset[str] = frozenset()
    sort: str | None = None
    partition: str = "model"
    max_price_femto: Mapping[str, int] = msgspec.field(default_factory=dict)
    """prompt, completion (per token), request, image, audio (per unit)."""
    preferred_min_throughput: tuple[Threshold, ...] = ()
    preferred_max_latency: tuple[Threshold, ...] = ()
    plain: bool = False
    """The caller states no provider preferences: the usual case."""
    options: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    """Provider slug → fields that are passed through to it."""

    def sort_for(self, model: Model) -> str | None:
        """The explicit sort, else what the suffix of this model's name means."""
        return self.sort or self.sorts.get(model.slug)


def matches(names: tuple[str, ...] | frozenset[str], endpoint: Endpoint) -> bool:
    """A provider's slug means all its endpoints, a full tag only that one."""
    return endpoint.provider.slug in names or endpoint.tag in names


def parse(body: Mapping[str, Any], providers: Mapping[str, str]) -> Preferences:
    """``model``, ``models``, ``route`` and ``provider`` of a request body.

    ``providers`` = ``Catalog.provider_names``: lower-case slug, tag or display name → slug or tag. Raises BadRequest with
    the field's name, such as ``provider.order[1]``. Unknown keys inside ``provider`` are ignored, as everywhere in the request.
    """
    route, given, model = body.get("route"), body.get("provider"), body.get("model")
    if given is None and route is None and type(model) is str and len(model) <= MAX_WORD and body.get("models") is None:
        return _plain(model)
    models = _models(body)
    if route is not None and route != "fallback":
        validators.refuse("route", 'must be "fallback" or absent; list fallbacks in models')
    if given is None:
        return Preferences(models=models, plain=True)
    if not isinstance(given, dict):
        validators.refuse("provider", f"must be an object, not {validators.kind(given)}")
    found: dict[str, Any] = {}
    for key, value in given.items():
        reader = _READERS.get(key)
        if reader is not None and value is not None:
            found |= reader(f"provider.{key}", value, providers)
    prefs = Preferences(models=models, **found)
    _contradictions(prefs, given)
    return prefs


@lru_cache(maxsize=4096)
def _plain(model: str) -> Preferences:
    """The usual case: one model and no preferences."""
    return Preferences(models=_models({"model": model}), plain=True)


def _models(body: Mapping[str, Any]) -> tuple[str, ...]:
    model, more = body.get("model"), body.get("models")
    if model is not None and (not isinstance(model, str) or not model):
        validators.refuse("model", f"must be a model's name such as author/model, not {validators.kind(model)}")
    named = [] if model is None else [model]
    if more is not None:
        named += _strings("models", more, limit=MAX_MODELS)
    if not named:
        validators.refuse("model", "is missing; name a model, or several in models")
    return tuple(dict.fromkeys(named))


def _strings(name: str, value: Any, limit: int = MAX_LIST) -> list[str]:
    if not isinstance(value, list):
        validators.refuse(name, f"must be a list of strings, not {validators.kind(value)}")
    if len(value) > limit:
        validators.refuse(name, f"has {len(value)} entries; at most {limit} are allowed")
    for number, item in enumerate(value):
        if not isinstance(item, str) or not item:
            validators.refuse(f"{name}[{number}]", f"must be a non-empty string, not {validators.kind(item)}")
    return value


def _providers(name: str, value: Any, providers: Mapping[str, str]) -> list[str]:
    """The providers that are known here. A saved request of OpenRouter names some that are not: they change nothing."""
    known = (providers.get(item.strip().lower()) for item in _strings(name, value))
    return [slug for slug in known if slug is not None]


def _order(name: str, value: Any, providers: Mapping[str, str]) -> dict[str, Any]:
    return {"order": tuple(dict.fromkeys(_providers(name, value, providers)))}


def _only(name: str, value: Any, providers: Mapping[str, str]) -> dict[str, Any]:
    """An empty list is no wish. A list of which nothing is known here would allow nothing: that is refused."""
    found = _providers(name, value, providers)
    if value and not found:
        item = value[0]
        near = difflib.get_close_matches(item[:MAX_WORD].lower(), providers, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(sorted({providers[each] for each in near}))}?" if near else ""
        validators.refuse(
            f"{name}[0]",
            f"{validators.cut(item)} is not a provider here, and nothing else is allowed;"
            f" {hint or 'GET /api/v1/providers lists them'}",
        )
    return {"only": frozenset(found)}


def _ignore(name: str, value: Any, providers: Mapping[str, str]) -> dict[str, Any]:
    return {"ignore": frozenset(_providers(name, value, providers))}


def _flag(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(value, bool):
        validators.refuse(name, f"must be true or false, not {validators.kind(value)}")
    return {name.rpartition(".")[2]: value}


def _quantizations(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    found = [
        validators.one_of(f"{name}[{number}]", item, QUANTIZATIONS) for number, item in enumerate(_strings(name, value))
    ]
    return {"quantizations": frozenset(found)}


def _sort(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {"sort": validators.one_of(name, value, SORTS)}
    if not isinstance(value, dict):
        validators.refuse(
            name, f"must be one of {', '.join(SORTS)}, or an object with by and partition, not {validators.kind(value)}"
        )
    found = {}
    if value.get("by") is not None:
        found["sort"] = validators.one_of(f"{name}.by", value["by"], SORTS)
    if value.get("partition") is not None:
        found["partition"] = validators.one_of(f"{name}.partition", value["partition"], ("model", "none"))
    return found


def _max_price(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        validators.refuse(
            name, f'must be an object such as {{"prompt": 1, "completion": 2}}, not {validators.kind(value)}'
        )
    caps = {}
    for key, units in PRICE_CAPS.items():
        given = value.get(key)
        if given is None:
            continue
        if isinstance(given, str) and len(given) <= 40:
            try:
                number = float(given)
            except ValueError:
                number = math.nan
        else:
            number = validators.number(f"{name}.{key}", given)
        if not math.isfinite(number) or not 0 <= number <= 10**9:
            validators.refuse(f"{name}.{key}", "must be a price in dollars, 0 or more")
        # Prices are whole femto-dollars, so rounding a cap down excludes no price that it allows.
        caps[key] = int(Decimal(str(given)) * 10**15 / units)
    return {"max_price_femto": caps}


def _thresholds(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {"p50": value}
    found = []
    for percentile in PERCENTILES:
        if given.get(percentile) is not None:
            where = f"{name}.{percentile}" if isinstance(value, dict) else name
            number = validators.number(where, given[percentile])
            if not math.isfinite(number) or number < 0:
                validators.refuse(where, "must be 0 or more")
            found.append(Threshold(percentile, float(number)))
    return {name.rpartition(".")[2]: tuple(found)}


def _options(name: str, value: Any, _: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        validators.refuse(name, f"must be an object of provider slug to object, not {validators.kind(value)}")
    for slug, fields in value.items():
        if not isinstance(fields, dict):
            validators.refuse(f"{name}.{validators.cut(slug)}", f"must be an object, not {validators.kind(fields)}")
    return {"options": value}


_READERS: Mapping[str, Callable[[str, Any, Mapping[str, str]], dict[str, Any]]] = {
    "order": _order,
    "only": _only,
    "ignore": _ignore,
    "allow_fallbacks": _flag,
    "require_parameters": _flag,
    "data_collection": lambda name, value, _: {"data_collection": validators.one_of(name, value, ("allow", "deny"))},
    "zdr": _flag,
    "enforce_distillable_text": _flag,
    "quantizations": _quantizations,
    "sort": _sort,
    "max_price": _max_price,
    "preferred_min_throughput": _thresholds,
    "preferred_max_latency": _thresholds,
    "options": _options,
}


def _contradictions(prefs: Preferences, given: Mapping[str, Any]) -> None:
    """Refuse preferences that no catalogue could meet: they are the caller's mistake, not an outage."""
    if given.get("order") and not prefs.order and not prefs.allow_fallbacks:
        validators.refuse("provider.order", "lists no provider that is known here, and allow_fallbacks is false")
    both = sorted(prefs.only & prefs.ignore)
    if both:
        validators.refuse("provider.ignore", f"{both[0]} is also in provider.only; take it out of one of them")
    if prefs.only and all(_covered(name, prefs.ignore) for name in prefs.only):
        validators.refuse("provider.ignore", "excludes everything that provider.only allows; shorten one of them")
    ignored = [name for name in prefs.order if _covered(name, prefs.ignore)]
    if ignored:
        validators.refuse("provider.ignore", f"{ignored[0]} is also in provider.order; take it out of one of them")
    if (
        prefs.order
        and prefs.only
        and not prefs.allow_fallbacks
        and not any(_meet(prefs.only, name) for name in prefs.order)
    ):
        validators.refuse("provider.order", "lists nothing that provider.only allows, and allow_fallbacks is false")


def _covered(name: str, names: frozenset[str]) -> bool:
    return name in names or name.partition("/")[0] in names


def _meet(names: frozenset[str], name: str) -> bool:
    return _covered(name, names) or any(each.startswith(f"{name}/") for each in names)
