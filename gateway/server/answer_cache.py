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

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Unavailable

REST_TIMES = 3
"""After an answer was made no other one is made for so many times as long: strangers cannot take more than a quarter of the event
loop, or of a thread, from the requests beside them."""
WAITING_MAX = 64
"""Requests that wait for an answer to be made; more are asked to come back."""
KEPT_MAX = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished body."""

    body: bytes
    etag: str
    """With its quotation marks."""
    status: int = 200


class AnswerCache:
    """Of one process and one kind of answer. ``clock``: seconds, monotonic; ``rest_max_s``: no rest is longer, as on a busy machine
    an answer takes long without taking much."""

    def __init__(
        self, kept_s: float, clock: Callable[[], float] = time.monotonic, rest_max_s: float = math.inf
    ) -> None:
        self._kept_s, self._clock, self._rest_max_s = kept_s, clock, rest_max_s
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._rested_at = 0.0

    async def get(self, key: Hashable | None, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer under this key, made if there is none that is young enough; what is not 200, or has no key, is not kept.

        Raises what ``make`` raises, Unavailable when too many wait.
        """
        answer = self._young(key)
        if answer is not None:
            return answer
        if self._waiting >= WAITING_MAX:
            raise Unavailable("Too many answers are asked for at once; try again.", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                answer = self._young(key)  # made while this request waited
                if answer is None:
                    answer = await self._made(make)
                    if key is not None and answer.status == 200:
                        self._keep(key, answer)
        finally:
            self._waiting -= 1
        return answer

    async def _made(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        await asyncio.sleep(self._rested_at - self._clock())
        begun = self._clock()
        try:
            return await make()
        finally:
            now = self._clock()
            self._rested_at = now + min(REST_TIMES * (now - begun), self._rest_max_s)

    def _young(self, key: Hashable | None) -> Answer | None:
        found = self._kept.get(key)
        if found is None or self._clock() - found[0] > self._kept_s:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def _keep(self, key: Hashable, answer: Answer) -> None:
        self._kept[key] = (self._clock(), answer)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


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
