"""Access tokens and temporary keys by identity: one cache, with one fetch at a time for each identity.

- A token is fetched anew ahead of its expiry, in the background: no request waits as long as the present one is valid.
- A renewal that fails leaves the present token in use until it expires, and is tried again after a pause.
- Requests that find no valid token wait for one fetch and share its result or its error. The fetch is a task of its own, so
  a waiting request that is cancelled takes nothing away from the others.

A cache may be used from several event loops: they share the tokens; a fetch belongs to the loop that started it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from providers.errors import ProviderError

RETRY_S = 10.0
"""Pause after a failed renewal while the present token is still valid."""
IDENTITIES_MAX = 4096
"""Callers may bring their own keys, so the number of identities is not the operator's alone."""

T = TypeVar("T")


class Issued(NamedTuple, Generic[T]):
    """What an issuer gave out."""

    value: T
    lifetime_s: float
    """Seconds, counted from before the fetch. With 0 or less it serves the requests that waited for it and is not kept."""


class _Cached(NamedTuple, Generic[T]):
    value: T
    renew_at: float
    expires_at: float


class TokenCache(Generic[T]):
    """Tokens by identity, at most ``identities_max``: beyond that the one that was renewed longest ago is forgotten.

    A token is renewed ``early_s`` before it expires, or a tenth of its lifetime before when that is less. ``clock`` gives Unix
    seconds, because a token ages while the machine sleeps, too.
    """

    def __init__(
        self,
        *,
        early_s: float,
        clock: Callable[[], float] = time.time,
        identities_max: int = IDENTITIES_MAX,
    ) -> None:
        self._early_s = early_s
        self._clock = clock
        self._identities_max = identities_max
        self._cached: dict[Hashable, _Cached[T]] = {}
        self._fetches: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[T | ProviderError]] = {}
        self._lock = threading.Lock()
        """Event loops in several threads may write to ``_cached``."""

    async def get(self, identity: Hashable, fetch: Callable[[], Awaitable[Issued[T]]]) -> T:
        """A valid token, from ``fetch`` when there is none. Raises the ``ProviderError`` of ``fetch``."""
        cached = self._cached.get(identity)
        if cached is not None:
            now = self._clock()
            if now < cached.renew_at:
                return cached.value
            if now < cached.expires_at:
                self._fetching(identity, fetch)
                return cached.value
        task = self._fetching(identity, fetch)
        await asyncio.wait(
            (task,)
        )  # other than awaiting the task, this does not cancel it when this request is cancelled
        outcome = task.result()
        if isinstance(outcome, ProviderError):
            raise _copy(outcome)
        return outcome

    def _fetching(
        self, identity: Hashable, fetch: Callable[[], Awaitable[Issued[T]]]
    ) -> asyncio.Task[T | ProviderError]:
        """The fetch of this identity that runs in this loop, started when there is none."""
        loop = asyncio.get_running_loop()
        task = self._fetches.get((loop, identity))
        if task is None:
            task = self._fetches[loop, identity] = loop.create_task(self._fetch(identity, fetch))
            task.add_done_callback(lambda _: self._fetches.pop((loop, identity), None))
        return task

    async def _fetch(self, identity: Hashable, fetch: Callable[[], Awaitable[Issued[T]]]) -> T | ProviderError:
        """The new token, kept; or why there is none, as a value, because nobody may be waiting for it."""
        began = self._clock()
        try:
            issued = await fetch()
        except ProviderError as error:
            cached = self._cached.get(identity)
            if cached is not None:
                renew_at = min(self._clock() + RETRY_S, cached.expires_at)
                self._keep(identity, cached._replace(renew_at=renew_at))
            return error
        expires_at = began + issued.lifetime_s
        early_s = min(self._early_s, issued.lifetime_s / 10)
        self._keep(identity, _Cached(issued.value, expires_at - early_s, expires_at))
        return issued.value

    def _keep(self, identity: Hashable, cached: _Cached[T]) -> None:
        with self._lock:
            self._cached.pop(identity, None)  # a dictionary is in the order of insertion
            while len(self._cached) >= self._identities_max:
                del self._cached[next(iter(self._cached))]
            self._cached[identity] = cached


def _copy(error: ProviderError) -> ProviderError:
    """The same error for one of several waiting requests: raising one object in all of them would mix their tracebacks."""
    return ProviderError(
        error.failure,
        error.message,
        status=error.status,
        raw=error.raw,
        retry_after_s=error.retry_after_s,
        provider_code=error.provider_code,
        clock=error.clock,
    )
