"""Whose turn it is to do what only one process should do at a time. It makes work rare, not safe: what is done under a lease must
bear to be done by two processes at once, because a process may sleep through the end of its lease.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

import redis.asyncio

Role = Literal["gateway", "worker"]
"""A worker takes a lease from a gateway, never the other way round."""


class Lease:
    """One name in the store, of one process. It expires by itself ``ms`` after it was last taken."""

    def __init__(self, client: redis.asyncio.Redis, name: str, role: Role, ms: int) -> None:
        self._redis, self._name, self._role, self._ms = client, name, role, ms
        self._holder = f"{role}:{secrets.token_hex(6)}".encode()

    async def held(self) -> bool:
        """Take or renew it; whether this process has it. Raises what redis-py raises."""
        holder: Any = await self._redis.get(self._name)
        if holder is None:
            return bool(await self._redis.set(self._name, self._holder, nx=True, px=self._ms))
        if holder == self._holder or (self._role == "worker" and holder.startswith(b"gateway:")):
            await self._redis.set(self._name, self._holder, px=self._ms)
            return True
        return False

    async def release(self) -> None:
        """Let another process take it at once. Raises what redis-py raises."""
        if await self._redis.get(self._name) == self._holder:
            await self._redis.delete(self._name)
