"""Events of made-up use, put into the counters as the gateway does it."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from gateway.analytics import stream
from gateway.analytics.buckets import DAY_MS
from gateway.analytics.consumer import Consumer
from gateway.analytics.event import STREAMED, Event
from gateway.store import analytics_keys as keys
from gateway.store.client import Store


def event(day: int, endpoint: str, prompt: int, *, org: str = "o1", user: int = 1, **more: Any) -> Event:
    plain: dict[str, Any] = {"org": org, "key": org, "user": user.to_bytes(8), "flags": STREAMED, "charged_nano": 5}
    return Event(at_ms=day * DAY_MS + 1, endpoint=f"acme/{endpoint}@{endpoint}", prompt=prompt, **plain | more)


async def count_events(store: Store, events: list[Event]) -> None:
    fields: dict[Any, Any] = {"w": secrets.token_hex(6), "a": 0, "f": 0, "e": stream.pack(events)}
    await store.redis.xadd(keys.EVENTS, fields)
    consumer = Consumer(store, "worker")
    while await consumer.consume():
        pass


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await client.get(f"/api/v1{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()
