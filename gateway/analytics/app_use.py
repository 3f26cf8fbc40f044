"""What one app used: its models over time. It must not know: HTTP, names and colours, what is shown to whom."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.analytics import tables
from gateway.analytics.buckets import Grain
from gateway.store.client import Store


class AppBucket(msgspec.Struct, frozen=True):
    """An app in one bucket."""

    tokens: int
    requests: int
    by_model: dict[str, int]
    """Model → tokens."""


async def use(store: Store, grain: Grain, numbers: Sequence[int], app: str) -> list[AppBucket]:
    """The app in each day or week. Raises StoreError."""
    found = []
    for fields in await tables.rows(store, grain + "a", [(number, app) for number in numbers]):
        by_model = {name[:-2]: value for name, value in fields.items() if name.endswith(" t") and value}
        found.append(AppBucket(fields.get("t", 0), fields.get("r", 0), by_model))
    return found
