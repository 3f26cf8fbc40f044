"""What an operator watches: liveness, readiness with its reasons, and a log that parses and holds no secret."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from gateway.api.management.public_lists import READINESS_KEPT_S
from gateway.store.embedded import Embedded
from tests.support.gateway import Sale, write_catalog
from tests.support.process import Process, ended, served
from tests.support.vendor import until, vendor

CANARY = "xylophone-quokka-7781"
SALES = [
    Sale("t/echo", "alpha", "echo"),
    Sale("t/dead", "alpha", "status=500"),
    Sale("t/cut", "alpha", "echo+cut@2"),
    Sale("t/mute", "alpha", "stall@0"),
    Sale("t/refused", "alpha", "status=400"),
]


async def ask(process: Process, key: str, model: str, **more: object) -> httpx.Response:
    """One request whose every text is the canary."""
    body = {"model": model, "messages": [{"role": "user", "content": f"{CANARY} {CANARY} {CANARY}"}], **more}
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        return await client.post("/api/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


async def test_log_lines(tmp_path: Path) -> None:
    """One JSON line for each opened request, with its id; never a prompt, an answer or a key, whatever went wrong."""
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, SALES)
        async with served(config, tmp_path / "data", log_level="debug") as process:
            key = await process.key()
            expected: dict[str, str] = {}
            for model, more, outcome in (
                ("t/echo", {}, "complete"),
                ("t/echo", {"stream": True}, "complete"),
                ("t/cut", {"stream": True}, "upstream_failed"),
                ("t/dead", {}, "upstream_failed"),
            ):
                answer = await ask(process, key, model, **more)
                expected[answer.headers["x-generation-id"]] = outcome
                assert (CANARY in answer.text) == (outcome == "complete" and not more)
            assert (await ask(process, key, "t/refused")).status_code == 400
            assert (await ask(process, key, f"t/{CANARY}")).status_code == 400
            assert (await ask(process, key, "t/echo", temperature=CANARY)).status_code == 400
            assert (await ask(process, f"sk-tw-v1-{CANARY}", "t/echo")).status_code == 401
            assert (await process.admin("POST", "/api/v1/keys", {"name": 1, "limit": CANARY})).status_code == 400
            disconnecting = asyncio.create_task(ask(process, key, "t/mute", user=CANARY, stream=True))
            while not any(entry.model == "stall@0" for entry in alpha.log.requests):
                await asyncio.sleep(0.01)
            disconnecting.cancel()
            async with asyncio.timeout(20):
                while "caller_left" not in process.log.read_text():
                    await asyncio.sleep(0.02)
            assert await process.stop() == 0
            generations = [line for line in process.lines() if line["event"] == "generation"]
            outcomes = {line["id"]: line["outcome"] for line in generations}
            assert len(outcomes) == len(generations)
            assert {id: outcomes[id] for id in expected} == expected
            whole = next(line for line in generations if line["outcome"] == "complete" and line["streamed"])
            assert (whole["model"], whole["provider"], whole["attempts"]) == ("t/echo", "alpha", ["alpha:ok"])
            assert whole["charged_nano"] == whole["cost_nano"] + whole["fee_nano"] > 0
            assert whole["ttft_ms"] is not None
            everything = process.log.read_text() + process.complaints.read_text()
            for secret in (CANARY, key, key[-20:], process.env["GATEWAY_ADMIN_KEY"]):
                assert secret not in everything


async def test_redis_stops_and_starts_again(tmp_path: Path) -> None:
    """Without Redis: alive, not ready with the reason, requests get 503 and not 401; when it is back, ready by itself, money intact."""
    valkey = Embedded(tmp_path / "valkey")
    valkey.start()
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, SALES)
        try:
            async with served(config, tmp_path / "data", redis_url=valkey.url) as process:
                key = await process.key("10")
                assert (await ask(process, key, "t/echo")).status_code == 200
                before = await process.balances()
                await asyncio.to_thread(valkey.stop)
                async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
                    assert (await client.get("/healthz")).status_code == 200
                    await asyncio.sleep(READINESS_KEPT_S)
                    ready = await client.get("/readyz")
                    assert ready.status_code == 503
                    assert "redis" in str(ready.json()["reasons"])
                    for secret in (key, key[:-1] + "x"):
                        answer = await ask(process, secret, "t/echo")
                        assert answer.status_code == 503, answer.text
                        assert int(answer.headers["retry-after"]) >= 1
                    assert (await client.get("/metrics")).status_code == 200
                    await asyncio.to_thread(valkey.start)
                    await process.ready()
                    async with asyncio.timeout(20):
                        while (await ask(process, key, "t/dead")).status_code == 503:
                            await asyncio.sleep(0.05)
                assert await process.balances() == before
                assert (await ask(process, key, "t/echo")).status_code == 200
                assert process.process is not None
                assert process.process.returncode is None
                await process.clean()
                assert await process.stop() == 0
        finally:
            valkey.stop()


async def test_worker_looks_after_the_books_alone(tmp_path: Path) -> None:
    """A gateway dies with an answer under way and none comes back: ``tokenway worker`` releases the hold, and stops with exit 0."""
    valkey = Embedded(tmp_path / "valkey")
    valkey.start()
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, SALES)
        settings = {"redis_url": valkey.url, "hold_ttl_s": 5, "audit_interval_s": 0.5}
        worker = Process(config, tmp_path / "worker", expire_interval_s=0.2, **settings)
        try:
            async with served(config, tmp_path / "data", expire_interval_s=3600, **settings) as process:
                caller = asyncio.create_task(ask(process, await process.key(), "t/mute"))
                await until(lambda: any(entry.model == "stall@0" for entry in alpha.log.requests))
                await process.kill()
                await asyncio.wait([caller])
                await worker.spawn("worker")
                await until(lambda: "holds expired" in worker.log.read_text())
                assert await worker.stop() == 0, worker.output()
                assert "do not balance" not in worker.output()
                assert "background step failed" not in worker.output()
                await process.start()
                await process.clean()
        finally:
            await ended(worker)
            valkey.stop()
