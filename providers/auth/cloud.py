"""Credentials that a cloud gives to the machine, container or user that runs the gateway, found by the cloud's own library.

No secret is configured: the library looks for a profile, a federated identity, a metadata server. Which of them it tries, and
in which order, is its own affair and its documentation's. The libraries are extras (``pip install 'tokenway[aws]'``), they block,
and they bring HTTP clients of their own. So each is imported by the first request that needs it, and runs in a thread; what it
finds goes through the same ``TokenCache`` as every other token.

A catalogue names a chain in ``credential_chain`` of a provider; it arrives here as ``Target.credentials["chain"]``.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final, Protocol

from providers.auth.token_cache import Issued
from providers.errors import ProviderError, failed, timed_out

CHAIN: Final = "chain"
"""The name in ``Target.credentials`` under which the cloud stands: one of ``CLOUDS``."""
FETCH_MAX_S: Final = 30.0
"""A chain may try several sources, each with time-outs of its own."""


class _Library(Protocol):
    """The modules ``cloud_aws``, ``cloud_azure``, ``cloud_google``. They alone import a cloud's library."""

    def fetch(self, **settings: str | None) -> Issued[Any]:
        """Blocks. Raises ``ProviderError``."""


CLOUDS: Final[Mapping[str, tuple[str, ...]]] = {
    "aws": ("botocore",),
    "azure": ("azure.identity",),
    "google": ("google.auth", "requests"),
}
"""Cloud, which is also the name of the extra → the modules that the extra installs."""


def is_installed(cloud: str) -> bool:
    """Whether the extra of a cloud is there. Imports none of its code."""
    try:
        return all(find_spec(module) is not None for module in CLOUDS[cloud])
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


def install_hint(cloud: str) -> str:
    """What an operator must do about a missing extra."""
    return f"install the extra that finds credentials of this cloud: pip install 'tokenway[{cloud}]'"


async def fetch(cloud: str, **settings: str | None) -> Issued[Any]:
    """What a cloud's library finds: of which type, and with which settings, its module says. For a ``TokenCache``.

    Raises ``ProviderError``: credential when nothing is found, or when the extra is missing; else what prevented the fetch.
    """
    try:
        async with asyncio.timeout(FETCH_MAX_S):
            return await asyncio.to_thread(_fetch, cloud, settings)
    except TimeoutError:
        raise timed_out("total", FETCH_MAX_S) from None


def _fetch(cloud: str, settings: Mapping[str, str | None]) -> Issued[Any]:
    if not is_installed(cloud):
        raise failed("credential", install_hint(cloud))
    library: _Library = importlib.import_module(f"providers.auth.cloud_{cloud}")
    try:
        return library.fetch(**settings)
    except ProviderError:
        raise
    except Exception as error:
        raise failed("credential", f"the credential chain failed: {type(error).__name__}") from error
