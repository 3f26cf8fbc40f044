"""Validated rows → ``Provider``, ``Model``, ``Endpoint`` and ``Price``: secrets and variables filled in, defaults inherited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.catalog.model import OPERATION_OF, DataPolicy, Endpoint, Model, Price, Provider, endpoint_id
from gateway.catalog.rows import UNIT_FIELDS, EndpointRow, ModelRow, PriceRow, ProviderRow
from providers import registry
from providers.auth.cloud import CHAIN, is_installed
from providers.transport import proxies

_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")


_OFF = frozenset({"", "0", "false", "no", "off"})
"""Values of a variable of ``credential_chain`` that do not switch it on."""


class Secrets(NamedTuple):
    """The values that the environment has for a provider."""

    api_key: str | None
    credentials: dict[str, str]
    values: dict[str, str]
    lacking: tuple[str, ...]
    """Variables without which the provider cannot be used."""
    malformed: list[tuple[str, str]]
    """(field, variable) whose value has characters that no secret has."""
    unknown: list[str]
    """Names in ``base_url`` that ``variables`` does not define."""
    chain: str | None
    """The variable, or ``always``, that asks for the cloud's own credential chain; None when nothing does or a secret is set."""
    proxy: str | None
    proxy_problem: str
    """What is wrong with the proxy; never its value."""


def secrets(row: ProviderRow, env: Mapping[str, str]) -> Secrets:
    """Look up the environment variables that a provider file names."""
    malformed: list[tuple[str, str]] = []

    def value(field: str, variable: str) -> str:
        found = unquoted(env.get(variable, ""))
        if not found.isascii() or not (
            found.isprintable() or found.startswith("{")
        ):  # a service account is a JSON document
            malformed.append((field, variable))
        return found

    key = value("api_key_env", row.api_key_env) if row.api_key_env else ""
    found = {name: value("credentials_env", variable) for name, variable in row.credentials_env.items()}
    needed = [variable for name, variable in row.credentials_env.items() if not name.endswith("?") and not found[name]]
    complete = bool(row.credentials_env) and not needed
    chain = None if key or complete else _chain_switch(row, env)
    cloud = registry.cloud_of(row.dialect)
    chained = chain is not None and cloud is not None and is_installed(cloud)
    lacking: list[str] = []
    if not (key or complete or chained) and (row.api_key_env or row.credentials_env):
        lacking += [row.api_key_env] if row.api_key_env else needed
    values = {name: value("variables", one.env) or one.default or "" for name, one in row.variables.items()}
    lacking += [one.env for name, one in row.variables.items() if not values[name]]
    proxy, problem = _proxy(row, values, env)
    return Secrets(
        api_key=key or None,
        credentials=_credentials(found, cloud if chained else None) if complete or chained else {},
        values=values,
        lacking=tuple(lacking),
        malformed=malformed,
        unknown=[name for name in _NAME.findall(row.base_url) if name not in row.variables],
        chain=chain,
        proxy=proxy,
        proxy_problem=problem,
    )


def unquoted(text: str) -> str:
    """A value of the environment without blanks and newlines around it, and without the quotes that some ``.env`` readers keep."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _chain_switch(row: ProviderRow, env: Mapping[str, str]) -> str | None:
    if row.credential_chain == "always":
        return "always"
    return next((name for name in row.credential_chain if env.get(name, "").strip().lower() not in _OFF), None)


def _credentials(found: Mapping[str, str], cloud: str | None) -> dict[str, str]:
    credentials = {name.rstrip("?"): secret for name, secret in found.items() if secret}
    return credentials if cloud is None else {**credentials, CHAIN: cloud}


def _proxy(row: ProviderRow, values: Mapping[str, str], env: Mapping[str, str]) -> tuple[str | None, str]:
    """The provider's proxy, and what is wrong with it."""
    try:
        if row.proxy is not None:
            return proxies.check(_filled(row.proxy, values)), ""
        return proxies.from_environment(_filled(row.base_url, values), env), ""
    except ValueError as error:
        return None, str(error)


