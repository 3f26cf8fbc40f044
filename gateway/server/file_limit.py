"""How many files the process may have open, connections among them: the limit is raised as far as it may be, and watched."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

MOST = 2**20
"""Where the system sets no limit."""
RESERVED = 64
"""Files that are not connections: logs, sockets of Redis, those of the history."""
NEARLY_ALL_PERCENT = 80
_OPEN = next((path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None)


def raise_limit() -> None:
    """Raise the process' own limit to the highest that it may set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a system with another limit beneath this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """How many files the process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft


def callers(limit: int) -> int:
    """How many connections of callers fit: each may need one to a vendor."""
    return max((limit - RESERVED) // 2, 1)


def open_files() -> int | None:
    """How many files are open; None where the system does not tell."""
    return len(os.listdir(_OPEN)) if _OPEN is not None else None
