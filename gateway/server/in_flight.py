"""The requests being served, and the limit of their number: more are refused at once, before any credit is held. And the thread
in which large bodies are decoded and checked.

It must not know: callers, prices, endpoints.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gateway.errors import Unavailable
from gateway.server.request_lifecycle import RequestLifecycle


class InFlight:
    """One per process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.now = 0
        """Requests that hold one of the ``limit`` places."""
        self.requests: set[RequestLifecycle] = set()
        """Every request being served, so that shutdown can end the last streams with an error event."""
        self.draining = False
        """The process is shutting down: it is not ready, accepts no new requests, and lets running streams finish."""
        self.thread = ThreadPoolExecutor(1, "large-body")
        """A single one: two would only wait for each other, and hold two bodies in memory."""

    def expect_room(self) -> None:
        """Raises Unavailable when the process is full: a body need not be read then."""
        if self.now >= self.limit:
            raise Unavailable(
                f"This process is serving {self.limit} requests already, its limit; try again shortly.", retry_after_s=1
            )

    def acquire(self) -> None:
        """Take a place; each needs one ``release``. Raises Unavailable when the process is full."""
        self.expect_room()
        self.now += 1

    def release(self) -> None:
        """Give the place back."""
        self.now -= 1

    def close(self) -> None:
        """No more requests are accepted, and no more bodies worked on."""
        self.draining = True
        self.thread.shutdown(wait=False)
