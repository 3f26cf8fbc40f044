"""``serve``: the gateway behind a socket.

The parent process owns what workers share: the listening socket, the embedded Valkey, the directory of the metrics. Workers read
the settings from their environment again, so the parent passes its decisions on in ``GATEWAY_*`` variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import importlib.util
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from gateway.cli import configured
from gateway.cli.offline import is_full, why_unavailable
from gateway.cli.output import refuse
from gateway.errors import LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import check, connect
from gateway.store.embedded import Embedded, EmbeddedError
from gateway.store.errors import StoreError
from gateway.store.memory import default_limit

APPLICATION = "gateway.app:create"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG = 2048
GRACE_MARGIN_S = 2
"""How long after the end of the gateway's own shutdown grace the server stops waiting for connections."""
WORKER_HEALTH_TIMEOUT_S = 60
"""A worker that does not answer its supervisor for so long is replaced; on a busy machine a start takes many seconds."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (GATEWAY_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 = any free one (GATEWAY_PORT).")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes (GATEWAY_WORKERS).")] = None,
) -> None:
    """Start the gateway as the GATEWAY_* settings say.

    Without GATEWAY_REDIS_URL an embedded Valkey is started, with its data in GATEWAY_DATA_DIR. SIGTERM or Ctrl-C: readiness
    goes off, running streams finish or end with an error event, everything is settled, exit 0.
    """
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[configured.PREFIX + name] = str(value)
    settings = configured.settings()
    configured.catalog(settings)
    stop_on_sigterm()
    with contextlib.suppress(KeyboardInterrupt), listening(settings) as listener, worker_environment(settings):
        _announce(settings, listener)
        run(settings, listener)


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket. ``GATEWAY_PORT`` is set to its real port. Exits 2 when the address cannot be used."""
    try:
        listener = _bind(settings.host, settings.port)
    except OSError as error:
        refuse(_listen_error(settings, error))
    listener.set_inheritable(True)
    os.environ["GATEWAY_PORT"] = str(listener.getsockname()[1])
    with listener:
        yield listener


