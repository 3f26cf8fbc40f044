"""``Generation``: an opened answer with exactly one ending. It owns the upstream stream, the hold and the record.

    OPEN --- end(outcome) ---> ENDED        price -> settle or void -> record -> one log line

Whatever happens to the client, a generation ends once. ``BackgroundSettlements`` finishes what cannot be finished at once; the
process owns these tasks, and shutdown waits for them. This module must not know: the formats of API surfaces, how a plan is made,
which candidate comes next.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from itertools import chain, repeat

import msgspec

from gateway import pricing, records
from gateway.analytics.answer_checks import NOT_LOOKED_AT, Answer
from gateway.analytics.event import Measured
from gateway.errors import LedgerUnavailable, PaymentRequired
from gateway.ledger.entries import Hold, Posting, PostingRefused, StalePosting
from gateway.pipeline import answer_parts
from gateway.pipeline.answer_parts import Gathered
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.hold import CreditNeed
from gateway.pipeline.request import InferenceRequest
from gateway.pipeline.settlement import UNKNOWN, Delivered, Settlement, conclude, record
from gateway.pipeline.upstream_request import capped
from gateway.services import Services
from gateway.telemetry import Times
from providers.base import EventSink
from providers.errors import ProviderError
from providers.types import Event
from providers.usage import later

EXTEND_AT_PERCENT = 80
"""Share of the held output at which more credit is held for a running stream."""
RUNAWAY_PERCENT, RUNAWAY_SLACK = 110, 16
"""The stream of a vendor that exceeds ``max_tokens`` by more than this is cut."""
RUNAWAY_BYTES_PER_TOKEN = 16
"""For events of many tokens. No real answer has longer tokens on average, so a legitimate answer is never cut."""
SETTLE_BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)


class Generation(msgspec.Struct, eq=False):
    """Made before credit is held, so that the hold has an owner whatever happens next."""

    request: InferenceRequest
    services: Services
    attempts: Attempts
    hold: Hold
    need: CreditNeed
    held_tokens: int
    """Output tokens that the hold covers."""
    left_at: float | None = None
    """``time.perf_counter()`` at which the client disconnected while an attempt went on; None: it did not."""
    limit: int | None = None
    """The most output tokens, as the vendor is told: the caller's ``max_tokens``, else what the hold covers; None: no limit."""
    delivered: Delivered = msgspec.field(default_factory=Delivered)
    answered: bool = False
    ended: bool = False
    settlement: Settlement = UNKNOWN
    charged_nano: int = 0
    hold_s: float = 0.0
    settle_s: float = 0.0
    """Time the ledger took."""

    # -- the answer ---------------------------------------------------------------------------------------------------

    def limit_to(self, tokens: int | None) -> None:
        """Set the limit before the first attempt. ``tokens``: what the hold covers, where that is less than a model may write."""
        if tokens is not None:
            self.attempts.body = capped(self.attempts.body, tokens)
            self.held_tokens = tokens
        self.limit = self.request.max_tokens if tokens is None else tokens

    def opened(self) -> None:
        """An attempt has succeeded: count what has arrived. A JSON answer is complete at this point."""
        self.answered = True
        completion = self.attempts.completion
        if completion is not None:
            self.delivered.completion(completion)
            return
        if self.services.analytics is not None and answer_parts.are_wanted(self.request.body):
            self.delivered = Gathered()
        for event in self.attempts.first:
            self.delivered.event(event)

    async def pump(self, sink: EventSink) -> bool:
        """Count the answer's events and hand them to ``sink`` in the callback in which they arrive.

        True: the answer is complete. False: ``sink`` returned False, and is called no more before the next ``pump``. Raises
        ProviderError when the vendor breaks off, PaymentRequired when credit for more output is refused, and whatever ``sink``
        raises.
        """
        delivered, opening, taken = self.delivered, self.attempts.first, True

        def count(events: list[Event]) -> bool:
            nonlocal taken
            if events is not opening:  # those were counted when the answer was opened
                for event in events:
                    delivered.event(event)
            taken = sink(events)
            within_hold = delivered.pieces < pieces and delivered.size_bytes < size_bytes
            return taken and (within_hold or delivered.finish is not None)

        while taken:
            tokens = pricing.text_tokens(delivered.size_bytes, delivered.pieces)
            nearly_used = tokens * 100 >= self.held_tokens * EXTEND_AT_PERCENT and delivered.finish is None
            if nearly_used and not self.attempts.first:
                await self._extend(tokens)  # before the next events, so that what was counted has been delivered
            pieces, size_bytes = self._reach()
            if await self._pump(count):
                delivered.ended = True
                return True
        return False

    async def _pump(self, sink: EventSink) -> bool:
        """Hand over the events that opened the answer, then the others as they arrive."""
        attempts = self.attempts
        if attempts.first:
            events, attempts.first = attempts.first, []
            if not sink(events):
                return False
        stream = attempts.stream
        assert stream is not None
        since, sink_s = time.perf_counter(), stream.sink_s
        try:
            return await stream.pump(sink)
        except ProviderError as error:
            attempts.note_failure(attempts.made[-1], error)
            if error.usage is not None:
                self.delivered.usage = later(self.delivered.usage, error.usage)
            raise
        finally:
            attempts.waited_s += time.perf_counter() - since - (stream.sink_s - sink_s)

    def _reach(self) -> tuple[int, int]:
        """(pieces, bytes): at either, ``_extend`` is due. They are integers, because every event is compared with them."""
        limit = self.limit
        if limit is None:
            return pricing.text_reach(-(-self.held_tokens * EXTEND_AT_PERCENT // 100))
        most = limit * RUNAWAY_PERCENT // 100 + RUNAWAY_SLACK + 1
        return most, most * RUNAWAY_BYTES_PER_TOKEN

    async def _extend(self, tokens: int) -> None:
        """At 80 % of the held output: hold the same amount again, or end the stream, which must not run without credit."""
        limit = self.limit
        if limit is not None:
            at_least = max(self.delivered.pieces, self.delivered.size_bytes // RUNAWAY_BYTES_PER_TOKEN)
            if at_least > limit * RUNAWAY_PERCENT // 100 + RUNAWAY_SLACK:
                raise self._used_up()
            return
        assert self.attempts.candidate is not None
        fee = self.services.settings.fee_basis_points
        more = max(self.held_tokens, tokens)
        nano = pricing.output_hold_nano(self.attempts.candidate.price, more, fee)
        try:
            self.hold = await self.services.ledger.extend(self.hold, nano)
        except LedgerUnavailable:
            self.services.telemetry.ledger_errors.labels("extend").inc()
            return
        self.held_tokens += more

    def _used_up(self) -> PaymentRequired:
        """Why a stream is cut whose vendor does not keep to its limit."""
        if self.request.max_tokens is None:
            return PaymentRequired(
                "The answer has used up the credit held for it.", metadata={"limit_source": "credits"}
            )
        return PaymentRequired("The provider ran past max_tokens.", metadata={"limit_source": "max_tokens"})

    async def close(self) -> None:
        """Close the upstream connection at once. Idempotent."""
        if self.attempts.stream is not None:
            await self.attempts.stream.aclose()

    def goes_on(self) -> bool:
        """The client has disconnected. True: an attempt is under way whose answer is billed whole, so it goes on without its
        client, and the answer is to be handed to ``leave``. False: nothing speaks against cancelling what is under way.
        """
        if not self.attempts.billed_whole or self.services.background.closing:
            return False
        self.attempts.abandoned, self.left_at = True, time.perf_counter()
        return True

    async def leave(self, *, ours: bool = False) -> None:
        """The client has disconnected: close the upstream at once, or read on where the vendor bills the whole answer anyway.

        ``ours``: the client is there, but an error of the gateway ends its request.
        """
        closing = self.services.background.closing and self.left_at is None
        if not ours and not closing and self._is_read_on():
            await self._drain()
        await self.close()
        await self.end("upstream_failed" if ours else "shutdown" if closing else "caller_left")

    def _is_read_on(self) -> bool:
        """Whether reading on costs the vendor's bill nothing: it is not stopped by closing, or only the usage is missing."""
        candidate = self.attempts.candidate
        if candidate is None or self.attempts.stream is None or self.delivered.ended:
            return False
        return not candidate.endpoint.provider.cancel_stops_billing or self.delivered.finish is not None

    async def _drain(self) -> None:
        """Read the stream to its end, for ``drain_timeout_s`` since the client disconnected."""
        waited_s = 0.0 if self.left_at is None else time.perf_counter() - self.left_at
        try:
            async with self.services.background.reading_on(max(self.services.settings.drain_timeout_s - waited_s, 0)):
                await self.pump(lambda events: True)
        except Exception as error:  # noqa: BLE001 - whatever ends the drain, what was counted until then is billed
            self.services.telemetry.log.info("drain ended early", id=self.request.id, error=type(error).__name__)

    # -- the ending ---------------------------------------------------------------------------------------------------

    def checkpoint(self) -> Posting:
        """The posting that a heartbeat stores: who would pay what if the process died now."""
        return self._conclude("caller_left" if self.attempts.abandoned else "shutdown").posting

    def _conclude(self, outcome: records.Outcome) -> Settlement:
        return conclude(outcome, self.request, self.attempts, self.delivered, self.services.settings.fee_basis_points)

    async def end(self, outcome: records.Outcome) -> None:
        """Price, settle or void, record. Idempotent: only the first call counts.

        Returns when the ledger has acknowledged, or after its time-out: then a background task keeps trying. When it is
        cancelled while waiting, it leaves the rest to such a task too.
        """
        if self.ended:
            return
        self.ended = True
        self.services.background.open.discard(self)
        try:
            written = self._written(outcome)
        except Exception:
            self.services.telemetry.unsettled.inc()
            self.services.telemetry.log.exception("an ending could not be priced", id=self.request.id)
            self.services.background.spawn(self.give_back())  # else its credit stays on hold until that expires
            raise
        stored = records.encode(written)
        try:
            await self._settle(stored)
        except (LedgerUnavailable, asyncio.CancelledError) as error:
            self.services.telemetry.ledger_errors.labels("settle").inc()
            self.services.background.spawn(self._settle_until_acknowledged(stored))
            if isinstance(error, asyncio.CancelledError):
                raise
        except StalePosting:
            self._log_stale()
        except PostingRefused as error:
            await self._refused(stored, error)
        finally:
            self._log(written)

    def _written(self, outcome: records.Outcome) -> records.Record:
        """Price the answer, report how it ended, and make its record."""
        settlement = self.settlement = self._conclude(outcome)
        self.charged_nano = settlement.posting.want_nano
        self.attempts.observe_end(complete=outcome == "complete", usage=settlement.usage)
        return record(self.request, self.attempts, self.delivered, settlement)

    async def _settle(self, stored: bytes) -> None:
        since = time.perf_counter()
        settlement, ledger = self.settlement, self.services.ledger
        if settlement.void:
            await ledger.void(self.hold, record=stored, losses=settlement.losses)
        else:
            usage = settlement.usage
            receipt = await ledger.settle(
                self.hold,
                settlement.posting,
                record=stored,
                losses=settlement.losses,
                tokens=usage.prompt_total + usage.completion_total,
                abandoned=settlement.outcome == "caller_left",
            )
            if receipt.paid_nano < settlement.posting.want_nano:
                self.services.telemetry.overruns.inc()
            self.charged_nano = receipt.paid_nano
        self.settle_s = time.perf_counter() - since

    async def _settle_until_acknowledged(self, stored: bytes) -> None:
        """Repeat the settlement, which is idempotent by its id; meanwhile the credit stays on hold."""
        telemetry = self.services.telemetry
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
                    self._log_stale()
                except PostingRefused as error:
                    await self._refused(stored, error)
                return
        finally:
            telemetry.settle_pending.dec()

    async def give_back(self) -> None:
        """Release a hold of which the ledger did not acknowledge that it was made; without an answer soon, let it expire."""
        self.ended = True
        for pause_s in SETTLE_BACKOFF_S:
            await asyncio.sleep(pause_s)
            try:
                await self.services.ledger.void(self.hold)
            except LedgerUnavailable:
                continue
            return

    async def _refused(self, stored: bytes, error: PostingRefused) -> None:
        """The ledger will never take the posting: release the hold, keep the record, and leave the charge to a person."""
        self.charged_nano = 0
        self.services.telemetry.unsettled.inc()
        self.services.telemetry.log.error(
            "the ledger refused a settlement",
            id=self.request.id,
            posting=str(self.settlement.posting),
            error=str(error),
        )
        with suppress(LedgerUnavailable, StalePosting, PostingRefused):
            await self.services.ledger.void(self.hold, record=stored)

    def _log_stale(self) -> None:
        """Log that the ledger has put the posting aside: it is older than the dedupe memory, so a person must decide."""
        self.services.telemetry.log.error("settlement came too late and waits for a person", id=self.request.id)

    def _looked_at(self) -> Answer:
        """What analytics will find in the answer, once it was sent."""
        analytics, completion = self.services.analytics, self.attempts.completion
        if analytics is None or self.request.operation != "chat":
            return NOT_LOOKED_AT
        return answer_parts.answer_of(analytics.checks, self.request.body, completion, self.delivered)

    def _log(self, written: records.Record) -> None:
        """Report the metrics and the one canonical log line."""
        request = self.request
        posting, total_s = self.settlement.posting, time.perf_counter() - request.started
        lost_nano = posting.cost_nano + posting.fee_nano - self.charged_nano
        if self.settlement.implausible:
            telemetry, disputed_nano = self.services.telemetry, self.settlement.disputed_nano
            telemetry.disputes(request.id, written.endpoint, written.provider, disputed_nano)
        if self.services.labelling is not None:
            body = request.body
            tools = body.get("tools")
            measured = Measured(
                written,
                self.charged_nano,
                len(tools) if tools else 0,
                request.prompt.tokens,
                self.delivered.size_bytes // 4,
                NOT_LOOKED_AT if answer_parts.FIELDS.isdisjoint(body) else self._looked_at(),
            )
            self.services.labelling.emit(
                measured,
                request.client.categories,
                request.caller.category,
                body if request.operation == "chat" else None,
            )
        self.services.telemetry.generation(
            (records.log_line, written, self.charged_nano, request.surface, time.time()),
            lost_nano=lost_nano + sum(line.cost_nano for line in self.settlement.losses),
            times=Times(total_s, max(total_s - self.attempts.waited_s, 0.0), self.hold_s, self.settle_s),
        )
