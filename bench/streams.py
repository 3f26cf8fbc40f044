"""Streaming load: a fixed number of callers, each reading one stream after the other and timing every event.

An event is *batched* when the read that brought it brought another content event too. ``gap_drift`` is the difference between the
gap of two events at the client and their gap when they left the upstream (stamps inside the events); ``transit`` is the time from
leaving the upstream to arriving here. Microseconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from itertools import pairwise
from typing import Any, cast

from bench.shapes import STAMP, STAMP_BYTES
from bench.stats import percentiles

_STREAM_S = 60.0


class StreamReader(asyncio.Protocol):
    """One connection; reads one stream at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[None] | None = None
        self._tail = b""
        self.reads: list[tuple[int, list[int]]] = []  # (arrived_ns, stamps_ns)
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    async def stream(self, request: bytes) -> None:
        """Returns when the stream has ended. Raises ConnectionError when the connection closes before, TimeoutError."""
        assert self._transport
        self.reads, self._tail, self.head = [], b"", b""
        self._ended = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await asyncio.wait_for(self._ended, _STREAM_S)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if not self.head:
            self.head = data[:200]
        text = self._tail + data
        stamps = STAMP.findall(text)
        if stamps:
            self.reads.append((now_ns, [int(stamp) for stamp in stamps]))
            text = text[text.rfind(stamps[-1]) + len(stamps[-1]) :]
        self._tail = text[-STAMP_BYTES:]
        if text.endswith(b"0\r\n\r\n") and self._ended and not self._ended.done():
            self._ended.set_result(None)
        elif not self.head.startswith(b"HTTP/1.1 200"):
            self._break(ConnectionError(self.head.decode(errors="replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc or ConnectionError("closed before the last chunk"))

    def _break(self, error: Exception) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_exception(error)

    def close(self) -> None:
        if self._transport:
            self._transport.close()


class StreamTotals:
    """The results of all callers."""

    def __init__(self) -> None:
        self.streams = self.failed = self.events = self.batched = self.incomplete = 0
        self.errors: list[str] = []
        self.first_us: list[float] = []
        self.transit_us: list[float] = []
        self.drift_us: list[float] = []
        self.gap_us: list[float] = []

    def add(self, begun_ns: int, reads: list[tuple[int, list[int]]], expected: int) -> None:
        arrived = [(now_ns, stamp_ns) for now_ns, stamps in reads for stamp_ns in stamps]
        self.streams += 1
        self.events += len(arrived)
        self.incomplete += len(arrived) != expected
        self.batched += sum(len(stamps) for _, stamps in reads if len(stamps) > 1)
        if arrived:
            # The upstream waits one gap before the first event: the rest is connecting, the request and one event.
            self.first_us.append((arrived[0][0] - begun_ns) / 1000)
        self.transit_us.extend((now_ns - stamp_ns) / 1000 for now_ns, stamp_ns in arrived)
        for (now_a, stamp_a), (now_b, stamp_b) in pairwise(arrived):
            self.gap_us.append((now_b - now_a) / 1000)
            self.drift_us.append(abs((now_b - now_a) - (stamp_b - stamp_a)) / 1000)

    def result(self, gap_us: float) -> dict[str, Any]:
        return {
            "streams": self.streams,
            "failed": self.failed,
            "incomplete": self.incomplete,
            "errors": self.errors[:3],
            "events": self.events,
            "batched_share": round(self.batched / self.events, 5) if self.events else None,
            "first_content_us": percentiles([first - gap_us for first in self.first_us]),
            "transit_us": percentiles(self.transit_us),
            "gap_us": percentiles(self.gap_us),
            "gap_drift_us": percentiles(self.drift_us),
        }


async def _caller(job: dict[str, Any], totals: StreamTotals, delay_s: float) -> None:
    loop, request = asyncio.get_running_loop(), job["request"].encode()
    reader: StreamReader | None = None
    await asyncio.sleep(delay_s)
    for _ in range(job["streams_each"]):
        begun_ns = time.monotonic_ns()
        try:
            if reader is None:
                _, reader = await loop.create_connection(StreamReader, job["host"], job["port"])
            await reader.stream(request)
        except (OSError, TimeoutError) as error:
            totals.failed += 1
            totals.errors.append(repr(error)[:300])
            if reader:
                reader.close()
            reader = None
            continue
        totals.add(begun_ns, reader.reads, job["events"])
    if reader:
        reader.close()


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Each of ``callers`` reads ``streams_each`` streams of ``events`` events; they start spread over ``spread_s``."""
    totals, rng = StreamTotals(), random.Random(11)
    async with asyncio.TaskGroup() as group:
        for _ in range(job["callers"]):
            group.create_task(_caller(job, totals, rng.random() * job["spread_s"]))
    return totals.result(job["gap_us"])
