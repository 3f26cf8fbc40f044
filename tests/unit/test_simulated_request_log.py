"""The request log of a simulated vendor: who disconnected when, what is billed, what is open; and the listening socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from simulator import RequestLog, SimulatedVendor, request_log
from tests.support.vendor import PATIENCE_S, line, until, vendor

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("how", ["rst", "fin", "half"])
@pytest.mark.parametrize("model", ["tps=20+tokens=100", "ttft=60000", "stall@0", "comments", "endless"])
async def test_early_close_is_noticed_at_once(model: str, how: str) -> None:
    """A client that resets, closes or half-closes is gone for the vendor, whether it writes, sleeps or hangs."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask(model, stream=True, user="leaver")
        await until(lambda: sim.log.of("leaver"))
        left_at = time.monotonic()
        if how == "rst":
            wire.leave()
        elif how == "fin":
            wire.writer.close()
        else:
            wire.writer.write_eof()
        await until(lambda: sim.log.of("leaver")[0].ending)
        (entry,) = sim.log.of("leaver")
        assert entry.client_closed_early
        assert not entry.finished
        assert entry.ended_at is not None
        assert entry.ended_at >= left_at
        assert entry.billed_completion_tokens == entry.sent_tokens
        await until(lambda: sim.open_connections == 0)
        assert sim.log.in_flight == 0


async def test_json_disconnect_bills_what_was_ready() -> None:
    """A JSON answer is generated at its pace though nothing is sent: leaving after the first token bills part of it."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("tps=100+tokens=100000")
        await until(lambda: sim.log.requests)
        await asyncio.sleep(0.1)
        wire.leave()
        await until(lambda: sim.log.requests[0].ending)
        (entry,) = sim.log.requests
        assert (entry.sent_tokens, entry.billed_prompt_tokens) == (0, 10)
        assert 0 < entry.billed_completion_tokens < 100_000


@pytest.mark.parametrize("stream", [False, True])
async def test_uncancellable_bills_the_whole_answer(stream: bool) -> None:
    """Some vendors' meters do not stop when the client leaves."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("uncancellable+tps=10+tokens=500", stream=stream)
        await until(lambda: sim.log.requests)
        wire.leave()
        await until(lambda: sim.log.requests[0].ending)
        assert sim.log.requests[0].billed_completion_tokens == 500
        assert sim.log.requests[0].sent_tokens < 500


async def test_ids_header_then_user_then_counter() -> None:
    """A request is known by its header, else by user, else by the vendor's counter; a retry shows as a second entry."""
    async with vendor("acme") as sim, line(sim) as wire:
        for headers, body in (
            ({"x-request-id": "h"}, {"user": "u"}),
            ({}, {"user": "u"}),
            ({}, {}),
            ({"X-Request-ID": "h"}, {}),
        ):
            await wire.ask("ok", headers=headers, **body)
            await wire.response()
        assert [entry.id for entry in sim.log.requests] == ["h", "u", "acme-3", "h"]
        assert len(sim.log.of("h")) == 2


async def test_truth_over_http() -> None:
    """GET /__truth shows what the process knows, ?id= one request; DELETE forgets the requests."""
    async with vendor() as sim, httpx.AsyncClient(base_url=sim.base_url[:-3]) as client:
        for name in ("a", "b"):
            await client.post("/v1/chat/completions", json={"model": "tokens=2", "messages": [], "user": name})
        facts = (await client.get("/__truth")).json()
        assert (facts["vendor"], facts["in_flight"], facts["connections"]) == ("sim", 0, {"open": 1, "accepted": 1})
        assert facts["totals"]["requests"] == facts["totals"]["ending_finished"] == 2
        assert facts["totals"]["billed_completion_tokens"] == 4
        assert [row["id"] for row in facts["requests"]] == ["a", "b"]
        only = (await client.get("/__truth?id=b")).json()["requests"]
        assert [(row["id"], row["sent_tokens"], row["finished"]) for row in only] == [("b", 2, True)]
        assert (await client.delete("/__truth")).json()["requests"] == []
        assert (await client.get("/__truth")).json()["totals"]["requests"] == 0


