"""The catalogue in force: a reload swaps a validated snapshot, or keeps the old one and says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import fingerprint, load
from providers import registry


class CatalogStore:
    """``current`` is swapped whole; whoever read it keeps a consistent catalogue."""

    def __init__(self, config_dir: Path, env: Mapping[str, str]) -> None:
        """Raises CatalogError: without a first valid catalogue there is no gateway."""
        self._config_dir, self._env = config_dir, env
        self._fingerprint = fingerprint(config_dir)
        self.current: Catalog = _spoken(load(config_dir, env, dialects=registry.names()))

    def reload(self) -> bool:
        """Look at the files; True when a new catalogue is in force.

        Raises CatalogError and keeps the old one when it is broken. A broken state is reported once, not at every look.
        """
        seen = fingerprint(self._config_dir)
        if seen == self._fingerprint:
            return False
        self._fingerprint = seen
        fresh = load(self._config_dir, self._env, dialects=registry.names())
        if fresh.version == self.current.version:
            return False
        self.current = _spoken(fresh)
        return True


def _spoken(catalog: Catalog) -> Catalog:
    """The same, with the dialects of every endpoint in use at hand."""
    used = (each for each in catalog.endpoints.values() if each.provider.usable)
    registry.ready({(each.dialect, operation) for each in used for operation in each.operations})
    return catalog
