"""The catalogue in force: a reload swaps in a validated snapshot, or keeps the old one and raises what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.catalog.folders import fingerprint
from gateway.catalog.load import load
from providers import registry


class CatalogStore:
    """``current`` is replaced as a whole; a request that has read it keeps a consistent catalogue."""

    def __init__(self, folders: Sequence[Path], env: Mapping[str, str]) -> None:
        """``folders``: the lowest first, see ``load``. Raises CatalogError: a gateway needs a first valid catalogue."""
        self._folders, self._env = tuple(folders), env
        self._fingerprint = fingerprint(self._folders)
        self._refused = False
        """The files are broken, and ``current`` is older than they are."""
        self.current: Catalog = _with_dialects(load(self._folders, env, dialects=registry.names()))

    def reload(self) -> bool:
        """Look at the files of all folders; True when a new catalogue is in force, or the files of the old one are sound again.

        Raises CatalogError and keeps the old catalogue when the new one is broken, once for each broken state, not at every look.
        """
        seen = fingerprint(self._folders)
        if seen == self._fingerprint:
            return False
        self._fingerprint = seen
        was_refused, self._refused = self._refused, True
        fresh = load(self._folders, self._env, dialects=registry.names())
        self._refused = False
        if fresh.version == self.current.version:
            return was_refused
        self.current = _with_dialects(fresh)
        return True


def _with_dialects(catalog: Catalog) -> Catalog:
    """The same catalogue, after the dialects of its usable endpoints have been imported."""
    used = (each for each in catalog.endpoints.values() if each.provider.usable)
    registry.ready({(each.dialect, operation) for each in used for operation in each.operations})
    return catalog
