"""The rows of several folders → one set of rows: a later folder changes values that an earlier one wrote.

Providers are merged by slug, models by slug, endpoints by provider and upstream id; each field that a later folder writes
replaces the earlier one. A mapping such as ``options`` is merged key by key, and a ``null`` in it removes the earlier key.
Every value keeps its place, so a mistake is reported in the file that made it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.catalog.model import endpoint_id
from gateway.catalog.read import Place, Problem, not_a_mapping, suggest
from gateway.catalog.rows import MODEL_SLUG

ENDPOINT_KEY = ("provider", "upstream_id")


class Override(NamedTuple):
    """One value of the catalogue that a folder after the first one wrote."""

    what: str
    """``provider``, ``model``, ``endpoint`` or ``price``; of the attribute files ``author``, ``attributes`` or ``release``."""
    name: str
    """A slug, an endpoint's id, or ``provider/upstream id`` of a price."""
    key: str
    """The field, or the first day of a price; empty when the whole row is new."""
    file: str
    replaces: str | None
    """The file that wrote the value before; None when no earlier folder did. Of a price before which there was none, with the
    first later day that it replaces: ``prices/acme.yaml (from 2026-11-12)``."""


@dataclass(slots=True)
class SourceRow:
    """A row before it is validated: its values, and where each of them is written."""

    values: Any
    """A mapping, or whatever the file has in its place: that is reported when the row is validated."""
    origin: Place
    """Where the row is first written."""
    level: int
    """The number of the folder that first wrote it; 0 is the lowest."""
    changed: dict[tuple[Hashable, ...], Place] = field(default_factory=dict)
    """Field, or (field, key of its mapping) → its place in a later folder."""
    endpoints: list[SourceRow] = field(default_factory=list)
    """Filled as soon as a later folder writes endpoints of this model."""

    def place(self, *location: str | int) -> Place:
        """The file and path where a value of the merged row is written."""
        if len(location) > 1 and location[0] == "endpoints" and self.endpoints:
            return self.endpoints[int(location[1])].place(*location[2:])
        for length in (2, 1):
            if location[:length] in self.changed:
                return self.changed[location[:length]].at(*location[length:])
        return self.origin.at(*location)

    def override(
        self, values: Mapping[Any, Any], origin: Place, ignored: tuple[str, ...]
    ) -> list[tuple[str, str | None]]:
        """Lay the fields of a later row over this one. Returns (field, file of the replaced value) of each."""
        written: list[tuple[str, str | None]] = []
        merged = {**self.values}
        for name, value in values.items():
            if name in ignored:
                continue
            if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
                inner = {**merged[name]}
                for key, part in value.items():
                    written.append((f"{name}.{key}", self.place(name, key).file if key in inner else None))
                    self.changed[name, key] = origin.at(name, key)
                    inner[key] = part
                merged[name] = {key: part for key, part in inner.items() if part is not None or key not in value}
            else:
                written.append((str(name), self.place(name).file if name in merged else None))
                self.changed[name,] = origin.at(name)
                merged[name] = value
        self.values = merged
        return written


