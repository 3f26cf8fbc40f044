"""Settlements that outlive their request: when a client disconnects, its answer is still charged and recorded.

The process owns these tasks, and its shutdown waits for them. This module must not know: HTTP, how a settlement is made.
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
"""The most answers that are read on at the same time after their clients have disconnected."""


class OpenGeneration(Protocol):
    """A running answer, as the heartbeat of holds needs it."""

    hold: Hold

    def checkpoint(self) -> Posting:
        """Who would pay what if the process died now."""


class BackgroundSettlements:
    """The generations that have credit on hold, and the tasks that finish those whose client has disconnected."""

    def __init__(self) -> None:
        self.closing = False
        """The process is shutting down: when a request is interrupted now, its client has not disconnected."""
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
        """Limit the block to ``timeout_s``, to ``DRAINS_MAX`` such blocks at once, and to the time before ``close``.

        Raises TimeoutError at the limit.
        """
        full = self.closing or len(self._drains) >= DRAINS_MAX
        async with asyncio.timeout(0 if full else timeout_s) as timer:
            self._drains.add(timer)
            try:
                yield
            finally:
                self._drains.discard(timer)

    def close(self) -> None:
        """Called at shutdown: stop reading on answers whose client has disconnected."""
        self.closing = True
        for timer in self._drains:
            timer.reschedule(asyncio.get_running_loop().time())

    async def drain(self, timeout_s: float) -> int:
        """Wait for every task → the number of those that did not finish in time."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.monotonic())
        return len(self._tasks)
