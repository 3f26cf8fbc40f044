"""The ledger with the functions of the version before, and two ledgers that take turns, as during an upgrade."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from gateway.ledger import Ledger
from gateway.ledger.ledger import STEM
from gateway.store.client import Calls, Store
from gateway.store.redis_functions import Library

PREVIOUS = Path(__file__).parents[1] / "golden" / "ledger" / "previous.lua"
VERBS = ("hold", "settle", "void", "expire", "beat", "extend", "grant", "overdue", "holds")


class Shorter:
    """Calls of the version before, which knew no rate limits: its hold and its settle have none of their arguments."""

    def __init__(self, calls: Calls, library: Library) -> None:
        self._calls, self._library = calls, library

    async def call(self, *args: str | bytes | int | float) -> Any:
        if args[0] == "FCALL" and args[1] == self._library.function("hold"):
            args = args[:12]
        elif args[0] == "FCALL" and args[1] == self._library.function("settle"):
            args = (*args[:14], *args[15:])
        return await self._calls.call(*args)


def previous(store: Store) -> Ledger:
    """The current class with the previous version's functions."""
    ledger = with_functions(store, PREVIOUS)
    ledger._calls = Shorter(store.mux, ledger._library)
    return ledger


def with_functions(store: Store, source: Path) -> Ledger:
    """The current class with the functions of another file."""
    ledger = Ledger(store)
    library = Library(source, STEM)
    assert library.name != ledger._library.name
    ledger._library = library
    for verb in VERBS:
        attribute = f"_{verb}"
        assert getattr(ledger, attribute).endswith(verb)
        setattr(ledger, attribute, library.function(verb))
    return ledger


class Turns:
    """Looks like a ledger; each call goes to the one that the rng picks."""

    def __init__(self, seed: int, *ledgers: Ledger) -> None:
        self._rng = random.Random(seed)
        self._ledgers = ledgers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rng.choice(self._ledgers), name)
