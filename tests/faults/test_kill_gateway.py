"""kill -9 of the gateway at six phases of a request: nothing lost, doubled or overcharged, and the books balance."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store.embedded import Embedded
from simulator import SimulatedVendor
from tests.support.gateway import Sale, write_catalog
from tests.support.process import Process
from tests.support.redisproxy import RedisProxy

PROMPT, COMPLETION = Decimal("0.000001"), Decimal("0.000002")
PHASES = {
    "hold ran, its reply is lost": ("t/long", ("hold", "reply")),
    "the vendor works, nothing came": ("t/mute", None),
    "the first content came": ("t/first", None),
    "in the middle of the stream": ("t/seventh", None),
    "all content came, the settlement did not run": ("t/short", ("settle", "request")),
    "the settlement ran, its reply is lost": ("t/short", ("settle", "reply")),
}
SALES = [
    Sale("t/long", "alpha", "ok+tokens=400+tps=20"),
    Sale("t/mute", "alpha", "stall@0"),
    Sale("t/first", "alpha", "stall@1"),
    Sale("t/seventh", "alpha", "stall@7"),
    Sale("t/short", "alpha", "ok+ttft=400+tokens=5"),
]
CALLERS = 20
HOLD_TTL_S = 5


async def ask(url: str, key: str, model: str, number: int, ids: list[str]) -> str:
    """One streamed request; what the caller got before the connection broke."""
    got = ""
    body = {"model": model, "stream": True, "user": f"u{number}", "messages": [{"role": "user", "content": "hello"}]}
    try:
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream(
                "POST", url + "/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
            ) as answer,
        ):
            ids.append(answer.headers["x-generation-id"])
            async for text in answer.aiter_text():
                got += text
    except httpx.TransportError:
        pass
    return got


async def reached(phase: str, proxy: RedisProxy, vendor: SimulatedVendor, since: int, callers: int) -> None:
    """Wait until every request is at the phase."""
    for _ in range(1500):
        seen = list(vendor.log.requests)[since:]
        if PHASES[phase][1] is not None:
            if proxy.caught >= 1 and (PHASES[phase][1] or ("", ""))[0] == "hold":
                return
            # a withheld reply silences the connection, so later requests never got as far as the vendor
            if proxy.caught >= 1 and seen and all(entry.finished for entry in seen):
                return
        elif len(seen) >= callers:
            wanted = {"t/mute": 0, "t/first": 1, "t/seventh": 7}[PHASES[phase][0]]
            if all(entry.sent_tokens >= wanted for entry in seen):
                await asyncio.sleep(0.2)  # the last event is on its way through the gateway
                return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not every request reached: {phase}")


async def storm(tmp_path: Path, phases: list[str], callers: int) -> dict[str, Any]:
    """Kill once at each phase with ``callers`` requests there, start again, wait for the holds to expire, compare."""
    valkey = Embedded(tmp_path / "valkey")
    valkey.start()
    vendor = await SimulatedVendor("alpha").start()
    proxy = RedisProxy(Path(valkey.url.removeprefix("unix://")))
    await proxy.start()
    config = write_catalog(tmp_path / "config", {"alpha": vendor.base_url}, SALES)
    gateway = Process(
        config, tmp_path / "data", redis_url=proxy.url, hold_ttl_s=HOLD_TTL_S, beat_interval_s=1, expire_interval_s=0.5,
        ledger_timeout_s=30,
    )  # fmt: skip
    complete: list[str] = []
    try:
        await gateway.start()
        key = await gateway.key("100")
        number = 0
        for phase in phases:
            ids: list[str] = []
            whole = await ask(gateway.url, key, "t/short", number := number + 1, ids)
            assert "[DONE]" in whole
            complete += ids
            since = len(vendor.log.requests)
            model, withheld = PHASES[phase]
            if withheld is not None:
                proxy.withhold(*withheld)
            tasks = [
                asyncio.create_task(ask(gateway.url, key, model, number := number + 1, [])) for _ in range(callers)
            ]
            await reached(phase, proxy, vendor, since, callers)
            await gateway.kill()
            answers = await asyncio.gather(*tasks)
            assert not any("[DONE]" in answer for answer in answers), phase
            proxy.relay()
            await gateway.start()
        report: dict[str, Any] = {}
        for _ in range(200):
            holds = (await gateway.admin("GET", "/api/v1/admin/holds")).json()
            if not holds["data"]:
                break
            await asyncio.sleep(0.25)
        report["open holds"] = len(holds["data"])
        report["audit"] = (await gateway.admin("GET", "/api/v1/admin/audit")).status_code
        lines = [line for line in await gateway.ledger() if line["type"] in ("settled", "expired", "adjusted")]
        counts = Counter(str(line["generation_id"]) for line in lines)
        report["lost"] = sum(1 for id in complete if counts[id] == 0)
        report["doubled"] = sum(1 for count in counts.values() if count > 1)
        paid = sum(Decimal(str(line["paid_usd"])) for line in lines)
        truth = sum(
            (e.billed_prompt_tokens * PROMPT + e.billed_completion_tokens * COMPLETION) * Decimal("1.05")
            for e in vendor.log.requests
        )
        report["overcharged"] = max(Decimal(0), paid - truth)
        report["paid"], report["truth"] = paid, truth
        assert await gateway.stop() == 0
        return report
    finally:
        if gateway.process is not None and gateway.process.returncode is None:
            await gateway.kill()
        await proxy.stop()
        await vendor.stop()
        valkey.stop()


def balanced(report: dict[str, Any]) -> None:
    assert report["audit"] == 200, report
    assert report["open holds"] == 0, report
    assert (report["lost"], report["doubled"], report["overcharged"]) == (0, 0, 0), report


@pytest.mark.timeout(180)
async def test_twenty_requests_at_each_phase(tmp_path: Path) -> None:
    """One kill at each of six phases with twenty requests there: lost, doubled, overcharged = 0."""
    balanced(await storm(tmp_path, list(PHASES), CALLERS))


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_twenty_kills_at_each_phase(tmp_path: Path, record_property: Any) -> None:
    """Twenty kills at each of six phases (three in the short form)."""
    rounds = 3 if os.environ.get("SOAK") == "short" else 20
    report = await storm(tmp_path, list(PHASES) * rounds, 3)
    print(f"kills {rounds * len(PHASES)}: {report}")
    balanced(report)
