"""``Stream.pump``: events are handed over as they arrive; the clocks, the ends and the errors are those of ``read``."""

from __future__ import annotations

import asyncio
import time

import pytest

from providers.errors import ProviderError
from providers.transport import client_response
from providers.transport.client import Upstream
from providers.types import Clocks, Event
from tests.support.rawserver import RawServer
from tests.support.streams import DONE, HEY, ROLE, STOP, begin, saying
from tests.support.upstream import refused

OVERLOADED = b'data: {"error":{"code":529,"message":"x"}}\n\n'


class Sink:
    """Keeps the batches it is given; says False with those of the given numbers, from 1."""

    def __init__(self, *stops: int) -> None:
        self.batches: list[list[Event]] = []
        self.stops = stops

    def __call__(self, events: list[Event]) -> bool:
        assert events
        self.batches.append(events)
        return len(self.batches) not in self.stops

    @property
    def text(self) -> str:
        deltas = [choice["delta"] for batch in self.batches for event in batch for choice in event.chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)


async def test_to_the_end_in_one_call(upstream: Upstream) -> None:
    """Events come in order, comments are not events, and the end is reported again with every further call."""
    sink = Sink()
    async with RawServer(saying(ROLE, HEY, b": x\n\n", 0.02, HEY, 0.02, STOP, DONE)) as server:
        stream = await begin(upstream, server)
        assert await stream.pump(sink)
        assert sink.text == "heyhey"
        assert [event.finish for batch in sink.batches for event in batch] == [None, None, None, "stop"]
        assert await stream.pump(sink)
        assert await stream.read() == []
        await stream.aclose()


async def test_each_event_leaves_as_it_arrives(upstream: Upstream) -> None:
    """Events that arrive apart are handed over apart, those that arrive together at once."""
    sink = Sink()
    async with RawServer(saying(HEY, 0.05, HEY + HEY, 0.05, HEY, 0.05, STOP + DONE)) as server:
        stream = await begin(upstream, server)
        assert await stream.pump(sink)
        assert [len(batch) for batch in sink.batches] == [1, 2, 1, 1]
        await stream.aclose()


async def test_read_and_pump_in_turn(upstream: Upstream) -> None:
    """Nothing is lost or doubled between them."""
    sink = Sink(1)
    async with RawServer(saying(HEY, 0.02, HEY, 0.02, HEY, 0.02, STOP + DONE)) as server:
        stream = await begin(upstream, server)
        sink.batches.append(await stream.read())
        sink.stops = (2,)
        assert not await stream.pump(sink)
        sink.batches.append(await stream.read())
        assert await stream.pump(sink)
        assert (sink.text, len(sink.batches)) == ("heyheyhey", 4)
        await stream.aclose()


async def test_stopped_with_the_end_mark(upstream: Upstream) -> None:
    """A sink that returns False for the last events is waited for; the next call reports the end."""
    async with RawServer(saying(HEY, 0.02, STOP + DONE, then="hold")) as server:
        stream = await begin(upstream, server)
        sink = Sink(2)
        assert not await stream.pump(sink)
        assert await asyncio.wait_for(stream.pump(sink), 2)
        assert len(sink.batches) == 2
        await stream.aclose()


async def test_stopped_with_the_last_lines(upstream: Upstream) -> None:
    """The same where the end of the body completes the last event, and the cut comes behind it."""
    async with RawServer(saying(ROLE, 0.02, HEY.rstrip(b"\n") + b"\n")) as server:
        stream = await begin(upstream, server)
        sink = Sink(2)
        assert not await stream.pump(sink)
        assert sink.text == "hey"
        assert (await refused(stream.pump(sink))).failure.kind == "cut"
        await stream.aclose()


@pytest.mark.parametrize("stop", [False, True])
async def test_error_behind_events(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, stop: bool) -> None:
    """It is raised when the events that came with it were taken, and the connection is closed at once."""
    monkeypatch.setattr(client_response, "LINGER_S", 60.0)
    sink = Sink(1) if stop else Sink()
    async with RawServer(saying(HEY + OVERLOADED, then="hold")) as server:
        stream = await begin(upstream, server)
        if stop:
            assert not await stream.pump(sink)
        error = await refused(stream.pump(sink))
        assert (error.failure.kind, sink.text) == ("overloaded", "hey")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_error_event_alone(upstream: Upstream) -> None:
    """What the vendor says is raised as it is, although the connection is cut right behind it."""
    sink = Sink()
    async with RawServer(saying(HEY, 0.02, OVERLOADED, then="reset")) as server:
        stream = await begin(upstream, server)
        assert (await refused(stream.pump(sink))).failure.kind == "overloaded"
        assert sink.text == "hey"


