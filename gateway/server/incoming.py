"""Request bodies that are still arriving: how many and how large they may be together, in the process and for one key.

A request takes a place among those being served only once its body is in (``in_flight.py``), so a caller who sends slowly holds up
nobody else. It must not know: what a body contains.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from gateway.errors import TooManyRequests, Unavailable

KEY_SHARE = 4
"""One key may have so great a part, 1 / KEY_SHARE, of what the process takes."""


class IncomingBodies:
    """One per process."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.now = 0
        self.bytes = 0
        self._bodies: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def body(self, key_hash: str, size: int) -> IncomingBody:
        """A body that begins to arrive, of at most ``size`` bytes. A context manager, whose entering raises TooManyRequests when
        its key has as many bodies as it may, and Unavailable when the process has.
        """
        return IncomingBody(self, key_hash, size)

    def begin(self, key_hash: str) -> None:
        """Count one body in."""
        if self._bodies[key_hash] >= max(self.most // KEY_SHARE, 1):
            raise TooManyRequests(
                f"This key has {self._bodies[key_hash]} request bodies under way to this process, its limit (bodies per key); "
                "send them at once, or fewer together.",
                retry_after_s=1,
            )
        if self.now >= self.most:
            raise Unavailable("Too many request bodies are under way to this process; try again.", retry_after_s=1)
        self.now += 1
        self._bodies[key_hash] += 1

    def add(self, key_hash: str, size: int) -> None:
        """Count bytes that may arrive next. Raises TooManyRequests, Unavailable."""
        self.bytes += size
        self._bytes[key_hash] += size
        if self._bytes[key_hash] > self.most_bytes // KEY_SHARE and self._bodies[key_hash] > 1:
            raise TooManyRequests(
                f"The request bodies that are under way from this key are larger together than its limit (body bytes per key), "
                f"{self.most_bytes // KEY_SHARE} bytes; send fewer together.",
                retry_after_s=1,
            )
        if self.bytes > self.most_bytes and self.now > 1:
            raise Unavailable(
                "The request bodies under way to this process are too large together; try again.", retry_after_s=1
            )

    def end(self, key_hash: str, size: int) -> None:
        """Count one body of so many bytes out."""
        self.now -= 1
        self.bytes -= size
        for counter, amount in ((self._bodies, 1), (self._bytes, size)):
            counter[key_hash] -= amount
            if not counter[key_hash]:
                del counter[key_hash]


class IncomingBody:
    """One body."""

    def __init__(self, bodies: IncomingBodies, key_hash: str, size: int) -> None:
        self._bodies, self._key, self._most = bodies, key_hash, size
        self._reserved = 0

    def __enter__(self) -> IncomingBody:
        self._bodies.begin(self._key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.end(self._key, self._reserved)

    def reserve(self, size: int) -> None:
        """So many of its bytes will be in memory before this is called again. Raises TooManyRequests, Unavailable."""
        more = min(size, self._most) - self._reserved
        if more > 0:
            self._reserved += more
            self._bodies.add(self._key, more)
