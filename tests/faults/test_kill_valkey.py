"""kill -9 of the embedded Valkey under load: every answer that a caller holds is on the ledger, once, at its exact price."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator import SimulatedVendor
from tests.support.gateway import Sale, write_catalog
from tests.support.process import Process

CALLERS = 8


def valkey_of(pid: int) -> int:
    """The Valkey server among the descendants of a process."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat, name = (entry / "stat").read_text(), os.readlink(entry / "exe")
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append((int(entry.name), Path(name).name))
    queue = [pid]
    while queue:
        for child, name in children.get(queue.pop(), []):
            if "valkey" in name or "redis" in name:
                return child
            queue.append(child)
    raise AssertionError("no Valkey below the gateway")


async def storm(tmp_path: Path, kills: int) -> dict[str, Any]:
    """Callers ask without pause while Valkey is killed again and again."""
    vendor = await SimulatedVendor("alpha").start()
    config = write_catalog(tmp_path / "config", {"alpha": vendor.base_url}, [Sale("t/a", "alpha", "ok+tokens=5")])
    gateway = Process(config, tmp_path / "data", hold_ttl_s=5, expire_interval_s=0.5)
    answers: dict[str, Decimal] = {}
    statuses: Counter[int] = Counter()
    running = True

    async def caller(key: str, client: httpx.AsyncClient) -> None:
        body = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}]}
        while running:
            answer = await client.post(
                "/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
            )
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                answers[answer.json()["id"]] = Decimal(str(answer.json()["usage"]["cost"]))
            else:
                await asyncio.sleep(0.05)

    try:
        await gateway.start()
        assert gateway.process is not None
        key = await gateway.key("1000")
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            tasks = [asyncio.create_task(caller(key, client)) for _ in range(CALLERS)]
            for _ in range(kills):
                await asyncio.sleep(0.6)
                os.kill(valkey_of(gateway.process.pid), signal.SIGKILL)
                before = len(answers)
                for _ in range(500):  # the next kill comes when answers come again
                    await asyncio.sleep(0.02)
                    if len(answers) > before + CALLERS:
                        break
            running = False
            await asyncio.gather(*tasks)
        for _ in range(100):  # a hold may have expired whose settlement is still being repeated
            pending = (await gateway.metrics())["tokenway_settle_pending"]
            if not pending and not (await gateway.admin("GET", "/api/v1/admin/holds")).json()["data"]:
                break
            await asyncio.sleep(0.2)
        lines = [line for line in await gateway.ledger() if line["type"] != "grant"]
        paid: dict[str, Decimal] = {}
        posted: Counter[str] = Counter()
        for (
            line
        ) in lines:  # a hold that expired while its settlement waited has two lines: what it was, and the difference
            id = str(line["generation_id"])
            paid[id] = paid.get(id, Decimal(0)) + Decimal(str(line["paid_usd"]))
            posted[id] += line["type"] in ("settled", "adjusted")
        report = {
            "answers": len(answers),
            "statuses": dict(statuses),
            "lost": sum(1 for id in answers if id not in paid),
            "doubled": sum(1 for count in posted.values() if count > 1),
            "mispriced": sum(1 for id, cost in answers.items() if id in paid and paid[id] != cost),
            "audit": (await gateway.admin("GET", "/api/v1/admin/audit")).status_code,
        }
        assert await gateway.stop() == 0
        return report
    finally:
        if gateway.process is not None and gateway.process.returncode is None:
            await gateway.kill()
        await vendor.stop()


def sound(report: dict[str, Any]) -> None:
    assert report["answers"] > 0
    assert set(report["statuses"]) <= {200, 503}, report
    assert (report["lost"], report["doubled"], report["mispriced"], report["audit"]) == (0, 0, 0, 200), report


@pytest.mark.timeout(120)
async def test_three_kills(tmp_path: Path) -> None:
    """Three kills under load: lost, doubled, mispriced = 0, and callers get nothing but 200 and 503."""
    sound(await storm(tmp_path, 3))


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_twenty_kills(tmp_path: Path) -> None:
    """Twenty kills (five in the short form)."""
    report = await storm(tmp_path, 5 if os.environ.get("SOAK") == "short" else 20)
    print(report)
    sound(report)
