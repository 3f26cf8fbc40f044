"""The driver of a streamed answer: reads the connection, feeds the decoder, keeps the clocks.

One timer per stream, re-armed lazily: a stream that lives moves a deadline (one float an event) and the timer looks at it when
it rings. The clocks judge the vendor only: time in which nobody reads is not a gap.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from providers._http import HttpStream
from providers.errors import Clock, ProviderError, failed, timed_out
from providers.types import Clocks, Event, HttpResponse

REFUSAL_MAX = 64 * 1024
"""Bytes read of the body of a refusal."""
REFUSAL_S = 5.0
"""Seconds given to the body of a refusal: its status is known already."""


class Decoder(Protocol):
    """Bytes of one stream to events; pure, one per stream."""

    @property
    def done(self) -> bool:
        """The dialect's own end mark was seen: nothing after it counts."""

    @property
    def error(self) -> ProviderError | None:
        """An error that came behind the events just returned; it ends the stream."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises ``ProviderError``: malformed, or the error a vendor sent as an event."""

    def close(self) -> list[Event]:
        """What was still open at the end of the body. Raises ``ProviderError``: cut, or empty when nothing ever came."""


class Stream:
    """An opened answer. ``read`` until it returns ``[]``, then or earlier ``aclose``."""

    __slots__ = (
        "_clock",
        "_clocks",
        "_decoder",
        "_due",
        "_ended",
        "_first",
        "_http",
        "_limit_s",
        "_loop",
        "_reading",
        "_timer",
        "_total_at",
    )

    def __init__(self, http: HttpStream, decoder: Decoder, clocks: Clocks) -> None:
        self._http = http
        self._decoder = decoder
        self._clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._total_at = http.sent_at + clocks.total_s
        self._first = True
        self._ended = False
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._clock: Clock = "first_content"
        self._limit_s = clocks.first_content_s

    async def read(self) -> list[Event]:
        """Events that arrived together, at least one; ``[]`` is the proper end.

        Raises ``ProviderError``: timeout_* with ``clock`` set, cut, malformed, empty, or what the vendor's error event means.
        Any error closes the connection. Cancelling it leaves that to ``aclose``.
        """
        if self._ended:
            if self._decoder.error is not None:  # it came behind the last events, at the end of the body
                raise self._decoder.error
            return []
        self._arm()
        self._reading = True
        try:
            return await self._events()
        except ProviderError:
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Idempotent; closes the vendor's connection at once when the answer is not finished."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._http.aclose()

    async def _events(self) -> list[Event]:
        if self._decoder.error is not None:
            raise self._decoder.error
        while not self._decoder.done:
            try:
                data = await self._http.read()
            except ProviderError as error:
                if error.failure.kind not in ("cut", "timeout_gap", "timeout_total"):
                    raise
                return self._finish(self._close(error))
            if not data:
                return self._finish(self._decoder.close())
            events = self._decoder.feed(data)
            if events:
                if self._first and any(event.content for event in events):
                    self._first = False
                return events
        return self._finish([])

    def _close(self, error: ProviderError) -> list[Event]:
        # A vendor that dies or falls silent after the finish reason has still delivered the whole answer.
        try:
            return self._decoder.close()
        except ProviderError:
            raise error from None

    def _finish(self, events: list[Event]) -> list[Event]:
        self._ended = True
        self._http.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return events

    def _arm(self) -> None:
        clocks = self._clocks
        if self._first:
            due, self._clock, self._limit_s = (
                self._http.sent_at + clocks.first_content_s,
                "first_content",
                clocks.first_content_s,
            )
        else:
            due, self._clock, self._limit_s = self._loop.time() + clocks.gap_s, "gap", clocks.gap_s
        if due > self._total_at:
            due, self._clock, self._limit_s = self._total_at, "total", clocks.total_s
        self._due = due
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self._reading:
            return  # the next read arms it again
        if self._loop.time() + 0.001 < self._due:
            self._timer = self._loop.call_at(self._due, self._ring)
        else:
            self._http.fail(timed_out(self._clock, self._limit_s))


async def refusal(http: HttpStream) -> HttpResponse:
    """The body of an answer that is no stream, as far as it comes in 64 kB and 5 s."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(REFUSAL_S, http.fail, failed("cut", "the refusal's body did not end"))
    pieces: list[bytes] = []
    try:
        while sum(map(len, pieces)) < REFUSAL_MAX and (data := await http.read()):
            pieces.append(data)
    except ProviderError:
        pass  # the status line is the answer; a body that breaks off changes nothing
    finally:
        timer.cancel()
        await http.aclose()
    return HttpResponse(http.status, http.headers, b"".join(pieces))