def _bind(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _listen_error(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; stop the process that uses it, or set another GATEWAY_PORT"
    if error.errno == errno.EACCES:
        return f"no permission to listen on port {settings.port}; set GATEWAY_PORT to 1024 or more"
    return f"cannot listen on {settings.host}:{settings.port} (GATEWAY_HOST, GATEWAY_PORT): {error.strerror or error}"


@contextlib.contextmanager
def worker_environment(settings: Settings) -> Iterator[str]:
    """Put management key, Redis URL and metrics directory into the environment of the workers; yields the Redis URL.

    Exits 2 when one of them cannot be used.
    """
    os.environ["GATEWAY_ADMIN_KEY"] = configured.admin_key(settings)[0]
    with contextlib.ExitStack() as stack:
        redis_url = settings.redis_url
        if redis_url is None:
            memory = settings.store_max_memory_bytes or default_limit()
            embedded = Embedded(settings.data_dir, max_memory_bytes=memory, on_loading=_tell_loading)
            try:
                embedded.start()
            except (EmbeddedError, OSError) as error:
                refuse(str(error))
            stack.callback(embedded.stop)
            os.environ["GATEWAY_REDIS_URL"] = redis_url = embedded.url
        else:
            _check_redis(settings, redis_url)
        _make_metrics_dir(settings, stack)
        yield redis_url


def _tell_loading(percent: float) -> None:
    typer.echo(f"The store loads its data: {percent:.0f} %", err=True)


def _make_metrics_dir(settings: Settings, stack: contextlib.ExitStack) -> None:
    """Exits 2 when the workers' metrics cannot be kept: prometheus-client would fail in each worker."""
    try:
        if settings.workers > 1:
            os.environ[METRICS_DIR] = tempfile.mkdtemp(prefix="tokenway-metrics-")
            stack.callback(shutil.rmtree, os.environ[METRICS_DIR], ignore_errors=True)
        elif directory := os.environ.get(METRICS_DIR):
            Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        place = os.environ.get(METRICS_DIR) if settings.workers == 1 else "a temporary directory"
        remedy = f"unset {METRICS_DIR}" if settings.workers == 1 else "set TMPDIR to a writable one"
        refuse(f"cannot use {place} for the metrics of the workers ({error.strerror or error}); {remedy}")


def _check_redis(settings: Settings, url: str) -> None:
    """Exits 2 when the configured Redis cannot be used: one message here instead of a traceback in each worker."""

    async def load_functions() -> None:
        store = await connect(url, timeout_s=max(settings.ledger_timeout_s, 1.0))
        try:
            await check(store)
            await Ledger(store).prepare()
        finally:
            await store.aclose()

    try:
        asyncio.run(load_functions())
    except LedgerUnavailable as error:
        if is_full(error):
            refuse(why_unavailable(error))
        refuse(f"the Redis of GATEWAY_REDIS_URL is not usable, Redis >= 7 or Valkey is needed: {error.__cause__}")
    except (StoreError, PermissionError, ValueError) as error:
        refuse(f"cannot use the Redis of GATEWAY_REDIS_URL: {error}")


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal stops it. Exits 1 when the application could not start; its log has the reason."""
    if settings.server == "granian":
        _run_granian(settings, listener)
        return
    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http="gateway.server.protocol:LimitedHttpProtocol",
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.idle_timeout_s,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s) + GRACE_MARGIN_S,
        timeout_worker_healthcheck=WORKER_HEALTH_TIMEOUT_S,
    )
    if settings.workers > 1:
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
        started = not any(process.exitcode == uvicorn.config.STARTUP_FAILURE for process in supervisor.processes)
    else:
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        started = server.started
    if not started:
        refuse("the application did not start; the reason is in the log above", code=1)


GRANIAN_LOGS: Final = {"handlers": {name: {"class": "gateway.telemetry.ServerLog"} for name in ("console", "access")}}


class Supervisor(Multiprocess):
    """uvicorn's supervisor, changed to stop listening together with its workers and to notice at once when a worker dies."""

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._close_worker_pipes()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died."""
        super().keep_subprocess_alive()
        self._close_worker_pipes()

    def _close_worker_pipes(self) -> None:
        """Close the workers' ends of their pipes: while this process holds one open, a dead worker looks like a slow one."""
        for process in self.processes:
            process.child_conn.close()

    def terminate_all(self) -> None:
        """Stop. The socket is closed first: new connections would wait in its backlog for workers that are gone."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _run_granian(settings: Settings, listener: socket.socket) -> None:
    if importlib.util.find_spec("granian") is None:
        refuse("GATEWAY_SERVER=granian needs the package: pip install 'tokenway[granian]'")
    granian = importlib.import_module("granian")  # an optional dependency, loaded only when it is configured
    port = listener.getsockname()[1]
    listener.close()
    multiprocessing.set_start_method("spawn", force=True)  # a fork would inherit locks and lose its metrics
    granian.Granian(
        APPLICATION,
        factory=True,
        address=settings.host,
        port=port,
        interface="asgi",
        workers=settings.workers,
        loop="uvloop",
        websockets=False,
        log_access=False,
        log_level="warning",
        log_dictconfig=GRANIAN_LOGS,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.shutdown_grace_s) + GRACE_MARGIN_S,
    ).serve()


def _announce(settings: Settings, listener: socket.socket) -> None:
    workers = f"{settings.workers} worker" + ("s" if settings.workers > 1 else "")
    store = "Redis at GATEWAY_REDIS_URL" if settings.redis_url else f"embedded Valkey in {settings.data_dir}"
    typer.echo(f"Tokenway on {origin(listener)}/api/v1 ({workers}, {store})", err=True)
    typer.echo(f"Management key: {configured.admin_key(settings)[1]}", err=True)


def origin(listener: socket.socket) -> str:
    """A URL that works on this machine: a socket on 0.0.0.0 listens on every address, so the loopback address stands for it."""
    address, port = listener.getsockname()[:2]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def stop_on_sigterm() -> None:
    """Make SIGTERM run every ``finally`` block and exit 0. uvicorn raises the signal again when it has shut down."""

    def exit_cleanly(_signal: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, exit_cleanly)
