"""The services that requests use, which live as long as the process. ``app.create_app`` builds and closes them.

It must not know: requests, HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.accounts import Accounts
from gateway.analytics.classify.labelling import Labelling
from gateway.analytics.stream import EventWriter
from gateway.background import BackgroundSettlements
from gateway.books.reading import Books
from gateway.catalog.catalog import Catalog
from gateway.conversations import Conversations
from gateway.health.registry import HealthRegistry
from gateway.health.retry_budget import RetryBudget
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import Store
from gateway.telemetry import Telemetry
from providers.media.fetch import Media
from providers.transport.clients import Clients


class CatalogHolder(Protocol):
    """A reload replaces ``current``; a caller that has read it keeps a consistent snapshot."""

    @property
    def current(self) -> Catalog:
        """The catalogue in force now."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """One per process."""

    settings: Settings
    store: Store
    ledger: Ledger
    books: Books
    accounts: Accounts
    catalog: CatalogHolder
    health: HealthRegistry
    conversations: Conversations
    retry_budget: RetryBudget
    clients: Clients
    media: Media
    telemetry: Telemetry
    analytics: EventWriter | None
    """None: analytics is switched off."""
    labelling: Labelling | None
    """What generations pass through to ``analytics``; None without it."""
    background: BackgroundSettlements
    admin_key: str
