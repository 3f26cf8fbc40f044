"""What one model did: its endpoints, its use by day or week, what its tokens cost, and the apps that use it.

It must not know: HTTP, the catalogue, what is shown to whom.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from gateway.analytics import tables
from gateway.analytics.buckets import Grain
from gateway.analytics.event import UNKNOWN_APP
from gateway.store.client import Store

LEAST_ANSWERS = 20
"""Of which a rate of errors is told."""


def error_percent(bad: int, seen: int) -> float | None:
    """The percentage of answers with an error; None where too few were looked at."""
    return round(100 * bad / seen, 3) if seen >= LEAST_ANSWERS else None


class Use(msgspec.Struct):
    """Sums of some endpoints in one bucket. Money in nano-USD."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    """With reasoning."""
    reasoning: int = 0
    cached: int = 0
    """Prompt tokens that a vendor read from its cache."""
    tool_requests: int = 0
    """That ended with a call of tools."""
    charged_nano: int = 0
    calls_seen: int = 0
    """Requests that ended with a call of tools, and whose calls were looked at."""
    calls_bad: int = 0
    """Those with at least one bad call."""
    json_seen: int = 0
    """Answers that had to be JSON, and were looked at."""
    json_bad: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    @property
    def usd_per_mtok(self) -> float | None:
        """What a million tokens of prompt and completion together cost those who paid, after discounts for caching."""
        return self.charged_nano / self.tokens / 1000 if self.tokens else None

    @property
    def cache_hit_rate(self) -> float | None:
        """The part of the prompt tokens that was read from a cache."""
        return self.cached / self.prompt if self.prompt else None


_FIELDS = ("rq", "pt", "ct", "rt", "cr", "tc", "us", "kn", "kb", "jn", "jb")


async def endpoints(store: Store, table: str, numbers: Sequence[int], model: str) -> list[str]:
    """The rows of a table of endpoints that belong to a model, also of those that are not sold any more. Raises StoreError."""
    found = await tables.row_names(store, table, numbers)
    return sorted({row for rows in found for row in rows if row.rpartition("@")[2] == model and row[:1] != "@"})


async def use(store: Store, grain: Grain, numbers: Sequence[int], rows: Collection[str]) -> dict[str, list[Use]]:
    """Endpoint → its use in each bucket. Hours are kept 14 days, days 400 days, weeks 104 weeks. Raises StoreError."""
    cells = [(number, row) for row in rows for number in numbers]
    read = iter(await tables.rows(store, grain + "e", cells))
    return {row: [_use(next(read)) for _ in numbers] for row in rows}


def _use(counts: dict[str, int]) -> Use:
    return Use(*[counts.get(field, 0) for field in _FIELDS])


def added(parts: Sequence[Use]) -> Use:
    """The use of several endpoints, or of several buckets."""
    return Use(*[sum(getattr(each, name) for each in parts) for name in Use.__struct_fields__])


class AppUse(msgspec.Struct, frozen=True):
    """What an app used of a model."""

    app: str
    tokens: int
    requests: int


async def apps(store: Store, grain: Grain, numbers: Sequence[int], model: str) -> list[AppUse]:
    """Apps by tokens of this model, ties by name; requests without an app under ``unknown``, always the last. Raises StoreError."""
    sums: dict[str, tuple[int, int]] = {}
    for table in await tables.read(store, grain + "a", numbers, (f"{model} t", f"{model} r")):
        for app, (tokens, requests) in table.items():
            if requests:
                before = sums.get(app, (0, 0))
                sums[app] = (before[0] + tokens, before[1] + requests)
    found = [AppUse(app, *each) for app, each in sums.items()]
    return sorted(found, key=lambda each: (each.app == UNKNOWN_APP, -each.tokens, each.app))
