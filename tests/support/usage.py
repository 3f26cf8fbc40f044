"""Traffic for tests of what is counted: events of chosen days, users and accounts, counted by the real consumer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from gateway.analytics import stream
from gateway.analytics.buckets import DAY_MS, HOUR_MS, today
from gateway.analytics.consumer import Consumer
from gateway.analytics.event import FAILED, SERVED, STREAMED, Event, Tried
from gateway.store import analytics_keys as keys
from gateway.store.client import Store

USERS, ACCOUNTS = 8, 4


async def count_events(store: Store, events: list[Event]) -> None:
    """Put the events into the stream and count them."""
    for start in range(0, len(events), 64):
        part = events[start : start + 64]
        fields: dict[Any, Any] = {"w": "test", "a": start, "f": start, "e": stream.pack(part)}
        await store.redis.xadd(keys.EVENTS, fields)
    consumer = Consumer(store, "worker")
    while await consumer.consume():
        pass


def crowd(day: int, endpoint: str, tokens: int, *, users: int = USERS, **more: Any) -> Iterator[Event]:
    """One request of each of several users of several accounts, ``tokens`` each, at noon of a day."""
    for user in range(users):
        fields: dict[str, Any] = {
            "at_ms": day * DAY_MS + 12 * HOUR_MS,
            "endpoint": endpoint,
            "org": f"org-{user % ACCOUNTS}",
            "key": f"key-{user}",
            "user": (user + 1).to_bytes(8),
            "flags": STREAMED,
            "prompt": tokens - tokens // 4,
            "completion": tokens // 4,
            "reasoning": tokens // 8,
            "cache_read": tokens // 8,
            "ttft_ms": 300,
            "total_ms": 2000,
            "charged_nano": tokens * 1000,
            "tried": (Tried(endpoint, SERVED),),
        }
        yield Event(**fields | more)


def busy_hours(endpoint: str, hours: int, *, failed: int = 0) -> Iterator[Event]:
    """A hundred and twenty requests in each of the last hours, ``failed`` of which another endpoint served first badly."""
    now_ms = int(time.time() * 1000)
    for hour in range(1, hours + 1):
        for number in range(120):
            tried = (Tried(endpoint, FAILED if number < failed else SERVED),)
            (event,) = crowd(today(time.time()), endpoint, 40, users=1, at_ms=now_ms - hour * HOUR_MS, tried=tried)
            yield event
