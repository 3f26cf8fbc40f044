"""A real language model end to end: official SDK → gateway → two local endpoints at two prices, one of them killed on the way."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import openai
import pytest

from simulator import local_model
from tests.support.examples import LONG
from tests.support.gateway import Sale, write_catalog
from tests.support.process import ROOT, Process, free_port, served

MODEL = "huggingfacetb/smollm2-135m-instruct"
SALES = [
    Sale(MODEL, "cheap", local_model.MODEL, prompt="0.01", completion="0.02"),
    Sale(MODEL, "dear", local_model.MODEL, prompt="0.05", completion="0.10"),
]
REQUESTS, AT_ONCE, KILLED_AT = (200, 4, 100) if LONG else (60, 4, 30)
MAX_TOKENS = 2


def streamed(number: int) -> bool:
    """Every fourth one; none that could be under way at the kill, as an answer that has begun cannot be given again."""
    return number % 4 == 0 and not KILLED_AT - 20 < number <= KILLED_AT


pytestmark = pytest.mark.model


@asynccontextmanager
async def endpoint(log: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """One endpoint of the model: its base URL and its process."""
    port = free_port()
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulator.local_model", str(port), "--threads", "1", "--parent", str(os.getpid())),
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(timeout=5) as client:
            while True:
                assert process.returncode is None, log.read_text()
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, Decimal]:
    """One request: its id and what it cost."""
    messages = [{"role": "system", "content": "Count."}, {"role": "user", "content": f"Say {number}."}]
    if not streamed(number):
        answer = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert 0 < answer.usage.completion_tokens <= MAX_TOKENS
        return answer.id, Decimal(str(answer.usage.cost))  # type: ignore[attr-defined]
    text, id, cost, finish = "", "", Decimal(-1), None
    async for chunk in await client.chat.completions.create(
        model=MODEL,
        messages=messages,  # type: ignore[arg-type]
        max_tokens=MAX_TOKENS,
        stream=True,
    ):
        id = chunk.id
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        if chunk.usage is not None:
            cost = Decimal(str(chunk.usage.cost))  # type: ignore[attr-defined]
    assert text
    assert finish in ("stop", "length")
    return id, cost


async def crowd(process: Process, key: str, victim: asyncio.subprocess.Process) -> dict[str, Decimal]:
    """All requests, a few at once; the victim is killed in the middle. Id → cost of each that did not fail."""
    numbers = iter(range(REQUESTS))
    costs: dict[str, Decimal] = {}

    async def caller() -> None:
        for number in numbers:
            if number == KILLED_AT:
                victim.kill()
            id, cost = await ask(client, number)
            costs[id] = cost

    async with openai.AsyncOpenAI(base_url=process.url + "/api/v1", api_key=key, max_retries=0, timeout=60) as client:
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return costs


@pytest.mark.property  # all its requests in the soak
@pytest.mark.timeout(300)
@pytest.mark.tail
async def test_one_of_two_endpoints_is_killed(tmp_path: Path) -> None:
    """Sixty requests (200 in the soak), failed requests: 0. Every answer is on the ledger once, at the price of who gave it; the books balance."""
    local_model.check()
    async with AsyncExitStack() as stack:
        cheap, victim = await stack.enter_async_context(endpoint(tmp_path / "cheap.log"))
        dear, _ = await stack.enter_async_context(endpoint(tmp_path / "dear.log"))
        config = write_catalog(tmp_path / "config", {"cheap": cheap, "dear": dear}, SALES)
        process = await stack.enter_async_context(served(config, tmp_path / "data"))
        costs = await crowd(process, await process.key("5"), victim)
        assert len(costs) == REQUESTS
        lines = [line for line in await process.ledger() if line["type"] != "grant"]
        paid = [(str(line["generation_id"]), Decimal(str(line["paid_usd"])), str(line["provider"])) for line in lines]
        assert sorted((id, usd) for id, usd, _ in paid if usd) == sorted(costs.items())
        assert all(cost > 0 for cost in costs.values())
        served_by = Counter(provider for _, usd, provider in paid if usd)
        assert served_by["cheap"] > 0
        assert served_by["dear"] >= REQUESTS - KILLED_AT - AT_ONCE
        print(f"{REQUESTS} requests, failed 0, served by {dict(served_by)}")
        await process.clean()
        assert await process.stop() == 0
