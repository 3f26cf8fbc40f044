"""``tokenway`` as a process of its own that need not import anything: forked off a server that has imported it once.

A start imports for a second, which is most of what a test of a process costs. Here ``multiprocessing``'s fork server imports the
command and the application; each process is a fork of it with arguments, environment, directory and standard streams of its own.
What imports differently by its environment, and what starts further processes, is started as usual: see ``suits``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import gateway.cli

IMPORTED = ["gateway.cli", "gateway.app", "uvicorn.protocols.http.httptools_impl", "uvloop", "redis.asyncio"]
LOOK_S = 0.01
_servers = multiprocessing.get_context("forkserver")
_servers.set_forkserver_preload(["tests.support.forked", *IMPORTED])


def suits(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment behaves as a fork would: no variable is read by an import or by the interpreter, and
    it has no workers, whose start looks at how their parent was started."""
    read_early = {"PROMETHEUS_MULTIPROC_DIR", "LD_PRELOAD", "PYTHONWARNINGS", "PYTHONASYNCIODEBUG"}
    alone = env.get("GATEWAY_WORKERS", "1") == "1" and env.get("GATEWAY_SERVER", "uvicorn") == "uvicorn"
    return alone and not env.keys() & read_early


class Forked:
    """What tests use of ``asyncio.subprocess.Process``."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path) -> None:
        arguments = (list(words), dict(env), str(cwd), str(out), str(err))
        out.touch()
        err.touch()
        self._process = _servers.Process(target=_run, args=arguments, name="tokenway")
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        while (
            self.returncode is None and os.getpgid(self.pid) != self.pid
        ):  # until it leads a group, which tests may signal
            time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        while (code := self.returncode) is None:
            await asyncio.sleep(LOOK_S)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(words: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, (path, flags) in enumerate(
        (
            (os.devnull, os.O_RDONLY),
            (out, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            (err, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        )
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["tokenway", *words]
    gateway.cli.main()
