"""Settlements that outlive their request: whoever leaves, the answer is still read on, charged and recorded.

The process owns these tasks, and its shutdown waits for them. It must not know: HTTP, how a settlement is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog

from gateway.ledger.entries import Hold, Posting

DRAINS_MAX = 256
"""Answers that are read on at once after their client has disconnected."""


class OpenGeneration(Protocol):
    """An answer under way, as the heartbeat of holds sees it."""

    hold: Hold

    def checkpoint(self) -> Posting:
        """Who would pay what if the process died now."""


class BackgroundSettlements:
    """The generations that have credit on hold, and the tasks that finish those whose client is gone."""

    def __init__(self) -> None:
        self.closing = False
        """The process is shutting down: a request that is interrupted now was not left by its client."""
        self.open: set[OpenGeneration] = set()
        self._drains: set[asyncio.Timeout] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` to its end, whatever happens to the request that started it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger().error("an ending failed", exc_info=error)

    @property
    def pending(self) -> int:
        """Tasks that have not finished."""
        return len(self._tasks)

    @asynccontextmanager
    async def reading_on(self, timeout_s: float) -> AsyncIterator[None]:
        """Bounds the block to ``timeout_s``, to ``DRAINS_MAX`` at once, and to the life of the process. Raises TimeoutError."""
        full = self.closing or len(self._drains) >= DRAINS_MAX
        async with asyncio.timeout(0 if full else timeout_s) as timer:
            self._drains.add(timer)
            try:
                yield
            finally:
                self._drains.discard(timer)

    def close(self) -> None:
        """The process is shutting down: answers without a client are read on no longer."""
        self.closing = True
        for timer in self._drains:
            timer.reschedule(asyncio.get_running_loop().time())

    async def drain(self, timeout_s: float) -> int:
        """Wait for every task; the number of those that did not finish in time."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.monotonic())
        return len(self._tasks)
