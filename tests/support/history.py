"""Events for tests of the history of analytics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.analytics.buckets import DAY_MS
from gateway.analytics.event import Event, Tried
from gateway.analytics.history import schema
from gateway.analytics.history.archive import Archive, Batch
from gateway.analytics.history.schema import EVENTS

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


def read(archive: Archive, first: int | None = None, last: int | None = None) -> list[Event]:
    names = ", ".join(column.quoted for column in EVENTS.columns)
    with archive.reading(first, last) as opened:
        return [schema.event(row) for row in opened.execute(f"SELECT {names} FROM events").fetchall()]


def batch(after: int, events: Sequence[Event]) -> Batch:
    lines = msgspec.json.Encoder().encode_lines(events)
    return Batch(after=f"{after}-0", upto=f"{after + len(events)}-0", rows=len(events), lines=lines)
