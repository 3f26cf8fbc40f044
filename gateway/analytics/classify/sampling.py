"""Which requests are classified: a keyed hash of the generation's id below the chance. And how large the chance is.

The chance travels with the event, in millionths: what it was when the event was chosen is what its weight is made of, however it
changes later. It must not know: texts.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from gateway.analytics.buckets import WEEK_MS, bucket, start_ms
from gateway.store import analytics_keys as keys
from gateway.store.client import Store

MILLION = 1_000_000
TARGET_A_WEEK = 2_000
"""Requests of an organisation that are to be classified in a week: shares are known within some two points."""
LEAST_ELAPSED_MS = 86_400_000
"""A week is judged by no less than a day: its first minutes say nothing."""
ASKED_TTL_S = 3 * 7 * 86_400
KEY_BYTES = 16


def chance_ppm(this_week: int, elapsed_ms: int, last_week: int) -> int:
    """The chance that is to give about ``TARGET_A_WEEK``, in millionths: 1, or a half of a half ... so that it seldom changes.

    ``this_week``: requests since its begin, ``elapsed_ms`` ago; ``last_week``: those of the whole week before.
    """
    expected = max(last_week, this_week * WEEK_MS // max(elapsed_ms, LEAST_ELAPSED_MS))
    halvings = 0
    while expected > TARGET_A_WEEK << halvings:
        halvings += 1
    return max(MILLION >> halvings, 1)


class Sampler:
    """Chooses requests. One per process, owned by its event loop. ``clock``: unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._key = secrets.token_bytes(KEY_BYTES)
        self._asked: dict[str, int] = {}
        """Organisation → requests since ``share`` was called."""
        self._chances: dict[str, int] = {}

    def chance(self, org: str, sample: float | None) -> int:
        """The chance of the organisation's next request in millionths. ``sample``: as the organisation has set it, None: auto."""
        if sample is not None:
            return round(sample * MILLION)
        self._asked[org] = self._asked.get(org, 0) + 1
        return self._chances.get(org, MILLION)

    def chosen(self, id: str, ppm: int) -> bool:
        """Whether the request is classified. Nobody who sees ids can tell, or choose one."""
        if ppm >= MILLION:
            return True
        digest = hashlib.blake2b(id.encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "big") * MILLION < ppm << 64

    async def share(self) -> None:
        """Add what this process has seen to what all have, and set the chances by that. Raises StoreError.

        When a reply is lost, requests may be added twice: the chance becomes smaller, and nothing else depends on them.
        """
        call, now_ms = self._store.mux.call, int(self._clock() * 1000)
        week = bucket("w", now_ms)
        elapsed_ms = now_ms - start_ms("w", week)
        for org, count in list(self._asked.items()):
            this_week: Any = await call("HINCRBY", keys.asked(week), org, count)
            last_week: Any = await call("HGET", keys.asked(week - 1), org)
            self._chances[org] = chance_ppm(int(this_week), elapsed_ms, int(last_week or 0))
            self._asked[org] -= count
            if not self._asked[org]:
                del self._asked[org]
        if self._chances:
            await call("EXPIRE", keys.asked(week), ASKED_TTL_S)
