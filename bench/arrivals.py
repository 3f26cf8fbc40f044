"""Open-loop JSON load: requests arrive at random times, not after the last answer.

Latency counts from the intended arrival, so a stall of the target is not forgiven (no coordinated omission). Microseconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, cast

from bench.pacer import Pacer
from bench.stats import percentiles

_WARM_UP = 0.1  # share of the run whose arrivals are not counted
_DRAIN_S = 5.0


def whole(buffer: bytes) -> bool:
    """Whether the buffer holds a complete HTTP/1.1 answer (by content-length or last chunk)."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = buffer[: end + 2].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return buffer.endswith(b"0\r\n\r\n")
    length = int(head[at + 17 : head.find(b"\r\n", at + 2)])
    return len(buffer) >= end + 4 + length


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self, load: OpenLoop) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._due_ns: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._load.free.append(self)

    def send(self, request: bytes, due_ns: int) -> None:
        assert self._transport
        self._due_ns, self._buffer = due_ns, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._due_ns is None or not whole(self._buffer):
            return
        due_ns, self._due_ns = self._due_ns, None
        self._load.ended(due_ns, ok=self._buffer.startswith(b"HTTP/1.1 200"))
        self._load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._load.free:
            self._load.free.remove(self)
        if self._due_ns is not None:
            self._load.ended(self._due_ns, ok=False)


class OpenLoop:
    """Poisson arrivals at ``rate_per_s`` for ``seconds`` over ``connections`` sockets."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._request: bytes = job["request"].encode()
        self._gap_ns = 1e9 / job["rate_per_s"]
        self._rng = random.Random(7)
        self._pacer = Pacer(asyncio.get_running_loop())
        self._last_arrival = asyncio.Event()
        self._due_ns = self._end_ns = self._counted_from_ns = 0
        self._sent = self._failed = self._in_flight = 0
        self._latency_us: list[float] = []
        self._late_us: list[float] = []
        self.free: list[Connection] = []

    def ended(self, due_ns: int, *, ok: bool) -> None:
        self._in_flight -= 1
        if not ok:
            self._failed += 1
        elif due_ns >= self._counted_from_ns:
            self._latency_us.append((time.monotonic_ns() - due_ns) / 1000)

    def _arrive(self) -> None:
        self._sent += 1
        if self.free:
            self._late_us.append((time.monotonic_ns() - self._due_ns) / 1000)
            self._in_flight += 1
            self.free.pop().send(self._request, self._due_ns)
        else:
            self._failed += 1  # more in flight than sockets: the target cannot keep up with this rate
        self._due_ns += int(self._rng.expovariate(1) * self._gap_ns)
        if self._due_ns < self._end_ns:
            self._pacer.at(self._due_ns, self._arrive)
        else:
            self._last_arrival.set()

    async def run(self) -> dict[str, Any]:
        loop, job = asyncio.get_running_loop(), self._job
        for _ in range(job["connections"]):
            await loop.create_connection(lambda: Connection(self), job["host"], job["port"])
        self._due_ns = time.monotonic_ns() + 20_000_000
        run_ns = int(job["seconds"] * 1e9)
        self._end_ns, self._counted_from_ns = self._due_ns + run_ns, self._due_ns + int(run_ns * _WARM_UP)
        self._pacer.at(self._due_ns, self._arrive)
        await self._last_arrival.wait()
        deadline_s = time.monotonic() + _DRAIN_S
        while self._in_flight and time.monotonic() < deadline_s:
            await asyncio.sleep(0.01)
        return {
            "sent": self._sent,
            "failed": self._failed + self._in_flight,
            "latency_us": percentiles(self._latency_us),
            "client_late_us": percentiles(self._late_us),
        }
