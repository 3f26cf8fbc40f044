"""Timers exact to tens of microseconds: uvloop's and asyncio's own timers are rounded to a millisecond.

One Linux timerfd (absolute, CLOCK_MONOTONIC) and a heap; Python has ``os.timerfd_create`` only from 3.13 on, hence ctypes.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import os
import time
from collections.abc import Callable
from itertools import count

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Pacer:
    """Calls back at a moment of ``time.monotonic_ns``. Raises OSError where the kernel has no timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._fd = _LIBC.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._rank = count()
        self._spec = _Itimerspec()
        loop.add_reader(self._fd, self._fire)

    def at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Equal moments are called in the order of their registration."""
        heapq.heappush(self._due, (due_ns, next(self._rank), call))
        if self._due[0][0] == due_ns:
            self._arm(due_ns)

    def _arm(self, due_ns: int) -> None:
        value = self._spec.it_value
        value.tv_sec, value.tv_nsec = divmod(max(due_ns, 1), 1_000_000_000)
        _LIBC.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(self._spec), None)

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        now = time.monotonic_ns()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        if self._due:
            self._arm(self._due[0][0])
