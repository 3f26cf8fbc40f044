"""Names of hosts that callers write, looked up for as long as a request can wait, and by no more threads than a caller's part.

``getaddrinfo`` cannot be stopped: a name whose server does not answer holds its thread for half a minute. So these look-ups have
threads of their own, no caller has more than ``TENANT_MOST`` of them, one name is looked up once for all who wait for it, and what
was found is remembered for a short time.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from providers.transport.addresses import Lookup, Place

THREADS = 16
"""Names looked up at once."""
TENANT_MOST = 4
"""Of them for one caller: four callers with name servers that do not answer leave the others nothing to wait for."""
QUEUED_MOST = 100
"""Names that one caller may wait for; those beyond are not looked up."""
REMEMBERED_S = 20.0
"""Seconds for which an answer counts."""
REMEMBERED_MOST = 4_096


class Names:
    """One per process. ``lookup``: in place of the system's resolver, for tests."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="media-names")
        self._resolver = lookup or self._look_up
        self._running: dict[tuple[str, str], asyncio.Task[Sequence[str]]] = {}
        """Tenant and host → its look-up."""
        self._parts: dict[str, _Part] = {}
        """Tenant → its part of the threads, while it uses any."""
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        """Host → until when (``time.monotonic()``), and the addresses."""

    async def all(self, places: Sequence[Place], tenant: str, limit_s: float) -> Mapping[str, Sequence[str]]:
        """Host → its addresses; none for a name without any, and for one that was not found within ``limit_s`` for all of them."""
        found: dict[str, Sequence[str]] = {place.host: () for place in places}
        tasks: dict[str, asyncio.Task[Sequence[str]]] = {}
        for place in places:
            until, known = self._known.get(place.host, (0.0, ()))
            if until > time.monotonic():
                found[place.host] = known
            elif (task := self._task(place.host, place.port, tenant)) is not None:
                tasks[place.host] = task
        if tasks:
            done, _ = await asyncio.wait(tasks.values(), timeout=limit_s)
            found |= {host: task.result() for host, task in tasks.items() if task in done and not task.cancelled()}
        return found

    def lookup(self, tenant: str) -> Lookup:
        """The look-up of one caller, which never answers from memory: the connection goes to what it finds."""

        async def look_up(host: str, port: int) -> Sequence[str]:
            task = self._task(host, port, tenant)
            return () if task is None else await asyncio.shield(task)

        return look_up

    def _task(self, host: str, port: int, tenant: str) -> asyncio.Task[Sequence[str]] | None:
        """The look-up that is under way, or a new one, which goes on when nobody waits for it any more, as its thread does. None
        for a caller with too many of them.
        """
        key = (tenant, host)
        running = self._running.get(key)
        if running is not None:
            return running
        part = self._parts.setdefault(tenant, _Part())
        if part.users >= QUEUED_MOST:
            return None
        part.users += 1
        task = self._running[key] = asyncio.create_task(self._find(host, port, part))
        task.add_done_callback(lambda _: self._ended(key, part))
        return task

    def _ended(self, key: tuple[str, str], part: _Part) -> None:
        del self._running[key]
        part.users -= 1
        if not part.users:
            del self._parts[key[0]]

    async def _find(self, host: str, port: int, part: _Part) -> Sequence[str]:
        async with part.threads:
            try:
                found = await self._resolver(host, port)
            except (OSError, UnicodeError):
                found = ()
        while len(self._known) >= REMEMBERED_MOST:
            del self._known[next(iter(self._known))]
        self._known[host] = time.monotonic() + REMEMBERED_S, found
        return found

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _resolved, host, port)


class _Part:
    """One caller's part of the threads."""

    __slots__ = ("threads", "users")

    def __init__(self) -> None:
        self.threads = asyncio.Semaphore(TENANT_MOST)
        self.users = 0
        """Look-ups that use it or wait for it."""


def _resolved(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
