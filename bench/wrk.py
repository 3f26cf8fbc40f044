"""Saturation with wrk: one thread, 32 connections, as many POSTs as the target answers."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench import shapes
from bench.processes import pinned
from bench.talk import Route

CONNECTIONS = 32
_SCRIPT = Path(__file__).with_name("post.lua")
_MARK = "RESULT "


@dataclass(frozen=True, slots=True)
class Saturation:
    """What wrk counted. ``failed`` = socket errors and answers that were not 2xx or 3xx."""

    requests: int
    failed: int
    seconds: float
    p50_us: float
    p99_us: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def parse(text: str) -> Saturation:
    """Reads the line that ``post.lua`` writes. Raises ValueError when there is none."""
    lines = [line.removeprefix(_MARK) for line in text.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise ValueError(f"wrk gave no result: {text[:500]}")
    found = json.loads(lines[-1])
    seconds = found["duration_us"] / 1e6
    return Saturation(found["requests"], found["failed"], seconds, found["p50_us"], found["p99_us"])


def saturate(
    route: Route,
    *,
    core: int,
    seconds: int,
    scratch: Path,
    body: bytes = b"",
    connections: int = CONNECTIONS,
    pause_ms: int = 0,
) -> Saturation:
    """``body`` instead of the small chat; ``pause_ms`` before each request of a connection.

    Raises subprocess.CalledProcessError, ValueError.
    """
    headers = {"content-type": "application/json", **dict(route.headers)}
    body = body or shapes.request_body(route.model, stream=False)
    file = scratch / "wrk-request"
    file.write_bytes("|".join(f"{name}: {value}" for name, value in headers.items()).encode() + b"\n" + body)
    pause = [str(pause_ms)] if pause_ms else []
    load = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    command = pinned([*load, f"http://{route.host}:{route.port}{route.path}", "--", str(file), *pause], core)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return parse(done.stdout)