def _filled(text: Any, values: Mapping[str, str]) -> Any:
    if not isinstance(text, str) or not values:
        return text
    return _NAME.sub(lambda match: values.get(match[1], match[0]) or match[0], text)


def provider(row: ProviderRow, found: Secrets) -> Provider:
    """The provider of a validated file, with the secrets found for it."""
    dropped = {
        "data_policy",
        "datacenters",
        "headers",
        "credentials_env",
        "credential_chain",
        "variables",
        "base_url",
        "options",
        "proxy",
    }
    return Provider(
        **row.model_dump(exclude=dropped),
        base_url=_filled(row.base_url, found.values),
        options={name: _filled(value, found.values) for name, value in row.options.items()},
        api_key=found.api_key,
        credentials=found.credentials,
        variables=_variables(row),
        lacking=found.lacking,
        proxy=found.proxy,
        data_policy=DataPolicy(**row.data_policy.model_dump()),
        datacenters=tuple(row.datacenters),
        headers=tuple(row.headers.items()),
    )


def _variables(row: ProviderRow) -> tuple[str, ...]:
    key = [row.api_key_env] if row.api_key_env else []
    switches = [] if row.credential_chain == "always" else row.credential_chain
    return (*key, *row.credentials_env.values(), *switches, *(one.env for one in row.variables.values()))


def price(row: PriceRow) -> Price:
    """One dated price; each tier is a complete price, with the kinds it does not change."""
    femto = _rates(row.usd_per_mtok.model_dump())
    for name, kind in UNIT_FIELDS.items():
        per_unit = getattr(row, name)
        if per_unit is not None:
            femto[kind] = per_unit
    tiers = []
    so_far = dict(femto)
    for tier in sorted(row.overrides, key=lambda tier: tier.min_prompt_tokens):
        so_far = {**so_far, **_rates(tier.usd_per_mtok.model_dump())}
        tiers.append((tier.min_prompt_tokens, Price(row.since, so_far, row.source)))
    return Price(since=row.since, femto=femto, source=row.source, tiers=tuple(tiers))


def _rates(prices: Mapping[str, int | None]) -> dict[str, int]:
    return {kind: femto for kind, femto in prices.items() if femto is not None}


def endpoint(of: ModelRow, row: EndpointRow, seller: Provider, prices: tuple[Price, ...]) -> Endpoint:
    """One endpoint of one model. A field that is not written is the model's, or the provider's."""
    parameters = of.supported_parameters if row.supported_parameters is None else row.supported_parameters
    inputs = of.input_modalities if row.input_modalities is None else row.input_modalities
    outputs = of.output_modalities if row.output_modalities is None else row.output_modalities
    dialect = row.dialect or seller.dialect
    cap = {} if row.max_completion_tokens is None else {"max_completion_tokens": row.max_completion_tokens}
    operations = {OPERATION_OF[modality] for modality in outputs if modality in OPERATION_OF}
    return Endpoint(
        id=endpoint_id(seller.slug, row.upstream_id, of.slug),
        model=of.slug,
        provider=seller,
        upstream_id=row.upstream_id,
        context_length=row.context_length or of.context_length,
        prices=prices,
        max_completion_tokens=row.max_completion_tokens,
        quantization=row.quantization,
        supported_parameters=frozenset(parameters),
        input_modalities=frozenset(inputs),
        tag=row.tag or seller.slug,
        dialect=dialect,
        options={**cap, **seller.options, **row.options},
        operations=frozenset(operations & registry.operations(dialect)),
    )


def model(row: ModelRow, endpoints: tuple[Endpoint, ...]) -> Model:
    """One model with its endpoints."""
    listed = ("input_modalities", "output_modalities", "supported_parameters", "aliases")
    facts = row.model_dump(exclude={"endpoints", "attributes", *listed})
    facts |= {name: tuple(getattr(row, name)) for name in listed}
    return Model(**facts, attributes=row.attributes.model_dump(exclude_unset=True), endpoints=endpoints)