class MergedRows:
    """Collects the rows of providers and models, folder by folder from the lowest up."""

    def __init__(self) -> None:
        self.providers: dict[str, SourceRow] = {}
        """File stem, which is the slug → row."""
        self.models: dict[Hashable, SourceRow] = {}
        """Slug → row; a row whose slug is unusable stands under its place."""
        self.problems: list[Problem] = []
        self._latest: dict[Hashable, tuple[int, Place]] = {}
        """Slug of a model → (level, row) that wrote it last."""
        self._overrides: dict[tuple[str, str, str], Override] = {}

    @property
    def overrides(self) -> tuple[Override, ...]:
        """What later folders wrote; of several that write the same value only the last."""
        return tuple(self._overrides.values())

    def note(self, override: Override) -> None:
        """Remember where a value comes from."""
        self._overrides[override.what, override.name, override.key] = override

    def add_provider(self, level: int, file: str, slug: str, data: Any) -> None:
        """The content of one provider file."""
        earlier = self.providers.get(slug)
        if earlier is None or not isinstance(earlier.values, Mapping):
            self.providers[slug] = SourceRow(data, Place(file), level)
            if level:
                self.note(Override("provider", slug, "", file, None))
        elif not isinstance(data, Mapping):
            self.problems.append(Problem(file, "", not_a_mapping(data)))
        else:
            ignored = ("slug",) if data.get("slug") == slug else ()
            for key, replaced in earlier.override(data, Place(file), ignored):
                self.note(Override("provider", slug, key, file, replaced))

    def add_model(self, level: int, place: Place, author: str, data: Any) -> None:
        """One row of a file ``models/<author>.yaml``."""
        slug = data.get("slug") if isinstance(data, Mapping) else None
        if not isinstance(slug, str) or not MODEL_SLUG.fullmatch(slug):
            self.models[place] = SourceRow(data, place, level)
            return
        if slug.partition("/")[0] != author:
            message = f"{slug!r} belongs in {slug.partition('/')[0]}.yaml, the file of its author"
            self.problems.append(Problem(*place.at("slug"), message))
        latest = self._latest.get(slug)
        self._latest[slug] = (level, place)
        if latest is None:
            self.models[slug] = SourceRow(data, place, level)
            if level:
                self.note(Override("model", slug, "", place.file, None))
        elif latest[0] == level:
            also = f"also in {latest[1].file}, {latest[1].path}"
            self.problems.append(Problem(*place.at("slug"), f"{slug!r} is written twice ({also}); delete one"))
        else:
            self._merge_model(self.models[slug], level, place, slug, data)

    def _merge_model(self, row: SourceRow, level: int, place: Place, slug: str, data: Mapping[Any, Any]) -> None:
        both_listed = isinstance(data.get("endpoints"), list) and isinstance(row.values.get("endpoints"), list)
        for key, replaced in row.override(data, place, ("slug", "endpoints") if both_listed else ("slug",)):
            self.note(Override("model", slug, key, place.file, replaced))
        if both_listed:
            self._merge_endpoints(row, level, place, slug, data["endpoints"])

    def _merge_endpoints(self, row: SourceRow, level: int, place: Place, slug: str, items: list[Any]) -> None:
        if not row.endpoints:
            written = enumerate(row.values["endpoints"])
            row.endpoints = [SourceRow(item, row.place("endpoints").at(number), row.level) for number, item in written]
        earlier = {_endpoint_key(each.values): each for each in reversed(row.endpoints)}
        for number, item in enumerate(items):
            key, at = _endpoint_key(item), place.at("endpoints", number)
            found = earlier.pop(key, None) if key else None  # the second one of a folder is added, and reported later
            if found is not None:
                self._merge_endpoint(found, at, slug, item)
                continue
            self._refuse_to_disable_nothing(item, at, list(earlier))
            row.endpoints.append(SourceRow(item, at, level))
            if key:
                self.note(Override("endpoint", endpoint_id(*key, slug), "", place.file, None))
        row.values = {**row.values, "endpoints": [each.values for each in row.endpoints]}

    def _merge_endpoint(self, earlier: SourceRow, place: Place, slug: str, item: Mapping[Any, Any]) -> None:
        name = endpoint_id(item["provider"], item["upstream_id"], slug)
        for key, replaced in earlier.override(item, place, ENDPOINT_KEY):
            self.note(Override("endpoint", name, key, place.file, replaced))

    def _refuse_to_disable_nothing(self, item: Any, place: Place, known: list[tuple[str, str] | None]) -> None:
        if isinstance(item, Mapping) and item.get("disabled") and item.keys() <= {*ENDPOINT_KEY, "disabled"}:
            others = [key[1] for key in known if key is not None and key[0] == item.get("provider")]
            hint = suggest(str(item.get("upstream_id")), others) if others else "; delete these lines"
            self.problems.append(
                Problem(*place, f"no earlier folder has this endpoint, so it cannot be disabled{hint}")
            )


def _endpoint_key(item: Any) -> tuple[str, str] | None:
    """(provider, upstream id); None when the item has no usable ones, which its validation reports."""
    if not isinstance(item, Mapping):
        return None
    provider, upstream_id = item.get("provider"), item.get("upstream_id")
    return (provider, upstream_id) if isinstance(provider, str) and isinstance(upstream_id, str) else None
