"""``Generation``: an opened answer with exactly one ending. It owns the upstream, the hold and the record.

    OPEN --- end(outcome) ---> ENDED        price -> settle or void -> record -> one log line

Whatever happens to the caller, the ending happens once: what cannot be finished at once is handed to ``Endings``, which the
process owns and shutdown drains. It must not know: wire shapes, how a plan is made, which candidate comes next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import msgspec
import structlog

from gateway import pricing, records
from gateway.errors import LedgerUnavailable, PaymentRequired
from gateway.ledger.entries import Hold, Posting, StalePosting
from gateway.ledger.ledger import Ledger
from gateway.pipeline.attempts import Dispatch
from gateway.pipeline.settlement import UNKNOWN, Ask, Delivered, Ending, conclude, record
from gateway.settings import Settings
from gateway.telemetry import Telemetry, Times
from providers.base import Take
from providers.types import Event

EXTEND_AT_PERCENT = 80
"""Share of the held output after which a running stream asks for more."""
RUNAWAY_PERCENT, RUNAWAY_SLACK = 110, 16
"""A vendor that runs past ``max_tokens`` by more than this is cut."""
RUNAWAY_BYTES_PER_TOKEN = 16
"""Where events carry many tokens: no answer in use has longer ones on average, so a legitimate answer is never cut."""
DRAINS_MAX = 256
"""Answers that are read on at once for callers who left."""
SETTLE_BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)


class Endings:
    """Process-owned: what must be finished although its caller is gone."""

    def __init__(self) -> None:
        self.closing = False
        """The process is shutting down: whoever is interrupted now did not leave."""
        self.open: set[Generation] = set()
        self._drains: set[asyncio.Timeout] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger().error("an ending failed", exc_info=error)

    @property
    def pending(self) -> int:
        return len(self._tasks)

    @asynccontextmanager
    async def reading_on(self, timeout_s: float) -> AsyncIterator[None]:
        """At most so long, at most ``DRAINS_MAX`` at once, and not into a shutdown. Raises TimeoutError."""
        full = self.closing or len(self._drains) >= DRAINS_MAX
        async with asyncio.timeout(0 if full else timeout_s) as timer:
            self._drains.add(timer)
            try:
                yield
            finally:
                self._drains.discard(timer)

    def close(self) -> None:
        """The process is shutting down: nothing is read on for callers who left."""
        self.closing = True
        for timer in self._drains:
            timer.reschedule(asyncio.get_running_loop().time())

    async def drain(self, timeout_s: float) -> int:
        """Wait for every ending; the number that did not finish in time."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.monotonic())
        return len(self._tasks)


@dataclass(frozen=True, slots=True)
class Desk:
    """What every ending needs; one for the process."""

    ledger: Ledger
    endings: Endings
    telemetry: Telemetry
    settings: Settings


