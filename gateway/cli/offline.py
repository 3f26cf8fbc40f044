"""Commands that work without a gateway: ``keys``, ``credits``, ``orgs`` and ``reconcile`` use the store itself.

They work while the gateway is down and need no management key. A running gateway sees their changes with its next request:
every call is one of the same atomic functions that the gateway uses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.accounts import Accounts
from gateway.api.management.errors import bad_request
from gateway.books.archive import book_archive
from gateway.books.reading import Books
from gateway.cli import configured
from gateway.cli.output import refuse
from gateway.errors import GatewayError, LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded, EmbeddedError, ping
from gateway.store.errors import StoreError, StoreReply
from gateway.store.policy import RATE_LIMITS

STORE_HELP = (
    "Works directly on the store: GATEWAY_REDIS_URL, else the embedded server of a gateway running on GATEWAY_DATA_DIR, "
    "else that server, started while the command runs. Needs no management key."
)
CALL_TIMEOUT_S = 5.0

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class StoreServices:
    """The store, and the services that hold money and keys."""

    store: Store
    ledger: Ledger
    books: Books
    accounts: Accounts


def with_store(work: Callable[[StoreServices], Awaitable[Result]]) -> Result:
    """The result of ``work`` on the store. Exits 1 when a service refuses, 2 when the store cannot be reached."""
    settings = configured.settings()
    with _store_url(settings) as url:
        try:
            return asyncio.run(_run(url, settings, work))
        except LedgerUnavailable as error:
            refuse(why_unavailable(error))
        except GatewayError as error:
            refuse(error.message, code=1)
        except (StoreError, PermissionError, ValueError) as error:
            refuse(f"cannot use the store: {error}")


def why_unavailable(error: LedgerUnavailable) -> str:
    """One line for the operator: what the store said, and what to change."""
    cause = error.__cause__
    if is_full(error):
        return "the store's memory is full and it takes nothing new: raise its limit (GATEWAY_STORE_MAX_MEMORY_BYTES, maxmemory)"
    return f"the store does not answer: {cause or error.message}"


def is_full(error: LedgerUnavailable) -> bool:
    """Whether the store refused because it may grow no further."""
    return isinstance(error.__cause__, StoreReply) and error.__cause__.full


async def _run(url: str, settings: Settings, work: Callable[[StoreServices], Awaitable[Result]]) -> Result:
    async with _connected(url, settings) as services:
        return await work(services)


@contextlib.contextmanager
def _store_url(settings: Settings) -> Iterator[str]:
    """URL of the store. When no gateway runs the embedded server, it is started for this block."""
    url = running_store(settings)
    if url is not None:
        yield url
        return
    embedded = Embedded(settings.data_dir)
    try:
        embedded.start()
    except (EmbeddedError, OSError) as error:
        refuse(str(error))
    try:
        yield embedded.url
    finally:
        embedded.stop()


def running_store(settings: Settings) -> str | None:
    """URL of the configured Redis, or of the embedded server that a gateway runs on the data directory; None without either."""
    if settings.redis_url is not None:
        return settings.redis_url
    embedded = Embedded(settings.data_dir)
    return embedded.url if ping(embedded.socket_path) else None


@contextlib.asynccontextmanager
async def _connected(url: str, settings: Settings) -> AsyncIterator[StoreServices]:
    store = await connect(url, timeout_s=CALL_TIMEOUT_S, wait_s=CALL_TIMEOUT_S)
    try:
        ledger, accounts = Ledger(store, record_ttl_s=settings.record_ttl_s), Accounts(store)
        await ledger.prepare()
        await accounts.prepare()
        books = Books(ledger, book_archive(settings), close_after_s=settings.close_after_s)
        yield StoreServices(store, ledger, books, accounts)
    finally:
        await store.aclose()


def rates(*texts: str | None) -> dict[str, int | str | None]:
    """The rate limits that were given, in the order of `RATE_LIMITS`: ``"60"`` → 60, ``"none"`` → None, other text as it is.
    Exits 2 when none was given.
    """
    given = {name: text for name, text in zip(RATE_LIMITS, texts, strict=True) if text is not None}
    if not given:
        refuse("say what to limit: --requests-per-minute, --tokens-per-minute or --max-concurrent")
    return {name: None if text == "none" else _whole(text) for name, text in given.items()}


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text


def validated(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Options of a command, validated by the same model as the body of a management request. Exits 2 naming the field."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        refuse(bad_request(error.errors()[0]).message)
