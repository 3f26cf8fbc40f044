"""Processes of the bench: started on one core, their CPU and memory read from ``/proc``, and always ended.

A tree is a process and all its descendants. The ledger's server (Valkey or Redis) inside the gateway's tree is counted apart.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
LEDGER_SERVERS = ("valkey", "redis-server")
STOP_S = 15.0
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server under test runs, and where upstream and load run. Equal on a machine with one core."""

    server: int
    load: int


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds since start, and resident bytes, of a tree; ``ledger_*`` is the Valkey or Redis in it."""

    cpu_s: float
    ledger_cpu_s: float
    rss_bytes: int
    ledger_rss_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    parent: int
    name: str
    cpu_s: float
    rss_bytes: int


def cores() -> Cores:
    """The first and the last core this process may use."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores(mine[0], mine[-1])


def parse_stat(line: str) -> _Stat:
    """A line of ``/proc/<pid>/stat``; the name stands in brackets and may contain anything."""
    pid, _, rest = line.partition(" (")
    name, _, tail = rest.rpartition(") ")
    fields = tail.split()
    # proc(5), counted from the state (field 3): 4 ppid, 14 utime, 15 stime, 24 rss. Children that were waited for (16, 17) count
    # too: a tree's work does not vanish with a helper process.
    cpu_s = sum(int(fields[at]) for at in (11, 12, 13, 14)) / _TICKS_PER_S
    return _Stat(int(pid), int(fields[1]), name, cpu_s, int(fields[21]) * _PAGE_BYTES)


def _all() -> Iterator[_Stat]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield parse_stat((entry / "stat").read_text())


def _threads_cpu_s(pid: int) -> float:
    """CPU of the living threads to the nanosecond, 0 where the kernel does not report it."""
    total_ns = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def _exact(stat: _Stat) -> float:
    """The clock ticks of ``stat`` are rounded down to 10 ms but remember threads that ended: the greater of both is nearest."""
    return max(stat.cpu_s, _threads_cpu_s(stat.pid))


def tree(root: int, everyone: Sequence[_Stat]) -> list[_Stat]:
    """The process and its descendants, parents first."""
    found = [stat for stat in everyone if stat.pid == root]
    for parent in found:
        found.extend(stat for stat in everyone if stat.parent == parent.pid)
    return found


def reading(root: int) -> Reading:
    """CPU to the nanosecond as long as no thread ends, else to the clock tick (10 ms)."""
    members = tree(root, list(_all()))
    ledger = [stat for stat in members if stat.name.startswith(LEDGER_SERVERS)]
    own = [stat for stat in members if stat not in ledger]
    return Reading(
        cpu_s=sum(map(_exact, own)),
        ledger_cpu_s=sum(map(_exact, ledger)),
        rss_bytes=sum(stat.rss_bytes for stat in own),
        ledger_rss_bytes=sum(stat.rss_bytes for stat in ledger),
        processes=len(own),
    )


def pinned(command: Sequence[str], core: int) -> list[str]:
    """Children inherit the core, so an embedded Valkey shares it with its gateway."""
    return [shutil.which("taskset") or "taskset", "-c", str(core), *command]


@contextlib.contextmanager
def running(
    command: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own: SIGTERM at the end, SIGKILL for the whole group after ``STOP_S``.

    stdout and stderr go to the log. taskset replaces itself by the command, so ``pid`` is the command's.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(
            pinned(command, core), stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True
        )
    try:
        yield child
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def load_client(job: str, core: int, timeout_s: float) -> str:
    """Runs ``bench.client`` on the load's core. Raises subprocess.CalledProcessError, TimeoutExpired."""
    command = pinned([sys.executable, "-m", "bench.client"], core)
    done = subprocess.run(
        command, input=job, capture_output=True, text=True, timeout=timeout_s, check=True, cwd=CHECKOUT
    )
    return done.stdout