class Generation(msgspec.Struct, eq=False):
    """See the module. Made before the hold is asked for, so that the hold has an owner whatever happens next."""

    ask: Ask
    desk: Desk
    dispatch: Dispatch
    hold: Hold
    held_tokens: int
    """Output tokens that the hold covers."""
    delivered: Delivered = msgspec.field(default_factory=Delivered)
    answered: bool = False
    ended: bool = False
    ending: Ending = UNKNOWN
    charged_nano: int = 0
    hold_s: float = 0.0
    settle_s: float = 0.0
    """Time the ledger took."""

    # -- carrying the answer ------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The dispatch has an answer: note what is known of it already. A JSON answer is whole at this point."""
        self.answered = True
        if self.dispatch.completion is not None:
            self.delivered.completion(self.dispatch.completion)
        for event in self.dispatch.first:
            self.delivered.event(event)

    async def carry(self, take: Take) -> bool:
        """Count the answer's events and hand them to ``take`` in the callback in which they arrive. True: the proper end. False:
        ``take`` said so, and is called no more before the next ``carry``. Raises ProviderError when the vendor breaks off,
        PaymentRequired when credit for more output is refused, and whatever ``take`` raises.
        """
        delivered, opening, taken = self.delivered, self.dispatch.first, True

        def count(events: list[Event]) -> bool:
            nonlocal taken
            if events is not opening:  # those were counted when the answer was opened
                for event in events:
                    delivered.event(event)
            taken = take(events)
            covered = delivered.pieces < pieces and delivered.size_bytes < size_bytes
            return taken and (covered or delivered.finish is not None)

        while taken:
            tokens = pricing.text_tokens(delivered.size_bytes, delivered.pieces)
            used = tokens * 100 >= self.held_tokens * EXTEND_AT_PERCENT and delivered.finish is None
            if used and not self.dispatch.first:
                await self._extend(tokens)  # before the next events, so that what was counted has been delivered
            pieces, size_bytes = self._reach()
            if await self.dispatch.carry(count):
                return True
        return False

    def _reach(self) -> tuple[int, int]:
        """Pieces and bytes of which either makes ``_extend`` decide something: integers, as each event is compared with them."""
        limit = self.ask.max_tokens
        if limit is None:
            return pricing.text_reach(-(-self.held_tokens * EXTEND_AT_PERCENT // 100))
        most = limit * RUNAWAY_PERCENT // 100 + RUNAWAY_SLACK + 1
        return most, most * RUNAWAY_BYTES_PER_TOKEN

    async def _extend(self, tokens: int) -> None:
        """At 80 % of the held output: hold the same again, or end the stream; never run unpaid."""
        limit = self.ask.max_tokens
        if limit is not None:
            surely = max(self.delivered.pieces, self.delivered.size_bytes // RUNAWAY_BYTES_PER_TOKEN)
            if surely > limit * RUNAWAY_PERCENT // 100 + RUNAWAY_SLACK:
                raise PaymentRequired("The provider ran past max_tokens.", metadata={"limit_source": "max_tokens"})
            return
        assert self.dispatch.candidate is not None
        fee = self.desk.settings.fee_basis_points
        more = max(self.held_tokens, tokens)
        nano = pricing.output_hold_nano(self.dispatch.candidate.price, more, fee)
        try:
            self.hold = await self.desk.ledger.extend(self.hold, nano)
        except LedgerUnavailable:
            self.desk.telemetry.ledger_errors.labels("extend").inc()
            return
        self.held_tokens += more

    async def close(self) -> None:
        """Close the upstream connection at once. Idempotent."""
        await self.dispatch.aclose()

    async def leave(self) -> None:
        """The caller is gone: close the upstream at once, or read on where the vendor bills the whole answer anyway."""
        candidate, closing = self.dispatch.candidate, self.desk.endings.closing
        if candidate is not None and not candidate.endpoint.provider.cancel_stops_billing:
            await self._drain()
        await self.close()
        await self.end("shutdown" if closing else "caller_left")

    async def _drain(self) -> None:
        try:
            async with self.desk.endings.reading_on(self.desk.settings.drain_timeout_s):
                if self.dispatch.pending is not None and not self.answered:
                    await self.dispatch.pending
                    self.opened()
                if self.dispatch.stream is not None:
                    await self.carry(lambda events: True)
        except Exception as error:  # noqa: BLE001 - whatever ends the drain, what was counted until then is billed
            self.desk.telemetry.log.info("drain ended early", id=self.ask.id, error=type(error).__name__)

    # -- the one ending -----------------------------------------------------------------------------------------------

    def checkpoint(self) -> Posting:
        """What a heartbeat carries: who would pay what if the process died now."""
        return self._conclude("shutdown").posting

    def _conclude(self, outcome: records.Outcome) -> Ending:
        return conclude(outcome, self.ask, self.dispatch, self.delivered, self.desk.settings.fee_basis_points)

    async def end(self, outcome: records.Outcome) -> None:
        """Price, settle or void, record. Idempotent: only the first call counts.

        Returns when the ledger has acknowledged, or after its time-out: then a task of ``Endings`` keeps trying. Cancelled
        while waiting, it hands over in the same way.
        """
        if self.ended:
            return
        self.ended = True
        self.desk.endings.open.discard(self)
        ending = self.ending = self._conclude(outcome)
        self.charged_nano = ending.posting.want_nano
        self.dispatch.observe_end(complete=outcome == "complete", tokens=ending.usage.completion_total)
        told = record(self.ask, self.dispatch, self.delivered, ending)
        stored = records.encode(told)
        try:
            await self._settle(stored)
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            self.desk.telemetry.ledger_errors.labels("settle").inc()
            self.desk.endings.spawn(self._settle_until_acknowledged(stored))
            if isinstance(error, asyncio.CancelledError):
                raise
        except StalePosting:
            self._too_late()
        finally:
            self._tell(told)

    async def _settle(self, stored: bytes) -> None:
        since = time.perf_counter()
        ending, ledger = self.ending, self.desk.ledger
        if ending.void:
            await ledger.void(self.hold, record=stored, losses=ending.losses)
        else:
            receipt = await ledger.settle(self.hold, ending.posting, record=stored, losses=ending.losses)
            if receipt.paid_nano < ending.posting.want_nano:
                self.desk.telemetry.overruns.inc()
            self.charged_nano = receipt.paid_nano
        self.settle_s = time.perf_counter() - since

    async def _settle_until_acknowledged(self, stored: bytes) -> None:
        """Idempotent by id, so trying again is harmless; the hold keeps the credit safe meanwhile."""
        telemetry = self.desk.telemetry
        telemetry.settle_pending.inc()
        try:
            for pause_s in chain(SETTLE_BACKOFF_S, repeat(SETTLE_BACKOFF_S[-1])):
                await asyncio.sleep(pause_s)
                telemetry.settle_retries.inc()
                try:
                    await self._settle(stored)
                except LedgerUnavailable:
                    telemetry.ledger_errors.labels("settle").inc()
                    continue
                except StalePosting:
                    self._too_late()
                return
        finally:
            telemetry.settle_pending.dec()

    async def give_back(self) -> None:
        """The ledger did not say whether the hold was made: release it if it answers soon, else let it expire."""
        self.ended = True
        for pause_s in SETTLE_BACKOFF_S:
            await asyncio.sleep(pause_s)
            try:
                await self.desk.ledger.void(self.hold)
            except LedgerUnavailable:
                continue
            return

    def _too_late(self) -> None:
        """The ledger has put the posting aside: it is older than its memory of ids, so a person must look at it."""
        self.desk.telemetry.log.error("settlement came too late and waits for a person", id=self.ask.id)

    def _tell(self, told: records.Record) -> None:
        """The metrics and the one canonical log line."""
        posting, total_s = self.ending.posting, time.perf_counter() - self.ask.started
        lost_nano = posting.cost_nano + posting.fee_nano - self.charged_nano
        if self.ending.implausible:
            self.desk.telemetry.log.warning("implausible usage was not billed", id=self.ask.id, endpoint=told.endpoint)
        self.desk.telemetry.generation(
            (records.log_line, told, self.charged_nano, self.ask.surface, time.time()),
            lost_nano=lost_nano + sum(line.cost_nano for line in self.ending.losses),
            times=Times(total_s, max(total_s - self.dispatch.waited_s, 0.0), self.hold_s, self.settle_s),
        )
