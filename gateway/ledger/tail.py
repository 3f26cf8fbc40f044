"""The settlements that a store has acknowledged and may still lose: with ``appendfsync everysec`` a power cut takes a second.

Their callers were told what they paid. So each process keeps what it sent in the last seconds, and sends it again when the store
was restarted or replaced by another: the ids make sure that whatever was not lost counts once. It must not know: what is in a
call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.store.client import Calls
from gateway.store.errors import StoreReply
from gateway.store.redis_functions import Argument, ledger_unavailable

AT_ONCE = 100
"""Calls that are sent again together."""
POSTED = frozenset({b"OK", b"NOHOLD", b"LATE"})
"""Replies to a settlement that was not there."""


class Tail:
    """The calls of the last one to two intervals between two ``repair``."""

    def __init__(self) -> None:
        self._now: list[Sequence[Argument]] = []
        self._before: list[Sequence[Argument]] = []
        self._run: bytes | None = None
        """The store's ``run_id``, which is another one after each start."""
        self.keep = self._now.append

    async def repair(self, calls: Calls, send: Callable[[Sequence[Argument]], Awaitable[list[Any]]]) -> int:
        """Send everything again, each call with ``send``, if the store is not the one of the last time → how many settlements it
        had lost. Raises LedgerUnavailable; then the next ``repair`` begins anew.
        """
        with ledger_unavailable():
            try:
                run = _run_id(await calls.call("INFO", "server"))
            except StoreReply:  # a user who may not ask: then nothing can be noticed
                run = b""
        lost = 0
        if self._run not in (None, run):
            sent = [*self._before, *self._now]
            for first in range(0, len(sent), AT_ONCE):
                replies = await asyncio.gather(*map(send, sent[first : first + AT_ONCE]))
                lost += sum(reply[0] in POSTED for reply in replies)
        self._run = run
        self._before, self._now = self._now, []
        self.keep = self._now.append
        return lost


def _run_id(info: bytes) -> bytes:
    """The id in the server's answer to ``INFO server``; empty where it gives none."""
    return next((line[7:].strip() for line in info.splitlines() if line.startswith(b"run_id:")), b"")
