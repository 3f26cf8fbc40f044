"""Events for tests of the history of analytics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.analytics.buckets import DAY_MS
from gateway.analytics.event import Event, Tried
from gateway.analytics.history.source import Batch, History

DAY = 20_422
"""2025-11-30, a Sunday."""


def event(number: int, day: int = DAY, **more: Any) -> Event:
    """An event that no other number gives, with texts that a caller might send."""
    plain: dict[str, Any] = {
        "endpoint": f'acme/f-{number % 3}@acme/it\'s "fast"',
        "org": f"o{number % 5}",
        "key": "k\0\n",
        "user": number.to_bytes(8),
        "app_name": "~ünï 💥",
        "prompt": number,
        "charged_nano": 2**53 + number,
        "ok": bool(number % 2),
        "ttft_ms": None if number % 2 else number,
        "tried": tuple(Tried(f"e{n}", n) for n in range(number % 3)),
    }
    return Event(at_ms=day * DAY_MS + number * 1000, **plain | more)


def read(history: History, first: int | None = None, last: int | None = None) -> list[Event]:
    return [event for part in history.events(first, last) for event in part]


def batch(after: int, events: Sequence[Event]) -> Batch:
    lines = msgspec.json.Encoder().encode_lines(events)
    return Batch(after=f"{after}-0", upto=f"{after + len(events)}-0", rows=len(events), lines=lines)


class Killed(BaseException):
    """The process dies."""


class DyingSystem:
    """What the archive uses of ``os``; the process dies before (odd numbers) or after a step. Unlike a real death it cannot come
    between the system's own calls, and what Python cleans up is cleaned up."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def step(self, real: Callable[..., Any], *args: Any) -> Any:
        self.steps += 1
        if self.steps > self.at or (self.steps == self.at and self.at % 2):
            raise Killed
        result = real(*args)
        if self.steps == self.at:
            raise Killed
        return result

    def fsync(self, descriptor: int) -> None:
        self.step(os.fsync, descriptor)

    def link(self, old: Path, new: Path) -> None:
        self.step(os.link, old, new)

    def replace(self, old: Path, new: Path) -> None:
        self.step(os.replace, old, new)

    def unlink(self, path: Path) -> None:
        self.step(os.unlink, path)
