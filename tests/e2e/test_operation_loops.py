"""Background loops end when they are cancelled, whatever they are doing at that moment."""

from __future__ import annotations

import asyncio

from gateway.telemetry import Telemetry
from gateway.worker import every


async def test_a_swallowed_cancellation_still_ends_the_loop() -> None:
    """Python 3.11's ``wait_for`` drops a cancellation that comes as its work ends; a loop that went on would keep the process from stopping."""

    async def step() -> None:
        await asyncio.wait_for(work(), 5)

    async def work() -> None:
        loop.cancel()

    loop = asyncio.create_task(every(0.001, step, Telemetry()))
    async with asyncio.timeout(20):
        await asyncio.wait([loop])


async def test_a_failing_step_does_not_end_the_loop() -> None:
    """A failing step is logged, and the next one runs."""
    steps = 0
    twice = asyncio.Event()

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            twice.set()
        raise RuntimeError("failing step")

    loop = asyncio.create_task(every(0.001, step, Telemetry()))
    async with asyncio.timeout(20):
        await twice.wait()
    loop.cancel()
    await asyncio.wait([loop])
    assert loop.cancelled() or loop.done()