def test_totals_outlive_the_kept_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are bounded, sums are not."""
    monkeypatch.setattr(request_log, "KEPT_REQUESTS", 2)
    ledger = RequestLog("sim")
    ledger.requests = type(ledger.requests)(maxlen=2)
    for number in range(5):
        entry = ledger.begin(None, "ok", stream=False)
        entry.prompt_tokens, entry.sent_tokens = 10, number
        entry.end("finished", number)
    assert len(ledger.requests) == 2
    totals = ledger.totals()
    assert (totals["requests"], totals["sent_tokens"], totals["billed_prompt_tokens"]) == (5, 10, 50)


async def test_refuse_and_accept_on_the_same_port() -> None:
    """refuse stops accepting at the same port while open connections live; accept starts again."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("tps=50+tokens=20", stream=True)
        await wire.head()
        await sim.refuse()
        await sim.refuse()
        port = sim.port
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(sim.host, port)
        while await wire.chunk():
            pass
        await sim.accept()
        assert sim.port == port
        async with line(sim) as again:
            await again.ask("ok")
            assert (await again.response())[0] == 200


async def test_kill_resets_every_connection() -> None:
    """kill drops all connections by reset and notes who did it; new ones are served."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("stall@2", stream=True)
        await wire.head()
        sim.kill()
        with pytest.raises(ConnectionResetError):
            await wire.rest()
        assert sim.log.requests[0].ending == "killed"
        async with line(sim) as again:
            await again.ask("ok")
            assert (await again.response())[0] == 200


async def test_stop_leaves_nothing_and_a_taken_port_is_an_error() -> None:
    """stop closes every connection and may be called twice; a port in use is an OSError."""
    async with vendor() as sim, line(sim) as wire:
        await wire.ask("stall@1", stream=True)
        await wire.head()
        with pytest.raises(OSError, match="in use"):
            await SimulatedVendor("other").start(sim.port)
        await sim.stop()
        await sim.stop()
        assert sim.open_connections == 0


async def start_command(*arguments: str) -> asyncio.subprocess.Process:
    """``python -m simulator`` with its output piped."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *arguments, cwd=ROOT, env={**os.environ, "SIM_KEY": "sk-x"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_command_serves_several_vendors_and_ends_on_sigterm() -> None:
    """One process, several vendors, the key from the environment, exit 0 on SIGTERM, exit 1 naming a taken port."""
    process = await start_command("a=0", "b=0", "--key-env", "SIM_KEY", "--parent", str(os.getpid()))
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            urls = dict([(await process.stdout.readline()).decode().split() for _ in range(2)])
        async with httpx.AsyncClient(headers={"Authorization": "Bearer sk-x"}) as client:
            for name in ("a", "b"):
                answer = await client.post(f"{urls[name]}/chat/completions", json={"model": "echo", "messages": []})
                assert answer.status_code == 200
        taken = await start_command(f"c={urls['a'].rpartition(':')[2].partition('/')[0]}")
        _, complaint = await taken.communicate()
        assert taken.returncode == 1
        assert urls["a"][7:].partition("/")[0] in complaint.decode()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


async def test_command_prints_the_words() -> None:
    """--words explains the language without starting anything."""
    process = await start_command("--words")
    out, _ = await process.communicate()
    assert (process.returncode, b"stall@N" in out) == (0, True)


async def test_child_does_not_outlive_its_parent() -> None:
    """With --parent the vendors end when the starting process is killed, even by SIGKILL."""
    if sys.platform != "linux":
        pytest.skip("PR_SET_PDEATHSIG is Linux")
    code = (
        "import subprocess, sys, os, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'simulator', 'x=0', '--parent', str(os.getpid())])\n"
        "print(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    first, second = [(await parent.stdout.readline()).decode().split() for _ in range(2)]
    child = int(first[0] if first[0].isdigit() else second[0])
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(child))


def alive(pid: int) -> bool:
    """True while the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
