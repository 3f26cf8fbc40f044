"""``Generation.pump``: what is counted was handed over, once; credit for more output is asked for before more is handed over."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import msgspec
import pytest

from gateway import pricing
from gateway.errors import LedgerUnavailable, PaymentRequired
from gateway.ledger.entries import Hold
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from providers.errors import ProviderError, failed
from providers.types import Event, Usage
from tests.unit.test_hostile_answers import pipeline, served

__all__ = ["pipeline"]


def text_event(text: str, finish: str | None = None) -> Event:
    """An event with this content."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, "native_finish_reason": finish}
    return Event({"id": "x", "choices": [choice]}, bool(text), finish)


def words(count: int) -> list[list[Event]]:
    """So many batches of one token."""
    return [[text_event(f"{number:03} ")] for number in range(count)]


class Scripted:
    """In place of a stream: hands over its batches in one go, as in one callback after the other, then ends or breaks."""

    def __init__(self, batches: list[list[Event]], error: ProviderError | None = None, wait_s: float = 0.0) -> None:
        self.batches, self.error, self.wait_s = batches, error, wait_s
        self.sink_s = 0.0

    async def pump(self, take: Any) -> bool:
        await asyncio.sleep(self.wait_s)
        while self.batches:
            begun = time.perf_counter()
            on = take(self.batches.pop(0))
            self.sink_s += time.perf_counter() - begun
            if not on:
                return False
        if self.error is not None:
            raise self.error
        return True


class LedgerStub:
    """In place of the ledger: notes what had been handed over when it was asked for more."""

    def __init__(self, sink: Sink, *answers: Exception | None) -> None:
        self.sink, self.answers = sink, list(answers)
        self.asked_at: list[int] = []

    async def extend(self, hold: Hold, nano: int) -> Hold:
        self.asked_at.append(len(self.sink.texts))
        answer = self.answers.pop(0) if self.answers else None
        await asyncio.sleep(0)
        if answer is not None:
            raise answer
        return hold


class Sink:
    """What the caller got; says False with the events of the given numbers, from 1."""

    def __init__(self, *stops: int) -> None:
        self.texts: list[str] = []
        self.stops = stops

    def __call__(self, events: list[Event]) -> bool:
        self.texts += [event.chunk["choices"][0]["delta"]["content"] for event in events]
        return len(self.texts) not in self.stops


def opened(
    pipeline: Pipeline,
    stream: Scripted,
    ledger: LedgerStub,
    *,
    first: tuple[Event, ...] = (),
    held: int = 1000,
    limit: int | None = None,
) -> Generation:
    generation = served(pipeline)
    generation.request = msgspec.structs.replace(generation.request, max_tokens=limit)
    generation.services = dataclasses.replace(generation.services, ledger=ledger)
    generation.attempts.stream, generation.attempts.first = stream, list(first)
    generation.held_tokens, generation.limit = held, limit
    generation.opened()
    return generation


async def test_everything_once_and_in_order(pipeline: Pipeline) -> None:
    """What was read while opening comes first and was counted then; the rest is counted as it is handed over."""
    sink = Sink()
    generation = opened(pipeline, Scripted(words(5)), LedgerStub(sink), first=(text_event("a"), text_event("b")))
    assert generation.delivered.pieces == 2
    assert await generation.pump(sink)
    assert sink.texts == ["a", "b", "000 ", "001 ", "002 ", "003 ", "004 "]
    assert (generation.delivered.pieces, generation.delivered.size_bytes) == (7, 22)


@pytest.mark.parametrize("stops", [(1,), (2,), (3,), (7,), (1, 2, 3, 4, 5, 6, 7)])
async def test_a_slow_caller_is_waited_for(pipeline: Pipeline, stops: tuple[int, ...]) -> None:
    """Nothing is handed over twice or lost, and what is counted is what was handed over, at every stop."""
    sink = Sink(*stops)
    generation = opened(
        pipeline,
        Scripted([*words(4), [text_event("", "stop")]]),
        LedgerStub(sink),
        first=(text_event("a"), text_event("b")),
    )
    rounds = 0
    while not await generation.pump(sink):
        rounds += 1
        assert generation.delivered.pieces == min(len(sink.texts), 6)  # the last event is the finish alone
    assert rounds == len([stop for stop in stops if stop != 1])  # the first two came together
    assert sink.texts == ["a", "b", "000 ", "001 ", "002 ", "003 ", ""]


async def test_credit_is_extended_in_the_middle_of_a_burst(pipeline: Pipeline) -> None:
    """At 80 % of what is held, before the next event; then it goes on where it stopped."""
    sink = Sink()
    ledger = LedgerStub(sink)
    generation = opened(pipeline, Scripted(words(50)), ledger, first=(text_event("a"),), held=10)
    assert await generation.pump(sink)
    assert ledger.asked_at == [8, 16, 32]
    assert generation.held_tokens == 80
    assert sink.texts == ["a", *(f"{number:03} " for number in range(50))]
    assert generation.delivered.pieces == 51


async def test_long_events_use_credit_by_their_bytes(pipeline: Pipeline) -> None:
    """Four bytes are a token; an event that crosses the mark is delivered whole, the next one waits."""
    sink = Sink()
    ledger = LedgerStub(sink)
    generation = opened(
        pipeline, Scripted([[text_event("x" * 28)], [text_event("y")], [text_event("z")]]), ledger, held=10
    )
    assert await generation.pump(sink)
    assert ledger.asked_at == [2]
    assert len(sink.texts) == 3


