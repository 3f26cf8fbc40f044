"""The one plain write that a full store must take: small values without which nothing would give memory back."""

from __future__ import annotations

from typing import Any

import redis.asyncio

_SET = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], unpack(ARGV))"


async def set_when_full(
    client: redis.asyncio.Redis, name: str, value: str | bytes, *, px: int | None = None, nx: bool = False
) -> bool:
    """``SET``, also while the store refuses to grow; False where ``nx`` finds a value. Raises what redis-py raises."""
    options = (["NX"] if nx else []) + ([] if px is None else ["PX", str(px)])
    reply: Any = await client.eval(_SET, 1, name, value, *options)
    return reply is not None
