"""Answers that are dear to make and the same for everybody: kept for a while, made one at a time, sent whole or as 304.

What anybody may ask for, without a key, must not cost the requests beside it: distinct questions, which no cache helps against,
wait for each other, and only so many may wait. It must not know: what the answers say.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2s
from typing import Protocol

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Unavailable

REST_TIMES = 3
"""After an answer was made no other one is made for so many times as long: strangers cannot take more than a quarter of the event
loop, or of a thread, from the requests beside them."""
WAITING_MAX = 64
"""Requests that wait for an answer to be made; more are asked to come back."""
KEPT_MAX = 128

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished body."""

    body: bytes
    etag: str
    """With its quotation marks."""
    status: int = 200


Make = Callable[[], Awaitable[Answer]]


class Shared(Protocol):
    """Where answers are kept for other processes."""

    async def get(self, key: Hashable) -> tuple[float, Answer] | None:
        """(seconds since it was made, the answer)."""
        ...

    async def put(self, key: Hashable, answer: Answer, kept_s: float) -> None:
        """Keep it for so many seconds."""
        ...


SHARED_FROM_S = 0.1
"""What took less to make is not shared: answers are made in a quarter of a process's time at most, so strangers who ask for ever
different things bring two a second into the store."""


class AnswerCache:
    """Of one process and one kind of answer. Times in seconds, ``clock`` monotonic."""

    def __init__(
        self,
        kept_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        stale_s: float = 0.0,
        rest_max_s: float = math.inf,
        burst_s: float = 0.0,
    ) -> None:
        """``stale_s``: so much longer an answer is sent while it is made anew. ``rest_max_s``: no rest is longer, as on a busy
        machine an answer takes long without taking much. ``burst_s``: so much rest may be owed, for whoever looks at some pages.
        """
        self._kept_s, self._stale_s, self._clock = kept_s, stale_s, clock
        self._rest_max_s, self._burst_s = rest_max_s, burst_s
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        self._renewing: dict[Hashable, asyncio.Task[None]] = {}
        self._waiting = 0
        self._rested_at = -math.inf

    async def get(self, key: Hashable | None, make: Make, shared: Shared | None = None) -> Answer:
        """The answer under this key, made if there is none that is young enough; what is not 200, or has no key, is not kept.
        ``shared``: where other processes have put theirs.

        Raises what ``make`` raises, Unavailable when too many wait.
        """
        answer = self._young(key, self._kept_s)
        if answer is not None:
            return answer
        answer = self._young(key, self._kept_s + self._stale_s)
        if answer is None and await self._fetched(key, shared):
            answer = self._young(key, self._kept_s + self._stale_s)
        if answer is None:
            return await self._queued(key, make, shared)
        if self._young(key, self._kept_s) is None and key not in self._renewing and self._waiting < WAITING_MAX:
            self._renewing[key] = task = asyncio.create_task(self._renew(key, make, shared))
            task.add_done_callback(_log_failure)
        return answer

    async def _fetched(self, key: Hashable | None, shared: Shared | None) -> bool:
        """Whether another process had one that is not too old; then it is kept here."""
        found = await shared.get(key) if key is not None and shared is not None else None
        if found is None or found[0] > self._kept_s + self._stale_s:
            return False
        self._keep(key, found[1], found[0])
        return True

    async def _renew(self, key: Hashable | None, make: Make, shared: Shared | None) -> None:
        try:
            await self._fetched(key, shared)
            await self._queued(key, make, shared)
        finally:
            del self._renewing[key]

    async def _queued(self, key: Hashable | None, make: Make, shared: Shared | None) -> Answer:
        """The answer, made when those before it are."""
        if self._waiting >= WAITING_MAX:
            raise Unavailable("Too many answers are asked for at once; try again.", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                answer = self._young(key, self._kept_s)  # made while this request waited
                if answer is None:
                    answer, took = await self._made(make)
                    if key is not None and answer.status == 200:
                        self._keep(key, answer)
                        if shared is not None and took >= SHARED_FROM_S:
                            await shared.put(key, answer, self._kept_s + self._stale_s)
        finally:
            self._waiting -= 1
        return answer

    async def _made(self, make: Make) -> tuple[Answer, float]:
        """The answer, and the seconds that it took."""
        await asyncio.sleep(self._rested_at - self._burst_s - self._clock())
        begun = self._clock()
        try:
            return await make(), self._clock() - begun
        finally:
            took = self._clock() - begun
            self._rested_at = max(self._rested_at, begun) + took + min(REST_TIMES * took, self._rest_max_s)

    def _young(self, key: Hashable | None, most_s: float) -> Answer | None:
        found = self._kept.get(key)
        if found is None or self._clock() - found[0] > most_s:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def _keep(self, key: Hashable, answer: Answer, age_s: float = 0.0) -> None:
        self._kept[key] = (self._clock() - age_s, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def _log_failure(renewal: asyncio.Task[None]) -> None:
    """Nobody waits for a renewal; whoever asks when the old answer is too old is told."""
    if not renewal.cancelled() and (error := renewal.exception()) is not None:
        log.warning("a kept answer could not be made anew", error=str(error))


def digest(body: bytes) -> str:
    """What tells two bodies apart, as text for an ``ETag``."""
    return blake2s(body, digest_size=8).hexdigest()


def conditional(request: Request, answer: Answer, headers: Mapping[str, str]) -> Response:
    """The answer, or 304 for a client that has it."""
    headers = {**headers, "etag": answer.etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if answer.status == 200 and answer.etag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    return Response(answer.body, answer.status, headers)
