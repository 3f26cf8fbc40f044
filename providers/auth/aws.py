"""Access keys of AWS that botocore's credential chain finds, see ``cloud_aws``."""

from __future__ import annotations

import time
from collections.abc import Callable

from providers.auth import cloud
from providers.auth.sigv4 import AccessKeys
from providers.auth.token_cache import TokenCache

EARLY_S = 600.0
"""botocore, too, insists on new keys ten minutes before the old ones expire."""


class AwsKeys:
    """The keys of this machine, container or profile. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._cache = TokenCache[AccessKeys](early_s=EARLY_S, clock=clock)

    async def default_keys(self) -> AccessKeys:
        """Valid keys. Raises ``ProviderError``: credential when there are none."""
        return await self._cache.get(cloud.CHAIN, lambda: cloud.fetch("aws"))
