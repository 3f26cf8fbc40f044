"""``attributes/authors.yaml``, ``models.yaml`` and ``releases.yaml`` of one or several folders → ``AttributeTable``.

Rows of a later folder lie over those of earlier ones, field by field, as everywhere in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.catalog.attributes import AttributeTable, Release
from gateway.catalog.merge import Override, SourceRow
from gateway.catalog.model import Model
from gateway.catalog.read import Place, Problem, suggest, validate
from gateway.catalog.rows import AttributesRow, AuthorRow, ReleaseRow

Row = TypeVar("Row", bound=BaseModel)
FILES = {"authors": "slug", "models": "slug", "releases": "id"}
"""File name without ``.yaml`` → the field that a row is found by."""
_NAMED = {"authors": "author", "models": "attributes", "releases": "release"}


class AttributeFiles:
    """Collects rows folder by folder from the lowest up. Lives for one load."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.overrides: list[Override] = []
        self._rows: dict[str, dict[str, SourceRow]] = {stem: {} for stem in FILES}
        self._places: dict[tuple[str, str, int], Place] = {}

    def add(self, level: int, place: Place, stem: str, item: Any) -> None:
        """One row of ``attributes/<stem>.yaml`` in the folder with the number ``level``."""
        key = FILES.get(stem)
        if key is None:
            known = ", ".join(f"{name}.yaml" for name in FILES)
            self._report(Place(place.file), f"is not read; attributes has {known}")
            return
        name = item.get(key) if isinstance(item, Mapping) else None
        if not isinstance(name, str):
            name = str(place)  # reported when it is validated
        if (stem, name, level) in self._places:
            self._report(place.at(key), f"{name!r} is written twice; delete one")
            return
        self._places[stem, name, level] = place
        earlier = self._rows[stem].get(name)
        if earlier is None or not isinstance(item, Mapping):
            self._rows[stem][name] = SourceRow(item, place, level)
            if level:
                self.overrides.append(Override(_NAMED[stem], name, "", place.file, None))
            return
        for field, replaced in earlier.override(item, place, (key,)):
            self.overrides.append(Override(_NAMED[stem], name, field, place.file, replaced))

    def table(self, models: Mapping[str, Model], aliases: Mapping[str, str], *, are_whole: bool) -> AttributeTable:
        """All facts together; what is wrong is in ``problems`` afterwards.

        Rows of models that do not exist are only looked for when ``models`` are whole, not broken themselves.
        """
        authors = self._validated("authors", AuthorRow)
        rows = self._validated("models", AttributesRow)
        releases = self._validated("releases", ReleaseRow)
        self._check_namespaces(authors)
        if are_whole:
            self._check_models(rows, models, aliases)
            self._check_releases(releases, {*models, *aliases, *rows})
        return AttributeTable(
            models.values(),
            rows,
            authors.values(),
            [Release(row.id, row.label, row.day, row.model, row.source) for row in releases.values()],
        )

    def _validated(self, stem: str, row_type: type[Row]) -> dict[str, Row]:
        found = {}
        for name, source in self._rows[stem].items():
            row, problems = validate(row_type, source.values, source.origin.file, source.place)
            self.problems += problems
            if row is not None:
                found[name] = row
        return found

    def _check_namespaces(self, authors: Mapping[str, AuthorRow]) -> None:
        seen = {slug: slug for slug in authors}
        for slug, row in authors.items():
            for number, alias in enumerate(row.aliases):
                if alias in seen:
                    place = self._rows["authors"][slug].place("aliases", number)
                    self._report(place, f"{alias!r} already means {seen[alias]}; delete one")
                seen[alias] = slug

    def _check_models(
        self, rows: Mapping[str, AttributesRow], models: Mapping[str, Model], aliases: Mapping[str, str]
    ) -> None:
        seen = {**{slug: slug for slug in (*models, *rows)}, **aliases}
        for slug, row in rows.items():
            source = self._rows["models"][slug]
            if slug in aliases:
                self._report(source.place("slug"), f"{slug!r} is an alias of {aliases[slug]}; write that")
            elif row.name is None and slug not in models:
                hint = suggest(slug, list(models)) or "."
                self._report(
                    source.place("slug"), f"no model is called {slug!r}{hint} If it is one of the past, also write name"
                )
            for number, alias in enumerate(row.aliases):
                if seen.get(alias, slug) != slug:
                    self._report(source.place("aliases", number), f"{alias!r} already means {seen[alias]}; delete one")
                seen[alias] = slug

    def _check_releases(self, releases: Mapping[str, ReleaseRow], known: set[str]) -> None:
        for name, release in releases.items():
            if release.model is not None and release.model not in known:
                place = self._rows["releases"][name].place("model")
                self._report(place, f"no model is called {release.model!r}{suggest(release.model, known)}")

    def _report(self, place: Place, message: str) -> None:
        self.problems.append(Problem(*place, message))