async def test_the_gap_clock_while_pumping(upstream: Upstream) -> None:
    """It takes over with the first content, though the clock before it had longer, and comments do not help."""
    comments = [x for _ in range(60) for x in (b": x\n\n", 0.02)]
    sink = Sink()
    async with RawServer(saying(ROLE, 0.05, HEY, *comments, then="hold")) as server:
        stream = await begin(upstream, server, Clocks(first_content_s=60, gap_s=0.3))
        error = await refused(asyncio.wait_for(stream.pump(sink), 5))
        assert (error.failure.kind, error.clock, sink.text) == ("timeout_gap", "gap", "hey")
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_the_first_content_clock_while_pumping(upstream: Upstream) -> None:
    """Roles do not move it."""
    async with RawServer(saying(*(x for _ in range(60) for x in (ROLE, 0.02)), then="hold")) as server:
        stream = await begin(upstream, server, Clocks(first_content_s=0.3, gap_s=0.1))
        error = await refused(asyncio.wait_for(stream.pump(Sink()), 5))
        assert error.clock == "first_content"


async def test_the_total_clock_while_pumping(upstream: Upstream) -> None:
    """It falls although events come."""
    async with RawServer(saying(*(x for _ in range(200) for x in (HEY, 0.02)), then="hold")) as server:
        stream = await begin(upstream, server, Clocks(gap_s=10, total_s=0.4))
        sink = Sink()
        error = await refused(asyncio.wait_for(stream.pump(sink), 5))
        assert error.clock == "total"
        assert sink.batches


async def test_every_event_moves_the_gap_clock(upstream: Upstream) -> None:
    """One call pumps a stream that is much longer than the gap may be."""
    async with RawServer(saying(*(x for _ in range(20) for x in (HEY, 0.03)), STOP, DONE)) as server:
        stream = await begin(upstream, server, Clocks(gap_s=0.4))
        sink = Sink()
        assert await stream.pump(sink)
        assert sink.text == "hey" * 20
        await stream.aclose()


async def test_time_in_which_the_taker_is_waited_for_is_no_gap(upstream: Upstream) -> None:
    """The vendor is not blamed for it."""
    async with RawServer(saying(HEY, 0.05, HEY, STOP, DONE)) as server:
        stream = await begin(upstream, server, Clocks(gap_s=0.2))
        sink = Sink(1)
        assert not await stream.pump(sink)
        await asyncio.sleep(0.5)
        assert await stream.pump(sink)
        assert sink.text == "heyhey"
        await stream.aclose()


async def test_silence_behind_the_finish_is_a_whole_answer(upstream: Upstream) -> None:
    """Cut or silent after the finish reason, the end is proper all the same."""
    for then in ("hold", "close", "reset"):
        async with RawServer(saying(HEY, STOP, then=then)) as server:
            stream = await begin(upstream, server, Clocks(gap_s=0.2))
            sink = Sink()
            assert await asyncio.wait_for(stream.pump(sink), 5)
            assert sink.text == "hey"
            await stream.aclose()


async def test_time_in_the_sink_is_counted(upstream: Upstream) -> None:
    """What the sink needs is counted apart from what the vendor needs."""

    def slow(events: list[Event]) -> bool:
        time.sleep(0.03)
        return True

    async with RawServer(saying(HEY, 0.05, HEY, 0.05, STOP + DONE)) as server:
        stream = await begin(upstream, server)
        begun = time.perf_counter()
        assert await stream.pump(slow)
        assert 0.089 <= stream.sink_s <= time.perf_counter() - begun
        await stream.aclose()


async def test_what_take_raises(upstream: Upstream) -> None:
    """The waiting caller gets the exception; the connection is closed with the stream."""

    def take(events: list[Event]) -> bool:
        raise LookupError

    async with RawServer(saying(ROLE, 0.02, HEY, then="hold")) as server:
        stream = await begin(upstream, server)
        assert await stream.read()
        with pytest.raises(LookupError):
            await asyncio.wait_for(stream.pump(take), 5)
        await stream.aclose()
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)


async def test_cancelled_while_pumping(upstream: Upstream) -> None:
    """Cancelled, nothing is handed over any more; closing closes the vendor's connection; no clock falls afterwards."""
    sink = Sink()
    async with RawServer(saying(*(x for _ in range(100) for x in (HEY, 0.01)), then="hold")) as server:
        stream = await begin(upstream, server, Clocks(gap_s=0.1))
        task = asyncio.create_task(stream.pump(sink))
        while len(sink.batches) < 3:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen = len(sink.batches)
        await stream.aclose()
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
        assert len(sink.batches) == seen
        assert await stream.pump(sink)


async def test_malformed_bytes_end_it(upstream: Upstream) -> None:
    """Unreadable data is reported as such, and closes the connection."""
    async with RawServer(saying(HEY, 0.02, b"data: {nonsense\n\n", then="hold")) as server:
        stream = await begin(upstream, server)
        with pytest.raises(ProviderError) as caught:
            await asyncio.wait_for(stream.pump(Sink()), 5)
        assert caught.value.failure.kind == "malformed"
        await asyncio.wait_for(server.peers[0].gone.wait(), 2)
