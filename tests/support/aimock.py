"""``@copilotkit/aimock`` (npm, MIT), a mock vendor that is maintained elsewhere: unmodified, in its own process, on a real port.

It speaks OpenAI, Responses, Anthropic, Gemini, Vertex, Bedrock, Azure, Cohere, Ollama and OpenRouter. It is installed once into
the user's cache. What is known to differ from the vendors in 1.43 (seen 2026-11): Ollama's counts are always 0; Bedrock's text
blocks begin with a start event that has no member, which botocore refuses; Gemini ends a tool call with ``FUNCTION_CALL``;
there is no ``/v1`` of Gemini.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, events
from tests.support.process import free_port

PACKAGE = "@copilotkit/aimock@~1.43.0"
NODE = (20, 15)
KEY, KEY_ENV = "vendor-key", "AIMOCK_TEST_KEY"
PATIENCE_S = 30


def _home() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tokenway-tests" / PACKAGE.replace("/", "-")


def installed() -> tuple[str, Path]:
    """Node and the mock's command. Skips the test, with the reason, where it cannot be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("aimock needs node and npm on PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < NODE:
        pytest.skip(f"aimock needs node >= {NODE[0]}.{NODE[1]}, this is {version}")
    home = _home()
    home.mkdir(parents=True, exist_ok=True)
    command = home / "node_modules/@copilotkit/aimock/dist/cli.js"
    with (home / "lock").open("w") as lock:  # several test processes, one installation
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            (home / "package.json").write_text('{"private": true}')
            words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
            done = subprocess.run(words, cwd=home, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode or not command.exists():
                pytest.skip(f"aimock cannot be installed: {done.stderr.strip()[-300:]}")
    return node, command


@dataclass(frozen=True)
class Aimock:
    """A running mock. ``chaos`` and ``journal`` are its own control interface."""

    url: str

    def chaos(self, **rates: float) -> None:
        """From now on: ``dropRate`` (500), ``rateLimitRate`` (429), ``malformedRate``, ``disconnectRate``; none = no chaos."""
        self._control("POST", "chaos", rates)

    def journal(self) -> list[dict[str, Any]]:
        """The requests it got since ``forget``, oldest first."""
        found = self._control("GET", "journal")
        entries: list[dict[str, Any]] = found if isinstance(found, list) else found["entries"]
        return entries

    def forget(self) -> None:
        """Empties the journal and switches chaos off."""
        self._control("DELETE", "chaos")
        self._control("POST", "reset/journal")

    def _control(self, method: str, path: str, body: object = None) -> Any:
        response = httpx.request(
            method, f"{self.url}/__aimock/{path}", json=body, headers={"authorization": f"Bearer {KEY}"}
        )
        return response.raise_for_status().json()


@contextmanager
def running(fixtures: Path) -> Iterator[Aimock]:
    """One mock that answers what the fixture file says, to callers with ``KEY``, and is strict about what it does not know."""
    node, command = installed()
    port = free_port()
    words = [node, str(command), "-p", str(port), "-f", str(fixtures), "--strict", "--validate-on-load"]
    process = subprocess.Popen(
        [*words, "--log-level", "silent"],
        env={**os.environ, "AIMOCK_API_KEYS": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    mock = Aimock(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline, "aimock did not start"
            try:
                if httpx.get(mock.url + "/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield mock
    finally:
        process.kill()
        process.communicate()


# -- a gateway before it ------------------------------------------------------------------------------------------------

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}},
    },
}


@dataclass(frozen=True)
class Vendor:
    """One dialect of the mock: the vendor behind its address, and the model to request."""

    path: str
    upstream_id: str
    options: dict[str, Any] = field(default_factory=dict)
    counts: bool = True
    """The mock reports usage."""
    thinks: bool = True
    """The mock shows reasoning as the vendor does."""


VENDORS = {
    "openai": Vendor("/v1", "gpt-5"),
    "responses": Vendor("/v1", "gpt-5"),
    "anthropic": Vendor("/v1", "claude-sonnet-4-5"),
    "gemini": Vendor("/v1beta", "gemini-2.5-flash"),
    "vertex": Vendor("/v1/projects/p/locations/l/publishers/google", "gemini-2.5-flash"),
    "bedrock": Vendor("", "anthropic.claude-sonnet-4-5-20250929-v1:0", {"region": "us-east-1"}),
    "azure": Vendor("", "gpt-5", {"api_version": "2024-10-21"}),
    "cohere": Vendor("/v2", "command-a-03-2025", thinks=False),
    "ollama": Vendor("", "llama3.2", counts=False, thinks=False),
    "openrouter": Vendor("/api/v1", "openai/gpt-5", {"reports_cost": True}),
}
Start = Callable[..., Awaitable[Stage]]


@pytest.fixture(scope="module")
def mock() -> Iterator[Aimock]:
    """The mock, which can be configured to misbehave."""
    with running(Path(__file__).parents[1] / "e2e/aimock/answers.json") as started:
        yield started


@pytest.fixture
def vendor(mock: Aimock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aimock]:
    """The mock, without chaos and with an empty journal; every provider's key is in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    mock.forget()
    yield mock
    mock.forget()


def sold(dialect: str, model: str = "mock/chat") -> Sale:
    return Sale(model, f"by-{dialect}", VENDORS[dialect].upstream_id, prompt="3", completion="15")


async def staged(gateway: Start, mock: Aimock, *dialects: str, backup: bool = False) -> Stage:
    """A gateway that sells the mock's model in these dialects, and with ``backup`` also, in last place, a healthy vendor's."""
    urls = {f"by-{name}": mock.url + VENDORS[name].path for name in dialects}
    rows = {
        f"by-{name}": {"dialect": name, "api_key_env": KEY_ENV, "options": VENDORS[name].options} for name in dialects
    }
    sales = [sold(name) for name in dialects]
    if backup:
        sales.append(Sale("mock/chat", "well", prompt="30", completion="60"))
    return await gateway(*sales, urls=urls, provider=rows, health_share_interval_s=3600)


def chat_body(text: str, *turns: dict[str, Any], tools: bool = False, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "mock/chat", "messages": [{"role": "user", "content": text}, *turns]}
    return {**body, **({"tools": [TOOL]} if tools else {}), "max_tokens": 200, **more}


async def whole(caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """A JSON answer that every official SDK can read."""
    return wireshape.answer(await post(caller, body))


async def streamed(caller: Caller, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a successful stream that every official SDK can read; its usage chunk is checked and left off."""
    response = await post(caller, {**body, "stream": True})
    return wireshape.stream(response, events(response.text))


async def post(caller: Caller, body: dict[str, Any]) -> httpx.Response:
    return await caller.gateway.client.post("/api/v1/chat/completions", json=body, headers=caller.headers)
