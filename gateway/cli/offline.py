"""The books without a gateway: ``keys``, ``credits``, ``orgs`` and ``reconcile`` work on the store itself.

So they work while the gateway is down, need no management key, and a running gateway sees their changes with its next request:
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
from gateway.cli import configured
from gateway.cli.output import refuse
from gateway.errors import GatewayError, LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import connect
from gateway.store.embedded import Embedded, EmbeddedError, ping
from gateway.store.errors import StoreError

HOW = (
    "Works directly on the store: GATEWAY_REDIS_URL, else the embedded server of a gateway running on GATEWAY_DATA_DIR, "
    "else that server is started for the moment. Needs no management key."
)
CALL_TIMEOUT_S = 5.0

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Books:
    """The services that hold money and keys."""

    ledger: Ledger
    accounts: Accounts


def on_books(work: Callable[[Books], Awaitable[Result]]) -> Result:
    """Run ``work`` on the opened books. Exits 1 when the answer is no, 2 when the store cannot be reached."""
    settings = configured.settings()
    with reachable(settings) as url:
        try:
            return asyncio.run(_work(url, settings, work))
        except LedgerUnavailable as error:
            refuse(f"the store does not answer: {error.__cause__ or error.message}")
        except GatewayError as error:
            refuse(error.message, code=1)
        except (StoreError, PermissionError, ValueError) as error:
            refuse(f"cannot use the store: {error}")


async def _work(url: str, settings: Settings, work: Callable[[Books], Awaitable[Result]]) -> Result:
    async with _opened(url, settings) as books:
        return await work(books)


@contextlib.contextmanager
def reachable(settings: Settings) -> Iterator[str]:
    """URL of the store; an embedded server that nobody runs is started for the moment."""
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
    """URL of the given store, or of the embedded one that a gateway runs on the data directory; None when nobody runs it."""
    if settings.redis_url is not None:
        return settings.redis_url
    embedded = Embedded(settings.data_dir)
    return embedded.url if ping(embedded.socket_path) else None


@contextlib.asynccontextmanager
async def _opened(url: str, settings: Settings) -> AsyncIterator[Books]:
    store = await connect(url, timeout_s=CALL_TIMEOUT_S, wait_s=CALL_TIMEOUT_S)
    try:
        ledger, accounts = Ledger(store, record_ttl_s=settings.record_ttl_s), Accounts(store)
        await ledger.prepare()
        await accounts.prepare()
        yield Books(ledger, accounts)
    finally:
        await store.aclose()


def checked(model: type[Model], words: Mapping[str, Any]) -> Model:
    """Words of a command line, checked by the same rules as the management API's bodies. Exits 2 naming the field."""
    try:
        return model.model_validate(dict(words))
    except ValidationError as error:
        refuse(bad_request(error.errors()[0]).message)
