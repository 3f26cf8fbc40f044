"""``config/{providers,models,prices}/*.yaml`` → ``Catalog``: everything is checked before anything is used."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from gateway.catalog.catalog import Catalog, provider_names, trigrams
from gateway.catalog.model import DataPolicy, Endpoint, Model, Price, Provider, endpoint_id
from gateway.catalog.read import CatalogError, Problem, parse, read, suggest, validate
from gateway.catalog.rows import QUANTIZATIONS, EndpointRow, ModelRow, PriceRow, ProviderRow

__all__ = ["Catalog", "CatalogError", "fingerprint", "load"]

FOLDERS = ("providers", "models", "prices")
Row = TypeVar("Row", bound=BaseModel)
Prices = Mapping[tuple[str, str], tuple[Price, ...]]
"""(provider slug, upstream id) → dated prices, ascending."""


def fingerprint(config_dir: Path) -> tuple[tuple[str, int, int], ...]:
    """(name, mtime in ns, size) of every catalogue file: cheap to poll; a change means it is worth loading again."""
    found = []
    for folder in FOLDERS:
        for path in sorted((config_dir / folder).glob("*.yaml")):
            try:
                stat = path.stat()
            except FileNotFoundError:  # being replaced at this moment: the next poll sees the new one
                continue
            found.append((f"{folder}/{path.name}", stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def load(config_dir: Path, env: Mapping[str, str], *, dialects: Collection[str] | None = None) -> Catalog:
    """The catalogue of a directory; keys come from ``env``. ``dialects``, when given, are the only ones allowed.

    Raises CatalogError with up to twenty problems, each naming file, key and fix.
    """
    loader = _Loader(env, dialects)
    for folder in FOLDERS:
        for file, stem, content in read(config_dir, folder):
            loader.digest.update(f"{file}\0{len(content)}\0".encode() + content)
            try:
                getattr(loader, folder)(file, stem, parse(content, file))
            except CatalogError as error:
                loader.problems += error.problems
    return loader.finish()


class _Loader:
    """Collects rows file by file, then links them. Lives for one load."""

    def __init__(self, env: Mapping[str, str], dialects: Collection[str] | None) -> None:
        self.env, self.dialects = env, dialects
        self.digest = hashlib.sha256()
        self.problems: list[Problem] = []
        self.vendors: dict[str, Provider] = {}
        self.broken: set[str] = set()
        """Slugs of provider files with problems: those who refer to them are not blamed too."""
        self.rows: dict[str, tuple[ModelRow, str, str]] = {}
        """slug → (row, file, key path)."""
        self.priced: dict[tuple[str, str], dict[str, tuple[PriceRow, str, str]]] = defaultdict(dict)

    def providers(self, file: str, stem: str, data: object) -> None:
        row = self._validated(ProviderRow, data, file)
        if row is None:
            self.broken.add(stem)
            return
        if row.slug != stem:
            self._wrong(file, "slug", f"is {row.slug!r} but the file is called {stem}.yaml; make them the same")
        if self.dialects is not None and row.dialect not in self.dialects:
            self._wrong(
                file, "dialect", f"{row.dialect!r} is not spoken here" + suggest(row.dialect, list(self.dialects))
            )
        self.vendors[row.slug] = _provider(row, self._key(row, file))

    def _key(self, row: ProviderRow, file: str) -> str | None:
        key = self.env.get(row.api_key_env, "").strip() if row.api_key_env else ""
        if not key.isascii() or not key.isprintable():
            self._wrong(
                file, "api_key_env", f"the value of {row.api_key_env} has characters that no API key has; set it again"
            )
        return key or None

    def models(self, file: str, stem: str, data: object) -> None:
        for path, item in self._items(data, file):
            row = self._validated(ModelRow, item, file, path)
            if row is None:
                continue
            if row.slug.partition("/")[0] != stem:
                self._wrong(file, f"{path}.slug", f"{row.slug!r} does not belong to {stem}.yaml; its author is another")
            if row.slug in self.rows:
                self._wrong(file, f"{path}.slug", f"{row.slug!r} is written twice (also in {self.rows[row.slug][1]})")
            self.rows[row.slug] = (row, file, path)

    def prices(self, file: str, stem: str, data: object) -> None:
        if stem not in self.vendors and stem not in self.broken:
            self._wrong(file, "", f"there is no providers/{stem}.yaml" + suggest(stem, list(self.vendors)))
        for path, item in self._items(data, file):
            row = self._validated(PriceRow, item, file, path)
            if row is None:
                continue
            dated = self.priced[stem, row.upstream_id]
            if row.since.isoformat() in dated:
                message = f"{row.upstream_id} already has a price from {row.since}; prices are appended with a new date"
                self._wrong(file, f"{path}.from", message)
            dated[row.since.isoformat()] = (row, file, path)

    def finish(self) -> Catalog:
        prices = {key: tuple(_price(dated[day][0]) for day in sorted(dated)) for key, dated in self.priced.items()}
        models = {slug: self._model(row, file, path, prices) for slug, (row, file, path) in self.rows.items()}
        aliases = self._aliases()
        if not models and not self.problems:
            self._wrong("models/", "", "the catalogue has no models; write at least one")
        if self.problems:
            raise CatalogError(self.problems)
        endpoints = {endpoint.id: endpoint for model in models.values() for endpoint in model.endpoints}
        return Catalog(
            version=self.digest.hexdigest()[:16],
            models=models,
            providers=self.vendors,
            endpoints=endpoints,
            aliases=aliases,
            provider_names=provider_names(self.vendors.values(), endpoints.values()),
            warnings=self._unsold(endpoints.values()),
            trigrams={slug: trigrams(slug) for slug in (*models, *aliases)},
        )

    def _model(self, row: ModelRow, file: str, path: str, prices: Prices) -> Model:
        endpoints: dict[str, Endpoint] = {}
        for number, sold in enumerate(row.endpoints):
            where = f"{path}.endpoints[{number}]"
            provider = self.vendors.get(sold.provider)
            if provider is None:
                if sold.provider not in self.broken:
                    hint = suggest(sold.provider, list(self.vendors))
                    self._wrong(file, f"{where}.provider", f"there is no providers/{sold.provider}.yaml{hint}")
                continue
            if sold.quantization is not None and sold.quantization not in QUANTIZATIONS:
                hint = suggest(sold.quantization, list(QUANTIZATIONS))
                self._wrong(file, f"{where}.quantization", f"{sold.quantization!r} is not one{hint}")
            if sold.tag is not None and sold.tag.partition("/")[0] != sold.provider:
                self._wrong(file, f"{where}.tag", f"{sold.tag!r} must be {sold.provider} or {sold.provider}/<variant>")
            endpoint = _endpoint(row, sold, provider, prices.get((sold.provider, sold.upstream_id), ()))
            if endpoint.id in endpoints:
                self._wrong(file, where, f"{sold.provider} sells {sold.upstream_id} twice; delete one")
            endpoints[endpoint.id] = endpoint
        return _model(row, tuple(endpoints.values()))

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for slug, (row, file, path) in self.rows.items():
            for number, alias in enumerate(row.aliases):
                taken = slug if alias in self.rows else aliases.get(alias)
                if taken is not None:
                    self._wrong(file, f"{path}.aliases[{number}]", f"{alias!r} already means another model; choose one")
                aliases[alias] = slug
        return aliases

    def _unsold(self, endpoints: Collection[Endpoint]) -> tuple[str, ...]:
        sold = {(endpoint.provider.slug, endpoint.upstream_id) for endpoint in endpoints}
        unsold = sorted(key for key in self.priced if key not in sold)
        warnings = [f"prices/{slug}.yaml: {upstream}: priced but no model sells it" for slug, upstream in unsold]
        return tuple(warnings + [f"{e.id}: has no price and is refused" for e in endpoints if not e.prices])

    def _items(self, data: object, file: str) -> list[tuple[str, object]]:
        if isinstance(data, list) and data:
            return [(f"[{number}]", item) for number, item in enumerate(data)]
        self._wrong(file, "", "must be a list with at least one row, each beginning with '- '")
        return []

    def _validated(self, shape: type[Row], data: object, file: str, path: str = "") -> Row | None:
        row, problems = validate(shape, data, file, path)
        self.problems += problems
        return row if isinstance(row, shape) else None

    def _wrong(self, file: str, path: str, message: str) -> None:
        self.problems.append(Problem(file, path, message))


def _provider(row: ProviderRow, key: str | None) -> Provider:
    facts = row.model_dump(exclude={"data_policy", "datacenters", "headers"})
    return Provider(
        **facts,
        api_key=key,
        data_policy=DataPolicy(**row.data_policy.model_dump()),
        datacenters=tuple(row.datacenters),
        headers=tuple(row.headers.items()),
    )


def _price(row: PriceRow) -> Price:
    femto = {kind: femto for kind, femto in row.usd_per_mtok.model_dump().items() if femto is not None}
    for kind, per_unit in (("request", row.usd_per_request), ("image", row.usd_per_image)):
        if per_unit is not None:
            femto[kind] = per_unit
    return Price(since=row.since, femto=femto, source=row.source)


def _endpoint(model: ModelRow, sold: EndpointRow, provider: Provider, prices: tuple[Price, ...]) -> Endpoint:
    inherited = model.supported_parameters if sold.supported_parameters is None else sold.supported_parameters
    modalities = model.input_modalities if sold.input_modalities is None else sold.input_modalities
    return Endpoint(
        id=endpoint_id(provider.slug, sold.upstream_id, model.slug),
        model=model.slug,
        provider=provider,
        upstream_id=sold.upstream_id,
        context_length=sold.context_length or model.context_length,
        prices=prices,
        max_completion_tokens=sold.max_completion_tokens,
        quantization=sold.quantization,
        supported_parameters=frozenset(inherited),
        input_modalities=frozenset(modalities),
        tag=sold.tag or provider.slug,
    )


def _model(row: ModelRow, endpoints: tuple[Endpoint, ...]) -> Model:
    listed = ("input_modalities", "output_modalities", "supported_parameters", "aliases")
    facts = row.model_dump(exclude={"endpoints", *listed})
    facts |= {name: tuple(getattr(row, name)) for name in listed}
    return Model(**facts, endpoints=endpoints)
