"""The ledger with the functions of the version before, and two ledgers that take turns, as during an upgrade."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from gateway.ledger import Ledger
from gateway.ledger.ledger import STEM
from gateway.store.client import Store
from gateway.store.redis_functions import Library

PREVIOUS = Path(__file__).parents[1] / "golden" / "ledger" / "previous.lua"
VERBS = ("hold", "settle", "void", "expire", "beat", "extend", "grant", "overdue", "holds")


def previous(store: Store) -> Ledger:
    """The current class with the previous version's functions."""
    ledger = Ledger(store)
    library = Library(PREVIOUS, STEM)
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