async def test_credit_and_the_caller_at_once(pipeline: Pipeline) -> None:
    """The caller is waited for first; the credit is asked for before the next event."""
    sink = Sink(8)
    ledger = LedgerStub(sink)
    generation = opened(pipeline, Scripted(words(10)), ledger, held=10)
    assert not await generation.pump(sink)
    assert ledger.asked_at == []
    assert await generation.pump(sink)
    assert ledger.asked_at == [8]
    assert len(sink.texts) == 10


async def test_credit_is_refused(pipeline: Pipeline) -> None:
    """Nothing more is handed over, and what was counted was delivered."""
    sink = Sink()
    stream = Scripted(words(50))
    generation = opened(pipeline, stream, LedgerStub(sink, None, PaymentRequired("no")), held=10)
    with pytest.raises(PaymentRequired):
        await generation.pump(sink)
    assert len(sink.texts) == generation.delivered.pieces == 16
    assert len(stream.batches) == 34


async def test_a_silent_ledger_does_not_stop_the_answer(pipeline: Pipeline) -> None:
    """It is asked again before each further batch until it answers."""
    sink = Sink()
    ledger = LedgerStub(sink, LedgerUnavailable("?"), LedgerUnavailable("?"))
    generation = opened(pipeline, Scripted(words(12)), ledger, held=10)
    assert await generation.pump(sink)
    assert ledger.asked_at == [8, 9, 10]
    assert len(sink.texts) == 12


async def test_no_credit_is_requested_after_the_finish(pipeline: Pipeline) -> None:
    """What follows the finish reason is no output."""
    sink = Sink()
    ledger = LedgerStub(sink)
    stream = Scripted([*words(7), [text_event("end ", "stop")], [text_event("")], [text_event("")]])
    generation = opened(pipeline, stream, ledger, held=10)
    assert await generation.pump(sink)
    assert ledger.asked_at == []
    assert len(sink.texts) == 10


@pytest.mark.parametrize(("text", "most"), [("x", 28), ("x" * 160, 3)])
async def test_a_vendor_that_runs_past_max_tokens(pipeline: Pipeline, text: str, most: int) -> None:
    """It is cut behind 110 % and 16 pieces, or 16 bytes for each of them; the caller's limit asks for no credit."""
    sink = Sink()
    ledger = LedgerStub(sink)
    generation = opened(pipeline, Scripted([[text_event(text)] for _ in range(100)]), ledger, held=10, limit=10)
    with pytest.raises(PaymentRequired) as caught:
        await generation.pump(sink)
    assert caught.value.metadata == {"limit_source": "max_tokens"}
    assert len(sink.texts) == generation.delivered.pieces == most
    assert ledger.asked_at == []


async def test_a_vendor_that_breaks_off(pipeline: Pipeline) -> None:
    """What came was handed over and counted; the attempt bears the failure's name."""
    sink = Sink()
    generation = opened(pipeline, Scripted(words(3), failed("cut", "x")), LedgerStub(sink))
    with pytest.raises(ProviderError):
        await generation.pump(sink)
    assert len(sink.texts) == generation.delivered.pieces == 3
    assert generation.attempts.made[-1].kind == "cut"


INTERIM = Usage(prompt=10, completion=3, interim=True)


@pytest.mark.parametrize(
    ("with_error", "counted"),
    [
        (None, INTERIM),
        (Usage(prompt=10, completion=5), Usage(prompt=10, completion=5)),
        (Usage(), INTERIM),
        (Usage(prompt=10), INTERIM),
        (Usage(completion=5), Usage(prompt=10, completion=5)),
    ],
)
async def test_an_error_takes_no_tokens_back(pipeline: Pipeline, with_error: Usage | None, counted: Usage) -> None:
    """A vendor that counted on the way, and whose error says zero, is believed what it had counted."""
    batches = words(3)
    batches[1] = [msgspec.structs.replace(batches[1][0], usage=INTERIM)]
    sink = Sink()
    generation = opened(pipeline, Scripted(batches, failed("cut", "x").reporting(with_error)), LedgerStub(sink))
    with pytest.raises(ProviderError):
        await generation.pump(sink)
    assert generation.delivered.usage == counted


async def test_time_in_the_taker_is_not_time_waited_for_the_vendor(pipeline: Pipeline) -> None:
    """It is the gateway's own."""

    def slow(events: list[Event]) -> bool:
        time.sleep(0.05)
        return True

    generation = opened(pipeline, Scripted(words(4), wait_s=0.05), LedgerStub(Sink()))
    begun = time.perf_counter()
    assert await generation.pump(slow)
    elapsed_s = time.perf_counter() - begun
    assert 0.045 <= generation.attempts.waited_s <= elapsed_s - 0.19


async def test_what_the_taker_raises(pipeline: Pipeline) -> None:
    """It reaches the caller of ``pump`` and blames no vendor."""

    def broken(events: list[Event]) -> bool:
        raise LookupError

    generation = opened(pipeline, Scripted(words(4)), LedgerStub(Sink()))
    with pytest.raises(LookupError):
        await generation.pump(broken)
    assert generation.attempts.made[-1].kind == "ok"


def test_text_reach_is_where_text_tokens_arrive() -> None:
    """The integers that are compared for each event say the same as the count itself."""
    for tokens in (0, 1, 2, 7, 40, 4097):
        pieces, size = pricing.text_reach(tokens)
        for p in (0, 1, pieces - 1, pieces, pieces + 1):
            for s in (0, size - 1, size, size + 1, size + 4):
                if p >= 0 and s >= 0:
                    assert (pricing.text_tokens(s, p) >= tokens) == (p >= pieces or s >= size)
