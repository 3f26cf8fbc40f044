"""The harness's own HTTP: single calls for set-up and checks, never for load."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import shapes

_POLL_S = 0.02
_CALL_S = 30.0


class StartError(Exception):
    """A target did not start, or gives a wrong answer."""


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a target that forwards to one kind of upstream."""

    port: int
    path: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()
    host: str = "127.0.0.1"

    def request(self, *, stream: bool) -> str:
        """The whole HTTP/1.1 request as text (ASCII)."""
        body = shapes.request_body(self.model, stream=stream).decode()
        fields = {"host": f"{self.host}:{self.port}", "content-type": "application/json", **dict(self.headers)}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n{body}"


def call(
    port: int, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
) -> tuple[int, bytes]:
    """(status, body). A body that is not bytes goes as JSON. Raises OSError, http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_CALL_S)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def control(port: int, **state: int) -> dict[str, int]:
    """Sets the upstream's stream length and pace, and returns its counters."""
    query = "&".join(f"{name}={value}" for name, value in state.items())
    found: dict[str, int] = json.loads(call(port, "GET", f"/control?{query}")[1])
    return found


def completion(route: Route) -> str:
    """Sends one request and returns "" when the answer is the upstream's, else what is wrong with it."""
    try:
        status, raw = call(
            route.port,
            "POST",
            route.path,
            headers=dict(route.headers),
            body=shapes.request_body(route.model, stream=False),
        )
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    if status != 200:
        return f"status {status}: {raw[:300].decode(errors='replace')}"
    answer: dict[str, Any] = json.loads(raw)
    whole = (
        answer["choices"][0]["message"]["content"] and answer["usage"]["completion_tokens"] == shapes.COMPLETION_TOKENS
    )
    return "" if whole else f"not the upstream's answer: {raw[:300].decode(errors='replace')}"


def ready(port: int, path: str) -> str:
    """Requests a readiness page; returns "" when it is 200."""
    try:
        status, raw = call(port, "GET", path)
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    return "" if status == 200 else f"status {status}: {raw[:200].decode(errors='replace')}"


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


@dataclass(frozen=True, slots=True)
class Start:
    """A child that has just been spawned."""

    child: subprocess.Popen[bytes]
    log: Path
    begun_s: float

    def wait(self, ask: Any, timeout_s: float) -> float:
        """Seconds from spawning until ``ask()`` finds nothing wrong. Raises StartError with the end of the log."""
        while True:
            wrong = ask()
            elapsed_s = time.monotonic() - self.begun_s
            if not wrong:
                return elapsed_s
            if self.child.poll() is not None or elapsed_s > timeout_s:
                state = f"exit code {self.child.returncode}" if self.child.returncode is not None else f"{timeout_s} s"
                raise StartError(f"not ready ({state}): {wrong}\n{tail(self.log)}")
            time.sleep(_POLL_S)
