"""``config/{providers,models,prices}/*.yaml`` → ``Catalog``: everything is checked before anything is used."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from gateway.catalog.catalog import Catalog, provider_names, trigrams
from gateway.catalog.model import Endpoint, Model, Price, Provider
from gateway.catalog.read import CatalogError, Problem, parse, read, suggest, validate
from gateway.catalog.resolve import Secrets, endpoint, model, price, provider, secrets
from gateway.catalog.rows import QUANTIZATIONS, ModelRow, PriceRow, ProviderRow
from providers.auth.cloud import install_hint, is_installed
from providers.registry import cloud_of

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

    The last one is remembered: a server looks at its catalogue before it opens its socket, and again when it builds its services.
    Raises CatalogError with up to twenty problems, each naming file, key and fix.
    """
    allowed = None if dialects is None else frozenset(dialects)
    return _loaded(config_dir, fingerprint(config_dir), frozenset(env.items()), allowed)


@lru_cache(maxsize=1)
def _loaded(
    config_dir: Path, _seen: object, environment: frozenset[tuple[str, str]], dialects: Collection[str] | None
) -> Catalog:
    loader = _Loader(dict(environment), dialects)
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
        self.warnings: list[str] = []
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
        found = secrets(row, self.env)
        for field, variable in found.garbled:
            message = f"the value of {variable} has characters that no API key has; set it again"
            self._wrong(file, field, message)
        self._check_chain(row, found, file)
        for name in found.unknown:
            self._wrong(file, "base_url", f"{{{name}}} is not one of variables")
        if found.proxy_problem:
            self._wrong(file, "proxy", found.proxy_problem)
        self.vendors[row.slug] = provider(row, found)

    def _check_chain(self, row: ProviderRow, found: Secrets, file: str) -> None:
        """A chain that cannot be used: an error when the file asks for it always, else a warning when the environment does."""
        cloud = cloud_of(row.dialect)
        if row.credential_chain and cloud is None:
            self._wrong(file, "credential_chain", f"the dialect {row.dialect} has none; remove it")
        elif found.chain is not None and cloud is not None and not is_installed(cloud):
            if found.chain == "always":
                self._wrong(file, "credential_chain", install_hint(cloud))
            else:
                self.warnings.append(f"{file}: {found.chain} is set; to use it, {install_hint(cloud)}")

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
        prices = {key: tuple(price(dated[day][0]) for day in sorted(dated)) for key, dated in self.priced.items()}
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
            warnings=(*self.warnings, *self._unsold(endpoints.values())),
            trigrams={slug: trigrams(slug) for slug in (*models, *aliases)},
        )

    def _model(self, row: ModelRow, file: str, path: str, prices: Prices) -> Model:
        endpoints: dict[str, Endpoint] = {}
        for number, sold in enumerate(row.endpoints):
            where = f"{path}.endpoints[{number}]"
            seller = self.vendors.get(sold.provider)
            if seller is None:
                if sold.provider not in self.broken:
                    hint = suggest(sold.provider, list(self.vendors))
                    self._wrong(file, f"{where}.provider", f"there is no providers/{sold.provider}.yaml{hint}")
                continue
            if sold.quantization is not None and sold.quantization not in QUANTIZATIONS:
                hint = suggest(sold.quantization, list(QUANTIZATIONS))
                self._wrong(file, f"{where}.quantization", f"{sold.quantization!r} is not one{hint}")
            if sold.tag is not None and sold.tag.partition("/")[0] != sold.provider:
                self._wrong(file, f"{where}.tag", f"{sold.tag!r} must be {sold.provider} or {sold.provider}/<variant>")
            if self.dialects is not None and sold.dialect is not None and sold.dialect not in self.dialects:
                hint = suggest(sold.dialect, list(self.dialects))
                self._wrong(file, f"{where}.dialect", f"{sold.dialect!r} is not spoken here{hint}")
            one = endpoint(row, sold, seller, prices.get((sold.provider, sold.upstream_id), ()))
            if one.id in endpoints:
                self._wrong(file, where, f"{sold.provider} sells {sold.upstream_id} twice; delete one")
            endpoints[one.id] = one
        return model(row, tuple(endpoints.values()))

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
