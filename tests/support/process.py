"""The gateway as its own process, as an operator runs it: to be watched, killed, stopped and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.telemetry import FLUSH_INTERVAL_S
from tests.support.forked import Forked, suits
from tests.support.gateway import ADMIN_KEY

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40


PORTS = range(20_000, 32_000)
"""Below those that the system gives to connections and to servers that ask for any port (Linux from 32768, others from 49152): a
gateway that is killed and started again would find its port taken by one of them."""
_SLICE = 1000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_next_port = PORTS.start + (_worker * _SLICE + os.getpid() % _SLICE) % len(PORTS)
"""Each test process begins elsewhere."""


def free_port() -> int:
    """A port that is free at this moment, and that nobody else will be given soon."""
    global _next_port
    for _ in PORTS:
        _next_port = _next_port + 1 if _next_port + 1 < PORTS.stop else PORTS.start
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _next_port))
            except OSError:
                continue
            return _next_port
    raise OSError(f"no port of {PORTS} is free")


def environment(config_dir: Path, data_dir: Path, *, root: Path = ROOT, **settings: object) -> dict[str, str]:
    """A clean environment with these settings and no other; a setting that is None stays unset. ``root``: whose code is run."""
    given: dict[str, object] = {
        "config_dir": config_dir,
        "data_dir": data_dir,
        "admin_key": ADMIN_KEY,
        "log_level": "info",
        **settings,
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
        "PYTHONPATH": str(root),
        **{f"GATEWAY_{name.upper()}": str(value) for name, value in given.items() if value is not None},
    }


async def command(*words: str, env: Mapping[str, str], root: Path = ROOT) -> tuple[int, str, str]:
    """``tokenway`` with these words, run to its end: exit code, standard output, standard error."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        process = await _started(words, env, root, out, err)
        try:
            async with asyncio.timeout(PATIENCE_S):
                code = await process.wait()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return code, out.read_text(), err.read_text()


async def _started(
    words: Sequence[str], env: Mapping[str, str], root: Path, out: Path, err: Path
) -> asyncio.subprocess.Process | Forked:
    """``tokenway`` with these words in a process group of its own, writing to these files; forked where that is the same."""
    if root == ROOT and suits(env):
        return Forked(words, env, root, out, err)
    with out.open("ab") as to, err.open("ab") as complaints:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", *words),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=to,
            stderr=complaints,
            cwd=root,
            start_new_session=True,
        )


class Process:
    """``tokenway serve`` with its own settings. ``start``, ``kill`` (SIGKILL) or ``stop`` (SIGTERM), ``start`` again.

    It leads a process group of its own, so that Ctrl-C at a terminal can be imitated. ``root``: the directory of the packages
    that it runs, by default those of this checkout.
    """

    def __init__(self, config_dir: Path, data_dir: Path, *, root: Path = ROOT, **settings: object) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / f"{data_dir.name}.log"
        """Standard output: one JSON object a line."""
        self.complaints = data_dir.parent / f"{data_dir.name}.err"
        """Standard error: for people."""
        self.env = environment(config_dir, data_dir, root=root, port=self.port, **settings)
        self.process: asyncio.subprocess.Process | Forked | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def spawn(self, *words: str, **more: str) -> None:
        """Start the command and do not wait for anything."""
        self.process = await _started(words or ("serve",), {**self.env, **more}, self.root, self.log, self.complaints)

    async def start(self, **more: str) -> None:
        """Start and wait until it is ready."""
        await self.spawn(**more)
        await self.ready()

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        assert self.process is not None
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            for _ in range(PATIENCE_S * 20):
                if self.process.returncode is not None:
                    raise AssertionError(f"the gateway ended: {self.output()}")
                try:
                    if (await client.get(self.url + "/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"the gateway did not become ready: {self.output()}")

    def output(self) -> str:
        """The end of what it wrote."""
        return "\n".join(path.read_text()[-3000:] for path in (self.log, self.complaints) if path.exists())

    def lines(self) -> list[dict[str, Any]]:
        """Its log, parsed; a line that is no JSON object fails."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        assert all(isinstance(line, dict) for line in found)
        return found

    async def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self.process is not None
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def admin(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """One call of the management API, on a connection of its own."""
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.request(
                method, self.url + path, json=body, headers={"authorization": f"Bearer {ADMIN_KEY}", **headers}
            )

    async def key(self, usd: str = "100") -> str:
        """A fresh inference key of the default organisation, with ``usd`` more credit."""
        made = await self.admin("POST", "/api/v1/keys", {"name": "test"})
        assert made.status_code == 201, made.text
        secret: str = made.json()["key"]
        path = "/api/v1/admin/organizations/default/credits"
        granted = await self.admin(
            "POST", path, {"amount_usd": usd, "reason": "test"}, **{"idempotency-key": secret[-20:]}
        )
        assert granted.status_code == 201, granted.text
        return secret

    async def ledger(self) -> list[Mapping[str, object]]:
        """Every ledger line of the default organisation."""
        lines: list[Mapping[str, object]] = []
        cursor = ""
        while True:
            page = (await self.admin("GET", f"/api/v1/admin/organizations/default/ledger?limit=100{cursor}")).json()
            lines += page["data"]
            if not page["next_cursor"]:
                return lines
            cursor = f"&cursor={page['next_cursor']}"

    async def balances(self) -> Mapping[str, object]:
        """The default organisation, with its balances."""
        answer = await self.admin("GET", "/api/v1/admin/organizations/default")
        assert answer.status_code == 200, answer.text
        found: Mapping[str, object] = answer.json()["data"]
        return found

    async def clean(self) -> None:
        """The ledger balances and no hold is open."""
        audit = await self.admin("GET", "/api/v1/admin/audit")
        assert audit.status_code == 200, audit.text
        holds = await self.admin("GET", "/api/v1/admin/holds")
        assert holds.json()["data"] == []

    async def metrics(self) -> dict[str, float]:
        """One scrape: series as written → value."""
        await asyncio.sleep(3 * FLUSH_INTERVAL_S)  # each worker adds its counts at intervals
        async with httpx.AsyncClient(timeout=30) as client:
            return scraped((await client.get(self.url + "/metrics")).text)


def scraped(text: str) -> dict[str, float]:
    """The text of a scrape: series as written → value."""
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in rows}


@asynccontextmanager
async def served(config_dir: Path, data_dir: Path, **settings: Any) -> AsyncIterator[Process]:
    """A started gateway; it is killed at the end, whatever the test did."""
    process = Process(config_dir, data_dir, **settings)
    try:
        await process.start()
        yield process
    finally:
        await ended(process)


async def ended(process: Process) -> None:
    """SIGKILL to its whole group, unless it has ended."""
    if process.process is not None and process.process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await process.process.wait()


def descendants(pid: int) -> dict[int, str]:
    """Processes below this one (Linux): pid → command line."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: dict[int, str] = {}
    queue: Sequence[int] = [pid]
    while queue:
        queue = [child for parent in queue for child in children.get(parent, [])]
        for child in queue:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def workers(pid: int) -> list[int]:
    """The worker processes of a gateway with several (Linux)."""
    return sorted(child for child, line in descendants(pid).items() if "spawn_main" in line)
