"""Kept answers in the store: what one process has made, all others send, also one that has just started.

Only what took long to make is put there (``answer_cache.SHARED_FROM_S``). A store that does not answer is no reason to fail: then
each process makes its own. It must not know: what the answers say.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from hashlib import blake2s
from typing import Any, NamedTuple

import msgspec

from gateway import __version__
from gateway.server.answer_cache import Answer
from gateway.services import Services
from gateway.store import analytics_keys as keys
from gateway.store.client import store_errors
from gateway.store.errors import StoreError

BODY_MAX = 400_000
"""Bytes; a larger one is not shared."""


class _Kept(msgspec.Struct, array_like=True):
    made_at: float
    """Unix seconds."""
    status: int
    etag: str
    body: bytes


class SharedAnswers(NamedTuple):
    """Those that what is asked for and who may see what decide on: two gateways with other settings share none."""

    services: Services
    of: Hashable

    def _key(self, key: Hashable) -> str:
        settings = self.services.settings
        depends = (
            __version__,
            self.services.catalog.current.version,
            settings.public_rankings,
            settings.rankings_min_users,
        )
        return keys.view(blake2s(repr((depends, self.of, key)).encode(errors="replace"), digest_size=16).hexdigest())

    async def get(self, key: Hashable) -> tuple[float, Answer] | None:
        """(seconds since it was made, the answer)."""
        try:
            with store_errors():
                found: Any = await self.services.store.redis.get(self._key(key))
            kept = msgspec.msgpack.decode(found, type=_Kept) if found else None
        except (StoreError, msgspec.DecodeError):
            return None
        return (max(time.time() - kept.made_at, 0.0), Answer(kept.body, kept.etag, kept.status)) if kept else None

    async def put(self, key: Hashable, answer: Answer, kept_s: float) -> None:
        """Keep it for so many seconds."""
        if len(answer.body) > BODY_MAX:
            return
        kept = msgspec.msgpack.encode(_Kept(time.time(), answer.status, answer.etag, answer.body))
        try:
            with store_errors():
                await self.services.store.redis.set(self._key(key), kept, px=int(kept_s * 1000))
        except StoreError:
            return
