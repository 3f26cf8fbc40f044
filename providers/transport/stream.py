"""A streamed answer: reads what the connection brings, feeds the dialect's decoder, keeps the clocks.

While ``pump`` runs, all of that happens in the callback in which the bytes arrive; no task wakes for an event. There is one timer
per stream, re-armed lazily: what arrives only notes its time, and the timer compares when it fires. The clocks judge the vendor
alone: time in which nobody reads does not count as a gap. Which of them is in force:

    until the first content      first_content after the last sign of life, but not longer than thinking after the request
    afterwards                   gap after the last sign of life, but not longer than thinking after the last event
    after the finish reason      ``USAGE_S`` after the last event, for the usage that may follow; with the usage ``END_S``
    always                       total after the request
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from providers.errors import Clock, ProviderError, timed_out
from providers.transport.client import TIMER_SLACK_S, HttpStream
from providers.types import Clocks, Event

EventSink = Callable[[list[Event]], bool]
"""Takes events, at least one; returns False when it must be waited for before it can take more."""
USAGE_S = 10.0
"""Seconds given to the usage after the finish reason."""
END_S = 3.0
"""Seconds given to the end of a stream after finish reason and usage: some vendors neither send an end mark nor close."""


class Decoder(Protocol):
    """Bytes of one stream to events; pure, one per stream."""

    @property
    def done(self) -> bool:
        """The dialect's own end mark was read: nothing after it counts."""

    @property
    def error(self) -> ProviderError | None:
        """An error that came after the events just returned; it ends the stream."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises ``ProviderError``: malformed, or the error a vendor sent as an event."""

    def close(self) -> list[Event]:
        """What was still open at the end of the body. Raises ``ProviderError``: cut, or empty when nothing ever came."""


class Stream:
    """An opened answer. Call ``pump`` until it returns True or ``read`` until it returns ``[]``, then or earlier ``aclose``."""

    __slots__ = (
        "_clocks",
        "_counted",
        "_decode_error",
        "_decoder",
        "_ended",
        "_finished",
        "_fires_at",
        "_first",
        "_http",
        "_last_event_at",
        "_last_sign_at",
        "_loop",
        "_pumping",
        "_sink",
        "_sink_full",
        "_timer",
        "_total_at",
        "sink_s",
    )

    def __init__(self, http: HttpStream, decoder: Decoder, clocks: Clocks) -> None:
        self._http = http
        self._decoder = decoder
        self._clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._total_at = http.sent_at + clocks.total_s
        self._first = True
        """No content has arrived yet: the clock first_content is the one in force."""
        self._finished = self._counted = False
        """A finish reason, and a usage, have arrived."""
        self._ended = False
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        """Loop time of the timer."""
        self._last_event_at = self._last_sign_at = 0.0
        """Loop time of the last event, and of the last bytes; or of the moment since which an event is waited for."""
        self._sink: EventSink | None = None
        self._sink_full = False
        """The sink returned False."""
        self._decode_error: ProviderError | None = None
        """What the decoder raised. Kept apart from the connection's errors, after which the answer may still be whole."""
        self.sink_s = 0.0
        """Seconds spent inside the sink while pumping: they are not the vendor's."""

    async def read(self) -> list[Event]:
        """Events that arrived together, at least one; ``[]`` is the proper end. Raises what ``pump`` raises."""
        events: list[Event] = []

        def keep(batch: list[Event]) -> bool:
            events.extend(batch)
            return False

        await self.pump(keep)
        return events

    async def pump(self, sink: EventSink) -> bool:
        """Hand events to ``sink`` in the callback in which they arrive; those that arrived together in one call.

        True: the proper end. False: ``sink`` returned False; what comes meanwhile waits for the next ``pump`` or ``read``. Raises
        ``ProviderError``: timeout_* with ``clock`` set, cut, malformed, empty, or what the vendor's error event means; and whatever
        ``sink`` raises. A ``ProviderError`` closes the connection. Cancelling it leaves that to ``aclose``.
        """
        decoder = self._decoder
        self._sink, self._pumping = sink, True
        try:
            if not self._ended and not decoder.done and decoder.error is None:
                self._arm()
                self._sink_full, self._decode_error, broken = False, None, None
                try:
                    over = await self._http.pump(self._on_bytes)
                except ProviderError as error:
                    over, broken = True, error
                if self._sink_full:
                    return False
                if self._decode_error is not None:
                    raise self._decode_error
                if over and (events := self._last_events(broken)) and not sink(events):
                    return False
            if decoder.error is not None:  # it came after the last events
                raise decoder.error
            if not self._ended:
                self._finish()
            return True
        except ProviderError:
            await self.aclose()
            raise
        finally:
            self._sink, self._pumping = None, False

    async def aclose(self) -> None:
        """Idempotent; closes the vendor's connection at once when the answer is not finished."""
        self._ended = True
        self._disarm()
        await self._http.aclose()

    def _on_bytes(self, data: bytes) -> bool:
        decoder, sink = self._decoder, self._sink
        assert sink is not None
        self._last_sign_at = self._loop.time()
        try:
            if events := decoder.feed(data):
                self._last_event_at = self._last_sign_at
                advanced = False
                for event in events:
                    if event.finish is not None or event.usage is not None or (self._first and event.content):
                        self._advance(event)
                        advanced = True
                if advanced and not decoder.done:
                    self._hasten()
                began = perf_counter()
                more = sink(events)
                self.sink_s += perf_counter() - began
                if not more:
                    self._sink_full = True
                    return False
        except ProviderError as error:
            self._decode_error = error
            return False
        return decoder.error is None and not decoder.done

    def _advance(self, event: Event) -> None:
        """Note what decides which clock is in force."""
        self._first = self._first and not event.content
        self._finished = self._finished or event.finish is not None
        self._counted = self._counted or event.usage is not None

    def _last_events(self, error: ProviderError | None) -> list[Event]:
        """The body has ended, properly or by ``error``: the events that were still open in it."""
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
        """An event is waited for from now on. A timer that is armed already fires early at worst: time only moves it on."""
        self._last_event_at = self._last_sign_at = self._loop.time()
        if self._timer is None:
            self._fire_at(self._due()[0])

    def _hasten(self) -> None:
        """Another clock is in force, which may fall sooner than the timer fires."""
        due = self._due()[0]
        if self._timer is not None and due < self._fires_at:
            self._timer.cancel()
            self._fire_at(due)

    def _fire_at(self, due: float) -> None:
        self._fires_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _due(self) -> tuple[float, Clock, float]:
        """When the next clock falls, which one, and its limit in seconds."""
        clocks = self._clocks
        clock: Clock = "first_content" if self._first else "gap"
        if self._finished:
            limit_s = min(END_S if self._counted else USAGE_S, clocks.gap_s)
            due = self._last_event_at + limit_s
        else:
            limit_s = clocks.first_content_s if self._first else clocks.gap_s
            due, thinking_s = self._last_sign_at + limit_s, max(clocks.thinking_s, limit_s)
            enough = thinking_s + (self._http.sent_at if self._first else self._last_event_at)
            if enough < due:
                due, limit_s = enough, thinking_s
        if due > self._total_at:
            return self._total_at, "total", clocks.total_s
        return due, clock, limit_s

    def _on_timer(self) -> None:
        self._timer = None
        if not self._pumping:
            return  # the next pump arms it again
        due, clock, limit_s = self._due()
        if self._loop.time() + TIMER_SLACK_S < due:
            self._fire_at(due)
        else:
            self._http.fail(timed_out(clock, limit_s))
