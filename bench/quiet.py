"""How quiet the machine is: figures measured beside other work are worthless."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
LIMIT_SHARE = 0.10


@dataclass(frozen=True, slots=True)
class Ticks:
    """Clock ticks of all cores since boot."""

    total: int
    idle: int
    steal: int


def parse(text: str) -> Ticks:
    """The first line of ``/proc/stat``: cpu user nice system idle iowait irq softirq steal (guest is inside user)."""
    values = [int(value) for value in text.splitlines()[0].split()[1:9]]
    return Ticks(sum(values), values[3] + values[4], values[7])


def now() -> Ticks:
    return parse(_STAT.read_text())


def busy_share(before: Ticks, after: Ticks) -> float:
    """0 = all cores idle, 1 = none."""
    total = after.total - before.total
    return 1 - (after.idle - before.idle) / total if total else 0.0


def steal_share(before: Ticks, after: Ticks) -> float:
    """The share that the hypervisor gave to other machines."""
    total = after.total - before.total
    return (after.steal - before.steal) / total if total else 0.0


def sample(seconds: float) -> float:
    """The busy share while this process sleeps."""
    before = now()
    time.sleep(seconds)
    return busy_share(before, now())
