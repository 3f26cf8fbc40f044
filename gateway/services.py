"""The rooms a request may enter, handed to every door as ``app.state.rooms``. Built and closed by ``app.create_app`` only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.accounts import Accounts
from gateway.catalog.catalog import Catalog
from gateway.health.registry import Board
from gateway.ledger.ledger import Ledger
from gateway.pipeline.generation import Desk
from gateway.pipeline.pipeline import Corridor
from gateway.server.in_flight import InFlight
from gateway.settings import Settings
from gateway.store.client import Store
from gateway.telemetry import Telemetry


class CatalogHolder(Protocol):
    """A reload swaps ``current``; whoever read it keeps a consistent snapshot."""

    @property
    def current(self) -> Catalog:
        """The catalogue in force now."""
        ...


@dataclass(slots=True)
class Rooms:
    """One per process. Everything is set once, but ``draining``, which SIGTERM sets: readiness goes off, streams finish."""

    settings: Settings
    store: Store
    ledger: Ledger
    accounts: Accounts
    catalog: CatalogHolder
    board: Board
    admin_key: str
    telemetry: Telemetry
    corridor: Corridor
    desk: Desk
    in_flight: InFlight
    exchanges: set[Any] = field(default_factory=set)
    """The HTTP exchanges being served, so that shutdown can end the last streams aloud."""
    draining: bool = False
