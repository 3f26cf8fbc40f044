"""Whether an id was charged more than once, found while a journal is read: eight bytes a line, however long it is.

A request is charged once: by its settlement, or when its hold has expired; then at most one line adjusts that. It must not know:
Redis.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from itertools import pairwise

from gateway.ledger.entries import Entry

CHARGES = {"settled": False, "expired": False, "adjusted": True}
"""Type of a line → whether it is an adjustment. Each id has at most one of either."""


class ChargedOnce:
    """The digests of the lines of one organisation."""

    def __init__(self) -> None:
        self._digests = array("Q")

    @staticmethod
    def key(line: Entry) -> tuple[str, bool] | None:
        """What only one line may have; None for a line that charges nobody."""
        adjusts = CHARGES.get(line.type)
        return None if adjusts is None else (line.generation_id, adjusts)

    @staticmethod
    def digest(id: str, adjusts: bool) -> int:
        """64 bits: of a million lines two that differ look alike once in 37 million journals."""
        return int.from_bytes(blake2b(id.encode(), digest_size=8, salt=b"adjusts" if adjusts else b"").digest())

    def add(self, line: Entry) -> None:
        """One more line."""
        key = self.key(line)
        if key is not None:
            self._digests.append(self.digest(*key))

    def suspects(self) -> set[int]:
        """The digests that occur more than once."""
        ordered = sorted(self._digests)
        return {one for one, other in pairwise(ordered) if one == other}
