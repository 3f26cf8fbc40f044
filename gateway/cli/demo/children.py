"""The demo's vendors as child processes.

They get their API keys, new at every start, in ``TOKENWAY_DEMO_KEY`` and ``TOKENWAY_DEMO_LOCAL_KEY``. The demo's files in
``config/providers`` name these variables: without the demo those providers are listed, but not routed to.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator import local_model
from simulator.serve import VENDORS as VENDORS

DEMO_KEY_ENV, LOCAL_KEY_ENV = "TOKENWAY_DEMO_KEY", "TOKENWAY_DEMO_LOCAL_KEY"
LOCAL_MODELS: Mapping[str, int] = {"local-a": 9111, "local-b": 9112}
READY_WITHIN_S, STOP_WITHIN_S, POLL_S = 30.0, 5.0, 0.05
"""A start usually takes two seconds; the limit is for slow machines."""


class DemoError(RuntimeError):
    """The demo cannot start; the message names the port or the child process at fault."""


@dataclass(slots=True)
class Child:
    """One child process, the ports it should answer on, and the file with its output."""

    name: str
    process: subprocess.Popen[bytes]
    ports: tuple[int, ...]
    log: Path
    path: str
    """What ``is_ready`` requests."""

    def is_ready(self) -> bool:
        """True when it answers on all of its ports."""
        return all(_answers(port, self.path) for port in self.ports)

    def last_output(self) -> str:
        """The last line of its output, else its exit code."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self.process.returncode} and without output"

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for a child that does not end in time."""
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class DemoVendors:
    """The demo's vendors as child processes. For the parent process, before workers start; blocking; main thread only.

    Children end with this process, even when it is killed (Linux). They do not receive the terminal's Ctrl-C, so that running
    streams can finish. ``warn`` is called with one line for each optional part that does not work.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        vendors: Mapping[str, int] = VENDORS,
        local_models: Mapping[str, int] = LOCAL_MODELS,
        warn: Callable[[str], None] = print,
    ) -> None:
        self._data_dir = data_dir
        self._vendors = dict(vendors)
        self._local_models = dict(local_models)
        self._warn = warn
        self._children: list[Child] = []

    @property
    def has_model(self) -> bool:
        """True when at least one local endpoint of the real model runs."""
        return any(child.name in self._local_models and child.process.poll() is None for child in self._children)

    def start(self) -> None:
        """Start the children, wait until they answer, and put their keys into ``os.environ``.

        Raises DemoError when a port is taken or the simulated vendors do not start. The real model is optional.
        """
        model = self._model_can_run()
        ports = self._vendors | (self._local_models if model else {})
        for name, port in ports.items():
            _ensure_free(name, port)
        os.environ[DEMO_KEY_ENV] = secrets.token_urlsafe(32)
        os.environ.pop(LOCAL_KEY_ENV, None)
        try:
            pairs = [f"{name}={port}" for name, port in self._vendors.items()]
            arguments = ["simulator", "--key-env", DEMO_KEY_ENV, *pairs]
            self._spawn("simulate", arguments, tuple(self._vendors.values()), path="/v1/models")
            if model:
                self._start_models()
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the children. Idempotent."""
        while self._children:
            self._children.pop().stop()
        os.environ.pop(DEMO_KEY_ENV, None)
        os.environ.pop(LOCAL_KEY_ENV, None)

    def _model_can_run(self) -> bool:
        try:
            local_model.check()
        except local_model.Missing as error:
            self._warn(f"No real model in this demo, only simulated ones: {error}")
            return False
        return bool(self._local_models)

    def _start_models(self) -> None:
        os.environ[LOCAL_KEY_ENV] = secrets.token_urlsafe(32)
        threads = max(1, (os.cpu_count() or 2) // max(1, len(self._local_models)))
        for name, port in self._local_models.items():
            arguments = ["simulator.local_model", str(port), "--threads", str(threads), "--key-env", LOCAL_KEY_ENV]
            self._spawn(name, arguments, (port,), path="/health")

    def _spawn(self, name: str, arguments: list[str], ports: tuple[int, ...], *, path: str) -> None:
        log = self._data_dir / f"demo-{name}.log"
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = Path(local_model.__file__).parent.parent
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *arguments, "--parent", str(os.getpid())],
                cwd=root,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._children.append(Child(name, process, ports, log, path))

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        pending = list(self._children)
        while pending:
            for child in list(pending):
                if child.process.poll() is not None:
                    self._give_up(child, child.last_output())
                elif time.monotonic() > deadline:
                    self._give_up(child, f"it did not answer within {READY_WITHIN_S:g} s; see {child.log}")
                elif not child.is_ready():
                    continue
                pending.remove(child)
            time.sleep(POLL_S if pending else 0)
        if not self.has_model:
            os.environ.pop(LOCAL_KEY_ENV, None)

    def _give_up(self, child: Child, reason: str) -> None:
        """Raises DemoError for the simulated vendors; goes on without an endpoint of the real model."""
        if child.name not in self._local_models:
            raise DemoError(f"the simulated vendors did not start: {reason}")
        self._children.remove(child)
        child.stop()
        self._warn(f"The real model's endpoint {child.name} does not run; the demo goes on without it: {reason}")


def _environment() -> dict[str, str]:
    """The variables a child needs to run, and its key. It must not see the management key or the keys of real vendors."""
    names = (
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        DEMO_KEY_ENV,
        LOCAL_KEY_ENV,
    )
    return {name: os.environ[name] for name in names if name in os.environ}


def _ensure_free(name: str, port: int) -> None:
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        raise DemoError(
            f"port {port} on 127.0.0.1, where the demo's {name} listens, cannot be used: {error.strerror}. "
            "Stop the process that uses it (another demo?), or run `tokenway serve`, which does not need this port."
        ) from error


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status in (200, 401)
    return False


@contextlib.contextmanager
def running_vendors(data_dir: Path, *, warn: Callable[[str], None] = print) -> Iterator[DemoVendors]:
    """The started vendors; they end with the block. Raises DemoError."""
    vendors = DemoVendors(data_dir, warn=warn)
    vendors.start()
    try:
        yield vendors
    finally:
        vendors.stop()
