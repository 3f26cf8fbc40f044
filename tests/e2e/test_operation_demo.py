"""``make run`` as a new user sees it: what the banner prints works when pasted, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.demo import LOCAL_MODELS, VENDORS
from tests.support.process import ROOT, Process, descendants, ended

PATIENCE_S = 60
pytestmark = pytest.mark.xdist_group("demo-ports")


def free(port: int) -> bool:
    """Nothing listens at this address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Process]:
    """The demo, not yet started, on a port of its own; its vendors have the ports that the shipped catalogue names."""
    taken = [port for port in {**VENDORS, **LOCAL_MODELS}.values() if not free(port)]
    if taken:
        pytest.skip(f"ports {taken} of the demo are in use on this machine")
    process = Process(ROOT / "config", tmp_path / "data", admin_key=None)
    yield process
    await ended(process)


async def banner(process: Process, starts: int = 1) -> str:
    """What it printed, once all answers; the banner of the last start."""
    async with asyncio.timeout(PATIENCE_S):
        while (text := process.log.read_text()).count("Ctrl-C stops everything.") < starts:
            assert process.process is not None
            assert process.process.returncode is None, process.output()
            await asyncio.sleep(0.05)
    return text.rpartition("Tokenway is up.")[2]


async def pasted(line: str) -> str:
    """Run a line as it was printed, with bash; what it printed."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, line
    return out.decode()


def alive(pid: int) -> bool:
    """It exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(180)
async def test_the_demo(demo: Process, tmp_path: Path) -> None:
    """Base URL, key, place of the management key and curl lines are printed and work; Ctrl-C: exit 0, no child left."""
    assert shutil.which("curl"), "curl is needed to paste the banner's lines"
    await demo.spawn("demo")
    text = await banner(demo)
    assert f"{demo.url}/api/v1" in text
    key = re.search(r"API key +(\S+)", text)
    assert key is not None
    assert key[1] == (tmp_path / "data" / "demo.key").read_text().strip()
    place = Path(str(re.search(r"Admin key +(\S+)", text)[1]))  # type: ignore[index]
    assert place == tmp_path / "data" / "admin.key"
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.read_text().strip() not in text
    whole, streamed, credits = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]
    answer = json.loads(await pasted(whole))
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["cost"] > 0
    events = (await pasted(streamed)).split("\n\n")
    assert events[-2] == "data: [DONE]"
    spent = json.loads(await pasted(credits))["data"]
    assert spent["total_credits"] == 5
    assert 0 < spent["total_usage"] < 5
    children = descendants(demo.pid)
    assert any("simulator" in line for line in children.values())
    os.killpg(demo.pid, signal.SIGINT)
    assert await demo.wait() == 0, demo.output()
    assert not [line for pid, line in children.items() if alive(pid)]
    assert "Traceback" not in demo.output()
    await demo.spawn("demo")
    assert key[1] in await banner(demo, 2)
    again = json.loads(await pasted(credits))["data"]
    assert again == spent
    assert await demo.stop() == 0
