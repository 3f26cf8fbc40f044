"""How much one process takes on. More is shed at once, before any credit is held.

It must not know: callers, prices, endpoints.
"""

from __future__ import annotations

from gateway.errors import Unavailable


class InFlight:
    """Counts the requests inside this process; refuses beyond the limit with 503 and Retry-After."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.now = 0

    def take(self) -> None:
        """Raises Unavailable when the process is full. Every ``take`` needs one ``give``."""
        if self.now >= self.limit:
            raise Unavailable(f"{self.limit} requests are running here already; try again shortly.", retry_after_s=1)
        self.now += 1

    def give(self) -> None:
        self.now -= 1
