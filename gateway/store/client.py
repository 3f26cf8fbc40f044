"""The store of one process: redis-py for set-up, admin and streams; a multiplexed connection for the hot calls."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import redis.asyncio
import tenacity
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from gateway.store.errors import StoreError, StoreRefused, StoreReply, StoreTimeout, StoreUnavailable
from gateway.store.mux import Address, Mux

CONNECTIONS_MAX = 64
NO_EVICTION = "noeviction"
REFUSALS = {"WRONGPASS", "NOAUTH", "NOPERM", "ERR"}
"""Codes of error replies to AUTH and SELECT that do not go away by waiting, unlike LOADING or MASTERDOWN."""
ADMIN_TIMEOUT_S = 5.0
"""Outside the request path a call, such as a page of a journal, may take longer than a hot call."""


class Calls(Protocol):
    """Sends one command and raises StoreError: the multiplexer, or redis-py behind RedisCalls."""

    def call(self, *args: str | bytes | int | float) -> Awaitable[Any]:
        """The raw reply. Raises StoreTimeout, StoreUnavailable, StoreReply."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn every exception of redis-py into a StoreError."""
    try:
        yield
    except RedisTimeout as error:
        raise StoreTimeout(str(error)) from error
    except ResponseError as error:
        # redis-py keeps a known code in the class and out of the text
        raise StoreReply(str(error)) from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


class RedisCalls:
    """The same calls through redis-py's pool: 60 µs of CPU per call instead of 4, but it supports clusters too."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def call(self, *args: str | bytes | int | float) -> Any:
        """The reply. Raises StoreTimeout, StoreUnavailable, StoreReply."""
        with store_errors():
            return await self._client.execute_command(*args)  # type: ignore[no-untyped-call]


class Store:
    """One per process. ``redis`` never retries by itself: a lost reply does not mean that nothing happened."""

    def __init__(self, client: redis.asyncio.Redis, mux: Mux) -> None:
        self.redis = client
        self.mux = mux

    async def aclose(self) -> None:
        """Close both connections."""
        await self.mux.aclose()
        await self.redis.aclose()


def _open(url: str, timeout_s: float) -> Store:
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=ADMIN_TIMEOUT_S,  # waiting for a free connection
        retry=Retry(NoBackoff(), 0),
        socket_timeout=max(timeout_s, ADMIN_TIMEOUT_S),
        socket_connect_timeout=max(timeout_s, 1.0),
        protocol=2,
    )
    return Store(redis.asyncio.Redis.from_pool(pool), Mux(Address.parse(url), timeout_s=timeout_s))


async def connect(url: str, *, timeout_s: float, wait_s: float = 10.0) -> Store:
    """Open the store and wait up to ``wait_s`` until it answers.

    ``timeout_s`` is the deadline of a hot call. Raises StoreUnavailable with the last reason, StoreRefused at once for wrong
    credentials or a wrong database, ValueError for a URL of another form.
    """
    store = _open(url, timeout_s)
    try:
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_delay(wait_s),
            wait=tenacity.wait_exponential(multiplier=0.02, max=0.5),
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, StoreError) and not isinstance(e, StoreRefused)),
            reraise=True,
        ):
            with attempt:
                await _ping(store)
    except BaseException as error:
        await store.aclose()
        if isinstance(error, StoreReply):
            raise StoreUnavailable(str(error)) from error
        raise
    return store


async def check(store: Store) -> None:
    """Raises StoreRefused for a server that would lose money or cannot hold the ledger's keys together: one that evicts keys when
    its memory is full, or a node of a cluster. A server that does not tell is trusted.
    """
    try:
        with store_errors():
            facts: dict[str, Any] = {**await store.redis.info("memory"), **await store.redis.info("cluster")}
    except StoreReply:
        return
    policy = facts.get("maxmemory_policy", NO_EVICTION)
    if int(facts.get("maxmemory", 0)) and policy != NO_EVICTION:
        raise StoreRefused(
            f"its maxmemory-policy is {policy}, so it deletes balances and holds when its memory is full; "
            f"run: CONFIG SET maxmemory-policy {NO_EVICTION}"
        )
    if int(facts.get("cluster_enabled", 0)):
        raise StoreRefused(
            "it is a node of a cluster, which is not supported; use a single server, with replicas if you like"
        )


async def _ping(store: Store) -> None:
    try:
        await store.mux.call("PING")
    except StoreUnavailable as error:
        trouble = store.mux.trouble
        if isinstance(trouble, StoreReply) and trouble.code in REFUSALS:
            raise StoreRefused(f"the store refuses its URL: {trouble}") from trouble
        raise error if trouble is None else StoreUnavailable(f"{error}: {trouble!r}") from error
    with store_errors():
        await store.redis.ping()
