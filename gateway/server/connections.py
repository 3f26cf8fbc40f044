"""The connections of a process: how many there may be, which may be closed for a new one, and which of them nobody reads.

Each connection of a caller may need another one to a vendor, so callers have half of the files that the process may have open.
When they have them all, the connection that has been idle for longest is closed for a new one; are none idle, the new one is
answered with 503. It must not know: what is asked for.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

SWEEP_S = 5.0


class Connection(Protocol):
    """What is known of a connection here."""

    transport: asyncio.Transport


class Connections:
    """One per process. ``unread_s``: how long a caller may leave what was sent to it unread."""

    def __init__(self, limit: int, unread_s: float) -> None:
        self.limit = limit
        self._unread_s = unread_s
        self._all: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        """Without a request, since longest first."""
        self._waiting: dict[Connection, tuple[int, float]] = {}
        """Connection → bytes that wait for its caller to read, and the loop's time since which they are so many."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> bool:
        """A connection was made. False: there is no room for it."""
        if len(self._all) >= self.limit:
            idle = next(iter(self._idle), None)
            if idle is None:
                return False
            self.remove(idle)
            idle.transport.abort()
        self._all.add(connection)
        self._idle[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return True

    def remove(self, connection: Connection) -> None:
        """It is closed. Idempotent."""
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._waiting.pop(connection, None)

    def busy(self, connection: Connection) -> None:
        """It has a request."""
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """It has none any more."""
        if connection in self._all:
            self._idle[connection] = None

    def _sweep(self) -> None:
        """Abort the connections whose callers have read nothing for too long, those that are being closed, too: closing waits until
        everything was read.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._all):
            size = connection.transport.get_write_buffer_size()
            waits, since = self._waiting.get(connection, (0, now))
            if not size:
                self._waiting.pop(connection, None)
            elif size != waits:
                self._waiting[connection] = size, now
            elif now - since > self._unread_s:
                connection.transport.abort()
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self._all else None
