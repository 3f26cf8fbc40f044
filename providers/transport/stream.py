"""The driver of a streamed answer: takes what the connection brings, feeds the decoder, keeps the clocks.

While somebody carries, all of that happens in the callback in which the bytes arrive; no task wakes for an event. One timer per
stream, re-armed lazily: a stream that lives notes when it was heard (one float an event) and the timer looks at that when it rings.
The clocks judge the vendor only: time in which nobody reads or carries is not a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from providers.errors import Clock, ProviderError, failed, timed_out
from providers.transport.client import HttpStream
from providers.types import Clocks, Event, HttpResponse

EventSink = Callable[[list[Event]], bool]
"""Takes events, at least one; False: wait for me before there are more."""
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
    """An opened answer. ``carry`` until it returns True or ``read`` until it returns ``[]``, then or earlier ``aclose``."""

    __slots__ = (
        "_clocks",
        "_decoder",
        "_ended",
        "_first",
        "_heard",
        "_http",
        "_loop",
        "_raised",
        "_reading",
        "_stopped",
        "_take",
        "_timer",
        "_total_at",
        "taking_s",
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
        self._heard = 0.0
        """Loop time of the last event, or since which somebody waits for one."""
        self._take: EventSink | None = None
        self._stopped = False
        """``take`` asked to be waited for."""
        self._raised: ProviderError | None = None
        """What was wrong with the bytes that were handed over."""
        self.taking_s = 0.0
        """Time spent in ``take`` while somebody carried: it is not the vendor's."""

    async def read(self) -> list[Event]:
        """Events that arrived together, at least one; ``[]`` is the proper end. Raises what ``carry`` raises."""
        events: list[Event] = []

        def keep(found: list[Event]) -> bool:
            events.extend(found)
            return False

        await self.pump(keep)
        return events

    async def pump(self, take: EventSink) -> bool:
        """Hand events to ``take`` in the callback in which they arrive, those that arrived together at once.

        True: the proper end. False: ``take`` said so; what comes meanwhile waits for the next ``carry`` or ``read``. Raises
        ``ProviderError``: timeout_* with ``clock`` set, cut, malformed, empty, or what the vendor's error event means; and whatever
        ``take`` raises. A ``ProviderError`` closes the connection. Cancelling it leaves that to ``aclose``.
        """
        decoder = self._decoder
        self._take, self._reading = take, True
        try:
            if not self._ended and not decoder.done and decoder.error is None:
                self._arm()
                self._stopped, self._raised, broken = False, None, None
                try:
                    over = await self._http.pump(self._hand)
                except ProviderError as error:
                    over, broken = True, error
                if self._stopped:
                    return False
                if self._raised is not None:
                    raise self._raised
                if over and (events := self._last(broken)) and not take(events):
                    return False
            if decoder.error is not None:  # it came behind the last events
                raise decoder.error
            if not self._ended:
                self._finish()
            return True
        except ProviderError:
            await self.aclose()
            raise
        finally:
            self._take, self._reading = None, False

    async def aclose(self) -> None:
        """Idempotent; closes the vendor's connection at once when the answer is not finished."""
        self._ended = True
        self._disarm()
        await self._http.aclose()

    def _hand(self, data: bytes) -> bool:
        decoder, take = self._decoder, self._take
        assert take is not None
        try:
            if events := decoder.feed(data):
                self._heard = self._loop.time()
                if self._first and any(event.content for event in events):
                    self._first = False
                    self._disarm()  # the next clock may fall sooner
                    self._arm()
                begun = perf_counter()
                on = take(events)
                self.taking_s += perf_counter() - begun
                if not on:
                    self._stopped = True
                    return False
        except ProviderError as error:
            self._raised = error  # apart from the connection's errors, after which the answer may still be whole
            return False
        return decoder.error is None and not decoder.done

    def _last(self, error: ProviderError | None) -> list[Event]:
        """The body has ended, properly or by ``error``: what was still open in it."""
        if error is not None and error.failure.kind not in ("cut", "timeout_gap", "timeout_total"):
            raise error
        try:
            events = self._decoder.close()
        except ProviderError:
            if error is None:
                raise
            raise error from None
        self._finish()  # a vendor that dies or falls silent after the finish reason has still delivered the whole answer
        return events

    def _finish(self) -> None:
        self._ended = True
        self._http.release()
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        """Somebody waits for an event from now on. A timer that is there rings early at worst: time only moves its clock on."""
        self._heard = self._loop.time()
        if self._timer is None:
            due, _, _ = self._due()
            self._timer = self._loop.call_at(due, self._ring)

    def _due(self) -> tuple[float, Clock, float]:
        """When the next clock falls, which one, and its limit in seconds."""
        clocks = self._clocks
        due = self._http.sent_at + clocks.first_content_s if self._first else self._heard + clocks.gap_s
        if due > self._total_at:
            return self._total_at, "total", clocks.total_s
        return (due, "first_content", clocks.first_content_s) if self._first else (due, "gap", clocks.gap_s)

    def _ring(self) -> None:
        self._timer = None
        if not self._reading:
            return  # the next carry arms it again
        due, clock, limit_s = self._due()
        if self._loop.time() + 0.001 < due:
            self._timer = self._loop.call_at(due, self._ring)
        else:
            self._http.fail(timed_out(clock, limit_s))


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
