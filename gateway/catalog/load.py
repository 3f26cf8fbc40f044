"""The YAML files of one or several folders → ``Catalog``: everything is checked before anything is used."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from gateway.catalog import names
from gateway.catalog.attribute_files import AttributeFiles
from gateway.catalog.attributes import AttributeTable
from gateway.catalog.catalog import Catalog, provider_names, trigrams
from gateway.catalog.folders import KINDS, check_folders, fingerprint
from gateway.catalog.merge import MergedRows, Override, SourceRow
from gateway.catalog.model import Endpoint, Model, Price, Provider
from gateway.catalog.read import MISSING, CatalogError, Place, Problem, nearest, parse, read, suggest, validate
from gateway.catalog.resolve import Secrets, endpoint, model, price, provider, secrets
from gateway.catalog.rows import QUANTIZATIONS, EndpointRow, ModelRow, PriceRow, ProviderRow
from providers.auth.cloud import install_hint, is_installed
from providers.registry import cloud_of

__all__ = ["Catalog", "CatalogError", "load"]

Row = TypeVar("Row", bound=BaseModel)
Folders = Path | Sequence[Path]
"""One folder, or several, each laid over those before it."""
Prices = Mapping[tuple[str, str], tuple[Price, ...]]
"""(provider slug, upstream id) → dated prices, ascending."""


class DatedPrice(NamedTuple):
    """A price row, and where it is written."""

    row: PriceRow
    place: Place


def load(
    folders: Folders, env: Mapping[str, str], *, dialects: Collection[str] | None = None, today: date | None = None
) -> Catalog:
    """The catalogue of a folder, or of several, later over earlier. ``env`` holds the providers' keys.

    The first folder must have ``providers``, ``models`` and ``prices``; a later one has what it changes. ``dialects``, when
    given, are the only ones allowed; ``today`` (default: the UTC day) decides which prices are warned of as not begun.
    The last result is remembered: a server checks its catalogue before it opens its socket,
    and needs it again when it builds its services. Raises CatalogError with up to twenty problems, each naming file, key and fix.
    """
    several = _several(folders)
    allowed = None if dialects is None else frozenset(dialects)
    day = datetime.now(UTC).date() if today is None else today
    return _loaded(several, fingerprint(several), frozenset(env.items()), allowed, day)


def _several(folders: Folders) -> tuple[Path, ...]:
    return (folders,) if isinstance(folders, Path) else tuple(folders)


@lru_cache(maxsize=1)
def _loaded(
    folders: tuple[Path, ...],
    _fingerprint: object,
    environment: frozenset[tuple[str, str]],
    dialects: Collection[str] | None,
    today: date,
) -> Catalog:
    check_folders(folders)
    loader = _Loader(dict(environment), dialects, today)
    for kind in KINDS:
        for level, folder in enumerate(folders):
            label = kind if len(folders) == 1 else str(folder / kind)
            for file, stem, content in read(folder / kind, label):
                loader.add(kind, level, file, stem, content)
    return loader.finish()


class _Loader:
    """Collects rows file by file, validates them, and joins them to a catalogue. Lives for one load."""

    def __init__(self, env: Mapping[str, str], dialects: Collection[str] | None, today: date) -> None:
        self.env, self.dialects, self.today = env, dialects, today
        self.digest = hashlib.sha256()
        self.problems: list[Problem] = []
        self.chain_warnings: list[str] = []
        self.merged = MergedRows()
        self.attributes = AttributeFiles()
        self.providers: dict[str, Provider] = {}
        self.unparsed: set[tuple[str, str]] = set()
        """(kind, stem) of files that are no YAML: later rows that change theirs are not reported too."""
        self.unreadable: set[str] = set()
        """Slugs of provider files with problems: rows that refer to them are not reported too."""
        self.models: dict[str, tuple[ModelRow, SourceRow]] = {}
        self.prices: dict[tuple[str, str], dict[int, dict[str, DatedPrice]]] = defaultdict(lambda: defaultdict(dict))
        """(provider slug, upstream id) → number of the folder → first day → price."""
        self.price_files: list[tuple[str, str]] = []
        """(file, provider slug)."""
        self.disabled: set[tuple[str, str]] = set()
        """(provider slug, upstream id) that are known, but not for sale."""

    def add(self, kind: str, level: int, file: str, stem: str, content: bytes) -> None:
        """One file of a folder, whose number is ``level``."""
        name = f"{kind}/{stem}.yaml" if level == 0 else f"{level}/{kind}/{stem}.yaml"
        self.digest.update(f"{name}\0{len(content)}\0".encode() + content)
        try:
            data = parse(content, file)
        except CatalogError as error:
            self.problems += error.problems
            self.unparsed.add((kind, stem))
            return
        if kind == "providers":
            self.merged.add_provider(level, file, stem, data)
            return
        if kind == "prices":
            self.price_files.append((file, stem))
        for number, item in enumerate(self._items(data, file)):
            place = Place(file).at(number)
            if kind == "models":
                self.merged.add_model(level, place, stem, item)
            elif kind == "attributes":
                self.attributes.add(level, place, stem, item)
            else:
                self._add_price(level, place, stem, item)

    def finish(self) -> Catalog:
        """Raises CatalogError with all problems of all files."""
        self.unreadable |= {slug for kind, slug in self.unparsed if kind == "providers"}
        for slug, source in self.merged.providers.items():
            if slug not in self.unreadable:
                self._provider(slug, source)
        for source in self.merged.models.values():
            if source.level and ("models", Path(source.origin.file).stem) in self.unparsed:
                continue
            name = source.values.get("slug", "") if isinstance(source.values, dict) else ""
            row = self._validated(ModelRow, source, name, [str(slug) for slug in self.merged.models])
            if row is not None:
                self.models[row.slug] = (row, source)
        self._check_price_files()
        prices = {key: self._timeline(key, folders) for key, folders in self.prices.items()}
        models = {slug: self._model(row, source, prices) for slug, (row, source) in self.models.items()}
        aliases = self._aliases()
        endpoints = {endpoint.id: endpoint for model in models.values() for endpoint in model.endpoints}
        self._check_overriding_prices(endpoints.values())
        self.problems += self.merged.problems
        attributes = self._attributes(models, aliases)
        if not models and not self.problems:
            self._report(Place("models/"), "the catalogue has no models; write at least one")
        if self.problems:
            raise CatalogError(self.problems)
        return Catalog(
            version=self.digest.hexdigest()[:16],
            models=models,
            providers=self.providers,
            endpoints=endpoints,
            aliases=aliases,
            latest=names.latest(models.values()),
            own_ids=names.own_ids(models.values()),
            provider_names=provider_names(self.providers.values(), endpoints.values()),
            warnings=self._warnings(endpoints.values()),
            trigrams={slug: trigrams(slug) for slug in (*models, *aliases)},
            overrides=(*self.merged.overrides, *self.attributes.overrides),
            attributes=attributes,
        )

    def _attributes(self, models: Mapping[str, Model], aliases: Mapping[str, str]) -> AttributeTable:
        """The facts for analytics. Where models are broken, that no row has their slugs is not reported too."""
        table = self.attributes.table(models, aliases, are_whole=not self.problems)
        self.problems += self.attributes.problems
        return table

    def _provider(self, slug: str, source: SourceRow) -> None:
        row = self._validated(ProviderRow, source, slug, self.merged.providers)
        if row is None:
            self.unreadable.add(slug)
            return
        if row.slug != slug:
            self._report(
                source.place("slug"), f"is {row.slug!r} but the file is called {slug}.yaml; make them the same"
            )
        self._check_dialect(row.dialect, source.place("dialect"))
        found = secrets(row, self.env)
        for field, variable in found.malformed:
            message = f"the value of {variable} has characters that no API key has; set it again"
            self._report(source.place(field), message)
        for name in found.unknown:
            self._report(source.place("base_url"), f"{{{name}}} is not defined in variables")
        if found.proxy_problem:
            self._report(source.place("proxy"), found.proxy_problem)
        self._check_chain(row, found, source)
        self.providers[slug] = provider(row, found)

    def _check_chain(self, row: ProviderRow, found: Secrets, source: SourceRow) -> None:
        """A chain that cannot be used: an error when the file asks for it always, else a warning when the environment does."""
        cloud, place = cloud_of(row.dialect), source.place("credential_chain")
        if row.credential_chain and cloud is None:
            self._report(place, f"the dialect {row.dialect} has none; remove it")
        elif found.chain is not None and cloud is not None and not is_installed(cloud):
            if found.chain == "always":
                self._report(place, install_hint(cloud))
            else:
                self.chain_warnings.append(f"{place.file}: {found.chain} is set; to use it, {install_hint(cloud)}")

    def _add_price(self, level: int, place: Place, slug: str, item: object) -> None:
        row, problems = validate(PriceRow, item, place.file, place.at)
        self.problems += problems
        if row is None:
            return
        dated = self.prices[slug, row.upstream_id][level]
        day = row.since.isoformat()
        if day in dated:
            already = f"already has a price from {day} (at {dated[day].place.path})"
            message = f"{row.upstream_id} {already}; prices are appended with a new date"
            self._report(place.at("from"), message)
        dated[day] = DatedPrice(row, place)

    def _check_price_files(self) -> None:
        for file, slug in self.price_files:
            if slug not in self.providers and slug not in self.unreadable:
                self._report(Place(file), f"there is no providers/{slug}.yaml" + suggest(slug, list(self.providers)))

    def _timeline(self, key: tuple[str, str], folders: Mapping[int, Mapping[str, DatedPrice]]) -> tuple[Price, ...]:
        """A later folder's prices replace the earlier ones from its first day on, also those that an earlier folder adds later:
        a price agreement does not end because the list price changes. What a row replaces is the price in force on its day, or
        where none was, the first that would have begun later."""
        dated: dict[str, DatedPrice] = {}
        for level, rows in sorted(folders.items()):
            if level:
                for day, (_, place) in sorted(rows.items()):
                    before = [each for each in dated if each <= day]
                    after = [each for each in dated if each > day]
                    replaces = dated[max(before)].place.file if before else None
                    if after and not before:
                        replaces = f"{dated[min(after)].place.file} (from {min(after)})"
                    self.merged.note(Override("price", "/".join(key), day, place.file, replaces))
            first = min(rows)
            dated = {day: one for day, one in dated.items() if day < first} | dict(rows)
        return tuple(price(dated[day].row) for day in sorted(dated))

    def _model(self, row: ModelRow, source: SourceRow, prices: Prices) -> Model:
        endpoints: list[Endpoint] = []
        seen: set[str] = set()
        for number, sold in enumerate(row.endpoints):
            seller = self.providers.get(sold.provider)
            if seller is None:
                if sold.provider not in self.unreadable:
                    hint = suggest(sold.provider, list(self.providers))
                    place = source.place("endpoints", number, "provider")
                    self._report(place, f"there is no providers/{sold.provider}.yaml{hint}")
                continue
            self._check_endpoint(sold, source, number)
            one = endpoint(row, sold, seller, prices.get((sold.provider, sold.upstream_id), ()))
            if one.id in seen:
                message = f"{sold.provider} sells {sold.upstream_id} twice; delete one"
                self._report(source.place("endpoints", number), message)
            seen.add(one.id)
            if sold.disabled or seller.disabled:
                self.disabled.add((sold.provider, sold.upstream_id))
            else:
                endpoints.append(one)
        return model(row, tuple(endpoints))

    def _check_endpoint(self, sold: EndpointRow, source: SourceRow, number: int) -> None:
        if sold.quantization is not None and sold.quantization not in QUANTIZATIONS:
            hint = suggest(sold.quantization, list(QUANTIZATIONS))
            place = source.place("endpoints", number, "quantization")
            self._report(place, f"{sold.quantization!r} is not a quantization{hint}")
        if sold.tag is not None and sold.tag.partition("/")[0] != sold.provider:
            place = source.place("endpoints", number, "tag")
            self._report(place, f"{sold.tag!r} must be {sold.provider} or {sold.provider}/<variant>")
        if sold.dialect is not None:
            self._check_dialect(sold.dialect, source.place("endpoints", number, "dialect"))

    def _check_dialect(self, dialect: str, place: Place) -> None:
        if self.dialects is not None and dialect not in self.dialects:
            self._report(place, f"there is no dialect {dialect!r}" + suggest(dialect, list(self.dialects)))

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for slug, (row, source) in self.models.items():
            for number, alias in enumerate(row.aliases):
                taken = slug if alias in self.models else aliases.get(alias)
                if taken is not None:
                    place = source.place("aliases", number)
                    self._report(place, f"{alias!r} already means another model; choose one")
                aliases[alias] = slug
        return aliases

    def _check_overriding_prices(self, endpoints: Collection[Endpoint]) -> None:
        """A price in a later folder that no endpoint uses is a mistake: the operator would be charged another one."""
        if self.problems or self.merged.problems:  # a broken row may be the one that the price is for
            return
        for slug, upstream_id in self._unused_prices(endpoints):
            for level, rows in sorted(self.prices[slug, upstream_id].items()):
                if level:
                    known = [each.upstream_id for each in endpoints if each.provider.slug == slug]
                    place = rows[min(rows)].place.at("upstream_id")
                    hint = suggest(upstream_id, known) if known else "; add the endpoint to a model or delete the price"
                    self._report(place, f"no model has an endpoint {upstream_id!r} of {slug}{hint}")

    def _unused_prices(self, endpoints: Collection[Endpoint]) -> list[tuple[str, str]]:
        used = {(endpoint.provider.slug, endpoint.upstream_id) for endpoint in endpoints} | self.disabled
        return sorted(key for key in self.prices if key not in used and not self.providers[key[0]].disabled)

    def _warnings(self, endpoints: Collection[Endpoint]) -> tuple[str, ...]:
        warnings = list(self.chain_warnings)
        for key in self._unused_prices(endpoints):
            rows = self.prices[key][0]  # those of later folders are errors
            warnings.append(f"{rows[min(rows)].place.file}: {key[1]}: priced but no model sells it")
        for one in endpoints:
            first = min((each.since for each in one.prices), default=None)
            if first is None:
                warnings.append(f"{one.id}: has no price and is refused")
            elif first > self.today:
                warnings.append(f"{one.id}: its first price begins on {first}; refused until then")
        return tuple(warnings)

    def _items(self, data: object, file: str) -> list[object]:
        if isinstance(data, list) and data:
            return data
        self._report(Place(file), "must be a list with at least one row, each beginning with '- '")
        return []

    def _validated(self, row_type: type[Row], source: SourceRow, name: str, known: Collection[str]) -> Row | None:
        row, problems = validate(row_type, source.values, source.origin.file, source.place)
        if problems and source.level:
            problems = self._explain_missing(row_type, source, name, known, problems)
        self.problems += problems
        return row

    def _explain_missing(
        self, row_type: type[Row], source: SourceRow, name: str, known: Collection[str], problems: list[Problem]
    ) -> list[Problem]:
        """A row of a later folder that lacks fields is meant to change an earlier one, whose name is probably misspelt."""
        fields = {source.place(field): field for field in row_type.model_fields}
        missing = [each for each in problems if each.message == MISSING and Place(each.file, each.path) in fields]
        if not missing:
            return problems
        close = nearest(name, [each for each in known if each != name])
        others = f"; did you mean {close!r}?" if close else "."
        unwritten = ", ".join(fields[Place(each.file, each.path)] for each in missing)
        message = f"no earlier folder has {name!r}{others} If it is new, also write {unwritten}"
        return [*(each for each in problems if each not in missing), Problem(*source.origin.at("slug"), message)]

    def _report(self, place: Place, message: str) -> None:
        self.problems.append(Problem(*place, message))
