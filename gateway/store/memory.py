"""How full the store's memory is. A store that may grow no further refuses what makes it grow: that must be seen coming.

It must not know: who is to be warned, and what is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.store.client import Calls

NEARLY_FULL_PERCENT = 80
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class StoreMemory:
    """What of its limit a store uses, in bytes. ``limit`` 0: it has none."""

    used: int
    limit: int
    append_only: int
    """Size of the append-only file; 0 without one."""

    @property
    def nearly_full(self) -> bool:
        """An operator should act."""
        return 0 < self.limit * NEARLY_FULL_PERCENT <= self.used * 100

    def __str__(self) -> str:
        share = f"{self.used * 100 // self.limit} %" if self.limit else "unlimited"
        return f"{self.used / 2**20:.0f} of {self.limit / 2**20:.0f} MB ({share})"


async def memory_of(calls: Calls) -> StoreMemory:
    """As the store tells it; zeros for what it does not tell. Raises StoreError."""
    facts = _facts(await calls.call("INFO", "memory", "persistence"))

    def number(name: str) -> int:
        return int(facts.get(name, 0))

    # buffers of replicas and of the append-only file do not count against the limit
    used = number("used_memory") - number("mem_not_counted_for_evict")
    return StoreMemory(max(used, 0), number("maxmemory"), number("aof_current_size"))


def _facts(reply: Any) -> Mapping[str, str]:
    lines = reply.decode().splitlines() if isinstance(reply, bytes) else []
    return {name: value for name, _, value in (line.partition(":") for line in lines) if value}


def default_limit() -> int:
    """Half of the memory that this machine or its control group has, in bytes: while the append-only file is written anew, a forked
    copy of the server may need as much again."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no control group, or "max"
        machine = min(machine, int(CGROUP_LIMIT.read_text()))
    return machine // 2
